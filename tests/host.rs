//! Whatever upstream says and the application does, the host is neither held nor left in the dark.

mod support;

use gst::prelude::*;
use support::stream::{FedStream, Frames};

/// The muxer queues by duration: frames that claim to last for ever must not fill its queue.
#[test]
fn frames_that_claim_to_last_for_minutes_go_through() {
    let frames = Frames::test_picture(60, 30)
        .retimed(|_, buffer| buffer.set_duration(gst::ClockTime::from_seconds(100)));
    let mut fed = FedStream::new(&frames.caps, "");
    let playlist = fed.play_to_end(&frames);
    assert_eq!(playlist.segments.len(), 2);
}

/// In PAUSED a paced frame waits for the clock, and with it the streaming thread.
#[test]
fn a_pad_is_released_while_a_frame_waits_for_the_clock() {
    let frames = Frames::test_picture(30, 30);
    let fed = FedStream::new(&frames.caps, "sync=true");
    // A live source gives nothing in PAUSED.
    fed.source.set_is_live(false);
    fed.stream.pipeline.set_state(gst::State::Paused).unwrap();
    fed.push(&frames.buffers);
    let pad = fed.stream.sink.static_pad("video").unwrap();
    support::wait_until("a frame at the pad", || !fed.stream.fed().is_empty());
    let (sender, done) = std::sync::mpsc::channel();
    let sink = fed.stream.sink.clone();
    std::thread::spawn(move || {
        sink.release_request_pad(&pad);
        let _ = sender.send(());
    });
    done.recv_timeout(support::PATIENCE)
        .expect("the release returns");
}

/// Applications lock the state of a branch while they add it; what it says must still be heard.
#[test]
fn the_end_is_heard_from_an_element_whose_state_is_locked() {
    let frames = Frames::test_picture(30, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.stream.sink.set_locked_state(true);
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let playlist = fed.stream.wait_for_end();
    assert_eq!(playlist.segments.len(), 1);
    fed.stream.sink.set_locked_state(false);
}

#[test]
fn a_stream_without_key_frames_is_named() {
    let frames = Frames::test_picture(240, 240);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[1..]);
    let text = fed
        .stream
        .wait_for_message("a warning", |message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        });
    assert!(
        text.contains("No key frame") && text.contains("video"),
        "{text}"
    );
}
