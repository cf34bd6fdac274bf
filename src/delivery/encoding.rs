//! Content codings (RFC 9110 8.4, 12.5.3): who takes gzip, and gzip.
//!
//! Belongs here: the choice and the compression. Does not: what is worth compressing for whom (`representation`).

use std::cell::OnceCell;
use std::io::Write;

use bytes::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

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

/// A text that many answers begin with, each with an end of its own: compressed once for all of them.
#[derive(Debug)]
pub struct Beginning {
    plain: String,
    deflated: OnceCell<Deflated>,
}

/// Blocks of a deflate stream that end on a whole byte and are not the last, and what their text adds up to.
#[derive(Debug)]
struct Deflated {
    blocks: Vec<u8>,
    sum: Crc,
}

impl Beginning {
    /// A beginning nobody has asked for yet.
    pub fn new(plain: String) -> Self {
        Self {
            plain,
            deflated: OnceCell::new(),
        }
    }

    /// The whole text. In gzip the end is a block of its own, stored as it is: no library joins what it has compressed before
    /// and what comes now (RFC 1951 3.2.4, RFC 1952 2.3).
    pub fn with(&self, end: &str) -> Text {
        let plain: Bytes = [&self.plain, end].concat().into();
        let gzip = OnceCell::new();
        if plain.len() >= MIN_GZIP_BYTES {
            let _ = gzip.set(self.joined(end).filter(|gzip| gzip.len() < plain.len()));
        }
        Text { plain, gzip }
    }

    fn joined(&self, end: &str) -> Option<Bytes> {
        // Deflate, no name, no time, fastest, Unix.
        const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3];
        const LAST_AND_STORED: u8 = 1;
        let length = u16::try_from(end.len()).ok()?;
        let begun = self
            .deflated
            .get_or_init(|| Deflated::new(self.plain.as_bytes()));
        let mut sum = Crc::new();
        sum.combine(&begun.sum);
        sum.update(end.as_bytes());
        let mut gzip = Vec::with_capacity(begun.blocks.len() + end.len() + 32);
        gzip.extend_from_slice(&HEAD);
        gzip.extend_from_slice(&begun.blocks);
        gzip.push(LAST_AND_STORED);
        gzip.extend_from_slice(&length.to_le_bytes());
        gzip.extend_from_slice(&(!length).to_le_bytes());
        gzip.extend_from_slice(end.as_bytes());
        gzip.extend_from_slice(&sum.sum().to_le_bytes());
        gzip.extend_from_slice(&sum.amount().to_le_bytes());
        Some(gzip.into())
    }
}

impl Deflated {
    fn new(plain: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let mut sum = Crc::new();
        sum.update(plain);
        // Into memory: neither can fail. A flush ends the block on a whole byte.
        let _ = encoder.write_all(plain).and_then(|()| encoder.flush());
        Self {
            blocks: encoder.get_ref().clone(),
            sum,
        }
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
    fn one_beginning_has_many_ends() {
        let beginning = Beginning::new("\"segment_00001.m4s\":1764423000000000000,".repeat(100));
        for end in ["\"timestamp\":1}", "\"timestamp\":22}", ""] {
            let text = beginning.with(end);
            let whole = [&beginning.plain, end].concat();
            assert_eq!(text.plain(), whole.as_bytes());
            let gzip = text.gzip().unwrap();
            assert!(gzip.len() < whole.len() / 4);
            let mut back = String::new();
            GzDecoder::new(&gzip[..]).read_to_string(&mut back).unwrap();
            assert_eq!(back, whole);
        }
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

        assert_eq!(Beginning::new("sh".to_owned()).with("ort").gzip(), None);
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
