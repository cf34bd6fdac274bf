//! Where a file that is too long for one segment is cut.
//!
//! Belongs here: which parts begin another segment. Does not: what is in a part (`cmaf/fragment`), what is published
//! (`timeline`).

use crate::{
    cmaf::fragment::FileSample,
    time::{MediaTime, Nanos},
};

/// Samples, and how long they last together.
pub(super) type Part = (Vec<FileSample>, MediaTime);

/// How much longer than the target duration a piece may be. Up to half a second is rounded off (RFC 8216bis 4.4.3.1); the other
/// tracks, which are cut where the main one is, need the rest of that.
const MOST_OVER: Nanos = Nanos::from_millis(100);

/// Whether a player can begin with these.
pub(super) fn is_independent(samples: &[FileSample]) -> bool {
    samples.iter().any(|file| file.sample.is_sync)
}

/// The parts that begin another segment, for each track, the main one first: so that no segment is longer than the target
/// duration (rule PL-08). The main track is cut where a picture can be begun with, if there is one in time.
pub(super) fn cuts(tracks: &[&[Part]], target_duration: u32) -> Vec<Vec<usize>> {
    let times = tracks
        .first()
        .map_or_else(Vec::new, |parts| times(parts, target_duration));
    let nearest = |parts: &[Part]| {
        let begins = begins(parts);
        let cut = |time: &Nanos| {
            let parts = begins.iter().enumerate().skip(1);
            let (nth, _) = parts.min_by_key(|(_, begin)| (begin.0 - time.0).abs())?;
            Some(nth)
        };
        let mut cuts: Vec<usize> = times.iter().filter_map(cut).collect();
        cuts.dedup();
        cuts
    };
    tracks.iter().map(|parts| nearest(parts)).collect()
}

/// When the pieces of the main track begin, counted from the beginning of the file; but the first.
fn times(parts: &[Part], target_duration: u32) -> Vec<Nanos> {
    let most = Nanos::from_seconds(i64::from(target_duration)) + MOST_OVER;
    let mut times = Vec::new();
    let mut begin = Nanos(0);
    let mut independent = None;
    for ((samples, length), at) in parts.iter().zip(begins(parts)) {
        if is_independent(samples) {
            independent = Some(at);
        }
        let end = at + length.nanos();
        while (end.0 - begin.0) > most.0 && at > begin {
            begin = independent
                .take()
                .filter(|time| *time > begin)
                .unwrap_or(at);
            times.push(begin);
        }
    }
    times
}

/// When each part begins.
fn begins(parts: &[Part]) -> Vec<Nanos> {
    let mut at = Nanos(0);
    let mut begins = Vec::with_capacity(parts.len());
    for (_, length) in parts {
        begins.push(at);
        at = at + length.nanos();
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cmaf::segmenter::Sample, time::Timescale};

    /// Parts of so many milliseconds, of which these are independent.
    fn track(lengths: &[i64], independent: &[usize]) -> Vec<Part> {
        let part = |(nth, ticks): (usize, &i64)| {
            let sample = Sample {
                duration: *ticks,
                is_sync: independent.contains(&nth),
                composition_offset: 0,
            };
            let samples = vec![FileSample {
                sample,
                bytes: 0..1,
            }];
            let timescale = Timescale::new(1000).unwrap();
            let ticks = *ticks;
            (samples, MediaTime { ticks, timescale })
        };
        lengths.iter().enumerate().map(part).collect()
    }

    #[test]
    fn pieces_begin_with_a_key_frame_where_there_is_one_in_time() {
        let picture = track(&[400; 8], &[0, 2, 4]);
        let sound = track(&[200; 16], &(0..16).collect::<Vec<_>>());
        // The last one has to be cut where it is.
        assert_eq!(
            cuts(&[&picture, &sound], 1),
            [vec![2, 4, 6], vec![4, 8, 12]]
        );
    }

    #[test]
    fn a_little_more_than_the_target_duration_is_not_cut_off() {
        let picture = track(&[350, 350, 350, 350], &[0]);
        assert_eq!(cuts(&[&picture], 1), [vec![3]]);
    }

    #[test]
    fn one_part_cannot_be_cut() {
        assert_eq!(cuts(&[&track(&[5000], &[0])], 1), [[0; 0]]);
    }
}
