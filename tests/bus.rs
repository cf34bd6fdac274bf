//! What the application hears, and what it does not.

mod support;

use gst::prelude::*;
use support::{
    check::play_and_check,
    stream::{FedStream, Frames, Stream},
};

const SOURCE: &str = "videotestsrc num-buffers=120 ! video/x-raw,width=160,height=120,framerate=30/1 \
                      ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";

fn named<'a>(stream: &'a Stream, name: &str) -> Vec<&'a gst::StructureRef> {
    stream
        .messages
        .iter()
        .filter(|message| message.type_() == gst::MessageType::Element)
        .filter(|message| message.src() == Some(stream.sink.upcast_ref()))
        .filter_map(|message| message.structure())
        .filter(|structure| structure.name() == name)
        .collect()
}

#[test]
fn segments_are_told_and_parts_only_on_request() {
    for with_parts in [false, true] {
        let mut stream = Stream::new(SOURCE, &format!("post-part-messages={with_parts}"));
        let run = play_and_check(&mut stream);
        stream.drain_messages();
        let segments = named(&stream, "llhls-segment");
        assert_eq!(segments.len(), 4);
        for (told, listed) in segments.iter().zip(&run.playlist.segments) {
            assert!(listed.uri.ends_with(told.get::<&str>("name").unwrap()));
            assert_eq!(told.get::<u64>("msn"), Ok(listed.msn));
            assert_eq!(told.get::<u64>("duration"), Ok(1_000_000_000));
            assert_eq!(told.get::<u64>("parts"), Ok(5));
            let date = told.get::<u64>("program-date-time").unwrap() as i64;
            assert!((date - listed.date).abs() <= 500_000, "the printed date");
        }
        assert_eq!(named(&stream, "llhls-discontinuity").len(), 0);
        let parts = named(&stream, "llhls-part");
        assert_eq!(parts.len(), if with_parts { 20 } else { 0 });
        for (told, part) in parts.iter().zip(run.parts()) {
            assert_eq!(told.get::<u64>("size"), Ok(part.size as u64));
            let is_independent = part.samples.iter().any(|sample| sample.is_sync);
            assert_eq!(told.get::<bool>("independent"), Ok(is_independent));
        }
    }
}

/// The muxer is stopped and started with each part. That is nobody's business.
#[test]
fn the_muxer_is_not_heard() {
    let mut stream = Stream::new(SOURCE, "");
    play_and_check(&mut stream);
    stream.drain_messages();
    let is_inside = |object: &gst::Object| {
        std::iter::successors(Some(object.clone()), gst::Object::parent)
            .skip(1)
            .any(|parent| &parent == stream.sink.upcast_ref::<gst::Object>())
    };
    let mut changes = 0;
    for message in &stream.messages {
        let Some(source) = message.src() else {
            continue;
        };
        if is_inside(source) && message.type_() == gst::MessageType::StateChanged {
            changes += 1;
        }
        let from_muxer = std::iter::successors(Some(source.clone()), gst::Object::parent)
            .filter_map(|object| object.downcast::<gst::Element>().ok())
            .filter_map(|element| element.factory())
            .any(|factory| factory.name() == "mp4mux");
        assert!(!from_muxer, "{message:?}");
        assert!(
            !matches!(
                message.type_(),
                gst::MessageType::AsyncStart | gst::MessageType::AsyncDone
            ) || !is_inside(source),
            "{message:?}"
        );
    }
    // NULL, READY, PAUSED, PLAYING of clocksync, feeder and collector.
    assert!(changes <= 12, "{changes} changes of state inside");
}

#[test]
fn mp4mux_is_a_visible_child() {
    let stream = Stream::new(SOURCE, "");
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    let bin = stream.sink.downcast_ref::<gst::Bin>().unwrap();
    let is_muxer = |element: gst::Element| {
        element
            .factory()
            .is_some_and(|factory| factory.name() == "mp4mux")
    };
    assert!(bin.iterate_elements().into_iter().flatten().any(is_muxer));
}

#[test]
fn paused_is_reached_at_once_and_without_a_frame() {
    let frames = Frames::test_picture(1, 1);
    let fed = FedStream::new(&frames.caps, "");
    let sink = &fed.stream.sink;
    fed.stream.pipeline.set_state(gst::State::Paused).unwrap();
    // An element that waits for a first frame would still be on its way.
    let (result, current, pending) = sink.state(gst::ClockTime::ZERO);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(current, gst::State::Paused);
    assert_eq!(pending, gst::State::VoidPending);
}

#[test]
fn no_latency_is_added() {
    let frames = Frames::test_picture(45, 30);
    let fed = FedStream::new(&frames.caps, "");
    let latency = gst::ClockTime::from_mseconds(70);
    fed.source
        .set_latency(latency, gst::ClockTime::from_mseconds(500));
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.wait_for_frames(45);
    let mut query = gst::query::Latency::new();
    assert!(fed.stream.pipeline.query(&mut query));
    let (is_live, min, _) = query.result();
    assert!(is_live);
    assert_eq!(min, latency);
    assert_eq!(fed.stream.pipeline.latency(), None);
}

#[test]
fn the_element_counts_as_a_sink_with_or_without_pads() {
    support::init();
    let sink = gst::ElementFactory::make("llhlssink").build().unwrap();
    assert!(sink.element_flags().contains(gst::ElementFlags::SINK));
    let pad = sink.request_pad_simple("video").unwrap();
    assert!(sink.element_flags().contains(gst::ElementFlags::SINK));
    sink.release_request_pad(&pad);
    assert!(sink.element_flags().contains(gst::ElementFlags::SINK));
}
