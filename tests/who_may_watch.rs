//! The access token in a running pipeline: nothing without it, and it shows nowhere.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use support::stream::Stream;

const TOKEN: &str = "a-s3cret-t0ken";

/// Every word of GStreamer's debug log from here on.
fn log() -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    gst::log::remove_default_log_function();
    gst::log::set_default_threshold(gst::DebugLevel::Debug);
    gst::log::set_threshold_for_name("llhls*", gst::DebugLevel::Trace);
    gst::log::add_log_function({
        let log = Arc::clone(&log);
        move |_, _, _, _, _, object, message| {
            // Describing an object may log again, on this thread: nothing is held meanwhile.
            let object = object.map_or_else(String::new, ToString::to_string);
            let message = message.get().unwrap_or_default();
            log.lock()
                .unwrap()
                .push_str(&format!("{object} {message}\n"));
        }
    });
    log
}

#[test]
fn nothing_is_served_without_the_token_and_it_shows_nowhere() {
    gst::init().unwrap();
    let log = log();
    let mut stream = Stream::new(
        "videotestsrc num-buffers=90 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "post-part-messages=true",
    );
    // Not in the line above, which GStreamer's parser logs.
    stream.sink.set_property("access-token", TOKEN);
    stream.play();
    stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    let mut client = stream.client();
    for path in [
        "/",
        "/live.m3u8",
        "/stats.json",
        "/metrics",
        "/live.m3u8?token=wrong",
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.text().contains("access token"), "{}", answer.text());
    }
    let playlist = client.body(&format!("/t/{TOKEN}/live.m3u8"));
    let playlist = String::from_utf8(playlist).unwrap();
    let segment = playlist
        .lines()
        .find(|line| line.ends_with("segment_00001.m4s"));
    client.body(&format!("/t/{TOKEN}/{}", segment.unwrap()));
    let playlist = client.body(&format!("/live.m3u8?token={TOKEN}"));
    let playlist = String::from_utf8(playlist).unwrap();
    assert!(
        playlist.contains(&format!("segment_00001.m4s?token={TOKEN}\n")),
        "{playlist}"
    );

    let stats = stream.sink.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("refused-unauthorized").unwrap(), 5);
    let uri = stream.sink.property::<String>("uri");
    stream.stop();
    assert!(stream.messages.len() > 3);
    for shown in [stats.to_string(), uri, format!("{:?}", stream.messages)] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    let log = log.lock().unwrap();
    assert!(log.contains("sink"), "there is a log");
    assert_eq!(log.lines().find(|line| line.contains(TOKEN)), None);
}
