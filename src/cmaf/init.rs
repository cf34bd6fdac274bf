//! Makes an initialization section of what the muxer wrote: `ftyp` of CMAF, `moov` as it is but for two mistakes.
//!
//! Belongs here: `ftyp` and what a playlist says of a track. Does not: `moof` (`moof`).

use bytes::Bytes;
use mp4_atom::{Codec, Decode, Encode, FourCC, Ftyp, Moov};

use super::{
    boxes::{BoxError, check_counts, top_boxes},
    codec::{self, Description},
};

/// `ftyp` and `moov` of one track, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// The boxes.
    pub bytes: Bytes,
    /// What a playlist says of it.
    pub description: Description,
}

/// The init section at the head of one run of the muxer.
pub fn init(muxed: &[u8]) -> Result<Init, BoxError> {
    let found = top_boxes(muxed)?;
    let moov_box = found
        .iter()
        .find(|found| found.kind == FourCC::new(b"moov"))
        .ok_or(BoxError::Missing("moov"))?;
    let media = found
        .iter()
        .find(|found| found.kind == FourCC::new(b"mdat"))
        .map_or(&[][..], |found| &muxed[found.body.clone()]);
    let moov_bytes = correct_av1c(muxed[moov_box.whole.clone()].to_vec(), media);
    check_counts(&moov_bytes)?;
    let moov = Moov::decode(&mut moov_bytes.as_slice()).map_err(|error| BoxError::Unreadable {
        name: "moov",
        reason: error.to_string(),
    })?;
    if moov.mvex.is_none() {
        return Err(BoxError::Missing("mvex"));
    }
    let entry = moov
        .trak
        .first()
        .and_then(|track| track.mdia.minf.stbl.stsd.codecs.first())
        .ok_or(BoxError::Missing("stsd entry"))?;
    let description = codec::describe(entry).ok_or(BoxError::Missing("known stsd entry"))?;

    let mut bytes = Vec::with_capacity(64 + moov_bytes.len());
    brands()
        .encode(&mut bytes)
        .map_err(|error| BoxError::Unreadable {
            name: "ftyp",
            reason: error.to_string(),
        })?;
    // Kept byte for byte: re-encoding would move mvex before the tracks and widen mvhd.
    let moov_start = bytes.len();
    bytes.extend_from_slice(&moov_bytes);
    if matches!(entry, Codec::Opus(_)) {
        correct_dops(&mut bytes[moov_start..]);
    }
    Ok(Init {
        bytes: Bytes::from(bytes),
        description,
    })
}

/// Writes `av1C` from the sequence header in the first sample: mp4mux 1.22 leaves it empty, 1.26 its last byte to chance.
fn correct_av1c(mut moov: Vec<u8>, media: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"av1C";
    // What lies between the begin of a box and the first one in it: names and sizes, entry counts, the sample entry.
    const WAY: [(&[u8; 4], usize); 7] = [
        (b"moov", 8),
        (b"trak", 8),
        (b"mdia", 8),
        (b"minf", 8),
        (b"stbl", 8),
        (b"stsd", 16),
        (b"av01", 86),
    ];
    let mut parents = Vec::new();
    let mut from = 0;
    for (name, head) in WAY {
        let Some(at) = child(&moov, from, name) else {
            return moov;
        };
        parents.push(at);
        from = at + head;
    }
    let Some(at) = child(&moov, from, NAME) else {
        return moov;
    };
    let size = size_at(&moov, at).unwrap_or_default();
    let Some(body) = moov.get(at + 8..at + size) else {
        return moov;
    };
    let Some(configuration) = super::av1::configuration(media) else {
        return moov;
    };
    let grown = configuration.len() as i64 - body.len() as i64;
    moov.splice(at + 8..at + size, configuration);
    for place in parents.into_iter().chain([at]) {
        let size = size_at(&moov, place).unwrap_or_default() as i64 + grown;
        let size = u32::try_from(size).unwrap_or_default();
        moov[place..place + 4].copy_from_slice(&size.to_be_bytes());
    }
    moov
}

/// Where the next box of that name among the siblings begins, the first of which is at `from`.
fn child(bytes: &[u8], from: usize, name: &[u8]) -> Option<usize> {
    let mut at = from;
    while bytes.get(at + 4..at + 8)? != name {
        at += size_at(bytes, at)?;
    }
    Some(at)
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    let size: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(size))
        .ok()
        .filter(|&size| size >= 8)
}

/// Turns the numbers of an Opus track's `dOps` round where they stand in the order of Ogg.
///
/// mp4mux 1.22 copies them as they come from caps, little-endian; in a box they are big-endian ("Encapsulation of Opus in
/// ISO Base Media File Format", 4.3.2), and a browser that reads 14,337 samples of pre-skip refuses the track. The sampling
/// rate shows which way round they are.
fn correct_dops(moov: &mut [u8]) {
    const NAME: &[u8] = b"dOps";
    const HIGHEST_RATE: u32 = 192_000;
    // Version, channels, pre-skip (2), rate (4), gain (2), mapping family.
    const SHORTEST: usize = 11;
    let Some(at) = moov.windows(NAME.len()).position(|name| name == NAME) else {
        return;
    };
    let Some(body) = moov.get_mut(at + NAME.len()..at + NAME.len() + SHORTEST) else {
        return;
    };
    let rate = [body[4], body[5], body[6], body[7]];
    if u32::from_be_bytes(rate) > HIGHEST_RATE && u32::from_le_bytes(rate) <= HIGHEST_RATE {
        body[2..4].reverse();
        body[4..8].reverse();
        body[8..10].reverse();
    }
}

/// iso6 for default-base-is-moof and 64-bit decode times (rule CM-01), cmfc for CMAF (CM-03).
fn brands() -> Ftyp {
    Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: vec![
            FourCC::new(b"iso6"),
            FourCC::new(b"cmfc"),
            FourCC::new(b"mp41"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by mp4mux 1.22 for a test pattern of 320x240, H.264 High at level 1.3: see tests/data.
    const MUXED: &[u8] = include_bytes!("../../tests/data/mp4mux-head.mp4");

    #[test]
    fn the_head_of_a_run_becomes_cmaf() {
        let init = init(MUXED).unwrap();
        assert_eq!(init.description.resolution, Some((320, 240)));
        let codec = init.description.codec;
        assert!(codec.starts_with("avc1."), "{codec}");
        let boxes = top_boxes(&init.bytes).unwrap();
        assert_eq!(boxes.len(), 2);
        assert_eq!(&init.bytes[8..12], b"iso6");
        let moov = boxes[1].whole.clone();
        let original = top_boxes(MUXED).unwrap();
        assert_eq!(init.bytes[moov], MUXED[original[1].whole.clone()]);
    }

    /// Written by mp4mux 1.26 for av1enc.
    const AV1: &[u8] = include_bytes!("../../tests/data/mp4mux-1.26-av1-head.mp4");

    #[test]
    fn the_configuration_of_an_av1_track_is_what_its_sequence_header_says() {
        let at = AV1.windows(4).position(|name| name == b"av1C").unwrap();
        for left_over in [0, 0x5a, 0xff] {
            let mut muxed = AV1.to_vec();
            // Whatever was in memory there.
            muxed[at + 7] = left_over;
            let init = init(&muxed).unwrap();
            assert_eq!(init.description.codec, "av01.0.00M.08");
            let at = init
                .bytes
                .windows(4)
                .position(|name| name == b"av1C")
                .unwrap();
            assert_eq!(init.bytes[at + 4..at + 8], [0x81, 0, 0x0c, 0]);
        }
    }

    /// Written by mp4mux 1.22 for opusenc: pre-skip 312, 48,000 Hz, both little-endian.
    const OPUS: &[u8] = include_bytes!("../../tests/data/mp4mux-opus-head.mp4");

    #[test]
    fn the_numbers_of_an_opus_track_are_big_endian() {
        let dops = |bytes: &[u8]| {
            let at = bytes.windows(4).position(|name| name == b"dOps").unwrap();
            bytes[at + 4..at + 15].to_vec()
        };
        assert_eq!(dops(OPUS), [0, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0]);
        let wanted = [0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
        let corrected = init(OPUS).unwrap();
        assert_eq!(corrected.description.codec, "opus");
        assert_eq!(dops(&corrected.bytes), wanted);
        // A muxer that has it right is left alone.
        let again = init(&corrected.bytes).unwrap();
        assert_eq!(dops(&again.bytes), wanted);
    }

    #[test]
    fn truncated_anywhere_it_is_an_error_and_never_a_panic() {
        for length in 0..MUXED.len() {
            assert!(init(&MUXED[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn any_changed_byte_never_panics() {
        for at in 0..MUXED.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = MUXED.to_vec();
                bytes[at] = value;
                let _ = init(&bytes);
            }
        }
    }
}
