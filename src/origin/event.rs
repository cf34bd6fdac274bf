//! What applying a publication brought about, for bus messages, logs and figures.
//!
//! Belongs here: plain values that own their text, so that they can cross a thread.
//! Does not: how a bus message looks (`sink/`).

use std::fmt;

use super::media::{Msn, PartNumber, RenditionId};
use crate::time::{MediaTime, UnixTime};

/// Something that became true with a publication.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An init section can be fetched.
    InitPublished {
        /// Name of the rendition.
        rendition: String,
        /// Bare file name.
        name: String,
        /// RFC 6381 codec string.
        codec: String,
        /// Width and height in pixels, when it is video.
        resolution: Option<(u32, u32)>,
        /// Bytes.
        size: usize,
    },
    /// A segment will be listed behind EXT-X-DISCONTINUITY; comes just before its first part.
    Discontinuity {
        /// Name of the rendition.
        rendition: String,
        /// Bare file name of the segment that opens the new sequence of timestamps.
        segment: String,
        /// Its number.
        msn: Msn,
        /// Its PROGRAM-DATE-TIME.
        program_date_time: UnixTime,
    },
    /// A part can be fetched.
    PartPublished {
        /// Name of the rendition.
        rendition: String,
        /// Bare file name.
        name: String,
        /// Its running number.
        number: PartNumber,
        /// Bare file name of the segment it belongs to.
        segment: String,
        /// Bytes.
        size: usize,
        /// Sum of its samples' durations.
        duration: MediaTime,
        /// When its first sample was captured.
        captured: UnixTime,
        /// When it could first be fetched.
        published: UnixTime,
        /// Whether it holds an independent frame.
        is_independent: bool,
    },
    /// A segment is complete and can be fetched.
    SegmentPublished {
        /// Name of the rendition.
        rendition: String,
        /// Bare file name.
        name: String,
        /// Its number.
        msn: Msn,
        /// Bytes.
        size: usize,
        /// Sum of its parts' durations.
        duration: MediaTime,
        /// PROGRAM-DATE-TIME of its first sample.
        program_date_time: UnixTime,
        /// When its first sample was captured.
        captured: UnixTime,
        /// When it was complete.
        published: UnixTime,
        /// How many parts it has.
        parts: usize,
    },
    /// A segment is complete that lacks media, and so cannot be fetched.
    Gap {
        /// Name of the rendition.
        rendition: String,
        /// Bare file name.
        name: String,
        /// Its number.
        msn: Msn,
        /// Sum of its parts' durations, missing ones included.
        duration: MediaTime,
        /// What of that is missing.
        missing: MediaTime,
        /// PROGRAM-DATE-TIME of its beginning.
        program_date_time: UnixTime,
    },
    /// The media playlist of a rendition can be read; its constants are fixed from here on.
    PlaylistStarted {
        /// Name of the rendition.
        rendition: String,
    },
    /// A rendition is over; others may go on.
    RenditionEnded {
        /// Name of the rendition.
        rendition: String,
    },
    /// The stream is over, and all its renditions with it.
    Ended,
    /// A publication broke the protocol.
    Violation {
        /// Name of the rendition it was for; of the main one when it was for all of them.
        rendition: String,
        /// What was wrong with it.
        violation: Violation,
    },
}

/// What was wrong with a publication, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A part without an init section before it; ignored.
    PartBeforeInit,
    /// A part whose duration is not positive; ignored.
    PartWithoutDuration,
    /// A part counted in other ticks than the parts before it in its segment; ignored.
    TimescaleInsideSegment,
    /// A discontinuity within a segment, which no tag can say; the part is published without it.
    DiscontinuityInsideSegment,
    /// A gap before the first segment is complete, when there is no PART-TARGET to divide it by; ignored. A rendition that
    /// is late begins with a later number.
    GapBeforeFirstSegment,
    /// An init section, or word that one comes, while a segment is open: its MAP would come after parts (rule PL-20);
    /// ignored.
    InitInsideSegment,
    /// A segment end without a part since the last one; ignored.
    EmptySegment,
    /// Constants that come a second time with other values; ignored (rules PL-09, PL-17).
    ConstantsChanged,
    /// Constants no playlist can carry: a target of no length; ignored.
    ConstantsWithoutLength,
    /// A part longer than PART-TARGET; published, its DURATION is written as PART-TARGET (rule PL-15).
    PartLongerThanTarget(PartNumber),
    /// A segment longer than TARGETDURATION allows; published (rule PL-08).
    SegmentLongerThanTarget(Msn),
    /// Anything after the end of the rendition or of the stream; ignored.
    AfterEnd,
    /// A publication for a rendition the presentation does not have; ignored.
    UnknownRendition(RenditionId),
    /// A number for the first segment of a rendition that has begun already; ignored.
    StartAfterBegin,
    /// Another TARGETDURATION than the presentation's, which is used in its place (rule MV-09).
    OtherTargetDuration(u32),
    /// A rendition that joined later with a PART-TARGET longer than PART-HOLD-BACK was made for (rule PL-25).
    LatePartTarget,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartBeforeInit => {
                f.write_str("a part came before any init section and was dropped")
            }
            Self::PartWithoutDuration => f.write_str("a part without duration was dropped"),
            Self::TimescaleInsideSegment => {
                f.write_str("a part changed the timescale inside a segment and was dropped")
            }
            Self::DiscontinuityInsideSegment => {
                f.write_str("a discontinuity inside a segment was not signalled")
            }
            Self::GapBeforeFirstSegment => {
                f.write_str("a gap before the first segment was complete was dropped")
            }
            Self::InitInsideSegment => {
                f.write_str("an init section came inside a segment and was dropped")
            }
            Self::EmptySegment => f.write_str("a segment ended without a part"),
            Self::ConstantsChanged => {
                f.write_str("playlist constants came a second time and were dropped")
            }
            Self::ConstantsWithoutLength => {
                f.write_str("playlist constants without length were dropped")
            }
            Self::PartLongerThanTarget(number) => {
                write!(f, "part {} is longer than PART-TARGET", number.0)
            }
            Self::SegmentLongerThanTarget(msn) => {
                write!(f, "segment {} is longer than TARGETDURATION", msn.0)
            }
            Self::AfterEnd => f.write_str("something was published after the end"),
            Self::UnknownRendition(RenditionId(place)) => {
                write!(f, "there is no rendition {place} to publish to")
            }
            Self::StartAfterBegin => {
                f.write_str("the number of the first segment came after its first part")
            }
            Self::OtherTargetDuration(seconds) => {
                write!(
                    f,
                    "a TARGETDURATION of {seconds} s gave way to the presentation's"
                )
            }
            Self::LatePartTarget => {
                f.write_str("a rendition joined with parts longer than PART-HOLD-BACK was made for")
            }
        }
    }
}

impl std::error::Error for Violation {}
