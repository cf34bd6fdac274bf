//! One run of mp4mux per part.
//!
//! Belongs here: starting it, feeding it, waiting for what it wrote, resetting it. Does not: which frames make a part (`road`).
//!
//! Left running, mp4mux holds a sample until its successor arrives and a fragment until the one after that. Ending its run
//! with each part (end of stream, READY, PAUSED) gives the part out with its last frame. It runs only then, with all frames
//! of the part at once: fed one by one, its thread would wake for each, only to go back to sleep.

use std::time::Duration;

use gst::{prelude::*, subclass::prelude::*};

use super::{
    feeder::imp::{Feeder, Line},
    road::Road,
};
use crate::time::Nanos;

/// How long the muxer may take to end a run. It took 0.1 ms where this was measured; when it takes this long it hangs.
const MUXER_DEADLINE: Duration = Duration::from_secs(5);

/// Where a run's decode time starts, so that no presentation time inside it is negative.
pub(super) const RUN_START: Nanos = Nanos::from_seconds(3600);

impl Feeder {
    fn start_run(&self, road: &Road, line: &Line) -> Result<(), gst::FlowError> {
        let (Some(format), Some(timescale)) = (&road.format, road.timescale) else {
            return Err(gst::FlowError::NotNegotiated);
        };
        if let Some(pad) = self.srcpad.peer() {
            pad.set_property("trak-timescale", timescale.ticks_per_second());
        }
        if line.mux.set_state(gst::State::Paused).is_err() {
            gst::element_imp_error!(self, gst::CoreError::StateChange, ("mp4mux does not start"));
            return Err(gst::FlowError::Error);
        }
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

    /// One run of the muxer over the frames of the open part. Answers what it wrote.
    pub(super) fn mux(&self, road: &mut Road, line: &Line) -> Result<Vec<u8>, gst::FlowError> {
        let runs = line.collector.runs().ok_or(gst::FlowError::Flushing)?;
        let output = line.mux.static_pad("src").ok_or(gst::FlowError::Error)?;
        // Keeps the muxer's thread off until it has everything: it would go to sleep and be woken for each frame.
        let not_yet = output.stream_lock();
        self.start_run(road, line)?;
        for frame in road.frames.drain(..) {
            self.srcpad.push(frame)?;
        }
        self.srcpad.push_event(gst::event::Eos::new());
        drop(not_yet);
        runs.recv_timeout(MUXER_DEADLINE).map_err(|error| {
            if error.is_timeout() {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Mux,
                    (
                        "mp4mux did not finish a part within {} s",
                        MUXER_DEADLINE.as_secs()
                    )
                );
                gst::FlowError::Error
            } else {
                gst::FlowError::Flushing
            }
        })
    }

    /// Readies the muxer for the next run. A flush does not reset it; READY does.
    pub(super) fn reset(&self, line: &Line) -> Result<(), gst::FlowError> {
        line.mux
            .set_state(gst::State::Ready)
            .map(|_| ())
            .map_err(|_| {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::StateChange,
                    ("mp4mux does not stop")
                );
                gst::FlowError::Error
            })
    }
}
