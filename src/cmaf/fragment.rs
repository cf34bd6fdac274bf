//! Reads fragmented files that other programs wrote, and makes parts of their samples.
//!
//! Belongs here: which tracks a file has, where its samples lie and what they say of themselves, in every spelling
//! ISO/IEC 14496-12 8.8 allows. Does not: what our own muxer wrote (`moof`), how files follow one another (`watch/`).

use std::ops::Range;

use bytes::Bytes;
use mp4_atom::{Codec, Decode, DecodeAtom, FourCC, Moof, Moov, Tfhd, Traf, Trex, TrunEntry};

use super::{
    boxes::{BoxError, TopBox, check_counts, top_boxes},
    codec::Description,
    init, moof,
    segmenter::Sample,
};
use crate::time::{MediaTime, Timescale};

const MOOV: FourCC = FourCC::new(b"moov");
const MOOF: FourCC = FourCC::new(b"moof");
const MDAT: FourCC = FourCC::new(b"mdat");
const SIDX: FourCC = FourCC::new(b"sidx");

/// More samples than any segment has: a file that claims more is broken, and each costs memory.
const MOST_SAMPLES: usize = 100_000;

/// Sample flags: `sample_is_non_sync_sample` (ISO/IEC 14496-12 8.8.3.1).
const IS_NON_SYNC: u32 = 0x0001_0000;

/// Why a file cannot be used, in words for the person who chose the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// The boxes are broken, or end before the file should.
    Boxes(BoxError),
    /// An ordinary MP4: its samples are described in one table and not in fragments.
    NotFragmented,
    /// Neither `moov` nor `moof`: no MP4 at all.
    Foreign,
    /// No track that can be presented.
    NoTrack,
    /// Fragments, but none of the track the presentation has.
    NoSamples,
    /// A claim no segment would make.
    TooManySamples,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boxes(error) => write!(f, "it is cut off or broken: {error}"),
            Self::NotFragmented => f.write_str(
                "it is not fragmented (mp4mux needs fragment-duration, ffmpeg -hls_segment_type fmp4 or -movflags frag_keyframe)",
            ),
            Self::Foreign => f.write_str("it is no MP4"),
            Self::NoTrack => f.write_str("it has no H.264, H.265, AV1, AAC or Opus track"),
            Self::NoSamples => f.write_str("it has no samples of a track that is presented"),
            Self::TooManySamples => f.write_str("it claims more samples than a segment can have"),
        }
    }
}

impl std::error::Error for FileError {}

impl From<BoxError> for FileError {
    fn from(error: BoxError) -> Self {
        Self::Boxes(error)
    }
}

/// What a `moov` says of one track.
#[derive(Clone, Debug)]
pub struct TrackHeader {
    /// The init section of this track alone.
    pub init: Bytes,
    /// What a playlist says of it.
    pub description: Description,
    /// Its ticks.
    pub timescale: Timescale,
    entry: Codec,
    /// Its number in the file.
    track_id: u32,
    /// Its number in `init`.
    written_id: u32,
    defaults: Trex,
}

impl TrackHeader {
    /// Whether what is decoded with `other` can go on with this, whatever else another file says of the same format.
    pub fn has_format_of(&self, other: &Self) -> bool {
        let is_same = match (&self.entry, &other.entry) {
            (Codec::Avc1(mine), Codec::Avc1(theirs)) => mine.avcc == theirs.avcc,
            (Codec::Avc3(mine), Codec::Avc3(theirs)) => mine.avcc == theirs.avcc,
            (Codec::Hvc1(mine), Codec::Hvc1(theirs)) => mine.hvcc == theirs.hvcc,
            (Codec::Hev1(mine), Codec::Hev1(theirs)) => mine.hvcc == theirs.hvcc,
            (Codec::Av01(mine), Codec::Av01(theirs)) => mine.av1c == theirs.av1c,
            (Codec::Mp4a(mine), Codec::Mp4a(theirs)) => {
                let specific =
                    |entry: &mp4_atom::Mp4a| entry.esds.es_desc.dec_config.dec_specific.clone();
                mine.audio == theirs.audio && specific(mine) == specific(theirs)
            }
            (Codec::Opus(mine), Codec::Opus(theirs)) => mine.dops == theirs.dops,
            _ => false,
        };
        is_same && self.timescale == other.timescale && self.description == other.description
    }

    /// This header for reading, the init section of `other`, which was published, for writing.
    pub fn written_as(mut self, other: &Self) -> Self {
        self.init = Bytes::clone(&other.init);
        self.written_id = other.written_id;
        self
    }

    /// Whether it is audio.
    pub fn is_audio(&self) -> bool {
        self.description.resolution.is_none()
    }
}

/// A sample and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSample {
    /// Times and flags.
    pub sample: Sample,
    /// Its bytes in the file.
    pub bytes: Range<usize>,
}

/// The samples of one track in one `moof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// `tfdt`: decode time of its first sample by the writer's count.
    pub decode: Option<i64>,
    /// In decode order; never empty.
    pub samples: Vec<FileSample>,
}

impl Chunk {
    /// Sum of its samples' durations, in ticks.
    pub fn duration(&self) -> i64 {
        self.samples.iter().map(|file| file.sample.duration).sum()
    }
}

/// A file taken apart, box by box.
#[derive(Clone, Debug)]
pub struct FragmentedFile<'a> {
    bytes: &'a [u8],
    boxes: Vec<TopBox>,
}

impl<'a> FragmentedFile<'a> {
    /// Finds the boxes. A file that ends inside one is an error: it is half written, or was cut off.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FileError> {
        let is_mp4 = bytes.get(4..8).is_some_and(|name| {
            [
                b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"free", b"emsg", b"prft",
            ]
            .iter()
            .any(|known| name == *known)
        });
        if !is_mp4 {
            return Err(FileError::Foreign);
        }
        let boxes = top_boxes(bytes)?;
        let has = |kind| boxes.iter().any(|found| found.kind == kind);
        if !has(MOOV) && !has(MOOF) {
            // A segment begins with its index in some writers; that alone is one cut off.
            return Err(if has(SIDX) {
                BoxError::Missing("moof").into()
            } else {
                FileError::Foreign
            });
        }
        Ok(Self { bytes, boxes })
    }

    /// Whether it holds media.
    pub fn has_media(&self) -> bool {
        self.boxes.iter().any(|found| found.kind == MOOF)
    }

    /// The tracks its `moov` describes that can be presented, videos before audios; `None` without `moov`.
    pub fn header(&self) -> Result<Option<Vec<TrackHeader>>, FileError> {
        let Some(found) = self.boxes.iter().find(|found| found.kind == MOOV) else {
            return Ok(None);
        };
        let whole = &self.bytes[found.whole.clone()];
        check_counts(whole)?;
        let moov = Moov::decode(&mut &*whole).map_err(|error| BoxError::Unreadable {
            name: "moov",
            reason: error.to_string(),
        })?;
        let Some(mvex) = &moov.mvex else {
            return Err(FileError::NotFragmented);
        };
        let media = self.boxes.iter().find(|found| found.kind == MDAT);
        let mut tracks = Vec::new();
        for trak in &moov.trak {
            let track_id = trak.tkhd.track_id;
            let mut alone = moov_of(&self.bytes[found.body.clone()], track_id)?;
            // An empty `av1C` is filled from the first sample; with several tracks it is not known whose that is.
            if let Some(media) = media.filter(|_| moov.trak.len() == 1) {
                alone.extend_from_slice(&self.bytes[media.whole.clone()]);
            }
            let Ok(init) = init::init(&alone) else {
                // Subtitles, time codes, codecs no browser plays.
                continue;
            };
            let Some(entry) = trak.mdia.minf.stbl.stsd.codecs.first() else {
                continue;
            };
            let Some(timescale) = Timescale::new(trak.mdia.mdhd.timescale) else {
                continue;
            };
            let defaults = mvex.trex.iter().find(|trex| trex.track_id == track_id);
            tracks.push(TrackHeader {
                init: init.bytes,
                description: init.description,
                timescale,
                entry: entry.clone(),
                track_id,
                written_id: track_id,
                defaults: defaults.cloned().unwrap_or_default(),
            });
        }
        if tracks.is_empty() {
            return Err(FileError::NoTrack);
        }
        tracks.sort_by_key(TrackHeader::is_audio);
        Ok(Some(tracks))
    }

    /// The chunks of one track, in the order of the file.
    pub fn chunks(&self, track: &TrackHeader) -> Result<Vec<Chunk>, FileError> {
        let mut chunks = Vec::new();
        let mut room = MOST_SAMPLES;
        for found in self.boxes.iter().filter(|found| found.kind == MOOF) {
            let unreadable = |error: mp4_atom::Error| BoxError::Unreadable {
                name: "moof",
                reason: error.to_string(),
            };
            let mut rest = &self.bytes[found.whole.clone()];
            check_counts(rest)?;
            let header = mp4_atom::Header::decode(&mut rest).map_err(unreadable)?;
            let moof = Moof::decode_atom(&header, &mut rest).map_err(unreadable)?;
            // Without a base of its own a track fragment goes on where the one before it ended (8.8.7.1).
            let mut end_of_data = found.whole.start;
            for traf in &moof.traf {
                let mut reader = TrafReader {
                    traf,
                    defaults: (traf.tfhd.track_id == track.track_id).then_some(&track.defaults),
                    base: base_of(&traf.tfhd, found.whole.start, end_of_data)?,
                    samples: Vec::new(),
                };
                let Some(end) = reader.read(&mut room)? else {
                    // Of a track whose defaults are not known here; those after it say where they are, or are lost.
                    continue;
                };
                end_of_data = end;
                let samples = reader.samples;
                if traf.tfhd.track_id != track.track_id || samples.is_empty() {
                    continue;
                }
                if !samples.iter().all(|file| self.is_media(&file.bytes)) {
                    return Err(BoxError::OutsideMediaData.into());
                }
                let decode = traf.tfdt.as_ref().map(|tfdt| tfdt.base_media_decode_time);
                chunks.push(Chunk {
                    decode: decode
                        .map(i64::try_from)
                        .transpose()
                        .map_err(|_| BoxError::TooLarge("decode time"))?,
                    samples,
                });
            }
        }
        if chunks.is_empty() {
            return Err(FileError::NoSamples);
        }
        Ok(chunks)
    }

    /// Whether all of a range lies in one `mdat`.
    fn is_media(&self, range: &Range<usize>) -> bool {
        self.boxes
            .iter()
            .filter(|found| found.kind == MDAT)
            .any(|found| found.body.start <= range.start && range.end <= found.body.end)
    }

    /// A part made of samples of this file, whose first is decoded at `decode`. `sequence` only has to rise.
    pub fn part(
        &self,
        track: &TrackHeader,
        samples: &[FileSample],
        decode: i64,
        sequence: u64,
    ) -> Result<Bytes, FileError> {
        let media: Vec<&[u8]> = samples
            .iter()
            .map(|file| &self.bytes[file.bytes.clone()])
            .collect();
        let sized = samples
            .iter()
            .map(|file| (&file.sample, file.bytes.len() as u32));
        Ok(moof::write(
            track.written_id,
            decode,
            sequence,
            sized,
            &media,
        )?)
    }
}

/// Where the data offsets of a track fragment count from (8.8.7.1).
fn base_of(tfhd: &Tfhd, moof: usize, end_of_data: usize) -> Result<usize, BoxError> {
    match tfhd.base_data_offset {
        Some(offset) => usize::try_from(offset).map_err(|_| BoxError::OutsideMediaData),
        None if tfhd.default_base_is_moof => Ok(moof),
        None => Ok(end_of_data),
    }
}

struct TrafReader<'a> {
    traf: &'a Traf,
    /// Of the track that is wanted; `None` for another one, of which only the place counts.
    defaults: Option<&'a Trex>,
    base: usize,
    samples: Vec<FileSample>,
}

impl TrafReader<'_> {
    /// Reads all runs and answers where their data ends; `None` when the sizes of another track are not to be had.
    fn read(&mut self, room: &mut usize) -> Result<Option<usize>, FileError> {
        let mut at = self.base;
        for run in &self.traf.trun {
            if let Some(offset) = run.data_offset {
                at = isize::try_from(offset)
                    .ok()
                    .and_then(|offset| self.base.checked_add_signed(offset))
                    .ok_or(BoxError::OutsideMediaData)?;
            }
            *room = room
                .checked_sub(run.samples.len())
                .ok_or(FileError::TooManySamples)?;
            for entry in run.samples.iter() {
                let Some(size) = self.size(&entry) else {
                    return match self.defaults {
                        Some(_) => Err(BoxError::Missing("sample size").into()),
                        None => Ok(None),
                    };
                };
                let end = at.checked_add(size).ok_or(BoxError::OutsideMediaData)?;
                if let Some(defaults) = self.defaults {
                    let sample = self.sample(&entry, defaults);
                    self.samples.push(FileSample {
                        sample,
                        bytes: at..end,
                    });
                }
                at = end;
            }
        }
        Ok(Some(at))
    }

    fn size(&self, entry: &TrunEntry) -> Option<usize> {
        let default = self.defaults.map(|defaults| defaults.default_sample_size);
        let size = entry
            .size
            .or(self.traf.tfhd.default_sample_size)
            .or(default)?;
        usize::try_from(size).ok()
    }

    fn sample(&self, entry: &TrunEntry, defaults: &Trex) -> Sample {
        let tfhd = &self.traf.tfhd;
        let duration = entry
            .duration
            .or(tfhd.default_sample_duration)
            .unwrap_or(defaults.default_sample_duration);
        let flags = entry
            .flags
            .or(tfhd.default_sample_flags)
            .unwrap_or(defaults.default_sample_flags);
        Sample {
            duration: i64::from(duration),
            composition_offset: entry.cts.unwrap_or(0),
            is_sync: flags & IS_NON_SYNC == 0,
        }
    }
}

/// `moov` with one of its tracks only and without what only that file knows: how long it is, and where its track begins.
/// The sample descriptions are kept byte for byte.
fn moov_of(moov: &[u8], track_id: u32) -> Result<Vec<u8>, BoxError> {
    let mut kept = Vec::with_capacity(moov.len());
    let mut extends = Vec::new();
    for child in top_boxes(moov)? {
        let whole = &moov[child.whole];
        let body = &moov[child.body];
        match &<[u8; 4]>::from(child.kind) {
            b"trak" if track_id_of(body)? == Some(track_id) => {
                push_box(&mut kept, b"trak", &trak_of(body)?)?;
            }
            b"trak" | b"udta" | b"meta" => {}
            b"mvhd" => push_box(&mut kept, b"mvhd", &without_duration(body, 12))?,
            b"mvex" => {
                for default in top_boxes(body)? {
                    let is_ours = default.kind == FourCC::new(b"trex")
                        && number_at(&body[default.body.clone()], 4) == Some(track_id);
                    if is_ours {
                        extends.extend_from_slice(&body[default.whole]);
                    }
                }
            }
            _ => kept.extend_from_slice(whole),
        }
    }
    // Behind the track, where CMAF wants it (rule CM-24).
    push_box(&mut kept, b"mvex", &extends)?;
    let mut whole = Vec::with_capacity(kept.len() + 8);
    push_box(&mut whole, b"moov", &kept)?;
    Ok(whole)
}

fn trak_of(trak: &[u8]) -> Result<Vec<u8>, BoxError> {
    let mut kept = Vec::with_capacity(trak.len());
    for child in top_boxes(trak)? {
        let body = &trak[child.body.clone()];
        match &<[u8; 4]>::from(child.kind) {
            b"tkhd" => push_box(&mut kept, b"tkhd", &without_duration(body, 16))?,
            b"edts" => {
                if let Some(edits) = delay_of(body)? {
                    push_box(&mut kept, b"edts", &edits)?;
                }
            }
            b"mdia" => {
                let mut media = Vec::with_capacity(body.len());
                for child in top_boxes(body)? {
                    if child.kind == FourCC::new(b"mdhd") {
                        let header = without_duration(&body[child.body], 12);
                        push_box(&mut media, b"mdhd", &header)?;
                    } else {
                        media.extend_from_slice(&body[child.whole]);
                    }
                }
                push_box(&mut kept, b"mdia", &media)?;
            }
            b"udta" | b"meta" => {}
            _ => kept.extend_from_slice(&trak[child.whole]),
        }
    }
    Ok(kept)
}

/// A header box whose duration is not known, which is 0 in a fragmented file; `before` bytes lie between its two times
/// and the duration when those are of 32 bits, the flags included.
fn without_duration(body: &[u8], before: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    // Flags, two times, then a timescale or a track number with what is reserved behind it.
    let (at, size) = if body.first() == Some(&1) {
        (before + 12, 8)
    } else {
        (before + 4, 4)
    };
    if let Some(duration) = body.get_mut(at..at + size) {
        duration.fill(0);
    }
    body
}

/// The edit list of a track whose pictures are shown later than decoded; nothing else in it survives, because decode
/// times run on from file to file.
fn delay_of(edts: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
    let found = top_boxes(edts)?;
    let Some(elst) = found
        .iter()
        .find(|found| found.kind == FourCC::new(b"elst"))
    else {
        return Ok(None);
    };
    let body = &edts[elst.body.clone()];
    let is_wide = body.first() == Some(&1);
    let (size, at) = if is_wide { (20, 12) } else { (12, 4) };
    let delay = body
        .get(8..)
        .unwrap_or_default()
        .chunks_exact(size)
        // An empty edit has -1; a delay of 32 bits is 13 hours at 90 kHz.
        .filter_map(|entry| number_at(entry, at))
        .find(|&delay| delay > 0 && delay < u32::MAX / 2);
    let Some(delay) = delay else {
        return Ok(None);
    };
    // Version 0, one entry, of no known length, at normal speed.
    let numbers = [0, 1, 0, delay, 0x0001_0000];
    let list: Vec<u8> = numbers.into_iter().flat_map(u32::to_be_bytes).collect();
    let mut edits = Vec::new();
    push_box(&mut edits, b"elst", &list)?;
    Ok(Some(edits))
}

/// The number in `tkhd`, behind two times of 32 or 64 bits (8.3.2).
fn track_id_of(trak: &[u8]) -> Result<Option<u32>, BoxError> {
    let found = top_boxes(trak)?;
    let Some(tkhd) = found
        .iter()
        .find(|found| found.kind == FourCC::new(b"tkhd"))
    else {
        return Ok(None);
    };
    let body = &trak[tkhd.body.clone()];
    let at = if body.first() == Some(&1) { 20 } else { 12 };
    Ok(number_at(body, at))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let number: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(number))
}

fn push_box(out: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) -> Result<(), BoxError> {
    let size = u32::try_from(body.len() + 8).map_err(|_| BoxError::TooLarge("box"))?;
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(body);
    Ok(())
}

/// The parts the chunks of a segment make: each a run of samples with its length.
///
/// A chunk is a part where that keeps the rule of the standard: no part is longer than `part_target` ticks, and none but
/// the last shorter than 90 % of it (RFC 8216bis 4.4.3.7 asks for 85). Where it does not, chunks are joined, or cut between samples.
pub fn parts(chunks: &[Chunk], part_target: MediaTime) -> Vec<(Vec<FileSample>, MediaTime)> {
    let target = part_target.ticks.max(1);
    let mut parts: Vec<(Vec<FileSample>, i64)> = Vec::new();
    let mut open: Option<(Vec<FileSample>, i64)> = None;
    for chunk in chunks {
        for file in &chunk.samples {
            let duration = file.sample.duration;
            if let Some(full) = open.take_if(|(_, length)| *length + duration > target) {
                parts.push(full);
            }
            let (samples, length) = open.get_or_insert_default();
            samples.push(file.clone());
            *length += duration;
        }
        // A chunk that ends short of a part takes the beginning of the next one in.
        if let Some(full) = open.take_if(|(_, length)| *length * 100 >= target * 90) {
            parts.push(full);
        }
    }
    parts.extend(open);
    let timed = |(samples, ticks)| {
        let timescale = part_target.timescale;
        (samples, MediaTime { ticks, timescale })
    };
    parts.into_iter().map(timed).collect()
}

#[cfg(test)]
mod tests;
