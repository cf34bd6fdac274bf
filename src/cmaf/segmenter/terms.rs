//! What the segmenter takes and what it answers, for whoever drives it.
//!
//! Belongs here: values without rules of their own. Does not: what becomes of a frame (the module above).

use crate::time::{MediaTime, Nanos, RunningTime, Timescale};

/// What the segmenter has to know before the first frame.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Ticks of the track.
    pub timescale: Timescale,
    /// How long segments shall be.
    pub segment_duration: Nanos,
    /// How long parts shall be; the part target is the whole number of frames next to it.
    pub part_duration: Nanos,
    /// The frame duration the caps promise, if they do.
    pub frame_duration: Option<Nanos>,
    /// Audio has no composition offsets and needs no key frames.
    pub is_audio: bool,
    /// Other tracks share its time line: their media goes on to other ends than this one's, so that a new line leaves room.
    pub has_company: bool,
    /// What an earlier run of the same presentation fixed, if there was one; else it is found with the first segment.
    pub constants: Option<Constants>,
}

/// What the segmenter has to know of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Decode time.
    pub decode: RunningTime,
    /// Presentation time; when it was captured.
    pub presentation: RunningTime,
    /// What upstream says it lasts. Only believed until two frames have been seen.
    pub duration: Option<Nanos>,
    /// Whether decoding can start here (IDR or IRAP).
    pub is_sync: bool,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The frame enters the open part.
    Feed(Placement),
    /// The frame is left out.
    Drop(DropReason),
    /// The open part is complete.
    CutPart(Cut),
    /// The segment of the last part is complete.
    EndSegment(SegmentEnd),
    /// A key frame is wanted: at the first frame from this presentation time on, or at once.
    RequestKeyFrame(Option<RunningTime>),
    /// The leading track begins a segment: the border for all others.
    BeginSegment(NewBorder),
    /// A following track begins to be seen, with the segment of this number.
    Join(u64),
    /// A following track has nothing for a while, which follows its last part or opens a segment.
    Gap(Gap),
}

/// A hole in a following track that is too long to be bridged: its segments are numbered like the leader's all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Decode time it begins at, in ticks, as in [`Cut`].
    pub decode: i64,
    /// More than zero.
    pub duration: MediaTime,
    /// As in [`Cut`].
    pub date: RunningTime,
    /// As in [`Cut`].
    pub zero: RunningTime,
    /// Time or format jumped before it.
    pub is_discontinuity: bool,
}

/// What the leading track decides with the first frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBorder {
    /// Presentation time of the frame.
    pub presentation: RunningTime,
    /// The source's time at decode time 0.
    pub zero: RunningTime,
    /// Time or format jumped.
    pub is_discontinuity: bool,
}

/// Where a frame stands inside its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Decode time since the start of the part, in ticks.
    pub decode_in_part: i64,
    /// Presentation time minus decode time, in ticks.
    pub composition_offset: i64,
}

/// Why a frame was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Nothing can be decoded before the first key frame, nor after a discontinuity until the next.
    NoKeyFrameYet,
    /// The segment it would belong to began without this track; it joins with the next.
    BeforeJoining,
    /// Its decode time is not after that of the frame before.
    Backwards,
}

/// One sample of a finished part, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Time until the next sample's decode time.
    pub duration: i64,
    /// Presentation time minus decode time; negative where a border moved the decode time past it.
    pub composition_offset: i64,
    /// Whether decoding can start here.
    pub is_sync: bool,
}

/// A finished part.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// Decode time of its first sample since the start of the run, in ticks: the sum of all durations before it.
    pub decode: i64,
    /// Sum of the samples' durations.
    pub duration: MediaTime,
    /// At least one.
    pub samples: Vec<Sample>,
    /// When the first sample was captured.
    pub captured: RunningTime,
    /// `decode` as a moment of the source: the same distance from capture for every part until a discontinuity.
    pub date: RunningTime,
    /// The source's time at decode time 0: the same for all tracks between two discontinuities.
    pub zero: RunningTime,
    /// Time or format jumped before this part.
    pub is_discontinuity: bool,
}

impl Cut {
    /// Whether it holds a frame that decoding can start at (RFC 8216bis 4.4.4.9, INDEPENDENT).
    pub fn is_independent(&self) -> bool {
        self.samples.iter().any(|sample| sample.is_sync)
    }
}

/// Why and how a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// What made it end.
    pub cause: SegmentEndCause,
    /// Its length.
    pub duration: MediaTime,
    /// Set with the first segment and never again.
    pub constants: Option<Constants>,
}

/// What made a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentEndCause {
    /// A key frame came when one was due.
    KeyFrame,
    /// No key frame came, and another part might have broken EXT-X-TARGETDURATION.
    NoKeyFrame,
    /// Time or format jumped.
    Discontinuity,
    /// The leader's ended while this track had nothing.
    Gap,
    /// The stream is over.
    EndOfStream,
}

/// What every playlist of a run repeats: known with the first complete segment, fixed from then on (PL-09, PL-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constants {
    /// EXT-X-TARGETDURATION in seconds, at least 1 (RFC 8216bis 4.4.3.1).
    pub target_duration: u32,
    /// EXT-X-PART-INF PART-TARGET (4.4.3.7).
    pub part_target: MediaTime,
    /// Whether the parts of the first segment obey `part_target` and may be listed. They do not when the source turned out
    /// slower than its caps while that segment was cut.
    pub first_segment_has_parts: bool,
}
