//! The live window of one rendition: which segments and parts exist, which of them the playlist lists, which can
//! still be fetched.
//!
//! Belongs here: numbering, the order of publications, removal from the playlist and from memory.
//! Does not: the text of a playlist (`delivery/playlist`), when a blocked request may go (`delivery`).
//! Spans without media are in `window/gap`.
//! Called by [`super::Origin`], which owns one for each rendition and says when its playlist may be shown.

mod gap;
mod view;

use std::collections::VecDeque;

use bytes::Bytes;

use super::bandwidth::{Bandwidth, Weight};
use super::event::{Event, Violation};
use super::media::{Constants, InitSection, Msn, NewPart, PartIndex, PartNumber};
use super::name::{InitNumber, MediaName, MediaNames};
use crate::time::{MediaTime, Nanos, UnixTime};

/// Whole target durations that stay listed whatever is removed (rule PL-12).
const MIN_LISTED_TARGET_DURATIONS: i64 = 3;

/// Part tags further than this from the end of the playlist are dropped (rule PL-36), and parts stay fetchable for as
/// long after that (rule PL-37).
const PART_TARGET_DURATIONS: i64 = 3;

/// Whole target durations from the end of a playlist to its Skip Boundary: the fewest there may be (rule PL-26).
const SKIP_BOUNDARY_TARGET_DURATIONS: u32 = 6;

/// How much a window lists and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// Complete segments a playlist lists; more of them while they are short (rule PL-12).
    pub playlist_length: usize,
    /// Complete segments kept in memory; never less than twice what the playlist lists (rules PL-37, PL-38).
    pub max_files: usize,
}

/// The newest part, by the numbers a player asks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveEdge {
    /// The segment it is in.
    pub msn: Msn,
    /// Its place there.
    pub part: PartIndex,
}

/// Counts visible changes of the playlist. 0: there is no playlist yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A part with its place in the window.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its running number, and so its name.
    pub number: PartNumber,
    /// `moof` and `mdat`; nothing when it is a gap.
    pub bytes: Bytes,
    /// Sum of its samples' durations.
    pub duration: MediaTime,
    /// Whether it holds an independent frame.
    pub is_independent: bool,
    /// Whether there is no media for it, and only its name and its duration (4.4.4.9, GAP).
    pub is_gap: bool,
    /// When its first sample was captured.
    pub captured: UnixTime,
    /// When it could first be fetched.
    pub published: UnixTime,
}

/// A run of parts; its bytes are theirs, in order (rule MR-05).
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number, and so its name.
    pub msn: Msn,
    /// Never empty.
    pub parts: Vec<Part>,
    /// The init section it needs.
    pub init: InitNumber,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub is_discontinuity: bool,
    /// Of its first part.
    pub program_date_time: UnixTime,
    /// Sum of its parts' durations.
    pub duration: MediaTime,
    /// When it was complete; `None` while parts may still be appended.
    pub completed: Option<UnixTime>,
}

impl Segment {
    /// Bytes of all parts together.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }

    /// Whether any of its media is missing, so that it cannot be fetched as a whole (4.4.4.7).
    pub fn is_gap(&self) -> bool {
        self.parts.iter().any(|part| part.is_gap)
    }

    /// When its first sample was captured.
    pub fn captured(&self) -> UnixTime {
        self.parts
            .first()
            .map_or(self.program_date_time, |part| part.captured)
    }
}

/// Everything published that can still be asked for.
#[derive(Clone, Debug)]
pub struct LiveWindow {
    settings: WindowSettings,
    /// What the rendition is called, for events.
    rendition: String,
    names: MediaNames,
    /// Oldest first; the last one is what the next segment needs.
    inits: VecDeque<(InitNumber, InitSection)>,
    next_init: InitNumber,
    /// The sink said that the next part needs an init section that has not come yet.
    awaits_init: bool,
    /// Complete segments in memory, oldest first; the listed ones are at the back.
    segments: VecDeque<Segment>,
    /// The segment parts are appended to; `None` between a segment's end and the next part.
    open: Option<Segment>,
    first_msn: Msn,
    next_msn: Msn,
    next_part: PartNumber,
    /// The oldest segment the playlist lists.
    first_listed: Msn,
    /// DISCONTINUITY tags that left the playlist (rule PL-39).
    discontinuity_sequence: u64,
    /// Set with the first segment.
    constants: Option<Constants>,
    /// The duration of that segment: what is reckoned from it never changes.
    first_duration: Nanos,
    /// Whether there is a playlist: the presentation is live, and so is this rendition in it.
    is_live: bool,
    /// The oldest segment whose parts may be listed.
    first_with_parts: Msn,
    /// The longest playlist so far: a removed segment stays that long (rule PL-38).
    longest_playlist: Nanos,
    bandwidth: Bandwidth,
    /// The others had a discontinuity where this rendition's first segment is.
    joins_at_discontinuity: bool,
    /// The number of the first segment of this run, in all renditions.
    first_of_run: Msn,
    /// The next segment is the first of a run that goes on with the presentation of another.
    begins_run: bool,
    is_ended: bool,
    version: Version,
}

/// Where a rendition joins others, as far as discontinuities go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joint {
    /// Those before the segment it joins with.
    pub(super) discontinuities_before: u64,
    /// Whether that segment itself is one.
    pub(super) is_discontinuity: bool,
}

impl LiveWindow {
    /// An empty window of the rendition called `rendition`.
    pub fn new(settings: WindowSettings, rendition: String, names: MediaNames) -> Self {
        Self {
            rendition,
            names,
            settings: WindowSettings {
                playlist_length: settings.playlist_length.max(1),
                max_files: settings.max_files,
            },
            inits: VecDeque::new(),
            next_init: InitNumber(0),
            awaits_init: false,
            segments: VecDeque::new(),
            open: None,
            first_msn: Msn::FIRST,
            next_msn: Msn::FIRST,
            next_part: PartNumber(0),
            first_listed: Msn::FIRST,
            discontinuity_sequence: 0,
            constants: None,
            first_duration: Nanos(0),
            is_live: false,
            first_with_parts: Msn::FIRST,
            longest_playlist: Nanos(0),
            bandwidth: Bandwidth::default(),
            joins_at_discontinuity: false,
            first_of_run: Msn::FIRST,
            begins_run: false,
            is_ended: false,
            version: Version(0),
        }
    }

    /// The first segment will be `msn`.
    pub(super) fn start(&mut self, msn: Msn) -> Result<(), Violation> {
        self.check_going_on()?;
        if self.has_begun() {
            return Err(Violation::StartAfterBegin);
        }
        // Of those who were there before it it learns what is a discontinuity.
        self.begins_run &= msn == self.first_of_run;
        self.first_msn = msn;
        self.next_msn = msn;
        self.first_listed = msn;
        Ok(())
    }

    /// The source is gone. What is open ends; what nobody could see because the constants never came is forgotten, for it may
    /// not keep to those of the next run.
    pub(super) fn end_run(&mut self, now: UnixTime, events: &mut Vec<Event>) {
        if self.is_ended {
            return;
        }
        if self.open.is_some() {
            // There is a part, so there is a segment to end.
            let _ = self.end_segment(None, now, events);
        }
        if self.constants.is_none() {
            self.segments.clear();
            self.first_msn = self.next_msn;
            self.first_listed = self.next_msn;
        }
    }

    /// The next run begins with segment `msn`, in all renditions.
    pub(super) fn begin_run(&mut self, msn: Msn) {
        if !self.has_begun() {
            self.first_msn = msn;
            self.next_msn = msn;
            self.first_listed = msn;
        }
        self.first_of_run = msn;
        self.begins_run = true;
        self.awaits_init = false;
        self.bump();
    }

    /// The number of the first segment of this run.
    pub(super) fn first_of_run(&self) -> Msn {
        self.first_of_run
    }

    /// Whether it has no part of this run, and had one of an earlier one.
    pub(super) fn begins_run(&self) -> bool {
        self.begins_run
    }

    /// A rendition that joins others takes over how they count discontinuities (rule MV-11): how many they had before
    /// its first segment, and whether that segment is one.
    pub(super) fn align(&mut self, joint: Joint) {
        self.discontinuity_sequence = joint.discontinuities_before;
        self.joins_at_discontinuity = joint.is_discontinuity;
    }

    /// How a rendition that begins with `msn` has to count to agree with this one.
    pub(super) fn joint(&self, msn: Msn) -> Joint {
        let tags = |segments: &mut dyn Iterator<Item = &Segment>| {
            segments.filter(|segment| segment.is_discontinuity).count() as u64
        };
        let later = tags(
            &mut self
                .segments
                .iter()
                .filter(|segment| msn <= segment.msn && segment.msn < self.first_listed),
        );
        let earlier = tags(
            &mut self
                .listed()
                .chain(self.open())
                .filter(|segment| segment.msn < msn),
        );
        let same = self
            .segment(msn)
            .or_else(|| self.open().filter(|open| open.msn == msn));
        Joint {
            discontinuities_before: (self.discontinuity_sequence + earlier).saturating_sub(later),
            is_discontinuity: same.is_some_and(|segment| segment.is_discontinuity),
        }
    }

    /// Whether it has a part.
    pub(super) fn has_begun(&self) -> bool {
        self.open.is_some() || self.next_msn != self.first_msn
    }

    /// The constants as the sink gave them, whether or not there is a playlist yet.
    pub(super) fn fixed_constants(&self) -> Option<&Constants> {
        self.constants.as_ref()
    }

    /// There is a playlist from now on, with the TARGETDURATION of the whole presentation (rule MV-09). Only once the
    /// constants are there.
    pub(super) fn go_live(&mut self, target_duration: u32, events: &mut Vec<Event>) {
        let Some(constants) = &mut self.constants else {
            return;
        };
        if constants.target_duration != target_duration {
            let other = Violation::OtherTargetDuration(constants.target_duration);
            constants.target_duration = target_duration;
            self.tell(other, events);
        }
        self.is_live = true;
        self.bump();
        events.push(Event::PlaylistStarted {
            rendition: self.rendition.clone(),
        });
    }

    fn tell(&self, violation: Violation, events: &mut Vec<Event>) {
        events.push(Event::Violation {
            rendition: self.rendition.clone(),
            violation,
        });
    }

    fn check_going_on(&self) -> Result<(), Violation> {
        if self.is_ended {
            Err(Violation::AfterEnd)
        } else {
            Ok(())
        }
    }

    /// The next part needs an init section that is yet to come.
    pub(super) fn announce_init(&mut self) -> Result<(), Violation> {
        self.check_going_on()?;
        if !self.may_change_init() {
            return Err(Violation::InitInsideSegment);
        }
        self.awaits_init = true;
        self.bump();
        Ok(())
    }

    pub(super) fn publish_init(
        &mut self,
        init: InitSection,
        events: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        self.check_going_on()?;
        if !self.may_change_init() {
            return Err(Violation::InitInsideSegment);
        }
        if std::mem::take(&mut self.awaits_init) {
            self.bump();
        }
        // The same boxes again need no second name: players would fetch and re-open for nothing.
        if matches!(self.inits.back(), Some((_, current)) if current.bytes == init.bytes) {
            return Ok(());
        }
        let number = self.next_init;
        self.next_init.0 += 1;
        events.push(Event::InitPublished {
            rendition: self.rendition.clone(),
            name: self.names.write(MediaName::Init(number)),
            codec: init.codec.clone(),
            resolution: init.resolution,
            size: init.bytes.len(),
        });
        self.inits.push_back((number, init));
        if let Some(open) = &mut self.open {
            open.init = number;
        }
        Ok(())
    }

    /// Whether nothing needs the current init section any more: between segments, and in one that begins with a
    /// discontinuity and has been nothing but a gap so far.
    fn may_change_init(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.is_discontinuity && open.parts.iter().all(|part| part.is_gap))
    }

    pub(super) fn publish_part(
        &mut self,
        part: NewPart,
        now: UnixTime,
        events: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        self.check_going_on()?;
        let Some(&(init, _)) = self.inits.back() else {
            return Err(Violation::PartBeforeInit);
        };
        if part.duration.ticks <= 0 {
            return Err(Violation::PartWithoutDuration);
        }
        self.check_continues(part.duration, part.is_discontinuity, events)?;
        let number = self.next_part;
        if let Some(constants) = &self.constants
            && part.duration.nanos() > constants.part_target.nanos()
        {
            self.tell(Violation::PartLongerThanTarget(number), events);
        }

        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let (date, is_discontinuity) = (part.program_date_time, part.is_discontinuity);
                self.open_segment(init, part.duration, date, is_discontinuity, events)
            }
        };
        events.push(Event::PartPublished {
            rendition: self.rendition.clone(),
            name: self.names.write(MediaName::Part(number)),
            number,
            segment: self.names.write(MediaName::Segment(open.msn)),
            size: part.bytes.len(),
            duration: part.duration,
            captured: part.captured,
            published: now,
            is_independent: part.is_independent,
        });
        open.duration += part.duration;
        open.parts.push(Part {
            number,
            bytes: part.bytes,
            duration: part.duration,
            is_independent: part.is_independent,
            is_gap: false,
            captured: part.captured,
            published: now,
        });
        self.open = Some(open);
        self.next_part.0 += 1;
        self.bump();
        Ok(())
    }

    /// Whether something of this duration may follow what the open segment, if there is one, already has.
    fn check_continues(
        &self,
        duration: MediaTime,
        is_discontinuity: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        if let Some(open) = &self.open {
            if open.duration.timescale != duration.timescale {
                return Err(Violation::TimescaleInsideSegment);
            }
            if is_discontinuity {
                self.tell(Violation::DiscontinuityInsideSegment, events);
            }
        }
        Ok(())
    }

    /// The next segment, yet without parts; the first one lasts `duration`.
    fn open_segment(
        &mut self,
        init: InitNumber,
        duration: MediaTime,
        program_date_time: UnixTime,
        is_discontinuity: bool,
        events: &mut Vec<Event>,
    ) -> Segment {
        self.awaits_init = false;
        // A new format is a discontinuity whether the sink says so or not (4.4.4.3), except before anything at all was
        // listed.
        let is_new_format = self.segments.back().is_some_and(|last| last.init != init);
        let msn = self.next_msn;
        let is_joint = std::mem::take(&mut self.joins_at_discontinuity);
        let begins_run = std::mem::take(&mut self.begins_run);
        let is_discontinuity =
            (is_discontinuity || is_new_format || is_joint || begins_run) && msn != Msn::FIRST;
        if is_discontinuity {
            events.push(Event::Discontinuity {
                rendition: self.rendition.clone(),
                segment: self.names.write(MediaName::Segment(msn)),
                msn,
                program_date_time,
            });
        }
        Segment {
            msn,
            parts: Vec::new(),
            init,
            is_discontinuity,
            program_date_time,
            duration: MediaTime::zero(duration.timescale),
            completed: None,
        }
    }

    pub(super) fn end_segment(
        &mut self,
        constants: Option<Constants>,
        now: UnixTime,
        events: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        self.check_going_on()?;
        let Some(mut segment) = self.open.take() else {
            return Err(Violation::EmptySegment);
        };
        segment.completed = Some(now);
        self.next_msn.0 += 1;
        if let Some(constants) = constants {
            self.fix_constants(constants, &segment, events);
        }
        events.push(self.completed(&segment, now));
        if let Some(constants) = &self.constants
            && segment.duration.to_units_nearest(1) > i64::from(constants.target_duration)
        {
            self.tell(Violation::SegmentLongerThanTarget(segment.msn), events);
        }
        let has_media = segment.media_duration() > Nanos(0);
        self.segments.push_back(segment);
        if has_media {
            let newest_first = self.segments.iter().rev().map(|segment| Weight {
                bytes: segment.size() as u64,
                duration: segment.media_duration(),
            });
            self.bandwidth.record(newest_first, self.target_duration());
        }
        self.unlist();
        self.evict();
        self.bump();
        Ok(())
    }

    /// What is told of a complete segment.
    fn completed(&self, segment: &Segment, now: UnixTime) -> Event {
        let rendition = self.rendition.clone();
        let name = self.names.write(MediaName::Segment(segment.msn));
        if segment.is_gap() {
            return Event::Gap {
                rendition,
                name,
                msn: segment.msn,
                duration: segment.duration,
                missing: segment.missing_duration(),
                program_date_time: segment.program_date_time,
            };
        }
        Event::SegmentPublished {
            rendition,
            name,
            msn: segment.msn,
            size: segment.size(),
            duration: segment.duration,
            program_date_time: segment.program_date_time,
            captured: segment.captured(),
            published: now,
            parts: segment.parts.len(),
        }
    }

    fn fix_constants(&mut self, constants: Constants, segment: &Segment, events: &mut Vec<Event>) {
        if let Some(fixed) = &self.constants {
            if *fixed != constants {
                self.tell(Violation::ConstantsChanged, events);
            }
            return;
        }
        if constants.target_duration == 0 || constants.part_target.ticks <= 0 {
            self.tell(Violation::ConstantsWithoutLength, events);
            return;
        }
        if !constants.first_segment_has_parts {
            self.first_with_parts = Msn(segment.msn.0 + 1);
        }
        self.first_duration = segment.duration.nanos();
        self.constants = Some(constants);
    }

    /// Nothing more will come.
    pub(super) fn end(&mut self, now: UnixTime, events: &mut Vec<Event>) -> Result<(), Violation> {
        self.check_going_on()?;
        // Rule PL-42: the last short segment is published before the list is closed.
        if self.open.is_some() {
            self.end_segment(None, now, events)?;
        }
        self.is_ended = true;
        self.bump();
        events.push(Event::RenditionEnded {
            rendition: self.rendition.clone(),
        });
        Ok(())
    }

    /// Takes segments off the front of the playlist.
    fn unlist(&mut self) {
        let Some(target_duration) = self.target_duration() else {
            return;
        };
        let mut duration = duration_of(self.listed());
        let mut count = self.listed().len();
        self.longest_playlist = self.longest_playlist.max(duration);
        while count > self.settings.playlist_length
            && let Some(front) = self.segment(self.first_listed)
        {
            let had_tag = front.is_discontinuity;
            let rest = Nanos(duration.0 - front.duration.nanos().0);
            // Rule PL-12: three target durations of whole segments remain.
            if rest.0 < target_duration.0 * MIN_LISTED_TARGET_DURATIONS {
                break;
            }
            // Rule PL-39: a tag that leaves is counted.
            self.discontinuity_sequence += u64::from(had_tag);
            self.first_listed.0 += 1;
            duration = rest;
            count -= 1;
        }
    }

    /// Lets go of segments no player can still be after, counting in media time: a wall clock may jump.
    fn evict(&mut self) {
        let Some(target_duration) = self.target_duration() else {
            // Nothing was ever listed; only memory counts.
            while self.segments.len() > self.settings.max_files.max(1) {
                self.segments.pop_front();
                self.first_listed.0 += 1;
            }
            self.evict_inits();
            return;
        };
        let kept = self.settings.max_files.max(2 * self.listed().len());
        let mut after_front = duration_of(self.segments.iter());
        while self.segments.len() > kept
            && let Some(front) = self.segments.front()
        {
            let own = front.duration.nanos();
            after_front = Nanos(after_front.0 - own.0);
            // Rule PL-38: its own length plus the longest playlist after it appeared. Rule PL-37: its last part was
            // listed at most until the segment was removed, and stays three target durations.
            let promised =
                own.0 + self.longest_playlist.0 + target_duration.0 * PART_TARGET_DURATIONS;
            if after_front.0 < promised {
                break;
            }
            self.segments.pop_front();
        }
        self.evict_inits();
    }

    fn evict_inits(&mut self) {
        let Some(oldest) = self.segments.front().map(|segment| segment.init) else {
            return;
        };
        while self.inits.len() > 1
            && self
                .inits
                .front()
                .is_some_and(|(number, _)| *number < oldest)
        {
            self.inits.pop_front();
        }
    }

    /// A visible change of the playlist happened; before there is a playlist nothing is visible.
    fn bump(&mut self) {
        if self.is_live {
            self.version.0 += 1;
        }
    }

    fn target_duration(&self) -> Option<Nanos> {
        self.constants
            .map(|constants| Nanos::from_seconds(i64::from(constants.target_duration)))
    }
}

fn first_number(segment: &Segment) -> PartNumber {
    // A segment is only ever made together with its first part.
    segment
        .parts
        .first()
        .map_or(PartNumber(u64::MAX), |part| part.number)
}

fn duration_of<'a>(segments: impl Iterator<Item = &'a Segment>) -> Nanos {
    segments.fold(Nanos(0), |sum, segment| sum + segment.duration.nanos())
}

#[cfg(test)]
mod tests;
