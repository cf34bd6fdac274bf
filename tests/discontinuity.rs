//! When the format or the time jumps players are told; when a few frames are missing they are not.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use gst::prelude::*;
use support::{
    check::{Allowed, Run, follow_and_check},
    stream::{FedStream, Frames, Stream},
};

fn check(fed: &mut FedStream, discontinuities: usize) -> Run {
    fed.source.end_of_stream().unwrap();
    let allowed = Allowed {
        discontinuities,
        ..Allowed::NOTHING
    };
    follow_and_check(&mut fed.stream, allowed)
}

fn later(frames: Frames, by: gst::ClockTime) -> Frames {
    frames.retimed(|_, frame| {
        frame.set_pts(frame.pts().map(|time| time + by));
        frame.set_dts(frame.dts().map(|time| time + by));
    })
}

fn larger(count: usize) -> Frames {
    Frames::of(&format!(
        "videotestsrc num-buffers={count} ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse \
         ! video/x-h264,stream-format=avc,alignment=au"
    ))
    .retimed(|nth, frame| {
        let time = nth as u64 * gst::ClockTime::SECOND / 30;
        frame.set_pts(time);
        frame.set_dts(time);
    })
}

#[test]
fn another_resolution_is_another_init_section() {
    // Ten frames into the second segment, and no gap in time.
    let before = Frames::test_picture(40, 30);
    let after = later(larger(60), 40 * gst::ClockTime::SECOND / 30);
    let mut fed = FedStream::new(&before.caps, "");
    fed.stream.play();
    fed.push(&before.buffers);
    fed.source.set_caps(Some(&after.caps));
    fed.push(&after.buffers);
    let run = check(&mut fed, 1);
    let segments = &run.playlist.segments;
    assert_eq!(segments.len(), 4);
    assert!(segments[2].is_discontinuity);
    assert_eq!(segments[0].map, segments[1].map);
    assert_eq!(segments[2].map, segments[3].map);
    assert_ne!(segments[1].map, segments[2].map);
    let sizes = |nth: usize| {
        let init = &run.inits[&segments[nth].map];
        (init.width, init.height)
    };
    assert_eq!(sizes(0), (160, 120));
    assert_eq!(sizes(2), (320, 240));
    // The segment that was cut short ends with its last frame.
    assert_eq!(
        run.segments[1]
            .iter()
            .map(|part| part.samples.len())
            .sum::<usize>(),
        10
    );
    assert_eq!(run.samples().count(), 100);
    assert_eq!(fed.stream.stats().get::<i32>("width").unwrap_or(320), 320);
}

#[test]
fn the_same_format_again_changes_nothing() {
    let frames = Frames::test_picture(60, 30);
    let mut again = frames.caps.clone();
    // What a parser adds once it has read more: it makes no other init section.
    again.make_mut().set("coded-picture-structure", "frame");
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[..40]);
    fed.source.set_caps(Some(&again));
    fed.push(&frames.buffers[40..]);
    let run = check(&mut fed, 0);
    assert_eq!(run.inits.len(), 1);
    assert_eq!(run.segments.len(), 2);
}

#[test]
fn a_gap_of_five_seconds_is_told() {
    let before = Frames::test_picture(45, 30);
    let after = later(
        Frames::test_picture(60, 30),
        gst::ClockTime::from_mseconds(6_500),
    );
    let mut fed = FedStream::new(&before.caps, "");
    fed.stream.play();
    fed.push(&before.buffers);
    fed.push(&after.buffers);
    let run = check(&mut fed, 1);
    let segments = &run.playlist.segments;
    assert_eq!(segments.len(), 4);
    assert!(segments[2].is_discontinuity);
    // The date jumps with the source.
    let step = segments[2].date - segments[1].date;
    assert!((step - 5_500_000_000).abs() < 2_000_000, "{step}");
    assert_eq!(run.samples().count(), 105);
    fed.stream.drain_messages();
    let told = fed
        .stream
        .messages
        .iter()
        .filter_map(|message| message.structure())
        .find(|structure| structure.name() == "llhls-discontinuity")
        .expect("an llhls-discontinuity message");
    assert_eq!(told.get::<u64>("msn"), Ok(3));
    assert!(
        segments[2]
            .uri
            .ends_with(told.get::<&str>("segment").unwrap())
    );
}

#[test]
fn time_that_starts_over_is_told() {
    let before = Frames::test_picture(90, 30);
    let after = Frames::test_picture(60, 30);
    let mut fed = FedStream::new(&before.caps, "");
    fed.stream.play();
    fed.push(&before.buffers);
    fed.push(&after.buffers);
    let run = check(&mut fed, 1);
    assert_eq!(run.segments.len(), 5);
    assert_eq!(run.samples().count(), 150);
    // PL-33: one date names one picture.
    let segments = &run.playlist.segments;
    let overlap = segments[2].date + segments[2].duration - segments[3].date;
    assert!(overlap < 1_000_000_000, "{overlap}");
}

/// A seek starts running time over, under the same clock.
#[test]
fn a_seek_is_told() {
    support::init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seek.mp4").display().to_string();
    let recorder = gst::parse::launch(&format!(
        "videotestsrc num-buffers=90 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency key-int-max=15 ! h264parse ! mp4mux ! filesink location=\"{file}\""
    ))
    .unwrap();
    recorder.set_state(gst::State::Playing).unwrap();
    let written = recorder
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Eos]);
    assert!(written.is_some());
    recorder.set_state(gst::State::Null).unwrap();

    let mut stream = Stream::new(
        &format!("filesrc location=\"{file}\" ! qtdemux ! h264parse"),
        "sync=true segment-duration=500",
    );
    stream.play();
    stream.wait_for_element_message("llhls-segment");
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
    stream
        .pipeline
        .seek_simple(flags, gst::ClockTime::from_seconds(2))
        .unwrap();
    let playlist = stream.wait_for_end();
    let jumps = playlist
        .segments
        .iter()
        .filter(|segment| segment.is_discontinuity)
        .count();
    assert_eq!(jumps, 1, "{}", playlist.text);
    for pair in playlist.segments.windows(2) {
        let overlap = pair[0].date + pair[0].duration - pair[1].date;
        assert!(overlap < 1_000_000_000, "PL-33: {}", playlist.text);
    }
}

#[test]
fn a_hole_of_some_frames_is_bridged() {
    for missing in [1, 3, 10, 20] {
        let frames = Frames::test_picture(150, 30);
        let mut fed = FedStream::new(&frames.caps, "");
        fed.stream.play();
        fed.push(&frames.buffers[..40]);
        fed.push(&frames.buffers[40 + missing..]);
        fed.source.end_of_stream().unwrap();
        let allowed = Allowed {
            // Decode time catches up inside the segment after a long hole, which may have to be cut for that.
            segments_without_sync: missing == 20,
            ..Allowed::NOTHING
        };
        // Presentation times stay as they were: the check compares them.
        let run = follow_and_check(&mut fed.stream, allowed);
        assert_eq!(run.samples().count(), 150 - missing);
    }
}
