//! What a track shows when nothing comes: silence, or a gap.
//!
//! Belongs here: holes in the sound, GAP events, a track that others go on without. Does not: when that is (`ensemble`), how
//! its time line goes on (`cmaf/segmenter/absence`).
//!
//! One track of several cannot be absent for a while: its segments are numbered like the others'. Where sound has a hole there
//! is silence, in AAC of one or two channels and in Opus; everything else leaves a gap.

use gst::subclass::prelude::*;

use super::{CAT, clock, feeder::imp::Feeder, format::Format, road::Road};
use crate::{
    cmaf::{
        segmenter::{Frame, LONGEST_BRIDGED_HOLE},
        sound::SoundLine,
        turn,
    },
    time::{Nanos, RunningTime},
};

/// The longest hole in sound that is filled with silence at once.
const LONGEST_FILLED_HOLE: Nanos = Nanos::from_seconds(60);

impl Feeder {
    /// Before a frame of sound: fills the hole it comes after, if there is one. Where it leads, a longer hole than is bridged
    /// is everyone's, and a discontinuity.
    pub(super) fn fill_hole(
        &self,
        road: &mut Road,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<(), gst::FlowError> {
        let Some(length) = road.format.as_ref().and_then(|of| of.sound_length(bytes)) else {
            return Ok(());
        };
        let is_follower = road.orders.has_company && !self.leads(road);
        let segmenter = road.segmenter.as_ref();
        if is_follower || segmenter.is_some_and(|segmenter| segmenter.bridges(frame.decode)) {
            self.fill(road, frame.presentation)?;
        }
        road.sound = Some(SoundLine::after(road.sound, frame.presentation, length));
        Ok(())
    }

    /// Upstream says that nothing comes for a while (GST_EVENT_GAP).
    pub(super) fn take_gap(
        &self,
        road: &mut Road,
        start: gst::ClockTime,
        duration: Option<gst::ClockTime>,
    ) -> Result<(), gst::FlowError> {
        let in_running_time = |road: &Road, time| clock::running_time(road.segment.as_ref()?, time);
        let Some(from) = in_running_time(road, start) else {
            return Ok(());
        };
        let until = start.checked_add(duration.unwrap_or_default());
        let until = until
            .and_then(|until| in_running_time(road, until))
            .unwrap_or(from);
        gst::log!(CAT, imp = self, "A gap from {from:?} to {until:?}");
        if road.format.as_ref().and_then(Format::silence).is_some() {
            // Sound may begin with a gap.
            road.sound.get_or_insert(SoundLine::from(from));
            return self.fill(road, until);
        }
        let has_begun = road.segmenter.as_ref().is_some_and(|of| of.is_going_on());
        if !has_begun || !road.orders.has_company {
            return Ok(());
        }
        let track = road.orders.track;
        let ensemble = &road.orders.ensemble;
        // All that is missing by then, however many events say so.
        let segmenter = road.segmenter.as_ref();
        if segmenter.is_none_or(|segmenter| !segmenter.jumps_ahead(until)) {
            let is_ahead = segmenter.is_some_and(|segmenter| segmenter.bridges(until));
            // Nothing begins in it, so those who follow may go on to its end.
            let end = RunningTime(until.0.saturating_sub(1));
            ensemble.change(|conductor| {
                if is_ahead && conductor.leads(track) {
                    conductor.advance(end, Nanos(0));
                }
            });
            return Ok(());
        }
        road.is_silent = road.is_silent || ensemble.declare_silent(track);
        self.keep_up(road)
    }

    /// Pictures were left out, and what follows refers to them: it is missing up to a key frame. Of sound each frame is for itself.
    pub(super) fn miss_pictures(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        let is_picture = road.format.as_ref().is_some_and(|of| !of.is_audio());
        match &mut road.segmenter {
            Some(segmenter) if is_picture => {
                let steps = segmenter.fall_silent();
                self.carry_out(road, steps, None)
            }
            _ => Ok(()),
        }
    }

    /// Nothing came for as long as others wait: they go on, and what they show has its counterpart here.
    pub(super) fn keep_up(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        self.settle_doubts(road)?;
        let track = road.orders.track;
        if !road.is_silent {
            if !road.orders.ensemble.fall_silent(track) {
                road.has_waited = true;
                return Ok(());
            }
            road.is_silent = true;
            self.leave_out_unless_begun(road);
            // Another track follows the clock now.
            road.followed = None;
            gst::warning!(
                CAT,
                imp = self,
                "Nothing comes at the {} pad any more; the others go on without it",
                road.orders.pad
            );
        }
        let progress = road.orders.ensemble.read(|conductor| conductor.progress());
        if road.format.as_ref().and_then(Format::silence).is_some()
            && let (Some(progress), Some(line)) = (progress, road.sound)
            // Otherwise the leader has jumped, and silence does not lead there.
            && (-LONGEST_BRIDGED_HOLE.0..=LONGEST_FILLED_HOLE.0).contains(&line.hole_before(progress).0)
        {
            return self.fill(road, progress);
        }
        let Some(segmenter) = &mut road.segmenter else {
            return Ok(());
        };
        let steps = road
            .orders
            .ensemble
            .read(|conductor| turn::miss(conductor, segmenter));
        self.carry_out(road, steps, None)
    }

    /// Feeds silence until what comes next is most of a frame away at most; less is jitter.
    fn fill(&self, road: &mut Road, until: RunningTime) -> Result<(), gst::FlowError> {
        let silence = road.format.as_ref().and_then(Format::silence);
        let (Some((bytes, duration)), Some(mut line)) = (silence, road.sound) else {
            return Ok(());
        };
        if line.hole_before(until) > LONGEST_FILLED_HOLE {
            return Ok(());
        }
        while line.hole_before(until).0 > duration.0 * 3 / 4 {
            let next = line.due();
            let silent = Frame {
                decode: next,
                presentation: next,
                duration: Some(duration),
                is_sync: true,
            };
            line = SoundLine::from(next + duration);
            road.sound = Some(line);
            self.advance(road, silent, bytes.to_vec())?;
        }
        Ok(())
    }

    pub(super) fn leads(&self, road: &Road) -> bool {
        let track = road.orders.track;
        road.orders
            .ensemble
            .read(|conductor| conductor.leads(track))
    }
}
