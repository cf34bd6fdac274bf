//! What caps say of a track.
//!
//! Belongs here: reading caps. Does not: what a pad accepts (`pads`).

use gst::prelude::*;

use crate::{
    cmaf::{
        access_unit::{self, Coding},
        sound,
    },
    time::{NANOS_PER_SECOND, Nanos, Timescale},
};

/// What caps say of a track.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Format {
    pub(super) caps: gst::Caps,
    media: Media,
}

#[derive(Clone, Debug, PartialEq)]
enum Media {
    Video {
        /// Where key frames can be seen in the bytes; `None` where the buffer's flag tells the truth (AV1).
        nal_units: Option<(Coding, usize)>,
        /// Numerator and denominator, when the caps promise a constant rate.
        framerate: Option<(i32, i32)>,
    },
    Audio {
        /// Samples a second, the timescale of the track.
        rate: u32,
        /// Samples a frame, where the codec fixes them.
        frame: Option<i64>,
        /// A frame of silence and how many samples it lasts, where there is one that is the same for everybody.
        silence: Option<(&'static [u8], i64)>,
    },
}

impl Format {
    /// Reads caps; says what is wrong with them otherwise.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Result<Self, &'static str> {
        let structure = caps.structure(0).ok_or("the caps are empty")?;
        let media = match structure.name().as_str() {
            "video/x-h264" => Media::video(structure, Some(Coding::H264))?,
            "video/x-h265" => Media::video(structure, Some(Coding::H265))?,
            "video/x-av1" => Media::video(structure, None)?,
            "audio/mpeg" => {
                let Ok(codec_data) = structure.get::<gst::Buffer>("codec_data") else {
                    return Err("the caps have no codec_data");
                };
                // A frame of AAC-LC (ISO/IEC 14496-3 4.5.1). One element without a band in it, then the end.
                let silence: Option<&[u8]> = match structure.get::<i32>("channels") {
                    Ok(1) => Some(&[0, 0, 0, 7]),
                    Ok(2) => Some(&[0x20, 0, 0, 0, 0, 0, 0x0e]),
                    _ => None,
                };
                let rate = structure.get::<i32>("rate").unwrap_or(0).unsigned_abs();
                let is_plain = codec_data
                    .map_readable()
                    .is_ok_and(|config| sound::is_lc_of_1024(&config, rate));
                let silence = silence.filter(|_| is_plain).map(|bytes| (bytes, 1024));
                Media::audio(structure, is_plain.then_some(1024), silence)?
            }
            "audio/x-opus" => {
                // 20 ms of CELT without energy (RFC 6716 3.1). The caps may have the rate of what was encoded.
                let rate = structure.get::<i32>("rate").unwrap_or(48_000);
                let silence: Option<&[u8]> = match structure.get::<i32>("channels") {
                    Ok(1) => Some(&[0xf8, 0xff, 0xfe]),
                    Ok(2) => Some(&[0xfc, 0xff, 0xfe]),
                    _ => None,
                };
                Media::audio(
                    structure,
                    None,
                    silence.map(|bytes| (bytes, i64::from(rate) / 50)),
                )?
            }
            _ => return Err("llhlssink takes H.264, H.265, AV1, AAC and Opus"),
        };
        Ok(Self {
            caps: caps.to_owned(),
            media,
        })
    }

    /// Whether it is audio.
    pub(super) fn is_audio(&self) -> bool {
        matches!(self.media, Media::Audio { .. })
    }

    /// Whether decoding can start at a frame. `is_delta` is the buffer's own word.
    pub(super) fn is_sync(&self, bytes: &[u8], is_delta: bool) -> bool {
        match self.media {
            Media::Video {
                nal_units: Some((coding, length_size)),
                ..
            } => access_unit::is_sync(coding, length_size, bytes),
            Media::Video {
                nal_units: None, ..
            } => !is_delta,
            Media::Audio { .. } => true,
        }
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
        fn name(format: &Format) -> Option<&str> {
            format
                .caps
                .structure(0)
                .map(|structure| structure.name().as_str())
        }
        name(self) == name(other)
            && [
                "codec_data",
                "width",
                "height",
                "pixel-aspect-ratio",
                "rate",
                "channels",
            ]
            .into_iter()
            .all(same)
    }

    /// A timescale in which a frame of a constant rate is a whole number of ticks.
    pub(super) fn timescale(&self) -> Timescale {
        const USUAL: i64 = 90_000;
        let ticks = match self.media {
            Media::Audio { rate, .. } => i64::from(rate),
            Media::Video {
                framerate: Some((numerator, denominator)),
                ..
            } => {
                let (numerator, denominator) = (i64::from(numerator), i64::from(denominator));
                if USUAL * denominator % numerator == 0 || numerator > 1_000_000 {
                    USUAL
                } else {
                    // A multiple of the rate, fine enough for timestamps that are not constant after all.
                    numerator * ((10_000 + numerator - 1) / numerator)
                }
            }
            Media::Video {
                framerate: None, ..
            } => USUAL,
        };
        u32::try_from(ticks)
            .ok()
            .and_then(Timescale::new)
            .expect("between 10,000 and 1,000,000 or so")
    }

    /// How long a frame lasts at a constant rate.
    pub(super) fn frame_duration(&self) -> Option<Nanos> {
        let (samples, rate) = match self.media {
            Media::Audio { rate, frame, .. } => (frame?, i64::from(rate)),
            Media::Video { framerate, .. } => {
                let (numerator, denominator) = framerate?;
                (i64::from(denominator), i64::from(numerator))
            }
        };
        Some(Nanos(NANOS_PER_SECOND * samples / rate))
    }

    /// A frame of silence and how long it lasts, for holes in sound.
    pub(super) fn silence(&self) -> Option<(&'static [u8], Nanos)> {
        let Media::Audio {
            rate,
            silence: Some((bytes, samples)),
            ..
        } = self.media
        else {
            return None;
        };
        Some((bytes, Nanos(NANOS_PER_SECOND * samples / i64::from(rate))))
    }

    /// How long a frame of sound lasts, where there is silence for holes after it.
    pub(super) fn sound_length(&self, bytes: &[u8]) -> Option<Nanos> {
        let (_, silence) = self.silence()?;
        let Media::Audio { frame, .. } = self.media else {
            return None;
        };
        // Where the codec fixes it, it is that of silence.
        Some(match frame {
            Some(_) => silence,
            None => sound::opus_duration(bytes).unwrap_or(silence),
        })
    }

    /// Frames a second as numerator and denominator, for FRAME-RATE.
    pub(super) fn frame_rate(&self) -> Option<(u32, u32)> {
        match self.media {
            Media::Video {
                framerate: Some((numerator, denominator)),
                ..
            } => Some((
                u32::try_from(numerator).ok()?,
                u32::try_from(denominator).ok()?,
            )),
            _ => None,
        }
    }
}

impl Media {
    fn video(structure: &gst::StructureRef, coding: Option<Coding>) -> Result<Self, &'static str> {
        let nal_units = match coding {
            None => None,
            Some(coding) => {
                let codec_data = structure
                    .get::<gst::Buffer>("codec_data")
                    .map_err(|_| "the caps have no codec_data")?;
                let codec_data = codec_data
                    .map_readable()
                    .map_err(|_| "codec_data is unreadable")?;
                let length_size = access_unit::length_size(coding, &codec_data)
                    .ok_or("codec_data is too short to be a decoder configuration record")?;
                Some((coding, length_size))
            }
        };
        let framerate = structure
            .get::<gst::Fraction>("framerate")
            .ok()
            .map(|rate| (rate.numer(), rate.denom()))
            .filter(|&(numerator, denominator)| numerator > 0 && denominator > 0);
        Ok(Self::Video {
            nal_units,
            framerate,
        })
    }

    fn audio(
        structure: &gst::StructureRef,
        frame: Option<i64>,
        silence: Option<(&'static [u8], i64)>,
    ) -> Result<Self, &'static str> {
        let rate = structure
            .get::<i32>("rate")
            .ok()
            .and_then(|rate| u32::try_from(rate).ok())
            .filter(|&rate| rate > 0)
            .ok_or("the caps have no rate")?;
        Ok(Self::Audio {
            rate,
            frame,
            silence,
        })
    }
}
