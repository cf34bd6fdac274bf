//! What a folder's playlists say of segments that are not in it.

use std::{fs, path::Path, sync::Arc};

use super::*;
use crate::{
    origin::fixture::{CONSTANTS, PART, TICKS, Track, audio, audio_init, ticks, video, video_init},
    watch::{Output, OutputSettings, folder::Folder},
};

/// A writer of these renditions, and what it tells.
fn start(
    place: &Path,
    keep: Keep,
    renditions: Vec<RenditionSettings>,
    first: Msn,
) -> (SegmentWriter, Receiver<Written>) {
    let (told, written) = crossbeam_channel::unbounded();
    // Fails when a test does not want to hear.
    let tell = move |written| drop(told.send(written));
    (start_telling(place, keep, renditions, first, tell), written)
}

/// The same that tells somebody else, who may hold it up as a disk would.
fn start_telling(
    place: &Path,
    keep: Keep,
    renditions: Vec<RenditionSettings>,
    first: Msn,
    tell: impl Fn(Written) + Send + Sync + 'static,
) -> SegmentWriter {
    let settings = WriterSettings {
        playlist_name: "live.m3u8".to_owned(),
        renditions,
        keep,
    };
    let folder = Folder::make(place).unwrap();
    SegmentWriter::start(folder, settings, first, Arc::new(tell)).unwrap()
}

/// A recording of a video, with its init section.
fn record_telling(place: &Path, tell: impl Fn(Written) + Send + Sync + 'static) -> SegmentWriter {
    let writer = start_telling(place, Keep::All, vec![video("video")], Msn::FIRST, tell);
    writer.offer(&init("an init section"));
    writer
}

/// Writes a video and answers the playlist and what was lost.
fn written(place: &Path, keep: Keep, publications: Vec<Publication>) -> (String, Vec<u64>) {
    let (writer, told) = start(place, keep, vec![video("video")], Msn::FIRST);
    for publication in publications {
        writer.offer(&publication);
    }
    drop(writer);
    (text(place, "live.m3u8"), lost(&told))
}

/// The numbers of the segments a writer that has ended lost.
fn lost(told: &Receiver<Written>) -> Vec<u64> {
    let number = |written| match written {
        Written::Lost(_, msn) => Some(msn.0),
        _ => None,
    };
    told.try_iter().filter_map(number).collect()
}

fn text(place: &Path, name: &str) -> String {
    fs::read_to_string(place.join(name)).unwrap()
}

/// A segment of five parts.
fn segment(track: &mut Track) -> Vec<Publication> {
    let mut publications: Vec<_> = (0..5).map(|_| track.next_part(ticks(PART))).collect();
    publications.push(track.segment_end());
    publications
}

fn init(bytes: &'static str) -> Publication {
    Publication::Init(RenditionId::MAIN, video_init(bytes))
}

/// Tags and names, without dates and durations.
fn outline(text: &str) -> Vec<&str> {
    let is_dull = |line: &&str| {
        ![
            "#EXTM3U",
            "#EXT-X-VERSION",
            "#EXT-X-TARGET",
            "#EXT-X-PROGRAM",
            "#EXTINF",
        ]
        .iter()
        .any(|dull| line.starts_with(dull))
    };
    text.lines().filter(is_dull).collect()
}

/// Two seconds of media, then one of which a second's file cannot be made, then one the source has none for, then a last one.
fn with_holes(place: &Path) -> Vec<Publication> {
    fs::create_dir_all(place.join("segment_00003.m4s")).unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("an init section")];
    for number in 1..=5 {
        if number == 4 {
            publications.push(track.next_gap(ticks(i64::from(TICKS))));
            publications.push(track.segment_end());
        } else {
            publications.extend(segment(&mut track));
        }
    }
    publications
}

#[test]
fn a_recording_keeps_number_and_time_of_what_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let (text, lost) = written(place.path(), Keep::All, with_holes(place.path()));
    assert_eq!(
        outline(&text),
        [
            "#EXT-X-MEDIA-SEQUENCE:1",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            "#EXT-X-MAP:URI=\"init.mp4\"",
            "segment_00001.m4s",
            "segment_00002.m4s",
            "#EXT-X-GAP",
            "segment_00003.m4s",
            "#EXT-X-GAP",
            "segment_00004.m4s",
            "segment_00005.m4s",
            "#EXT-X-ENDLIST",
        ]
    );
    assert_eq!(text.matches("#EXTINF:1.00000,").count(), 5, "{text}");
    assert_eq!(lost, [3]);
}

#[test]
fn a_live_playlist_counts_what_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let (text, _) = written(place.path(), Keep::Newest(3), with_holes(place.path()));
    assert_eq!(
        outline(&text),
        [
            "#EXT-X-MEDIA-SEQUENCE:3",
            "#EXT-X-MAP:URI=\"init.mp4\"",
            "#EXT-X-GAP",
            "segment_00003.m4s",
            "#EXT-X-GAP",
            "segment_00004.m4s",
            "segment_00005.m4s",
            "#EXT-X-ENDLIST",
        ]
    );
}

#[test]
fn what_nothing_stands_before_is_no_gap() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("segment_00001.m4s")).unwrap();
    let publications = with_holes(place.path());
    let (text, lost) = written(place.path(), Keep::All, publications);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:2"), "{text}");
    assert!(!text.contains("segment_00001"), "{text}");
    assert_eq!(lost, [1, 3]);
}

#[test]
fn what_finds_no_room_is_listed_when_there_is_some() {
    let place = tempfile::tempdir().unwrap();
    let (go_on, may_go_on) = bounded::<()>(0);
    let lost = Arc::new(AtomicU64::new(0));
    let (told, written) = crossbeam_channel::unbounded();
    let (warned, warnings) = crossbeam_channel::unbounded();
    // The disk: it takes one segment, and the next only when the test says so.
    let tell = {
        let lost = Arc::clone(&lost);
        move |written| match written {
            Written::Segment(_, msn) => {
                told.send(msn.0).unwrap();
                let _ = may_go_on.recv();
            }
            Written::Lost(..) => {
                lost.fetch_add(1, Ordering::SeqCst);
            }
            Written::Warning(text) => warned.send(text).unwrap(),
        }
    };
    let writer = record_telling(place.path(), tell);
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut offer_segment = || {
        for _ in 0..5 {
            writer.offer(&track.next_part(ticks(PART)));
        }
        writer.offer(&track.segment_end());
    };
    let mut full = 0_u64;
    while lost.load(Ordering::SeqCst) < 3 {
        offer_segment();
        full += 1;
    }
    drop(go_on);
    while written.recv_timeout(Duration::from_secs(20)).unwrap() <= full {
        offer_segment();
    }
    drop(writer);
    let text = fs::read_to_string(place.path().join("live.m3u8")).unwrap();
    let names: Vec<&str> = text.lines().filter(|line| line.ends_with(".m4s")).collect();
    let gaps = text.matches("#EXT-X-GAP\n").count();
    assert!(gaps >= 3, "{gaps}");
    let warnings: Vec<String> = warnings.try_iter().collect();
    assert!(
        warnings.iter().any(|text| text.contains("too slow")),
        "{warnings:?}"
    );
    for (number, name) in (1..).zip(&names) {
        assert_eq!(*name, format!("segment_{number:05}.m4s"));
        let is_there = place.path().join(name).exists();
        let is_gap = text.contains(&format!("#EXT-X-GAP\n#EXTINF:1.00000,\n{name}"));
        assert_eq!(is_there, !is_gap, "{name}");
    }
    assert!(names.len() as u64 > full);
}

/// Files of ours may be what fills the disk.
#[test]
fn old_segments_go_also_while_no_new_one_can_be_written() {
    let place = tempfile::tempdir().unwrap();
    for blocked in 3..=5 {
        fs::create_dir_all(place.path().join(format!("segment_{blocked:05}.m4s"))).unwrap();
    }
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("one")];
    for _ in 1..=5 {
        publications.extend(segment(&mut track));
    }
    let (_, lost) = written(place.path(), Keep::Newest(2), publications);
    assert_eq!(lost, [3, 4, 5]);
    for gone in [1, 2] {
        let name = format!("segment_{gone:05}.m4s");
        assert!(!place.path().join(&name).exists(), "{name}");
    }
}

/// Somebody names files by the time of day.
#[test]
fn a_number_far_ahead_is_no_reason_to_remove_all_those_before_it() {
    let place = tempfile::tempdir().unwrap();
    for stray in ["segment_00001.m4s", "segment_1795355567.m4s"] {
        fs::write(place.path().join(stray), "of another run").unwrap();
    }
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let alone = vec![video("video")];
    let (writer, _) = start(place.path(), Keep::Newest(2), alone, Msn(1_795_355_568));
    writer.offer(&init("one"));
    for publication in (0..2).flat_map(|_| segment(&mut track)) {
        writer.offer(&publication);
    }
    drop(writer);
    let mut names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("segment"))
        .collect();
    names.sort();
    assert_eq!(names, ["segment_1795355568.m4s", "segment_1795355569.m4s"]);
}

/// Its thread may come back when another writer has the folder.
#[test]
fn a_writer_that_was_given_up_writes_no_more() {
    let place = tempfile::tempdir().unwrap();
    let (go_on, may_go_on) = bounded::<()>(0);
    let (told, written) = crossbeam_channel::unbounded();
    // The disk: it takes one segment, and hangs.
    let tell = move |what| {
        let hangs = matches!(what, Written::Segment(..));
        told.send(what).unwrap();
        if hangs {
            let _ = may_go_on.recv();
        }
    };
    let writer = record_telling(place.path(), tell);
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    for publication in (0..2).flat_map(|_| segment(&mut track)) {
        writer.offer(&publication);
    }
    let next = || written.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(next(), Written::Segment(RenditionId::MAIN, Msn(1)));
    drop(writer);
    let Written::Warning(text) = next() else {
        panic!("no warning");
    };
    assert!(text.contains("does not answer"), "{text}");
    drop(go_on);
    // Nothing more, and then the thread is gone.
    let end = written.recv_timeout(Duration::from_secs(20));
    assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    assert!(place.path().join("segment_00001.m4s").exists());
    assert!(!place.path().join("segment_00002.m4s").exists());
    let text = fs::read_to_string(place.path().join("live.m3u8")).unwrap();
    assert!(!text.contains("#EXT-X-ENDLIST"), "{text}");
}

#[test]
fn a_format_that_changes_in_a_lost_segment_breaks_once() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("segment_00002.m4s")).unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("one")];
    publications.extend(segment(&mut track));
    publications.push(init("another"));
    track.discontinuity();
    publications.extend(segment(&mut track));
    publications.extend(segment(&mut track));
    let (text, _) = written(place.path(), Keep::All, publications);
    assert_eq!(
        outline(&text)[2..],
        [
            "#EXT-X-MAP:URI=\"init.mp4\"",
            "segment_00001.m4s",
            "#EXT-X-DISCONTINUITY",
            "#EXT-X-GAP",
            "segment_00002.m4s",
            "#EXT-X-MAP:URI=\"init_1.mp4\"",
            "segment_00003.m4s",
            "#EXT-X-ENDLIST",
        ]
    );
}

#[test]
fn what_is_open_at_the_end_is_kept_and_dated_by_what_is_there() {
    let place = tempfile::tempdir().unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("an init section")];
    publications.extend(segment(&mut track));
    publications.push(track.next_gap(ticks(2 * PART)));
    publications.push(track.next_part(ticks(PART)));
    publications.push(Publication::EndOfRun);
    let (text, _) = written(place.path(), Keep::All, publications);
    let end = "T12:00:01.400Z\n#EXTINF:0.20000,\nsegment_00002.m4s\n#EXT-X-ENDLIST\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn the_next_run_counts_on_behind_gaps_and_keeps_to_the_longer_target() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("segment_00003.m4s")).unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("an init section")];
    for _ in 0..3 {
        publications.extend(segment(&mut track));
    }
    let (earlier, _) = written(place.path(), Keep::All, publications);
    assert!(earlier.contains("#EXT-X-GAP"), "{earlier}");
    let settings = OutputSettings {
        location: place.path().to_owned(),
        manner: None,
        poll_interval: Duration::from_millis(50),
        writer: WriterSettings {
            playlist_name: "live.m3u8".to_owned(),
            renditions: vec![video("video")],
            keep: Keep::All,
        },
        least: None,
    };
    let output = Output::start(settings, Box::new(|_| {})).unwrap();
    assert_eq!(output.first(), Msn(4));
    output.take(init("an init section"));
    let longer = Constants {
        target_duration: 2,
        ..CONSTANTS
    };
    for publication in segment(&mut Track::new(RenditionId::MAIN, longer)) {
        output.take(publication);
    }
    drop(output);
    let text = text(place.path(), "live.m3u8");
    let whole = outline(&text);
    assert_eq!(
        whole[whole.len() - 5..],
        [
            "segment_00003.m4s",
            "#EXT-X-DISCONTINUITY",
            "#EXT-X-MAP:URI=\"init.mp4\"",
            "segment_00004.m4s",
            "#EXT-X-ENDLIST",
        ]
    );
    assert!(text.contains("#EXT-X-TARGETDURATION:2\n"), "{text}");
}

#[test]
fn a_recording_of_other_tracks_is_put_aside() {
    let place = tempfile::tempdir().unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = vec![init("an init section")];
    publications.extend(segment(&mut track));
    let (alone, _) = written(place.path(), Keep::All, publications.clone());
    let both = vec![video("video"), audio("audio")];
    let (writer, _) = start(place.path(), Keep::All, both, Msn(2));
    for publication in &publications {
        writer.offer(publication);
    }
    drop(writer);
    assert_eq!(text(place.path(), "live.1.m3u8"), alone);
    assert!(text(place.path(), "live.m3u8").contains("#EXT-X-STREAM-INF"));
}

#[test]
fn a_recording_whose_folder_is_removed_begins_again_with_all_it_needs() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("recording");
    let both = vec![video("video"), audio("audio")];
    let (writer, told) = start(&folder, Keep::All, both, Msn::FIRST);
    let sound = RenditionId(1);
    let mut tracks = [
        Track::new(RenditionId::MAIN, CONSTANTS),
        Track::new(sound, CONSTANTS),
    ];
    writer.offer(&init("an init section"));
    writer.offer(&Publication::Init(sound, audio_init("another")));
    for _ in 0..2 {
        for publication in tracks.iter_mut().flat_map(segment) {
            writer.offer(&publication);
        }
    }
    let mut whole = 0;
    while whole < 4 {
        let written = told.recv_timeout(Duration::from_secs(20)).unwrap();
        whole += u32::from(matches!(written, Written::Segment(..)));
    }
    // What was written is named a moment later.
    let listed = || fs::read_to_string(folder.join("live_audio.m3u8"));
    while !listed().is_ok_and(|text| text.contains("segment_00002.m4s")) {
        thread::yield_now();
    }
    // A playlist may be on its way there still.
    let is_gone = (0..10_000).any(|_| fs::remove_dir_all(&folder).is_ok());
    assert!(is_gone);
    for _ in 0..2 {
        for publication in tracks.iter_mut().flat_map(segment) {
            writer.offer(&publication);
        }
    }
    drop(writer);
    assert!(folder.join("live.m3u8").is_file());
    for (rendition, prefix) in [("video", ""), ("audio", "audio_")] {
        let text = text(&folder, &format!("live_{rendition}.m3u8"));
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:3\n"), "{text}");
        for number in 3..5 {
            assert!(
                text.contains(&format!("{prefix}segment_0000{number}.m4s")),
                "{text}"
            );
        }
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
        let (_, map) = text.split_once("#EXT-X-MAP:URI=\"").unwrap();
        let (map, _) = map.split_once('"').unwrap();
        assert!(folder.join(map).is_file(), "{map}");
    }
    assert!(lost(&told).is_empty());
}

#[test]
fn init_sections_go_with_the_last_segment_that_needs_them() {
    let place = tempfile::tempdir().unwrap();
    let mut track = Track::new(RenditionId::MAIN, CONSTANTS);
    let mut publications = Vec::new();
    for bytes in ["one", "two", "three", "four"] {
        publications.push(init(bytes));
        publications.extend(segment(&mut track));
        publications.extend(segment(&mut track));
    }
    let (text, _) = written(place.path(), Keep::Newest(3), publications);
    assert!(
        text.contains("URI=\"init_2.mp4\"") && text.contains("URI=\"init_3.mp4\""),
        "{text}"
    );
    let mut files: Vec<String> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "init_2.mp4",
            "init_3.mp4",
            "live.m3u8",
            "segment_00006.m4s",
            "segment_00007.m4s",
            "segment_00008.m4s",
        ]
    );
}
