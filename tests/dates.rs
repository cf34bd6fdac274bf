//! PROGRAM-DATE-TIME says when the first picture of a segment was captured.

mod support;

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use support::{
    check::{Allowed, follow_and_check},
    stream::Stream,
};

#[test]
fn dates_are_capture_times() {
    let mut stream = Stream::new(
        "videotestsrc name=camera is-live=true num-buffers=75 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "",
    );
    let camera = stream.pipeline.by_name("camera").unwrap();
    let captured = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&captured);
    camera
        .static_pad("src")
        .unwrap()
        .add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let element = pad.parent_element().unwrap();
            let (Some(buffer), Some(base), Some(clock)) =
                (info.buffer(), element.base_time(), element.clock())
            else {
                return gst::PadProbeReturn::Ok;
            };
            // How far the clocks are apart, and how sure that is: the thread may be interrupted in between.
            let (offset, uncertainty) = (0..20)
                .map(|_| {
                    let before = clock.time().nseconds() as i64;
                    let unix = support::unix_now();
                    let after = clock.time().nseconds() as i64;
                    (unix - (before + (after - before) / 2), after - before)
                })
                .min_by_key(|(_, uncertainty)| *uncertainty)
                .unwrap();
            let at = (base + buffer.pts().unwrap()).nseconds() as i64;
            seen.lock().unwrap().push((at + offset, uncertainty));
            gst::PadProbeReturn::Ok
        });
    stream.play();
    let run = follow_and_check(&mut stream, Allowed::NOTHING);
    let captured = captured.lock().unwrap();
    let mut frame = 0;
    let mut errors = Vec::new();
    for (segment, parts) in run.playlist.segments.iter().zip(&run.segments) {
        let (truth, uncertainty) = captured[frame];
        let error = segment.date - truth;
        assert!(
            error.abs() <= 5_000_000 + uncertainty,
            "{} is {error} ns off, {uncertainty} ns unsure",
            segment.uri
        );
        errors.push(error);
        frame += parts.iter().map(|part| part.samples.len()).sum::<usize>();
    }
    // No jitter: rounding to a millisecond and frames that are no whole number of nanoseconds.
    let spread = errors.iter().max().unwrap() - errors.iter().min().unwrap();
    let unsure: i64 = captured
        .iter()
        .map(|(_, uncertainty)| *uncertainty)
        .max()
        .unwrap();
    assert!(spread <= 1_500_000 + 2 * unsure, "{errors:?}");
    assert!(run.segments.len() >= 2);
}
