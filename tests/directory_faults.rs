//! What may go wrong in a folder another program fills: it is said once, and the stream goes on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{fs, path::Path};

use support::{folder::Watching, playlist::Playlist, tracks};

/// 0.4 s of pictures and sound, with its own header, counting from zero.
const WHOLE: &[u8] = include_bytes!("data/ffmpeg-two-tracks.mp4");

fn start(place: &Path, mode: &str) -> Watching {
    let mut watching = Watching::start(place, mode, "segment-duration=400 poll-interval=10");
    watching.expects_warnings = true;
    watching
}

/// The pictures' playlist, once it has so many segments.
fn wait_for_segments(watching: &Watching, count: usize) -> Playlist {
    support::wait_for("segments", || {
        let mut client = watching.client();
        if client.get("/live_video.m3u8").status != 200 {
            return None;
        }
        Some(tracks::playlist(&mut client, "live_video.m3u8"))
            .filter(|playlist| playlist.segments.len() >= count)
    })
}

fn discontinuities(playlist: &Playlist) -> Vec<bool> {
    playlist
        .segments
        .iter()
        .map(|segment| segment.is_discontinuity)
        .collect()
}

#[test]
fn what_cannot_be_used_is_left_out_with_a_warning() {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
        let watching = start(place.path(), mode);
        put("a_000.m4s", WHOLE);
        put("a_001.m4s", WHOLE);
        wait_for_segments(&watching, if mode == "poll" { 1 } else { 2 });
        // Foreign in every way there is.
        put("notes.mp4", b"These are no boxes.");
        put("empty.m4s", b"");
        fs::create_dir(place.path().join("folder.m4s")).unwrap();
        put("playlist.m3u8", b"#EXTM3U\n");
        put(".hidden.m4s", WHOLE);
        put("a_002.m4s.tmp", &WHOLE[..1000]);
        put("a_002.m4s", WHOLE);
        let warning = watching.wait_for_warning("notes.mp4");
        assert!(warning.contains("no MP4"), "{warning}");
        if mode == "inotify" {
            // Cut off in the middle of its second fragment. Polling waits whether it still grows.
            put("a_003.m4s", &WHOLE[..WHOLE.len() - 500]);
            watching.wait_for_warning("a_003.m4s");
        }
        put("a_004.m4s", WHOLE);
        put("a_005.m4s", WHOLE);
        put("a_006.m4s", b"\0");
        let count = if mode == "inotify" { 5 } else { 4 };
        let playlist = wait_for_segments(&watching, count);
        let marked = discontinuities(&playlist);
        assert!(marked.contains(&true), "{mode}: something is missing");
        assert!(!marked[0] && !marked[1]);
        let warnings = watching.warnings();
        let said = |name: &str| warnings.iter().filter(|text| text.contains(name)).count();
        for name in [
            "playlist.m3u8",
            ".hidden.m4s",
            "a_002.m4s.tmp",
            "folder.m4s",
        ] {
            assert_eq!(said(name), 0, "{warnings:?}");
        }
        assert_eq!(said("notes.mp4"), 1, "{warnings:?}");
        // Nothing of the writer's was touched.
        for name in ["a_000.m4s", "notes.mp4", ".hidden.m4s", "a_002.m4s.tmp"] {
            assert!(place.path().join(name).exists());
        }
    }
}

#[test]
fn links_and_names_with_separators_are_refused() {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("secret.m4s");
        fs::write(&target, WHOLE).unwrap();
        let watching = start(place.path(), mode);
        let put = |name: &str| fs::write(place.path().join(name), WHOLE).unwrap();
        std::os::unix::fs::symlink(&target, place.path().join("staged.tmp")).unwrap();
        fs::rename(
            place.path().join("staged.tmp"),
            place.path().join("link.m4s"),
        )
        .unwrap();
        let warning = watching.wait_for_warning("link.m4s");
        assert!(warning.contains("symbolic link"), "{mode}: {warning}");
        // Another system would look for it in a folder.
        put("a\\b.m4s");
        let warning = watching.wait_for_warning("b.m4s");
        assert!(warning.contains("not plain"), "{mode}: {warning}");
        put("real.m4s");
        // What is polled is finished when something follows.
        put("next.m4s");
        let playlist = wait_for_segments(&watching, 1);
        assert!(playlist.segments.len() <= 2, "{mode}");
        assert_eq!(fs::read(&target).unwrap(), WHOLE);
    }
}

#[test]
fn an_ordinary_mp4_gets_advice() {
    let place = tempfile::tempdir().unwrap();
    let watching = start(place.path(), "inotify");
    let mut plain = WHOLE.to_vec();
    let at = plain.windows(4).position(|name| name == b"mvex").unwrap();
    plain[at..at + 4].copy_from_slice(b"free");
    fs::write(place.path().join("plain.mp4"), plain).unwrap();
    let warning = watching.wait_for_warning("plain.mp4");
    assert!(warning.contains("fragment-duration"), "{warning}");
}

/// Media comes to a folder, `leave` takes that away, and media comes to another one at its path.
fn goes_on_after(leave: impl Fn(&Path)) {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("disk/live");
        let watching = start(&folder, mode);
        for nth in 0..2 {
            fs::write(folder.join(format!("a_{nth}.m4s")), WHOLE).unwrap();
        }
        wait_for_segments(&watching, 1);
        leave(&folder);
        watching.wait_for_warning("is gone");
        fs::create_dir_all(&folder).unwrap();
        for nth in 2..5 {
            fs::write(folder.join(format!("a_{nth}.m4s")), WHOLE).unwrap();
        }
        let playlist = wait_for_segments(&watching, 3);
        assert!(discontinuities(&playlist).contains(&true), "{mode}");
    }
}

#[test]
fn a_folder_that_vanishes_is_waited_for() {
    goes_on_after(|folder| fs::remove_dir_all(folder).unwrap());
}

/// inotify tells of what becomes of the folder itself, not of those it is in.
#[test]
fn a_folder_that_was_moved_with_what_it_is_in_is_noticed() {
    goes_on_after(|folder| {
        let disk = folder.parent().unwrap();
        fs::rename(disk, disk.with_file_name("elsewhere")).unwrap();
    });
}

#[test]
fn what_was_there_before_is_taken_if_it_is_fresh() {
    let place = tempfile::tempdir().unwrap();
    let put = |name: &str| fs::write(place.path().join(name), WHOLE).unwrap();
    put("a_000.m4s");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = fs::File::options()
        .write(true)
        .open(place.path().join("a_000.m4s"))
        .unwrap();
    file.set_modified(old).unwrap();
    drop(file);
    put("a_001.m4s");
    put("a_002.m4s");
    let watching = start(place.path(), "inotify");
    wait_for_segments(&watching, 2);
    put("a_003.m4s");
    let playlist = wait_for_segments(&watching, 3);
    assert_eq!(
        playlist.segments.len(),
        3,
        "that of another day is not in it"
    );
    watching.assert_no_warnings();
}

#[test]
fn modes_of_files_need_a_location() {
    support::init();
    for mode in ["inotify", "poll"] {
        let sink = gst::ElementFactory::make("llhlssink")
            .property_from_str("mode", mode)
            .property("port", 0_u32)
            .build()
            .unwrap();
        use gst::prelude::*;
        assert!(sink.set_state(gst::State::Paused).is_err());
        sink.set_state(gst::State::Null).unwrap();
    }
}
