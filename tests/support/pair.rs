//! A picture and a sound, encoded beforehand and fed by hand: who comes when is up to the test.

use std::{collections::BTreeMap, ops::Range};

use gst::prelude::*;

use super::{
    stream::{Frames, Stream},
    tracks::{self, Rendition},
};

/// Key frames of its own: an encoder that nothing holds back runs ahead of the requests.
pub const PICTURE: &str = "video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=30 ! h264parse";

/// Of the 128 frames that may wait on a track, so many when more is pushed.
const MOST_WAITING: u64 = 64;

pub fn video(seconds: u32) -> String {
    format!("videotestsrc num-buffers={} ! {PICTURE}", seconds * 30)
}

/// Whole seconds of 1000 samples a buffer.
pub fn sound(seconds: u32) -> String {
    format!(
        "audiotestsrc samplesperbuffer=1000 num-buffers={} ! audio/x-raw,rate=48000,channels=2 ! audioconvert",
        seconds * 48
    )
}

pub fn aac(seconds: u32) -> String {
    format!("{} ! avenc_aac ! aacparse", sound(seconds))
}

fn fed(pad: &str) -> String {
    format!("appsrc name={pad} format=time is-live=true max-bytes=0 ! sink.{pad}")
}

/// Picture and sound, fed by hand.
pub struct Pair {
    pub stream: Stream,
    pub video: gst_app::AppSrc,
    pub audio: gst_app::AppSrc,
    pub pictures: Frames,
    pub sounds: Frames,
}

impl Pair {
    pub fn new(seconds: u32, properties: &str) -> Self {
        let pictures = Frames::test_picture(seconds as usize * 30, 30);
        let sounds = Frames::of(&aac(seconds));
        let stream = Stream::of_branches(&format!("{} {}", fed("video"), fed("audio")), properties);
        let source = |name: &str| {
            let source = stream.pipeline.by_name(name).unwrap();
            source.downcast::<gst_app::AppSrc>().unwrap()
        };
        let (video, audio) = (source("video"), source("audio"));
        video.set_caps(Some(&pictures.caps));
        audio.set_caps(Some(&sounds.caps));
        Self {
            stream,
            video,
            audio,
            pictures,
            sounds,
        }
    }

    /// Pushes what lies between two moments, `by` later than it is, in milliseconds. In step, as a source would.
    pub fn push(&self, range: Range<u64>, by: i64, tracks: &str) {
        let mut all: Vec<(u64, bool, gst::Buffer)> = Vec::new();
        for (is_video, frames) in [(true, &self.pictures), (false, &self.sounds)] {
            if !tracks.contains(if is_video { 'v' } else { 'a' }) {
                continue;
            }
            for buffer in &frames.buffers {
                let time = buffer.pts().unwrap().mseconds();
                if range.contains(&time) {
                    let mut buffer = buffer.clone();
                    let later = gst::ClockTime::from_mseconds(time.checked_add_signed(by).unwrap())
                        + gst::ClockTime::from_nseconds(
                            buffer.pts().unwrap().nseconds() % 1_000_000,
                        );
                    let made = buffer.make_mut();
                    made.set_pts(later);
                    made.set_dts(is_video.then_some(later));
                    all.push((later.nseconds(), is_video, buffer));
                }
            }
        }
        all.sort_by_key(|(time, ..)| *time);
        for (_, is_video, buffer) in all {
            let source = if is_video { &self.video } else { &self.audio };
            source.push_buffer(buffer).unwrap();
        }
    }

    /// Both, half a second at a time: on a crowded machine more would find no room, a second long, and be left out.
    pub fn push_in_step(&self, range: Range<u64>, by: i64) {
        for from in range.clone().step_by(500) {
            self.push(from..range.end.min(from + 500), by, "va");
            super::wait_until("what was pushed", || {
                let sources = [("video", &self.video), ("audio", &self.audio)];
                sources.iter().all(|(pad, source)| {
                    source.current_level_buffers() == 0 && self.waiting(pad) <= MOST_WAITING
                })
            });
        }
    }

    /// Frames that came in at a pad and are neither taken nor left out yet.
    fn waiting(&self, pad: &str) -> u64 {
        let came = self.stream.fed_to(pad).len() as u64;
        let dealt_with: u64 = tracks::DEALT_WITH
            .iter()
            .map(|figure| self.figure(pad, figure))
            .sum();
        came.saturating_sub(dealt_with)
    }

    pub fn end(&mut self) -> BTreeMap<String, Rendition> {
        // Either may have ended before.
        let _ = self.video.end_of_stream();
        let _ = self.audio.end_of_stream();
        tracks::end_and_check(&mut self.stream)
    }

    pub fn wait_until_fed(&self, pad: &str, least: usize) {
        super::wait_until(&format!("{least} frames at {pad}"), || {
            self.stream.fed_to(pad).len() >= least
        });
    }

    pub fn wait_for(&self, pad: &str, figure: &str, least: u64) {
        super::wait_until(&format!("{least} {figure} of {pad}"), || {
            self.figure(pad, figure) >= least
        });
    }

    /// One of the figures of a pad; 0 before there are any.
    pub fn figure(&self, pad: &str, figure: &str) -> u64 {
        let stats = self.stream.stats().get::<gst::Structure>(pad);
        stats.map_or(0, |stats| stats.get::<u64>(figure).unwrap_or(0))
    }

    /// Says at the pad that nothing comes for a while, in milliseconds, behind all that was pushed.
    pub fn push_gap(&self, pad: &str, range: Range<u64>) {
        let source = if pad == "video" {
            &self.video
        } else {
            &self.audio
        };
        super::wait_until("what was pushed", || source.current_level_buffers() == 0);
        let start = gst::ClockTime::from_mseconds(range.start);
        let gap = gst::event::Gap::builder(start)
            .duration(gst::ClockTime::from_mseconds(range.end - range.start))
            .build();
        assert!(source.static_pad("src").unwrap().push_event(gap));
    }
}
