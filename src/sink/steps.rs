//! What the segmenter says of a track, carried out.
//!
//! Belongs here: frames into the open part, parts through the muxer and out, ends of segments, requests for key frames. Does
//! not: what is asked of the segmenter and when (`road`), driving the muxer (`muxing`), dates (`dates`).

use gst::subclass::prelude::*;

use super::{
    CAT,
    feeder::imp::Feeder,
    format::Format,
    muxing::RUN_START,
    road::{Road, count},
};
use crate::{
    cmaf::{
        init, moof,
        segmenter::{
            Cut, DropReason, Frame, Gap, NewBorder, Placement, SegmentEnd, SegmentEndCause, Step,
        },
    },
    origin::media::{InitSection, Msn, NewGap, NewPart, Publication},
    time::{Nanos, RunningTime},
};

/// How many key frames are asked for in vain, a second apart, before the user is told.
const PLEAS_BEFORE_WARNING: u32 = 5;

impl Feeder {
    pub(super) fn carry_out(
        &self,
        road: &mut Road,
        steps: Vec<Step>,
        mut frame: Option<(&Frame, Vec<u8>)>,
    ) -> Result<(), gst::FlowError> {
        for step in steps {
            match step {
                Step::Feed(placement) => {
                    if let Some((frame, bytes)) = frame.take() {
                        count(&self.counts.taken);
                        Self::feed(road, frame, placement, bytes);
                    }
                }
                Step::Drop(reason) => self.note_drop(reason),
                Step::CutPart(cut) => self.cut_part(road, &cut)?,
                Step::Gap(gap) => self.publish_gap(road, &gap),
                Step::EndSegment(end) => self.end_segment(road, end),
                Step::RequestKeyFrame(at) => self.request_key_frame(road, at),
                Step::BeginSegment(border) => Self::begin_segment(road, border),
                Step::Join(number) => {
                    gst::info!(CAT, imp = self, "Joins with segment {number}");
                    road.publish(Publication::Start(road.rendition(), Msn(number)));
                }
            }
        }
        Ok(())
    }

    /// The leader says where the others' segments begin.
    fn begin_segment(road: &mut Road, border: NewBorder) {
        let number = road.orders.ensemble.change(|conductor| {
            conductor.begin_segment(border.presentation, border.zero, border.is_discontinuity)
        });
        if let Some(segmenter) = &mut road.segmenter {
            segmenter.begin(number);
        }
    }

    fn note_drop(&self, reason: DropReason) {
        let counter = match reason {
            DropReason::NoKeyFrameYet => &self.counts.before_key_frame,
            DropReason::BeforeJoining => &self.counts.before_joining,
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
    fn feed(road: &mut Road, frame: &Frame, placement: Placement, bytes: Vec<u8>) {
        let Some(timescale) = road.timescale else {
            return;
        };
        let decode = RUN_START + timescale.nanos(placement.decode_in_part);
        let presentation = decode + timescale.nanos(placement.composition_offset);
        let mut buffer = gst::Buffer::from_slice(bytes);
        {
            let buffer = buffer.get_mut().expect("nobody else has seen it");
            buffer.set_dts(clock_time(decode));
            buffer.set_pts(clock_time(presentation));
            // No duration: the muxer queues by it, and upstream may say anything. The segmenter's durations count.
            if !frame.is_sync {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        road.frames.push(buffer);
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
                    "Part {} of the {} pad is not what mp4mux should have written: {error}",
                    road.parts,
                    road.orders.pad
                )
            );
            gst::FlowError::Error
        };
        let rendition = road.rendition();
        if road.needs_init {
            let init = init::init(&muxed).map_err(in_error)?;
            gst::info!(CAT, imp = self, "Init section: {:?}", init.description);
            road.publish(Publication::Init(
                rendition,
                InitSection {
                    bytes: init.bytes,
                    codec: init.description.codec,
                    resolution: init.description.resolution,
                    frame_rate: road.format.as_ref().and_then(Format::frame_rate),
                    channels: init.description.channels,
                },
            ));
            road.needs_init = false;
        }
        let bytes = moof::part(&muxed, cut, road.parts + 1).map_err(in_error)?;
        road.parts += 1;
        let mapping = self.mapping(road, cut.zero, cut.date, cut.captured);
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
        road.publish(Publication::Part(
            rendition,
            NewPart {
                bytes,
                duration: cut.duration,
                is_independent: cut.is_independent(),
                captured: mapping.unix(cut.captured),
                program_date_time: date,
                is_discontinuity: cut.is_discontinuity,
            },
        ));
        // After publishing: nobody waits for this.
        self.reset(&line)
    }

    fn publish_gap(&self, road: &mut Road, gap: &Gap) {
        let mapping = self.mapping(road, gap.zero, gap.date, gap.date);
        let date = mapping.unix(gap.date);
        road.dated_until = Some(date + gap.duration.nanos());
        gst::debug!(CAT, imp = self, "Nothing for {:?}", gap.duration);
        road.publish(Publication::Gap(
            road.rendition(),
            NewGap {
                duration: gap.duration,
                program_date_time: date,
                is_discontinuity: gap.is_discontinuity,
            },
        ));
    }

    fn end_segment(&self, road: &mut Road, end: SegmentEnd) {
        gst::debug!(CAT, imp = self, "Segment ends: {end:?}");
        // The first request reaches an encoder with a look-ahead late: only a much longer first segment tells.
        let tolerated_halves = if end.constants.is_some() { 6 } else { 3 };
        let is_late = end.cause == SegmentEndCause::KeyFrame
            && end.duration.nanos().0 * 2 > road.orders.segment_duration.0 * tolerated_halves;
        let is_video = road
            .format
            .as_ref()
            .is_some_and(|format| !format.is_audio());
        if is_video
            && (is_late || end.cause == SegmentEndCause::NoKeyFrame)
            && !road.has_warned_of_key_frames
        {
            road.has_warned_of_key_frames = true;
            let reason = road.request_fate(self.requests.is_heard());
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "A segment of {:.3} s where {:.3} s are wanted: no key frame came in time on the {} pad; {reason}",
                    end.duration.as_seconds(),
                    road.orders.segment_duration.as_seconds(),
                    road.orders.pad
                )
            );
        }
        if let Some(constants) = end.constants {
            let track = road.orders.track;
            road.orders.ensemble.change(|conductor| {
                if conductor.leads(track) {
                    conductor.fix_target_duration(constants.target_duration);
                }
            });
        }
        let track = road.orders.track;
        let leads = road
            .orders
            .ensemble
            .read(|conductor| conductor.leads(track));
        if leads && end.cause != SegmentEndCause::EndOfStream {
            self.follow_clock(road);
        }
        road.publish(Publication::SegmentEnd(road.rendition(), end.constants));
    }

    fn request_key_frame(&self, road: &mut Road, at: Option<RunningTime>) {
        if !road.orders.send_keyframe_requests {
            return;
        }
        let mut event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
        if let Some(at) = at {
            event = event.running_time(clock_time(Nanos(at.0)));
        }
        count(&self.counts.key_frame_requests);
        self.requests.add(event.build());
        if at.is_some() {
            return;
        }
        road.pleas += 1;
        if road.pleas == PLEAS_BEFORE_WARNING {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Decode,
                (
                    "No key frame (IDR) came on the {} pad for {PLEAS_BEFORE_WARNING} s, and nothing can be published before one; {}",
                    road.orders.pad,
                    road.request_fate(self.requests.is_heard())
                )
            );
        }
    }
}

fn clock_time(span: Nanos) -> Option<gst::ClockTime> {
    u64::try_from(span.0)
        .ok()
        .map(gst::ClockTime::from_nseconds)
}
