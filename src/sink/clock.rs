//! Reads the clocks: the pipeline's and the host's. The only place in `sink/` that does.

#![expect(clippy::disallowed_methods, reason = "the edge where clocks are read")]

use std::time::SystemTime;

use gst::prelude::*;

use crate::time::{ClockMapping, RunningTime, UnixTime};

/// The host's wall clock.
pub(super) fn unix_now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// How running time becomes Unix time, sampled now.
///
/// Without a running clock (not PLAYING yet, or none set) the first frame counts as captured now.
pub(super) fn mapping(element: &gst::Element, first_frame: RunningTime) -> ClockMapping {
    let running_now = || {
        if element.current_state() != gst::State::Playing {
            return None;
        }
        let base = element.base_time()?;
        let now = element.clock()?.time();
        i64::try_from(now.nseconds())
            .ok()?
            .checked_sub(i64::try_from(base.nseconds()).ok()?)
    };
    // The thread may lose the processor between the two clocks: read one of them on both sides of the other and
    // keep the closest of a few tries.
    let closest = (0..5)
        .filter_map(|_| {
            let before = running_now()?;
            let unix = unix_now();
            let after = running_now()?;
            Some((
                after - before,
                RunningTime(before + (after - before) / 2),
                unix,
            ))
        })
        .min_by_key(|&(uncertainty, ..)| uncertainty);
    match closest {
        Some((_, running, unix)) => ClockMapping::new(running, unix),
        None => ClockMapping::new(first_frame, unix_now()),
    }
}

/// A moment of a segment in running time; negative before its start, `None` outside what the segment can express.
pub(super) fn running_time(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    position: gst::ClockTime,
) -> Option<RunningTime> {
    let signed = segment.to_running_time_full(position)?;
    let nanos = i64::try_from(signed.abs().nseconds()).ok()?;
    Some(RunningTime(if signed.is_negative() {
        -nanos
    } else {
        nanos
    }))
}
