//! Reads the NAL unit types of an access unit, for one question: can decoding start here?
//!
//! Belongs here: NAL unit headers. Does not: slices. Buffer flags cannot answer the question: GStreamer's H.264 parser
//! marks every I picture as a key frame, and the I picture of an open GOP is no sync sample (rule CM-17).

/// What the access units are coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// Whether decoding can start at this access unit: it holds an IDR (H.264) or IRAP (H.265) slice.
///
/// `bytes` are NAL units behind lengths of `length_size` bytes, 1 to 4 (ISO/IEC 14496-15). Bytes that are no such thing
/// answer `false`.
pub fn is_sync(coding: Coding, length_size: usize, bytes: &[u8]) -> bool {
    nal_units(length_size, bytes).any(|unit| match (coding, unit.first()) {
        // nal_unit_type 5: coded slice of an IDR picture (H.264 table 7-1).
        (Coding::H264, Some(header)) => header & 0x1f == 5,
        // nal_unit_type 16 to 21: BLA, IDR and CRA slices (H.265 table 7-1).
        (Coding::H265, Some(header)) => (16..=21).contains(&(header >> 1 & 0x3f)),
        (_, None) => false,
    })
}

/// How many bytes a NAL unit's length takes, as the decoder configuration record says.
pub fn length_size(coding: Coding, codec_data: &[u8]) -> Option<usize> {
    let at = match coding {
        Coding::H264 => 4,
        Coding::H265 => 21,
    };
    codec_data.get(at).map(|byte| usize::from(byte & 3) + 1)
}

fn nal_units(length_size: usize, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_at_checked(length_size)?;
        let length = length
            .iter()
            .fold(0_usize, |value, &byte| value << 8 | usize::from(byte));
        let (unit, after) = after.split_at_checked(length)?;
        rest = after;
        // A length of no bytes would never end.
        (length_size > 0).then_some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idr_is_found_behind_parameter_sets() {
        let unit = [0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x68, 0, 0, 0, 2, 0x65, 0x88];
        assert!(is_sync(Coding::H264, 4, &unit));
        assert!(!is_sync(Coding::H264, 4, &unit[..10]));
    }

    #[test]
    fn an_i_slice_outside_an_idr_is_no_sync_sample() {
        assert!(!is_sync(Coding::H264, 4, &[0, 0, 0, 2, 0x61, 0x88]));
    }

    #[test]
    fn irap_pictures_are_sync_samples() {
        for unit_type in 0..32_u8 {
            let unit = [0, 2, unit_type << 1, 1];
            assert_eq!(
                is_sync(Coding::H265, 2, &unit),
                (16..=21).contains(&unit_type)
            );
        }
    }

    #[test]
    fn truncated_anywhere_or_senseless_it_is_no_sync_sample() {
        let unit = [0, 0, 0, 2, 0x65, 0x88];
        for length in 0..unit.len() {
            assert!(!is_sync(Coding::H264, 4, &unit[..length]));
        }
        assert!(!is_sync(Coding::H264, 4, &[0xff; 64]));
        assert!(!is_sync(Coding::H264, 0, &unit));
    }

    #[test]
    fn length_size_is_read_from_the_configuration_record() {
        assert_eq!(length_size(Coding::H264, &[1, 100, 0, 31, 0xff]), Some(4));
        assert_eq!(length_size(Coding::H264, &[1, 100, 0, 31]), None);
        let mut record = [0; 22];
        record[21] = 0x0d;
        assert_eq!(length_size(Coding::H265, &record), Some(2));
    }
}
