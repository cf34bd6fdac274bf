//! What becomes of a track's frames between READY and READY.
//!
//! Belongs here: the streaming thread's work. It asks the segmenter, carries out its steps, and hands finished parts over.
//! Does not: where borders are (`cmaf/segmenter`), what bytes are (`cmaf/moof`), who reads them, driving the muxer (`muxing`).

use std::sync::atomic::{AtomicU64, Ordering};

use gst::{prelude::*, subclass::prelude::*};

use super::{
    CAT, clock,
    feeder::{Orders, imp::Feeder},
    format::Format,
    muxing::RUN_START,
};
use crate::{
    cmaf::{
        access_unit, init, moof,
        segmenter::{
            Cut, DropReason, Frame, Placement, Plan, SegmentEnd, SegmentEndCause, Segmenter, Step,
        },
    },
    origin::media::{InitSection, NewPart, Publication},
    time::{ClockMapping, Nanos, RunningTime, Timescale, UnixTime},
};

/// How far dates may step back over a discontinuity: the draft tolerates less than a second (6.2.1).
const LONGEST_DATE_OVERLAP: Nanos = Nanos::from_millis(900);

/// The state of a track between READY and READY.
pub(super) struct Road {
    orders: Orders,
    /// Input time; `None` until upstream says it.
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) format: Option<Format>,
    /// `None` until the first frame. It outlives a change of format.
    segmenter: Option<Segmenter>,
    pub(super) timescale: Option<Timescale>,
    /// Set with the first part, and again after each discontinuity.
    mapping: Option<ClockMapping>,
    /// Where the dates of the parts so far end.
    dated_until: Option<UnixTime>,
    /// The next part needs an init section before it.
    needs_init: bool,
    parts: u64,
    /// The frames of the open part, ready for the muxer.
    pub(super) frames: Vec<gst::Buffer>,
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
            dated_until: None,
            needs_init: true,
            parts: 0,
            frames: Vec::new(),
            has_warned_of_key_frames: false,
        }
    }
}

impl Feeder {
    pub(super) fn take_buffer(
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
        let in_running_time =
            |time: Option<gst::ClockTime>| time.and_then(|time| clock::running_time(segment, time));
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
            gst::element_imp_error!(self, gst::ResourceError::Read, ("A frame cannot be mapped"));
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
                is_audio: false,
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
                    Self::feed(road, frame, placement, bytes);
                }
                (Step::Feed(_), None) => {}
                (Step::Drop(reason), _) => self.note_drop(reason),
                (Step::CutPart(cut), _) => self.cut_part(road, &cut)?,
                (Step::EndSegment(end), _) => self.end_segment(road, end),
                (Step::RequestKeyFrame(at), _) => self.request_key_frame(road, at),
                (Step::BeginSegment(_) | Step::Join(_), _) => {}
            }
        }
        Ok(())
    }

    fn note_drop(&self, reason: DropReason) {
        let counter = match reason {
            DropReason::NoKeyFrameYet | DropReason::BeforeJoining => &self.counts.before_key_frame,
            DropReason::Backwards => &self.counts.backwards,
        };
        let times = count(counter);
        gst::debug!(
            CAT,
            imp = self,
            "Left out a frame: {reason:?}, {times} so far"
        );
    }

    /// Adds the frame to the open part.
    fn feed(road: &mut Road, frame: &Frame, placement: Placement, bytes: &[u8]) {
        let Some(timescale) = road.timescale else {
            return;
        };
        let decode = RUN_START + timescale.nanos(placement.decode_in_part);
        let presentation = decode + timescale.nanos(placement.composition_offset);
        // A copy: encoder buffers often come from a small pool, and a part's worth of them is kept.
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
        road.frames.push(copy);
    }

    fn cut_part(&self, road: &mut Road, cut: &Cut) -> Result<(), gst::FlowError> {
        let Some(line) = self.line().clone() else {
            return Err(gst::FlowError::Flushing);
        };
        let muxed = self.mux(road, &line)?;
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
            (road.orders.publish)(Publication::Init(InitSection {
                bytes: init.bytes,
                codec: init.codec,
                resolution: Some(init.resolution),
            }));
        }
        let bytes = moof::part(&muxed, cut, road.parts + 1).map_err(in_error)?;
        road.parts += 1;
        if cut.is_discontinuity {
            // Another line of time; the pipeline's base time may be another one, too (after a seek).
            road.mapping = None;
        }
        let dated_until = road.dated_until;
        let mapping = *road
            .mapping
            .get_or_insert_with(|| self.mapping(cut, dated_until));
        let date = mapping.unix(cut.date);
        road.dated_until = Some(date + cut.duration.nanos());
        gst::log!(
            CAT,
            imp = self,
            "Part {}: {} samples, {:?}, {} bytes",
            road.parts,
            cut.samples.len(),
            cut.duration,
            bytes.len()
        );
        (road.orders.publish)(Publication::Part(NewPart {
            bytes,
            duration: cut.duration,
            is_independent: cut.is_independent(),
            captured: mapping.unix(cut.captured),
            program_date_time: date,
            is_discontinuity: cut.is_discontinuity,
        }));
        // After publishing: nobody waits for this.
        self.reset(&line)
    }

    /// How running time becomes Unix time from this cut on. Dates do not go back over a jump (rule PL-33).
    fn mapping(&self, cut: &Cut, dated_until: Option<UnixTime>) -> ClockMapping {
        let mapping = clock::mapping(self.obj().upcast_ref(), cut.captured);
        match dated_until {
            Some(until) if until - mapping.unix(cut.date) > LONGEST_DATE_OVERLAP => {
                ClockMapping::new(cut.date, until.max(clock::unix_now()))
            }
            _ => mapping,
        }
    }

    fn end_segment(&self, road: &mut Road, end: SegmentEnd) {
        gst::debug!(CAT, imp = self, "Segment ends: {end:?}");
        // The first request reaches an encoder with a look-ahead late: only a much longer first segment tells.
        let tolerated_halves = if end.constants.is_some() { 6 } else { 3 };
        let is_late = end.cause == SegmentEndCause::KeyFrame
            && end.duration.nanos().0 * 2 > road.orders.segment_duration.0 * tolerated_halves;
        if (is_late || end.cause == SegmentEndCause::NoKeyFrame) && !road.has_warned_of_key_frames {
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
        (road.orders.publish)(Publication::SegmentEnd {
            constants: end.constants,
        });
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

    pub(super) fn take_caps(&self, road: &mut Road, caps: &gst::CapsRef) -> bool {
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

    /// After a flush time may go on anywhere, even close by: what comes is another line.
    pub(super) fn interrupt(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        road.segment = None;
        let Some(segmenter) = &mut road.segmenter else {
            return Ok(());
        };
        let steps = segmenter.interrupt();
        self.carry_out(road, steps, None)
    }

    pub(super) fn finish(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        if let Some(segmenter) = &mut road.segmenter {
            let steps = segmenter.finish();
            self.carry_out(road, steps, None)?;
        }
        gst::info!(CAT, imp = self, "End of stream after {} parts", road.parts);
        (road.orders.publish)(Publication::EndOfStream);
        Ok(())
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
