//! What goes wrong is said, and nothing ends the process.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::net::TcpListener;

use gst::prelude::*;
use support::{
    check::{Allowed, follow_and_check},
    stream::{FedStream, Frames, Stream, caps},
};

/// A stream whose element cannot leave NULL.
fn refused(properties: &str) -> String {
    let mut stream = Stream::new("videotestsrc ! x264enc ! h264parse", properties);
    assert!(stream.pipeline.set_state(gst::State::Ready).is_err());
    stream.wait_for_error()
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = refused(&format!("host=127.0.0.1 port={port}"));
    assert!(text.contains("127.0.0.1"), "{text}");
    assert!(text.contains(&port.to_string()), "{text}");
}

#[test]
fn a_host_that_is_not_here_is_named() {
    let text = refused("host=192.0.2.1");
    assert!(text.contains("192.0.2.1"), "{text}");
    let text = refused("host=no-such-host.invalid");
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[test]
fn bad_property_values_are_named() {
    for (properties, names) in [
        ("playlist-name=a/b.m3u8", "playlist-name"),
        ("playlist-name=../live.m3u8", "playlist-name"),
        ("playlist-name=live.mpd", "playlist-name"),
        ("playlist-name=\"\"", "playlist-name"),
        ("part-duration=2000 segment-duration=1000", "part-duration"),
        ("part-duration=500 part-hold-back=6.1", "part-hold-back"),
        ("max-files=9 playlist-length=10", "max-files"),
        ("public-url=ftp://example.com", "public-url"),
        ("cors-origin=\"a, b\"", "cors-origin"),
        ("allowed-hosts=http://a", "allowed-hosts"),
        ("carry-query=_HLS_msn", "carry-query"),
        ("access-token=short", "access-token"),
    ] {
        let text = refused(properties);
        assert!(text.contains(names), "{properties}: {text}");
    }
}

/// The mistake can be mended: the element goes to READY after it was refused.
#[test]
fn a_refused_start_can_be_tried_again() {
    let stream = Stream::new(
        "videotestsrc ! x264enc ! h264parse",
        "playlist-name=a/b.m3u8",
    );
    assert!(stream.pipeline.set_state(gst::State::Ready).is_err());
    stream.pipeline.set_state(gst::State::Null).unwrap();
    stream.sink.set_property("playlist-name", "fine.m3u8");
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    assert_ne!(stream.port(), 0);
}

#[test]
fn an_end_before_the_first_frame_is_an_end() {
    let frames = Frames::test_picture(1, 1);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.source.end_of_stream().unwrap();
    fed.stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    let mut client = fed.stream.client();
    let answer = client.get("/live.m3u8");
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[test]
fn one_frame_is_a_stream() {
    let frames = Frames::test_picture(1, 1);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let run = follow_and_check(&mut fed.stream, Allowed::NOTHING);
    assert_eq!(run.samples().count(), 1);
}

/// Frames that cannot be used are left out and counted; those around them go on.
fn with_bad_frames(spoil: impl Fn(&mut gst::BufferRef), figure: &str, dropped: usize) -> FedStream {
    let frames = Frames::test_picture(90, 30).retimed(|nth, frame| {
        if nth % 10 == 5 {
            spoil(frame);
        }
    });
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let allowed = Allowed {
        dropped,
        ..Allowed::NOTHING
    };
    follow_and_check(&mut fed.stream, allowed);
    assert_eq!(fed.stream.frames(figure), dropped as u64);
    fed
}

#[test]
fn frames_without_any_timestamp_are_left_out_and_warned_of_once() {
    let fed = with_bad_frames(
        |frame| {
            frame.set_pts(None);
            frame.set_dts(None);
        },
        "dropped-without-timestamp",
        9,
    );
    let warnings = fed.stream.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("timestamp"), "{warnings:?}");
}

#[test]
fn frames_without_a_presentation_time_are_shown_at_their_decode_time() {
    with_bad_frames(|frame| frame.set_pts(None), "dropped-without-timestamp", 0);
}

#[test]
fn steps_back_are_left_out() {
    with_bad_frames(
        |frame| {
            let back = |time: Option<gst::ClockTime>| {
                Some(time?.saturating_sub(gst::ClockTime::from_mseconds(100)))
            };
            frame.set_pts(back(frame.pts()));
            frame.set_dts(back(frame.dts()));
        },
        "dropped-backwards",
        9,
    );
}

#[test]
fn empty_frames_are_left_out() {
    with_bad_frames(|frame| frame.set_size(0), "dropped-empty", 9);
}

#[test]
fn garbage_is_no_key_frame_and_no_panic() {
    let frames = Frames::test_picture(60, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    for (nth, frame) in frames.buffers.iter().enumerate() {
        let mut state = nth as u32 + 1;
        let mut garbage = gst::Buffer::from_slice(
            (0..nth * 7)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect::<Vec<_>>(),
        );
        let times = garbage.get_mut().unwrap();
        times.set_pts(frame.pts());
        times.set_dts(frame.dts());
        fed.push(&[garbage]);
    }
    fed.source.end_of_stream().unwrap();
    fed.stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    assert_eq!(fed.stream.frames("taken"), 0);
    assert_eq!(fed.stream.frames("dropped-before-key-frame"), 59);
    assert_eq!(fed.stream.frames("dropped-empty"), 1);
}

/// Behind a key frame garbage is a sample like any other: it is the encoder's, not ours to judge.
#[test]
fn garbage_behind_a_key_frame_goes_on() {
    let frames = Frames::test_picture(90, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    for (nth, frame) in frames.buffers.iter().enumerate() {
        let mut frame = frame.clone();
        if nth % 30 > 3 {
            let mut garbage = gst::Buffer::from_slice(vec![0xa5_u8; 1 + nth]);
            let times = garbage.get_mut().unwrap();
            times.set_pts(frame.pts());
            times.set_dts(frame.dts());
            times.set_duration(frame.duration());
            frame = garbage;
        }
        fed.push(&[frame]);
    }
    fed.source.end_of_stream().unwrap();
    let playlist = fed.stream.wait_for_end();
    assert_eq!(playlist.segments.len(), 3);
}

#[test]
fn frames_without_caps_are_an_error_that_says_what_to_do() {
    // A harness would set caps; a bare pad sets none.
    support::init();
    let sink = gst::ElementFactory::make("llhlssink")
        .property("port", 0_u32)
        .build()
        .unwrap();
    let pad = sink.request_pad_simple("video").unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add(&sink).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    pad.send_event(gst::event::StreamStart::new("frames"));
    pad.send_event(gst::event::Segment::new(&segment));
    let mut frame = gst::Buffer::from_slice([0_u8; 8]);
    frame.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    assert_eq!(pad.chain(frame), Err(gst::FlowError::NotNegotiated));
    let mut stream = Stream::around(pipeline, sink);
    let text = stream.wait_for_error();
    assert!(text.contains("h264parse"), "{text}");
}

#[test]
fn caps_that_lack_codec_data_are_an_error() {
    let frames = Frames::test_picture(1, 1);
    let lacking = caps("video/x-h264,stream-format=avc,alignment=au,width=160,height=120");
    let mut fed = FedStream::new(&lacking, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    let text = fed.stream.wait_for_error();
    assert!(text.contains("codec_data"), "{text}");
}

#[test]
fn a_taken_pad_gives_a_numbered_one() {
    support::init();
    let sink = gst::ElementFactory::make("llhlssink").build().unwrap();
    for (template, name) in [
        ("video", "video"),
        ("video", "video_0"),
        ("video_%u", "video_1"),
        ("audio", "audio"),
        ("audio", "audio_0"),
    ] {
        let template = sink.pad_template(template).unwrap();
        assert_eq!(
            sink.request_pad(&template, None, None).unwrap().name(),
            name
        );
    }
    let template = sink.pad_template("audio_%u").unwrap();
    let named = sink.request_pad(&template, Some("audio_7"), None).unwrap();
    assert_eq!(named.name(), "audio_7");
}
