//! What the element writes: a recording beside the live road, and files players see segments of.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{fs, path::Path, process::Command};

use gst::prelude::*;
use support::{
    check::{Allowed, check_ended},
    playlist::{FIRST_MSN, Playlist},
    stream::{FedStream, Frames, Stream},
};

fn at(place: &Path, properties: &str) -> String {
    format!("location={} {properties}", place.display())
}

fn names(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How many frames ffprobe decodes of each stream of a playlist on the disk.
fn decoded(playlist: &Path) -> Vec<usize> {
    let output = Command::new("ffprobe")
        .args("-v error -count_frames -show_entries stream=nb_read_frames -of json".split(' '))
        .args(["-allowed_extensions", "ALL"])
        .arg(playlist)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let streams = document["streams"].as_array().unwrap();
    streams
        .iter()
        .map(|stream| stream["nb_read_frames"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Plays to the end of a presentation that may begin with any number.
fn play_to_end(fed: &mut FedStream, frames: &Frames) -> Playlist {
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    support::wait_for("EXT-X-ENDLIST", || {
        let answer = fed.stream.client().get("/live.m3u8");
        let is_ended = answer.status == 200 && answer.text().contains("#EXT-X-ENDLIST");
        is_ended.then(|| Playlist::read_joined(answer.text()))
    })
}

fn figure(stream: &Stream, name: &str) -> u64 {
    stream.stats().get(name).unwrap()
}

#[test]
fn a_recording_is_what_players_got_and_ends_as_vod() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("made");
    let frames = Frames::test_picture(70, 30);
    let mut fed = FedStream::new(&frames.caps, &at(&folder, ""));
    let playlist = fed.play_to_end(&frames);
    let run = check_ended(&fed.stream, playlist.clone(), Allowed::NOTHING);
    assert_eq!(run.segments.len(), 3);
    let mut client = fed.stream.client();
    let file = folder.join("live.m3u8");
    support::wait_until("EXT-X-ENDLIST on the disk", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("#EXT-X-ENDLIST"))
    });
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:VOD"), "{text}");
    for segment in &playlist.segments {
        let name = segment.uri.rsplit('/').next().unwrap();
        assert!(text.contains(&format!("\n{name}\n")), "{text}");
        let live = client.body(&format!("/{}", segment.uri));
        assert_eq!(fs::read(folder.join(name)).unwrap(), live, "{name}");
    }
    assert_eq!(decoded(&file), [70]);
    assert_eq!(
        names(&folder),
        [
            "init.mp4",
            "live.m3u8",
            "segment_00001.m4s",
            "segment_00002.m4s",
            "segment_00003.m4s"
        ]
    );
    assert_eq!(figure(&fed.stream, "files-written"), 3);
    assert_eq!(figure(&fed.stream, "files-lost"), 0);
}

#[test]
fn a_second_run_goes_on_with_the_recording() {
    let place = tempfile::tempdir().unwrap();
    let frames = Frames::test_picture(120, 30);
    for run in 0..2 {
        let mut fed = FedStream::new(&frames.caps, &at(place.path(), ""));
        let playlist = play_to_end(&mut fed, &frames);
        assert_eq!(playlist.media_sequence, FIRST_MSN + 4 * run);
        assert_eq!(playlist.segments[0].is_discontinuity, run > 0);
        let uri = &playlist.segments[0].uri;
        assert!(
            uri.ends_with(&format!("segment_{:05}.m4s", FIRST_MSN + 4 * run)),
            "{uri}"
        );
        fed.stream.stop();
    }
    let file = place.path().join("live.m3u8");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("#EXT-X-ENDLIST").count(), 1, "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    assert_eq!(text.matches(".m4s").count(), 8, "{text}");
    // ffmpeg leaves a few frames out where time begins anew.
    assert!(decoded(&file)[0] > 220);
}

#[test]
fn picture_and_sound_are_recorded_side_by_side() {
    let place = tempfile::tempdir().unwrap();
    let mut stream = Stream::of_branches(
        "videotestsrc num-buffers=60 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! sink.video \
         audiotestsrc num-buffers=86 ! avenc_aac ! aacparse ! sink.audio",
        &at(place.path(), ""),
    );
    stream.play();
    stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    stream.stop();
    for name in [
        "audio_init.mp4",
        "audio_segment_00001.m4s",
        "live_audio.m3u8",
    ] {
        assert!(names(place.path()).contains(&name.to_owned()), "{name}");
    }
    assert_eq!(decoded(&place.path().join("live_video.m3u8")), [60]);
    assert_eq!(decoded(&place.path().join("live.m3u8")).len(), 2);
}

#[test]
fn a_disk_that_takes_nothing_costs_the_recording_and_not_the_stream() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("full");
    let frames = Frames::test_picture(60, 30);
    let mut fed = FedStream::new(&frames.caps, &at(&folder, ""));
    fed.stream.pipeline.set_state(gst::State::Paused).unwrap();
    // No file can be made in its place.
    fs::create_dir(folder.join("segment_00001.m4s")).unwrap();
    let playlist = fed.play_to_end(&frames);
    assert_eq!(playlist.segments.len(), 2);
    for said in ["cannot be written", "again"] {
        support::wait_until(said, || {
            let warnings = fed.stream.warnings_after_drain();
            warnings.iter().any(|text| text.contains(said))
        });
    }
    fed.stream.stop();
    let text = fs::read_to_string(folder.join("live.m3u8")).unwrap();
    assert!(!text.contains("segment_00001"), "{text}");
    assert_eq!(decoded(&folder.join("live.m3u8")), [30]);
}

#[test]
fn with_pads_players_see_a_segment_when_its_file_is_closed() {
    for mode in ["inotify", "poll"] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("mine.txt"), "not theirs").unwrap();
        fs::write(place.path().join("segment_x.m4s"), "nor this").unwrap();
        let frames = Frames::test_picture(165, 15);
        let properties = format!(
            "mode={mode} poll-interval=10 playlist-length=4 max-files=4 segment-duration=500"
        );
        let mut fed = FedStream::new(&frames.caps, &at(place.path(), &properties));
        let playlist = play_to_end(&mut fed, &frames);
        assert_eq!(playlist.segments.last().unwrap().msn, 11);
        assert!(playlist.part_hold_back >= 3_000_000_000);
        // What is too old goes just after the newest is seen.
        let kept = support::wait_for("four segments", || {
            let names = names(place.path());
            let segments = names.iter().filter(|name| name.starts_with("segment_0"));
            let segments: Vec<String> = segments.cloned().collect();
            (segments.len() == 4).then_some(segments)
        });
        assert_eq!(kept[0], "segment_00008.m4s", "{mode}");
        assert_eq!(kept[3], "segment_00011.m4s", "{mode}");
        let names = names(place.path());
        for name in ["mine.txt", "segment_x.m4s", "init.mp4", "live.m3u8"] {
            assert!(names.contains(&name.to_owned()), "{mode}: {names:?}");
        }
        let document = fed.stream.client().get("/timestamps.json").json();
        for name in &kept {
            let modified = fs::metadata(place.path().join(name)).unwrap().modified();
            let modified = modified.unwrap().duration_since(std::time::UNIX_EPOCH);
            let modified = i64::try_from(modified.unwrap().as_nanos()).unwrap();
            let late = document["segments"][name].as_i64().unwrap() - modified;
            assert!((-20_000_000..5_000_000_000).contains(&late), "{late} ns");
        }
        let warnings = fed.stream.warnings_after_drain();
        assert!(warnings.is_empty(), "{warnings:?}");
        fed.stream.stop();
        assert_eq!(decoded(&place.path().join("live.m3u8")), [60], "{mode}");
    }
}

#[test]
fn with_pads_sound_has_the_numbers_of_its_files() {
    let place = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let mut stream = Stream::of_branches(
            "videotestsrc num-buffers=90 is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! sink.video \
             audiotestsrc num-buffers=129 is-live=true ! avenc_aac ! aacparse ! sink.audio",
            &at(place.path(), "mode=inotify"),
        );
        stream.play();
        stream.wait_for_message("end of stream", |message| {
            matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
        });
        let first = |name: &str| {
            let text = support::wait_for(name, || {
                let answer = stream.client().get(&format!("/live_{name}.m3u8"));
                let text = answer.text().to_owned();
                text.contains("#EXT-X-ENDLIST").then_some(text)
            });
            Playlist::read_joined(&text)
        };
        let (video, audio) = (first("video"), first("audio"));
        let begins = [FIRST_MSN..=FIRST_MSN, FIRST_MSN + 3..=FIRST_MSN + 4];
        assert!(begins[run].contains(&video.media_sequence), "run {run}");
        assert_eq!(audio.media_sequence, video.media_sequence, "run {run}");
        for segment in &audio.segments {
            let name = format!("audio_segment_{:05}.m4s", segment.msn);
            assert!(segment.uri.ends_with(&name), "{}", segment.uri);
            assert!(names(place.path()).contains(&name), "{name}");
        }
        stream.stop();
    }
}

#[test]
fn a_crash_leaves_numbers_to_go_on_from() {
    let place = tempfile::tempdir().unwrap();
    // What was there when the light went out.
    fs::write(place.path().join("init.mp4"), b"another init section").unwrap();
    for number in 3..6 {
        let name = format!("segment_{number:05}.m4s");
        fs::write(place.path().join(name), b"cut off in the").unwrap();
    }
    let frames = Frames::test_picture(120, 30);
    let mut fed = FedStream::new(
        &frames.caps,
        &at(place.path(), "mode=inotify playlist-length=3 max-files=3"),
    );
    let playlist = play_to_end(&mut fed, &frames);
    assert!(playlist.media_sequence >= 6);
    assert_eq!(playlist.segments.last().unwrap().msn, 9);
    fed.stream.stop();
    let names = names(place.path());
    // The old init section went with the last segment that needed it.
    assert!(!names.contains(&"init.mp4".to_owned()) && names.contains(&"init_1.mp4".to_owned()));
    assert!(
        !names.contains(&"segment_00004.m4s".to_owned()),
        "{names:?}"
    );
    assert_eq!(decoded(&place.path().join("live.m3u8")), [90]);
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    for mode in ["mode=inotify", "mode=poll poll-interval=10"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("live");
        let frames = Frames::test_picture(120, 30);
        let mut fed = FedStream::new(&frames.caps, &at(&folder, mode));
        fed.stream.play();
        fed.push(&frames.buffers[..61]);
        support::wait_until("a file", || folder.join("segment_00001.m4s").exists());
        // A file that is begun meanwhile is in the way.
        support::wait_until("the folder to be gone", || {
            fs::remove_dir_all(&folder).is_ok()
        });
        fed.push(&frames.buffers[61..]);
        fed.source.end_of_stream().unwrap();
        let playlist = fed.stream.wait_for_end();
        assert_eq!(playlist.segments.len(), 4, "{mode}: players miss nothing");
        fed.stream.stop();
        assert!(folder.join("segment_00004.m4s").exists(), "{mode}");
    }
}

/// A report that is lost is made up for a second later; that is not the way segments come.
#[test]
fn inotify_tells_when_a_file_is_closed() {
    let place = tempfile::tempdir().unwrap();
    let frames = Frames::test_picture(121, 30);
    let fed = FedStream::new(&frames.caps, &at(place.path(), "mode=inotify"));
    fed.stream.play();
    let mut late = Vec::new();
    for (nth, second) in frames.buffers[..120].chunks(30).enumerate() {
        fed.push(second);
        if nth == 0 {
            continue;
        }
        // The first picture of a second ends the one before.
        let name = format!("segment_{nth:05}.m4s");
        let closed = support::wait_for("the segment", || {
            let document = fed.stream.client().get("/timestamps.json").json();
            document["segments"][&name].as_i64()
        });
        let modified = fs::metadata(place.path().join(&name)).unwrap().modified();
        let modified = modified.unwrap().duration_since(std::time::UNIX_EPOCH);
        late.push(closed - i64::try_from(modified.unwrap().as_nanos()).unwrap());
    }
    assert!(late.iter().any(|late| *late < 900_000_000), "{late:?}");
}

/// Whoever looks at the folder sees what players have, and never half of a playlist.
#[test]
fn parts_are_appended_and_whole_segments_are_listed() {
    let place = tempfile::tempdir().unwrap();
    let frames = Frames::test_picture(90, 30);
    let fed = FedStream::new(&frames.caps, &at(place.path(), "part-duration=200"));
    fed.stream.play();
    // A second, two parts, and the picture that ends the second of them.
    fed.push(&frames.buffers[..43]);
    let playlist = support::wait_for("two parts of the second segment", || {
        let answer = fed.stream.client().get("/live.m3u8");
        let playlist = (answer.status == 200).then(|| Playlist::read(answer.text()))?;
        (playlist.next_part() == (2, 2)).then_some(playlist)
    });
    let open = playlist.open.as_ref().unwrap();
    let parts: Vec<u8> = open
        .parts
        .iter()
        .flat_map(|part| fed.stream.client().body(&format!("/{}", part.uri)))
        .collect();
    assert!(!parts.is_empty());
    support::wait_until("the same in the file", || {
        fs::read(place.path().join("segment_00002.m4s")).is_ok_and(|file| file == parts)
    });
    let init = fs::read(place.path().join("init.mp4")).unwrap();
    assert_eq!(
        init,
        fed.stream
            .client()
            .body(&format!("/{}", playlist.segments[0].map))
    );
    let listed = fs::read_to_string(place.path().join("live.m3u8")).unwrap();
    assert!(listed.contains("segment_00001.m4s"), "{listed}");
    assert!(!listed.contains("segment_00002.m4s"), "{listed}");
    // Drafts were renamed to what they are now.
    assert_eq!(
        names(place.path()),
        [
            "init.mp4",
            "live.m3u8",
            "segment_00001.m4s",
            "segment_00002.m4s"
        ]
    );
}

/// Without an end of the stream: what was cut is a segment, of the folder as of players.
#[test]
fn a_stop_keeps_what_is_open() {
    for mode in ["", "mode=inotify", "mode=poll poll-interval=10"] {
        let place = tempfile::tempdir().unwrap();
        let frames = Frames::test_picture(72, 30);
        let fed = FedStream::new(&frames.caps, &at(place.path(), mode));
        fed.stream.play();
        fed.push(&frames.buffers);
        fed.wait_for_frames(72);
        let count = |text: &str| text.matches("#EXTINF").count();
        let live = || fed.stream.client().get("/live.m3u8");
        support::wait_until("two segments", || {
            let answer = live();
            answer.status == 200 && count(answer.text()) == 2
        });
        fed.stream.pipeline.set_state(gst::State::Ready).unwrap();
        let answer = live();
        let text = answer.text();
        assert!(text.contains("#EXT-X-ENDLIST"), "{mode}: {text}");
        assert_eq!(count(text), 3, "{mode}: {text}");
        let recorded = fs::read_to_string(place.path().join("live.m3u8")).unwrap();
        assert_eq!(count(&recorded), 3, "{mode}: {recorded}");
        assert!(recorded.contains("#EXT-X-ENDLIST"), "{mode}: {recorded}");
        let last = text.lines().rfind(|line| line.ends_with(".m4s")).unwrap();
        let (_, name) = last.rsplit_once('/').unwrap();
        assert_eq!(
            fed.stream.client().body(&format!("/{last}")),
            fs::read(place.path().join(name)).unwrap(),
            "{mode}"
        );
    }
}
