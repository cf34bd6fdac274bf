//! Every line of the cook book streams, with test sources in place of devices, cameras and files.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{fs, thread};

use gst::prelude::*;
use support::{http::Client, program::scratch, rtsp::RtspServer};

/// What no test machine has, and what stands for it. Longer ones first.
const STAND_INS: [(&str, &str); 9] = [
    (
        "v4l2src ! image/jpeg,width=1280,height=720",
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180 ! jpegenc ! image/jpeg,width=320,height=180",
    ),
    (
        "v4l2src ! video/x-h264",
        "videotestsrc is-live=true ! x264enc tune=zerolatency ! video/x-h264",
    ),
    ("v4l2src", "videotestsrc is-live=true"),
    ("ximagesrc use-damage=false", "videotestsrc is-live=true"),
    ("autoaudiosrc", "audiotestsrc is-live=true"),
    ("autovideosink", "fakesink"),
    (
        "udpsrc port=5000",
        "videotestsrc is-live=true ! x264enc tune=zerolatency ! video/x-h264,profile=main ! mpegtsmux",
    ),
    ("gst-launch-1.0 -e ", ""),
    ("gst-launch-1.0 ", ""),
];

#[test]
fn every_line_streams() {
    support::init();
    let folder = scratch("cook-book");
    let clip = folder.join("holiday.mp4").display().to_string();
    record(&clip);
    let camera = RtspServer::start(
        "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
           ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph264pay name=pay0 pt=96 \
           audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
    );
    let address = format!("rtsp://127.0.0.1:{}/live", camera.port);
    let recording = folder.join("recording.mp4").display().to_string();

    let lines = lines();
    assert!(lines.len() > 15, "the lines were found");
    thread::scope(|scope| {
        for line in &lines {
            let mut run = line
                .replace("rtsp://camera/live", &address)
                .replace("/home/me/holiday.mp4", &clip)
                .replace("location=holiday.mp4", &format!("location={clip}"))
                .replace("recording.mp4", &recording);
            for (device, stand_in) in STAND_INS {
                run = run.replace(device, stand_in);
            }
            scope.spawn(move || streams(line, &run));
        }
    });
}

/// The indented lines that run something, with those they go on in.
fn lines() -> Vec<String> {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gst-launch/README.md");
    let text = fs::read_to_string(book).unwrap().replace("\\\n", " ");
    text.lines()
        .filter_map(|line| line.strip_prefix("    gst-launch-1.0 "))
        .map(|line| format!("gst-launch-1.0 {line}"))
        .collect()
}

/// A clip with a key frame a second.
fn record(clip: &str) {
    let line = format!(
        "mp4mux name=mux ! filesink location=\"{clip}\" \
         videotestsrc num-buffers=150 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc speed-preset=ultrafast key-int-max=30 ! video/x-h264,profile=high ! h264parse ! mux. \
         audiotestsrc num-buffers=240 samplesperbuffer=1000 ! audio/x-raw,rate=48000 \
         ! audioconvert ! avenc_aac ! aacparse ! mux."
    );
    support::stream::run_to_end(&line);
}

/// `run` is what `line` becomes here. It streams when each of its renditions has a segment.
fn streams(line: &str, run: &str) {
    let pipeline = gst::parse::launch(run)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .iterate_elements()
        .into_iter()
        .flatten()
        .find(|element| element.factory().is_some_and(|it| it.name() == "llhlssink"))
        .unwrap();
    sink.set_property("port", 0_u32);
    pipeline
        .set_state(gst::State::Playing)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let port = u16::try_from(sink.property::<u32>("current-port")).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut client = Client::new(port);
    support::wait_until(line, || {
        let trouble = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
        assert!(trouble.is_none(), "{line}: {trouble:?}");
        let tracks = client.get("/stats.json").json()["tracks"].clone();
        let tracks = tracks.as_array().unwrap();
        !tracks.is_empty() && tracks.iter().all(|track| track["segments"] != 0)
    });
    let pads = sink.sink_pads().len();
    let tracks = client.get("/stats.json").json()["tracks"].clone();
    assert_eq!(tracks.as_array().unwrap().len(), pads, "{line}");
    assert_eq!(client.get("/live.m3u8").status, 200, "{line}");
    pipeline.set_state(gst::State::Null).unwrap();
}
