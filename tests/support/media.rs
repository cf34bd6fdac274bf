//! Reads init sections and parts, and checks what each alone can show.
//!
//! Headers and versions are read by hand, because a box library forgets them; the insides by the library.

use mp4_atom::{Codec, Decode, DecodeAtom, FourCC, Ftyp, Header, Moof, Moov};

/// What the init section says of its only track.
#[derive(Clone, Debug)]
pub struct Init {
    pub track_id: u32,
    pub timescale: u32,
    /// `avc1`, `hvc1`, `av01`, `mp4a` or `opus`.
    pub entry: &'static str,
    pub profile: u8,
    /// 1 is 4:2:0.
    pub chroma_format: Option<u8>,
    pub width: u16,
    pub height: u16,
    length_size: usize,
}

/// One `moof` and its `mdat`.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub sequence: u32,
    pub decode: u64,
    pub samples: Vec<Sample>,
    /// Header and all.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub duration: u32,
    pub composition_offset: i64,
    pub is_sync: bool,
}

impl Chunk {
    pub fn duration(&self) -> u64 {
        self.samples
            .iter()
            .map(|sample| u64::from(sample.duration))
            .sum()
    }
}

/// A box of `bytes`: its name, its body, its whole length.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], usize)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        assert!((8..=rest.len()).contains(&size), "a box of {size} bytes");
        let (this, after) = rest.split_at(size);
        rest = after;
        Some((&this[4..8], &this[8..], size))
    })
}

/// The body of the box at a path of names; the first of each name.
fn find<'a>(bytes: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let (name, deeper) = path.split_first()?;
    let (_, body, _) = boxes(bytes).find(|(found, ..)| *found == name.as_bytes())?;
    if deeper.is_empty() {
        Some(body)
    } else {
        find(body, deeper)
    }
}

impl Init {
    /// Reads and checks.
    pub fn read(bytes: &[u8]) -> Self {
        let init = Self::read_foreign(bytes);
        let mut rest = &bytes[bytes.len() - find(bytes, &["moov"]).unwrap().len() - 8..];
        let moov = Moov::decode(&mut rest).unwrap();
        if let Some(edts) = &moov.trak[0].edts {
            for entry in edts.elst.iter().flat_map(|elst| &elst.entries) {
                assert_eq!(entry.media_time, Some(0), "an edit moves the pictures");
            }
        }
        init
    }

    /// Reads and checks one that goes back to another muxer, which may delay the pictures with an edit.
    pub fn read_foreign(bytes: &[u8]) -> Self {
        let names: Vec<&[u8]> = boxes(bytes).map(|(name, ..)| name).collect();
        assert_eq!(names, [b"ftyp", b"moov"], "CM-01");
        let ftyp = Ftyp::decode(&mut &*bytes).unwrap();
        assert_eq!(ftyp.major_brand, FourCC::new(b"iso6"), "CM-01");
        for brand in [b"iso6", b"cmfc"] {
            assert!(
                ftyp.compatible_brands.contains(&FourCC::new(brand)),
                "CM-01, CM-03: {ftyp:?}"
            );
        }
        let order: Vec<&[u8]> = boxes(find(bytes, &["moov"]).unwrap())
            .map(|(name, ..)| name)
            .filter(|name| [b"trak".as_slice(), b"mvex"].contains(name))
            .collect();
        assert_eq!(order, [b"trak", b"mvex"], "CM-02, CM-24");

        let mut rest = &bytes[bytes.len() - find(bytes, &["moov"]).unwrap().len() - 8..];
        let moov = Moov::decode(&mut rest).unwrap();
        assert_eq!(moov.mvhd.duration, 0, "CM-02");
        let trak = &moov.trak[0];
        assert_eq!(trak.tkhd.duration, 0, "CM-02");
        assert_eq!(trak.mdia.mdhd.duration, 0, "CM-02");
        let stbl = &trak.mdia.minf.stbl;
        assert!(stbl.stts.entries.is_empty(), "CM-02");
        assert!(stbl.stsc.entries.is_empty(), "CM-02");
        let mvex = moov.mvex.as_ref().expect("CM-02: mvex");
        assert_eq!(mvex.trex[0].track_id, trak.tkhd.track_id);

        let (entry, size, profile, chroma_format, length_size) = match &stbl.stsd.codecs[0] {
            Codec::Avc1(avc1) => (
                "avc1",
                (avc1.visual.width, avc1.visual.height),
                avc1.avcc.avc_profile_indication,
                avc1.avcc.ext.as_ref().map(|ext| ext.chroma_format),
                avc1.avcc.length_size,
            ),
            Codec::Hvc1(hvc1) => (
                "hvc1",
                (hvc1.visual.width, hvc1.visual.height),
                hvc1.hvcc.general_profile_idc,
                Some(hvc1.hvcc.chroma_format_idc),
                hvc1.hvcc.length_size_minus_one + 1,
            ),
            Codec::Av01(av01) => ("av01", (av01.visual.width, av01.visual.height), 0, None, 0),
            Codec::Mp4a(_) => ("mp4a", (0, 0), 0, None, 0),
            Codec::Opus(_) => ("opus", (0, 0), 0, None, 0),
            other => panic!("CM-22: {other:?}"),
        };
        Self {
            track_id: trak.tkhd.track_id,
            timescale: trak.mdia.mdhd.timescale,
            entry,
            profile,
            chroma_format,
            width: size.0,
            height: size.1,
            length_size: usize::from(length_size),
        }
    }

    /// Reads and checks the `moof`s and `mdat`s of a part or a segment.
    pub fn chunks(&self, bytes: &[u8]) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut at = 0;
        let mut moof = None;
        for (name, body, size) in boxes(bytes) {
            match name {
                b"moof" => {
                    assert_eq!(moof, None, "CM-06: moof, then mdat");
                    moof = Some(at);
                }
                b"mdat" => {
                    let start = moof.take().expect("CM-06: moof, then mdat");
                    chunks.push(self.chunk(&bytes[start..at + size], body));
                }
                b"styp" => {}
                other => panic!("{:?} in a part", String::from_utf8_lossy(other)),
            }
            at += size;
        }
        assert_eq!(moof, None, "CM-06: a moof without mdat");
        chunks
    }

    fn chunk(&self, bytes: &[u8], mdat: &[u8]) -> Chunk {
        let tfdt = find(bytes, &["moof", "traf", "tfdt"]).expect("CM-04: tfdt");
        assert_eq!(tfdt[0], 1, "CM-04: version of tfdt");
        let mut rest = bytes;
        let header = Header::decode(&mut rest).unwrap();
        let moof = Moof::decode_atom(&header, &mut rest).unwrap();
        let [traf] = &moof.traf[..] else {
            panic!("one track a part: {moof:?}")
        };
        assert_eq!(traf.tfhd.track_id, self.track_id, "CM-06");
        assert_eq!(traf.tfhd.base_data_offset, None, "CM-05");
        assert!(traf.tfhd.default_base_is_moof, "CM-05, CM-25");

        let mdat_start = bytes.len() - mdat.len();
        let mut at = mdat_start;
        let mut samples = Vec::new();
        for run in &traf.trun {
            let offset = usize::try_from(run.data_offset.expect("CM-08")).unwrap();
            assert_eq!(offset, at, "CM-08: runs fill the mdat in order");
            for entry in run.samples.iter() {
                let size = entry.size.or(traf.tfhd.default_sample_size).unwrap() as usize;
                let flags = entry
                    .flags
                    .or(traf.tfhd.default_sample_flags)
                    .expect("flags of each sample");
                let sample = Sample {
                    duration: entry
                        .duration
                        .or(traf.tfhd.default_sample_duration)
                        .expect("a duration of each sample"),
                    composition_offset: entry.cts.unwrap_or(0),
                    is_sync: flags & 0x0001_0000 == 0,
                };
                assert!(sample.duration > 0, "CM-09: a sample without duration");
                assert_eq!(
                    sample.is_sync,
                    self.is_sync(&bytes[at..at + size]),
                    "CM-17: flags {flags:#x}"
                );
                samples.push(sample);
                at += size;
            }
        }
        assert_eq!(at, bytes.len(), "CM-08: runs fill the mdat");
        assert!(!samples.is_empty());
        Chunk {
            sequence: moof.mfhd.sequence_number,
            decode: traf.tfdt.as_ref().unwrap().base_media_decode_time,
            samples,
            size: bytes.len(),
        }
    }

    /// Whether an access unit holds an IDR (H.264) or IRAP (H.265) slice. All of it has to be NAL units.
    fn is_sync(&self, mut unit: &[u8]) -> bool {
        match self.entry {
            "mp4a" | "opus" => return true,
            "av01" => return is_av1_key(unit),
            _ => {}
        }
        let mut is_sync = false;
        while !unit.is_empty() {
            let (length, rest) = unit.split_at(self.length_size);
            let length = length
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte));
            let (nal, rest) = rest.split_at(length);
            is_sync |= match self.entry {
                "avc1" => nal[0] & 0x1f == 5,
                _ => (16..=21).contains(&(nal[0] >> 1 & 0x3f)),
            };
            unit = rest;
        }
        is_sync
    }
}

/// Whether a temporal unit begins a coded video sequence: it has a sequence header.
fn is_av1_key(mut unit: &[u8]) -> bool {
    while let Some(&header) = unit.first() {
        if header >> 3 & 15 == 1 {
            return true;
        }
        let mut at = 1 + usize::from(header >> 2 & 1);
        assert_ne!(header >> 1 & 1, 0, "an OBU without a size");
        let mut size = 0;
        for shift in (0..).step_by(7) {
            size |= usize::from(unit[at] & 127) << shift;
            at += 1;
            if unit[at - 1] < 128 {
                break;
            }
        }
        unit = &unit[at + size..];
    }
    false
}
