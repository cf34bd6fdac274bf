//! Says where a part and a segment end, and what the decode time of every sample is.
//!
//! Belongs here: the decode timeline of one track, the rules for part and segment borders, the grid of key-frame requests.
//! Does not: bytes (`moof`), pads and the muxer (`sink/`). Every frame is one call of [`Segmenter::push`]; what it answers is
//! a list of [`Step`]s to carry out in order.
//!
//! The decode timeline has no holes (rule CM-09): each sample begins where the one before it ended. Inside a part samples
//! keep their own decode times; at a part border the new sample is moved to the border, its duration absorbs the
//! difference, and its presentation time stays what it was, through the composition offset.

use std::collections::VecDeque;

mod absence;
mod joining;
mod lengths;
mod parts;
mod terms;

use absence::Missing;
pub use terms::{
    Constants, Cut, DropReason, Frame, Gap, NewBorder, Placement, Plan, Sample, SegmentEnd,
    SegmentEndCause, Step,
};

use super::conductor::Border;
use crate::time::{MediaTime, NANOS_PER_SECOND, Nanos, RunningTime, Timescale};

/// The longest hole between two frames that is bridged by longer samples; a longer one becomes a discontinuity.
///
/// While a hole is bridged, decode time runs behind the source and catches up with parts of one stretched sample each. A
/// second of that plays smoothly; more would make players buffer against a timeline that no longer means much.
pub const LONGEST_BRIDGED_HOLE: Nanos = Nanos::from_seconds(1);

/// A first segment whose key frame does not come is cut here: nothing is published before it is complete.
pub const LONGEST_FIRST_SEGMENT: Nanos = Nanos::from_seconds(15);

/// How many segments ahead key frames are asked for, so that an encoder with a look-ahead still hears in time.
const REQUESTED_SEGMENTS_AHEAD: i64 = 3;

/// How long frames are dropped after a discontinuity while waiting for a key frame, before starting without one (a
/// stream with periodic intra refresh has none).
const LONGEST_WAIT_FOR_KEY_FRAME: Nanos = Nanos::from_seconds(5);

/// How much shorter than allowed a segment is kept, for the followers' sake: two frames of audio and some.
const SPARE_FOR_FOLLOWERS: Nanos = Nanos::from_millis(120);

/// How much decode time is left free where time jumps back: as much as followers may go on with what was before, and some.
const ROOM_FOR_FOLLOWERS: Nanos = Nanos::from_millis(1500);

/// A line that begins anew at most this much before the end of the old one goes on, for want of a jump.
const SHORT_STEP_BACK: Nanos = Nanos::from_millis(200);

/// How many distances between frames are remembered: few enough to follow a camera into the dark within a second.
const REMEMBERED_SPACINGS: usize = 8;

/// A part is never closed short of this share of PART-TARGET, in per cent, unless its segment ends. The rule (PL-16) says
/// 85; the rest is for the rounding of printed digits.
const SHORTEST_PART_PERCENT: i64 = 90;

/// Who says where segments begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guide {
    /// This track.
    Lead,
    /// The leading track: the next border it set, if it has.
    Follow(Option<Border>),
}

/// The decode timeline of one track and the borders on it. See the module's documentation.
#[derive(Debug)]
pub struct Segmenter {
    plan: Plan,
    /// How source time becomes decode time. `None` until a key frame starts (or restarts) the line.
    line: Option<Line>,
    /// The line it left last.
    left: Option<Line>,
    /// The track has had nothing for longer than is bridged, and joins again when it has.
    missing: Option<Missing>,
    part: Option<OpenPart>,
    segment: Option<OpenSegment>,
    /// Decode time where the last closed part ended.
    end: i64,
    /// Decode time of the newest frame, as upstream said it.
    newest: Option<RunningTime>,
    /// Ticks between the newest frames, the oldest first; at most [`REMEMBERED_SPACINGS`].
    spacings: VecDeque<i64>,
    part_target: Option<i64>,
    constants: Option<Constants>,
    /// EXT-X-TARGETDURATION of the presentation, if another track has fixed it.
    given_target_duration: Option<u32>,
    /// What it has to be at least, if it is this track that fixes it.
    least_target_duration: u32,
    /// Number of the segment it is in.
    number: Option<u64>,
    /// The next part is the first after a jump.
    is_discontinuity: bool,
    /// The next segment of this, the leading, track is a discontinuity, because a follower's is.
    breaks_next: bool,
    /// Its format has changed, and there was no discontinuity of all tracks since.
    awaits_break: bool,
    /// The number of the segment that begins with the next frame, because the last part was closed for it.
    foreseen: Option<u64>,
    /// Decode time of the first frame dropped for want of a key frame.
    waiting_since: Option<RunningTime>,
    /// Decode time at which a key frame was last asked for at once: once a second until it comes.
    last_plea: Option<RunningTime>,
    /// Presentation time of the line's first frame: key frames are asked for at whole segments after it.
    grid: Option<RunningTime>,
    /// Presentation time of the next key frame to ask for.
    next_request: Option<RunningTime>,
    /// How much before a point of the grid key frames are asked for, and count as being on it. Set with the first request
    /// and never again: what was asked for must be recognised when it comes, however the spacing changed meanwhile.
    early: Option<Nanos>,
}

/// Source time against decode time, between two discontinuities.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The source's time at decode time `ticks`.
    source: RunningTime,
    ticks: i64,
    /// How far the first frame's presentation was behind its decode time.
    first_offset: Nanos,
}

#[derive(Debug)]
struct OpenPart {
    start: i64,
    /// Decode time of the last sample; its duration is still open.
    last: i64,
    samples: Vec<Sample>,
    captured: RunningTime,
    is_discontinuity: bool,
}

#[derive(Clone, Copy, Debug)]
struct OpenSegment {
    start: i64,
    starts_with_sync: bool,
    frames: i64,
    /// The source's decode time of its first frame.
    source: RunningTime,
    /// The point of the request grid where it should end.
    next_on_grid: RunningTime,
}

impl Segmenter {
    /// A track that has not seen a frame.
    pub fn new(plan: Plan) -> Self {
        let fixed = plan.constants.map(|constants| {
            let per_second = plan.timescale.ticks_per_second();
            constants.part_target.to_units_floor(per_second)
        });
        let promised = plan
            .frame_duration
            .map(|frame| part_target(&plan, plan.timescale.ticks(frame)));
        Self {
            plan,
            line: None,
            left: None,
            missing: None,
            part: None,
            segment: None,
            end: 0,
            newest: None,
            spacings: VecDeque::with_capacity(REMEMBERED_SPACINGS),
            part_target: fixed.or(promised),
            constants: plan.constants,
            given_target_duration: None,
            least_target_duration: 0,
            number: None,
            is_discontinuity: false,
            breaks_next: false,
            awaits_break: false,
            foreseen: None,
            waiting_since: None,
            last_plea: None,
            grid: None,
            next_request: None,
            early: None,
        }
    }

    /// Takes the next frame of the leading track, in decode order.
    pub fn push(&mut self, frame: Frame) -> Vec<Step> {
        self.take(frame, Guide::Lead)
    }

    /// Takes the next frame of a following track. `border` is the next one after its segment ([`Segmenter::number`]), if
    /// the leader has set it; before it has joined, the one to join at.
    pub fn push_following(&mut self, frame: Frame, border: Option<Border>) -> Vec<Step> {
        self.take(frame, Guide::Follow(border))
    }

    /// Whether the frame may be taken before a border just before it is known.
    pub fn may_run_ahead(&self, frame: &Frame) -> bool {
        self.plan.is_audio || !frame.is_sync
    }

    /// The number of the segment it is in; `None` before the first.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Whether its next part comes after an interruption.
    pub fn is_interrupted(&self) -> bool {
        self.is_discontinuity && self.line.is_none()
    }

    /// The segment the leading track has just begun has this number.
    pub fn begin(&mut self, number: u64) {
        self.number = Some(number);
    }

    /// Another track has fixed EXT-X-TARGETDURATION for all (rule MV-09).
    pub fn give_target_duration(&mut self, seconds: u32) {
        self.given_target_duration = Some(seconds);
    }

    /// Another track already has as much as this, in seconds, of the first segment.
    pub fn require_target_duration(&mut self, seconds: u32) {
        self.least_target_duration = seconds;
    }

    /// Another track was interrupted: the next segment this one leads is a discontinuity, though its own time goes on.
    pub fn break_next(&mut self) {
        self.breaks_next = true;
    }

    /// Whether it has nothing to give just now; see [`Segmenter::fall_silent`].
    pub fn is_missing(&self) -> bool {
        self.missing.is_some()
    }

    /// Whether it is on its line: frames are taken.
    pub fn is_going_on(&self) -> bool {
        self.line.is_some()
    }

    fn take(&mut self, frame: Frame, mut guide: Guide) -> Vec<Step> {
        let mut steps = Vec::with_capacity(4);
        if let Some(reason) = self.follow_source(&frame, &mut steps) {
            steps.push(Step::Drop(reason));
            return steps;
        }
        let Some(line) = self.line else {
            return match guide {
                Guide::Lead if self.missing.is_some() => self.lead_on(&frame, steps),
                Guide::Lead => self.await_key_frame(&frame, steps),
                Guide::Follow(border) => self.join(&frame, border, steps),
            };
        };
        let before = self.newest.replace(frame.decode);
        let wanted = line.decode(frame.decode, self.plan.timescale);
        self.find_part_target(&frame, wanted);

        if let Some(border) = self.due_border(&frame, before, guide) {
            if border.is_discontinuity {
                steps.append(&mut self.interrupt());
                return self.join(&frame, Some(border), steps);
            }
            self.number = Some(border.number);
            guide = Guide::Follow(None);
            self.close_part(wanted, PartBorder::Segment, &mut steps);
            self.end_segment(SegmentEndCause::KeyFrame, &mut steps);
        } else if guide == Guide::Lead && self.is_segment_border(&frame, wanted) {
            self.close_part(wanted, PartBorder::Segment, &mut steps);
            self.end_segment(SegmentEndCause::KeyFrame, &mut steps);
        } else if !self.fits(wanted) {
            self.close_part(wanted, PartBorder::Part, &mut steps);
            self.end_overlong_segment(&frame, guide, &mut steps);
        }
        if guide != Guide::Lead && self.would_be_overlong(&frame, wanted) {
            // The leader is in a hole, so there is no border to end the segment at.
            steps.push(Step::Drop(DropReason::BeforeJoining));
            return steps;
        }
        let decode = self.place(&frame, wanted, line, guide, &mut steps);
        // The part closes with its last frame, not when the next one has come: that frame's time is the latency.
        if let Some(expected) = self.expected_spacing(&frame) {
            if let Some(next) = self.foresees(&frame, expected, guide) {
                self.foreseen = Some(next);
                self.close_part(wanted + expected, PartBorder::Segment, &mut steps);
            } else if !self.fits_after(wanted, decode, expected) {
                self.close_part(wanted + expected, PartBorder::Part, &mut steps);
                self.end_overlong_segment(&frame, guide, &mut steps);
            }
        }
        steps
    }

    /// Ends the segment because the format changes; the next frame starts another with a discontinuity.
    pub fn interrupt(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.missing.is_some() {
            // Its segment goes on, without it, up to the leader's next.
            self.is_discontinuity = true;
            return steps;
        }
        self.close_open_end(&mut steps);
        self.end_segment(SegmentEndCause::Discontinuity, &mut steps);
        self.leave_line();
        steps
    }

    /// The same for another format, which needs an init section of its own: a follower goes on only where all tracks have a
    /// discontinuity (rule MV-11), because another EXT-X-MAP is one (4.4.4.3).
    pub fn change_format(&mut self) -> Vec<Step> {
        let steps = self.interrupt();
        self.awaits_break = self.is_discontinuity;
        steps
    }

    /// Whether it goes on only with a segment that begins with a discontinuity.
    pub fn awaits_break(&self) -> bool {
        self.awaits_break
    }

    /// Ends the stream: the last short part and segment (rule PL-42).
    pub fn finish(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.close_open_end(&mut steps);
        self.end_segment(SegmentEndCause::EndOfStream, &mut steps);
        self.line = None;
        self.missing = None;
        steps
    }

    /// Compares the frame with the one before: a hole or a jump leaves the line, a step back drops the frame.
    fn follow_source(&mut self, frame: &Frame, steps: &mut Vec<Step>) -> Option<DropReason> {
        let (Some(newest), Some(line)) = (self.newest, self.line) else {
            return None;
        };
        let advance = frame.decode - newest;
        if advance.0 <= 0 && -advance.0 < LONGEST_BRIDGED_HOLE.0 {
            // A key frame is worth keeping: it goes one tick after the frame before it. Sound is all key frames.
            let is_worth_it = frame.is_sync && !self.plan.is_audio;
            return (!is_worth_it).then_some(DropReason::Backwards);
        }
        if advance.0 <= 0 || self.hole_before(frame.decode, line) > LONGEST_BRIDGED_HOLE {
            steps.append(&mut self.interrupt());
        } else {
            if self.spacings.len() == REMEMBERED_SPACINGS {
                self.spacings.pop_front();
            }
            let spacing = self.plan.timescale.ticks(advance).max(1);
            self.spacings.push_back(spacing);
        }
        None
    }

    /// Whether a frame at `decode` would come after the newest on the same line, behind a hole that is bridged if there is one.
    pub fn bridges(&self, decode: RunningTime) -> bool {
        self.hole_ahead(decode)
            .is_some_and(|hole| hole <= LONGEST_BRIDGED_HOLE)
    }

    /// Whether a frame at `decode` would come after the newest, behind a longer hole than is bridged.
    pub fn jumps_ahead(&self, decode: RunningTime) -> bool {
        self.hole_ahead(decode)
            .is_some_and(|hole| hole > LONGEST_BRIDGED_HOLE)
    }

    /// Whether a frame at `decode` would come after a jump back.
    pub fn jumps_back(&self, decode: RunningTime) -> bool {
        let newest = self.newest.filter(|_| self.line.is_some());
        newest.is_some_and(|newest| newest - decode >= LONGEST_BRIDGED_HOLE)
    }

    /// The middle between the newest frame and one at `decode`.
    pub fn midway_to(&self, decode: RunningTime) -> Option<RunningTime> {
        let newest = self.newest?;
        Some(newest + Nanos((decode - newest).0 / 2))
    }

    /// The hole before a frame that comes after the newest on the same line.
    fn hole_ahead(&self, decode: RunningTime) -> Option<Nanos> {
        let (line, newest) = self.line.zip(self.newest)?;
        (decode > newest).then(|| self.hole_before(decode, line))
    }

    /// From where the open part ends at the latest.
    fn hole_before(&self, decode: RunningTime, line: Line) -> Nanos {
        let timescale = self.plan.timescale;
        let latest_end = match (&self.part, self.part_target) {
            (Some(part), Some(target)) => part.start + target,
            (Some(part), None) => part.last,
            (None, _) => self.end,
        };
        timescale.nanos(line.decode(decode, timescale) - latest_end)
    }

    /// Without a line nothing is cut: the next key frame starts one.
    fn await_key_frame(&mut self, frame: &Frame, mut steps: Vec<Step>) -> Vec<Step> {
        let has_waited = self.has_waited_up_to(frame) && self.is_discontinuity;
        if !frame.is_sync && !has_waited {
            let is_due = self
                .last_plea
                .is_none_or(|last| (frame.decode - last).0.abs() >= NANOS_PER_SECOND);
            if is_due {
                self.last_plea = Some(frame.decode);
                steps.push(Step::RequestKeyFrame(None));
            }
            steps.push(Step::Drop(DropReason::NoKeyFrameYet));
            return steps;
        }
        self.waiting_since = None;
        self.last_plea = None;
        self.spacings.clear();
        self.line = Some(Line {
            source: frame.decode,
            ticks: self.start_of_line(frame),
            first_offset: frame.presentation - frame.decode,
        });
        self.newest = None;
        steps.append(&mut self.push(*frame));
        steps
    }

    /// Whether no key frame has come for as long as one is waited for. Time may jump meanwhile.
    fn has_waited_up_to(&mut self, frame: &Frame) -> bool {
        let since = self.waiting_since.unwrap_or(frame.decode).min(frame.decode);
        self.waiting_since = Some(since);
        frame.decode - since > LONGEST_WAIT_FOR_KEY_FRAME
    }

    /// Decode time of the first frame of a new line of the leading track.
    fn start_of_line(&mut self, frame: &Frame) -> i64 {
        let Some(left) = self.left.filter(|_| self.plan.has_company) else {
            return self.end;
        };
        let timescale = self.plan.timescale;
        let continued = left.decode(frame.decode, timescale);
        let room = timescale.ticks(ROOM_FOR_FOLLOWERS);
        // Where time goes on or jumps forwards, the old count is right for all. Where it jumps back, a follower may still
        // have some of the old line.
        self.end = if continued + timescale.ticks(SHORT_STEP_BACK) >= self.end {
            continued.max(self.end)
        } else {
            self.end + room
        };
        self.end
    }

    fn is_segment_border(&self, frame: &Frame, wanted: i64) -> bool {
        let Some(segment) = self.segment else {
            return false;
        };
        if !frame.is_sync {
            return false;
        }
        let timescale = self.plan.timescale;
        let half_frame = self.spacing().unwrap_or(0) / 2;
        let due = segment.start + timescale.ticks(self.plan.segment_duration) - half_frame;
        // Requested key frames come at the grid, which may be less than a segment away from where this one began.
        let early = self
            .early
            .unwrap_or_default()
            .max(timescale.nanos(half_frame));
        let is_on_grid = frame.presentation + early >= segment.next_on_grid;
        // A segment that had to start without a key frame ends at the first that comes.
        wanted >= due || is_on_grid || !segment.starts_with_sync
    }

    /// Puts the frame into the open part, opening part and segment where there is none. Answers its decode time.
    fn place(
        &mut self,
        frame: &Frame,
        wanted: i64,
        line: Line,
        guide: Guide,
        steps: &mut Vec<Step>,
    ) -> i64 {
        let timescale = self.plan.timescale;
        let decode = match &mut self.part {
            Some(part) => {
                let decode = wanted.max(part.last + 1);
                if let Some(previous) = part.samples.last_mut() {
                    previous.duration = decode - part.last;
                }
                part.last = decode;
                decode
            }
            None => self.end,
        };
        let composition_offset = if self.plan.is_audio {
            0
        } else {
            line.decode(frame.presentation, timescale) - decode
        };
        let sample = Sample {
            duration: 0,
            composition_offset,
            is_sync: frame.is_sync,
        };
        if guide == Guide::Lead && self.segment.is_none() {
            self.is_discontinuity |= std::mem::take(&mut self.breaks_next);
        }
        let is_discontinuity = self.is_discontinuity && self.part.is_none();
        let part = self.part.get_or_insert_with(|| OpenPart {
            start: decode,
            last: decode,
            samples: Vec::new(),
            captured: frame.presentation,
            is_discontinuity,
        });
        self.is_discontinuity &= !is_discontinuity;
        part.samples.push(sample);
        let decode_in_part = decode - part.start;

        let opens_segment = self.segment.is_none();
        let grid = *self.grid.get_or_insert(frame.presentation);
        let segment = self.segment.get_or_insert_with(|| OpenSegment {
            start: decode,
            starts_with_sync: frame.is_sync,
            frames: 0,
            source: frame.decode,
            next_on_grid: next_on_grid(grid, self.plan.segment_duration, frame.presentation),
        });
        segment.frames += 1;
        if opens_segment {
            // Its segment was ended for want of a key frame.
            if let Guide::Follow(Some(border)) = guide {
                self.number = self.number.max(Some(border.number));
            }
            if guide == Guide::Lead {
                // Its own break is everyone's.
                self.awaits_break &= !is_discontinuity;
                steps.push(Step::BeginSegment(NewBorder {
                    presentation: frame.presentation,
                    zero: line.zero(timescale),
                    is_discontinuity,
                }));
            }
            if !self.plan.is_audio {
                self.request_key_frames(frame, steps);
            }
        }
        steps.push(Step::Feed(Placement {
            decode_in_part,
            composition_offset,
        }));
        decode
    }

    /// Keeps the grid of requests [`REQUESTED_SEGMENTS_AHEAD`]. A grid of source times, not distances from the last
    /// segment: every encoder of a ladder is asked for the same moments.
    fn request_key_frames(&mut self, frame: &Frame, steps: &mut Vec<Step>) {
        let segment = self.plan.segment_duration;
        // Half a frame early, so that the frame nearest to the grid is taken and not always the one after it.
        let early = *self.early.get_or_insert_with(|| {
            let frame_duration = self
                .plan
                .frame_duration
                .or(frame.duration)
                .unwrap_or_default();
            Nanos((frame_duration.0 / 2).min(segment.0 / 4))
        });
        let mut next = *self
            .next_request
            .get_or_insert(frame.presentation + segment);
        while (next - frame.presentation).0 <= segment.0 * REQUESTED_SEGMENTS_AHEAD {
            if next > frame.presentation + early {
                steps.push(Step::RequestKeyFrame(Some(next + Nanos(-early.0))));
            }
            next = next + segment;
        }
        self.next_request = Some(next);
    }

    fn end_segment(&mut self, cause: SegmentEndCause, steps: &mut Vec<Step>) {
        let Some(segment) = self.segment.take() else {
            return;
        };
        let duration = MediaTime {
            ticks: self.end - segment.start,
            timescale: self.plan.timescale,
        };
        let constants = match self.constants {
            Some(_) => None,
            None => self.fix_constants(segment, duration),
        };
        steps.push(Step::EndSegment(SegmentEnd {
            cause,
            duration,
            constants,
        }));
    }

    fn leave_line(&mut self) {
        // Nothing published yet means nothing to be discontinuous with.
        if let Some(left) = self.line.take() {
            self.is_discontinuity = true;
            self.left = Some(left);
        }
        self.grid = None;
        self.next_request = None;
        self.newest = None;
    }
}

impl Line {
    fn zero(&self, timescale: Timescale) -> RunningTime {
        self.source + Nanos(-timescale.nanos(self.ticks).0)
    }

    fn decode(&self, moment: RunningTime, timescale: Timescale) -> i64 {
        self.ticks + timescale.ticks(moment - self.source)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PartBorder {
    Part,
    Segment,
}

/// The first point of the grid that leaves the segment at least half its wanted length.
fn next_on_grid(grid: RunningTime, segment: Nanos, start: RunningTime) -> RunningTime {
    let segment = segment.0.max(1);
    let since = (start - grid).0 + segment / 2;
    let points = since.div_euclid(segment) + i64::from(since.rem_euclid(segment) != 0);
    grid + Nanos(points.saturating_mul(segment))
}

/// The whole number of frames nearest to the wanted duration, at least one.
fn part_target(plan: &Plan, frame_ticks: i64) -> i64 {
    let frame_ticks = frame_ticks.max(1);
    let wanted = plan.timescale.ticks(plan.part_duration);
    let frames = ((wanted + frame_ticks / 2) / frame_ticks).max(1);
    frames * frame_ticks
}

#[cfg(test)]
mod tests;
