//! Starting and stopping two tracks again and again leaves nothing behind. One test, so that nothing else opens anything.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use gst::prelude::*;
use support::stream::Stream;

fn open_now() -> (usize, usize) {
    let entries = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

#[test]
fn twenty_lives_of_two_tracks_leave_nothing_behind() {
    let stream = Stream::of_branches(
        "videotestsrc ! video/x-raw,format=I420,width=160,height=120 \
         ! x264enc speed-preset=ultrafast tune=zerolatency threads=1 ! h264parse ! sink. \
         audiotestsrc ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! sink.",
        "host=127.0.0.1",
    );
    let life = |state| {
        stream.play();
        stream.client().body("/live.m3u8");
        stream.pipeline.set_state(state).unwrap();
    };
    // The first lives load what stays for good.
    life(gst::State::Null);
    life(gst::State::Null);
    let before = open_now();
    for _ in 0..20 {
        life(gst::State::Null);
    }
    for _ in 0..10 {
        life(gst::State::Ready);
    }
    stream.stop();
    support::wait_until("threads and descriptors to go", || {
        let (threads, files) = open_now();
        threads <= before.0 && files <= before.1
    });
}
