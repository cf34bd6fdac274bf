//! What a file has of one track, made fit to stand in a line.
//!
//! Belongs here: lengths the writer did not say, small holes that are closed, how long parts may be. Does not: where a file goes
//! on (`timeline`), how its samples are read (`cmaf/fragment`).

use crate::{
    cmaf::fragment::{Chunk, TrackHeader},
    time::{MediaTime, Nanos},
};

/// The longest hole between two files that is bridged by a longer sample, as in the other way in.
pub(super) const LONGEST_BRIDGED_HOLE: Nanos = Nanos::from_seconds(1);

/// How far decode times may be from where they are expected: writers round.
pub(super) const TOLERANCE: Nanos = Nanos::from_millis(100);

/// PART-TARGET: the longest chunk where a segment has several, else a whole segment.
pub(super) fn part_target(
    chunks: &[Chunk],
    header: &TrackHeader,
    target_duration: u32,
) -> MediaTime {
    let whole = Nanos::from_seconds(i64::from(target_duration));
    let segment = header.timescale.ticks(whole).max(duration_of(chunks));
    let longest = chunks.iter().map(Chunk::duration).max().unwrap_or(segment);
    MediaTime {
        ticks: if chunks.len() > 1 {
            longest.min(segment)
        } else {
            segment
        },
        timescale: header.timescale,
    }
}

/// Gives every sample a length, and closes small holes between the chunks of a file.
pub(super) fn settle(chunks: &mut [Chunk], header: &TrackHeader) {
    let mut usual = 1;
    for file in chunks.iter_mut().flat_map(|chunk| &mut chunk.samples) {
        if file.sample.duration > 0 {
            usual = file.sample.duration;
        } else {
            // Some writers do not know how long the last sample lasts.
            file.sample.duration = usual;
        }
    }
    for nth in 1..chunks.len() {
        let (before, after) = chunks.split_at_mut(nth);
        let (Some(last), Some(next)) = (before.last(), after.first().and_then(|next| next.decode))
        else {
            continue;
        };
        if let Some(decode) = last.decode {
            bridge(after, next - (decode + last.duration()), header);
        }
    }
}

/// Lets the first sample begin `ahead` ticks earlier than the writer has it; it is shown when it was.
pub(super) fn bridge(chunks: &mut [Chunk], ahead: i64, header: &TrackHeader) {
    let timescale = header.timescale;
    let is_small =
        (-timescale.ticks(TOLERANCE)..=timescale.ticks(LONGEST_BRIDGED_HOLE)).contains(&ahead);
    let Some(chunk) = chunks.first_mut().filter(|_| is_small) else {
        return;
    };
    let Some(first) = chunk.samples.first_mut() else {
        return;
    };
    if first.sample.duration + ahead > 0 {
        first.sample.duration += ahead;
        // Sound is played as it is decoded.
        if !header.is_audio() {
            first.sample.composition_offset += ahead;
        }
        if let Some(decode) = &mut chunk.decode {
            *decode -= ahead;
        }
    }
}

/// Decode time of the first sample by the writer's count, in ticks.
pub(super) fn first_of(chunks: &[Chunk]) -> i64 {
    chunks.first().and_then(|chunk| chunk.decode).unwrap_or(0)
}

/// How long all of them last, in ticks.
pub(super) fn duration_of(chunks: &[Chunk]) -> i64 {
    chunks.iter().map(Chunk::duration).sum()
}
