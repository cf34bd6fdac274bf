//! Every line of the cook book streams, with test sources in place of devices, cameras and files.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{collections::VecDeque, fs, path::Path, thread};

use gst::prelude::*;
use serde_json::Value;
use support::{
    http::Client,
    media::{Chunk, Init},
    program::scratch,
    rtsp::RtspServer,
    tracks,
};

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
    record(&folder, 5);
    let camera = RtspServer::start(
        "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
           ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph264pay name=pay0 pt=96 \
           audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
    );
    let address = format!("rtsp://127.0.0.1:{}/live", camera.port);

    let lines = lines();
    assert!(lines.len() > 15, "the lines were found");
    thread::scope(|scope| {
        let mut running = VecDeque::new();
        for line in &lines {
            let mut run = in_folder(line, &folder).replace("rtsp://camera/live", &address);
            for (device, stand_in) in STAND_INS {
                run = run.replace(device, stand_in);
            }
            running.push_back(scope.spawn(move || streams(line, &run)));
            // A few at a time: an encoder that has no machine left is late, and that is warned of.
            if running.len() == 4 {
                running.pop_front().unwrap().join().unwrap();
            }
        }
    });
}

/// Round after round, as fast as the clock goes and with every frame.
#[test]
fn a_loop_goes_on() {
    /// Of a clip of two seconds, four rounds and more.
    const SEGMENTS: u64 = 9;
    support::init();
    let folder = scratch("loop");
    record(&folder, 2);
    let lines = lines();
    let line = lines
        .iter()
        .find(|line| line.contains("loop=true"))
        .unwrap();
    let run = in_folder(line, &folder).replace("gst-launch-1.0 ", "");
    let (pipeline, sink) = pipeline(line, &run);
    // Nothing is to be taken out of the playlists.
    sink.set_property("playlist-length", 60_u32);
    sink.set_property("max-files", 60_u32);
    let (mut client, took) = support::timed(|| {
        let mut client = play(line, &pipeline, &sink);
        wait_for_segments(line, &pipeline, &mut client, SEGMENTS);
        client
    });
    // Segments of a second, each as soon as its last frame has come.
    assert!(took.as_secs_f64() > SEGMENTS as f64 - 1.0, "{took:?}");
    for (uri, frames_a_second) in [
        ("live_video.m3u8", 30.0),
        ("live_audio.m3u8", 48_000.0 / 1024.0),
    ] {
        let playlist = tracks::playlist(&mut client, uri);
        let init = Init::read(&client.body(&format!("/{}", playlist.segments[0].map)));
        let (mut frames, mut seconds) = (0.0, 0.0);
        for segment in &playlist.segments {
            assert!(
                !segment.is_gap && !segment.is_discontinuity,
                "{}",
                playlist.text
            );
            let chunks = init.chunks(&client.body(&format!("/{}", segment.uri)));
            frames += chunks.iter().map(|it| it.samples.len()).sum::<usize>() as f64;
            let duration: u64 = chunks.iter().map(Chunk::duration).sum();
            seconds += duration as f64 / f64::from(init.timescale);
        }
        // A round is a frame longer than its frames.
        let rounds = (seconds / 2.0_f64).ceil();
        let missing = seconds * frames_a_second - frames;
        assert!(
            (-0.5..=2.0 * rounds).contains(&missing),
            "{missing} frames are missing"
        );
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// The line with the files of that folder.
fn in_folder(line: &str, folder: &Path) -> String {
    let there = |name: &str| folder.join(name).display().to_string();
    line.replace("/home/me/holiday.mp4", &there("holiday.mp4"))
        .replace(
            "location=holiday.",
            &format!("location={}", there("holiday.")),
        )
        .replace("recording.mp4", &there("recording.mp4"))
}

/// The indented lines that stream something, with those they go on in.
fn lines() -> Vec<String> {
    let is_stream = |line: &String| line.contains("llhlssink");
    all_lines().into_iter().filter(is_stream).collect()
}

/// The indented lines that run something, with those they go on in.
fn all_lines() -> Vec<String> {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gst-launch/README.md");
    let text = fs::read_to_string(book).unwrap().replace("\\\n", " ");
    text.lines()
        .filter_map(|line| line.strip_prefix("    gst-launch-1.0 "))
        .map(|line| format!("gst-launch-1.0 {line}"))
        .collect()
}

/// A clip of so many seconds with a key frame a second, and what lines of the book make of it for others.
fn record(folder: &Path, seconds: usize) {
    let line = format!(
        "mp4mux name=mux ! filesink location=\"{}\" \
         videotestsrc num-buffers={} ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc speed-preset=ultrafast key-int-max=30 ! video/x-h264,profile=high ! h264parse ! mux. \
         audiotestsrc num-buffers={} samplesperbuffer=1000 ! audio/x-raw,rate=48000 \
         ! audioconvert ! avenc_aac ! aacparse ! mux.",
        folder.join("holiday.mp4").display(),
        seconds * 30,
        seconds * 48,
    );
    support::stream::run_to_end(&line);
    let is_other = |line: &String| !line.contains("llhlssink");
    for line in all_lines().into_iter().filter(is_other) {
        let run = in_folder(&line, folder).replace("gst-launch-1.0 ", "");
        support::stream::run_to_end(&run);
    }
}

/// `run` is what `line` becomes here. It streams when each of its renditions has a segment.
fn streams(line: &str, run: &str) {
    let (pipeline, sink) = pipeline(line, run);
    let mut client = play(line, &pipeline, &sink);
    wait_for_segments(line, &pipeline, &mut client, 1);
    let pads = sink.sink_pads().len();
    let tracks = client.get("/stats.json").json()["tracks"].clone();
    assert_eq!(tracks.as_array().unwrap().len(), pads, "{line}");
    assert_eq!(client.get("/live.m3u8").status, 200, "{line}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// What `run` describes, and the sink in it.
fn pipeline(line: &str, run: &str) -> (gst::Pipeline, gst::Element) {
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
    (pipeline, sink)
}

fn play(line: &str, pipeline: &gst::Pipeline, sink: &gst::Element) -> Client {
    sink.set_property("port", 0_u32);
    pipeline
        .set_state(gst::State::Playing)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    Client::new(u16::try_from(sink.property::<u32>("current-port")).unwrap())
}

/// So many of each rendition, and neither errors nor warnings meanwhile.
fn wait_for_segments(line: &str, pipeline: &gst::Pipeline, client: &mut Client, count: u64) {
    let bus = pipeline.bus().unwrap();
    support::wait_until(line, || {
        let trouble = bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning]);
        if let Some(message) = trouble {
            assert!(is_of_a_burst(line, &message), "{line}: {message:?}");
        }
        let tracks = client.get("/stats.json").json()["tracks"].clone();
        let tracks = tracks.as_array().unwrap();
        let has_enough = |track: &Value| track["segments"].as_u64() >= Some(count);
        !tracks.is_empty() && tracks.iter().all(has_enough)
    });
}

/// When this machine stalls, frames come from the camera in a burst, and rtspsrc gives several of them one timestamp, of which
/// h264parse leaves it to the first alone. The sink can only leave the others out, and says so.
fn is_of_a_burst(line: &str, message: &gst::Message) -> bool {
    match message.view() {
        gst::MessageView::Warning(warning) => {
            let text = warning.error().to_string();
            line.contains("rtspsrc") && text.contains("without a timestamp")
        }
        _ => false,
    }
}
