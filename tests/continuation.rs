//! `on-restart=continue`: a run goes on with the presentation of the one before.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{fs, path::Path};

use gst::prelude::*;
use support::{
    check::Watcher,
    http::Pending,
    playlist::Playlist,
    stream::{FedStream, Frames, Stream},
};

/// Three segments and two parts of a fourth, then a run of one segment and two parts more.
const FRAMES: usize = 3 * 30 + 14;

fn frames() -> Frames {
    Frames::test_picture(FRAMES, 30)
}

/// Plays the frames, until players can see that many segments.
fn run(fed: &FedStream, frames: &Frames, segments: usize) -> Playlist {
    fed.stream.play();
    fed.push(&frames.buffers);
    support::wait_for("segments", || {
        Some(fed.stream.playlist()).filter(|playlist| playlist.segments.len() >= segments)
    })
}

fn folder(playlist: &Playlist) -> String {
    let (folder, _) = playlist.segments[0].uri.split_once('/').unwrap();
    folder.to_owned()
}

fn rest(stream: &Stream, state: gst::State) {
    stream.pipeline.set_state(state).unwrap();
}

/// What is in `before` is in `after` as it was, and the run that follows is one discontinuity further.
fn goes_on(before: &Playlist, after: &Playlist) {
    assert_eq!(folder(before), folder(after));
    assert!(!before.is_ended && !after.is_ended, "{}", after.text);
    let kept = before.segments.len();
    let mut watcher = Watcher::default();
    watcher.compare(before);
    watcher.compare(after);
    // The segment that was open when the run ended, as far as it had come.
    let ended = &after.segments[kept];
    let parts = &before.open.as_ref().unwrap().parts;
    let reached: i64 = parts.iter().map(|part| part.duration).sum();
    assert_eq!(ended.duration, reached);
    assert!(!ended.is_discontinuity);
    let next = &after.segments[kept + 1];
    assert!(
        next.is_discontinuity && next.date > ended.date,
        "{}",
        after.text
    );
    assert_eq!(next.map, ended.map, "the same format");
    let parts: Vec<u64> = after.parts().map(|part| part.number()).collect();
    assert!(
        parts.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{parts:?}"
    );
}

#[test]
fn ready_and_null_and_back_go_on() {
    let frames = frames();
    for state in [gst::State::Ready, gst::State::Null] {
        let fed = FedStream::new(&frames.caps, "on-restart=continue");
        let before = {
            run(&fed, &frames, 3);
            support::wait_for("two parts of the fourth", || {
                Some(fed.stream.playlist()).filter(|playlist| playlist.next_part() == (4, 2))
            })
        };
        // The port is the caller's to keep: port 0 is another one after NULL.
        let port = u32::from(fed.stream.port());
        fed.stream.sink.set_property("port", port);
        rest(&fed.stream, state);
        let after = run(&fed, &frames, 7);
        goes_on(&before, &after);
        assert_eq!(after.segments[4].msn, 5);
        let stats = fed.stream.client().get("/stats.json").json();
        assert_eq!(stats["violations"], 0, "{stats}");
        // Every byte is there, of either run.
        for uri in after.uris() {
            fed.stream.client().body(&format!("/{uri}"));
        }
    }
}

/// Names of the segments in a folder, sorted.
fn files(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("segment_"))
        .collect();
    names.sort();
    names
}

#[test]
fn files_have_the_numbers_players_see() {
    let frames = frames();
    for state in [gst::State::Ready, gst::State::Null] {
        let place = tempfile::tempdir().unwrap();
        let properties = format!("on-restart=continue location={}", place.path().display());
        let fed = FedStream::new(&frames.caps, &properties);
        run(&fed, &frames, 3);
        fed.wait_for_frames(FRAMES);
        let port = u32::from(fed.stream.port());
        fed.stream.sink.set_property("port", port);
        rest(&fed.stream, state);
        assert_eq!(fed.stream.sink.current_state(), state);
        let first = files(place.path());
        assert_eq!(first.len(), 4, "{first:?}");
        let after = run(&fed, &frames, 7);
        fed.wait_for_frames(2 * FRAMES);
        let gaps = after.segments.iter().filter(|segment| segment.is_gap);
        assert_eq!(gaps.count(), 0, "{}", after.text);
        rest(&fed.stream, gst::State::Null);
        let names = files(place.path());
        let expected: Vec<String> = (1..=8).map(|msn| format!("segment_{msn:05}.m4s")).collect();
        assert_eq!(names, expected);
        for segment in &after.segments {
            let (_, name) = segment.uri.split_once('/').unwrap();
            assert!(names.iter().any(|file| file == name), "{name}");
        }
    }
}

/// Another folder, which has more: nothing in it is written over, and players hear of no gaps.
#[test]
fn a_folder_that_is_further_keeps_what_it_has() {
    let frames = frames();
    let place = tempfile::tempdir().unwrap();
    let old = place.path().join("segment_00040.m4s");
    fs::write(&old, b"of yesterday").unwrap();
    let fed = FedStream::new(&frames.caps, "on-restart=continue");
    run(&fed, &frames, 3);
    rest(&fed.stream, gst::State::Ready);
    fed.stream
        .sink
        .set_property("location", place.path().to_str().unwrap());
    let after = run(&fed, &frames, 7);
    assert!(
        after.segments.iter().all(|segment| !segment.is_gap),
        "{}",
        after.text
    );
    rest(&fed.stream, gst::State::Null);
    assert_eq!(fs::read(&old).unwrap(), b"of yesterday");
    assert_eq!(
        files(place.path())[..2],
        ["segment_00040.m4s", "segment_00041.m4s"]
    );
}

#[test]
fn who_waits_is_answered_by_the_next_run() {
    let frames = frames();
    let fed = FedStream::new(&frames.caps, "on-restart=continue");
    run(&fed, &frames, 3);
    let playlist = support::wait_for("two parts of the fourth", || {
        Some(fed.stream.playlist()).filter(|playlist| playlist.next_part() == (4, 2))
    });
    let wait = |path: &str| fed.stream.get_later(path);
    let hint = format!("/{}", playlist.hint.unwrap());
    let pending: [Pending; 2] = [wait("/live.m3u8?_HLS_msn=4&_HLS_part=2"), wait(&hint)];
    support::wait_until("both to be parked", || {
        fed.stream.stats().get::<u32>("requests-parked") == Ok(2)
    });
    rest(&fed.stream, gst::State::Ready);
    run(&fed, &frames, 4);
    let [reload, part] = pending.map(Pending::wait);
    // Either may have been late on a busy machine; what is answered has to be right.
    for answer in [&reload, &part] {
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
    }
    if reload.status == 200 {
        let after = Playlist::read(reload.text());
        assert!(after.next_part() > (3, 2), "{}", after.text);
        assert!(!after.is_ended);
    }
    if part.status == 200 {
        assert_eq!(part.body, fed.stream.client().body(&hint));
    }
    // And without another run they hear so at their deadline.
    let (msn, part) = fed.stream.playlist().next_part();
    rest(&fed.stream, gst::State::Ready);
    let far = format!("/live.m3u8?_HLS_msn={}&_HLS_part={part}", msn + 1);
    assert_eq!(fed.stream.client().get(&far).status, 503);
}

/// What is done to a stream between two runs.
type Change<'a> = &'a dyn Fn(&FedStream);

#[test]
fn what_cannot_go_on_begins_anew() {
    let frames = frames();
    let changes: [(&str, Change<'_>); 4] = [
        ("by default", &|fed| {
            fed.stream
                .sink
                .set_property_from_str("on-restart", "new-presentation");
        }),
        ("with other durations", &|fed| {
            rest(&fed.stream, gst::State::Null);
            fed.stream.sink.set_property("part-duration", 100_u32);
        }),
        ("with another pad", &|fed| {
            let name = "audio";
            let pad = fed.stream.sink.request_pad_simple(name).unwrap();
            assert_eq!(pad.name(), name);
            fed.stream.sink.set_property("track-timeout", 100_u32);
        }),
        ("after the end", &|_| {}),
    ];
    for (what, change) in changes {
        let fed = FedStream::new(&frames.caps, "on-restart=continue");
        let before = run(&fed, &frames, 3);
        if what == "after the end" {
            fed.source.end_of_stream().unwrap();
            fed.stream.wait_for_playlist_end();
        }
        rest(&fed.stream, gst::State::Ready);
        change(&fed);
        fed.stream.play();
        fed.push(&frames.buffers);
        let entry = if what == "with another pad" {
            "/live_video.m3u8"
        } else {
            "/live.m3u8"
        };
        let text = fed.stream.client().body(entry);
        let after = Playlist::read(std::str::from_utf8(&text).unwrap());
        assert_ne!(folder(&before), folder(&after), "{what}");
        assert_eq!(after.segments[0].msn, 1, "{what}");
    }
}

#[test]
fn picture_and_sound_go_on_in_step() {
    let stream = Stream::of_branches(
        "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc speed-preset=ultrafast tune=zerolatency threads=1 ! h264parse ! sink. \
         audiotestsrc is-live=true ! avenc_aac ! aacparse ! sink.",
        "on-restart=continue",
    );
    let playlist = |name: &str| {
        let text = stream.client().body(&format!("/live_{name}.m3u8"));
        Playlist::read(std::str::from_utf8(&text).unwrap())
    };
    let until = |segments: u64| {
        for name in ["video", "audio"] {
            support::wait_until("segments", || playlist(name).next_part().0 >= segments);
        }
    };
    stream.play();
    until(3);
    rest(&stream, gst::State::Ready);
    let begins = playlist("video").next_part().0;
    assert_eq!(playlist("audio").next_part().0, begins);
    stream.play();
    until(begins + 2);
    let dates = ["video", "audio"].map(|name| {
        let all = playlist(name);
        let cut = |msn: u64| all.segments.iter().find(|segment| segment.msn == msn);
        let first = cut(begins).unwrap();
        assert!(first.is_discontinuity, "{}", all.text);
        let cuts = all
            .segments
            .iter()
            .filter(|segment| segment.is_discontinuity);
        assert_eq!(cuts.count(), 1, "{}", all.text);
        first.date
    });
    let apart = (dates[0] - dates[1]).abs();
    assert!(apart <= 200_000_000, "{apart} ns apart");
    let stats = stream.client().get("/stats.json").json();
    assert_eq!(stats["violations"], 0, "{stats}");
}
