//! Reads the clocks: the pipeline's and the host's. The only place in `sink/` that does.

#![expect(clippy::disallowed_methods, reason = "the edge where clocks are read")]

use std::time::{Instant, SystemTime};

use gst::prelude::*;

use crate::time::{ClockMapping, Nanos, RunningTime, UnixTime};

/// The host's wall clock.
pub(super) fn unix_now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// For spans of real time.
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// What PROGRAM-DATE-TIME is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateSource {
    /// A reference timestamp on the frames: NTP or Unix time of capture, from an RTSP camera for instance.
    ReferenceTimestamp,
    /// The pipeline clock, against the host's.
    PipelineClock,
    /// Neither was there: the first frame counts as captured when it came.
    Arrival,
}

impl DateSource {
    /// As the property `pdt-source` says it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ReferenceTimestamp => "reference-timestamp",
            Self::PipelineClock => "pipeline-clock",
            Self::Arrival => "arrival",
        }
    }
}

/// When a frame was captured, if it carries a reference timestamp that says so.
pub(super) fn reference(buffer: &gst::BufferRef) -> Option<UnixTime> {
    /// From 1900, where NTP counts from, to 1970 (RFC 5905 6).
    const NTP_TO_UNIX: Nanos = Nanos::from_seconds(-2_208_988_800);
    buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find_map(|meta| {
            let shift = match meta.reference().structure(0)?.name().as_str() {
                "timestamp/x-ntp" => NTP_TO_UNIX,
                "timestamp/x-unix" => Nanos(0),
                _ => return None,
            };
            let nanos = i64::try_from(meta.timestamp().nseconds()).ok()?;
            Some(UnixTime(nanos) + shift)
        })
}

/// How running time becomes Unix time, sampled now. `None` without a running clock: not PLAYING yet, or none set.
pub(super) fn sample(element: &gst::Element) -> Option<ClockMapping> {
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
    closest.map(|(_, running, unix)| ClockMapping::new(running, unix))
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
