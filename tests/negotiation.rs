//! What the pad takes: pictures browsers decode, in either stream format.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use gst::prelude::*;
use support::{
    check::play_and_check,
    stream::{FedStream, Frames, Stream},
};

/// Caps on the element's pad.
fn pad_caps(stream: &Stream) -> gst::Structure {
    let pad = stream.sink.static_pad("video").unwrap();
    let caps = pad.current_caps().unwrap();
    caps.structure(0).unwrap().to_owned()
}

#[test]
fn a_test_source_negotiates_a_picture_browsers_decode() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=60 ! x264enc speed-preset=ultrafast ! h264parse",
        "",
    );
    let run = play_and_check(&mut stream);
    let caps = pad_caps(&stream);
    assert_eq!(caps.get::<&str>("chroma-format"), Ok("4:2:0"), "{caps}");
    assert!([66, 77, 100].contains(&run.init().profile), "{run:?}");
    assert!(run.init().chroma_format.is_none_or(|chroma| chroma == 1));
    assert_eq!(run.init().entry, "avc1");
    let codec: String = stream.stats().get("codec").unwrap();
    assert!(codec.starts_with("avc1."), "{codec}");
    assert_eq!(codec.len(), "avc1.64001f".len(), "MV-03: {codec}");
    let idc = format!("{:02x}", run.init().profile);
    assert_eq!(&codec[5..7], idc);
}

#[test]
fn byte_stream_h264_is_converted() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=60 ! video/x-raw,width=160,height=120 \
         ! x264enc speed-preset=ultrafast tune=zerolatency ! video/x-h264,stream-format=byte-stream,profile=main",
        "",
    );
    let run = play_and_check(&mut stream);
    assert_eq!(
        pad_caps(&stream).get::<&str>("stream-format"),
        Ok("byte-stream")
    );
    assert_eq!(run.init().entry, "avc1", "CM-22");
    assert_eq!((run.init().width, run.init().height), (160, 120));
}

#[test]
fn h265_is_hvc1() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=45 ! video/x-raw,format=I420,width=160,height=128 \
         ! x265enc speed-preset=ultrafast tune=zerolatency key-int-max=15 \
         ! h265parse ! video/x-h265,stream-format=hvc1",
        "segment-duration=500",
    );
    let run = play_and_check(&mut stream);
    assert_eq!(run.init().entry, "hvc1", "CM-22");
    let codec: String = stream.stats().get("codec").unwrap();
    assert!(codec.starts_with("hvc1.1."), "{codec}");
}

/// As x265enc likes it: B-frames and open GOPs. Its CRA pictures are sync samples, being IRAP.
#[test]
fn h265_with_b_frames() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=90 pattern=ball ! video/x-raw,format=I420,width=160,height=128,framerate=30/1 \
         ! x265enc speed-preset=superfast key-int-max=30 ! h265parse",
        "",
    );
    let run = play_and_check(&mut stream);
    let is_reordered = run
        .presentation_times()
        .windows(2)
        .any(|pair| pair[1] < pair[0]);
    assert!(is_reordered, "the encoder made B-frames");
}

#[test]
fn byte_stream_h265_is_converted() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=45 ! video/x-raw,width=160,height=128 \
         ! x265enc speed-preset=ultrafast tune=zerolatency key-int-max=15 \
         ! video/x-h265,stream-format=byte-stream",
        "segment-duration=500",
    );
    let run = play_and_check(&mut stream);
    assert_eq!(run.init().entry, "hvc1", "CM-22");
}

/// A hev1 stream is what h265parse makes when nobody asks for anything else.
#[test]
fn a_parser_is_asked_for_hvc1() {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=30 ! video/x-raw,width=160,height=128 \
         ! x265enc speed-preset=ultrafast tune=zerolatency key-int-max=15 ! h265parse",
        "segment-duration=500",
    );
    let run = play_and_check(&mut stream);
    assert_eq!(run.init().entry, "hvc1", "CM-22");
}

#[test]
fn a_picture_no_browser_decodes_is_not_taken() {
    let mut frames = Frames::test_picture(1, 1);
    let caps = frames.caps.make_mut();
    caps.set("profile", "high-4:4:4");
    caps.set("chroma-format", "4:4:4");
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.stream.wait_for_error();
    assert_eq!(fed.stream.frames("taken"), 0);
}
