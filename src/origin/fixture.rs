//! Streams made up for tests: video of 30 frames a second in parts of 0.2 s, audio of 48 kHz in parts of nine frames,
//! bytes that say which part they are.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::Origin;
use super::event::Event;
use super::media::{
    Constants, InitSection, NewGap, NewPart, Publication, RenditionId, RenditionKind,
    RenditionSettings, RunId,
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

/// Ticks of an audio frame, and of a second of audio.
pub(crate) const AUDIO_FRAME: i64 = 1024;
pub(crate) const AUDIO_TICKS: u32 = 48_000;

/// A part of nine frames, 0.192 s.
pub(crate) const AUDIO_CONSTANTS: Constants = Constants {
    target_duration: 1,
    part_target: audio_ticks(9 * AUDIO_FRAME),
    first_segment_has_parts: true,
};

/// The renditions of [`Presentation::of_video_and_audio`].
pub(crate) const VIDEO: RenditionId = RenditionId::MAIN;
pub(crate) const AUDIO: RenditionId = RenditionId(1);

pub(crate) const SETTINGS: WindowSettings = WindowSettings {
    playlist_length: 4,
    max_files: 5,
};

pub(crate) const fn ticks(ticks: i64) -> MediaTime {
    let timescale = Timescale::new(TICKS).expect("not zero");
    MediaTime { ticks, timescale }
}

pub(crate) const fn audio_ticks(ticks: i64) -> MediaTime {
    let timescale = Timescale::new(AUDIO_TICKS).expect("not zero");
    MediaTime { ticks, timescale }
}

pub(crate) fn run() -> RunId {
    RunId::new("run").unwrap()
}

/// One video.
pub(crate) fn renditions() -> Renditions {
    Renditions::new(vec![video("video")]).unwrap()
}

pub(crate) fn video(name: &str) -> RenditionSettings {
    RenditionSettings::new(RenditionKind::Video, name)
}

pub(crate) fn audio(name: &str) -> RenditionSettings {
    RenditionSettings::new(RenditionKind::Audio, name)
}

/// A format of the main rendition.
pub(crate) fn init(bytes: &'static str) -> Publication {
    Publication::Init(RenditionId::MAIN, video_init(bytes))
}

pub(crate) fn video_init(bytes: &'static str) -> InitSection {
    InitSection {
        bytes: Bytes::from_static(bytes.as_bytes()),
        codec: "avc1.64001f".to_owned(),
        resolution: Some((1280, 720)),
        frame_rate: Some((30, 1)),
        channels: None,
    }
}

pub(crate) fn audio_init(bytes: &'static str) -> InitSection {
    InitSection {
        bytes: Bytes::from_static(bytes.as_bytes()),
        codec: "mp4a.40.2".to_owned(),
        resolution: None,
        frame_rate: None,
        channels: Some(2),
    }
}

/// What part `number` of any rendition made here consists of.
pub(crate) fn part_bytes(number: u64) -> Bytes {
    Bytes::from(format!("<part {number}>"))
}

/// One track: what it publishes next.
pub(crate) struct Track {
    id: RenditionId,
    pub(crate) constants: Constants,
    /// Media time published so far.
    pub(crate) position: Nanos,
    /// Parts published so far.
    pub(crate) parts: u64,
    has_constants: bool,
    opens_segment: bool,
    is_discontinuity: bool,
}

impl Track {
    pub(crate) fn new(id: RenditionId, constants: Constants) -> Self {
        Self {
            id,
            constants,
            position: Nanos(0),
            parts: 0,
            has_constants: false,
            opens_segment: true,
            is_discontinuity: false,
        }
    }

    /// Audio parts are all independent; of a video's only the first of a segment is.
    pub(crate) fn next_part(&mut self, duration: MediaTime) -> Publication {
        let captured = START + self.position;
        let part = NewPart {
            bytes: part_bytes(self.parts),
            duration,
            is_independent: self.opens_segment
                || duration.timescale.ticks_per_second() == AUDIO_TICKS,
            captured,
            program_date_time: captured,
            is_discontinuity: std::mem::take(&mut self.is_discontinuity),
        };
        self.position = self.position + duration.nanos();
        self.parts += 1;
        self.opens_segment = false;
        Publication::Part(self.id, part)
    }

    /// A span without media.
    pub(crate) fn next_gap(&mut self, duration: MediaTime) -> Publication {
        let gap = NewGap {
            duration,
            program_date_time: START + self.position,
            is_discontinuity: std::mem::take(&mut self.is_discontinuity),
        };
        self.position = self.position + duration.nanos();
        self.opens_segment = false;
        Publication::Gap(self.id, gap)
    }

    pub(crate) fn segment_end(&mut self) -> Publication {
        let constants = (!self.has_constants).then_some(self.constants);
        self.has_constants = true;
        self.opens_segment = true;
        Publication::SegmentEnd(self.id, constants)
    }

    /// The next part comes after a gap.
    pub(crate) fn discontinuity(&mut self) {
        self.is_discontinuity = true;
    }
}

/// An origin and the video that feeds it, with a clock driven by hand.
pub(crate) struct Stream {
    pub(crate) origin: Origin,
    track: Track,
}

impl Deref for Stream {
    type Target = Track;

    fn deref(&self) -> &Track {
        &self.track
    }
}

impl DerefMut for Stream {
    fn deref_mut(&mut self) -> &mut Track {
        &mut self.track
    }
}

impl Stream {
    pub(crate) fn new(settings: WindowSettings, constants: Constants) -> Self {
        let mut stream = Self {
            origin: Origin::new(run(), &renditions(), settings),
            track: Track::new(RenditionId::MAIN, constants),
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
        let part = self.track.next_part(ticks(length));
        self.publish(part)
    }

    pub(crate) fn gap(&mut self, length: i64) -> Vec<Event> {
        let gap = self.track.next_gap(ticks(length));
        self.publish(gap)
    }

    pub(crate) fn parts(&mut self, count: u64) {
        for _ in 0..count {
            self.part();
        }
    }

    pub(crate) fn end_segment(&mut self) -> Vec<Event> {
        let end = self.track.segment_end();
        self.publish(end)
    }

    pub(crate) fn segment(&mut self, parts: u64) {
        self.parts(parts);
        self.end_segment();
    }

    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.publish(Publication::EndOfStream)
    }
}

/// An origin and several tracks that feed it.
pub(crate) struct Presentation {
    pub(crate) origin: Origin,
    pub(crate) renditions: Renditions,
    pub(crate) tracks: Vec<Track>,
}

impl Presentation {
    /// Each has its init section, and nothing else.
    pub(crate) fn new(settings: Vec<RenditionSettings>) -> Self {
        let renditions = Renditions::new(settings).unwrap();
        let mut presentation = Self {
            origin: Origin::new(run(), &renditions, SETTINGS),
            tracks: Vec::new(),
            renditions: renditions.clone(),
        };
        for (id, settings) in renditions.iter() {
            let (init, constants) = match settings.kind {
                RenditionKind::Video => (video_init("<init>"), CONSTANTS),
                RenditionKind::Audio => (audio_init("<audio init>"), AUDIO_CONSTANTS),
            };
            presentation.tracks.push(Track::new(id, constants));
            presentation.publish(Publication::Init(id, init));
        }
        presentation
    }

    pub(crate) fn of_video_and_audio() -> Self {
        Self::new(vec![video("video"), audio("audio")])
    }

    /// Everybody's segments, each of about a second: five parts of video, six of audio.
    pub(crate) fn with_segments(mut self, count: u64) -> Self {
        for _ in 0..count {
            for place in 0..self.tracks.len() {
                self.segment(RenditionId(place));
            }
        }
        self
    }

    pub(crate) fn track(&mut self, id: RenditionId) -> &mut Track {
        &mut self.tracks[id.0]
    }

    pub(crate) fn window(&self, id: RenditionId) -> &LiveWindow {
        self.origin.rendition(id).unwrap().window()
    }

    pub(crate) fn publish(&mut self, publication: Publication) -> Vec<Event> {
        let now = self.tracks.iter().map(|track| track.position).max();
        self.origin
            .publish(publication, START + now.unwrap_or_default())
    }

    pub(crate) fn part(&mut self, id: RenditionId) -> Vec<Event> {
        let target = self.track(id).constants.part_target;
        self.part_of(id, target)
    }

    pub(crate) fn part_of(&mut self, id: RenditionId, duration: MediaTime) -> Vec<Event> {
        let part = self.track(id).next_part(duration);
        self.publish(part)
    }

    pub(crate) fn gap(&mut self, id: RenditionId, span: Nanos) -> Vec<Event> {
        let track = self.track(id);
        let timescale = track.constants.part_target.timescale;
        let gap = track.next_gap(MediaTime {
            ticks: timescale.ticks(span),
            timescale,
        });
        self.publish(gap)
    }

    pub(crate) fn end_segment(&mut self, id: RenditionId) -> Vec<Event> {
        let end = self.track(id).segment_end();
        self.publish(end)
    }

    /// Five parts, and of audio a sixth of the two frames that are left of a second.
    pub(crate) fn segment(&mut self, id: RenditionId) -> Vec<Event> {
        for _ in 0..5 {
            self.part(id);
        }
        if self
            .track(id)
            .constants
            .part_target
            .timescale
            .ticks_per_second()
            == AUDIO_TICKS
        {
            self.part_of(id, audio_ticks(2 * AUDIO_FRAME));
        }
        self.end_segment(id)
    }
}
