//! RFC 6381 codec strings, from the codec data and not from caps text (rule MV-03).
//!
//! Belongs here: how a sample entry is named in CODECS. Does not: reading `moov` (`init`).

use mp4_atom::{Avcc, Codec, Hvcc};

/// Codec string, width and height of a sample entry; `None` for one no pad accepts.
pub fn describe(codec: &Codec) -> Option<(String, u32, u32)> {
    let (name, visual) = match codec {
        Codec::Avc1(entry) => (avc("avc1", &entry.avcc), &entry.visual),
        Codec::Avc3(entry) => (avc("avc3", &entry.avcc), &entry.visual),
        Codec::Hvc1(entry) => (hevc("hvc1", &entry.hvcc), &entry.visual),
        Codec::Hev1(entry) => (hevc("hev1", &entry.hvcc), &entry.visual),
        _ => return None,
    };
    Some((name, u32::from(visual.width), u32::from(visual.height)))
}

/// `avc1.PPCCLL`: profile, constraint flags and level in hexadecimal (RFC 6381 3.3).
fn avc(name: &str, config: &Avcc) -> String {
    format!(
        "{name}.{:02X}{:02X}{:02X}",
        config.avc_profile_indication, config.profile_compatibility, config.avc_level_indication
    )
}

/// `hvc1.P.C.TL.B...`: ISO/IEC 14496-15 annex E.3.
fn hevc(name: &str, config: &Hvcc) -> String {
    let space = match config.general_profile_space {
        1 => "A",
        2 => "B",
        3 => "C",
        _ => "",
    };
    // The compatibility flags are written in reverse bit order, without leading zeros.
    let compatibility =
        u32::from_be_bytes(config.general_profile_compatibility_flags).reverse_bits();
    let tier = if config.general_tier_flag { 'H' } else { 'L' };
    let mut text = format!(
        "{name}.{space}{}.{compatibility:X}.{tier}{}",
        config.general_profile_idc, config.general_level_idc
    );
    // Constraint bytes, trailing zero bytes left out.
    let constraints = &config.general_constraint_indicator_flags;
    let used = constraints
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        text.push_str(&format!(".{byte:X}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_high_at_level_3_1() {
        let config = Avcc {
            configuration_version: 1,
            avc_profile_indication: 100,
            profile_compatibility: 0,
            avc_level_indication: 31,
            length_size: 4,
            sequence_parameter_sets: vec![],
            picture_parameter_sets: vec![],
            ext: None,
        };
        assert_eq!(avc("avc1", &config), "avc1.64001F");
    }

    #[test]
    fn h265_main_and_main_10() {
        let mut config = Hvcc::new();
        config.general_profile_idc = 1;
        config.general_profile_compatibility_flags = [0x60, 0, 0, 0];
        config.general_level_idc = 93;
        config.general_constraint_indicator_flags = [0xb0, 0, 0, 0, 0, 0];
        assert_eq!(hevc("hvc1", &config), "hvc1.1.6.L93.B0");
        config.general_profile_idc = 2;
        config.general_profile_compatibility_flags = [0x20, 0, 0, 0];
        config.general_tier_flag = true;
        config.general_constraint_indicator_flags = [0; 6];
        assert_eq!(hevc("hvc1", &config), "hvc1.2.4.H93");
    }
}
