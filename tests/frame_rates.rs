//! Whatever the rate and the order of frames, the timeline is exact.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use support::{
    check::{Allowed, Run, play_and_check, play_and_check_but},
    stream::{FedStream, Frames, Stream},
};

const ENCODER: &str = "x264enc speed-preset=ultrafast";

fn encoded(rate: &str, frames: u32, encoder: &str) -> Stream {
    Stream::new(
        &format!(
            "videotestsrc num-buffers={frames} ! video/x-raw,width=160,height=120,framerate={rate} ! {encoder} ! h264parse"
        ),
        "",
    )
}

/// Every frame lasts exactly as long as the rate says.
fn assert_exact(run: &Run, numerator: u64, denominator: u64) {
    let timescale = u64::from(run.init().timescale);
    assert_eq!(timescale * denominator % numerator, 0, "whole ticks");
    let frame = timescale * denominator / numerator;
    for sample in run.samples() {
        assert_eq!(u64::from(sample.duration), frame);
    }
}

fn constant_rate(numerator: u64, denominator: u64) {
    let frames = u32::try_from(4 * numerator / denominator).unwrap();
    let rate = format!("{numerator}/{denominator}");
    let mut stream = encoded(&rate, frames, &format!("{ENCODER} tune=zerolatency"));
    let run = play_and_check(&mut stream);
    assert_exact(&run, numerator, denominator);
    let whole_frames = 1_000_000_000 * denominator / numerator;
    let parts = (run.playlist.part_target as u64 + whole_frames / 2) / whole_frames;
    let off = run
        .playlist
        .part_target
        .abs_diff((parts * whole_frames) as i64);
    assert!(off <= 10_000, "a whole number of frames, {off} ns off");
    assert!(run.segments.len() >= 4, "key frames were asked for");
}

#[test]
fn film() {
    constant_rate(24, 1);
}

#[test]
fn film_in_ntsc() {
    constant_rate(24_000, 1001);
}

#[test]
fn pal() {
    constant_rate(25, 1);
}

#[test]
fn ntsc() {
    constant_rate(30_000, 1001);
}

#[test]
fn pal_fields() {
    constant_rate(50, 1);
}

#[test]
fn ntsc_fields() {
    constant_rate(60_000, 1001);
}

#[test]
fn sixty() {
    constant_rate(60, 1);
}

#[test]
fn two_frames_a_second() {
    let mut stream = encoded("2/1", 12, &format!("{ENCODER} tune=zerolatency"));
    let run = play_and_check(&mut stream);
    assert_exact(&run, 2, 1);
    assert_eq!(run.playlist.part_target, 500_000_000, "one frame a part");
}

#[test]
fn b_frames() {
    for rate in ["30/1", "24000/1001"] {
        let mut stream = encoded(
            rate,
            120,
            "x264enc bframes=2 b-adapt=false speed-preset=veryfast",
        );
        let run = play_and_check(&mut stream);
        let is_reordered = run
            .presentation_times()
            .windows(2)
            .any(|pair| pair[1] < pair[0]);
        assert!(is_reordered, "the encoder made B-frames");
    }
}

#[test]
fn intra_only() {
    let mut stream = encoded(
        "30/1",
        90,
        &format!("{ENCODER} tune=zerolatency key-int-max=1"),
    );
    let run = play_and_check(&mut stream);
    assert!(run.samples().all(|sample| sample.is_sync));
    assert_exact(&run, 30, 1);
    for seconds in run.segment_seconds() {
        assert!((0.9..=1.1).contains(&seconds), "{seconds}");
    }
}

/// A camera without a clock of its own: each frame up to 5 ms early or late.
#[test]
fn jitter() {
    let frames = Frames::test_picture(150, 30).without_framerate();
    let mut state = 1_u64;
    let frames = frames.retimed(|nth, frame| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let jitter = (state >> 33) % 10_000_000;
        let time = gst::ClockTime::from_mseconds(5 + 1000 * nth as u64 / 30)
            + gst::ClockTime::from_nseconds(jitter)
            - gst::ClockTime::from_mseconds(5);
        frame.set_pts(time);
        frame.set_dts(time);
    });
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let run = support::check::follow_and_check(&mut fed.stream, Allowed::NOTHING);
    assert_eq!(run.segments.len(), 5);
}

/// A camera in the dark: every other frame is missing, and those that come still claim to last 33 ms.
#[test]
fn spacing_doubles_while_durations_stay() {
    for encoder in [
        "x264enc speed-preset=ultrafast tune=zerolatency",
        "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=20",
    ] {
        let mut stream = Stream::new(
            &format!(
                "videotestsrc num-buffers=300 ! video/x-raw,width=160,height=120,framerate=30/1 \
                 ! identity drop-probability=0.5 ! {encoder} ! h264parse"
            ),
            "",
        );
        play_and_check_but(
            &mut stream,
            Allowed {
                first_segment_without_parts: true,
                ..Allowed::NOTHING
            },
        );
    }
}

#[test]
fn frames_without_duration() {
    for promises in [true, false] {
        let frames = Frames::test_picture(90, 30);
        let frames = if promises {
            frames
        } else {
            frames.without_framerate()
        };
        let frames = frames.retimed(|_, frame| frame.set_duration(None));
        let mut fed = FedStream::new(&frames.caps, "");
        fed.stream.play();
        fed.push(&frames.buffers);
        fed.source.end_of_stream().unwrap();
        let run = support::check::follow_and_check(&mut fed.stream, Allowed::NOTHING);
        assert_eq!(run.segments.len(), 3);
        assert!((200_000_000 - run.playlist.part_target).abs() < 10_000_000);
    }
}

/// A line that starts where x264enc has it: at a thousand hours.
#[test]
fn the_first_frame_at_a_thousand_hours() {
    let start = gst::ClockTime::from_seconds(3_600_000);
    let frames = Frames::test_picture(60, 30).retimed(|_, frame| {
        frame.set_pts(frame.pts().map(|time| time + start));
        frame.set_dts(frame.dts().map(|time| time + start));
    });
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let run = support::check::follow_and_check(&mut fed.stream, Allowed::NOTHING);
    assert_eq!(run.parts().next().unwrap().decode, 0);
    assert_exact(&run, 30, 1);
}

/// B-frames whose first decode time lies before the start of the segment.
#[test]
fn negative_decode_times() {
    let mut stream = encoded(
        "30/1",
        90,
        "x264enc bframes=2 b-adapt=false speed-preset=veryfast",
    );
    let run = play_and_check(&mut stream);
    let first = stream.fed()[0];
    assert!(first.dts < Some(0), "{first:?}");
    assert_eq!(run.parts().next().unwrap().decode, 0);
}
