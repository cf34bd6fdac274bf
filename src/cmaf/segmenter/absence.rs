//! A track that has nothing for longer than is bridged, or nothing that can be used.
//!
//! Belongs here: how its time line goes on without it, so that its segments keep the leader's numbers, and how it comes back.
//! Does not: when it counts as silent (`sink/`), what a playlist makes of a gap (`origin/`).

use super::{
    Border, DropReason, Frame, Gap, Line, NANOS_PER_SECOND, OpenSegment, SegmentEndCause,
    Segmenter, Step,
};
use crate::time::{MediaTime, Nanos, RunningTime};

/// Where a track is that has nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    /// The source's time at decode time 0.
    zero: RunningTime,
    /// How far the presentation of its first frame was behind its decode time.
    first_offset: Nanos,
    /// Its segment was complete, for want of a key frame, and the leader's next one has not been begun.
    is_between: bool,
    /// Where the segment it is in began, if nothing has been said of that yet.
    pub(super) begun: Option<Border>,
    /// Time or format jumped, which has to be said of the next gap or part.
    is_discontinuity: bool,
}

impl Segmenter {
    /// Nothing has come for longer than is bridged while others went on: closes the open part. From now on the segments end
    /// with [`Segmenter::miss`], until a frame comes that can begin one.
    pub fn fall_silent(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(line) = self.line else {
            // It was interrupted, and its segment has ended.
            if let (None, Some(left), true) = (self.missing, self.left, self.is_discontinuity) {
                self.missing = Some(Missing {
                    zero: left.zero(self.plan.timescale),
                    first_offset: left.first_offset,
                    is_between: true,
                    begun: None,
                    is_discontinuity: false,
                });
            }
            return steps;
        };
        self.close_open_end(&mut steps);
        self.line = None;
        self.left = Some(line);
        self.missing = Some(Missing {
            zero: line.zero(self.plan.timescale),
            first_offset: line.first_offset,
            is_between: self.segment.is_none(),
            begun: None,
            is_discontinuity: std::mem::take(&mut self.is_discontinuity),
        });
        self.newest = None;
        self.next_request = None;
        steps
    }

    /// Before a frame of a following track: when it comes after a hole that is not bridged, the track was missing.
    pub fn notice_hole(&mut self, frame: &Frame) -> Vec<Step> {
        if self.jumps_ahead(frame.decode) {
            self.fall_silent()
        } else {
            Vec::new()
        }
    }

    /// The leader has begun another segment, and this track still has nothing: its own ends there as well.
    pub fn miss(&mut self, border: &Border) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(missing) = self.missing {
            let end = self.ticks_at(border.ended, missing);
            self.pass(border, end, &mut steps);
        }
        steps
    }

    /// Ends the segment before `border` at decode time `end`.
    fn pass(&mut self, border: &Border, end: i64, steps: &mut Vec<Step>) {
        let cause = if border.is_discontinuity {
            SegmentEndCause::Discontinuity
        } else {
            SegmentEndCause::Gap
        };
        let was_between = self
            .missing
            .as_mut()
            .is_some_and(|missing| std::mem::take(&mut missing.is_between));
        if !was_between {
            self.lengthen_gap(end, steps);
            self.end_segment(cause, steps);
        }
        // Where the gap could not be as long as it is (tracks whose times went apart), the next segment has the right time.
        if !was_between {
            self.end = self.end.max(end);
        }
        self.number = Some(border.number);
        let Some(mut missing) = self.missing else {
            return;
        };
        missing.begun = Some(*border);
        if border.is_discontinuity {
            self.is_discontinuity = false;
            self.awaits_break = false;
            missing.zero = border.zero;
            missing.is_discontinuity = true;
            self.end = self.end.max(self.ticks_at(border.presentation, missing));
        }
        self.missing = Some(missing);
    }

    /// The track is back with `frame`, at decode time `start`, in the segment that begins with `border`. Answers whether its
    /// first part comes after a discontinuity.
    pub(super) fn fill_gap(
        &mut self,
        frame: &Frame,
        border: &Border,
        start: i64,
        steps: &mut Vec<Step>,
    ) -> bool {
        let Some(missing) = self.missing else {
            return false;
        };
        let is_late = (frame.presentation - border.presentation).0 > self.plan.part_duration.0 / 2;
        let has_begun = self.number == Some(border.number);
        if !has_begun {
            let end = if is_late || border.is_discontinuity {
                self.ticks_at(border.ended, missing)
            } else {
                start
            };
            self.pass(border, end, steps);
        }
        if is_late || (has_begun && self.plan.is_audio) {
            self.lengthen_gap(start, steps);
        }
        // A picture's decode time may begin where its segment does, if that is told; sound has to be where it is.
        if is_late || !has_begun || self.plan.is_audio {
            self.end = self.end.max(start);
        }
        self.missing
            .take()
            .is_some_and(|missing| missing.is_discontinuity)
    }

    /// Whether the segment that begins with `border` has room for a part behind all that is missing of it.
    pub(super) fn has_room_after_gap(&self, border: &Border, frame: &Frame) -> bool {
        let late = frame.presentation - border.presentation;
        let length = self.plan.timescale.ticks(late) + self.part_target.unwrap_or(0);
        self.missing.is_none() || length + self.spare_for_followers() < self.longest_segment()
    }

    /// The track leads, and comes after a hole: a segment begins with its next key frame, or without one when none comes.
    pub(super) fn lead_on(&mut self, frame: &Frame, mut steps: Vec<Step>) -> Vec<Step> {
        let Some(missing) = self.missing else {
            return steps;
        };
        let has_waited = self.has_waited_up_to(frame);
        if !frame.is_sync && !has_waited {
            self.ask_to_join(frame, &mut steps);
            steps.push(Step::Drop(DropReason::NoKeyFrameYet));
            return steps;
        }
        let line = Line {
            source: missing.zero,
            ticks: 0,
            first_offset: self.offset(frame),
        };
        let start = line.decode(frame.decode, self.plan.timescale);
        if missing.is_between {
            // There is no segment the hole could be in.
            self.is_discontinuity = true;
        } else {
            self.lengthen_gap(start, &mut steps);
            self.end_segment(SegmentEndCause::Gap, &mut steps);
        }
        self.is_discontinuity |= self
            .missing
            .take()
            .is_some_and(|missing| missing.is_discontinuity);
        self.waiting_since = None;
        self.last_plea = None;
        self.spacings.clear();
        self.end = self.end.max(start);
        self.line = Some(line);
        self.grid = None;
        steps.append(&mut self.push(*frame));
        steps
    }

    /// A key frame is wanted where the next segment will begin, or else at once; asked for once a second.
    pub(super) fn ask_to_join(&mut self, frame: &Frame, steps: &mut Vec<Step>) {
        let Some(missing) = self.missing.filter(|_| !self.plan.is_audio) else {
            return;
        };
        let is_due = self
            .last_plea
            .is_none_or(|last| (frame.decode - last).0.abs() >= NANOS_PER_SECOND);
        if !is_due {
            return;
        }
        self.last_plea = Some(frame.decode);
        let early = self.early.unwrap_or_default();
        let next = missing
            .begun
            .map(|border| border.presentation + self.plan.segment_duration + Nanos(-early.0))
            .filter(|&next| next > frame.presentation);
        steps.push(Step::RequestKeyFrame(next));
    }

    /// Lets the gap reach as far as decode time `end`. A segment of which nothing was said gets a tick of it at least, because
    /// it has a number.
    fn lengthen_gap(&mut self, end: i64, steps: &mut Vec<Step>) {
        let Some(mut missing) = self.missing else {
            return;
        };
        // Before its first segment is complete nothing is known to divide a gap by.
        if self.constants.is_none() {
            return;
        }
        let timescale = self.plan.timescale;
        let start = self.segment.map_or(self.end, |segment| segment.start);
        let least = i64::from(self.segment.is_none());
        let longest = start + self.longest_segment() - 1 - self.end;
        let ticks = (end - self.end).min(longest).max(least);
        if ticks <= 0 {
            return;
        }
        let gap = Gap {
            decode: self.end,
            duration: MediaTime { ticks, timescale },
            date: missing.zero + timescale.nanos(self.end) + missing.first_offset,
            zero: missing.zero,
            is_discontinuity: std::mem::take(&mut missing.is_discontinuity),
        };
        let begun = missing.begun.take();
        self.segment.get_or_insert(OpenSegment {
            start,
            starts_with_sync: false,
            frames: 0,
            source: missing.zero + timescale.nanos(start),
            next_on_grid: begun.map_or(RunningTime(0), |border| {
                border.presentation + self.plan.segment_duration
            }),
        });
        self.missing = Some(missing);
        self.end += ticks;
        steps.push(Step::Gap(gap));
    }

    fn ticks_at(&self, presentation: RunningTime, missing: Missing) -> i64 {
        let decode = presentation + Nanos(-missing.first_offset.0);
        self.plan.timescale.ticks(decode - missing.zero)
    }
}
