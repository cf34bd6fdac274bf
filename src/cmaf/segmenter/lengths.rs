//! How long a segment may be, and the constants that follow from the first one.
//!
//! Belongs here: EXT-X-TARGETDURATION and what it forbids. Does not: how long a part is (`parts`).

use super::*;

impl Segmenter {
    /// Ends the segment when one more part could make it break the target duration (rule PL-08).
    pub(super) fn end_overlong_segment(
        &mut self,
        frame: &Frame,
        guide: Guide,
        steps: &mut Vec<Step>,
    ) {
        // A follower ends where the leader did. Its key frame may be late by half a part, so that segments of a number begin
        // within a part of each other (rule MV-12).
        if let Guide::Follow(border) = guide {
            let late = border.map(|border| frame.presentation - border.presentation);
            let is_new = border.is_some_and(|border| {
                border.left_at.is_none() && Some(border.number) > self.number
            });
            if is_new
                && let Some(late) = late
                && late.0 >= self.plan.part_duration.0 / 2
            {
                self.end_segment(SegmentEndCause::NoKeyFrame, steps);
            }
            return;
        }
        if self.is_nearly_overlong() {
            self.end_segment(SegmentEndCause::NoKeyFrame, steps);
        }
    }

    /// Whether one more part could make the open segment break the target duration (rule PL-08).
    pub(super) fn is_nearly_overlong(&self) -> bool {
        let (Some(segment), Some(target)) = (self.segment, self.part_target) else {
            return false;
        };
        // Followers may end a frame later than the leader, and must not break it either.
        self.end + target - segment.start >= self.longest_segment() - self.spare_for_followers()
    }

    /// Whether this frame would make the open segment of a follower break the target duration.
    pub(super) fn would_be_overlong(&self, frame: &Frame, wanted: i64) -> bool {
        let length = self.expected_spacing(frame).unwrap_or(0);
        self.segment
            .is_some_and(|segment| wanted + length - segment.start >= self.longest_segment())
    }

    pub(super) fn longest_segment(&self) -> i64 {
        let timescale = self.plan.timescale;
        // What this track made of its first segment counts for nothing where another one has fixed it for all.
        let own = self.constants.map(|constants| constants.target_duration);
        match self.given_target_duration.or(own) {
            // EXTINF is compared after rounding to the nearest second: half a second more than the target is too long.
            Some(target_duration) => {
                let doubled = 2 * i64::from(target_duration) + 1;
                doubled * i64::from(timescale.ticks_per_second()) / 2
            }
            None => timescale.ticks(LONGEST_FIRST_SEGMENT),
        }
    }

    pub(super) fn spare_for_followers(&self) -> i64 {
        if self.plan.has_company {
            self.plan.timescale.ticks(SPARE_FOR_FOLLOWERS)
        } else {
            0
        }
    }

    pub(super) fn fix_constants(
        &mut self,
        segment: OpenSegment,
        duration: MediaTime,
    ) -> Option<Constants> {
        let promised = self.part_target.unwrap_or(duration.ticks);
        // A source slower than its caps (a camera in the dark that still says 30 frames a second): one frame a part.
        let elapsed = self
            .newest
            .map_or(Nanos(0), |newest| newest - segment.source);
        let mean_spacing = self.plan.timescale.ticks(elapsed) / segment.frames.max(1);
        let target = promised.max(mean_spacing);
        self.part_target = Some(target);
        let part_target = MediaTime {
            ticks: target,
            timescale: self.plan.timescale,
        };
        let wanted = self.plan.segment_duration.0;
        let wanted_seconds = (wanted + NANOS_PER_SECOND / 2) / NANOS_PER_SECOND;
        // Room for another segment like this one: it must not be cut for want of a part's room just before its key frame.
        let last_border = (duration.ticks - 1).max(0) / target.max(1) * target;
        let reach = MediaTime {
            ticks: last_border + target + self.spare_for_followers(),
            timescale: self.plan.timescale,
        };
        let own_target_duration = wanted_seconds
            .max(duration.to_units_nearest(1))
            .max(reach.to_units_nearest(1))
            .max(part_target.to_units_nearest(1))
            .max(i64::from(self.least_target_duration))
            .max(1);
        self.constants = Some(Constants {
            target_duration: self
                .given_target_duration
                .unwrap_or_else(|| u32::try_from(own_target_duration).unwrap_or(u32::MAX)),
            part_target,
            first_segment_has_parts: target == promised,
        });
        self.constants
    }
}
