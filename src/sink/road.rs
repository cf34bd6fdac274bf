//! What becomes of a track's frames between READY and READY.
//!
//! Belongs here: the work on one track. It keeps to the other tracks, and asks the segmenter. Does not:
//! where borders are (`cmaf/`), who waits for whom (`ensemble`), which thread this runs in (`feeder`), what follows from what
//! the segmenter says (`steps`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gst::subclass::prelude::*;

use super::{
    CAT, clock,
    doubts::Arrival,
    ensemble::{Ensemble, Told},
    feeder::imp::Feeder,
    format::Format,
};
use crate::{
    cmaf::{
        conductor::{Conductor, TrackIndex},
        segmenter::{Constants, Frame, Plan, Segmenter, Step},
        sound::SoundLine,
        turn,
    },
    origin::media::{Description, Publication, RenditionId},
    time::{ClockMapping, Nanos, RunningTime, Timescale, UnixTime},
};

/// What a track needs to know for one life of the pipeline.
pub(super) struct Orders {
    /// Its place among the tracks and renditions.
    pub(super) track: TrackIndex,
    /// Name of its pad, for messages.
    pub(super) pad: String,
    /// What the application says of it.
    pub(super) described: Description,
    /// The other tracks.
    pub(super) ensemble: Arc<Ensemble>,
    /// There are other tracks.
    pub(super) has_company: bool,
    pub(super) segment_duration: Nanos,
    pub(super) part_duration: Nanos,
    pub(super) send_keyframe_requests: bool,
    /// What an earlier run of the same presentation fixed.
    pub(super) constants: Option<Constants>,
    /// Where its dates end.
    pub(super) dated_until: Option<UnixTime>,
    /// Takes what players shall see. Never blocks.
    pub(super) publish: Box<dyn Fn(Publication) + Send>,
}

/// What comes in at the pad, in order.
pub(super) enum Input {
    Caps(gst::Caps),
    Tags(gst::TagList),
    /// `None` for a segment that is not in time format.
    Segment(Option<gst::FormattedSegment<gst::ClockTime>>),
    Frame(Access),
    /// Nothing comes from here on, for this long if that is known.
    Gap {
        start: gst::ClockTime,
        duration: Option<gst::ClockTime>,
    },
    /// Frames from here on were left out for want of room.
    Lost,
    Flush,
    End(gst::Seqnum),
    /// The pad is released.
    Leave,
}

impl Input {
    /// How far it reaches, in the time of the segment.
    pub(super) fn head(&self) -> Option<gst::ClockTime> {
        match self {
            Self::Frame(access) if access.bytes.is_empty() => None,
            Self::Frame(access) => access.pts.or(access.dts),
            Self::Gap { start, duration } => start.checked_add(duration.unwrap_or_default()),
            _ => None,
        }
    }
}

/// A frame as it came: a copy, because encoder buffers often come from a small pool, and a part's worth of them is kept.
pub(super) struct Access {
    pub(super) bytes: Vec<u8>,
    pub(super) pts: Option<gst::ClockTime>,
    pub(super) dts: Option<gst::ClockTime>,
    pub(super) duration: Option<gst::ClockTime>,
    /// When it was captured, by its own word.
    pub(super) captured: Option<UnixTime>,
    pub(super) is_delta: bool,
}

/// The state of a track between READY and READY.
pub(super) struct Road {
    pub(super) orders: Orders,
    /// What its tags say.
    tagged: Description,
    /// Input time; `None` until upstream says it.
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) format: Option<Format>,
    /// `None` until the first frame. It outlives a change of format.
    pub(super) segmenter: Option<Segmenter>,
    pub(super) timescale: Option<Timescale>,
    /// What the newest frame that says when it was captured makes of running time.
    pub(super) reference: Option<ClockMapping>,
    /// Where the dates of the parts so far end.
    pub(super) dated_until: Option<UnixTime>,
    /// Where the clock that dates are taken from was when they last followed it.
    pub(super) followed: Option<ClockMapping>,
    /// The host's clock, or the pipeline's base time, jumped: the next key frame begins another line.
    pub(super) has_wrong_dates: bool,
    /// The next part needs an init section before it.
    pub(super) needs_init: bool,
    pub(super) parts: u64,
    /// The frames of the open part, ready for the muxer.
    pub(super) frames: Vec<gst::Buffer>,
    has_arrived: bool,
    /// Key frames asked for at once, one a second.
    pub(super) pleas: u32,
    /// Where sound goes on.
    pub(super) sound: Option<SoundLine>,
    /// A frame far ahead of the one before it.
    pub(super) doubted: Option<Arrival>,
    /// Others go on without it, until the next frame.
    pub(super) is_silent: bool,
    /// Something came that could be used, or was asked for.
    pub(super) has_moved: bool,
    /// Nothing came for a while, and it was no silence: asked again sooner.
    pub(super) has_waited: bool,
    /// Presentation time of the first frame that a segment could have begun with.
    first_chance: Option<RunningTime>,
    /// The presentation was told to begin without it.
    is_left_out: bool,
    /// The end of the stream, or of the pad.
    has_ended: bool,
    pub(super) has_warned_of_key_frames: bool,
}

impl Road {
    pub(super) fn new(orders: Orders) -> Self {
        Self {
            dated_until: orders.dated_until,
            orders,
            tagged: Description::default(),
            segment: None,
            format: None,
            segmenter: None,
            timescale: None,
            reference: None,
            followed: None,
            has_wrong_dates: false,
            needs_init: true,
            parts: 0,
            frames: Vec::new(),
            has_arrived: false,
            pleas: 0,
            sound: None,
            doubted: None,
            is_silent: false,
            has_moved: false,
            has_waited: false,
            first_chance: None,
            is_left_out: false,
            has_ended: false,
            has_warned_of_key_frames: false,
        }
    }

    /// Name of the pad.
    pub(super) fn pad(&self) -> &str {
        &self.orders.pad
    }

    /// Its place among the tracks.
    pub(super) fn track(&self) -> TrackIndex {
        self.orders.track
    }

    /// What it shares with the other tracks.
    pub(super) fn ensemble(&self) -> Arc<Ensemble> {
        Arc::clone(&self.orders.ensemble)
    }

    /// Something came that could be used.
    pub(super) fn note_move(&mut self) {
        self.has_moved = true;
        self.has_waited = false;
    }

    /// How long nothing may come before others go on without this track, or how long until it has to keep up with them again;
    /// `None` when nothing needs to come.
    pub(super) fn patience(&self) -> Option<Duration> {
        if self.has_ended || !self.has_arrived {
            return None;
        }
        Some(if self.is_silent {
            Duration::from_nanos(self.orders.part_duration.0.unsigned_abs()) / 2
        } else if self.has_waited {
            self.orders.ensemble.longest_silence() / 16
        } else {
            self.orders.ensemble.longest_silence()
        })
    }

    /// Whether frames have come for as long as others wait, since there are segments to begin.
    fn has_passed_up_borders(&mut self, frame: &Frame) -> bool {
        let first_border = self.orders.ensemble.read(Conductor::first_border);
        if first_border.is_some_and(|border| border <= frame.presentation) {
            self.first_chance.get_or_insert(frame.presentation);
        }
        let patience = self.orders.ensemble.longest_silence();
        self.first_chance
            .and_then(|chance| u64::try_from((frame.presentation - chance).0).ok())
            .is_some_and(|waited| Duration::from_nanos(waited) >= patience)
    }

    /// What became of the requests for key frames, for warnings; `is_heard` if somebody upstream takes them.
    pub(super) fn request_fate(&self, is_heard: bool) -> &'static str {
        match (self.orders.send_keyframe_requests, is_heard) {
            (false, _) => "send-keyframe-requests is off and the encoder makes them further apart",
            (true, true) => "the encoder does not follow the requests for one",
            (true, false) => "nobody upstream takes requests for one",
        }
    }

    pub(super) fn rendition(&self) -> RenditionId {
        RenditionId(self.orders.track.0)
    }

    pub(super) fn publish(&self, publication: Publication) {
        (self.orders.publish)(publication);
    }
}

impl Feeder {
    /// Deals with what came in next.
    pub(super) fn take(&self, road: &mut Road, input: Input) -> Result<(), gst::FlowError> {
        if !matches!(input, Input::Frame(_)) {
            road.note_move();
            self.settle_doubts(road)?;
        }
        match input {
            Input::Caps(caps) => self.take_caps(road, &caps),
            Input::Tags(tags) => {
                Self::take_tags(road, &tags);
                Ok(())
            }
            Input::Segment(segment) => {
                road.segment = segment;
                Ok(())
            }
            Input::Frame(access) => self.take_frame(road, access),
            Input::Gap { start, duration } => self.take_gap(road, start, duration),
            Input::Lost => self.miss_pictures(road),
            Input::Flush => self.interrupt(road),
            Input::Leave => self.finish(road),
            Input::End(seqnum) => {
                let finished = self.finish(road);
                self.post_eos(seqnum);
                finished
            }
        }
    }

    /// Tags of the stream; those of the whole file say nothing of one track.
    fn take_tags(road: &mut Road, tags: &gst::TagListRef) {
        if tags.scope() != gst::TagScope::Stream {
            return;
        }
        let language = tags.get::<gst::tags::LanguageCode>();
        let title = tags.get::<gst::tags::Title>();
        let found = Description {
            language: language
                .map(|code| shortest_language(code.get()))
                // Undetermined (ISO 639-2).
                .filter(|code| code != "und" && road.orders.described.language.is_none()),
            label: title
                .map(|title| title.get().to_owned())
                .filter(|_| road.orders.described.label.is_none()),
        };
        if found != Description::default() && found != road.tagged {
            road.tagged = found.clone();
            road.publish(Publication::Description(road.rendition(), found));
        }
    }

    fn take_frame(&self, road: &mut Road, access: Access) -> Result<(), gst::FlowError> {
        let pad = &road.orders.pad;
        let Some(format) = &road.format else {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("Frames came before their caps on the {pad} pad; put a parser such as h264parse or aacparse before llhlssink")
            );
            return Err(gst::FlowError::NotNegotiated);
        };
        let Some(segment) = &road.segment else {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("Frames came before a segment in time format on the {pad} pad")
            );
            return Err(gst::FlowError::Error);
        };
        if access.bytes.is_empty() {
            count(&self.counts.empty);
            gst::debug!(CAT, imp = self, "Left out a buffer without bytes");
            return Ok(());
        }
        let in_running_time =
            |time: Option<gst::ClockTime>| time.and_then(|time| clock::running_time(segment, time));
        let dts = in_running_time(access.dts);
        let pts = in_running_time(access.pts);
        let (Some(decode), Some(presentation)) = (dts.or(pts), pts.or(dts)) else {
            if count(&self.counts.without_timestamp) == 1 {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    ("A frame without a timestamp on the {pad} pad was left out, and so will be others like it")
                );
            }
            return Ok(());
        };
        let frame = Frame {
            decode,
            presentation,
            duration: access
                .duration
                .and_then(|duration| i64::try_from(duration.nseconds()).ok())
                .map(Nanos)
                .filter(|duration| duration.0 > 0),
            is_sync: format.is_sync(&access.bytes, access.is_delta),
        };
        gst::trace!(CAT, imp = self, "{frame:?}");
        self.take_or_doubt(road, Arrival { frame, access })
    }

    /// Takes a frame whose time is as it says.
    pub(super) fn take_in(&self, road: &mut Road, arrival: Arrival) -> Result<(), gst::FlowError> {
        let Arrival { frame, access } = arrival;
        if let Some(captured) = access.captured {
            let reference = ClockMapping::new(frame.presentation, captured);
            road.reference = Some(reference);
            // rtspsrc knows no capture times before the first sender report: dates begin anew with the first that is known.
            if road.orders.ensemble.note_reference(reference) && self.leads(road) {
                road.has_wrong_dates = true;
                road.followed = None;
            }
        }
        if frame.is_sync && std::mem::take(&mut road.has_wrong_dates) {
            self.leave_line(road)?;
        }
        if std::mem::take(&mut road.is_silent) {
            gst::info!(
                CAT,
                imp = self,
                "The {} pad is heard again",
                road.orders.pad
            );
            let track = road.orders.track;
            road.orders
                .ensemble
                .change(|conductor| conductor.arrive(track));
        }
        self.fill_hole(road, &frame, &access.bytes)?;
        self.advance(road, frame, access.bytes)
    }

    pub(super) fn advance(
        &self,
        road: &mut Road,
        frame: Frame,
        bytes: Vec<u8>,
    ) -> Result<(), gst::FlowError> {
        let Some(format) = &road.format else {
            return Err(gst::FlowError::NotNegotiated);
        };
        let timescale = *road.timescale.get_or_insert_with(|| format.timescale());
        let mut segmenter = road.segmenter.take().unwrap_or_else(|| {
            Segmenter::new(Plan {
                timescale,
                segment_duration: road.orders.segment_duration,
                part_duration: road.orders.part_duration,
                frame_duration: format.frame_duration(),
                is_audio: format.is_audio(),
                has_company: road.orders.has_company,
                constants: road.orders.constants,
            })
        });
        road.note_move();
        let steps = self.segment(road, &mut segmenter, frame);
        road.segmenter = Some(segmenter);
        self.carry_out(road, steps?, Some((&frame, bytes)))?;
        if road.has_passed_up_borders(&frame) && !self.leads(road) {
            self.leave_out_unless_begun(road);
        }
        // Only now may the others come this far: the borders up to here are known.
        let track = road.orders.track;
        let spacing = road.segmenter.as_ref().map(Segmenter::closest_spacing);
        road.orders.ensemble.change(|conductor| {
            if conductor.leads(track) {
                conductor.advance(frame.presentation, spacing.unwrap_or_default());
            }
        });
        Ok(())
    }

    /// A track that cannot begin does not hold back the presentation for ever, no more than one that does not come.
    pub(super) fn leave_out_unless_begun(&self, road: &mut Road) {
        let number = road.segmenter.as_ref().and_then(Segmenter::number);
        if number.is_some() || std::mem::replace(&mut road.is_left_out, true) {
            return;
        }
        gst::element_imp_warning!(
            self,
            gst::StreamError::Format,
            (
                "Nothing on the {} pad can begin a segment so far; the presentation begins without it",
                road.orders.pad
            )
        );
        road.publish(Publication::Absent(road.rendition()));
    }

    /// Asks the segmenter, after whom the track has to wait for.
    fn segment(
        &self,
        road: &mut Road,
        segmenter: &mut Segmenter,
        frame: Frame,
    ) -> Result<Vec<Step>, gst::FlowError> {
        let track = road.orders.track;
        let ensemble = &road.orders.ensemble;
        if !std::mem::replace(&mut road.has_arrived, true) {
            ensemble.change(|conductor| conductor.arrive(track));
        }
        let number = segmenter.number();
        let may_run_ahead = segmenter.may_run_ahead(&frame);
        if segmenter.jumps_back(frame.decode) {
            ensemble.wait_for_jump(track, number);
        }
        loop {
            match ensemble.wait(track, number, frame.presentation, may_run_ahead) {
                Told::Lead => break,
                Told::Follow { after_waiting } => {
                    if after_waiting {
                        count(&self.counts.waited);
                    }
                    break;
                }
                Told::Stop => return Err(gst::FlowError::Flushing),
                Told::Absent(tracks) => {
                    for absent in tracks {
                        (road.orders.publish)(Publication::Absent(RenditionId(absent.0)));
                    }
                }
            }
        }
        Ok(ensemble.change(|conductor| turn::push(conductor, track, segmenter, frame)))
    }

    fn take_caps(&self, road: &mut Road, caps: &gst::CapsRef) -> Result<(), gst::FlowError> {
        let format = Format::from_caps(caps).map_err(|reason| {
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("The {} pad cannot take {caps}: {reason}", road.orders.pad)
            );
            gst::FlowError::NotNegotiated
        })?;
        let is_change = road
            .format
            .as_ref()
            .is_some_and(|current| !current.needs_same_init(&format));
        // mp4mux takes new caps without a word: the segment has to end before they count.
        if is_change && let Some(segmenter) = &mut road.segmenter {
            gst::info!(CAT, imp = self, "The format changes to {caps}");
            let steps = segmenter.change_format();
            self.carry_out(road, steps, None)?;
            Self::ask_for_break(road);
            road.sound = None;
            road.needs_init = true;
            road.publish(Publication::ComingInit(road.rendition()));
        }
        road.format = Some(format);
        Ok(())
    }

    /// After a flush time may go on anywhere, even close by: what comes is another line.
    fn interrupt(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        road.segment = None;
        self.leave_line(road)
    }

    /// Ends the segment; what comes is another line with dates of its own.
    fn leave_line(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        road.sound = None;
        let Some(segmenter) = &mut road.segmenter else {
            return Ok(());
        };
        let steps = segmenter.interrupt();
        self.carry_out(road, steps, None)?;
        let track = road.orders.track;
        if road
            .orders
            .ensemble
            .read(|conductor| conductor.leads(track))
        {
            road.orders.ensemble.forget_mapping();
        }
        Self::ask_for_break(road);
        Ok(())
    }

    /// A follower's discontinuity is one of all tracks (rule MV-11): as soon as possible, before the leader's next segment.
    fn ask_for_break(road: &Road) {
        let track = road.orders.track;
        let segmenter = road.segmenter.as_ref();
        let number = segmenter
            .filter(|segmenter| segmenter.is_interrupted())
            .and_then(Segmenter::number);
        road.orders.ensemble.change(|conductor| {
            if !conductor.leads(track) {
                conductor.ask_for_break(number);
            }
        });
    }

    fn finish(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        road.has_ended = true;
        let target_duration = road
            .orders
            .ensemble
            .read(|conductor| conductor.target_duration());
        let finished = match &mut road.segmenter {
            Some(segmenter) => {
                if let Some(seconds) = target_duration {
                    segmenter.give_target_duration(seconds);
                }
                let steps = segmenter.finish();
                self.carry_out(road, steps, None)
            }
            None => Ok(()),
        };
        gst::info!(CAT, imp = self, "End of stream after {} parts", road.parts);
        let track = road.orders.track;
        let is_over = road.orders.ensemble.change(|conductor| {
            conductor.end(track);
            conductor.is_over()
        });
        road.publish(if is_over {
            Publication::EndOfStream
        } else {
            Publication::EndOfRendition(road.rendition())
        });
        finished
    }
}

/// Tags of ISO 639-2 have three letters; RFC 5646 2.2.1 wants the two of ISO 639-1 where there are any.
fn shortest_language(code: &str) -> String {
    gst_tag::language_codes::language_code_iso_639_1(code)
        .map_or_else(|| code.to_owned(), |short| short.to_string())
}

/// Counts one more and answers how many there are now.
pub(super) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}
