//! Finds the top-level boxes in what the muxer wrote.
//!
//! Belongs here: box headers, and the one count inside a box that must not be believed. Used by those who read the insides
//! (`init`, `moof`, `fragment`).

use std::{fmt, ops::Range};

use mp4_atom::{Decode, FourCC, Header};

/// Why bytes from the muxer could not be used. It names the box and the place, for the person with the dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoxError {
    /// A box says it is longer than what is left, or shorter than its own header.
    BadSize {
        /// Byte position of the box.
        at: usize,
    },
    /// A box that must be there is not.
    Missing(&'static str),
    /// A box was there but could not be read.
    Unreadable {
        /// Four-character name of the box.
        name: &'static str,
        /// What the box reader said.
        reason: String,
    },
    /// A track run points outside its `mdat`, or leaves bytes of it unused.
    OutsideMediaData,
    /// The muxer wrote another number of samples than frames went in.
    SampleCount {
        /// Samples in the boxes.
        muxed: usize,
        /// Frames fed.
        fed: usize,
    },
    /// A number does not fit its field.
    TooLarge(&'static str),
}

impl fmt::Display for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSize { at } => write!(f, "box at byte {at} has an impossible size"),
            Self::Missing(name) => write!(f, "no {name} box"),
            Self::Unreadable { name, reason } => write!(f, "{name} box is unreadable: {reason}"),
            Self::OutsideMediaData => f.write_str("a track run does not match its mdat"),
            Self::SampleCount { muxed, fed } => {
                write!(f, "{muxed} samples were written for {fed} frames")
            }
            Self::TooLarge(what) => write!(f, "{what} does not fit its field"),
        }
    }
}

impl std::error::Error for BoxError {}

/// A top-level box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopBox {
    /// Its name.
    pub kind: FourCC,
    /// Header and body.
    pub whole: Range<usize>,
    /// The body alone.
    pub body: Range<usize>,
}

/// Every top-level box of `bytes`, in order. All of `bytes` has to be boxes.
pub fn top_boxes(bytes: &[u8]) -> Result<Vec<TopBox>, BoxError> {
    let mut boxes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let bad_size = || BoxError::BadSize { at };
        let mut rest = &bytes[at..];
        let header = Header::decode(&mut rest).map_err(|_| bad_size())?;
        let body_start = bytes.len() - rest.len();
        let body_end = match header.size {
            Some(size) => body_start.checked_add(size).ok_or_else(bad_size)?,
            // Size 0: the box goes on to the end (ISO/IEC 14496-12 4.2).
            None => bytes.len(),
        };
        if body_end > bytes.len() {
            return Err(bad_size());
        }
        boxes.push(TopBox {
            kind: header.kind,
            whole: at..body_end,
            body: body_start..body_end,
        });
        at = body_end;
    }
    Ok(boxes)
}

/// A `moov` or `moof` larger than this is none of a live stream: 65,536 samples take a megabyte.
const LARGEST_HEADER: usize = 4 << 20;

/// Refuses a `moov` or `moof` with a count that its reader would take at its word: mp4-atom 0.17 makes an entry of `sgpd` for
/// each that is claimed, of no bytes too, and so gigabytes of a hundred bytes.
pub(super) fn check_counts(bytes: &[u8]) -> Result<(), BoxError> {
    if bytes.len() > LARGEST_HEADER {
        return Err(BoxError::TooLarge("moov or moof"));
    }
    // Wherever it lies: the reader knows it in places where it does not belong as well.
    let kinds = (4..).zip(bytes.windows(4));
    let mut groups = kinds.filter(|(_, kind)| kind == b"sgpd");
    if groups.any(|(body, _)| claims_too_many_groups(&bytes[body..])) {
        return Err(BoxError::TooLarge("entry count of sgpd"));
    }
    Ok(())
}

/// Whether `sgpd` claims more entries than there are bytes behind it (ISO/IEC 14496-12 8.9.3).
fn claims_too_many_groups(body: &[u8]) -> bool {
    // Version and flags, grouping type, then what the version has, then the count.
    let at = match body.first() {
        Some(0) => 8,
        Some(1) => 12,
        _ => 16,
    };
    body.get(at..)
        .and_then(|rest| rest.first_chunk())
        .is_some_and(|count| u32::from_be_bytes(*count) as usize > body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_not_there_are_not_made() {
        let sgpd = |count: u32| {
            let mut body = vec![0, 0, 0, 0];
            body.extend_from_slice(b"abcd");
            body.extend_from_slice(&count.to_be_bytes());
            box_of(b"sgpd", &body)
        };
        for place in [
            &[b"moof", b"traf"][..],
            &[b"moov", b"trak", b"mdia", b"minf", b"dinf"],
        ] {
            let header = |count| {
                let wrap = |inner: Vec<u8>, kind: &&[u8; 4]| box_of(kind, &inner);
                place.iter().rev().fold(sgpd(count), wrap)
            };
            assert_eq!(check_counts(&header(3)), Ok(()));
            assert_eq!(
                check_counts(&header(0x7e7_2ca8)),
                Err(BoxError::TooLarge("entry count of sgpd"))
            );
        }
        assert_eq!(
            check_counts(&vec![0; LARGEST_HEADER + 1]),
            Err(BoxError::TooLarge("moov or moof"))
        );
    }

    fn box_of(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = (u32::try_from(body.len()).unwrap() + 8)
            .to_be_bytes()
            .to_vec();
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn boxes_are_found_in_order() {
        let mut bytes = box_of(b"ftyp", b"iso6");
        bytes.extend(box_of(b"free", b""));
        let boxes = top_boxes(&bytes).unwrap();
        assert_eq!(boxes.len(), 2);
        assert_eq!(boxes[0].kind, FourCC::new(b"ftyp"));
        assert_eq!(boxes[0].body, 8..12);
        assert_eq!(boxes[1].whole, 12..20);
    }

    #[test]
    fn long_sizes_and_open_ends_are_read() {
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend_from_slice(b"mdat");
        bytes.extend_from_slice(&18_u64.to_be_bytes());
        bytes.extend_from_slice(b"ab");
        bytes.extend_from_slice(&[0, 0, 0, 0]);
        bytes.extend_from_slice(b"mdatxyz");
        let boxes = top_boxes(&bytes).unwrap();
        assert_eq!(boxes[0].body, 16..18);
        assert_eq!(boxes[1].body, 26..29);
    }

    #[test]
    fn truncation_anywhere_is_an_error_or_a_shorter_list() {
        let mut bytes = box_of(b"ftyp", b"iso6");
        bytes.extend(box_of(b"moov", b"0123456789"));
        for length in 0..bytes.len() {
            let found = top_boxes(&bytes[..length]);
            match length {
                0 => assert_eq!(found.unwrap().len(), 0),
                12 => assert_eq!(found.unwrap().len(), 1),
                _ => assert!(
                    matches!(found, Err(BoxError::BadSize { .. })),
                    "at {length}"
                ),
            }
        }
    }

    #[test]
    fn a_size_shorter_than_the_header_is_an_error() {
        for size in 2..8 {
            let mut bytes = box_of(b"free", b"");
            bytes[3] = size;
            assert_eq!(top_boxes(&bytes), Err(BoxError::BadSize { at: 0 }));
        }
        let mut huge = vec![0, 0, 0, 1];
        huge.extend_from_slice(b"mdat");
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(top_boxes(&huge), Err(BoxError::BadSize { at: 0 }));
    }
}
