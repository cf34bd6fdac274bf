//! A following track and the borders of the leading one.
//!
//! Belongs here: which frame is the first behind a border, and which may begin a segment of a track that has none open. Does
//! not: what becomes of a track without frames (`absence`).

use super::*;

impl Segmenter {
    /// The border a following track has reached with this frame.
    pub(super) fn due_border(
        &self,
        frame: &Frame,
        before: Option<RunningTime>,
        guide: Guide,
    ) -> Option<Border> {
        let Guide::Follow(Some(border)) = guide else {
            return None;
        };
        // A segment needs a frame.
        self.segment?;
        if let Some(left_at) = border.left_at {
            // The leader's time has jumped back: this track is there once its own has, or when it clearly will not.
            let has_jumped = before.is_some_and(|before| frame.decode <= before);
            let stays = frame.presentation - left_at > LONGEST_BRIDGED_HOLE;
            return (has_jumped || stays).then_some(border);
        }
        // The part before it was closed on its account, so this one it is, even if it comes a little sooner than was thought.
        let is_foreseen = self.foreseen == Some(border.number);
        let is_due = frame.is_sync
            && (is_foreseen || frame.presentation + self.early(frame) >= border.presentation);
        is_due.then_some(border)
    }

    /// Whether the frame after this one will be the first of the next segment: sound that ends where the border is, or behind
    /// it. Answers that segment's number. A picture has to be seen to be a key frame.
    pub(super) fn foresees(&self, frame: &Frame, expected: i64, guide: Guide) -> Option<u64> {
        let Guide::Follow(Some(border)) = guide else {
            return None;
        };
        // Timestamps are rounded.
        let end = frame.presentation + self.plan.timescale.nanos(expected + 1);
        let is_next = self.plan.is_audio && !border.is_discontinuity && end >= border.presentation;
        is_next.then_some(border.number)
    }

    /// A following track begins at a border: with the frame that is there, or not much after it.
    pub(super) fn join(
        &mut self,
        frame: &Frame,
        next: Option<Border>,
        mut steps: Vec<Step>,
    ) -> Vec<Step> {
        // After a hole it may still be in time for the segment that has begun without it.
        let begun = self.missing.and_then(|missing| missing.begun);
        let is_there =
            |border: &Border| frame.presentation + self.early(frame) >= border.presentation;
        let may_begin = |border: &Border| border.is_discontinuity || !self.awaits_break;
        let next = next.filter(is_there).or(begun).filter(is_there);
        let Some(border) = next.filter(may_begin) else {
            self.ask_to_join(frame, &mut steps);
            steps.push(Step::Drop(DropReason::BeforeJoining));
            return steps;
        };
        // Later the segment would begin without it. But video may have to wait for its key frame, and a track that was here
        // before comes back where it is.
        let late = frame.presentation - border.presentation;
        let is_in_time = late < self.plan.part_duration
            || (self.is_discontinuity && self.missing.is_none())
            || (!self.plan.is_audio && self.waiting_since.is_some());
        if !is_in_time || !self.has_room_after_gap(&border, frame) {
            self.ask_to_join(frame, &mut steps);
            steps.push(Step::Drop(DropReason::BeforeJoining));
            return steps;
        }
        // One that was seen before goes on without, after a while.
        let has_waited = self.number.is_some()
            && self
                .waiting_since
                .is_some_and(|since| frame.decode - since > LONGEST_WAIT_FOR_KEY_FRAME);
        if !frame.is_sync && !has_waited {
            if self.waiting_since.is_none_or(|since| frame.decode < since) {
                self.waiting_since = Some(frame.decode);
                self.last_plea = None;
            }
            let is_due = |last| frame.decode - last >= Nanos::from_seconds(1);
            if self.last_plea.is_none_or(is_due) {
                self.last_plea = Some(frame.decode);
                steps.push(Step::RequestKeyFrame(None));
            }
            steps.push(Step::Drop(DropReason::NoKeyFrameYet));
            return steps;
        }
        let timescale = self.plan.timescale;
        let start = timescale.ticks(frame.decode - border.zero);
        // What is still published of the old line is in the way of sound; of pictures only the duration changes.
        let in_the_way = timescale.nanos(self.end - start);
        if self.plan.is_audio && in_the_way > frame.duration.unwrap_or_default() {
            steps.push(Step::Drop(DropReason::Backwards));
            return steps;
        }
        self.waiting_since = None;
        self.last_plea = None;
        self.spacings.clear();
        // Where the leader was faster than the wish for a break, there is none: all count the same (rule MV-11).
        self.is_discontinuity = border.is_discontinuity;
        self.awaits_break = false;
        if self.missing.is_some() {
            self.is_discontinuity = self.fill_gap(frame, &border, start, &mut steps);
        } else {
            // Decode time never runs back, and a track that joins late begins where it is.
            self.end = self.end.max(start);
        }
        let first_offset = self.offset(frame);
        self.line = Some(Line {
            source: border.zero,
            ticks: 0,
            first_offset,
        });
        self.newest = None;
        self.grid = Some(border.presentation);
        if self.number.is_none() {
            steps.push(Step::Join(border.number));
        }
        self.number = Some(border.number);
        steps.append(&mut self.take(*frame, Guide::Follow(None)));
        steps
    }

    /// How much before a border a frame may come and still be the one meant. A frame of audio is never early: the border is
    /// where it begins, or the frame after it is the first.
    pub(super) fn early(&self, frame: &Frame) -> Nanos {
        if self.plan.is_audio {
            return Nanos(0);
        }
        let half_frame = self.expected_spacing(frame).unwrap_or(0) / 2;
        self.early
            .unwrap_or_default()
            .max(self.plan.timescale.nanos(half_frame))
    }

    /// How far the presentation of a line's first frame is behind its decode time.
    pub(super) fn offset(&self, frame: &Frame) -> Nanos {
        if self.plan.is_audio {
            Nanos(0)
        } else {
            frame.presentation - frame.decode
        }
    }
}
