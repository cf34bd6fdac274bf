//! Segments start at key frames: asked for, waited for, or done without.

mod support;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use gst::prelude::*;
use support::{
    check::{Allowed, follow_and_check, play_and_check, play_and_check_but},
    stream::{FedStream, Frames, Stream},
};

const DEFAULT_GOP: &str = "videotestsrc num-buffers=450 ! video/x-raw,width=160,height=120,framerate=30/1 \
                           ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";

#[test]
fn an_encoder_with_a_long_gop_gives_segments_of_a_second_when_asked() {
    let mut stream = Stream::new(DEFAULT_GOP, "");
    let run = play_and_check(&mut stream);
    assert_eq!(run.segments.len(), 15);
    for seconds in run.segment_seconds() {
        assert_eq!(seconds, 1.0);
    }
    assert_eq!(run.playlist.target_duration, 1);
    assert!(stream.frames("key-frame-requests") >= 14);
    assert_eq!(stream.warnings(), [""; 0]);
}

#[test]
fn without_requests_the_first_segment_sets_the_target_and_a_warning_says_why() {
    let mut stream = Stream::new(DEFAULT_GOP, "send-keyframe-requests=false");
    let run = play_and_check(&mut stream);
    assert_eq!(stream.frames("key-frame-requests"), 0);
    // Left alone, x264enc makes a key frame every ten seconds.
    assert_eq!(run.playlist.target_duration, 10);
    assert_eq!(run.segments.len(), 2);
    let warnings = stream.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("send-keyframe-requests is off"),
        "{warnings:?}"
    );
}

#[test]
fn a_deaf_encoder_is_named_once() {
    // Frames that were encoded before: nobody upstream hears a request.
    let frames = Frames::test_picture(300, 60);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let run = follow_and_check(&mut fed.stream, Allowed::NOTHING);
    assert_eq!(run.playlist.target_duration, 2);
    assert_eq!(run.segments.len(), 5);
    let warnings = fed.stream.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("nobody upstream"), "{warnings:?}");
}

/// TARGETDURATION never changes: a GOP that would break it is cut.
#[test]
fn a_later_longer_gop_is_cut_without_a_key_frame() {
    let short = Frames::test_picture(60, 30);
    let long = Frames::test_picture(240, 240).retimed(|_, frame| {
        let start = gst::ClockTime::from_seconds(2);
        frame.set_pts(frame.pts().map(|time| time + start));
        frame.set_dts(frame.dts().map(|time| time + start));
    });
    let mut fed = FedStream::new(&short.caps, "");
    fed.stream.play();
    fed.push(&short.buffers);
    fed.push(&long.buffers);
    fed.source.end_of_stream().unwrap();
    let run = follow_and_check(
        &mut fed.stream,
        Allowed {
            segments_without_sync: true,
            ..Allowed::NOTHING
        },
    );
    assert_eq!(run.playlist.target_duration, 1);
    let without_sync = run
        .segments
        .iter()
        .filter(|parts| !parts[0].samples[0].is_sync)
        .count();
    assert!(without_sync >= 5, "{without_sync}");
    assert_eq!(
        fed.stream.warnings().len(),
        1,
        "{:?}",
        fed.stream.warnings()
    );
}

/// CM-17: x264 with open GOPs makes I pictures that are no place to start at.
#[test]
fn the_i_picture_of_an_open_gop_is_no_sync_sample() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc speed-preset=veryfast bframes=2 key-int-max=15 option-string=open-gop=1 ! h264parse",
        "send-keyframe-requests=false",
    );
    let key_frames = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&key_frames);
    let pad = stream.sink.static_pad("video").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer()
            && !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
        {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    // The flags themselves are compared with the NAL units for every sample of every run.
    let run = play_and_check_but(
        &mut stream,
        Allowed {
            segments_without_sync: true,
            ..Allowed::NOTHING
        },
    );
    let sync = run.samples().filter(|sample| sample.is_sync).count();
    let marked = key_frames.load(std::sync::atomic::Ordering::Relaxed);
    assert!(
        sync < marked,
        "{sync} IDR pictures, {marked} buffers marked as key frames"
    );
}

#[test]
fn frames_before_the_first_key_frame_are_dropped_and_counted() {
    let frames = Frames::test_picture(75, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[10..]);
    fed.source.end_of_stream().unwrap();
    let run = follow_and_check(&mut fed.stream, Allowed::NOTHING);
    assert_eq!(fed.stream.frames("dropped-before-key-frame"), 20);
    assert_eq!(fed.stream.frames("taken"), 45);
    assert!(run.segments[0][0].samples[0].is_sync);
}

/// h264parse keeps the newest request without a lock: one from another thread than the one that pushes frames through it may end
/// in freed memory.
#[test]
fn requests_come_from_the_thread_that_brings_frames() {
    let branches = format!(
        "{DEFAULT_GOP} ! sink.video audiotestsrc num-buffers=720 samplesperbuffer=1000 ! audio/x-raw,rate=48000 \
         ! avenc_aac ! aacparse ! sink.audio"
    );
    let mut stream = Stream::of_branches(&branches, "");
    let bringing = Arc::new(Mutex::new(HashSet::new()));
    let asking = Arc::new(Mutex::new(Vec::new()));
    let (brought, asked) = (Arc::clone(&bringing), Arc::clone(&asking));
    let pad = stream.sink.static_pad("video").unwrap();
    let watched = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_UPSTREAM;
    pad.add_probe(watched, move |_, info| {
        let thread = std::thread::current().id();
        if let Some(event) = info.event() {
            if gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok() {
                asked.lock().unwrap().push(thread);
            }
        } else {
            brought.lock().unwrap().insert(thread);
        }
        gst::PadProbeReturn::Ok
    });
    stream.play();
    stream.wait_for_message("the end", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    let (bringing, asking) = (bringing.lock().unwrap(), asking.lock().unwrap());
    assert_eq!(bringing.len(), 1);
    // One for each of fifteen segments, unless the encoder was far ahead of it.
    assert!(asking.len() >= 3, "{asking:?}");
    assert!(asking.iter().all(|thread| bringing.contains(thread)));
}
