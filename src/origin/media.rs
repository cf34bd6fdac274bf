//! What the sink publishes: the nouns that travel from the streaming thread to the origin.
//!
//! Belongs here: numbers a player sees, renditions, init sections, parts, the constants of a presentation.
//! Does not: which of them a playlist names (`window`), or how a request finds them (`delivery/`).

use std::fmt;

use bytes::Bytes;

pub use crate::cmaf::segmenter::Constants;
use crate::time::{MediaTime, UnixTime};

/// A Media Sequence Number (RFC 8216bis 3): counts segments, never falls, never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msn(pub u64);

impl Msn {
    /// What a presentation begins with. Any number is allowed (RFC 8216bis 4.4.3.2), but to hls.js a segment of number 0
    /// is none: each part of it that is appended makes it forget the others, which it then loads again.
    pub const FIRST: Self = Self(1);
}

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

/// The place of a rendition in its presentation, fixed for the run.
///
/// 0 is the main one: the first video, or else the first audio. Its media has the shortest names, and what all
/// playlists must say alike is taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenditionId(pub usize);

impl RenditionId {
    /// The main rendition.
    pub const MAIN: Self = Self(0);
}

/// What a rendition holds: one track, and so one kind of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenditionKind {
    /// A variant of its own in the multivariant playlist.
    Video,
    /// A member of the group all videos are heard with.
    Audio,
}

impl RenditionKind {
    /// `video` or `audio`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// What is known of a rendition before its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionSettings {
    /// What it holds.
    pub kind: RenditionKind,
    /// The name of its pad, such as `video_1`: ASCII letters, digits and underscores. URLs and messages carry it.
    pub name: String,
    /// What people are shown, EXT-X-MEDIA NAME; `name` when it is empty.
    pub label: String,
    /// A language tag of RFC 5646; `None` when it is not known.
    pub language: Option<String>,
    /// Whether it is played unless the viewer asks for another. Of several audios that say so the first one is; when
    /// none does, the first audio is.
    pub is_default: bool,
}

impl RenditionSettings {
    /// A rendition that is shown under the name of its pad and of which nothing else is known.
    pub fn new(kind: RenditionKind, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            kind,
            label: name.clone(),
            name,
            language: None,
            is_default: false,
        }
    }
}

/// What a stream says of itself in tags. Of use where the application has said nothing, and only until the rendition can be
/// seen: it does not change before people's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// EXT-X-MEDIA NAME.
    pub label: Option<String>,
    /// EXT-X-MEDIA LANGUAGE.
    pub language: Option<String>,
}

/// What the sink hands to the origin, in the order players shall see it.
#[derive(Clone, Debug)]
pub enum Publication {
    /// The first segment of this rendition in this run will have this number, counted from the run's first segment, which
    /// is that of the main rendition's segment of the same time. Only before its first part; without it that is 0. One that
    /// has segments of an earlier run has gaps up to there.
    Start(RenditionId, Msn),
    /// What is known of this rendition by now; what is `None` stays as it is. Ignored once the rendition is live.
    Description(RenditionId, Description),
    /// The initialization section of the parts that follow. One that differs from the last makes the next segment a
    /// discontinuity, which the sink has to mark in the other renditions (rule MV-11).
    Init(RenditionId, InitSection),
    /// The next part of this rendition, which opens a segment, needs another init section than the part before it. Only
    /// between a segment's end and that part; it is hinted until the init section comes, and withdrawn when a part comes
    /// without one (6.2.6). It does not stand in for the mark of a discontinuity.
    ComingInit(RenditionId),
    /// A part is complete.
    Part(RenditionId, NewPart),
    /// This rendition has no media for a span, which follows its last part or opens a segment (6.2.1).
    ///
    /// A hole over several segments takes one of these for each, and the end of each segment, so that numbers and
    /// durations go on as in the other renditions.
    Gap(RenditionId, NewGap),
    /// The segment of the last part is complete; the next part opens a new one.
    ///
    /// The constants come with the first segment and never again: they are fixed from then on (rules PL-09, PL-17).
    SegmentEnd(RenditionId, Option<Constants>),
    /// This rendition does not come in time: the presentation goes live without waiting for it any longer. Should it
    /// publish a segment later, it joins then.
    Absent(RenditionId),
    /// No more of this rendition; the others go on.
    ///
    /// Its playlist gets EXT-X-ENDLIST, because that is what the tag says: no more segments will be added (4.4.3.4). The
    /// multivariant playlist names it no longer, so that nobody who comes now begins with what is over.
    EndOfRendition(RenditionId),
    /// The source is gone, and another run goes on with this presentation: what is open ends, all renditions count on from
    /// the same number, and what comes next is a discontinuity. Nobody who waits is answered.
    EndOfRun,
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
    /// Frames a second as numerator and denominator, when it is video of a known rate.
    pub frame_rate: Option<(u32, u32)>,
    /// How many channels, when it is audio.
    pub channels: Option<u32>,
}

impl fmt::Debug for InitSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitSection")
            .field("bytes", &self.bytes.len())
            .field("codec", &self.codec)
            .field("resolution", &self.resolution)
            .field("frame_rate", &self.frame_rate)
            .field("channels", &self.channels)
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
    /// Timestamps, tracks or format changed before this part. Only ever set on a part that opens a segment, and in all
    /// renditions on the segment of the same number (rule MV-11).
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

/// A span without media. The origin lists it as parts that are not there, as many as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGap {
    /// From the end of the last part to the next one, or to the end of the segment.
    pub duration: MediaTime,
    /// PROGRAM-DATE-TIME of its beginning; what the segment carries which it opens.
    pub program_date_time: UnixTime,
    /// As in [`NewPart::is_discontinuity`]: others may have one where this rendition has nothing.
    pub is_discontinuity: bool,
}
