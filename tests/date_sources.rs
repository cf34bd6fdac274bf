//! What PROGRAM-DATE-TIME is taken from, and what happens when that jumps.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use gst::prelude::*;
use support::{
    check::{Allowed, follow_and_check},
    stream::{FedStream, Frames, Stream},
};

/// 2026-01-01T00:00:00Z in nanoseconds.
const NEW_YEAR: u64 = 1_767_225_600_000_000_000;
const NTP_TO_UNIX: u64 = 2_208_988_800;

fn stamped(reference: &'static str, shift_seconds: u64) -> Frames {
    support::init();
    let reference = gst::Caps::new_empty_simple(reference);
    Frames::test_picture(60, 30).retimed(move |_, buffer| {
        let captured = gst::ClockTime::from_nseconds(NEW_YEAR)
            + buffer.pts().unwrap()
            + gst::ClockTime::from_seconds(shift_seconds);
        gst::ReferenceTimestampMeta::add(buffer, &reference, captured, gst::ClockTime::NONE);
    })
}

#[test]
fn a_reference_timestamp_wins_over_the_clocks() {
    for (reference, shift) in [("timestamp/x-unix", 0), ("timestamp/x-ntp", NTP_TO_UNIX)] {
        let frames = stamped(reference, shift);
        let first = frames.buffers[0].pts().unwrap().nseconds();
        let mut fed = FedStream::new(&frames.caps, "");
        let playlist = fed.play_to_end(&frames);
        let expected = i64::try_from(NEW_YEAR + first).unwrap();
        for (index, segment) in playlist.segments.iter().enumerate() {
            let expected = expected + index as i64 * 1_000_000_000;
            let error = segment.date - expected;
            assert!(error.abs() <= 1_000_000, "{reference}: {error} ns off");
        }
        let source: Option<String> = fed.stream.sink.property("pdt-source");
        assert_eq!(source.as_deref(), Some("reference-timestamp"));
    }
}

/// rtspsrc knows no capture times before the first sender report.
#[test]
fn a_reference_that_comes_late_decides_from_then_on() {
    // Ahead of today, for dates do not go back.
    const AHEAD: u64 = 100 * 365 * 86_400;
    support::init();
    let reference = gst::Caps::new_empty_simple("timestamp/x-unix");
    let frames = Frames::test_picture(180, 30).retimed(move |nth, buffer| {
        if nth < 45 {
            return;
        }
        let captured = gst::ClockTime::from_nseconds(NEW_YEAR)
            + buffer.pts().unwrap()
            + gst::ClockTime::from_seconds(AHEAD);
        gst::ReferenceTimestampMeta::add(buffer, &reference, captured, gst::ClockTime::NONE);
    });
    let first = frames.buffers[0].pts().unwrap().nseconds();
    let mut fed = FedStream::new(&frames.caps, "");
    let playlist = fed.play_to_end(&frames);
    let breaks: Vec<bool> = playlist
        .segments
        .iter()
        .map(|segment| segment.is_discontinuity)
        .collect();
    assert_eq!(breaks, [false, false, true, false, false, false]);
    let expected = i64::try_from(NEW_YEAR + first + AHEAD * 1_000_000_000).unwrap();
    for (index, segment) in playlist.segments.iter().enumerate().skip(2) {
        let error = segment.date - (expected + index as i64 * 1_000_000_000);
        assert!(error.abs() <= 1_000_000, "{error} ns off");
    }
    let source: Option<String> = fed.stream.sink.property("pdt-source");
    assert_eq!(source.as_deref(), Some("reference-timestamp"));
}

#[test]
fn the_source_of_dates_can_be_read() {
    let frames = Frames::test_picture(40, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    let source = |fed: &FedStream| fed.stream.sink.property::<Option<String>>("pdt-source");
    assert_eq!(source(&fed), None);
    fed.play_to_end(&frames);
    let known = source(&fed);
    assert!(
        ["pipeline-clock", "arrival"].contains(&known.as_deref().unwrap()),
        "{known:?}"
    );
}

#[test]
fn a_pause_is_a_discontinuity_and_dates_are_right_after_it() {
    let mut stream = Stream::new(
        "videotestsrc is-live=true num-buffers=150 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "",
    );
    stream.play();
    support::wait_until("two segments", || {
        let segments = stream.stats().get::<u64>("segments");
        segments.is_ok_and(|segments| segments >= 2)
    });
    stream.pipeline.set_state(gst::State::Paused).unwrap();
    // The pause is what is tested: the clock goes on for two seconds.
    let bus = stream.pipeline.bus().unwrap();
    let error = bus.timed_pop_filtered(gst::ClockTime::from_seconds(2), &[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
    stream.play();
    let run = follow_and_check(
        &mut stream,
        Allowed {
            discontinuities: 1,
            ..Allowed::NOTHING
        },
    );
    let segments = &run.playlist.segments;
    let pair = segments.windows(2).find(|pair| pair[1].is_discontinuity);
    let [before, after] = pair.unwrap() else {
        unreachable!("windows of two")
    };
    // Not behind by the length of the pause, nor ahead.
    let between = after.date - (before.date + before.duration);
    assert!(between >= 1_900_000_000, "{between} ns");
    assert!(segments.last().unwrap().date < support::unix_now());
}

/// The pipeline's clock is a hundredth faster than the host's: ten milliseconds a second, of which one a segment is followed.
#[test]
fn dates_follow_a_drifting_clock_by_a_millisecond_a_segment() {
    let stream = Stream::new(
        "videotestsrc is-live=true num-buffers=240 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse",
        "playlist-length=12 max-files=20",
    );
    let clock = gst::glib::Object::new::<gst::SystemClock>();
    let now = clock.internal_time();
    clock.set_calibration(now, now, 101, 100);
    stream.pipeline.use_clock(Some(&clock));
    stream.play();
    let playlist = stream.wait_for_playlist_end();
    let segments = &playlist.segments;
    // The first is what the clock is followed from, the last is cut short.
    let steps: Vec<i64> = segments
        .windows(2)
        .map(|pair| pair[1].date - pair[0].date - pair[0].duration)
        .collect();
    // Playlists have milliseconds.
    assert!(
        steps
            .iter()
            .all(|step| (-2_000_000..=1_000_000).contains(step)),
        "{steps:?}"
    );
    let all: i64 = steps.iter().sum();
    let count = steps.len() as i64;
    assert!(
        (-count - 1..=-count + 2).contains(&(all / 1_000_000)),
        "{all} ns in {count} segments: {steps:?}"
    );
}
