use super::*;
use crate::origin::Origin;
use crate::origin::fixture::{
    CONSTANTS, PART, SETTINGS, START, Stream, init, part_bytes, renditions, run, ticks,
};
use crate::origin::media::{Publication, RenditionId};
use proptest::prelude::*;

fn numbers<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<u64> {
    segments.map(|segment| segment.msn.0).collect()
}

fn violations(events: &[Event]) -> Vec<Violation> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Violation { violation, .. } => Some(*violation),
            _ => None,
        })
        .collect()
}

#[test]
fn nothing_is_visible_before_the_first_segment_is_complete() {
    let mut stream = Stream::new(SETTINGS, CONSTANTS);
    stream.parts(5);
    let window = stream.window();
    assert_eq!(window.version(), Version(0));
    assert_eq!(window.constants(), None);
    let events = stream.end_segment();
    let rendition = "video".to_owned();
    assert_eq!(events[1], Event::PlaylistStarted { rendition });
    assert_eq!(stream.window().version(), Version(1));
}

#[test]
fn events_tell_what_can_be_fetched() {
    let mut stream = Stream::with_segments(1);
    let at = stream.now();
    assert_eq!(
        stream.part(),
        [Event::PartPublished {
            rendition: "video".to_owned(),
            name: "part_00005.m4s".to_owned(),
            number: PartNumber(5),
            segment: "segment_00002.m4s".to_owned(),
            size: 8,
            duration: ticks(PART),
            captured: at,
            published: at + Nanos::from_millis(200),
            is_independent: true,
        }]
    );
    assert_eq!(
        stream.end_segment(),
        [Event::SegmentPublished {
            rendition: "video".to_owned(),
            name: "segment_00002.m4s".to_owned(),
            msn: Msn(2),
            size: 8,
            duration: ticks(PART),
            program_date_time: START + Nanos::from_seconds(1),
            captured: at,
            published: at + Nanos::from_millis(200),
            parts: 1,
        }]
    );
    stream.discontinuity();
    let at = stream.now();
    assert_eq!(
        stream.part()[0],
        Event::Discontinuity {
            rendition: "video".to_owned(),
            segment: "segment_00003.m4s".to_owned(),
            msn: Msn(3),
            program_date_time: at,
        }
    );
    stream.end_segment();
    let ended = Event::RenditionEnded {
        rendition: "video".to_owned(),
    };
    assert_eq!(stream.end(), [ended, Event::Ended]);
}

#[test]
fn part_numbers_run_on_over_segments_and_the_edge_follows() {
    let mut stream = Stream::with_segments(2);
    let edge = |stream: &Stream| stream.window().edge().map(|edge| (edge.msn.0, edge.part.0));
    assert_eq!(edge(&stream), Some((2, 4)));
    stream.part();
    assert_eq!(edge(&stream), Some((3, 0)));
    assert_eq!(stream.window().next_part(), PartNumber(11));
    assert_eq!(edge(&Stream::new(SETTINGS, CONSTANTS)), None);
}

#[test]
fn the_window_slides_and_keeps_what_it_took_off() {
    let mut stream = Stream::with_segments(40);
    stream.part();
    let window = stream.window();
    assert_eq!(numbers(window.listed()), [37, 38, 39, 40]);
    assert_eq!(window.first_listed(), Msn(37));
    let kept = numbers(window.kept());
    assert!(kept[0] <= 37 - 4, "twice the window at least: {kept:?}");
    assert!(kept.len() <= 12, "and not without end: {kept:?}");
    assert!(window.segment(Msn(kept[0])).is_some());
    assert!(window.segment(Msn(kept[0] - 1)).is_none());
    assert!(window.segment(Msn(41)).is_none(), "still open");
    let part = |number| {
        window
            .part(PartNumber(number))
            .map(|part| part.bytes.clone())
    };
    let oldest = (kept[0] - Msn::FIRST.0) * 5;
    assert_eq!(part(oldest - 1), None);
    for number in oldest..=200 {
        assert_eq!(part(number), Some(part_bytes(number)), "{number}");
    }
    assert_eq!(part(201), None);
    assert_eq!(part(u64::MAX), None);
}

#[test]
fn parts_are_listed_for_whole_segments_within_three_target_durations() {
    let mut stream = Stream::with_segments(10);
    assert_eq!(stream.window().first_listed_parts(), Msn(8));
    stream.part();
    assert_eq!(stream.window().first_listed_parts(), Msn(9));
}

#[test]
fn a_discontinuity_is_counted_when_its_tag_leaves() {
    let mut stream = Stream::with_segments(5);
    stream.discontinuity();
    stream.segment(5);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let window = stream.window();
        seen.push((window.first_listed().0, window.discontinuity_sequence()));
        stream.segment(5);
    }
    assert_eq!(seen, [(3, 0), (4, 0), (5, 0), (6, 0), (7, 1), (8, 1)]);
}

#[test]
fn a_second_format_has_a_name_of_its_own_and_is_a_discontinuity() {
    let mut stream = Stream::with_segments(1);
    assert_eq!(stream.publish(init("<init>")), [], "the same boxes again");
    let events = stream.publish(init("<other>"));
    assert!(
        matches!(&events[..], [Event::InitPublished { name, .. }] if name == "init_1.mp4"),
        "{events:?}"
    );
    assert!(matches!(stream.part()[0], Event::Discontinuity { .. }));
    stream.end_segment();
    let window = stream.window();
    assert!(window.init(InitNumber(0)).is_some());
    assert_eq!(&window.init(InitNumber(1)).unwrap().bytes[..], b"<other>");
    for _ in 0..30 {
        stream.segment(5);
    }
    let window = stream.window();
    assert!(window.init(InitNumber(0)).is_none(), "no segment needs it");
    assert!(window.init(InitNumber(1)).is_some());
}

#[test]
fn broken_publications_change_nothing_and_are_named() {
    const MAIN: RenditionId = RenditionId::MAIN;
    let mut bare = Origin::new(run(), &renditions(), SETTINGS);
    let stray = |duration, is_discontinuity| {
        let part = NewPart {
            bytes: Bytes::new(),
            duration,
            is_independent: true,
            captured: START,
            program_date_time: START,
            is_discontinuity,
        };
        Publication::Part(MAIN, part)
    };
    let early = bare.publish(stray(ticks(PART), false), START);
    assert_eq!(violations(&early), [Violation::PartBeforeInit]);
    let empty = bare.publish(Publication::SegmentEnd(MAIN, None), START);
    assert_eq!(violations(&empty), [Violation::EmptySegment]);

    let mut stream = Stream::with_segments(1);
    stream.part();
    let other_ticks = MediaTime {
        ticks: 9000,
        timescale: crate::time::Timescale::new(90_000).unwrap(),
    };
    let other_constants = Constants {
        target_duration: 2,
        ..CONSTANTS
    };
    let (parts, version) = (stream.parts, stream.window().version());
    for (publication, expected) in [
        (stray(ticks(0), false), Violation::PartWithoutDuration),
        (stray(ticks(-1), false), Violation::PartWithoutDuration),
        (stray(other_ticks, false), Violation::TimescaleInsideSegment),
        (init("<other>"), Violation::InitInsideSegment),
        (Publication::ComingInit(MAIN), Violation::InitInsideSegment),
    ] {
        assert_eq!(violations(&stream.publish(publication)), [expected]);
    }
    assert_eq!(stream.window().next_part(), PartNumber(parts));
    assert_eq!(stream.window().version(), version);

    let inside = stream.publish(stray(ticks(PART), true));
    assert_eq!(violations(&inside), [Violation::DiscontinuityInsideSegment]);
    let long = stream.publish(stray(ticks(PART + 1), false));
    assert_eq!(
        violations(&long),
        [Violation::PartLongerThanTarget(PartNumber(parts + 1))]
    );
    let longer = stream.publish(stray(ticks(2 * 30_000), false));
    assert_eq!(longer.len(), 2, "published all the same");
    let end = stream.publish(Publication::SegmentEnd(MAIN, Some(other_constants)));
    assert_eq!(
        violations(&end),
        [
            Violation::ConstantsChanged,
            Violation::SegmentLongerThanTarget(Msn(2))
        ]
    );
    assert_eq!(stream.window().constants(), Some(&CONSTANTS));
    stream.end();
    assert_eq!(violations(&stream.end()), [Violation::AfterEnd]);
}

#[test]
fn the_end_completes_the_open_segment() {
    let mut stream = Stream::with_segments(1);
    stream.part();
    let events = stream.end();
    assert!(matches!(
        events[..],
        [
            Event::SegmentPublished { .. },
            Event::RenditionEnded { .. },
            Event::Ended
        ]
    ));
    assert!(stream.window().open().is_none());
}

#[test]
fn without_constants_memory_is_bounded() {
    let mut stream = Stream::new(SETTINGS, CONSTANTS);
    for _ in 0..50 {
        stream.parts(5);
        stream.publish(Publication::SegmentEnd(RenditionId::MAIN, None));
    }
    let window = stream.window();
    assert_eq!(window.kept().len(), SETTINGS.max_files);
    assert_eq!(numbers(window.listed()), numbers(window.kept()));
}

/// Segments as the numbers of ticks of their parts, each with whether it follows a discontinuity.
fn segments() -> impl Strategy<Value = Vec<(Vec<i64>, bool)>> {
    let parts = prop::collection::vec(1..=PART, 1..7);
    prop::collection::vec((parts, prop::bool::weighted(0.1)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn promises_hold_whatever_the_segments(
        segments in segments(),
        playlist_length in 0_usize..8,
        max_files in 0_usize..30,
    ) {
        let settings = WindowSettings { playlist_length, max_files };
        let mut stream = Stream::new(settings, CONSTANTS);
        let three = Nanos::from_seconds(3);
        // Media time at which each segment appeared, with its length.
        let mut appeared = Vec::new();
        let mut longest = Nanos(0);
        let mut before = (Version(0), Msn::FIRST, 0, None);
        let mut was_removed = false;
        for (parts, is_discontinuity) in segments {
            if is_discontinuity {
                stream.discontinuity();
            }
            for part in parts {
                stream.part_of(part);
                let window = stream.window();
                let after = (
                    window.version(),
                    window.first_listed(),
                    window.discontinuity_sequence(),
                    window.edge(),
                );
                prop_assert!(after.0 >= before.0 && after.1 >= before.1 && after.2 >= before.2);
                prop_assert!(after.3 > before.3);
                before = after;
            }
            // The longest playlist is one with all parts of an open segment.
            let window = stream.window();
            longest = longest.max(duration_of(window.listed().chain(window.open())));
            stream.end_segment();
            let window = stream.window();
            let newest = window.last_complete().unwrap();
            appeared.push((stream.position, newest.duration.nanos()));
            let listed = duration_of(window.listed());
            // PL-12.
            was_removed |= window.first_listed() > Msn::FIRST;
            if was_removed {
                prop_assert!(listed >= three, "{listed:?}");
            }
            // PL-38, PL-37: everything younger than its promise is there.
            for (msn, (at, length)) in (Msn::FIRST.0..).zip(&appeared) {
                let age = Nanos(stream.position.0 - at.0);
                if age < *length + longest {
                    prop_assert!(window.segment(Msn(msn)).is_some(), "{msn}");
                }
            }
            // Memory does not grow without end.
            let floor = max_files.max(2 * window.listed().len());
            let beyond = window.kept().skip(1).map(|segment| segment.duration.nanos().0).sum::<i64>();
            let promise = window.kept().next().unwrap().duration.nanos().0 + longest.0 + three.0;
            prop_assert!(window.kept().len() <= floor || beyond < promise);
        }
    }
}

#[test]
fn another_format_may_follow_the_gap_a_discontinuity_begins_with() {
    let mut stream = Stream::with_segments(1);
    stream.gap(PART);
    let early = stream.publish(init("<other>"));
    assert_eq!(violations(&early), [Violation::InitInsideSegment]);
    stream.end_segment();
    stream.discontinuity();
    stream.gap(PART);
    assert_eq!(violations(&stream.publish(init("<other>"))), []);
    stream.part();
    let late = stream.publish(init("<third>"));
    assert_eq!(violations(&late), [Violation::InitInsideSegment]);
    stream.end_segment();
    let inits: Vec<u64> = stream
        .window()
        .listed()
        .map(|segment| segment.init.0)
        .collect();
    assert_eq!(inits, [0, 0, 1]);
}
