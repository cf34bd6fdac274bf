//! The element joins a pipeline that plays, as applications do it, and leaves it again.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::net::TcpStream;

use gst::prelude::*;
use support::{
    check::{self, Allowed},
    http::Client,
    playlist::Playlist,
    stream::Stream,
};

/// A live source that is looked at and can be streamed: `tee` has a branch that only counts.
fn application() -> (gst::Pipeline, gst::Element) {
    support::init();
    let pipeline = gst::parse::launch(
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse ! tee name=tee \
         tee. ! queue ! fakesink name=screen",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let tee = pipeline.by_name("tee").unwrap();
    (pipeline, tee)
}

/// What counts what the other branch got.
fn shown(pipeline: &gst::Pipeline) -> u64 {
    let screen = pipeline.by_name("screen").unwrap();
    screen
        .property::<gst::Structure>("stats")
        .get("rendered")
        .unwrap()
}

/// Nothing bad shall be said. Messages keep those alive who said something.
fn read_bus(pipeline: &gst::Pipeline) {
    for message in pipeline.bus().unwrap().iter() {
        let is_trouble = matches!(
            message.view(),
            gst::MessageView::Error(_) | gst::MessageView::Warning(_)
        );
        assert!(!is_trouble, "{message:?}");
    }
}

struct Branch {
    tee: gst::Element,
    tee_pad: gst::Pad,
    queue: gst::Element,
    sink: gst::Element,
}

impl Branch {
    fn add(pipeline: &gst::Pipeline, tee: &gst::Element) -> Self {
        let queue = gst::ElementFactory::make("queue").build().unwrap();
        let sink = gst::ElementFactory::make("llhlssink")
            .property("port", 0_u32)
            .property("segment-duration", 500_u32)
            .property("playlist-length", 10_000_u32)
            .property("max-files", 10_000_u32)
            .build()
            .unwrap();
        pipeline.add_many([&queue, &sink]).unwrap();
        queue.link(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        queue.sync_state_with_parent().unwrap();
        let tee_pad = tee.request_pad_simple("src_%u").unwrap();
        tee_pad.link(&queue.static_pad("sink").unwrap()).unwrap();
        Self {
            tee: tee.clone(),
            tee_pad,
            queue,
            sink,
        }
    }

    fn port(&self) -> u16 {
        u16::try_from(self.sink.property::<u32>("current-port")).unwrap()
    }

    fn playlist(&self) -> Playlist {
        let body = Client::new(self.port()).body("/live.m3u8");
        Playlist::read(std::str::from_utf8(&body).unwrap())
    }

    /// Between two frames the branch is cut off, then it goes.
    fn remove(self, pipeline: &gst::Pipeline) {
        let (sender, is_cut) = std::sync::mpsc::channel();
        let entry = self.queue.static_pad("sink").unwrap();
        self.tee_pad
            .add_probe(gst::PadProbeType::IDLE, move |pad, _| {
                let _ = pad.unlink(&entry);
                let _ = sender.send(());
                gst::PadProbeReturn::Remove
            });
        is_cut.recv_timeout(support::PATIENCE).unwrap();
        self.tee.release_request_pad(&self.tee_pad);
        for element in [&self.queue, &self.sink] {
            element.set_state(gst::State::Null).unwrap();
            pipeline.remove(element).unwrap();
        }
    }
}

#[test]
fn it_comes_and_goes_while_the_rest_plays_on() {
    let (pipeline, tee) = application();
    support::wait_until("a picture elsewhere", || shown(&pipeline) > 10);
    for _ in 0..2 {
        let before = support::unix_now();
        let branch = Branch::add(&pipeline, &tee);
        let mut playlist = branch.playlist();
        support::wait_until("two segments", || {
            playlist = branch.playlist();
            playlist.segments.len() >= 2
        });
        // It begins with the next key frame, at this moment and not at the pipeline's start.
        assert_eq!(playlist.segments[0].msn, 1);
        // One that was captured a moment before may still have been in the encoder.
        assert!(playlist.segments[0].date >= before - 500_000_000);
        assert!(
            playlist
                .segments
                .iter()
                .all(|segment| !segment.is_discontinuity)
        );
        assert_eq!(branch.sink.current_state(), gst::State::Playing);

        let port = branch.port();
        // As long as a request may wait, for what never comes.
        let waiting = support::http::Pending::get(
            port,
            &format!("/live.m3u8?wait=60000&version={}", u64::MAX),
        );
        support::wait_until("a parked request", || {
            let stats = branch.sink.property::<gst::Structure>("stats");
            stats.get::<u32>("requests-parked") == Ok(1)
        });
        let weak = branch.sink.downgrade();
        branch.remove(&pipeline);
        // Who waited has the end; the port is free, the element gone.
        assert!(waiting.wait().text().contains("#EXT-X-ENDLIST"));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        support::wait_until("the element to be gone", || {
            read_bus(&pipeline);
            weak.upgrade().is_none()
        });
        let so_far = shown(&pipeline);
        support::wait_until("more pictures elsewhere", || shown(&pipeline) > so_far + 10);
        assert_eq!(pipeline.current_state(), gst::State::Playing);
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// What viewers get of a stream that was joined in its middle is as good as any other.
#[test]
fn a_stream_joined_in_its_middle_is_whole() {
    let (pipeline, tee) = application();
    support::wait_until("a picture elsewhere", || shown(&pipeline) > 10);
    let branch = Branch::add(&pipeline, &tee);
    let stream = Stream::around(pipeline.clone(), branch.sink.clone());
    support::wait_until("three segments", || stream.playlist().segments.len() >= 3);
    branch
        .queue
        .static_pad("sink")
        .unwrap()
        .send_event(gst::event::Eos::new());
    let playlist = stream.wait_for_playlist_end();
    check::check_ended(&stream, playlist, Allowed::NOTHING);
}
