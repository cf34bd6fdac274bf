//! What caps say of a track.
//!
//! Belongs here: reading caps. Does not: what a pad accepts (`pads`).

use gst::prelude::*;

use crate::{
    cmaf::access_unit::{self, Coding},
    time::{NANOS_PER_SECOND, Nanos, Timescale},
};

/// What caps say of a track.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Format {
    pub(super) caps: gst::Caps,
    pub(super) coding: Coding,
    pub(super) length_size: usize,
    /// Numerator and denominator, when the caps promise a constant rate.
    pub(super) framerate: Option<(i32, i32)>,
}

impl Format {
    /// Reads caps; says what is wrong with them otherwise.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Result<Self, &'static str> {
        let structure = caps.structure(0).ok_or("the caps are empty")?;
        let coding = match structure.name().as_str() {
            "video/x-h264" => Coding::H264,
            "video/x-h265" => Coding::H265,
            _ => return Err("the caps are neither H.264 nor H.265"),
        };
        let codec_data = structure
            .get::<gst::Buffer>("codec_data")
            .map_err(|_| "the caps have no codec_data")?;
        let codec_data = codec_data
            .map_readable()
            .map_err(|_| "codec_data is unreadable")?;
        let length_size = access_unit::length_size(coding, &codec_data)
            .ok_or("codec_data is too short to be a decoder configuration record")?;
        let framerate = structure
            .get::<gst::Fraction>("framerate")
            .ok()
            .map(|rate| (rate.numer(), rate.denom()))
            .filter(|&(numerator, denominator)| numerator > 0 && denominator > 0);
        Ok(Self {
            caps: caps.to_owned(),
            coding,
            length_size,
            framerate,
        })
    }

    /// Whether the muxer needs another init section. Level of detail: what `moov` is made of.
    pub(super) fn needs_same_init(&self, other: &Self) -> bool {
        let same = |field: &str| {
            let value = |caps: &gst::Caps| {
                caps.structure(0).and_then(|structure| {
                    structure
                        .value(field)
                        .ok()
                        .map(|value| value.to_send_value())
                })
            };
            match (value(&self.caps), value(&other.caps)) {
                (Some(mine), Some(theirs)) => {
                    mine.compare(&theirs) == Some(std::cmp::Ordering::Equal)
                }
                (None, None) => true,
                _ => false,
            }
        };
        self.coding == other.coding
            && ["codec_data", "width", "height", "pixel-aspect-ratio"]
                .into_iter()
                .all(same)
    }

    /// A timescale in which a frame of a constant rate is a whole number of ticks.
    pub(super) fn timescale(&self) -> Timescale {
        const USUAL: i64 = 90_000;
        let ticks = match self.framerate {
            Some((numerator, denominator)) => {
                let (numerator, denominator) = (i64::from(numerator), i64::from(denominator));
                if USUAL * denominator % numerator == 0 || numerator > 1_000_000 {
                    USUAL
                } else {
                    // A multiple of the rate, fine enough for timestamps that are not constant after all.
                    numerator * ((10_000 + numerator - 1) / numerator)
                }
            }
            None => USUAL,
        };
        u32::try_from(ticks)
            .ok()
            .and_then(Timescale::new)
            .expect("between 10,000 and 1,000,000 or so")
    }

    /// How long a frame lasts at a constant rate.
    pub(super) fn frame_duration(&self) -> Option<Nanos> {
        let (numerator, denominator) = self.framerate?;
        Some(Nanos(
            NANOS_PER_SECOND * i64::from(denominator) / i64::from(numerator),
        ))
    }
}
