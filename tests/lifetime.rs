//! Elements and pads come and go, and nothing keeps them.

mod support;

use gst::prelude::*;
use support::{
    check::{Allowed, follow_and_check},
    stream::{FedStream, Frames, Stream},
};

#[test]
fn an_element_that_is_dropped_is_gone_with_all_its_children() {
    let frames = Frames::test_picture(45, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.wait_for_frames(45);
    let bin = fed.stream.sink.downcast_ref::<gst::Bin>().unwrap();
    let mut weak: Vec<_> = bin
        .iterate_elements()
        .into_iter()
        .flatten()
        .map(|element| (element.name(), element.downgrade()))
        .collect();
    assert!(weak.len() >= 4, "clocksync, feeder, mp4mux, collector");
    weak.push((fed.stream.sink.name(), fed.stream.sink.downgrade()));
    drop(fed);
    for (name, weak) in weak {
        support::wait_until(&format!("{name} to be gone"), || weak.upgrade().is_none());
    }
}

#[test]
fn in_null_nothing_is_inside() {
    let stream = Stream::new("videotestsrc ! x264enc ! h264parse", "");
    let bin = stream.sink.downcast_ref::<gst::Bin>().unwrap();
    let children = || bin.iterate_elements().into_iter().flatten().count();
    assert_eq!(children(), 0);
    for _ in 0..3 {
        stream.pipeline.set_state(gst::State::Ready).unwrap();
        assert_eq!(children(), 4);
        stream.stop();
        assert_eq!(children(), 0);
    }
}

/// An application that unplugs its source and plugs in another. The first stream is over then.
#[test]
fn pads_come_and_go_while_the_pipeline_plays() {
    support::init();
    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("llhlssink")
        .property("port", 0_u32)
        .build()
        .unwrap();
    pipeline.add(&sink).unwrap();
    let stream = Stream::around(pipeline, sink);
    stream.play();
    let frames = Frames::test_picture(60, 30);
    let mut folders = Vec::new();
    for _ in 0..3 {
        let source = gst_app::AppSrc::builder()
            .caps(&frames.caps)
            .format(gst::Format::Time)
            .is_live(true)
            .build();
        stream.pipeline.add(&source).unwrap();
        let pad = stream.sink.request_pad_simple("video").unwrap();
        let out = source.static_pad("src").unwrap();
        out.link(&pad).unwrap();
        source.sync_state_with_parent().unwrap();
        for frame in &frames.buffers {
            source.push_buffer(frame.clone()).unwrap();
        }
        support::wait_until("the tenth part", || {
            let playlist = stream.playlist();
            assert!(!playlist.is_ended);
            playlist.next_part() == (2, 5)
        });
        let waiting = stream.get_later("/live.m3u8?_HLS_msn=3&_HLS_part=0");
        support::wait_until("a parked request", || {
            stream.stats().get::<u32>("requests-parked") == Ok(1)
        });
        out.unlink(&pad).unwrap();
        stream.sink.release_request_pad(&pad);
        source.set_state(gst::State::Null).unwrap();
        stream.pipeline.remove(&source).unwrap();
        assert!(waiting.wait().text().contains("#EXT-X-ENDLIST"));
        let playlist = stream.wait_for_playlist_end();
        assert_eq!(playlist.segments.len(), 2);
        folders.push(playlist.segments[0].uri.clone());
    }
    folders.dedup();
    assert_eq!(folders.len(), 3, "a folder each");
}

/// A stream in READY keeps its port; the next run in it is another one.
#[test]
fn a_second_run_in_ready_starts_from_nothing() {
    let frames = Frames::test_picture(60, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    let mut folders = Vec::new();
    for _ in 0..2 {
        fed.stream.play();
        fed.push(&frames.buffers);
        fed.source.end_of_stream().unwrap();
        let playlist = fed.stream.wait_for_end();
        assert_eq!(playlist.segments.len(), 2);
        folders.push(playlist.segments[0].uri.clone());
        fed.stream.pipeline.set_state(gst::State::Ready).unwrap();
        // The last run can be fetched until the next one begins.
        assert_eq!(fed.stream.playlist().text, playlist.text);
    }
    assert_ne!(folders[0], folders[1]);
    let mut client = fed.stream.client();
    assert_eq!(client.get(&format!("/{}", folders[0])).status, 404);
    assert_eq!(client.get(&format!("/{}", folders[1])).status, 200);
}

/// Two elements in one process do not meet.
#[test]
fn two_elements_serve_side_by_side() {
    let source = "videotestsrc num-buffers=60 ! video/x-raw,width=160,height=120,framerate=30/1 \
                  ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";
    let mut streams = [Stream::new(source, ""), Stream::new(source, "")];
    for stream in &streams {
        stream.play();
    }
    assert_ne!(streams[0].port(), streams[1].port());
    for stream in &mut streams {
        let run = follow_and_check(stream, Allowed::NOTHING);
        assert_eq!(run.segments.len(), 2);
    }
}
