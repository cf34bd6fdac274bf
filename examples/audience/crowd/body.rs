//! Where a body ends: after its announced length, or with its last chunk (RFC 9112 6 and 7.1).
//!
//! Belongs here: framing. Does not: sockets (`exchange`). By hand, because hyper's client costs a load generator more than
//! the servers it is to load: it would measure itself.

use super::Fault;

/// A body of which some has come.
#[derive(Debug)]
pub(crate) enum Body {
    /// As many bytes are still to come.
    Length(usize),
    Chunked(Chunked),
}

#[derive(Debug)]
pub(crate) enum Chunked {
    /// In the line before a chunk, with what has come of it.
    Size(Vec<u8>),
    /// Bytes of this chunk still to come.
    Data(usize),
    /// In the line end after a chunk.
    DataEnd,
    /// In the lines after the last chunk, and how much of the current one has come.
    Trailer(usize),
    Done,
}

impl Body {
    /// Reads the head of an answer that must be a good one; `path` is what was asked for.
    pub(crate) fn after(head: &[u8], path: &str) -> Result<Self, Fault> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(Fault::new(format!("{path} was answered with {status}")));
        }
        let value = |wanted: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim().to_ascii_lowercase())
        };
        if value("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            return Ok(Self::Chunked(Chunked::Size(Vec::new())));
        }
        value("content-length")
            .and_then(|length| length.parse().ok())
            .map(Self::Length)
            .ok_or_else(|| Fault::new(format!("the answer to {path} has no length")))
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// Hands what is content in `bytes` to `take`. More than the body holds is a fault.
    pub(crate) fn read(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(), Fault> {
        match self {
            Self::Length(left) => {
                *left = left
                    .checked_sub(bytes.len())
                    .ok_or_else(|| Fault::new("more came than was announced"))?;
                take(bytes);
                Ok(())
            }
            Self::Chunked(state) => state.read(bytes, take),
        }
    }
}

impl Chunked {
    fn read(&mut self, mut bytes: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(), Fault> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self {
                Self::Size(digits) if first == b'\n' => {
                    let text = String::from_utf8_lossy(digits);
                    let size = text.trim_end().split(';').next().unwrap_or_default();
                    let size = usize::from_str_radix(size, 16)
                        .map_err(|_| Fault::new(format!("a chunk has the size {text}")))?;
                    *self = match size {
                        0 => Self::Trailer(0),
                        size => Self::Data(size),
                    };
                    bytes = rest;
                }
                Self::Size(digits) => {
                    digits.push(first);
                    bytes = rest;
                }
                Self::Data(left) => {
                    let (data, after) = bytes.split_at(bytes.len().min(*left));
                    take(data);
                    *left -= data.len();
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    bytes = after;
                }
                Self::DataEnd => {
                    if first == b'\n' {
                        *self = Self::Size(Vec::new());
                    }
                    bytes = rest;
                }
                Self::Trailer(length) => {
                    match (first, *length) {
                        (b'\n', 0) => *self = Self::Done,
                        (b'\n', _) => *length = 0,
                        (b'\r', _) => {}
                        _ => *length += 1,
                    }
                    bytes = rest;
                }
                Self::Done => return Err(Fault::new("more came than the last chunk")),
            }
        }
        Ok(())
    }
}
