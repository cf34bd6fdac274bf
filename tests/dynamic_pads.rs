//! Applications without a playbin, which link pads as they appear.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{path::PathBuf, sync::LazyLock};

use gst::prelude::*;
use support::{
    program::scratch,
    stream::{Stream, run_to_end},
    tracks,
};

/// Three seconds of picture and sound in a file.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = scratch("dynamic-pads").join("clip.mp4");
    run_to_end(&format!(
        "mp4mux name=mux ! filesink location=\"{}\" \
         videotestsrc num-buffers=90 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! x264enc speed-preset=ultrafast key-int-max=30 ! h264parse ! mux. \
         audiotestsrc num-buffers=144 samplesperbuffer=1000 ! audio/x-raw,rate=48000,channels=2 \
         ! audioconvert ! avenc_aac ! aacparse ! mux.",
        file.display()
    ));
    file
});

/// What stands between a pad that appears and the sink's, by what comes out of it.
const CHAINS: [(&str, &str, &str); 4] = [
    ("video/x-h264", "queue ! h264parse", "video"),
    ("audio/mpeg", "queue ! aacparse", "audio"),
    (
        "video/x-raw",
        "queue ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse",
        "video",
    ),
    (
        "audio/x-raw",
        "queue ! audioconvert ! avenc_aac ! aacparse",
        "audio",
    ),
];

/// Plays what comes out of the element `pads` of a line, which has pads once it runs, and checks all of it. The sink gets
/// its own pads then, too.
fn play(source: &str) {
    play_into(&[], source);
}

/// The same with these pads of the sink there from the start.
fn play_into(pads: &[&str], source: &str) {
    support::init();
    let line = format!("{source} llhlssink name=sink port=0 playlist-length=10000 max-files=10000");
    let pipeline = gst::parse::launch(&line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    for pad in pads {
        sink.request_pad_simple(pad).unwrap();
    }
    pipeline.by_name("pads").unwrap().connect_pad_added({
        let (pipeline, sink) = (pipeline.clone(), sink.clone());
        move |_, pad| {
            if let Err(error) = link(pad, &pipeline, &sink) {
                gst::element_error!(sink, gst::CoreError::Pad, ("{error}"));
            }
        }
    });
    let mut stream = Stream::around(pipeline, sink);
    let renditions = tracks::play_and_check(&mut stream);
    assert_eq!(renditions["video"].segments.len(), 3);
    assert!((3..=4).contains(&renditions["audio"].segments.len()));
    assert_eq!(stream.warnings(), [""; 0]);
}

/// What an application does in its callback.
fn link(pad: &gst::Pad, pipeline: &gst::Pipeline, sink: &gst::Element) -> Result<(), String> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let media = caps.structure(0).map_or("", |caps| caps.name().as_str());
    let (_, chain, kind) = CHAINS
        .iter()
        .find(|(of, _, _)| *of == media)
        .ok_or_else(|| format!("nothing for {caps}"))?;
    let say = |error: gst::glib::BoolError| error.to_string();

    let chain = gst::parse::bin_from_description(chain, true).map_err(|error| error.to_string())?;
    pipeline.add(&chain).map_err(say)?;
    chain
        .link_pads(Some("src"), sink, Some(kind))
        .map_err(say)?;
    chain.sync_state_with_parent().map_err(say)?;
    let entry = chain.static_pad("sink").ok_or("no entry")?;
    pad.link(&entry).map_err(|error| error.to_string())?;
    Ok(())
}

#[test]
fn parsebin() {
    play(&format!(
        "filesrc location=\"{}\" ! parsebin name=pads",
        FILE.display()
    ));
}

#[test]
fn decodebin() {
    play(&format!(
        "filesrc location=\"{}\" ! decodebin name=pads",
        FILE.display()
    ));
}

/// Its pads come one by one while the first already gives frames, and the tracks of a run are fixed with its first frame.
#[test]
fn decodebin3() {
    play_into(
        &["video", "audio"],
        &format!(
            "filesrc location=\"{}\" ! decodebin3 name=pads",
            FILE.display()
        ),
    );
}

#[test]
fn uridecodebin() {
    play(&format!(
        "uridecodebin name=pads uri=\"file://{}\"",
        FILE.display()
    ));
}

#[test]
fn uridecodebin3() {
    play_into(
        &["video", "audio"],
        &format!("uridecodebin3 name=pads uri=\"file://{}\"", FILE.display()),
    );
}

/// The demuxer's own pads: one thread feeds both.
#[test]
fn qtdemux() {
    play(&format!(
        "filesrc location=\"{}\" ! qtdemux name=pads",
        FILE.display()
    ));
}
