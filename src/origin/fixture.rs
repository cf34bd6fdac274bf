//! A stream made up for tests: 30 frames a second, parts of 0.2 s, bytes that say which part they are.

use bytes::Bytes;

use super::Origin;
use super::event::Event;
use super::media::{
    Constants, InitSection, NewPart, Publication, RenditionId, RenditionKind, RenditionSettings,
    RunId,
};
use super::rendition::Renditions;
use super::window::{LiveWindow, WindowSettings};
use crate::time::{MediaTime, Nanos, Timescale, UnixTime};

/// Ticks of a second.
pub(crate) const TICKS: u32 = 30_000;

/// Ticks of a part of 0.2 s.
pub(crate) const PART: i64 = 6000;

/// 2026-08-01T12:00:00Z, when the first frame was captured.
pub(crate) const START: UnixTime = UnixTime(1_785_585_600_000_000_000);

pub(crate) const CONSTANTS: Constants = Constants {
    target_duration: 1,
    part_target: ticks(PART),
    first_segment_has_parts: true,
};

pub(crate) const SETTINGS: WindowSettings = WindowSettings {
    playlist_length: 4,
    max_files: 5,
};

pub(crate) const fn ticks(ticks: i64) -> MediaTime {
    let timescale = Timescale::new(TICKS).expect("not zero");
    MediaTime { ticks, timescale }
}

pub(crate) fn run() -> RunId {
    RunId::new("run").unwrap()
}

/// One video.
pub(crate) fn renditions() -> Renditions {
    Renditions::new(vec![RenditionSettings::new(RenditionKind::Video, "video")]).unwrap()
}

pub(crate) fn init(bytes: &'static str) -> Publication {
    Publication::Init(
        RenditionId::MAIN,
        InitSection {
            bytes: Bytes::from_static(bytes.as_bytes()),
            codec: "avc1.64001f".to_owned(),
            resolution: Some((1280, 720)),
            frame_rate: Some((30, 1)),
            channels: None,
        },
    )
}

/// What part `number` of any stream made here consists of.
pub(crate) fn part_bytes(number: u64) -> Bytes {
    Bytes::from(format!("<part {number}>"))
}

/// An origin and the stream that feeds it, with a clock driven by hand.
pub(crate) struct Stream {
    pub(crate) origin: Origin,
    pub(crate) constants: Constants,
    /// Media time published so far.
    pub(crate) position: Nanos,
    /// Parts published so far.
    pub(crate) parts: u64,
    has_constants: bool,
    opens_segment: bool,
    is_discontinuity: bool,
}

impl Stream {
    pub(crate) fn new(settings: WindowSettings, constants: Constants) -> Self {
        let mut stream = Self {
            origin: Origin::new(run(), &renditions(), settings),
            constants,
            position: Nanos(0),
            parts: 0,
            has_constants: false,
            opens_segment: true,
            is_discontinuity: false,
        };
        stream.publish(init("<init>"));
        stream
    }

    /// Segments of five parts of 0.2 s.
    pub(crate) fn with_segments(count: u64) -> Self {
        let mut stream = Self::new(SETTINGS, CONSTANTS);
        for _ in 0..count {
            stream.segment(5);
        }
        stream
    }

    /// The moment at which all that is published has been captured.
    pub(crate) fn now(&self) -> UnixTime {
        START + self.position
    }

    /// The only window.
    pub(crate) fn window(&self) -> &LiveWindow {
        self.origin.main().window()
    }

    pub(crate) fn publish(&mut self, publication: Publication) -> Vec<Event> {
        let now = self.now();
        self.origin.publish(publication, now)
    }

    pub(crate) fn part(&mut self) -> Vec<Event> {
        self.part_of(PART)
    }

    pub(crate) fn part_of(&mut self, length: i64) -> Vec<Event> {
        let captured = self.now();
        let duration = ticks(length);
        let part = NewPart {
            bytes: part_bytes(self.parts),
            duration,
            is_independent: self.opens_segment,
            captured,
            program_date_time: captured,
            is_discontinuity: std::mem::take(&mut self.is_discontinuity),
        };
        self.position = self.position + duration.nanos();
        self.parts += 1;
        self.opens_segment = false;
        self.publish(Publication::Part(RenditionId::MAIN, part))
    }

    pub(crate) fn parts(&mut self, count: u64) {
        for _ in 0..count {
            self.part();
        }
    }

    pub(crate) fn end_segment(&mut self) -> Vec<Event> {
        let constants = (!self.has_constants).then_some(self.constants);
        self.has_constants = true;
        self.opens_segment = true;
        self.publish(Publication::SegmentEnd(RenditionId::MAIN, constants))
    }

    pub(crate) fn segment(&mut self, parts: u64) {
        self.parts(parts);
        self.end_segment();
    }

    /// The next part comes after a gap.
    pub(crate) fn discontinuity(&mut self) {
        self.is_discontinuity = true;
    }

    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.publish(Publication::EndOfStream)
    }
}
