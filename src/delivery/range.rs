//! Range (RFC 9110 14): which bytes of a resource a client wants.
//!
//! Belongs here: reading the header. Does not: cutting the bytes (`answer`), who may ask for ranges (`representation`).

use std::ops::Range;

/// What a Range header comes down to, for a resource of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, one in a unit or a form we do not know, or several at once, which nobody who plays asks for. All
    /// of these may be answered with the whole (RFC 9110 14.2).
    Whole,
    /// These bytes; never empty, never past the end.
    Slice(Range<u64>),
    /// Nothing that is there (rule MR-09).
    Unsatisfiable,
}

/// Reads a Range header for a resource of `length` bytes.
pub fn read(header: &str, length: u64) -> Wanted {
    let Some((unit, set)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Wanted::Whole;
    };
    match (position(first), position(last)) {
        // The last so many bytes.
        (Position::None, Position::At(count)) => match count.min(length) {
            0 => Wanted::Unsatisfiable,
            count => Wanted::Slice(length - count..length),
        },
        (Position::At(first), Position::None) if first < length => Wanted::Slice(first..length),
        (Position::At(first), Position::None) if first >= length => Wanted::Unsatisfiable,
        (Position::At(first), Position::At(last)) if first > last => Wanted::Whole,
        (Position::At(first), Position::At(_)) if first >= length => Wanted::Unsatisfiable,
        (Position::At(first), Position::At(last)) => {
            Wanted::Slice(first..last.saturating_add(1).min(length))
        }
        _ => Wanted::Whole,
    }
}

enum Position {
    None,
    At(u64),
    /// No number: another range behind a comma, a sign, nonsense.
    Unreadable,
}

fn position(text: &str) -> Position {
    if text.is_empty() {
        Position::None
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for 64 bits is past every end.
        Position::At(text.parse().unwrap_or(u64::MAX))
    } else {
        Position::Unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_hundred_bytes() {
        for (header, expected) in [
            ("bytes=0-9", Wanted::Slice(0..10)),
            ("bytes=10-10", Wanted::Slice(10..11)),
            ("bytes=90-", Wanted::Slice(90..100)),
            ("bytes=0-", Wanted::Slice(0..100)),
            ("bytes=-1", Wanted::Slice(99..100)),
            ("bytes=-100", Wanted::Slice(0..100)),
            ("bytes=-1000", Wanted::Slice(0..100)),
            ("bytes=90-1000", Wanted::Slice(90..100)),
            ("bytes=0-99999999999999999999", Wanted::Slice(0..100)),
            ("Bytes = 5-6", Wanted::Slice(5..7)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=100-200", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=9-0", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes 0-1", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(read(header, 100), expected, "{header}");
        }
        assert_eq!(read("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(read("bytes=-5", 0), Wanted::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_slice_is_never_empty_nor_past_the_end(header in "(bytes=)?[0-9,-]{0,24}|.{0,30}", length: u64) {
            if let Wanted::Slice(range) = read(&header, length) {
                prop_assert!(range.start < range.end && range.end <= length, "{range:?}");
            }
        }
    }
}
