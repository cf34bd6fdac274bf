//! Several tracks into one element: whatever the sources, one presentation comes out.

mod support;

use std::collections::BTreeMap;

use gst::prelude::*;
use support::{
    pair::{Pair, aac, sound, video},
    stream::{Frames, Stream},
    tracks::{self, Rendition, breaks},
};

fn play(branches: &str, properties: &str) -> BTreeMap<String, Rendition> {
    tracks::play_and_check(&mut Stream::of_branches(branches, properties))
}

fn count(renditions: &BTreeMap<String, Rendition>, pad: &str) -> usize {
    renditions[pad].segments.len()
}

#[test]
fn a_camera_and_a_microphone() {
    let renditions = play(&format!("{} ! sink. {} ! sink.", video(6), aac(6)), "");
    assert_eq!(renditions["video"].entry, "avc1");
    assert_eq!(renditions["audio"].entry, "mp4a");
    assert_eq!(count(&renditions, "video"), 6);
    assert!((6..=7).contains(&count(&renditions, "audio")));
}

#[test]
fn adts_is_converted() {
    let renditions = play(
        &format!(
            "{} ! sink. {} ! audio/mpeg,stream-format=adts ! sink.",
            video(3),
            aac(3)
        ),
        "",
    );
    assert_eq!(renditions["audio"].entry, "mp4a");
}

#[test]
fn opus() {
    let renditions = play(
        &format!(
            "{} ! sink. {} ! opusenc ! opusparse ! sink.",
            video(4),
            sound(4)
        ),
        "",
    );
    assert_eq!(renditions["audio"].entry, "opus");
}

#[test]
fn av1_beside_sound() {
    let branches = format!(
        "videotestsrc num-buffers=40 ! video/x-raw,width=160,height=120,framerate=20/1 \
         ! av1enc cpu-used=8 usage-profile=realtime lag-in-frames=0 keyframe-max-dist=20 ! av1parse ! sink. {} ! sink.",
        aac(2)
    );
    let mut stream = Stream::of_branches(&branches, "");
    let renditions = tracks::play_and_check(&mut stream);
    assert_eq!(renditions["video"].entry, "av01");
}

#[test]
fn two_sounds_without_a_picture() {
    let renditions = play(&format!("{} ! sink. {} ! sink.", aac(5), aac(5)), "");
    assert_eq!(renditions.keys().collect::<Vec<_>>(), ["audio", "audio_0"]);
    assert!((5..=6).contains(&count(&renditions, "audio")));
}

#[test]
fn one_sound_alone_has_the_entry_for_its_playlist() {
    let mut stream = Stream::of_branches(&format!("{} ! sink.", aac(4)), "");
    let playlist = stream.play_to_end();
    assert!(
        (4..=5).contains(&playlist.segments.len()),
        "{}",
        playlist.text
    );
}

/// By the key frames of the encoders alone: on a crowded machine a request may reach one of them a frame later.
#[test]
fn a_ladder_has_equal_borders() {
    let rung = |width: u32| {
        format!(
            "t. ! queue ! videoscale ! video/x-raw,width={width},height=120 \
             ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=30 ! h264parse ! sink."
        )
    };
    let renditions = play(
        &format!(
            "videotestsrc is-live=true num-buffers=120 ! video/x-raw,width=320,height=240,framerate=30/1 ! tee name=t {} {} {}",
            rung(320),
            rung(160),
            rung(80)
        ),
        "send-keyframe-requests=false",
    );
    let starts = |name: &str| -> Vec<(u64, i64)> {
        let segments = &renditions[name].segments;
        assert!(segments.values().all(|segment| segment.is_sync));
        segments
            .iter()
            .map(|(number, segment)| (*number, segment.media))
            .collect()
    };
    assert_eq!(starts("video"), starts("video_0"));
    assert_eq!(starts("video"), starts("video_1"));
    assert_eq!(starts("video").len(), 4);
}

fn muxed(path: &str) -> BTreeMap<String, Rendition> {
    let branches = format!(
        "filesrc location={path} ! qtdemux name=d d.video_0 ! sink.video d.audio_0 ! sink.audio"
    );
    let mut stream = Stream::of_branches(&branches, "send-keyframe-requests=false");
    let renditions = tracks::play_and_check(&mut stream);
    for pad in ["video", "audio"] {
        assert_eq!(stream.figure(pad, "dropped-ahead"), 0, "{pad}");
    }
    renditions
}

/// One thread feeds both pads, and nothing is between them.
#[test]
fn a_muxed_file_without_queues() {
    support::init();
    let folder = std::env::temp_dir().join(format!("llhls-tracks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("muxed.mp4");
    let line = format!(
        "{} ! mp4mux name=m ! filesink location={} {} ! m.",
        video(8),
        path.display(),
        aac(8)
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ended = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(30),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert_eq!(ended.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    let renditions = muxed(path.to_str().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(count(&renditions, "video"), 8);
}

#[test]
fn a_real_muxed_file_without_queues() {
    let renditions = muxed(&support::footage::clip("bigbuckbunny.mp4"));
    // Its only key frame is the first.
    assert_eq!(renditions["audio"].entry, "mp4a");
}

/// A part of sound is not held back until the next picture, which cannot come sooner.
#[test]
fn sound_goes_as_far_as_the_next_picture() {
    let fed = Pair::new(2, "");
    fed.stream.play();
    fed.push(0..2000, 0, "va");
    fed.wait_for("video", "taken", 60);
    support::wait_until("sound beyond the last picture", || {
        let sound = fed.stream.fed_to("audio");
        sound
            .iter()
            .any(|frame| frame.pts > Some(59 * 1_000_000_000 / 30))
    });
    fed.wait_for("audio", "taken", fed.stream.fed_to("audio").len() as u64);
    fed.stream.stop();
}

#[test]
fn sound_that_comes_three_seconds_late_joins() {
    let mut fed = Pair::new(8, "track-timeout=100");
    fed.stream.play();
    fed.push(0..3300, 0, "v");
    fed.wait_for("video", "segments", 2);
    fed.push(3300..8000, 0, "va");
    let renditions = fed.end();
    assert_eq!(renditions["audio"].segments.keys().next(), Some(&5));
    assert!(breaks(&renditions["audio"]).is_empty());
}

#[test]
fn a_picture_that_comes_three_seconds_late_joins() {
    let mut fed = Pair::new(8, "track-timeout=100");
    fed.stream.play();
    fed.push(0..3000, 0, "a");
    fed.wait_for("audio", "segments", 2);
    fed.push(3000..8000, 0, "va");
    let renditions = fed.end();
    assert!(count(&renditions, "video") >= 4);
}

#[test]
fn sound_three_seconds_late_is_waited_for_if_there_is_time() {
    let mut fed = Pair::new(8, "track-timeout=20000");
    fed.stream.play();
    fed.push(0..3000, 0, "v");
    fed.wait_until_fed("video", 90);
    assert_eq!(fed.stream.stats().get::<u64>("segments").unwrap_or(0), 0);
    fed.push(3000..8000, 0, "va");
    let renditions = fed.end();
    assert_eq!(count(&renditions, "video"), 8);
}

#[test]
fn a_track_that_stays_silent_does_not_hold_up_the_rest() {
    let fed = Pair::new(4, "track-timeout=100");
    fed.stream.play();
    fed.push(0..4000, 0, "v");
    fed.wait_for("video", "segments", 3);
    let mut client = fed.stream.client();
    assert_eq!(tracks::named(&mut client), ["live_video.m3u8"]);
    let playlist = tracks::playlist(&mut client, "live_video.m3u8");
    assert!(playlist.segments.len() >= 3);
    fed.stream.stop();
}

#[test]
fn sound_that_ends_early_leaves_the_picture() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    fed.audio.end_of_stream().unwrap();
    fed.push(2500..6000, 0, "v");
    fed.wait_for("video", "segments", 5);
    let renditions = fed.end();
    assert_eq!(count(&renditions, "video"), 6);
    assert_eq!(count(&renditions, "audio"), 3);
}

#[test]
fn a_picture_that_ends_early_leaves_the_sound_in_the_lead() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    fed.video.end_of_stream().unwrap();
    fed.push(2500..6000, 0, "a");
    fed.wait_for("audio", "segments", 5);
    let renditions = fed.end();
    assert_eq!(count(&renditions, "video"), 3);
    assert!((6..=7).contains(&count(&renditions, "audio")));
}

#[test]
fn both_jump_forwards_and_back() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push_in_step(0..3000, 10_000);
    fed.push_in_step(0..3000, 60_000);
    fed.push_in_step(0..6000, 1_000);
    let renditions = fed.end();
    assert_eq!(breaks(&renditions["video"]), [4, 7]);
    assert_eq!(breaks(&renditions["audio"]), [4, 7]);
}

/// Each track on its own takes all kinds of accidents; the check of every playlist is the test.
#[test]
fn a_hole_in_one_track() {
    for (tracks, hole) in [("a", 300), ("v", 300), ("a", 2_000), ("v", 2_000)] {
        let other = if tracks == "a" { "v" } else { "a" };
        let mut fed = Pair::new(8, "");
        fed.stream.play();
        fed.push(0..2500, 0, "va");
        fed.push(2500..2500 + hole, 0, other);
        fed.push(2500 + hole..8000, 0, "va");
        fed.end();
    }
}

#[test]
fn other_caps_on_one_track_are_a_discontinuity_on_both() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    let mono = Frames::of(&aac(6).replace("channels=2", "channels=1"));
    fed.audio.set_caps(Some(&mono.caps));
    fed.sounds = mono;
    fed.push(2500..6000, 0, "va");
    let renditions = fed.end();
    assert_eq!(breaks(&renditions["video"]), breaks(&renditions["audio"]));
    assert_eq!(breaks(&renditions["video"]).len(), 1);
}

#[test]
fn a_flush_on_one_track() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..2400, 0, "va");
    fed.push(2400..2500, 0, "v");
    fed.wait_for("audio", "taken", 112);
    let pad = fed.stream.sink.static_pad("audio").unwrap();
    assert!(pad.send_event(gst::event::FlushStart::new()));
    assert!(pad.send_event(gst::event::FlushStop::new(false)));
    // What upstream says after a flush.
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(pad.send_event(gst::event::Segment::new(&segment)));
    fed.wait_for("audio", "segments", 3);
    fed.push(2500..6000, 0, "va");
    let renditions = fed.end();
    assert_eq!(breaks(&renditions["video"]), [4]);
    assert_eq!(breaks(&renditions["audio"]), [4]);
}

#[test]
fn a_pad_is_released_while_playing() {
    let fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    fed.wait_for("audio", "segments", 1);
    let pad = fed.stream.sink.static_pad("audio").unwrap();
    pad.peer().unwrap().unlink(&pad).unwrap();
    fed.stream.sink.release_request_pad(&pad);
    fed.push(2500..6000, 0, "v");
    fed.wait_for("video", "segments", 5);
    let mut client = fed.stream.client();
    assert!(tracks::playlist(&mut client, "live_audio.m3u8").is_ended);
    assert!(!tracks::playlist(&mut client, "live_video.m3u8").is_ended);
    fed.stream.stop();
}

/// Everything in the way of the end at once: a full queue, a track that waits for the leader, a leader that is silent.
#[test]
fn stopping_releases_tracks_that_wait_for_each_other() {
    for (tracks, timeout) in [("a", 600_000), ("v", 600_000), ("a", 0)] {
        let fed = Pair::new(8, &format!("track-timeout={timeout}"));
        fed.stream.play();
        if timeout == 0 {
            fed.push(0..1000, 0, "va");
        }
        fed.push(1000..8000, 0, tracks);
        let pad = if tracks == "a" { "audio" } else { "video" };
        fed.wait_until_fed(pad, 129);
        let ((), took) = support::timed(|| fed.stream.stop());
        assert!(took.as_secs_f64() < 10.0, "{took:?}");
    }
}

/// The leader is silent for a while; the other's frames wait for it.
#[test]
fn a_stall_of_either_track_ends() {
    for silent in ["v", "a"] {
        let other = if silent == "v" { "a" } else { "v" };
        let mut fed = Pair::new(12, "");
        fed.stream.play();
        fed.push(0..2000, 0, "va");
        fed.push(2000..7000, 0, other);
        fed.push(7000..12_000, 0, "va");
        fed.end();
    }
}
