//! A video file as an endless stream, with its sound where that is AAC.
//!
//! Belongs here: finding the video and the AAC in the file, whether it must be encoded anew, and starting over without a gap.
//! Does not: live sources, and everything around the pipeline (`main`, `play`).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use gst::glib;
use gst::prelude::*;

use crate::Outcome;

/// How long a file may take to say what is in it.
const LOOK_DEADLINE: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// A file in a loop.
///
/// It is played as one *segment* (in GStreamer's sense) after the other: at a segment's end the demuxer starts over
/// without a flush, so running time goes on and the sink sees one stream without end.
#[derive(Clone)]
pub(crate) struct Clip {
    /// From raw pictures to what the sink takes, as gst-launch-1.0 takes it; for files that are not H.264.
    encoder: Arc<str>,
    /// The pad the file's video comes from, by which the demuxer is told to start over. Set once it is found.
    video: Arc<OnceLock<gst::Pad>>,
    /// The pad its sound comes from, if the sink takes it.
    audio: Arc<OnceLock<gst::Pad>>,
    /// Where the round under way begins, for all pads alike.
    round: Arc<Mutex<Round>>,
}

impl Clip {
    pub(crate) fn new(encoder: String) -> Self {
        Self {
            encoder: encoder.into(),
            video: Arc::default(),
            audio: Arc::default(),
            round: Arc::default(),
        }
    }

    pub(crate) fn add(
        &self,
        pipeline: &gst::Pipeline,
        sink: &gst::Element,
        file: &Path,
    ) -> Outcome<()> {
        if !file.is_file() {
            return Err(format!("{}: no such file", file.display()).into());
        }
        let source = gst::ElementFactory::make("filesrc")
            .property("location", file)
            .build()?;
        let parser = gst::ElementFactory::make("parsebin").build()?;
        pipeline.add_many([&source, &parser])?;
        // Before the run begins: the sink must know how many tracks to wait for.
        sink.request_pad_simple("video").ok_or("no video pad")?;
        if has_aac(file)? {
            sink.request_pad_simple("audio").ok_or("no audio pad")?;
        }
        source.link(&parser)?;

        parser.connect_pad_added({
            let (clip, sink) = (self.clone(), sink.clone());
            move |parser, pad| clip.pad_added(parser, pad, &sink)
        });
        Ok(())
    }

    /// Starts over, when the demuxer has come to the file's end.
    pub(crate) fn again(&self) {
        if let Some(video) = self.video.get() {
            video.send_event(seek_to_start(gst::SeekFlags::SEGMENT));
        }
    }

    /// Takes the first video of the file and its first AAC, and drops everything else.
    fn pad_added(&self, parser: &gst::Element, pad: &gst::Pad, sink: &gst::Element) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps
            .structure(0)
            .is_some_and(|caps| caps.name().starts_with("video/"));
        if is_aac(&caps)
            && sink.static_pad("audio").is_some()
            && self.audio.set(pad.clone()).is_ok()
        {
            // Until the video is ready, which starts both over from the beginning.
            pad.add_probe(gst::PadProbeType::BUFFER, |pad, _| {
                if pad.is_linked() {
                    gst::PadProbeReturn::Remove
                } else {
                    gst::PadProbeReturn::Drop
                }
            });
            return;
        }
        if !is_video || self.video.set(pad.clone()).is_err() {
            pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
            return;
        }

        // The first segment already must be one that ends in SEGMENT_DONE. That takes a seek, which a streaming thread
        // cannot do, and before the first frame a demuxer may not be ready for it. So this frame is held until the main
        // thread has seeked and linked the pad.
        let started = AtomicBool::new(false);
        let (clip, parser, sink) = (self.clone(), parser.clone(), sink.clone());
        pad.add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            move |pad, info| {
                let road = Road::for_frame(&caps, info.buffer(), &sink);
                if let Some(block) = info.id.take()
                    && !started.swap(true, Ordering::Relaxed)
                {
                    let (clip, parser) = (clip.clone(), parser.clone());
                    let (pad, sink) = (pad.clone(), sink.clone());
                    // Not invoke(): before the main loop runs that would do it here, on the streaming thread.
                    glib::idle_add_once(move || {
                        if let Err(error) = clip.start(road, &parser, &pad, &sink) {
                            gst::element_error!(
                                parser,
                                gst::StreamError::Failed,
                                ("cannot play the file: {error}")
                            );
                        }
                        pad.remove_probe(block);
                    });
                }
                gst::PadProbeReturn::Ok
            },
        );
    }

    /// Lays the road between the file and the sink, and starts the first round.
    fn start(
        &self,
        road: Road,
        parser: &gst::Element,
        pad: &gst::Pad,
        sink: &gst::Element,
    ) -> Outcome<()> {
        let pipeline = parser
            .parent()
            .and_downcast::<gst::Pipeline>()
            .ok_or("the pipeline is gone")?;
        pad.send_event(seek_to_start(
            gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT,
        ));

        let chain = gst::parse::bin_from_description(&road.line(&self.encoder), true)?;
        pipeline.add(&chain)?;
        chain.link_pads(Some("src"), sink, Some("video"))?;
        let mut entry = chain.static_pad("sink").ok_or("nothing to link to")?;
        chain.sync_state_with_parent()?;

        if road == Road::Encode {
            let decoder = gst::ElementFactory::make("decodebin3").build()?;
            pipeline.add(&decoder)?;
            decoder.connect_pad_added(move |decoder, pad| {
                if let Err(error) = pad.link(&entry) {
                    gst::element_error!(
                        decoder,
                        gst::StreamError::Decode,
                        ("cannot decode the file: {error}")
                    );
                }
            });
            entry = decoder.static_pad("sink").ok_or("nothing to link to")?;
            decoder.sync_state_with_parent()?;
        }

        if let Some(audio) = self.audio.get() {
            let chain = gst::parse::bin_from_description("queue ! aacparse", true)?;
            pipeline.add(&chain)?;
            chain.link_pads(Some("src"), sink, Some("audio"))?;
            let entry = chain.static_pad("sink").ok_or("nothing to link to")?;
            chain.sync_state_with_parent()?;
            join_rounds(&entry, &self.round);
            audio.link(&entry)?;
        }
        join_rounds(&entry, &self.round);
        pad.link(&entry)?;
        Ok(())
    }
}

/// What the file's frames go through before the sink.
#[derive(Clone, Copy, PartialEq)]
enum Road {
    /// Nothing: H.264 that a browser plays.
    AsItIs,
    /// The same from Matroska, which carries no decode times; reordered frames need them.
    Timestamp,
    /// Anything else.
    Encode,
}

impl Road {
    fn for_frame(caps: &gst::Caps, frame: Option<&gst::Buffer>, sink: &gst::Element) -> Self {
        let is_h264 = caps.is_subset(&gst::Caps::new_empty_simple("video/x-h264"));
        let is_taken = sink
            .pad_template("video")
            .is_none_or(|template| template.caps().can_intersect(caps));
        if !is_h264 || !is_taken {
            Self::Encode
        } else if frame.is_some_and(|frame| frame.dts().is_none()) {
            Self::Timestamp
        } else {
            Self::AsItIs
        }
    }

    fn line(self, encoder: &str) -> String {
        match self {
            Self::AsItIs => "queue ! h264parse".to_owned(),
            Self::Timestamp => "queue ! h264parse ! h264timestamper".to_owned(),
            Self::Encode => format!("queue ! {encoder}"),
        }
    }
}

fn seek_to_start(flags: gst::SeekFlags) -> gst::Event {
    gst::event::Seek::new(
        1.0,
        flags,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::None,
        gst::ClockTime::NONE,
    )
}

/// Whether the file has sound that the sink takes.
fn has_aac(file: &Path) -> Outcome<bool> {
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("filesrc")
        .property("location", file)
        .build()?;
    let parser = gst::ElementFactory::make("parsebin").build()?;
    pipeline.add_many([&source, &parser])?;
    source.link(&parser)?;
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    pipeline.set_state(gst::State::Paused)?;
    let wanted = [gst::MessageType::StreamCollection, gst::MessageType::Error];
    let told = bus.timed_pop_filtered(LOOK_DEADLINE, &wanted);
    pipeline.set_state(gst::State::Null)?;
    // An error comes up again, and is told, when the file is played.
    Ok(told.is_some_and(|message| match message.view() {
        gst::MessageView::StreamCollection(found) => found
            .stream_collection()
            .iter()
            .any(|stream| stream.caps().is_some_and(|caps| is_aac(&caps))),
        _ => false,
    }))
}

fn is_aac(caps: &gst::CapsRef) -> bool {
    caps.structure(0).is_some_and(|caps| {
        caps.name() == "audio/mpeg" && matches!(caps.get::<i32>("mpegversion"), Ok(2 | 4))
    })
}

/// Makes each round begin exactly where the longest track of the one before ended.
///
/// Left alone, a demuxer counts from the begin of its last sample, of whatever track: the first frame of a round would
/// come a frame too early. All tracks get the same begin, so that sound and picture stay together.
fn join_rounds(pad: &gst::Pad, round: &Arc<Mutex<Round>>) {
    let round = Arc::clone(round);
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            let mut round = round.lock().expect("round lock poisoned");
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(frame)) => round.frame(frame),
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Segment(segment) = event.view()
                        && let Some(time) = segment.segment().downcast_ref::<gst::ClockTime>()
                    {
                        let mut time = time.clone();
                        time.set_base(round.base_of(segment.seqnum()));
                        *event = gst::event::Segment::builder(&time)
                            .seqnum(segment.seqnum())
                            .build();
                    }
                }
                _ => (),
            }
            gst::PadProbeReturn::Ok
        },
    );
}

/// Where in running time a round begins and what it spans in the file's time. The demuxer's one thread tells of all tracks.
#[derive(Default)]
struct Round {
    /// By which the segments of one round are known on every pad; `None` before the first.
    seqnum: Option<gst::Seqnum>,
    base: gst::ClockTime,
    /// First begin and last end of the frames seen, in presentation time; `None` before the first frame.
    span: Option<(gst::ClockTime, gst::ClockTime)>,
}

impl Round {
    fn frame(&mut self, frame: &gst::Buffer) {
        let Some(begin) = frame.pts() else { return };
        let end = begin + frame.duration().unwrap_or_default();
        let (first, last) = self.span.unwrap_or((begin, end));
        self.span = Some((first.min(begin), last.max(end)));
    }

    /// The running time at which the round of a segment begins; another number than before is a new round.
    fn base_of(&mut self, seqnum: gst::Seqnum) -> gst::ClockTime {
        if self.seqnum.replace(seqnum) != Some(seqnum)
            && let Some((first, last)) = self.span.take()
        {
            self.base += last - first;
        }
        self.base
    }
}
