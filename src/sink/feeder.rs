//! Feeds the muxer, one run per part, and publishes what comes out.
//!
//! Belongs here: the streaming thread's work on one track. It asks the segmenter, carries out its steps, and hands finished
//! parts over; it never waits for anything but the muxer, and for that with a deadline.
//! Does not: where borders are (`cmaf/segmenter`), what bytes are (`cmaf/moof`), who reads them.
//!
//! Left running, mp4mux holds a sample until its successor arrives and a fragment until the one after that. Ending its run
//! with each part (end of stream, READY, PAUSED) gives the part out with its last frame.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{CAT, clock, collector::Collector};
use crate::{
    cmaf::{
        access_unit::{self, Coding},
        init, moof,
        segmenter::{
            Cut, DropReason, Frame, Placement, Plan, SegmentEnd, SegmentEndCause, Segmenter, Step,
        },
    },
    origin::media::{InitSection, NewPart, Publication, RenditionId},
    time::{ClockMapping, NANOS_PER_SECOND, Nanos, RunningTime, Timescale},
};

/// How long the muxer may take to end a run. It took 0.1 ms where this was measured; when it takes this long it hangs.
const MUXER_DEADLINE: Duration = Duration::from_secs(5);

/// Where a run's decode time starts, so that no presentation time inside it is negative.
const RUN_START: Nanos = Nanos::from_seconds(3600);

glib::wrapper! {
    pub(crate) struct Feeder(ObjectSubclass<imp::Feeder>) @extends gst::Element, gst::Object;
}

/// What the feeder needs to know for one life of the pipeline.
pub(super) struct Orders {
    pub(super) segment_duration: Nanos,
    pub(super) part_duration: Nanos,
    pub(super) send_keyframe_requests: bool,
    /// Takes what players shall see. Never blocks.
    pub(super) publish: Box<dyn Fn(Publication) + Send>,
}

/// What happened to the frames of a track, for `stats`.
#[derive(Debug, Default)]
pub(super) struct FrameCounts {
    pub(super) taken: AtomicU64,
    pub(super) before_key_frame: AtomicU64,
    pub(super) backwards: AtomicU64,
    pub(super) without_timestamp: AtomicU64,
    pub(super) empty: AtomicU64,
    pub(super) key_frame_requests: AtomicU64,
}

impl Feeder {
    pub(super) fn new() -> Self {
        glib::Object::new()
    }

    /// The pad frames come in at.
    pub(super) fn sinkpad(&self) -> &gst::Pad {
        &self.imp().sinkpad
    }

    /// The muxer to drive and the collector behind it.
    pub(super) fn attach(&self, mux: gst::Element, collector: Collector) {
        *self.imp().line() = Some(imp::Line { mux, collector });
    }

    /// What to do from the next PAUSED on.
    pub(super) fn prepare(&self, orders: Orders) {
        *self.imp().road() = Some(imp::Road::new(orders));
    }

    /// The counters, shared and alive.
    pub(super) fn counts(&self) -> Arc<FrameCounts> {
        Arc::clone(&self.imp().counts)
    }
}

/// What caps say of a track.
#[derive(Clone, Debug, PartialEq)]
struct Format {
    caps: gst::Caps,
    coding: Coding,
    length_size: usize,
    /// Numerator and denominator, when the caps promise a constant rate.
    framerate: Option<(i32, i32)>,
}

impl Format {
    fn from_caps(caps: &gst::CapsRef) -> Result<Self, &'static str> {
        let structure = caps.structure(0).ok_or("the caps are empty")?;
        let coding = match structure.name().as_str() {
            "video/x-h264" => Coding::H264,
            "video/x-h265" => Coding::H265,
            _ => return Err("the caps are neither H.264 nor H.265"),
        };
        let codec_data = structure
            .get::<gst::Buffer>("codec_data")
            .map_err(|_| "the caps have no codec_data")?;
        let codec_data = codec_data
            .map_readable()
            .map_err(|_| "codec_data is unreadable")?;
        let length_size = access_unit::length_size(coding, &codec_data)
            .ok_or("codec_data is too short to be a decoder configuration record")?;
        let framerate = structure
            .get::<gst::Fraction>("framerate")
            .ok()
            .map(|rate| (rate.numer(), rate.denom()))
            .filter(|&(numerator, denominator)| numerator > 0 && denominator > 0);
        Ok(Self {
            caps: caps.to_owned(),
            coding,
            length_size,
            framerate,
        })
    }

    /// Whether the muxer needs another init section. Level of detail: what `moov` is made of.
    fn needs_same_init(&self, other: &Self) -> bool {
        let same = |field: &str| {
            let value = |caps: &gst::Caps| {
                caps.structure(0).and_then(|structure| {
                    structure
                        .value(field)
                        .ok()
                        .map(|value| value.to_send_value())
                })
            };
            match (value(&self.caps), value(&other.caps)) {
                (Some(mine), Some(theirs)) => {
                    mine.compare(&theirs) == Some(std::cmp::Ordering::Equal)
                }
                (None, None) => true,
                _ => false,
            }
        };
        self.coding == other.coding
            && ["codec_data", "width", "height", "pixel-aspect-ratio"]
                .into_iter()
                .all(same)
    }

    /// A timescale in which a frame of a constant rate is a whole number of ticks.
    fn timescale(&self) -> Timescale {
        const USUAL: i64 = 90_000;
        let ticks = match self.framerate {
            Some((numerator, denominator)) => {
                let (numerator, denominator) = (i64::from(numerator), i64::from(denominator));
                if USUAL * denominator % numerator == 0 || numerator > 1_000_000 {
                    USUAL
                } else {
                    // A multiple of the rate, fine enough for timestamps that are not constant after all.
                    numerator * ((10_000 + numerator - 1) / numerator)
                }
            }
            None => USUAL,
        };
        u32::try_from(ticks)
            .ok()
            .and_then(Timescale::new)
            .expect("between 10,000 and 1,000,000 or so")
    }

    fn frame_duration(&self) -> Option<Nanos> {
        let (numerator, denominator) = self.framerate?;
        Some(Nanos(
            NANOS_PER_SECOND * i64::from(denominator) / i64::from(numerator),
        ))
    }
}

mod imp {
    use super::*;

    pub(crate) struct Feeder {
        pub(super) sinkpad: gst::Pad,
        srcpad: gst::Pad,
        line: Mutex<Option<Line>>,
        /// Taken out while the streaming thread works on it, so that no lock is held while it pushes.
        road: Mutex<Option<Road>>,
        pub(super) counts: Arc<FrameCounts>,
    }

    #[derive(Clone)]
    pub(super) struct Line {
        pub(super) mux: gst::Element,
        pub(super) collector: Collector,
    }

    /// The state of a track between READY and READY.
    pub(super) struct Road {
        orders: Orders,
        /// Input time; `None` until upstream says it.
        segment: Option<gst::FormattedSegment<gst::ClockTime>>,
        format: Option<Format>,
        /// `None` until the first frame. It outlives a change of format.
        segmenter: Option<Segmenter>,
        timescale: Option<Timescale>,
        mapping: Option<ClockMapping>,
        /// The next part needs an init section before it.
        needs_init: bool,
        parts: u64,
        is_muxing: bool,
        has_warned_of_key_frames: bool,
    }

    impl Road {
        pub(super) fn new(orders: Orders) -> Self {
            Self {
                orders,
                segment: None,
                format: None,
                segmenter: None,
                timescale: None,
                mapping: None,
                needs_init: true,
                parts: 0,
                is_muxing: false,
                has_warned_of_key_frames: false,
            }
        }
    }

    impl Feeder {
        pub(super) fn line(&self) -> MutexGuard<'_, Option<Line>> {
            self.line.lock().expect("line lock poisoned")
        }

        pub(super) fn road(&self) -> MutexGuard<'_, Option<Road>> {
            self.road.lock().expect("road lock poisoned")
        }

        /// Works on the road without holding its lock. `None` when there is none: not started, or stopped.
        ///
        /// The stream lock of the sink pad keeps two threads from getting here at once.
        fn on_road<T>(&self, work: impl FnOnce(&mut Road) -> T) -> Option<T> {
            let mut road = self.road().take()?;
            let result = work(&mut road);
            *self.road() = Some(road);
            Some(result)
        }

        fn chain(&self, buffer: &gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
            self.on_road(|road| self.take_buffer(road, buffer))
                .unwrap_or(Err(gst::FlowError::Flushing))
        }

        fn take_buffer(
            &self,
            road: &mut Road,
            buffer: &gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Some(format) = &road.format else {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("Frames came before their caps on the video pad; put h264parse or h265parse before llhlssink")
                );
                return Err(gst::FlowError::NotNegotiated);
            };
            let Some(segment) = &road.segment else {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    ("Frames came before a segment in time format on the video pad")
                );
                return Err(gst::FlowError::Error);
            };
            if buffer.size() == 0 {
                count(&self.counts.empty);
                gst::debug!(CAT, imp = self, "Left out a buffer without bytes");
                return Ok(gst::FlowSuccess::Ok);
            }
            let in_running_time = |time: Option<gst::ClockTime>| {
                time.and_then(|time| clock::running_time(segment, time))
            };
            let dts = in_running_time(buffer.dts());
            let pts = in_running_time(buffer.pts());
            let (Some(decode), Some(presentation)) = (dts.or(pts), pts.or(dts)) else {
                if count(&self.counts.without_timestamp) == 1 {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Format,
                        ("A frame without a timestamp on the video pad was left out, and so will be others like it")
                    );
                }
                return Ok(gst::FlowSuccess::Ok);
            };
            let Ok(bytes) = buffer.map_readable() else {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Read,
                    ("A frame cannot be mapped")
                );
                return Err(gst::FlowError::Error);
            };
            let frame = Frame {
                decode,
                presentation,
                duration: buffer
                    .duration()
                    .and_then(|duration| i64::try_from(duration.nseconds()).ok())
                    .map(Nanos)
                    .filter(|duration| duration.0 > 0),
                is_sync: access_unit::is_sync(format.coding, format.length_size, &bytes),
            };
            gst::trace!(CAT, imp = self, "{frame:?}");
            let timescale = *road.timescale.get_or_insert_with(|| format.timescale());
            let segmenter = road.segmenter.get_or_insert_with(|| {
                Segmenter::new(Plan {
                    timescale,
                    segment_duration: road.orders.segment_duration,
                    part_duration: road.orders.part_duration,
                    frame_duration: format.frame_duration(),
                })
            });
            let steps = segmenter.push(frame);
            self.carry_out(road, steps, Some((&frame, &bytes)))?;
            Ok(gst::FlowSuccess::Ok)
        }

        fn carry_out(
            &self,
            road: &mut Road,
            steps: Vec<Step>,
            frame: Option<(&Frame, &[u8])>,
        ) -> Result<(), gst::FlowError> {
            for step in steps {
                match (step, frame) {
                    (Step::Feed(placement), Some((frame, bytes))) => {
                        count(&self.counts.taken);
                        self.feed(road, frame, placement, bytes)?;
                    }
                    (Step::Feed(_), None) => {}
                    (Step::Drop(reason), _) => self.note_drop(reason),
                    (Step::CutPart(cut), _) => self.cut_part(road, &cut)?,
                    (Step::EndSegment(end), _) => self.end_segment(road, end),
                    (Step::RequestKeyFrame(at), _) => self.request_key_frame(road, at),
                }
            }
            Ok(())
        }

        fn note_drop(&self, reason: DropReason) {
            let counter = match reason {
                DropReason::NoKeyFrameYet => &self.counts.before_key_frame,
                DropReason::Backwards => &self.counts.backwards,
            };
            let times = count(counter);
            gst::debug!(
                CAT,
                imp = self,
                "Left out a frame: {reason:?}, {times} so far"
            );
        }

        /// Pushes the frame into the muxer's open run, starting one where there is none.
        fn feed(
            &self,
            road: &mut Road,
            frame: &Frame,
            placement: Placement,
            bytes: &[u8],
        ) -> Result<(), gst::FlowError> {
            let (Some(timescale), Some(line)) = (road.timescale, self.line().clone()) else {
                return Err(gst::FlowError::Flushing);
            };
            if !road.is_muxing {
                self.start_run(road, &line, timescale)?;
            }
            let decode = RUN_START + timescale.nanos(placement.decode_in_part);
            let presentation = decode + timescale.nanos(placement.composition_offset);
            // A copy: encoder buffers often come from a small pool, and the muxer keeps a part's worth of them.
            let mut copy = gst::Buffer::from_slice(bytes.to_vec());
            {
                let copy = copy.get_mut().expect("nobody else has seen it");
                copy.set_dts(clock_time(decode));
                copy.set_pts(clock_time(presentation));
                copy.set_duration(frame.duration.and_then(clock_time));
                if !frame.is_sync {
                    copy.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
            }
            self.srcpad.push(copy)?;
            Ok(())
        }

        fn start_run(
            &self,
            road: &mut Road,
            line: &Line,
            timescale: Timescale,
        ) -> Result<(), gst::FlowError> {
            let Some(format) = &road.format else {
                return Err(gst::FlowError::NotNegotiated);
            };
            if let Some(pad) = self.srcpad.peer() {
                pad.set_property("trak-timescale", timescale.ticks_per_second());
            }
            if line.mux.set_state(gst::State::Paused).is_err() {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::StateChange,
                    ("mp4mux does not start")
                );
                return Err(gst::FlowError::Error);
            }
            road.is_muxing = true;
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            let started = [
                gst::event::StreamStart::new("llhlssink"),
                gst::event::Caps::new(&format.caps),
                gst::event::Segment::new(&segment),
            ]
            .into_iter()
            .all(|event| self.srcpad.push_event(event));
            if !started {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Negotiation,
                    ("mp4mux does not take the caps {}", format.caps)
                );
                return Err(gst::FlowError::NotNegotiated);
            }
            Ok(())
        }

        /// Ends the muxer's run and answers what it wrote.
        fn end_run(&self, road: &mut Road) -> Result<Vec<u8>, gst::FlowError> {
            let Some(line) = self.line().clone() else {
                return Err(gst::FlowError::Flushing);
            };
            let runs = line.collector.runs().ok_or(gst::FlowError::Flushing)?;
            self.srcpad.push_event(gst::event::Eos::new());
            let muxed = match runs.recv_timeout(MUXER_DEADLINE) {
                Ok(muxed) => muxed,
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    return Err(gst::FlowError::Flushing);
                }
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Mux,
                        (
                            "mp4mux did not finish a part within {} s",
                            MUXER_DEADLINE.as_secs()
                        )
                    );
                    return Err(gst::FlowError::Error);
                }
            };
            // A flush does not reset it; READY does.
            if line.mux.set_state(gst::State::Ready).is_err() {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::StateChange,
                    ("mp4mux does not stop")
                );
                return Err(gst::FlowError::Error);
            }
            road.is_muxing = false;
            Ok(muxed)
        }

        fn cut_part(&self, road: &mut Road, cut: &Cut) -> Result<(), gst::FlowError> {
            let muxed = self.end_run(road)?;
            let in_error = |error: crate::cmaf::boxes::BoxError| {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Mux,
                    (
                        "Part {} is not what mp4mux should have written: {error}",
                        road.parts
                    )
                );
                gst::FlowError::Error
            };
            if std::mem::take(&mut road.needs_init) {
                let init = init::init(&muxed).map_err(in_error)?;
                gst::info!(
                    CAT,
                    imp = self,
                    "Init section: {} {:?}",
                    init.codec,
                    init.resolution
                );
                let init = InitSection {
                    bytes: init.bytes,
                    codec: init.codec,
                    resolution: Some(init.resolution),
                    frame_rate: None,
                    channels: None,
                };
                (road.orders.publish)(Publication::Init(RenditionId::MAIN, init));
            }
            let bytes = moof::part(&muxed, cut, road.parts + 1).map_err(in_error)?;
            road.parts += 1;
            let mapping = *road
                .mapping
                .get_or_insert_with(|| clock::mapping(self.obj().upcast_ref(), cut.captured));
            gst::log!(
                CAT,
                imp = self,
                "Part {}: {} samples, {:?}, {} bytes",
                road.parts,
                cut.samples.len(),
                cut.duration,
                bytes.len()
            );
            let part = NewPart {
                bytes,
                duration: cut.duration,
                is_independent: cut.is_independent(),
                captured: mapping.unix(cut.captured),
                program_date_time: mapping.unix(cut.date),
                is_discontinuity: cut.is_discontinuity,
            };
            (road.orders.publish)(Publication::Part(RenditionId::MAIN, part));
            Ok(())
        }

        fn end_segment(&self, road: &mut Road, end: SegmentEnd) {
            gst::debug!(CAT, imp = self, "Segment ends: {end:?}");
            // The first request reaches an encoder with a look-ahead late: only a much longer first segment tells.
            let tolerated_halves = if end.constants.is_some() { 6 } else { 3 };
            let is_late = end.cause == SegmentEndCause::KeyFrame
                && end.duration.nanos().0 * 2 > road.orders.segment_duration.0 * tolerated_halves;
            if (is_late || end.cause == SegmentEndCause::NoKeyFrame)
                && !road.has_warned_of_key_frames
            {
                road.has_warned_of_key_frames = true;
                let reason = if road.orders.send_keyframe_requests {
                    "the encoder does not follow the requests for one"
                } else {
                    "send-keyframe-requests is off and the encoder makes them further apart"
                };
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    (
                        "A segment of {:.3} s where {:.3} s are wanted: no key frame came in time on the video pad; {reason}",
                        end.duration.as_seconds(),
                        road.orders.segment_duration.as_seconds()
                    )
                );
            }
            (road.orders.publish)(Publication::SegmentEnd(RenditionId::MAIN, end.constants));
        }

        fn request_key_frame(&self, road: &Road, at: Option<RunningTime>) {
            if !road.orders.send_keyframe_requests {
                return;
            }
            let mut event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
            if let Some(at) = at {
                event = event.running_time(clock_time(Nanos(at.0)));
            }
            count(&self.counts.key_frame_requests);
            // False when nobody upstream knows the event; the warning comes when a segment turns out long.
            self.sinkpad.push_event(event.build());
        }

        fn sink_event(&self, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Caps(caps) => self
                    .on_road(|road| self.take_caps(road, caps.caps()))
                    .unwrap_or(false),
                gst::EventView::Segment(segment) => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                    self.on_road(|road| road.segment = segment).is_some()
                }
                gst::EventView::Eos(eos) => {
                    let finished = self.on_road(|road| self.finish(road));
                    if let Some(Err(error)) = finished {
                        gst::warning!(CAT, imp = self, "The last part is lost: {error}");
                    }
                    let line = self.line().clone();
                    if let Some(line) = line {
                        line.collector.post_eos(eos.seqnum());
                    }
                    true
                }
                gst::EventView::FlushStop(_) => {
                    self.on_road(|road| road.segment = None);
                    true
                }
                // The rest is between upstream and us: the muxer gets events of our own with each run.
                _ => true,
            }
        }

        fn take_caps(&self, road: &mut Road, caps: &gst::CapsRef) -> bool {
            let format = match Format::from_caps(caps) {
                Ok(format) => format,
                Err(reason) => {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::WrongType,
                        ("The video pad cannot take {caps}: {reason}")
                    );
                    return false;
                }
            };
            let is_change = road
                .format
                .as_ref()
                .is_some_and(|current| !current.needs_same_init(&format));
            // mp4mux takes new caps without a word: the segment has to end before they count.
            if is_change && let Some(segmenter) = &mut road.segmenter {
                gst::info!(CAT, imp = self, "The format changes to {caps}");
                let steps = segmenter.interrupt();
                if self.carry_out(road, steps, None).is_err() {
                    return false;
                }
                road.needs_init = true;
            }
            road.format = Some(format);
            true
        }

        fn finish(&self, road: &mut Road) -> Result<(), gst::FlowError> {
            if let Some(segmenter) = &mut road.segmenter {
                let steps = segmenter.finish();
                self.carry_out(road, steps, None)?;
            }
            gst::info!(CAT, imp = self, "End of stream after {} parts", road.parts);
            (road.orders.publish)(Publication::EndOfStream);
            Ok(())
        }

        fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
            match query.view_mut() {
                // The muxer must not wait for anyone's deadline, and must not ask upstream between runs.
                gst::QueryViewMut::Latency(latency) => {
                    latency.set(false, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                    true
                }
                _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
            }
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Feeder {
        const NAME: &'static str = "GstLlHlsFeeder";
        type Type = super::Feeder;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| class.pad_template(name).expect("declared below");
            let sinkpad = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_pad, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| this.chain(&buffer),
                    )
                })
                .event_function(|_pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(event))
                })
                .build();
            let srcpad = gst::Pad::builder_from_template(&template("src"))
                // The muxer sends seeks and key-frame requests of its own; nothing of it concerns upstream.
                .event_function(|_pad, _parent, _event| true)
                .query_function(|pad, parent, query| {
                    Self::catch_panic_pad_function(
                        parent,
                        || false,
                        |this| this.src_query(pad, query),
                    )
                })
                .build();
            Self {
                sinkpad,
                srcpad,
                line: Mutex::new(None),
                road: Mutex::new(None),
                counts: Arc::default(),
            }
        }
    }

    impl ObjectImpl for Feeder {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            element
                .add_pad(&self.sinkpad)
                .expect("a new element has no pad");
            element.add_pad(&self.srcpad).expect("it has no src pad");
        }
    }

    impl GstObjectImpl for Feeder {}

    impl ElementImpl for Feeder {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
                std::sync::LazyLock::new(|| {
                    // What mp4mux takes; the pads of the bin accept more and convert.
                    let h264 = gst::Caps::builder("video/x-h264")
                        .field("stream-format", "avc")
                        .field("alignment", "au")
                        .build();
                    let h265 = gst::Caps::builder("video/x-h265")
                        .field("stream-format", "hvc1")
                        .field("alignment", "au")
                        .build();
                    let caps: gst::Caps = [h264, h265]
                        .into_iter()
                        .flat_map(|caps| caps.iter().map(ToOwned::to_owned).collect::<Vec<_>>())
                        .collect();
                    [
                        gst::PadTemplate::new(
                            "sink",
                            gst::PadDirection::Sink,
                            gst::PadPresence::Always,
                            &caps,
                        ),
                        gst::PadTemplate::new(
                            "src",
                            gst::PadDirection::Src,
                            gst::PadPresence::Always,
                            &caps,
                        ),
                    ]
                    .into_iter()
                    .flatten()
                    .collect()
                });
            &TEMPLATES
        }

        fn change_state(
            &self,
            transition: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let result = self.parent_change_state(transition)?;
            if transition == gst::StateChange::PausedToReady {
                // The pads are inactive: no run is under way any more.
                drop(self.road().take());
                let line = self.line().clone();
                if let Some(line) = line {
                    line.mux.set_state(gst::State::Null)?;
                }
            }
            Ok(result)
        }
    }
}

fn clock_time(span: Nanos) -> Option<gst::ClockTime> {
    u64::try_from(span.0)
        .ok()
        .map(gst::ClockTime::from_nseconds)
}

/// Counts one more and answers how many there are now.
fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}
