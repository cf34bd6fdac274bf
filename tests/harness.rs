//! The element alone, on a harness: no pipeline, no clock, no source element.

mod support;

use gst::prelude::*;
use support::{http::Client, playlist::Playlist, stream::Frames};

#[test]
fn frames_from_a_harness_become_a_stream() {
    let frames = Frames::test_picture(60, 30);
    let sink = gst::ElementFactory::make("llhlssink")
        .property("port", 0_u32)
        .build()
        .unwrap();
    let mut harness = gst_check::Harness::with_element(&sink, Some("video"), None);
    harness.set_src_caps(frames.caps.clone());
    for frame in &frames.buffers {
        assert_eq!(harness.push(frame.clone()), Ok(gst::FlowSuccess::Ok));
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let port = u16::try_from(sink.property::<u32>("current-port")).unwrap();
    let mut client = Client::new(port);
    let playlist = support::wait_for("the end", || {
        let text = client.body("/live.m3u8");
        let playlist = Playlist::read(std::str::from_utf8(&text).unwrap());
        playlist.is_ended.then_some(playlist)
    });
    assert_eq!(playlist.segments.len(), 2);
    for uri in playlist.uris() {
        client.body(&format!("/{uri}"));
    }
}

/// Key frames are asked for upstream, at the grid.
#[test]
fn requests_for_key_frames_go_upstream() {
    let frames = Frames::test_picture(40, 30);
    let sink = gst::ElementFactory::make("llhlssink")
        .property("port", 0_u32)
        .build()
        .unwrap();
    let mut harness = gst_check::Harness::with_element(&sink, Some("video"), None);
    harness.set_src_caps(frames.caps.clone());
    for frame in &frames.buffers {
        harness.push(frame.clone()).unwrap();
    }
    let requests: Vec<u64> = std::iter::from_fn(|| harness.try_pull_upstream_event())
        .filter_map(|event| gst_video::UpstreamForceKeyUnitEvent::parse(&event).ok())
        .map(|request| request.running_time.unwrap().mseconds())
        .collect();
    assert!(requests.len() >= 3, "{requests:?}");
    for (nth, request) in (1..).zip(&requests) {
        // Half a frame before whole seconds.
        assert!(
            (1000 * nth - 17..1000 * nth).contains(request),
            "{requests:?}"
        );
    }
}
