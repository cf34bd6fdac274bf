//! Whatever upstream does, players get a legal playlist: gaps, wraps, segments, errors, and every kind of GOP.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use gst::prelude::*;
use support::{
    check::{Allowed, Run, follow_and_check, play_and_check_but},
    pair::{Pair, aac},
    stream::{FedStream, Frames, Stream},
    tracks::{self, breaks},
};

/// A clock of 90 kHz in 33 bits, as MPEG-TS has, in milliseconds.
const WRAP: i64 = (1 << 33) / 90;

const SMALL: &str = "video/x-raw,format=I420,width=160,height=120,framerate=30/1";

fn check(fed: &mut FedStream, discontinuities: usize) -> Run {
    fed.source.end_of_stream().unwrap();
    let allowed = Allowed {
        discontinuities,
        ..Allowed::NOTHING
    };
    follow_and_check(&mut fed.stream, allowed)
}

/// Frames from the `from`th second on, `by` milliseconds later.
fn part_of(frames: &Frames, seconds: std::ops::Range<usize>, by: i64) -> Vec<gst::Buffer> {
    let moved = |buffer: &gst::Buffer| {
        let mut buffer = buffer.clone();
        let made = buffer.make_mut();
        let nanos = made.pts().unwrap().nseconds();
        let later = nanos.checked_add_signed(by * 1_000_000).unwrap();
        made.set_pts(gst::ClockTime::from_nseconds(later));
        made.set_dts(gst::ClockTime::from_nseconds(later));
        buffer
    };
    let range = seconds.start * 30..seconds.end * 30;
    frames.buffers[range].iter().map(moved).collect()
}

#[test]
fn half_a_minute_of_nothing_is_a_discontinuity() {
    let frames = Frames::test_picture(150, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&part_of(&frames, 0..2, 0));
    fed.push(&part_of(&frames, 2..5, 30_000));
    let run = check(&mut fed, 1);
    assert_eq!(run.samples().count(), 150);
    let segments = &run.playlist.segments;
    let step = segments[2].date - segments[1].date;
    assert!((step - 31_000_000_000).abs() < 2_000_000, "{step}");
}

/// What upstream says of a hole changes nothing for a track that has no others to keep up with: the times of its frames do.
#[test]
fn gap_events_on_a_single_pad() {
    for (hole, discontinuities) in [(300_i64, 0), (5_000, 1)] {
        let frames = Frames::test_picture(120, 30);
        let mut fed = FedStream::new(&frames.caps, "");
        fed.stream.play();
        fed.push(&part_of(&frames, 0..2, 0));
        support::wait_until("what was pushed", || fed.stream.fed_to("video").len() == 60);
        let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(2))
            .duration(gst::ClockTime::from_mseconds(hole.unsigned_abs()))
            .build();
        assert!(fed.source.static_pad("src").unwrap().push_event(gap));
        fed.push(&part_of(&frames, 2..4, hole));
        let run = check(&mut fed, discontinuities);
        assert_eq!(run.samples().count(), 120);
    }
}

#[test]
fn half_a_minute_of_nothing_in_one_track() {
    for silent in ["a", "v"] {
        let other = if silent == "a" { "v" } else { "a" };
        let mut pair = Pair::new(36, "");
        pair.stream.play();
        pair.push(0..2500, 0, "va");
        // As it comes: longer than the tracks' queues.
        for from in (2500..32_500).step_by(1000) {
            pair.push(from..from + 1000, 0, other);
            if silent == "a" {
                pair.wait_for("video", "taken", (from * 30 / 1000).saturating_sub(30));
            }
        }
        pair.push(32_500..36_000, 0, "va");
        let renditions = pair.end();
        if silent == "a" {
            assert!(breaks(&renditions["audio"]).is_empty());
            assert!(renditions["audio"].segments.len() >= 35);
        } else {
            assert_eq!(breaks(&renditions["video"]), breaks(&renditions["audio"]));
        }
    }
}

/// As a damaged PES header has it.
#[test]
fn one_wrong_timestamp_costs_nothing() {
    for wrong in ["a", "v"] {
        let mut pair = Pair::new(8, "");
        pair.stream.play();
        pair.push(0..2500, 0, "va");
        pair.push(2500..2533, 3_600_000, wrong);
        pair.push(2533..8000, 0, "va");
        let renditions = pair.end();
        for pad in ["video", "audio"] {
            assert!(breaks(&renditions[pad]).is_empty(), "{wrong}: {pad}");
            assert_eq!(renditions[pad].gaps(), [0; 0], "{wrong}: {pad}");
            assert_eq!(renditions[pad].segments.len(), 8, "{wrong}: {pad}");
        }
        for pad in ["video", "audio"] {
            let came = pair.stream.fed_to(pad).len() as u64;
            assert!(pair.figure(pad, "taken") >= came, "{wrong}: {pad}");
        }
    }
}

#[test]
fn half_a_minute_of_nothing_in_both_tracks() {
    let mut pair = Pair::new(6, "");
    pair.stream.play();
    pair.push(0..3000, 0, "va");
    pair.push(3000..6000, 30_000, "va");
    let renditions = pair.end();
    assert_eq!(breaks(&renditions["video"]), [4]);
    assert_eq!(breaks(&renditions["audio"]), [4]);
}

/// What upstream should have undone: time begins again.
#[test]
fn timestamps_that_wrap_are_a_discontinuity() {
    let frames = Frames::test_picture(150, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&part_of(&frames, 0..2, WRAP - 2_000));
    fed.push(&part_of(&frames, 2..5, -2_000));
    let run = check(&mut fed, 1);
    assert_eq!(run.samples().count(), 150);
    let segments = &run.playlist.segments;
    // PL-33: dates go on.
    let step = segments[2].date - segments[1].date;
    assert!(step > 0, "{step}");
}

#[test]
fn timestamps_of_two_tracks_wrap_together() {
    let mut pair = Pair::new(6, "");
    pair.stream.play();
    pair.push(0..3000, WRAP - 3_000, "va");
    pair.push(3000..6000, -3_000, "va");
    let renditions = pair.end();
    assert_eq!(breaks(&renditions["video"]), [4]);
    assert_eq!(breaks(&renditions["audio"]), [4]);
}

/// Only running time counts: where a new SEGMENT goes on, nothing happened.
#[test]
fn a_new_segment_event_is_seen_through() {
    for (base, discontinuities) in [(2_000, 0), (32_000, 1)] {
        let frames = Frames::test_picture(150, 30);
        let mut fed = FedStream::new(&frames.caps, "");
        fed.stream.play();
        fed.push(&part_of(&frames, 0..2, 0));
        fed.wait_for_frames(60);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(1_000));
        segment.set_base(gst::ClockTime::from_mseconds(base));
        let pad = fed.source.static_pad("src").unwrap();
        assert!(pad.push_event(gst::event::Segment::new(&segment)));
        fed.push(&part_of(&frames, 2..5, 1_000_000 - 2_000));
        let run = check(&mut fed, discontinuities);
        assert_eq!(run.samples().count(), 150);
    }
}

#[test]
fn a_flush_alone_is_a_discontinuity_and_loses_nothing_published() {
    let frames = Frames::test_picture(150, 30);
    let mut fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&part_of(&frames, 0..2, 0));
    fed.wait_for_frames(60);
    let pad = fed.stream.sink.static_pad("video").unwrap();
    assert!(pad.send_event(gst::event::FlushStart::new()));
    assert!(pad.send_event(gst::event::FlushStop::new(false)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(pad.send_event(gst::event::Segment::new(&segment)));
    fed.push(&part_of(&frames, 2..5, 0));
    let run = check(&mut fed, 1);
    assert_eq!(run.samples().count(), 150);
}

#[test]
fn an_upstream_error_ends_the_playlist() {
    let mut stream = Stream::new(
        &format!(
            "videotestsrc num-buffers=150 ! {SMALL} ! x264enc tune=zerolatency key-int-max=30 ! h264parse \
             ! identity error-after=75"
        ),
        "",
    );
    stream.play();
    stream.wait_for_error();
    let playlist = stream.wait_for_playlist_end();
    assert_eq!(playlist.segments.len(), 3, "{}", playlist.text);
}

/// PRELOAD-HINT of the init section as soon as the caps are known (B.1).
#[test]
fn other_caps_are_hinted_at_before_their_first_part() {
    let before = Frames::test_picture(40, 30);
    let after = Frames::of(&format!(
        "videotestsrc num-buffers=60 ! {} ! x264enc tune=zerolatency key-int-max=30 ! h264parse \
         ! video/x-h264,stream-format=avc,alignment=au",
        SMALL.replace("160", "320")
    ))
    .retimed(|nth, frame| {
        let time = (nth + 40) as u64 * gst::ClockTime::SECOND / 30;
        frame.set_pts(time);
        frame.set_dts(time);
    });
    let mut fed = FedStream::new(&before.caps, "");
    fed.stream.play();
    fed.push(&before.buffers);
    fed.source.set_caps(Some(&after.caps));
    fed.push(&after.buffers[..1]);
    let hint = support::wait_for("a hint", || fed.stream.playlist().map_hint);
    let pending = fed.stream.get_later(&format!("/{hint}"));
    fed.push(&after.buffers[1..]);
    assert_eq!(pending.wait().status, 200);
    let run = check(&mut fed, 1);
    assert_eq!(run.playlist.segments[2].map, hint);
}

/// GOPs of these lengths, one after the other.
fn irregular(lengths: &[usize]) -> Frames {
    let mut all = Frames::test_picture(lengths[0], 300);
    for &length in &lengths[1..] {
        let start = all.buffers.len();
        let more = Frames::test_picture(length, 300);
        let moved = part_of_all(&more, start);
        all.buffers.extend(moved);
    }
    all
}

fn part_of_all(frames: &Frames, start: usize) -> Vec<gst::Buffer> {
    let frames = frames.clone().retimed(|nth, frame| {
        let time = (start + nth) as u64 * gst::ClockTime::SECOND / 30;
        frame.set_pts(time);
        frame.set_dts(time);
    });
    frames.buffers
}

/// Beside sound; `Pair` has the pictures it is given.
fn beside_sound(
    frames: Frames,
    seconds: u32,
) -> std::collections::BTreeMap<String, tracks::Rendition> {
    let mut pair = Pair::new(seconds, "send-keyframe-requests=false");
    pair.video.set_caps(Some(&frames.caps));
    pair.pictures = frames;
    pair.stream.play();
    pair.push(0..u64::from(seconds) * 1000, 0, "va");
    pair.end()
}

#[test]
fn irregular_gops_alone_and_beside_sound() {
    let lengths = [40, 12, 60, 3, 31, 20, 44, 90];
    let frames = irregular(&lengths);
    let mut fed = FedStream::new(&frames.caps, "send-keyframe-requests=false");
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.source.end_of_stream().unwrap();
    let allowed = Allowed {
        segments_without_sync: true,
        ..Allowed::NOTHING
    };
    let run = follow_and_check(&mut fed.stream, allowed);
    assert_eq!(run.samples().count(), 300);
    let renditions = beside_sound(frames, 10);
    assert!(breaks(&renditions["video"]).is_empty());
}

#[test]
fn gops_of_ten_seconds_and_of_one_picture_beside_sound() {
    let renditions = beside_sound(Frames::test_picture(660, 300), 22);
    let video = &renditions["video"];
    assert_eq!(video.playlist.target_duration, 10);
    assert_eq!(video.segments.len(), 3);
    assert!(video.segments.values().all(|segment| segment.is_sync));
    let renditions = beside_sound(Frames::test_picture(90, 1), 3);
    assert_eq!(renditions["video"].segments.len(), 3);
}

fn encoded(seconds: u32, options: &str) -> String {
    format!(
        "videotestsrc num-buffers={} pattern=ball ! {SMALL} ! x264enc {options} ! h264parse",
        seconds * 30
    )
}

#[test]
fn open_gops_beside_sound() {
    let picture = encoded(
        5,
        "speed-preset=veryfast bframes=2 key-int-max=15 option-string=open-gop=1",
    );
    let branches = format!("{picture} ! sink. {} ! sink.", aac(5));
    let mut stream = Stream::of_branches(&branches, "send-keyframe-requests=false");
    let renditions = tracks::play_and_check(&mut stream);
    assert!(breaks(&renditions["video"]).is_empty());
}

/// No IDR after the first: segments end where they have to.
#[test]
fn periodic_intra_refresh_alone_and_beside_sound() {
    let picture = encoded(
        20,
        "tune=zerolatency speed-preset=ultrafast intra-refresh=true key-int-max=30",
    );
    let allowed = Allowed {
        segments_without_sync: true,
        ..Allowed::NOTHING
    };
    let mut stream = Stream::new(&picture, "send-keyframe-requests=false");
    let run = play_and_check_but(&mut stream, allowed);
    let sync = run.samples().filter(|sample| sample.is_sync).count();
    assert_eq!((run.segments.len(), sync), (2, 1));
    let branches = format!("{picture} ! sink. {} ! sink.", aac(20));
    let mut stream = Stream::of_branches(&branches, "send-keyframe-requests=false");
    let renditions = tracks::play_and_check(&mut stream);
    assert_eq!(renditions["video"].segments.len(), 2);
    assert!(breaks(&renditions["video"]).is_empty());
}
