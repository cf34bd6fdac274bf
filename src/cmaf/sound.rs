//! How long frames of sound last, and when the next one is due.
//!
//! Belongs here: what the codecs say of a frame's length, a line of frames whose timestamps wobble. Does not: what is put where
//! one is missing (`sink/silence`).

use crate::time::{Nanos, RunningTime};

/// A frame that is further from where it is due than this is behind a hole or a jump, and the line begins anew with it; in frames.
const MOST_WOBBLE: i64 = 2;

/// How fast the line follows timestamps that run ahead or behind: this part of what they are off with each frame.
const FOLLOWING: i64 = 16;

/// A step back this far is a jump; less is a frame out of order.
const SHORTEST_JUMP_BACK: Nanos = Nanos::from_seconds(1);

/// How long an Opus packet lasts, as its first two bytes say (RFC 6716 3.1, 3.2).
pub fn opus_duration(packet: &[u8]) -> Option<Nanos> {
    let &head = packet.first()?;
    let config = usize::from(head >> 3);
    let micros = match config {
        0..12 => [10_000, 20_000, 40_000, 60_000][config % 4],
        12..16 => [10_000, 20_000][config % 2],
        _ => [2_500, 5_000, 10_000, 20_000][config % 4],
    };
    let frames = match head & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(packet.get(1)? & 0x3f),
    };
    Some(Nanos(micros * 1000 * frames)).filter(|length| length.0 > 0)
}

/// Whether an AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) is plain AAC-LC of 1024 samples a frame at `rate`: no SBR, which has
/// twice as many, told or not.
pub fn is_lc_of_1024(config: &[u8], rate: u32) -> bool {
    const LC: u8 = 2;
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let &[first, second, ..] = config else {
        return false;
    };
    let index = usize::from((first & 7) << 1 | second >> 7);
    let is_short = second >> 2 & 1 == 1;
    first >> 3 == LC && RATES.get(index) == Some(&rate) && !is_short
}

/// Frames of sound one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundLine {
    /// Where the newest frame ends, and the next one is due.
    due: RunningTime,
}

impl SoundLine {
    /// One that begins with what comes at `moment`.
    pub fn from(moment: RunningTime) -> Self {
        Self { due: moment }
    }

    /// When the next frame is due.
    pub fn due(&self) -> RunningTime {
        self.due
    }

    /// How long nothing is there before a frame that begins at `start`; negative where it is early.
    pub fn hole_before(&self, start: RunningTime) -> Nanos {
        start - self.due
    }

    /// The line behind a frame that lasts `length`. Timestamps that come in pairs, or wobble as they arrive, move it little.
    pub fn after(line: Option<Self>, start: RunningTime, length: Nanos) -> Self {
        let anew = Self {
            due: start + length,
        };
        let Some(line) = line else { return anew };
        let off = line.hole_before(start);
        if off.0.abs() <= MOST_WOBBLE * length.0 {
            Self {
                due: line.due + length + Nanos(off.0 / FOLLOWING),
            }
        } else if (-SHORTEST_JUMP_BACK.0..0).contains(&off.0) {
            line
        } else {
            anew
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Nanos = Nanos(21_333_333);

    fn at(micros: i64) -> RunningTime {
        RunningTime(micros * 1000)
    }

    /// The largest hole before any of the frames.
    fn widest(starts: impl Iterator<Item = i64>) -> Nanos {
        let mut line = None;
        let mut widest = Nanos(i64::MIN);
        for start in starts.map(at) {
            if let Some(before) = line {
                widest = widest.max(SoundLine::hole_before(&before, start));
            }
            line = Some(SoundLine::after(line, start, FRAME));
        }
        widest
    }

    #[test]
    fn packets_of_opus_say_how_long_they_last() {
        let millis = |packet: &[u8]| opus_duration(packet).map(|length| length.0 / 1_000_000);
        assert_eq!(millis(&[0xf8, 0xff, 0xfe]), Some(20));
        // 60 ms of SILK; 20 ms of CELT three times; 10 ms of hybrid twice.
        assert_eq!(millis(&[3 << 3]), Some(60));
        assert_eq!(millis(&[31 << 3 | 3, 3]), Some(60));
        assert_eq!(millis(&[12 << 3 | 1]), Some(20));
        assert_eq!(opus_duration(&[16 << 3]), Some(Nanos(2_500_000)));
        for broken in [&[][..], &[31 << 3 | 3], &[31 << 3 | 3, 0]] {
            assert_eq!(opus_duration(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn plain_aac_is_told_from_what_has_longer_frames() {
        // 48 kHz stereo.
        assert!(is_lc_of_1024(&[0x11, 0x90], 48_000));
        assert!(is_lc_of_1024(&[0x11, 0x90, 0x56, 0xe5, 0], 48_000));
        // SBR that is not told: half the rate. And told: another object type.
        assert!(!is_lc_of_1024(&[0x13, 0x10], 48_000));
        assert!(!is_lc_of_1024(&[0x2b, 0x11, 0x88], 48_000));
        // 960 samples.
        assert!(!is_lc_of_1024(&[0x11, 0x94], 48_000));
        assert!(!is_lc_of_1024(&[0x11], 48_000));
    }

    #[test]
    fn wobbling_timestamps_are_no_holes() {
        let steady = |nth: i64| nth * 21_333;
        // In pairs, as packets bring them.
        let pairs = widest((0..500).map(|nth| steady(nth / 2 * 2) + nth % 2 * 1000));
        assert!(pairs < Nanos(FRAME.0 * 3 / 4), "{pairs:?}");
        let late = |nth: i64| if nth % 7 == 3 { 12_000 } else { 0 };
        let wobble = widest((0..500).map(|nth| steady(nth) + late(nth)));
        assert!(wobble < Nanos(FRAME.0 * 3 / 4), "{wobble:?}");
        // A clock that is a thousandth fast.
        let drift = widest((0..5000).map(|nth| steady(nth) + nth * 21));
        assert!(drift < Nanos(1_000_000), "{drift:?}");
    }

    #[test]
    fn a_lost_frame_is_a_hole_and_time_that_jumps_begins_anew() {
        let line = SoundLine::after(None, at(0), FRAME);
        let hole = line.hole_before(at(42_666));
        assert!((hole.0 - FRAME.0).abs() < 10_000, "{hole:?}");
        for jump in [5_000_000, -5_000_000] {
            let after = SoundLine::after(Some(line), at(jump), FRAME);
            assert_eq!(after.due(), at(jump) + FRAME);
        }
        assert_eq!(SoundLine::after(Some(line), at(-900_000), FRAME), line);
    }
}
