//! A presentation over several runs of its source.
//!
//! Belongs here: ending a run without ending the presentation, and bringing all renditions to the number the next one begins
//! with. Does not: whether a run may go on with the one before (`sink/`).

use super::Origin;
use super::event::{Event, Violation};
use super::media::{Msn, NewGap, Publication, RenditionId};
use super::rendition::Rendition;
use super::window::LiveWindow;
use crate::time::{MediaTime, Nanos, UnixTime};

impl Origin {
    pub(super) fn end_run(&mut self, now: UnixTime, events: &mut Vec<Event>) {
        if self.is_ended {
            return self.tell(RenditionId::MAIN, Violation::AfterEnd, events);
        }
        for rendition in &mut self.renditions {
            rendition.window.end_run(now, events);
        }
        let windows = self.renditions.iter().map(Rendition::window);
        let next = windows
            .map(LiveWindow::next_msn)
            .max()
            .unwrap_or(Msn::FIRST);
        for place in 0..self.renditions.len() {
            self.fill(RenditionId(place), next, now, events);
            self.renditions[place].window.begin_run(next);
        }
    }

    /// The number the first segment of the run that is about to begin has; `None` when it begins the presentation.
    pub fn next_run(&self) -> Option<Msn> {
        let has_begun = |rendition: &Rendition| rendition.window().has_begun();
        let main = self.main().window();
        let goes_on = self.renditions.iter().any(has_begun);
        goes_on.then(|| main.first_of_run())
    }

    /// The number of the first segment of a rendition in this run.
    pub(super) fn start(
        &mut self,
        id: RenditionId,
        msn: Msn,
        now: UnixTime,
        events: &mut Vec<Event>,
    ) {
        let mut awaits_gaps = None;
        self.apply(id, events, |rendition, _| {
            let window = &mut rendition.window;
            let first = Msn(window.first_of_run().0.saturating_add(msn.0));
            if window.begins_run() && window.has_begun() {
                awaits_gaps = Some(first);
                return Ok(());
            }
            window.start(first)
        });
        if let Some(first) = awaits_gaps {
            self.fill(id, first, now, events);
        }
    }

    /// Gives a rendition that has segments those that others have before `until`, as gaps as long as theirs.
    fn fill(&mut self, id: RenditionId, until: Msn, now: UnixTime, events: &mut Vec<Event>) {
        while let Some(gap) = self.missing(id, until) {
            events.extend(self.publish(Publication::Gap(id, gap), now));
            events.extend(self.publish(Publication::SegmentEnd(id, None), now));
        }
    }

    /// The next segment before `until` that a rendition lacks.
    fn missing(&self, id: RenditionId, until: Msn) -> Option<NewGap> {
        let window = self.rendition(id)?.window();
        let last = window.last_complete().filter(|_| !window.is_ended())?;
        let target_duration = window.fixed_constants()?.target_duration;
        let msn = Msn(last.msn.0 + 1);
        if msn >= until {
            return None;
        }
        let end = last.program_date_time + last.duration.nanos();
        let beside = self
            .renditions
            .iter()
            .find_map(|other| other.window.segment(msn));
        let target_duration = Nanos::from_seconds(i64::from(target_duration));
        // Rule PL-08: what rounds to TARGETDURATION.
        let longest = target_duration + Nanos::from_millis(499);
        let (from, span) = match beside {
            Some(beside) if beside.is_discontinuity => {
                (beside.program_date_time, beside.duration.nanos())
            }
            Some(beside) => {
                let until = beside.program_date_time + beside.duration.nanos();
                (end, until - end)
            }
            // So long ago that nobody remembers.
            None => (end, target_duration),
        };
        let timescale = last.duration.timescale;
        Some(NewGap {
            duration: MediaTime {
                ticks: timescale.ticks(span.min(longest)).max(1),
                timescale,
            },
            program_date_time: from,
            is_discontinuity: beside.is_some_and(|beside| beside.is_discontinuity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::fixture::{AUDIO, Presentation, Stream, VIDEO, init};

    fn violations(events: &[Event]) -> usize {
        let is_violation = |event: &&Event| matches!(event, Event::Violation { .. });
        events.iter().filter(is_violation).count()
    }

    /// Number, whether it lacks media and whether it follows a discontinuity, of all segments kept.
    fn segments(window: &LiveWindow) -> Vec<(u64, bool, bool)> {
        let kept = window.kept();
        kept.map(|segment| (segment.msn.0, segment.is_gap(), segment.is_discontinuity))
            .collect()
    }

    #[test]
    fn numbers_go_on_behind_a_discontinuity() {
        let mut stream = Stream::with_segments(2);
        stream.parts(2);
        let (before, next) = (stream.window().version(), stream.window().next_part());
        let events = stream.publish(Publication::EndOfRun);
        assert!(matches!(
            &events[..],
            [Event::SegmentPublished { msn: Msn(3), .. }]
        ));
        assert!(!stream.origin.is_ended());
        assert_eq!(stream.origin.next_run(), Some(Msn(4)));
        assert!(stream.window().version() > before);
        assert_eq!(stream.window().next_part(), next, "the hint holds");
        // The same format again needs no other init section.
        stream.publish(init("<init>"));
        stream.segment(5);
        stream.segment(5);
        let (media, gap) = (false, true);
        let expected = [(1, media, false), (2, media, false), (3, media, false)];
        assert_eq!(segments(stream.window())[..3], expected);
        assert_eq!(
            segments(stream.window())[3..],
            [(4, media, true), (5, media, false)]
        );
        // A second time, with nothing in between.
        for _ in 0..2 {
            assert_eq!(violations(&stream.publish(Publication::EndOfRun)), 0);
        }
        stream.segment(5);
        assert_eq!(segments(stream.window()).last(), Some(&(6, media, true)));
        assert!(
            segments(stream.window())
                .iter()
                .all(|segment| segment.1 != gap)
        );
    }

    #[test]
    fn renditions_begin_the_next_run_with_one_number() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(2);
        presentation.segment(VIDEO);
        presentation.part(VIDEO);
        presentation.part(AUDIO);
        let events = presentation.publish(Publication::EndOfRun);
        assert_eq!(violations(&events), 0, "{events:?}");
        let ends = |presentation: &Presentation| {
            [VIDEO, AUDIO].map(|id| {
                let last = presentation.window(id).last_complete().unwrap();
                (last.msn, last.program_date_time + last.duration.nanos())
            })
        };
        let [video, audio] = ends(&presentation);
        assert_eq!(video.0, Msn(4));
        assert_eq!(audio.0, Msn(4));
        // The hole ends where the others' media does, to a tick of 48 kHz.
        assert!((video.1 - audio.1).0.abs() < 21_000, "{video:?} {audio:?}");
        let presentation = presentation.with_segments(1);
        for id in [VIDEO, AUDIO] {
            let last = segments(presentation.window(id)).last().copied();
            assert_eq!(last, Some((5, false, true)));
        }
    }

    #[test]
    fn one_that_is_late_in_the_next_run_has_gaps_and_one_that_never_came_begins_later() {
        let settings = vec![
            crate::origin::fixture::video("video"),
            crate::origin::fixture::audio("audio"),
            crate::origin::fixture::audio("late"),
        ];
        let late = RenditionId(2);
        let mut presentation = Presentation::new(settings);
        presentation.publish(Publication::Absent(late));
        for id in [VIDEO, AUDIO] {
            presentation.segment(id);
        }
        presentation.publish(Publication::EndOfRun);
        for _ in 0..3 {
            presentation.segment(VIDEO);
        }
        for id in [AUDIO, late] {
            let events = presentation.publish(Publication::Start(id, Msn(2)));
            assert_eq!(violations(&events), 0, "{events:?}");
            presentation.segment(id);
        }
        assert_eq!(
            segments(presentation.window(AUDIO)),
            [
                (1, false, false),
                (2, true, true),
                (3, true, false),
                (4, false, false)
            ]
        );
        assert_eq!(segments(presentation.window(late)), [(4, false, false)]);
        assert_eq!(presentation.window(late).discontinuity_sequence(), 1);
    }

    #[test]
    fn what_was_never_shown_is_forgotten() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.segment(VIDEO);
        presentation.part(AUDIO);
        presentation.publish(Publication::EndOfRun);
        assert!(presentation.window(AUDIO).kept().next().is_none());
        assert!(
            presentation.origin.common().is_none(),
            "audio is awaited still"
        );
        for id in [VIDEO, AUDIO] {
            presentation.segment(id);
        }
        assert!(presentation.origin.common().is_some());
        assert_eq!(segments(presentation.window(AUDIO)), [(2, false, true)]);
    }

    #[test]
    fn after_the_end_no_run_goes_on() {
        let mut stream = Stream::with_segments(1);
        stream.end();
        assert_eq!(violations(&stream.publish(Publication::EndOfRun)), 1);
    }
}
