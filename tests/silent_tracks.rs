//! A track that has nothing to show for a while: the others go on, and it comes back under the right number.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{collections::BTreeMap, ops::Range};

use gst::prelude::*;
use support::{
    check::Watcher,
    http::Client,
    pair::{self, Pair},
    playlist::FIRST_MSN,
    stream::{Frames, Stream},
    tracks::{self, Rendition, breaks},
};

/// What players who ask for these playlists again and again see.
struct Viewers {
    client: Client,
    watchers: Vec<(String, Watcher)>,
}

impl Viewers {
    fn of(pair: &Pair) -> Self {
        let watched = |pad: &str| {
            let path = format!("/live_{pad}.m3u8");
            (path.clone(), Watcher::of(&path))
        };
        Self {
            client: pair.stream.client(),
            watchers: vec![watched("video"), watched("audio")],
        }
    }

    /// Looks until the pad has had so many whole segments.
    fn look_until(&mut self, pad: &str, count: u64) {
        support::wait_until(&format!("{count} segments of {pad}"), || {
            for (_, watcher) in &mut self.watchers {
                watcher.look(&mut self.client);
            }
            let playlist = tracks::playlist(&mut self.client, &format!("live_{pad}.m3u8"));
            playlist.next_part().0 >= FIRST_MSN + count
        });
    }
}

/// Picture and sound that have played two seconds and a half.
fn begun(seconds: u32, properties: &str) -> Pair {
    let pair = Pair::new(seconds, properties);
    pair.stream.play();
    pair.push(0..2500, 0, "va");
    pair.wait_for("video", "taken", 75);
    pair
}

/// Two pictures that play, fed by hand with the same frames. The first one leads.
struct Rungs {
    stream: Stream,
    frames: Frames,
    sources: [gst_app::AppSrc; 2],
}

impl Rungs {
    fn new(frames: usize, properties: &str) -> Self {
        let rung =
            |name: &str| format!("appsrc name={name} format=time is-live=true max-bytes=0 ! sink.");
        let branches = format!("{} {}", rung("first"), rung("second"));
        let stream = Stream::of_branches(&branches, properties);
        let frames = Frames::test_picture(frames, 30);
        stream.play();
        let sources = ["first", "second"].map(|name| {
            let source = stream.pipeline.by_name(name).unwrap();
            let source = source.downcast::<gst_app::AppSrc>().unwrap();
            source.set_caps(Some(&frames.caps));
            source
        });
        Self {
            stream,
            frames,
            sources,
        }
    }

    fn push(&self, rung: usize, range: Range<usize>) {
        for buffer in &self.frames.buffers[range] {
            self.sources[rung].push_buffer(buffer.clone()).unwrap();
        }
    }

    /// Says that nothing comes from a frame on, behind all that was pushed.
    fn push_gap(&self, rung: usize, frame: usize, duration: Option<gst::ClockTime>) {
        let source = &self.sources[rung];
        support::wait_until("what was pushed", || source.current_level_buffers() == 0);
        let gap = gst::event::Gap::builder(self.frames.buffers[frame].pts().unwrap());
        let gap = gap.duration(duration).build();
        assert!(source.static_pad("src").unwrap().push_event(gap));
    }

    fn end(&mut self) -> BTreeMap<String, Rendition> {
        for source in &self.sources {
            source.end_of_stream().unwrap();
        }
        tracks::end_and_check(&mut self.stream)
    }
}

#[test]
fn a_picture_that_stalls_does_not_stall_the_sound() {
    let mut pair = begun(12, "track-timeout=1000");
    let mut viewers = Viewers::of(&pair);
    viewers.look_until("audio", 2);
    // More than a second ahead: that alone is no silence, a second without a picture on top of it is.
    pair.push(2500..4300, 0, "a");
    viewers.look_until("audio", 4);
    pair.push(4300..7000, 0, "a");
    viewers.look_until("audio", 6);
    // The picture's playlist goes on as well, and says that there is nothing.
    viewers.look_until("video", 6);
    let playlist = tracks::playlist(&mut viewers.client, "live_video.m3u8");
    assert!(playlist.segments[4].is_gap, "{}", playlist.text);
    for from in (7000..12_000).step_by(500) {
        pair.push(from..from + 500, 0, "va");
        viewers.look_until("audio", from / 1000);
    }
    let renditions = pair.end();
    let (video, audio) = (&renditions["video"], &renditions["audio"]);
    assert_eq!(audio.gaps(), [0; 0]);
    let gaps = video.gaps();
    assert!(gaps.starts_with(&[3, 4, 5, 6, 7]), "{gaps:?}");
    assert!(gaps.len() <= 7, "{gaps:?}");
    assert!(breaks(video).is_empty() && breaks(audio).is_empty());
    assert_eq!(pair.stream.figure("audio", "dropped-ahead"), 0);
    assert_eq!(pair.stream.figure("audio", "dropped-before-joining"), 0);
    let last = |of: &Rendition| *of.segments.keys().last().unwrap();
    assert!(last(video).abs_diff(last(audio)) <= 1);
}

/// With the usual patience, which is longer than what may wait of sound.
#[test]
fn a_camera_that_stalls_costs_the_sound_nothing() {
    let stream = Stream::of_branches(
        "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! valve name=camera ! sink.video \
         audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! avenc_aac ! aacparse ! sink.audio",
        "",
    );
    stream.play();
    let wait_for = |stream: &Stream, segments: u64| {
        support::wait_until("segments of sound", || {
            let sound = stream.stats().get::<gst::Structure>("audio");
            sound.is_ok_and(|sound| {
                sound
                    .get::<u64>("segments")
                    .is_ok_and(|all| all >= segments)
            })
        });
    };
    wait_for(&stream, 2);
    let camera = stream.pipeline.by_name("camera").unwrap();
    camera.set_property("drop", true);
    wait_for(&stream, 9);
    camera.set_property("drop", false);
    wait_for(&stream, 12);
    assert_eq!(stream.figure("audio", "dropped-ahead"), 0);
    let mut client = stream.client();
    let sound = tracks::playlist(&mut client, "live_audio.m3u8");
    assert!(
        !sound.text.contains("#EXT-X-DISCONTINUITY\n"),
        "{}",
        sound.text
    );
    let picture = tracks::playlist(&mut client, "live_video.m3u8");
    assert!(picture.text.contains("#EXT-X-GAP"), "{}", picture.text);
    assert!(
        !picture.text.contains("#EXT-X-DISCONTINUITY\n"),
        "{}",
        picture.text
    );
}

#[test]
fn a_rung_that_cannot_begin_does_not_hold_back_the_rest() {
    let mut rungs = Rungs::new(150, "track-timeout=1000");
    rungs.push(0, 0..150);
    for buffer in &rungs.frames.buffers {
        if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            rungs.sources[1].push_buffer(buffer.clone()).unwrap();
        }
    }
    let stream = &mut rungs.stream;
    let warning = stream.wait_for_message("a warning", |message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
        _ => None,
    });
    assert!(
        warning.contains("video_0") && warning.contains("without it"),
        "{warning}"
    );
    let text = support::wait_for("the presentation", || {
        let answer = stream.client().get("/live.m3u8");
        (answer.status == 200).then(|| answer.text().to_owned())
    });
    assert!(
        text.contains("live_video.m3u8") && !text.contains("live_video_0.m3u8"),
        "{text}"
    );
}

/// Nothing comes of any track: that is a pause, and nobody takes the lead.
#[test]
fn when_nothing_comes_at_all_nobody_is_silent() {
    let mut pair = begun(5, "track-timeout=1000");
    let path = "/live_video.m3u8?_HLS_msn=3&_HLS_part=4";
    // Three seconds: longer than anybody is waited for.
    let answer = pair.stream.get_later(path).wait();
    assert_eq!(answer.status, 503);
    let playlist = tracks::playlist(&mut pair.stream.client(), "live_video.m3u8");
    assert_eq!(playlist.next_part(), (3, 2), "{}", playlist.text);
    pair.push(2500..5000, 0, "va");
    let renditions = pair.end();
    assert_eq!(renditions["video"].gaps(), [0; 0]);
    assert_eq!(renditions["video"].segments.len(), 5);
}

/// After an outage of everything whoever is back first is not ahead of the others: they have a while to come back too.
#[test]
fn who_is_back_first_after_an_outage_does_not_lead() {
    // Less than three seconds, and much more than those who come back are apart.
    let mut pair = begun(6, "track-timeout=2500");
    let waits = |path: &str| pair.stream.get_later(path).wait();
    // Three seconds: longer than anybody is waited for.
    assert_eq!(waits("/live_video.m3u8?_HLS_msn=3&_HLS_part=4").status, 503);
    pair.push(2500..4000, 30_000, "a");
    // Less than that.
    assert_eq!(
        waits("/live_video.m3u8?wait=250&version=100000").status,
        200
    );
    pair.push(2500..6000, 30_000, "v");
    pair.push(4000..6000, 30_000, "a");
    let renditions = pair.end();
    for pad in ["video", "audio"] {
        assert_eq!(renditions[pad].gaps(), [0; 0], "{pad}");
        assert_eq!(breaks(&renditions[pad]).len(), 1, "{pad}");
    }
}

#[test]
fn a_rung_with_a_hole_of_several_segments_keeps_its_numbers() {
    let mut rungs = Rungs::new(300, "");
    rungs.push(0, 0..300);
    rungs.push(1, 0..105);
    rungs.push(1, 220..300);
    let renditions = rungs.end();
    let (whole, holed) = (&renditions["video"], &renditions["video_0"]);
    assert_eq!(whole.segments.len(), 10);
    assert_eq!(holed.gaps(), [4, 5, 6, 7, 8]);
    assert!(breaks(whole).is_empty() && breaks(holed).is_empty());
    for (number, segment) in &holed.segments {
        assert_eq!(segment.media, whole.segments[number].media);
        assert!(segment.is_sync);
    }
}

/// Sparse sound: its playlist goes on with the pictures while only GAP events come.
#[test]
fn sound_that_says_it_is_silent_is_silence() {
    let mut pair = Pair::new(6, "");
    pair.stream.play();
    pair.push(0..1500, 0, "va");
    pair.push_gap("audio", 1500..3000);
    pair.push_gap("audio", 3000..4500);
    pair.push(1500..4500, 0, "v");
    pair.wait_for("audio", "segments", 4);
    pair.push(4500..6000, 0, "va");
    let renditions = pair.end();
    let audio = &renditions["audio"];
    assert_eq!(audio.gaps(), [0; 0]);
    assert!(breaks(audio).is_empty());
    // As many frames as if nothing had been missing.
    let whole = pair.sounds.buffers.len();
    assert!(
        audio.presented.len().abs_diff(whole) <= 2,
        "{} of {whole}",
        audio.presented.len()
    );
}

#[test]
fn sound_alone_that_says_it_is_silent_is_silence_too() {
    let mut pair = Pair::new(4, "");
    pair.stream.play();
    pair.video.end_of_stream().unwrap();
    pair.push(0..1000, 0, "a");
    pair.push_gap("audio", 1000..3000);
    pair.wait_for("audio", "segments", 2);
    pair.push(3000..4000, 0, "a");
    let renditions = pair.end();
    assert_eq!(renditions.keys().collect::<Vec<_>>(), ["audio"]);
    let whole = pair.sounds.buffers.len();
    assert!(renditions["audio"].presented.len().abs_diff(whole) <= 2);
}

/// Frames longer than one of silence, and timestamps that come in pairs.
#[test]
fn sound_without_a_hole_gets_no_silence() {
    let encoded = |frame: u32| {
        Frames::of(&format!(
            "audiotestsrc num-buffers=144 samplesperbuffer=1000 ! audio/x-raw,rate=48000,channels=2 \
             ! opusenc frame-size={frame} ! opusparse"
        ))
    };
    let pairs = Frames::of(&pair::aac(3)).retimed(|nth, frame| {
        let millis = u64::from(nth as u32 % 2) * 20;
        frame.set_pts(
            frame
                .pts()
                .map(|time| time.saturating_sub(gst::ClockTime::from_mseconds(millis))),
        );
    });
    for frames in [encoded(60), encoded(40), encoded(10), pairs] {
        let source = "appsrc name=source format=time is-live=true max-bytes=0 ! sink.audio";
        let mut stream = Stream::of_branches(source, "");
        let source = stream.pipeline.by_name("source").unwrap();
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        source.set_caps(Some(&frames.caps));
        stream.play();
        for buffer in &frames.buffers {
            source.push_buffer(buffer.clone()).unwrap();
        }
        source.end_of_stream().unwrap();
        stream.wait_for_end();
        let count = frames.buffers.len() as u64;
        assert_eq!(stream.figure("audio", "taken"), count, "{}", frames.caps);
    }
}

/// Sound cannot be presented early to make up for a hole, as a picture's decode time can.
#[test]
fn short_holes_in_sound_alone_are_silence() {
    let mut pair = Pair::new(6, "");
    pair.stream.play();
    pair.video.end_of_stream().unwrap();
    pair.push(0..1000, 5_000, "a");
    pair.push(1300..2000, 5_000, "a");
    // Behind a jump back as well.
    pair.push(2000..3000, 0, "a");
    pair.push(3100..5000, 0, "a");
    pair.push(5700..6000, 0, "a");
    let renditions = pair.end();
    let sound = &renditions["audio"];
    assert_eq!(breaks(sound).len(), 1);
    let mut times = pair.sounds.buffers.iter().map(|frame| frame.pts());
    let whole = times.position(|time| time.unwrap().seconds() >= 6);
    assert_eq!(Some(sound.presented.len()), whole);
    let far: Vec<i64> = sound
        .presented
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|apart| (apart - 21_333_333).abs() > 100_000)
        .collect();
    // The jump, where decode time leaves room for others.
    assert_eq!(far.len(), 1, "{far:?}");
}

/// A picture that says so hands the lead over at once.
#[test]
fn a_picture_that_says_there_is_none_keeps_nobody_waiting() {
    let mut pair = Pair::new(8, "track-timeout=600000");
    pair.stream.play();
    pair.push(0..2500, 0, "va");
    // Short: the next picture leads on.
    pair.push(2500..3000, 0, "a");
    pair.push_gap("video", 2500..3000);
    pair.wait_for("audio", "taken", 139);
    pair.push(3000..3500, 0, "va");
    pair.push_gap("video", 3500..6000);
    pair.push(3500..6000, 0, "a");
    pair.wait_for("audio", "segments", 5);
    pair.push(6000..8000, 0, "va");
    let renditions = pair.end();
    assert_eq!(renditions["audio"].gaps(), [0; 0]);
    let gaps = renditions["video"].gaps();
    assert!(gaps.starts_with(&[4, 5, 6]), "{gaps:?}");
    assert!(breaks(&renditions["video"]).is_empty());
}

/// What follows refers to pictures that were left out: nothing of it is shown before the next key frame.
#[test]
fn pictures_that_find_no_room_are_missed_up_to_a_key_frame() {
    let mut rungs = Rungs::new(300, "track-timeout=60000");
    let figure = |rungs: &Rungs, name: &str| rungs.stream.figure("video_0", name);
    rungs.push(0, 0..30);
    // More than may wait for the leader, and then some in the middle of a group.
    rungs.push(1, 0..175);
    support::wait_until("some to be left out", || {
        rungs.sources[1].current_level_buffers() == 0 && figure(&rungs, "dropped-ahead") > 0
    });
    rungs.push(0, 30..300);
    support::wait_until("the others to be taken", || figure(&rungs, "taken") >= 150);
    rungs.push(1, 175..300);
    let renditions = rungs.end();
    let shown = &renditions["video_0"].presented;
    let frame = 1_000_000_000 / 30;
    let mut nth = shown.iter().map(|time| (time + frame / 2) / frame);
    let mut before = nth.next().unwrap();
    for nth in nth {
        assert!(nth == before + 1 || nth % 30 == 0, "{nth} after {before}");
        before = nth;
    }
}

/// A picture of which nothing can be used is as silent as one that does not come.
#[test]
fn frames_without_timestamps_keep_nobody_waiting() {
    let mut pair = begun(8, "track-timeout=1000");
    // As many as may wait for the picture.
    pair.push(2500..4500, 0, "a");
    let mut lost = pair.pictures.buffers[80].clone();
    lost.make_mut().set_pts(None);
    lost.make_mut().set_dts(None);
    support::wait_until("the sound to go on", || {
        pair.video.push_buffer(lost.clone()).unwrap();
        pair.figure("audio", "segments") >= 4
    });
    support::wait_until("what was pushed", || {
        pair.video.current_level_buffers() == 0
    });
    pair.push(4500..8000, 0, "va");
    let renditions = pair.end();
    assert_eq!(renditions["audio"].gaps(), [0; 0]);
    assert!(breaks(&renditions["audio"]).is_empty());
}

/// A pause may be told of in slices.
#[test]
fn short_gaps_of_the_leading_picture_add_up() {
    let mut pair = Pair::new(12, "track-timeout=600000");
    pair.stream.play();
    pair.push(0..2500, 0, "va");
    for from in (2500..8500).step_by(500) {
        pair.push_gap("video", from..from + 500);
        pair.push(from..from + 500, 0, "a");
    }
    pair.wait_for("audio", "segments", 7);
    pair.push(8500..12_000, 0, "va");
    let renditions = pair.end();
    assert_eq!(renditions["audio"].gaps(), [0; 0]);
    assert!(breaks(&renditions["audio"]).is_empty());
    assert_eq!(pair.figure("audio", "dropped-before-joining"), 0);
}

/// What a jitter buffer says of a lost packet.
#[test]
fn a_short_gap_in_a_following_picture_costs_nothing() {
    let mut rungs = Rungs::new(120, "");
    for rung in [0, 1] {
        rungs.push(rung, 0..40);
        if rung == 1 {
            rungs.push_gap(rung, 40, Some(gst::ClockTime::from_mseconds(33)));
        }
        // Nothing is missing by then.
        rungs.push_gap(rung, 39, None);
        rungs.push(rung, 41..120);
    }
    let renditions = rungs.end();
    let second = &renditions["video_0"];
    assert_eq!(second.gaps(), [0; 0]);
    assert_eq!(second.presented.len(), 119);
}

/// Frames are left out when there are too many; what else comes must neither be lost nor wait: one thread may feed all pads.
#[test]
fn a_crowded_track_takes_events_at_once() {
    let mut pair = Pair::new(6, "track-timeout=60000");
    pair.stream.play();
    pair.push(0..1000, 0, "va");
    pair.push(1000..6000, 0, "a");
    pair.wait_for("audio", "dropped-ahead", 1);
    support::wait_until("what was pushed", || {
        pair.audio.current_level_buffers() == 0
    });
    let pad = pair.audio.static_pad("src").unwrap();
    let mut tags = gst::TagList::new();
    tags.make_mut()
        .add::<gst::tags::Bitrate>(&64_000, gst::TagMergeMode::Replace);
    let pushed = std::thread::spawn(move || pad.push_event(gst::event::Tag::new(tags)));
    support::wait_until("the tags to be taken", || pushed.is_finished());
    assert!(pushed.join().unwrap());
    pair.push(1000..6000, 0, "v");
    let renditions = pair.end();
    assert_eq!(renditions["video"].segments.len(), 6);
}
