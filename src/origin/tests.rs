//! What the renditions of a presentation owe each other.

use proptest::prelude::*;

use super::event::{Event, Violation};
use super::fixture::{
    AUDIO, AUDIO_CONSTANTS, AUDIO_FRAME, CONSTANTS, Presentation, SETTINGS, Track, VIDEO, audio,
    audio_ticks, run, ticks, video, video_init,
};
use super::media::{Constants, Msn, Publication, RenditionId};
use super::rendition::Renditions;
use super::window::{LiveWindow, Version};
use super::{Origin, Revision};
use crate::time::UnixTime;

/// Whose playlists started with these events.
fn started(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::PlaylistStarted { rendition } => Some(rendition.as_str()),
            _ => None,
        })
        .collect()
}

fn violations(events: &[Event]) -> Vec<(&str, Violation)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Violation {
                rendition,
                violation,
            } => Some((rendition.as_str(), *violation)),
            _ => None,
        })
        .collect()
}

fn is_live(presentation: &Presentation) -> bool {
    presentation.origin.common().is_some()
}

#[test]
fn it_goes_live_with_the_last_first_segment() {
    for order in [[VIDEO, AUDIO], [AUDIO, VIDEO]] {
        let mut presentation = Presentation::of_video_and_audio();
        for _ in 0..3 {
            assert_eq!(started(&presentation.segment(order[0])), [""; 0]);
        }
        presentation.part(order[1]);
        assert!(!is_live(&presentation));
        for id in order {
            let window = presentation.window(id);
            assert_eq!((window.constants(), window.version()), (None, Version(0)));
        }
        let events = presentation.end_segment(order[1]);
        assert_eq!(started(&events), ["video", "audio"]);
        assert!(is_live(&presentation));
        assert_eq!(presentation.window(order[0]).version(), Version(1));
        assert_eq!(started(&presentation.segment(order[0])), [""; 0]);
    }
}

#[test]
fn one_that_is_absent_is_not_waited_for_and_joins_when_it_comes() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.segment(VIDEO);
    let events = presentation.publish(Publication::Absent(AUDIO));
    assert_eq!(started(&events), ["video"]);
    assert!(!presentation.window(AUDIO).is_live());
    for _ in 0..6 {
        presentation.segment(VIDEO);
    }
    assert_eq!(presentation.publish(Publication::Start(AUDIO, Msn(7))), []);
    let events = presentation.part(AUDIO);
    assert!(
        matches!(&events[..], [Event::PartPublished { rendition, segment, name, .. }]
            if rendition == "audio"
                && segment == "audio_segment_00008.m4s"
                && name == "audio_part_00000.m4s"),
        "{events:?}"
    );
    assert_eq!(started(&presentation.end_segment(AUDIO)), ["audio"]);
    let window = presentation.window(AUDIO);
    assert_eq!(window.first_listed(), Msn(8));
    assert_eq!(window.segments_published(), 1);
    assert_eq!(window.constants(), Some(&AUDIO_CONSTANTS));
    // Said too late, it changes nothing.
    assert_eq!(presentation.publish(Publication::Absent(AUDIO)), []);
    assert!(presentation.window(AUDIO).is_live());
}

#[test]
fn even_the_main_one_may_be_absent() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.publish(Publication::Absent(VIDEO));
    assert!(!is_live(&presentation));
    assert_eq!(started(&presentation.segment(AUDIO)), ["audio"]);
    assert_eq!(presentation.window(VIDEO).version(), Version(0));
    assert_eq!(started(&presentation.segment(VIDEO)), ["video"]);
}

#[test]
fn nobody_waits_for_what_is_over() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.segment(VIDEO);
    let events = presentation.publish(Publication::EndOfRendition(AUDIO));
    assert_eq!(started(&events), ["video"]);
    assert!(presentation.window(AUDIO).is_stillborn());
    assert!(!presentation.origin.is_ended());

    // One that is over before the others begin is shown with them.
    let mut presentation = Presentation::of_video_and_audio();
    presentation.segment(AUDIO);
    presentation.publish(Publication::EndOfRendition(AUDIO));
    assert!(!is_live(&presentation) && !presentation.window(AUDIO).is_stillborn());
    let events = presentation.segment(VIDEO);
    assert_eq!(started(&events), ["video", "audio"]);

    // The end of all shows what there is.
    let mut presentation = Presentation::of_video_and_audio();
    presentation.segment(VIDEO);
    let events = presentation.publish(Publication::EndOfStream);
    assert_eq!(started(&events), ["video"]);

    let mut presentation = Presentation::of_video_and_audio();
    presentation.publish(Publication::EndOfStream);
    assert!(!is_live(&presentation) && presentation.origin.is_ended());
}

#[test]
fn renditions_end_one_by_one_or_together() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(2);
    presentation.part(AUDIO);
    let events = presentation.publish(Publication::EndOfRendition(AUDIO));
    assert!(
        matches!(&events[..], [Event::SegmentPublished { name, .. }, Event::RenditionEnded { rendition }]
            if name == "audio_segment_00003.m4s" && rendition == "audio"),
        "{events:?}"
    );
    assert_eq!(
        violations(&presentation.part(AUDIO)),
        [("audio", Violation::AfterEnd)]
    );
    assert!(presentation.window(AUDIO).is_ended() && !presentation.window(VIDEO).is_ended());
    assert_eq!(violations(&presentation.segment(VIDEO)), []);
    presentation.publish(Publication::EndOfRendition(VIDEO));
    assert!(presentation.origin.is_ended());
    // Saying so once more for all of them is no mistake; saying it twice is.
    assert_eq!(
        presentation.publish(Publication::EndOfStream),
        [Event::Ended]
    );
    assert_eq!(
        violations(&presentation.publish(Publication::EndOfStream)),
        [("video", Violation::AfterEnd)]
    );
    assert_eq!(
        violations(&presentation.publish(Publication::Absent(AUDIO))),
        [("audio", Violation::AfterEnd)]
    );
}

#[test]
fn the_main_ones_target_duration_is_everybodys() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.track(AUDIO).constants.target_duration = 3;
    presentation.segment(AUDIO);
    let events = presentation.segment(VIDEO);
    assert_eq!(
        violations(&events),
        [("audio", Violation::OtherTargetDuration(3))]
    );
    let target = |id| presentation.window(id).constants().unwrap().target_duration;
    assert_eq!((target(VIDEO), target(AUDIO)), (1, 1));
}

#[test]
fn the_longest_part_target_is_known_when_it_goes_live() {
    let mut presentation = Presentation::new(vec![video("video"), audio("audio"), video("late")]);
    let late = RenditionId(2);
    presentation.publish(Publication::Absent(late));
    presentation.segment(AUDIO);
    presentation.segment(VIDEO);
    let longest = presentation.origin.common().unwrap().longest_part_target;
    assert_eq!(longest, CONSTANTS.part_target);
    let long = ticks(12_000);
    presentation.track(late).constants.part_target = long;
    presentation.part(late);
    assert_eq!(
        violations(&presentation.end_segment(late)),
        [("late", Violation::LatePartTarget)]
    );
    let common = presentation.origin.common().unwrap();
    assert_eq!(
        common.longest_part_target, longest,
        "it never changes (PL-17)"
    );
    let own = presentation.window(late).constants().unwrap();
    assert_eq!(own.part_target, long);
}

/// Two tracks that end at the same moment, each on a thread of its own.
#[test]
fn an_end_of_one_may_come_after_the_end_of_all() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(1);
    presentation.publish(Publication::EndOfStream);
    let events = presentation.publish(Publication::EndOfRendition(AUDIO));
    assert_eq!(events, []);
}

#[test]
fn what_breaks_the_protocol_is_named_and_harms_no_other() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(1);
    let version = presentation.window(VIDEO).version();
    assert_eq!(
        violations(&presentation.publish(Publication::Absent(RenditionId(2)))),
        [("video", Violation::UnknownRendition(RenditionId(2)))]
    );
    assert_eq!(
        violations(&presentation.publish(Publication::Start(AUDIO, Msn(9)))),
        [("audio", Violation::StartAfterBegin)]
    );
    assert_eq!(
        violations(&presentation.end_segment(AUDIO)),
        [("audio", Violation::EmptySegment)]
    );
    let other = Constants {
        target_duration: 2,
        ..AUDIO_CONSTANTS
    };
    presentation.part(AUDIO);
    assert_eq!(
        violations(&presentation.publish(Publication::SegmentEnd(AUDIO, Some(other)))),
        [("audio", Violation::ConstantsChanged)]
    );
    assert_eq!(presentation.window(VIDEO).version(), version);
}

#[test]
fn each_change_anywhere_is_a_new_revision_and_a_version_of_its_own() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(1);
    let before: (Revision, Version) = (
        presentation.origin.revision(),
        presentation.window(VIDEO).version(),
    );
    presentation.part(AUDIO);
    assert!(presentation.origin.revision() > before.0);
    assert_eq!(presentation.window(VIDEO).version(), before.1);
}

/// Each listed segment with how many discontinuities lead to it.
fn discontinuity_numbers(window: &LiveWindow) -> Vec<(Msn, u64)> {
    let mut number = window.discontinuity_sequence();
    window
        .listed()
        .chain(window.open())
        .map(|segment| {
            number += u64::from(segment.is_discontinuity);
            (segment.msn, number)
        })
        .collect()
}

/// Rule MV-11.
fn agree_on_discontinuities(presentation: &Presentation) {
    let audio = discontinuity_numbers(presentation.window(AUDIO));
    for (msn, number) in discontinuity_numbers(presentation.window(VIDEO)) {
        if let Some((_, other)) = audio.iter().find(|(other, _)| *other == msn) {
            assert_eq!(number, *other, "{msn:?}");
        }
    }
}

#[test]
fn a_new_format_of_one_is_a_discontinuity_the_sink_marks_in_the_other() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(2);
    presentation.publish(Publication::Init(VIDEO, video_init("<other>")));
    presentation.track(AUDIO).discontinuity();
    let mut presentation = presentation.with_segments(2);
    agree_on_discontinuities(&presentation);
    assert_eq!(
        discontinuity_numbers(presentation.window(AUDIO)).last(),
        Some(&(Msn(4), 1))
    );
    presentation = presentation.with_segments(7);
    agree_on_discontinuities(&presentation);
    assert_eq!(presentation.window(AUDIO).discontinuity_sequence(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever the audio joins, whatever was cut before it and after, and however the sink divides the marks.
    #[test]
    fn discontinuities_have_one_number_in_all_renditions(
        cuts in prop::collection::vec(prop::bool::weighted(0.3), 1..25),
        joins_at in 0..20_usize,
        lead in 0..3_usize,
        is_marked_itself: bool,
    ) {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.publish(Publication::Absent(AUDIO));
        let join = |presentation: &mut Presentation, msn: usize| {
            // A rendition that begins where the others have a cut may be marked or not: it is the same border.
            let is_cut = cuts.get(msn).copied().unwrap_or_default();
            if msn > joins_at && is_cut || msn == joins_at && is_cut && is_marked_itself {
                presentation.track(AUDIO).discontinuity();
            }
            if msn == joins_at {
                presentation.publish(Publication::Start(AUDIO, Msn(msn as u64)));
            }
            if msn >= joins_at {
                presentation.segment(AUDIO);
            }
        };
        for (msn, is_cut) in cuts.iter().enumerate() {
            if *is_cut {
                presentation.track(VIDEO).discontinuity();
            }
            presentation.segment(VIDEO);
            if let Some(behind) = msn.checked_sub(lead) {
                join(&mut presentation, behind);
            }
            agree_on_discontinuities(&presentation);
        }
    }

    /// Publications in any order, sensible or not: nothing panics, and what players count never falls.
    #[test]
    fn numbers_never_fall_whatever_comes(steps in prop::collection::vec((0..3_usize, 0..8_u8), 0..200)) {
        let settings = vec![video("video"), audio("audio")];
        let mut origin = Origin::new(run(), &Renditions::new(settings).unwrap(), SETTINGS);
        let mut tracks = [
            Track::new(VIDEO, CONSTANTS),
            Track::new(AUDIO, AUDIO_CONSTANTS),
        ];
        let mut before = [None; 2];
        let mut was_live = false;
        for (place, what) in steps {
            // 2 is nobody.
            let id = RenditionId(place);
            let track = &mut tracks[place % 2];
            let publication = match what {
                0 => Publication::Init(id, video_init("<init>")),
                1 => track.segment_end(),
                2 => Publication::Absent(id),
                3 if place == 2 => Publication::EndOfRendition(AUDIO),
                4 if place == 2 => Publication::ComingInit(VIDEO),
                4 => track.next_gap(audio_ticks(20 * AUDIO_FRAME)),
                3 => Publication::Start(id, Msn(5)),
                _ => track.next_part(audio_ticks(9 * AUDIO_FRAME)),
            };
            origin.publish(publication, UnixTime(0));
            prop_assert!(origin.common().is_some() || !was_live);
            was_live = origin.common().is_some();
            for (place, (_, rendition)) in origin.renditions().enumerate() {
                let window = rendition.window();
                let after = (
                    window.version(),
                    window.first_listed(),
                    window.discontinuity_sequence(),
                    window.edge(),
                );
                if let Some((version, first, sequence, edge)) = before[place] {
                    prop_assert!(after.0 >= version && after.1 >= first);
                    prop_assert!(after.2 >= sequence && after.3 >= edge);
                }
                before[place] = Some(after);
            }
        }
    }
}
