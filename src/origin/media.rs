//! What the sink publishes: the nouns that travel from the streaming thread to the origin.
//!
//! Belongs here: numbers a player sees, init sections, parts, the constants of a presentation.
//! Does not: which of them a playlist names (`window`), or how a request finds them (`delivery/`).

use std::fmt;

use bytes::Bytes;

pub use crate::cmaf::segmenter::Constants;
use crate::time::{MediaTime, UnixTime};

/// A Media Sequence Number (RFC 8216bis 3): counts segments, never falls, never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msn(pub u64);

/// The place of a part in its segment, from 0 (RFC 8216bis 6.2.5.2, `_HLS_part`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartIndex(pub u64);

/// The running number of a part in its run, as its URI carries it.
///
/// It runs on over segment ends, so the hint for "the next part" is right even when that part turns out to open a
/// new segment (rule PL-29).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(pub u64);

/// One life of a presentation, from READY to READY. Every media URI begins with it, so no cache ever answers with
/// another run's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId(String);

impl RunId {
    /// `name` becomes a path segment: ASCII letters and digits only, at least one. `None` otherwise.
    pub fn new(name: &str) -> Option<Self> {
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain.then(|| Self(name.to_owned()))
    }

    /// The path segment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the sink hands to the origin, in the order players shall see it.
#[derive(Clone, Debug)]
pub enum Publication {
    /// The initialization section of the parts that follow.
    Init(InitSection),
    /// A part is complete.
    Part(NewPart),
    /// The segment of the last part is complete; the next part opens a new one.
    ///
    /// `constants` come with the first segment and never again: they are fixed from then on (rules PL-09, PL-17).
    SegmentEnd { constants: Option<Constants> },
    /// The stream is over; nothing follows (rule PL-42).
    EndOfStream,
}

/// An initialization section, EXT-X-MAP: `ftyp` and `moov` of one track.
#[derive(Clone)]
pub struct InitSection {
    /// The boxes.
    pub bytes: Bytes,
    /// RFC 6381 codec string, such as `avc1.64001f`.
    pub codec: String,
    /// Width and height in pixels, when it is video.
    pub resolution: Option<(u32, u32)>,
}

impl fmt::Debug for InitSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitSection")
            .field("bytes", &self.bytes.len())
            .field("codec", &self.codec)
            .field("resolution", &self.resolution)
            .finish()
    }
}

/// A part as it comes from the muxer, before it has a place in the window.
#[derive(Clone)]
pub struct NewPart {
    /// `moof` and `mdat`, complete and immutable.
    pub bytes: Bytes,
    /// Sum of its samples' durations, exactly.
    pub duration: MediaTime,
    /// Whether it holds an independent frame (RFC 8216bis 4.4.4.9, INDEPENDENT).
    pub is_independent: bool,
    /// When its first sample was captured.
    pub captured: UnixTime,
    /// PROGRAM-DATE-TIME of its decode time; what the segment carries whose first part this is.
    pub program_date_time: UnixTime,
    /// Timestamps, tracks or format changed before this part. Only ever set on a part that opens a segment.
    pub is_discontinuity: bool,
}

impl fmt::Debug for NewPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPart")
            .field("bytes", &self.bytes.len())
            .field("duration", &self.duration)
            .field("is_independent", &self.is_independent)
            .field("captured", &self.captured)
            .field("program_date_time", &self.program_date_time)
            .field("is_discontinuity", &self.is_discontinuity)
            .finish()
    }
}
