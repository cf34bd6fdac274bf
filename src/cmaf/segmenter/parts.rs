//! How long a part may be, and where it is closed.
//!
//! Belongs here: PART-TARGET, the spacing of frames, which frame a part ends with. Does not: where segments end.

use super::*;

impl Segmenter {
    /// The part target waits for a frame duration: caps, else the buffer's own, else the first spacing seen.
    pub(super) fn find_part_target(&mut self, frame: &Frame, wanted: i64) {
        if self.part_target.is_some() {
            return;
        }
        let timescale = self.plan.timescale;
        let frame_ticks = match (&self.part, frame.duration) {
            (Some(part), _) => Some(wanted - part.last),
            (None, Some(duration)) => Some(timescale.ticks(duration)),
            (None, None) => None,
        };
        self.part_target = frame_ticks
            .filter(|&ticks| ticks > 0)
            .map(|ticks| part_target(&self.plan, ticks));
    }

    /// Whether a frame wanted at `decode` still has room in the open part: at least half of itself before the target.
    pub(super) fn fits(&self, decode: i64) -> bool {
        let (Some(part), Some(target)) = (&self.part, self.part_target) else {
            return true;
        };
        // A frame that steps back goes one tick after the frame before it.
        let decode = decode.max(part.last + 1);
        let room = self.spacing().unwrap_or(0).min(target) / 2;
        decode < part.start + target && decode <= part.start + target - room
    }

    /// Whether another frame, `expected` ticks after the one just placed, would still have room.
    pub(super) fn fits_after(&self, wanted: i64, decode: i64, expected: i64) -> bool {
        let (Some(part), Some(target)) = (&self.part, self.part_target) else {
            return true;
        };
        // Also when it could not even start before the target is reached.
        let next = (wanted + expected).max(decode + 1);
        next <= part.start + target - expected.min(target) / 2
    }

    /// How soon after its newest frame the next one may come; zero when that is not known yet.
    pub fn closest_spacing(&self) -> Nanos {
        self.plan.timescale.nanos(self.spacing().unwrap_or(0))
    }

    /// How soon the next frame may come: the closest that frames came lately.
    ///
    /// The last spacing alone would be wrong after every dropped frame: parts would be closed on behalf of a hole that does
    /// not come, and decode time would run ahead of presentation.
    pub(super) fn spacing(&self) -> Option<i64> {
        self.spacings.iter().min().copied()
    }

    pub(super) fn expected_spacing(&self, frame: &Frame) -> Option<i64> {
        let timescale = self.plan.timescale;
        self.spacing().or_else(|| {
            frame
                .duration
                .or(self.plan.frame_duration)
                .map(|duration| timescale.ticks(duration).max(1))
        })
    }

    /// Closes the open part, if any, as near to `wanted` as the rules allow.
    pub(super) fn close_part(&mut self, wanted: i64, border: PartBorder, steps: &mut Vec<Step>) {
        let Some(mut part) = self.part.take() else {
            return;
        };
        let after_last = part.last + 1;
        let end = match self.part_target {
            // The last part of a segment may be short; none may be long (PL-15, PL-16).
            Some(target) => {
                let shortest = match border {
                    PartBorder::Part => part.start + (target * SHORTEST_PART_PERCENT + 99) / 100,
                    PartBorder::Segment => after_last,
                };
                let latest = self.segment.map_or(i64::MAX, |segment| {
                    segment.start + self.longest_segment() - 1
                });
                let longest = (part.start + target).min(latest).max(after_last);
                wanted.clamp(shortest.clamp(after_last, longest), longest)
            }
            None => wanted.max(after_last),
        };
        if let Some(last) = part.samples.last_mut() {
            last.duration = end - part.last;
        }
        self.end = end;
        let timescale = self.plan.timescale;
        let line = self.line.unwrap_or(Line {
            source: part.captured,
            ticks: part.start,
            first_offset: Nanos(0),
        });
        steps.push(Step::CutPart(Cut {
            decode: part.start,
            duration: MediaTime {
                ticks: end - part.start,
                timescale,
            },
            captured: part.captured,
            date: line.source + timescale.nanos(part.start - line.ticks) + line.first_offset,
            zero: line.zero(timescale),
            is_discontinuity: part.is_discontinuity,
            samples: part.samples,
        }));
    }

    /// Closes the open part where its last frame is expected to end, for want of a successor.
    pub(super) fn close_open_end(&mut self, steps: &mut Vec<Step>) {
        let Some(part) = &self.part else { return };
        let expected = self
            .spacing()
            .or_else(|| {
                self.plan
                    .frame_duration
                    .map(|duration| self.plan.timescale.ticks(duration))
            })
            .or(self.part_target)
            .unwrap_or_else(|| self.plan.timescale.ticks(self.plan.part_duration));
        let wanted = part.last + expected;
        self.close_part(wanted, PartBorder::Segment, steps);
    }
}
