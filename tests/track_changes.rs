//! What happens to picture and sound beside each other, as the element tells it to players.

mod support;

use gst::prelude::*;
use support::{
    pair::{PICTURE, Pair, aac},
    stream::{Frames, Stream},
    tracks::{self, breaks},
};

/// A picture that an encoder with other settings made.
fn picture(seconds: u32, from: &str, to: &str) -> Frames {
    Frames::of(&format!(
        "videotestsrc num-buffers={} ! {} ! video/x-h264,stream-format=avc,alignment=au",
        seconds * 30,
        PICTURE.replace(from, to)
    ))
    // The encoder counts from a thousand hours on.
    .retimed(|nth, frame| {
        let time = nth as u64 * gst::ClockTime::SECOND / 30;
        frame.set_pts(time);
        frame.set_dts(time);
    })
}

/// The caps come between key frames: what follows is nothing without one.
#[test]
fn both_formats_change_at_once_and_between_key_frames() {
    let mut fed = Pair::new(8, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    let (larger, mono) = (
        picture(8, "width=160", "width=320"),
        Frames::of(&aac(8).replace("channels=2", "channels=1")),
    );
    fed.video.set_caps(Some(&larger.caps));
    fed.audio.set_caps(Some(&mono.caps));
    (fed.pictures, fed.sounds) = (larger, mono);
    fed.push(2500..8000, 0, "va");
    let renditions = fed.end();
    let (video, audio) = (breaks(&renditions["video"]), breaks(&renditions["audio"]));
    assert_eq!(video, audio);
    assert!((1..=2).contains(&video.len()), "{video:?}");
    assert_eq!(renditions["video"].gaps(), [0; 0]);
}

/// The same size, and another profile: only the codec data tells.
#[test]
fn other_codec_data_alone_is_a_discontinuity_of_both() {
    let mut fed = Pair::new(6, "");
    fed.stream.play();
    fed.push(0..3000, 0, "va");
    let other = picture(6, "ultrafast", "superfast");
    assert_ne!(other.caps, fed.pictures.caps);
    fed.video.set_caps(Some(&other.caps));
    fed.pictures = other;
    fed.push(3000..6000, 0, "va");
    let renditions = fed.end();
    assert_eq!(breaks(&renditions["video"]), [4]);
    assert_eq!(breaks(&renditions["audio"]), [4]);
}

#[test]
fn the_leading_pad_is_released_while_playing() {
    let fed = Pair::new(8, "");
    fed.stream.play();
    fed.push(0..2500, 0, "va");
    fed.wait_for("video", "segments", 2);
    let pad = fed.stream.sink.static_pad("video").unwrap();
    pad.peer().unwrap().unlink(&pad).unwrap();
    fed.stream.sink.release_request_pad(&pad);
    fed.push(2500..8000, 0, "a");
    fed.wait_for("audio", "segments", 7);
    let mut client = fed.stream.client();
    assert!(tracks::playlist(&mut client, "live_video.m3u8").is_ended);
    let sound = tracks::playlist(&mut client, "live_audio.m3u8");
    assert!(!sound.is_ended);
    assert!(
        !sound.text.contains("#EXT-X-DISCONTINUITY\n"),
        "{}",
        sound.text
    );
    fed.stream.stop();
}

/// Longer than anybody is waited for: that nothing comes of any track is no silence of one.
#[test]
fn a_pause_of_ten_seconds_is_one_discontinuity_of_both() {
    let stream = Stream::of_branches(
        &format!(
            "videotestsrc is-live=true ! {PICTURE} ! sink.video \
             audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! avenc_aac ! aacparse ! sink.audio"
        ),
        "playlist-length=12 max-files=20",
    );
    stream.play();
    let wait_for = |stream: &Stream, segments: u64| {
        support::wait_until("segments", || {
            let all = stream.stats();
            ["video", "audio"].iter().all(|track| {
                let track = all.get::<gst::Structure>(*track);
                track.is_ok_and(|track| {
                    track
                        .get::<u64>("segments")
                        .is_ok_and(|all| all >= segments)
                })
            })
        });
    };
    wait_for(&stream, 2);
    stream.pipeline.set_state(gst::State::Paused).unwrap();
    // The pause is what is tested.
    let bus = stream.pipeline.bus().unwrap();
    let error =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
    stream.play();
    wait_for(&stream, 6);
    let mut client = stream.client();
    let found = ["video", "audio"].map(|track| {
        let playlist = tracks::playlist(&mut client, &format!("live_{track}.m3u8"));
        assert!(!playlist.text.contains("#EXT-X-GAP"), "{}", playlist.text);
        let breaks = playlist
            .segments
            .iter()
            .filter(|segment| segment.is_discontinuity);
        let last = playlist.segments.last().unwrap().date;
        assert!(
            support::unix_now() - last < 8_000_000_000,
            "{}",
            playlist.text
        );
        breaks.map(|segment| segment.msn).collect::<Vec<_>>()
    });
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].len(), 1, "{found:?}");
    stream.stop();
}
