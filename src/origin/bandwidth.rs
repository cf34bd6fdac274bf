//! The bit rate of a rendition as it was measured, for BANDWIDTH and AVERAGE-BANDWIDTH.
//!
//! Belongs here: what the standard calls the peak and the average segment bit rate. Called by the window, once a segment.
//! Does not: adding up the renditions of a variant (`delivery/multivariant`).

use crate::time::{NANOS_PER_SECOND, Nanos};

/// Bit rates over all segments so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bandwidth {
    peak: u64,
    bytes: u64,
    duration: Nanos,
}

/// What a segment weighs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) bytes: u64,
    pub(super) duration: Nanos,
}

impl Bandwidth {
    /// Takes in the first of `newest_first`, which has just been completed; those after it are its predecessors.
    ///
    /// The peak is the greatest rate of any run of segments that lasts from half a target duration to one and a half
    /// (4.4.6.2). One very short segment makes no peak: it begins with a key frame like any other, and would put
    /// every player on a lower variant for good.
    pub(super) fn record(
        &mut self,
        newest_first: impl Iterator<Item = Weight>,
        target_duration: Option<Nanos>,
    ) {
        let mut run = Weight {
            bytes: 0,
            duration: Nanos(0),
        };
        for (place, weight) in newest_first.enumerate() {
            run.bytes += weight.bytes;
            run.duration = run.duration + weight.duration;
            if place == 0 {
                self.bytes += weight.bytes;
                self.duration = self.duration + weight.duration;
            }
            let Some(target) = target_duration else {
                return;
            };
            let (twice, is_first) = (run.duration.0.saturating_mul(2), place == 0);
            // A segment longer than that stands for itself, so that the peak is never under what was seen.
            if twice > target.0.saturating_mul(3) && !is_first {
                return;
            }
            if twice >= target.0 {
                self.peak = self.peak.max(rate(run.bytes, run.duration));
            }
        }
    }

    /// Bits a second of the heaviest stretch. It never falls, and is never less than the average.
    pub fn peak(&self) -> u64 {
        self.peak.max(self.average())
    }

    /// Bits a second over everything.
    pub fn average(&self) -> u64 {
        rate(self.bytes, self.duration)
    }
}

/// Bits a second, rounded up.
fn rate(bytes: u64, duration: Nanos) -> u64 {
    let nanos = u128::try_from(duration.0).unwrap_or(0);
    let bits = u128::from(bytes) * 8 * NANOS_PER_SECOND as u128;
    if nanos == 0 {
        return 0;
    }
    u64::try_from(bits.div_ceil(nanos)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Option<Nanos> = Some(Nanos::from_seconds(2));

    fn measure(segments: &[(u64, i64)]) -> (u64, u64) {
        let mut bandwidth = Bandwidth::default();
        let weights: Vec<Weight> = segments
            .iter()
            .map(|&(bytes, millis)| Weight {
                bytes,
                duration: Nanos::from_millis(millis),
            })
            .collect();
        for end in 1..=weights.len() {
            bandwidth.record(weights[..end].iter().rev().copied(), TARGET);
        }
        (bandwidth.peak(), bandwidth.average())
    }

    #[test]
    fn the_peak_is_that_of_the_heaviest_segment() {
        assert_eq!(measure(&[]), (0, 0));
        assert_eq!(measure(&[(1000, 2000)]), (4000, 4000));
        assert_eq!(
            measure(&[(1000, 2000), (3000, 2000), (500, 2000)]),
            (12_000, 6000)
        );
        assert_eq!(measure(&[(1, 3000)]), (3, 3), "rounded up");
    }

    #[test]
    fn a_very_short_segment_counts_with_its_neighbours() {
        // Alone it would be 80,000.
        assert_eq!(measure(&[(1000, 2000), (1000, 100)]), (7620, 7620));
        assert_eq!(measure(&[(1000, 2000), (1000, 1000)]), (8000, 5334));
        // Five of 0.2 s are a second.
        assert_eq!(measure(&[(100, 200); 9]).0, 4000);
        // All there is, however short.
        assert_eq!(measure(&[(1000, 100)]), (80_000, 80_000));
    }

    #[test]
    fn a_segment_too_long_counts_alone() {
        assert_eq!(measure(&[(10, 2000), (8000, 4000)]), (16_000, 10_680));
    }
}
