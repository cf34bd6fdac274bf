//! RFC 6381 codec strings, from the codec data and not from caps text (rule MV-03).
//!
//! Belongs here: how a sample entry is named in CODECS. Does not: reading `moov` (`init`).

use mp4_atom::{Av1c, Avcc, Codec, Hvcc, Mp4a};

/// What a playlist says of a sample entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// RFC 6381 codec string.
    pub codec: String,
    /// Width and height in pixels, when it is video.
    pub resolution: Option<(u32, u32)>,
    /// How many channels, when it is audio.
    pub channels: Option<u32>,
}

/// Describes a sample entry; `None` for one no pad accepts.
pub fn describe(entry: &Codec) -> Option<Description> {
    let (codec, visual) = match entry {
        Codec::Avc1(entry) => (avc("avc1", &entry.avcc), &entry.visual),
        Codec::Avc3(entry) => (avc("avc3", &entry.avcc), &entry.visual),
        Codec::Hvc1(entry) => (hevc("hvc1", &entry.hvcc), &entry.visual),
        Codec::Hev1(entry) => (hevc("hev1", &entry.hvcc), &entry.visual),
        Codec::Av01(entry) => (av1(&entry.av1c), &entry.visual),
        Codec::Mp4a(entry) => return Some(audio(aac(entry), entry.audio.channel_count)),
        // RFC 6381 registers it so, in lower case.
        Codec::Opus(entry) => return Some(audio("opus".to_owned(), entry.audio.channel_count)),
        _ => return None,
    };
    Some(Description {
        codec,
        resolution: Some((u32::from(visual.width), u32::from(visual.height))),
        channels: None,
    })
}

fn audio(codec: String, channels: u16) -> Description {
    Description {
        codec,
        resolution: None,
        channels: Some(u32::from(channels)),
    }
}

/// `mp4a.40.O`: the object type of MPEG-4 audio (RFC 6381 3.3).
fn aac(entry: &Mp4a) -> String {
    let config = &entry.esds.es_desc.dec_config;
    let object_type = config
        .dec_specific
        .as_ref()
        // AAC-LC unless it says otherwise: ADTS cannot carry more.
        .map_or(2, |specific| specific.profile);
    format!("mp4a.{:x}.{object_type}", config.object_type_indication)
}

/// `av01.P.LLT.DD`: AV1 Codec ISO Media File Format Binding, 5.
fn av1(config: &Av1c) -> String {
    let depth = match (config.high_bitdepth, config.twelve_bit) {
        (true, true) => 12,
        (true, false) => 10,
        (false, _) => 8,
    };
    let tier = if config.seq_tier_0 { 'H' } else { 'M' };
    format!(
        "av01.{}.{:02}{tier}.{depth:02}",
        config.seq_profile, config.seq_level_idx_0
    )
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
