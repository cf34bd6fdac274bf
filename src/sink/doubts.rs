//! A frame far ahead of the one before it: time has jumped, or one timestamp is wrong.
//!
//! Belongs here: telling the two apart, which takes the next frame. Does not: what becomes of a jump (`cmaf/segmenter`).
//!
//! A single wrong one would cost a leader two discontinuities, and a follower all the time until the leader has come as far.

use super::{
    CAT,
    feeder::imp::Feeder,
    road::{Access, Road},
};
use crate::cmaf::segmenter::Frame;
use gst::subclass::prelude::*;

/// A frame as it came, and what its timestamps say.
pub(super) struct Arrival {
    pub(super) frame: Frame,
    pub(super) access: Access,
}

impl Feeder {
    /// Takes a frame, or keeps it until the next one goes on from it.
    pub(super) fn take_or_doubt(
        &self,
        road: &mut Road,
        arrival: Arrival,
    ) -> Result<(), gst::FlowError> {
        let decode = arrival.frame.decode;
        if let Some(mut before) = road.doubted.take() {
            let segmenter = road.segmenter.as_ref();
            let goes_on_without = segmenter.is_some_and(|of| of.bridges(decode));
            if goes_on_without
                && decode < before.frame.decode
                && let Some(between) = segmenter.and_then(|of| of.midway_to(decode))
            {
                gst::warning!(
                    CAT,
                    imp = self,
                    "A frame at {:?} is taken for one at {between:?}: time goes on at {decode:?} on the {} pad",
                    before.frame.decode,
                    road.pad()
                );
                // What follows may refer to it.
                let offset = before.frame.presentation - before.frame.decode;
                before.frame.decode = between;
                before.frame.presentation = between + offset;
                before.access.captured = None;
            }
            self.take_in(road, before)?;
        }
        let segmenter = road.segmenter.as_ref();
        if segmenter.is_some_and(|of| of.jumps_ahead(decode)) {
            road.doubted = Some(arrival);
            return Ok(());
        }
        self.take_in(road, arrival)
    }

    /// No frame comes that could bear the last one out.
    pub(super) fn settle_doubts(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        match road.doubted.take() {
            Some(arrival) => self.take_in(road, arrival),
            None => Ok(()),
        }
    }
}
