use super::{
    super::fixture::{WHOLE, of_another_format, slowed},
    *,
};
use crate::origin::media::Msn;

const LENGTH: Nanos = Nanos::from_millis(400);

fn second(second: i64) -> UnixTime {
    UnixTime(second * 1_000_000_000)
}

fn begun() -> Timeline {
    let mut timeline = Timeline::new(Nanos::from_millis(400));
    let headers = FragmentedFile::read(WHOLE).unwrap().header().unwrap();
    assert_eq!(timeline.take_header(headers.unwrap()), HeaderNews::First);
    timeline
}

fn take(timeline: &mut Timeline, completed: UnixTime) -> Vec<Publication> {
    let file = FragmentedFile::read(WHOLE).unwrap();
    timeline.take(&file, completed).unwrap()
}

/// The same of a file with a header of another format.
fn take_other(timeline: &mut Timeline, bytes: &[u8], completed: UnixTime) -> Vec<Publication> {
    let file = FragmentedFile::read(bytes).unwrap();
    let headers = file.header().unwrap().unwrap();
    assert_eq!(timeline.take_header(headers), HeaderNews::OtherFormat);
    timeline.take(&file, completed).unwrap()
}

/// The parts of one rendition.
fn parts(publications: &[Publication], rendition: usize) -> Vec<&NewPart> {
    publications
        .iter()
        .filter_map(|publication| match publication {
            Publication::Part(id, part) if id.0 == rendition => Some(part),
            _ => None,
        })
        .collect()
}

/// `tfdt` of a part this crate wrote: version 1, behind fixed boxes.
fn decode(part: &NewPart) -> u64 {
    let at = part
        .bytes
        .windows(4)
        .position(|name| name == b"tfdt")
        .unwrap();
    u64::from_be_bytes(part.bytes[at + 8..at + 16].try_into().unwrap())
}

#[test]
fn the_tracks_of_a_file_are_renditions() {
    let timeline = begun();
    let names: Vec<String> = timeline
        .renditions()
        .into_iter()
        .map(|rendition| rendition.name)
        .collect();
    assert_eq!(names, ["video", "audio"]);
}

#[test]
fn files_that_count_anew_become_one_line() {
    let mut timeline = begun();
    let mut ends = [0, 0];
    // Further on the sound, which is longer, would be too far ahead.
    for nth in 0..2 {
        let completed = second(100) + Nanos(nth * LENGTH.0);
        let publications = take(&mut timeline, completed);
        for (rendition, end) in ends.iter_mut().enumerate() {
            for part in parts(&publications, rendition) {
                if nth > 0 || part.is_discontinuity {
                    assert_eq!(decode(part), *end as u64, "file {nth}");
                }
                assert!(!part.is_discontinuity);
                *end = decode(part) as i64 + part.duration.ticks;
            }
        }
        let pictures = parts(&publications, 0);
        let total: i64 = pictures.iter().map(|part| part.duration.nanos().0).sum();
        assert!((total - LENGTH.0).abs() < 1000, "{total}");
        // Dates run on, and follow when files come by a millisecond at most.
        let date = pictures[0].program_date_time;
        let off = (date - (completed + Nanos(-LENGTH.0))).0;
        assert!(off.abs() < 2_000_000, "{off}");
        let inits = publications
            .iter()
            .filter(|publication| matches!(publication, Publication::Init(..)))
            .count();
        assert_eq!(inits, if nth == 0 { 2 } else { 0 });
    }
}

#[test]
fn tracks_whose_lengths_are_wrong_stay_together() {
    let mut timeline = begun();
    for nth in 0..100 {
        let publications = take(&mut timeline, second(100) + Nanos(nth * LENGTH.0));
        let ends: Vec<i64> = timeline
            .lines
            .iter()
            .map(|line| line.header.timescale.nanos(line.end).0)
            .collect();
        let apart = (ends[0] - ends[1]).abs();
        assert!(apart < 134_000_000, "{apart} ns after {nth} files");
        assert!(!parts(&publications, 0)[0].is_discontinuity, "file {nth}");
    }
}

#[test]
fn a_track_that_has_a_hole_of_its_own_is_a_jump_of_all() {
    let timeline = {
        let mut timeline = begun();
        let _ = take(&mut timeline, second(100));
        // As if the writer had counted on, but for three seconds of sound that it has lost.
        timeline.lines[0].source_end = 0;
        timeline.lines[1].source_end = -3 * 48_000;
        timeline
    };
    let file = FragmentedFile::read(WHOLE).unwrap();
    let tracks: Vec<_> = timeline
        .lines
        .iter()
        .map(|line| file.chunks(&line.header).unwrap())
        .collect();
    let joint = |timeline: &Timeline| timeline.joint(Nanos(0), LENGTH, &tracks, second(101));
    assert_eq!(joint(&timeline), Some(Joint::Jump));
    let mut whole = timeline;
    whole.lines[1].source_end = 0;
    assert_eq!(joint(&whole), Some(Joint::GoesOn));
}

#[test]
fn another_format_of_one_track_is_a_discontinuity_in_all_renditions() {
    let mut timeline = begun();
    let _ = take(&mut timeline, second(100));
    let after = take_other(&mut timeline, &of_another_format(), second(100) + LENGTH);
    for rendition in [0, 1] {
        assert!(parts(&after, rendition)[0].is_discontinuity, "{rendition}");
    }
    let bytes = of_another_format();
    let file = FragmentedFile::read(&bytes).unwrap();
    let next = timeline.take(&file, second(101)).unwrap();
    assert!(!parts(&next, 0)[0].is_discontinuity, "once");
}

#[test]
fn a_file_longer_than_the_target_duration_is_cut() {
    let mut timeline = begun();
    let _ = take(&mut timeline, second(100));
    let publications = take_other(&mut timeline, &slowed(), second(102));
    for rendition in [0, 1] {
        let mut lengths = vec![Nanos(0)];
        for publication in &publications {
            match publication {
                Publication::Part(id, part) if id.0 == rendition => {
                    let last = lengths.last_mut().unwrap();
                    *last = Nanos(last.0 + part.duration.nanos().0);
                }
                Publication::SegmentEnd(id, None) if id.0 == rendition => {
                    lengths.push(Nanos(0));
                }
                _ => {}
            }
        }
        assert_eq!(lengths.pop(), Some(Nanos(0)), "it ends with a segment");
        assert_eq!(lengths.len(), 2, "{rendition}: {lengths:?}");
        assert!(
            lengths.iter().all(|length| seconds(*length) <= 1),
            "{rendition}: {lengths:?}"
        );
    }
}

#[test]
fn constants_come_with_the_first_file_only() {
    let mut timeline = begun();
    let constants = |publications: Vec<Publication>| -> Vec<Option<Constants>> {
        let end = |publication| match publication {
            Publication::SegmentEnd(_, constants) => Some(constants),
            _ => None,
        };
        publications.into_iter().filter_map(end).collect()
    };
    let first = constants(take(&mut timeline, second(1)));
    assert!(
        first
            .iter()
            .all(|constants| { constants.is_some_and(|constants| constants.target_duration == 1) })
    );
    assert_eq!(constants(take(&mut timeline, second(2))), [None, None]);
}

#[test]
fn what_was_left_out_is_a_discontinuity_in_all_renditions() {
    let mut timeline = begun();
    timeline.note_hole();
    let first = take(&mut timeline, second(100));
    assert!(!parts(&first, 0)[0].is_discontinuity, "nothing before it");
    timeline.note_hole();
    let after = take(&mut timeline, second(101));
    for rendition in [0, 1] {
        let parts = parts(&after, rendition);
        assert!(parts[0].is_discontinuity);
        assert!(parts[1..].iter().all(|part| !part.is_discontinuity));
    }
    // The dates show the hole.
    let date = parts(&after, 0)[0].program_date_time;
    assert_eq!(date, second(101) + Nanos(-LENGTH.0));
}

#[test]
fn a_long_silence_is_a_discontinuity() {
    let mut timeline = begun();
    let _ = take(&mut timeline, second(100));
    let late = take(&mut timeline, second(102));
    assert!(!parts(&late, 0)[0].is_discontinuity, "a slow disk");
    let lost = take(&mut timeline, second(110));
    assert!(parts(&lost, 0)[0].is_discontinuity);
}

#[test]
fn other_tracks_are_refused_and_another_file_of_the_format_is_not() {
    let mut timeline = begun();
    let file = FragmentedFile::read(WHOLE).unwrap();
    let headers = || file.header().unwrap().unwrap();
    assert_eq!(timeline.take_header(headers()), HeaderNews::Same);
    let mut video_only = headers();
    video_only.truncate(1);
    assert_eq!(timeline.take_header(video_only), HeaderNews::OtherTracks);
}

#[test]
fn an_origin_takes_what_comes_of_it_without_a_violation() {
    use crate::origin::{
        Origin, event::Event, media::RunId, rendition::Renditions, window::WindowSettings,
    };
    let mut timeline = begun();
    let renditions = Renditions::new(timeline.renditions()).unwrap();
    let settings = WindowSettings {
        playlist_length: 6,
        max_files: 20,
    };
    let mut origin = Origin::new(RunId::new("run").unwrap(), &renditions, settings);
    for nth in 0..20 {
        if nth % 7 == 6 {
            timeline.note_hole();
        }
        let completed = second(100) + Nanos(nth * LENGTH.0);
        for publication in take(&mut timeline, completed) {
            for event in origin.publish(publication, completed) {
                assert!(!matches!(event, Event::Violation { .. }), "{event:?}");
            }
        }
    }
    for (_, rendition) in origin.renditions() {
        assert_eq!(rendition.window().next_msn(), Msn(21));
    }
}
