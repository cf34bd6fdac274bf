//! What a folder's playlists say of segments that are not in it.

use std::{fs, path::Path, sync::Arc};

use super::*;
use crate::{
    origin::fixture::{CONSTANTS, PART, TICKS, Track, ticks, video, video_init},
    watch::folder::Folder,
};

/// Writes what `publish` hands over and answers the playlist and what was lost.
fn written(place: &Path, keep: Keep, publications: Vec<Publication>) -> (String, Vec<u64>) {
    let settings = WriterSettings {
        playlist_name: "live.m3u8".to_owned(),
        renditions: vec![video("video")],
        keep,
    };
    let lost = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let lost = Arc::clone(&lost);
        move |written| {
            if let Written::Lost(_, msn) = written {
                lost.lock().unwrap().push(msn.0);
            }
        }
    };
    let folder = Folder::make(place).unwrap();
    let writer = SegmentWriter::start(folder, settings, Msn::FIRST, Arc::new(tell)).unwrap();
    for publication in publications {
        writer.offer(&publication);
    }
    drop(writer);
    let text = fs::read_to_string(place.join("live.m3u8")).unwrap();
    let lost = lost.lock().unwrap().clone();
    (text, lost)
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
    let mut publications = vec![Publication::Init(
        RenditionId::MAIN,
        video_init("an init section"),
    )];
    for number in 1..=5 {
        if number == 4 {
            publications.push(track.next_gap(ticks(i64::from(TICKS))));
        } else {
            publications.extend((0..5).map(|_| track.next_part(ticks(PART))));
        }
        publications.push(track.segment_end());
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
            Written::Warning(_) => {}
        }
    };
    let settings = WriterSettings {
        playlist_name: "live.m3u8".to_owned(),
        renditions: vec![video("video")],
        keep: Keep::All,
    };
    let folder = Folder::make(place.path()).unwrap();
    let writer = SegmentWriter::start(folder, settings, Msn::FIRST, Arc::new(tell)).unwrap();
    writer.offer(&Publication::Init(
        RenditionId::MAIN,
        video_init("an init section"),
    ));
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
    for (number, name) in (1..).zip(&names) {
        assert_eq!(*name, format!("segment_{number:05}.m4s"));
        let is_there = place.path().join(name).exists();
        let is_gap = text.contains(&format!("#EXT-X-GAP\n#EXTINF:1.00000,\n{name}"));
        assert_eq!(is_there, !is_gap, "{name}");
    }
    assert!(names.len() as u64 > full);
}
