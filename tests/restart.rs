//! Starting and stopping again and again leaves nothing behind. One test, so that nothing else opens anything.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{collections::HashSet, fs};

use gst::prelude::*;
use support::{http::Client, stream::Stream};

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Threads and descriptors of this process.
fn open_now() -> (usize, usize) {
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

fn folder(client: &mut Client) -> String {
    let text = client.body("/live.m3u8");
    let playlist = support::playlist::Playlist::read(std::str::from_utf8(&text).unwrap());
    let uri = &playlist.segments[0].uri;
    uri.split_once('/').unwrap().0.to_owned()
}

#[test]
fn twenty_lives_on_one_port_leave_nothing_behind() {
    let mut folders = HashSet::new();
    let stream = Stream::new(
        "videotestsrc ! video/x-raw,width=160,height=120 ! x264enc speed-preset=ultrafast tune=zerolatency threads=1 ! h264parse",
        "host=127.0.0.1",
    );
    let mut life = |state| {
        stream.play();
        let mut client = stream.client();
        assert!(folders.insert(folder(&mut client)), "a folder of its own");
        stream.pipeline.set_state(state).unwrap();
    };
    // The first life loads what stays for good.
    life(gst::State::Null);
    let settled = |before: Option<(usize, usize)>| {
        let mut last = open_now();
        support::wait_until("threads and descriptors to go", || {
            last = open_now();
            before.is_none_or(|(threads, files)| last.0 <= threads && last.1 <= files)
        });
        last
    };
    // GStreamer keeps idle threads of its pool for a while; they count as before, not as ours.
    let before = settled(None);

    stream.play();
    let port = u32::from(stream.port());
    stream.stop();
    stream.sink.set_property("port", port);
    for _ in 0..20 {
        life(gst::State::Null);
    }
    settled(Some(before));

    // READY keeps the port; each run in it is a new one all the same.
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    assert_eq!(u32::from(stream.port()), port);
    for _ in 0..5 {
        life(gst::State::Ready);
    }
    stream.stop();
    settled(Some(before));
    assert_eq!(folders.len(), 26);
}
