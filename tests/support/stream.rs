//! Runs pipelines that end in the element, and keeps what they say.

use std::{
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use gst::{glib, prelude::*};

use super::{
    Deadline, PATIENCE,
    http::{Client, Pending},
    init,
    playlist::Playlist,
};

/// A frame as it came to the element's pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Running time, in nanoseconds.
    pub pts: Option<i64>,
    pub dts: Option<i64>,
    pub size: usize,
}

/// `... ! llhlssink` with everything a test asks of it. Ends in NULL when dropped.
pub struct Stream {
    pub pipeline: gst::Pipeline,
    pub sink: gst::Element,
    /// Everything the application heard so far.
    pub messages: Vec<gst::Message>,
    bus: gst::Bus,
    /// By the pad's name.
    fed: FedByPad,
}

/// `LLHLS_HTTP_ENGINE=tiny-http` runs tests over tiny_http, if the feature is built in.
pub(super) fn engine_property() -> &'static str {
    match std::env::var("LLHLS_HTTP_ENGINE").as_deref() {
        Err(_) | Ok("" | "hyper") => "",
        Ok("tiny-http") => "http-engine=tiny-http",
        Ok(other) => panic!("LLHLS_HTTP_ENGINE={other} is no engine"),
    }
}

type FedByPad = Arc<Mutex<Vec<(String, Arc<Mutex<Vec<Fed>>>)>>>;

impl Stream {
    /// `upstream ! llhlssink properties`, on a free port, with a playlist that forgets nothing.
    pub fn new(upstream: &str, properties: &str) -> Self {
        init();
        let engine = engine_property();
        let line = format!(
            "{upstream} ! llhlssink name=sink port=0 playlist-length=10000 max-files=10000 {engine} {properties}"
        );
        let pipeline = gst::parse::launch(&line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .downcast::<gst::Pipeline>()
            .unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        Self::around(pipeline, sink)
    }

    /// Branches that end in `! sink.` or `! sink.<pad>`, on a free port, with playlists that forget nothing.
    pub fn of_branches(branches: &str, properties: &str) -> Self {
        init();
        let engine = engine_property();
        let line = format!(
            "llhlssink name=sink port=0 playlist-length=10000 max-files=10000 {engine} {properties} {branches}"
        );
        let pipeline = gst::parse::launch(&line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .downcast::<gst::Pipeline>()
            .unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        Self::around(pipeline, sink)
    }

    /// A pipeline made elsewhere.
    pub fn around(pipeline: gst::Pipeline, sink: gst::Element) -> Self {
        let fed = FedByPad::default();
        let record = {
            let fed = Arc::clone(&fed);
            move |pad: &gst::Pad| {
                let frames = Arc::new(Mutex::new(Vec::new()));
                record(pad, Arc::clone(&frames));
                fed.lock().unwrap().push((pad.name().to_string(), frames));
            }
        };
        for pad in sink.sink_pads() {
            record(&pad);
        }
        sink.connect_pad_added(move |_, pad| record(pad));
        Self {
            bus: pipeline.bus().unwrap(),
            messages: Vec::new(),
            pipeline,
            sink,
            fed,
        }
    }

    pub fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    pub fn stop(&self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }

    /// Plays to the end of the stream and waits until players can see it.
    pub fn play_to_end(&mut self) -> Playlist {
        self.play();
        self.wait_for_end()
    }

    pub fn wait_for_end(&mut self) -> Playlist {
        self.wait_for_message("end of stream", |message| {
            matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
        });
        self.wait_for_playlist_end()
    }

    /// The playlist with EXT-X-ENDLIST.
    pub fn wait_for_playlist_end(&self) -> Playlist {
        super::wait_for("EXT-X-ENDLIST", || {
            Some(self.playlist()).filter(|playlist| playlist.is_ended)
        })
    }

    pub fn port(&self) -> u16 {
        let port = self.sink.property::<u32>("current-port");
        assert_ne!(port, 0, "not serving");
        u16::try_from(port).unwrap()
    }

    /// The port of HTTPS.
    pub fn tls_port(&self) -> u16 {
        let port = self.sink.property::<u32>("current-tls-port");
        assert_ne!(port, 0, "not serving HTTPS");
        u16::try_from(port).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::new(self.port())
    }

    pub fn get_later(&self, path: &str) -> Pending {
        let before = self.requests();
        let pending = Pending::get(self.port(), path);
        if self.is_over_tiny_http() {
            // Connections that are opened close together it may never serve.
            super::wait_until("the request to come", || self.requests() > before);
        }
        pending
    }

    /// How many requests have come so far.
    pub fn requests(&self) -> u64 {
        self.stats().get("requests").unwrap()
    }

    /// Whether tiny_http carries HTTP here.
    pub fn is_over_tiny_http(&self) -> bool {
        self.sink.find_property("http-engine").is_some_and(|_| {
            let engine = self.sink.property_value("http-engine");
            let (_, engine) = glib::EnumValue::from_value(&engine).unwrap();
            engine.nick() == "tiny-http"
        })
    }

    /// The playlist; waits for the first.
    pub fn playlist(&self) -> Playlist {
        let text = self.client().body("/live.m3u8");
        Playlist::read(std::str::from_utf8(&text).unwrap())
    }

    /// Frames that came to the pad so far.
    pub fn fed(&self) -> Vec<Fed> {
        let fed = self.fed.lock().unwrap();
        fed.first()
            .map_or_else(Vec::new, |(_, fed)| fed.lock().unwrap().clone())
    }

    /// Frames that came to the pad of that name.
    pub fn fed_to(&self, pad: &str) -> Vec<Fed> {
        let all = self.fed.lock().unwrap();
        let (_, fed) = all.iter().find(|(name, _)| name == pad).unwrap();
        fed.lock().unwrap().clone()
    }

    /// One of the figures of a pad.
    pub fn figure(&self, pad: &str, figure: &str) -> u64 {
        let stats = self.stats().get::<gst::Structure>(pad).unwrap();
        stats.get(figure).unwrap()
    }

    pub fn stats(&self) -> gst::Structure {
        self.sink.property("stats")
    }

    /// One of the figures of the video pad.
    pub fn frames(&self, figure: &str) -> u64 {
        self.stats()
            .get::<gst::Structure>("video")
            .unwrap()
            .get(figure)
            .unwrap()
    }

    /// Waits for a message `wanted` finds something in. Errors panic unless it does.
    pub fn wait_for_message<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&gst::Message) -> Option<T>,
    ) -> T {
        let deadline = Deadline::after(PATIENCE);
        while let Some(message) = self.next_message(deadline.left()) {
            if let Some(found) = wanted(&message) {
                return found;
            }
            if let gst::MessageView::Error(error) = message.view() {
                panic!("{} {:?}", error.error(), error.debug());
            }
        }
        panic!("no message: {what}");
    }

    /// The structure of the next element message of that name.
    pub fn wait_for_element_message(&mut self, name: &str) -> gst::Structure {
        self.wait_for_message(name, |message| {
            message
                .structure()
                .filter(|_| message.type_() == gst::MessageType::Element)
                .filter(|structure| structure.name() == name)
                .map(ToOwned::to_owned)
        })
    }

    /// The text of the error the stream ends with.
    pub fn wait_for_error(&mut self) -> String {
        self.wait_for_message("an error", |message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        })
    }

    /// What is on the bus, without waiting.
    pub fn drain_messages(&mut self) {
        while self.next_message(Duration::ZERO).is_some() {}
    }

    fn next_message(&mut self, patience: Duration) -> Option<gst::Message> {
        let patience = gst::ClockTime::try_from(patience).unwrap();
        let message = self.bus.timed_pop(patience)?;
        self.messages.push(message.clone());
        Some(message)
    }

    /// Texts of the warnings so far, those still on the bus included.
    pub fn warnings_after_drain(&mut self) -> Vec<String> {
        self.drain_messages();
        self.warnings()
    }

    /// Texts of the warnings heard so far.
    pub fn warnings(&self) -> Vec<String> {
        self.messages
            .iter()
            .filter_map(|message| match message.view() {
                gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn record(pad: &gst::Pad, fed: Arc<Mutex<Vec<Fed>>>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let segment = pad
            .sticky_event::<gst::event::Segment>(0)
            .and_then(|event| event.segment().downcast_ref::<gst::ClockTime>().cloned());
        if let (Some(buffer), Some(segment)) = (info.buffer(), segment) {
            let running = |time: Option<gst::ClockTime>| {
                let time = segment.to_running_time_full(time?)?;
                let nanos = i64::try_from(time.abs().nseconds()).unwrap();
                Some(if time.is_negative() { -nanos } else { nanos })
            };
            fed.lock().unwrap().push(Fed {
                pts: running(buffer.pts()),
                dts: running(buffer.dts()),
                size: buffer.size(),
            });
        }
        gst::PadProbeReturn::Ok
    });
}

/// Properties for [`Frames::ten_times_as_slow`]: the same frames in each part and segment as usual. A request may wait for
/// thirty seconds instead of three, so that one which is to get its part gets it on a crowded machine too.
pub const TEN_TIMES_AS_LONG: &str = "segment-duration=10000 part-duration=2000";

/// Encoded frames, to be fed by hand.
#[derive(Clone)]
pub struct Frames {
    pub caps: gst::Caps,
    pub buffers: Vec<gst::Buffer>,
}

impl Frames {
    /// What `source` gives: a line that ends in encoded video.
    pub fn of(source: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(&format!("{source} ! appsink name=out sync=false"))
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let out = pipeline
            .by_name("out")
            .unwrap()
            .downcast::<gst_app::AppSink>()
            .unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut buffers = Vec::new();
        let mut caps = None;
        while let Ok(sample) = out.pull_sample() {
            caps = sample.caps_owned();
            buffers.push(sample.buffer_owned().unwrap());
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let caps = caps.unwrap_or_else(|| panic!("no frame from {source}"));
        Self { caps, buffers }
    }

    /// `count` frames of a 30 Hz test picture with a key frame every `gop`, timestamps from zero.
    pub fn test_picture(count: usize, gop: usize) -> Self {
        Self::encoded(&format!(
            "videotestsrc num-buffers={count} pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop}"
        ))
    }

    /// `count` frames of 30 Hz that do not compress: some hundred kilobytes a second, a key frame every second.
    pub fn snow(count: usize) -> Self {
        Self::encoded(&format!(
            "videotestsrc num-buffers={count} pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=30"
        ))
    }

    /// What `encoder` makes of 30 pictures a second, timestamps from zero.
    fn encoded(encoder: &str) -> Self {
        let mut frames = Self::of(&format!(
            "{encoder} ! video/x-h264,profile=constrained-baseline ! h264parse \
             ! video/x-h264,stream-format=avc,alignment=au"
        ));
        for (nth, buffer) in (0_u64..).zip(&mut frames.buffers) {
            let buffer = buffer.make_mut();
            buffer.set_pts(nth * gst::ClockTime::SECOND / 30);
            buffer.set_dts(nth * gst::ClockTime::SECOND / 30);
            buffer.set_duration(gst::ClockTime::SECOND / 30);
        }
        frames
    }

    /// The caps without a frame rate: what a source that promises nothing says.
    pub fn without_framerate(mut self) -> Self {
        self.caps
            .make_mut()
            .structure_mut(0)
            .unwrap()
            .remove_field("framerate");
        self
    }

    /// The same at 3 Hz, for [`TEN_TIMES_AS_LONG`].
    pub fn ten_times_as_slow(mut self) -> Self {
        let structure = self.caps.make_mut().structure_mut(0).unwrap();
        structure.set("framerate", gst::Fraction::new(3, 1));
        self.retimed(|_, buffer| {
            buffer.set_pts(buffer.pts().map(|time| time * 10));
            buffer.set_dts(buffer.dts().map(|time| time * 10));
            buffer.set_duration(buffer.duration().map(|time| time * 10));
        })
    }

    /// New times for each frame.
    pub fn retimed(mut self, mut retime: impl FnMut(usize, &mut gst::BufferRef)) -> Self {
        for (nth, buffer) in self.buffers.iter_mut().enumerate() {
            retime(nth, buffer.make_mut());
        }
        self
    }
}

/// A stream fed by hand, frame by frame.
pub struct FedStream {
    pub stream: Stream,
    pub source: gst_app::AppSrc,
}

impl FedStream {
    pub fn new(caps: &gst::Caps, properties: &str) -> Self {
        let stream = Stream::new(
            "appsrc name=source format=time is-live=true max-bytes=0",
            properties,
        );
        let source = stream
            .pipeline
            .by_name("source")
            .unwrap()
            .downcast::<gst_app::AppSrc>()
            .unwrap();
        source.set_caps(Some(caps));
        Self { stream, source }
    }

    /// Feeds frames as they are.
    pub fn push(&self, buffers: &[gst::Buffer]) {
        for buffer in buffers {
            self.source.push_buffer(buffer.clone()).unwrap();
        }
    }

    /// Feeds all frames and the end, and waits until players can see it.
    pub fn play_to_end(&mut self, frames: &Frames) -> Playlist {
        self.stream.play();
        self.push(&frames.buffers);
        self.source.end_of_stream().unwrap();
        self.stream.wait_for_end()
    }

    /// Waits until the pad has taken `count` frames, dropped ones included.
    pub fn wait_for_frames(&self, count: usize) {
        super::wait_until("frames at the pad", || self.stream.fed().len() >= count);
    }
}

/// Runs a pipeline that ends by itself, a recording for example, to its end.
pub fn run_to_end(line: &str) {
    init();
    let pipeline = gst::parse::launch(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
    let said = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(patience, &wanted);
    let kind = said.as_ref().map(|message| message.type_());
    assert_eq!(kind, Some(gst::MessageType::Eos), "{line}: {said:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// `text` as caps.
pub fn caps(text: &str) -> gst::Caps {
    init();
    gst::Caps::from_str(text).unwrap()
}
