//! The Unix time of what a track publishes.
//!
//! Belongs here: which clock dates are taken from, and how they follow it. Does not: reading clocks (`clock`), keeping the
//! mapping all tracks share (`ensemble`).

use gst::{prelude::*, subclass::prelude::*};

use super::{
    CAT,
    clock::{self, DateSource},
    feeder::imp::Feeder,
    road::Road,
};
use crate::time::{ClockMapping, Nanos, RunningTime};

/// How far dates may step back over a discontinuity: the draft tolerates less than a second (6.2.1).
const LONGEST_DATE_OVERLAP: Nanos = Nanos::from_millis(900);

/// How much dates may move from segment to segment: what players do not notice, and a clock 1000 ppm off needs.
const MOST_DRIFT_A_SEGMENT: Nanos = Nanos::from_millis(1);

impl Feeder {
    /// How running time becomes Unix time on the line with this zero: the same for all tracks. The clocks are read again on
    /// each new line, whose base time may be another one (after a seek); dates do not go back over a jump (rule PL-33).
    pub(super) fn mapping(
        &self,
        road: &Road,
        zero: RunningTime,
        date: RunningTime,
        captured: RunningTime,
    ) -> ClockMapping {
        let ensemble = &road.orders.ensemble;
        if let Some(mapping) = ensemble.mapping(zero) {
            return mapping;
        }
        let reference = road.reference.or_else(|| ensemble.reference());
        let (sampled, from) = match (reference, clock::sample(self.obj().upcast_ref())) {
            (Some(reference), _) => (reference, DateSource::ReferenceTimestamp),
            (None, Some(sampled)) => (sampled, DateSource::PipelineClock),
            (None, None) => (
                ClockMapping::new(captured, clock::unix_now()),
                DateSource::Arrival,
            ),
        };
        let sampled = match road.dated_until {
            Some(until) if until - sampled.unix(date) > LONGEST_DATE_OVERLAP => {
                ClockMapping::new(date, until.max(clock::unix_now()))
            }
            _ => sampled,
        };
        ensemble.fix_mapping(zero, sampled, from)
    }

    /// Once a segment the dates follow the clock they are taken from, a millisecond at most. What is further off is no
    /// drift: the pipeline was paused, or somebody set the clock.
    pub(super) fn follow_clock(&self, road: &mut Road) {
        let target = road
            .reference
            .or_else(|| clock::sample(self.obj().upcast_ref()));
        let Some(target) = target else { return };
        // What counts is how the clock moved since, not where the dates are: after a jump they may be ahead on purpose.
        let Some(followed) = road.followed else {
            road.followed = Some(target);
            return;
        };
        let off = target.ahead_of(followed);
        if off.0.abs() > LONGEST_DATE_OVERLAP.0 {
            gst::info!(CAT, imp = self, "Dates are off by {} s", off.as_seconds());
            road.followed = None;
            road.has_wrong_dates = true;
            return;
        }
        let next = followed.aimed_at(target, MOST_DRIFT_A_SEGMENT);
        road.followed = Some(next);
        road.orders.ensemble.shift_dates(next.ahead_of(followed));
    }
}
