//! Before the first segment is complete there is no playlist, and whoever asks waits for it.

mod support;

use gst::prelude::*;
use support::{
    playlist::Playlist,
    stream::{FedStream, Frames},
};

#[test]
fn an_early_request_is_parked_until_the_first_playlist() {
    let frames = Frames::test_picture(90, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.pipeline.set_state(gst::State::Ready).unwrap();
    // The server answers from READY on.
    let mut client = fed.stream.client();
    assert_eq!(client.get("/stats.json").status, 200);
    let pending = [
        fed.stream.get_later("/live.m3u8"),
        fed.stream.get_later("/live.m3u8?_HLS_msn=1&_HLS_part=0"),
        fed.stream.get_later("/live.m3u8?_HLS_msn=1"),
    ];
    support::wait_until("parked requests", || {
        fed.stream.stats().get::<u32>("requests-parked") == Ok(3)
    });
    fed.stream.play();
    fed.push(&frames.buffers[..30]);
    support::wait_until("five parts", || {
        fed.stream.stats().get::<u64>("parts") == Ok(5)
    });
    for pending in &pending {
        pending.assert_waiting();
    }
    fed.push(&frames.buffers[30..31]);
    for pending in pending {
        let playlist = Playlist::read(pending.wait().text());
        assert_eq!(playlist.segments.len(), 1);
        assert_eq!(playlist.segments[0].parts.len(), 5);
    }
}

#[test]
fn current_port_and_uri_say_where() {
    let frames = Frames::test_picture(1, 1);
    let fed = FedStream::new(&frames.caps, "playlist-name=camera.m3u8");
    let sink = &fed.stream.sink;
    assert_eq!(sink.property::<u32>("current-port"), 0);
    assert_eq!(sink.property::<Option<String>>("uri"), None);
    fed.stream.pipeline.set_state(gst::State::Ready).unwrap();
    let port = fed.stream.port();
    assert_eq!(
        sink.property::<String>("uri"),
        format!("http://127.0.0.1:{port}/camera.m3u8")
    );
    let mut client = fed.stream.client();
    assert_eq!(client.get("/live.m3u8").status, 404);
}
