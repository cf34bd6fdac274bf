//! Content codings (RFC 9110 8.4, 12.5.3): who takes gzip, and gzip.
//!
//! Belongs here: the choice and the compression. Does not: what is worth compressing for whom (`representation`).

use std::cell::OnceCell;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A text of fewer bytes goes into one packet as it is.
const MIN_GZIP_BYTES: usize = 1024;

/// A text that is served in two codings, compressed when the first client that takes gzip asks for it (rule HT-06).
#[derive(Debug)]
pub struct Text {
    plain: Bytes,
    gzip: OnceCell<Option<Bytes>>,
}

impl Text {
    /// A text nobody has asked for yet.
    pub fn new(plain: impl Into<Bytes>) -> Self {
        Self {
            plain: plain.into(),
            gzip: OnceCell::new(),
        }
    }

    /// As it is.
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Compressed; `None` when that wins nothing.
    pub fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get_or_init(|| compress(&self.plain)).as_ref()
    }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    if plain.len() < MIN_GZIP_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| gzip.into())
}

/// Whether an Accept-Encoding asks for gzip, and not for something else more: `q=0` means no (rule HT-06).
pub fn accepts_gzip(header: Option<&str>) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for choice in header.unwrap_or_default().split(',') {
        let mut parameters = choice.split(';');
        let coding = parameters.next().unwrap_or_default().trim();
        let slot = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        let quality = parameters
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        // A weight that is no number is as good as none: without gzip every client can read the answer.
        *slot = Some(quality.map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0)));
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn who_takes_gzip() {
        for (header, expected) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("*", true),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("gzip ; q = 0.3", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("gzip;q=x", false),
            ("gzip;q=NaN", false),
            ("gzipped", false),
        ] {
            assert_eq!(accepts_gzip(Some(header)), expected, "{header}");
        }
        assert!(!accepts_gzip(None));
    }

    #[test]
    fn compressed_once_and_only_if_it_wins() {
        let text = "#EXTINF:1.00000,\n".repeat(100);
        let text = Text::new(text);
        let gzip = text.gzip().unwrap();
        assert!(gzip.len() < text.plain().len() / 4);
        assert_eq!(gzip.as_ptr(), text.gzip().unwrap().as_ptr());
        let mut back = Vec::new();
        GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back[..], text.plain()[..]);

        assert_eq!(Text::new("short").gzip(), None);
        let mut noise = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(4096)
        .collect();
        assert_eq!(Text::new(noise).gzip(), None);
    }
}
