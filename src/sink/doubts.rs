//! A frame far ahead of the one before it: time has jumped, or one timestamp is wrong.
//!
//! Belongs here: telling the two apart, which takes the next frame. Does not: what becomes of a jump (`cmaf/segmenter`).
//!
//! A single wrong one would cost a leader two discontinuities, and a follower all the time until the leader has come as far.

use super::{
    CAT,
    feeder::imp::Feeder,
    road::{Road, count},
};
use crate::cmaf::segmenter::Frame;
use gst::subclass::prelude::*;

/// A frame that waits for the next one to bear it out.
pub(super) struct Doubted {
    frame: Frame,
    bytes: Vec<u8>,
}

impl Feeder {
    /// Takes a frame, or keeps it until the next one goes on from it.
    pub(super) fn take_or_doubt(
        &self,
        road: &mut Road,
        frame: Frame,
        bytes: Vec<u8>,
    ) -> Result<(), gst::FlowError> {
        if let Some(before) = road.doubted.take() {
            let segmenter = road.segmenter.as_ref();
            let goes_on_without = segmenter.is_some_and(|of| of.bridges(frame.decode));
            if goes_on_without && frame.decode < before.frame.decode {
                gst::warning!(
                    CAT,
                    imp = self,
                    "A frame at {:?} is left out: time goes on at {:?} on the {} pad",
                    before.frame.decode,
                    frame.decode,
                    road.pad()
                );
                count(&self.counts.backwards);
            } else {
                self.take_in(road, before.frame, before.bytes)?;
            }
        }
        let segmenter = road.segmenter.as_ref();
        if segmenter.is_some_and(|of| of.jumps_ahead(frame.decode)) {
            road.doubted = Some(Doubted { frame, bytes });
            return Ok(());
        }
        self.take_in(road, frame, bytes)
    }

    /// No frame comes that could bear the last one out.
    pub(super) fn settle_doubts(&self, road: &mut Road) -> Result<(), gst::FlowError> {
        match road.doubted.take() {
            Some(Doubted { frame, bytes }) => self.take_in(road, frame, bytes),
            None => Ok(()),
        }
    }
}
