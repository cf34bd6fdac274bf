//! The same encoded frames to viewers and into a recording: a `tee` with a queue a branch.

mod support;

use gst::prelude::*;
use support::{check, program::scratch, stream::Stream};

#[test]
fn a_recording_beside_the_stream() {
    support::init();
    let file = scratch("recording").join("recording.mp4");
    let line = format!(
        "videotestsrc num-buffers=150 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! tee name=tee \
         tee. ! queue ! mp4mux ! filesink location=\"{}\" \
         tee. ! queue ! llhlssink name=sink port=0 playlist-length=10000 max-files=10000",
        file.display()
    );
    let pipeline = gst::parse::launch(&line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let mut stream = Stream::around(pipeline, sink);

    // All of it comes to the viewers, and to the file.
    let run = check::play_and_check(&mut stream);
    assert_eq!(run.samples().count(), 150);
    assert_eq!(run.segments.len(), 5);
    stream.stop();
    assert_eq!(frames_in(&file), 150);
}

/// The recording's disk stands still: viewers do not notice as long as its queue has room.
#[test]
fn a_recording_that_stands_still_holds_up_nobody() {
    support::init();
    let line = "videotestsrc num-buffers=150 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! tee name=tee \
         tee. ! queue leaky=downstream ! identity name=disk ! fakesink async=false \
         tee. ! queue ! llhlssink name=sink port=0 playlist-length=10000 max-files=10000";
    let pipeline = gst::parse::launch(line)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let disk = pipeline.by_name("disk").unwrap().static_pad("src").unwrap();
    let block = disk
        .add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            |_, _| gst::PadProbeReturn::Ok,
        )
        .unwrap();
    let stream = Stream::around(pipeline, sink);
    stream.play();
    let playlist = stream.wait_for_playlist_end();
    assert_eq!(playlist.segments.len(), 5);
    disk.remove_probe(block);
}

fn frames_in(file: &std::path::Path) -> usize {
    let line = format!(
        "filesrc location=\"{}\" ! qtdemux ! h264parse",
        file.display()
    );
    support::stream::Frames::of(&line).buffers.len()
}
