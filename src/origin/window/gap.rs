//! Spans a rendition has no media for: segments behind EXT-X-GAP, parts with GAP=YES (RFC 8216bis 4.4.4.7, 4.4.4.9, 6.2.1).
//!
//! Belongs here: giving a hole the parts and numbers it would have had. Does not: what a playlist writes of it or what who
//! asks for it hears (`delivery/`).
//!
//! A hole has parts like any other span, not one segment without any: players block on "the part after the last one I
//! know", and would ask in a loop about a segment that has none.

use bytes::Bytes;

use super::{LiveWindow, Part, Segment};
use crate::origin::event::{Event, Violation};
use crate::origin::media::NewGap;
use crate::time::{MediaTime, Nanos, UnixTime};

impl Segment {
    /// Sum of the durations of the parts there is media for.
    pub(super) fn media_duration(&self) -> Nanos {
        self.duration_of(false).nanos()
    }

    /// Sum of the durations of the parts there is none for.
    pub(super) fn missing_duration(&self) -> MediaTime {
        self.duration_of(true)
    }

    fn duration_of(&self, gaps: bool) -> MediaTime {
        let mut sum = MediaTime::zero(self.duration.timescale);
        for part in self.parts.iter().filter(|part| part.is_gap == gaps) {
            sum += part.duration;
        }
        sum
    }
}

impl LiveWindow {
    /// Adds a span without media to the open segment, or opens one with it. Its parts are as long as they may be, and so as
    /// few.
    pub(in crate::origin) fn publish_gap(
        &mut self,
        gap: NewGap,
        now: UnixTime,
        events: &mut Vec<Event>,
    ) -> Result<(), Violation> {
        self.check_going_on()?;
        let (Some(&(init, _)), Some(constants)) = (self.inits.back(), self.constants) else {
            return Err(Violation::GapBeforeFirstSegment);
        };
        let mut rest = gap.duration;
        if rest.ticks <= 0 {
            return Err(Violation::PartWithoutDuration);
        }
        self.check_continues(rest, gap.is_discontinuity, events)?;
        let timescale = rest.timescale;
        let longest = constants
            .part_target
            .to_units_floor(timescale.ticks_per_second())
            .max(1);

        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let (date, is_discontinuity) = (gap.program_date_time, gap.is_discontinuity);
                self.open_segment(init, rest, date, is_discontinuity, events)
            }
        };
        let mut date = gap.program_date_time;
        while rest.ticks > 0 {
            let duration = MediaTime {
                ticks: rest.ticks.min(longest),
                timescale,
            };
            open.duration += duration;
            open.parts.push(Part {
                number: self.next_part,
                bytes: Bytes::new(),
                duration,
                is_independent: false,
                is_gap: true,
                captured: date,
                published: now,
            });
            self.next_part.0 += 1;
            rest.ticks -= duration.ticks;
            date = date + duration.nanos();
        }
        self.open = Some(open);
        self.bump();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::fixture::{
        AUDIO, CONSTANTS, PART, Presentation, SETTINGS, Stream, TICKS, VIDEO, ticks,
    };
    use crate::origin::media::{Msn, PartNumber, Publication};

    fn violations(events: &[Event]) -> Vec<Violation> {
        let violation = |event: &Event| match event {
            Event::Violation { violation, .. } => Some(*violation),
            _ => None,
        };
        events.iter().filter_map(violation).collect()
    }

    /// The parts of a segment: their numbers, ticks and whether they are missing.
    fn parts(segment: &Segment) -> Vec<(u64, i64, bool)> {
        let part = |part: &Part| (part.number.0, part.duration.ticks, part.is_gap);
        segment.parts.iter().map(part).collect()
    }

    #[test]
    fn a_missing_segment_has_its_number_and_the_parts_it_would_have_had() {
        let mut stream = Stream::with_segments(1);
        let at = stream.now();
        assert_eq!(stream.gap(i64::from(TICKS) + 100), []);
        assert_eq!(
            stream.end_segment(),
            [Event::Gap {
                rendition: "video".to_owned(),
                name: "segment_00002.m4s".to_owned(),
                msn: Msn(2),
                duration: ticks(30_100),
                missing: ticks(30_100),
                program_date_time: at,
            }]
        );
        stream.segment(5);
        let segment = stream.window().segment(Msn(2)).unwrap();
        assert!(segment.is_gap());
        let whole = |number| (number, PART, true);
        let expected = [
            whole(5),
            whole(6),
            whole(7),
            whole(8),
            whole(9),
            (10, 100, true),
        ];
        assert_eq!(parts(segment), expected);
        assert_eq!(segment.parts[1].captured, at + Nanos::from_millis(200));
        let next = stream.window().segment(Msn(3)).unwrap();
        assert_eq!(
            (next.is_gap(), next.parts[0].number),
            (false, PartNumber(11))
        );
    }

    #[test]
    fn media_may_stop_and_go_on_within_a_segment() {
        let mut stream = Stream::with_segments(1);
        stream.parts(2);
        stream.gap(PART + 1000);
        stream.part();
        assert!(matches!(
            &stream.end_segment()[..],
            [Event::Gap { duration, missing, .. }]
                if *duration == ticks(4 * PART + 1000) && *missing == ticks(PART + 1000)
        ));
        let segment = stream.window().segment(Msn(2)).unwrap();
        let flags: Vec<bool> = segment.parts.iter().map(|part| part.is_gap).collect();
        assert_eq!(flags, [false, false, true, true, false]);
    }

    #[test]
    fn bit_rates_are_those_of_what_is_there() {
        let mut stream = Stream::with_segments(3);
        let before = stream.window().bandwidth();
        for _ in 0..4 {
            stream.gap(i64::from(TICKS));
            stream.end_segment();
        }
        let after = stream.window().bandwidth();
        assert_eq!(
            (before.peak(), before.average()),
            (after.peak(), after.average())
        );
    }

    #[test]
    fn it_slides_out_of_the_window_like_any_other() {
        let mut stream = Stream::with_segments(2);
        stream.discontinuity();
        stream.gap(i64::from(TICKS));
        stream.end_segment();
        for _ in 0..40 {
            stream.segment(5);
        }
        let window = stream.window();
        assert_eq!(window.discontinuity_sequence(), 1);
        assert!(window.segment(Msn(3)).is_none());
        assert!(window.kept().all(|segment| !segment.is_gap()));
    }

    #[test]
    fn one_that_fell_silent_counts_on_like_the_others() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(2);
        presentation.part(AUDIO);
        for _ in 0..3 {
            presentation.segment(VIDEO);
        }
        for _ in 0..3 {
            presentation.gap(AUDIO, Nanos::from_seconds(1));
            presentation.end_segment(AUDIO);
        }
        let presentation = presentation.with_segments(1);
        for id in [VIDEO, AUDIO] {
            let last = presentation.window(id).last_complete().unwrap();
            assert_eq!((last.msn, last.is_gap()), (Msn(6), false));
        }
    }

    #[test]
    fn a_gap_that_cannot_be_is_named_and_changes_nothing() {
        let mut early = Stream::new(SETTINGS, CONSTANTS);
        let events = early.gap(PART);
        assert_eq!(violations(&events), [Violation::GapBeforeFirstSegment]);
        let mut stream = Stream::with_segments(1);
        stream.part();
        let before = (stream.window().version(), stream.window().next_part());
        let gap = |duration| {
            Publication::Gap(
                VIDEO,
                NewGap {
                    duration,
                    program_date_time: UnixTime(0),
                    is_discontinuity: false,
                },
            )
        };
        let other = crate::origin::fixture::audio_ticks(1024);
        for (duration, expected) in [
            (ticks(0), Violation::PartWithoutDuration),
            (ticks(-5), Violation::PartWithoutDuration),
            (other, Violation::TimescaleInsideSegment),
        ] {
            assert_eq!(violations(&stream.publish(gap(duration))), [expected]);
        }
        assert_eq!(
            (stream.window().version(), stream.window().next_part()),
            before
        );
        stream.end();
        assert_eq!(violations(&stream.gap(PART)), [Violation::AfterEnd]);
    }

    #[test]
    fn in_other_ticks_no_part_is_longer_than_the_target_either() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(1);
        presentation.gap(AUDIO, Nanos::from_seconds(1));
        let target = presentation.window(AUDIO).constants().unwrap().part_target;
        let open = presentation.window(AUDIO).open().unwrap();
        assert!(
            open.parts
                .iter()
                .all(|part| part.duration.nanos() <= target.nanos())
        );
        assert_eq!(open.duration.nanos(), Nanos::from_seconds(1));
    }
}
