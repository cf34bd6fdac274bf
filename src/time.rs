//! The three times of a live stream, each with a type of its own.
//!
//! Belongs here: what a number of nanoseconds or ticks counts from, and how one time becomes another.
//! Does not: reading a clock. Only `sink/` and `http/` do that; everything between is told what time it is.

use std::{fmt, ops};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A moment in GStreamer running time, in nanoseconds since the pipeline's base time.
///
/// Signed: the decode time of a B-frame stream starts before zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunningTime(pub i64);

impl ops::Add<Nanos> for RunningTime {
    type Output = Self;

    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl ops::Sub for RunningTime {
    type Output = Nanos;

    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment on the host's wall clock, in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// Reads the moment off a system time; moments before 1970 become negative.
    pub fn from_system(time: std::time::SystemTime) -> Self {
        let nanos = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
        };
        Self(nanos)
    }
}

impl ops::Add<Nanos> for UnixTime {
    type Output = Self;

    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl ops::Sub for UnixTime {
    type Output = Nanos;

    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A span of time in nanoseconds, between two moments of one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    /// A span of whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// A span of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * NANOS_PER_SECOND)
    }

    /// The span in seconds.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / NANOS_PER_SECOND as f64
    }
}

impl ops::Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// How many ticks of media time make a second; `mdhd.timescale` of a track. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timescale(u32);

impl Timescale {
    /// `None` for zero, which no track can have.
    pub const fn new(ticks_per_second: u32) -> Option<Self> {
        if ticks_per_second == 0 {
            None
        } else {
            Some(Self(ticks_per_second))
        }
    }

    /// Ticks per second.
    pub const fn ticks_per_second(self) -> u32 {
        self.0
    }

    /// The nearest number of ticks, halves away from zero.
    pub fn ticks(self, span: Nanos) -> i64 {
        divide_to_nearest(
            i128::from(span.0) * i128::from(self.0),
            i128::from(NANOS_PER_SECOND),
        )
    }

    /// The nearest number of nanoseconds, halves away from zero.
    pub fn nanos(self, ticks: i64) -> Nanos {
        Nanos(divide_to_nearest(
            i128::from(ticks) * i128::from(NANOS_PER_SECOND),
            i128::from(self.0),
        ))
    }
}

fn divide_to_nearest(dividend: i128, divisor: i128) -> i64 {
    let half = divisor / 2;
    let quotient = if dividend >= 0 {
        (dividend + half) / divisor
    } else {
        (dividend - half) / divisor
    };
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

/// A span of media time: a whole number of ticks of one track's timescale.
///
/// Sums stay exact, which is why playlists are written from these and not from nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MediaTime {
    /// The length in ticks.
    pub ticks: i64,
    /// What a tick is.
    pub timescale: Timescale,
}

impl MediaTime {
    /// No time at all.
    pub const fn zero(timescale: Timescale) -> Self {
        Self {
            ticks: 0,
            timescale,
        }
    }

    /// The span in nanoseconds, to nearest.
    pub fn nanos(self) -> Nanos {
        self.timescale.nanos(self.ticks)
    }

    /// The span in seconds.
    pub fn as_seconds(self) -> f64 {
        self.ticks as f64 / f64::from(self.timescale.0)
    }

    /// The span in whole units of `1/units_per_second` s, to nearest.
    pub fn to_units_nearest(self, units_per_second: u32) -> i64 {
        divide_to_nearest(
            i128::from(self.ticks) * i128::from(units_per_second),
            i128::from(self.timescale.0),
        )
    }

    /// The span in whole units of `1/units_per_second` s, rounded down.
    pub fn to_units_floor(self, units_per_second: u32) -> i64 {
        let dividend = i128::from(self.ticks) * i128::from(units_per_second);
        let floor = dividend.div_euclid(i128::from(self.timescale.0));
        i64::try_from(floor).unwrap_or(i64::MAX)
    }

    /// The span in whole units of `1/units_per_second` s, rounded up.
    pub fn to_units_ceil(self, units_per_second: u32) -> i64 {
        let dividend = i128::from(self.ticks) * i128::from(units_per_second);
        let divisor = i128::from(self.timescale.0);
        let ceil = dividend.div_euclid(divisor) + i128::from(dividend.rem_euclid(divisor) != 0);
        i64::try_from(ceil).unwrap_or(i64::MAX)
    }
}

/// Both sides must be of one track: spans of different timescales do not add.
impl ops::AddAssign for MediaTime {
    fn add_assign(&mut self, other: Self) {
        debug_assert_eq!(self.timescale, other.timescale, "spans of two tracks");
        self.ticks += other.ticks;
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} ({:.6} s)",
            self.ticks,
            self.timescale.0,
            self.as_seconds()
        )
    }
}

/// How running time becomes Unix time: one fixed offset for the life of a stream.
///
/// Stamping each segment with the wall clock would give PROGRAM-DATE-TIME the jitter of the machine (rule PL-34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMapping {
    offset: i64,
}

impl ClockMapping {
    /// `running` and `unix` are the same moment, read off two clocks.
    pub fn new(running: RunningTime, unix: UnixTime) -> Self {
        Self {
            offset: unix.0.saturating_sub(running.0),
        }
    }

    /// How far ahead of `other` its dates are.
    pub fn ahead_of(self, other: Self) -> Nanos {
        Nanos(self.offset.saturating_sub(other.offset))
    }

    /// This mapping with later dates, or earlier ones for a negative span.
    pub fn shifted(self, span: Nanos) -> Self {
        Self {
            offset: self.offset.saturating_add(span.0),
        }
    }

    /// This mapping moved towards `target`, by `at_most` (not negative).
    pub fn aimed_at(self, target: Self, at_most: Nanos) -> Self {
        let step = target.ahead_of(self).0.clamp(-at_most.0, at_most.0);
        Self {
            offset: self.offset.saturating_add(step),
        }
    }

    /// The wall clock's name for a moment of running time.
    pub fn unix(self, running: RunningTime) -> UnixTime {
        UnixTime(running.0.saturating_add(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timescale(ticks: u32) -> Timescale {
        Timescale::new(ticks).unwrap()
    }

    #[test]
    fn ntsc_frame_times_become_whole_multiples_of_1001() {
        let scale = timescale(30_000);
        for frame in 0..100_000_i64 {
            // What videotestsrc writes: floor(frame * 1001 / 30000 s).
            let nanos = Nanos(frame * 1001 * NANOS_PER_SECOND / 30_000);
            assert_eq!(scale.ticks(nanos), frame * 1001);
        }
    }

    #[test]
    fn ticks_round_to_nearest_on_both_sides_of_zero() {
        let scale = timescale(1000);
        assert_eq!(scale.ticks(Nanos(499_999)), 0);
        assert_eq!(scale.ticks(Nanos(500_000)), 1);
        assert_eq!(scale.ticks(Nanos(-499_999)), 0);
        assert_eq!(scale.ticks(Nanos(-500_000)), -1);
    }

    #[test]
    fn units_round_up_only_when_something_is_left() {
        let third = MediaTime {
            ticks: 1001,
            timescale: timescale(30_000),
        };
        assert_eq!(third.to_units_nearest(100_000), 3337);
        assert_eq!(third.to_units_ceil(100_000), 3337);
        assert_eq!(third.to_units_nearest(10_000), 334);
        let exact = MediaTime {
            ticks: 6000,
            timescale: timescale(30_000),
        };
        assert_eq!(exact.to_units_ceil(100_000), 20_000);
    }

    #[test]
    fn clock_mapping_keeps_distances() {
        let mapping = ClockMapping::new(RunningTime(5), UnixTime(1_000));
        assert_eq!(mapping.unix(RunningTime(5)), UnixTime(1_000));
        assert_eq!(mapping.unix(RunningTime(-5)), UnixTime(990));
    }

    #[test]
    fn a_clock_mapping_follows_another_by_small_steps() {
        let mapping = ClockMapping::new(RunningTime(0), UnixTime(1_000));
        let target = ClockMapping::new(RunningTime(0), UnixTime(1_025));
        assert_eq!(target.ahead_of(mapping), Nanos(25));
        let nearer = mapping.aimed_at(target, Nanos(10));
        assert_eq!(nearer.unix(RunningTime(0)), UnixTime(1_010));
        let there = nearer
            .aimed_at(target, Nanos(10))
            .aimed_at(target, Nanos(10));
        assert_eq!(there, target);
        assert_eq!(
            there.aimed_at(mapping, Nanos(10)).unix(RunningTime(0)),
            UnixTime(1_015)
        );
    }
}
