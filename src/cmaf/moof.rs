//! Makes a part of what the muxer wrote: one `moof`, one `mdat`.
//!
//! Belongs here: the boxes of a part and the times, flags and sizes in them. The sizes and bytes are the muxer's; the times
//! and flags are the segmenter's, because only it knows the whole line. The muxer opens a new `moof` at every sync sample;
//! they are joined, one being the leanest and what players see most.
//! Does not: where a part ends (`segmenter`).

use std::ops::Range;

use bytes::Bytes;
use mp4_atom::{
    Decode, DecodeAtom, Encode, FourCC, Header, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry,
};

use super::{
    boxes::{BoxError, check_counts, top_boxes},
    segmenter::{Cut, Sample},
};

/// Sample flags of a sync sample: it depends on no other (ISO/IEC 14496-12 8.8.3.1).
const SYNC_FLAGS: u32 = 0x0200_0000;
/// Sample flags of any other: it depends on others and is no sync sample.
const NON_SYNC_FLAGS: u32 = 0x0101_0000;

const MOOF: FourCC = FourCC::new(b"moof");
const MDAT: FourCC = FourCC::new(b"mdat");

/// The part made of one run of the muxer: `ftyp`, `moov` and any number of `moof`/`mdat` pairs in `muxed`.
///
/// `sequence` becomes `mfhd.sequence_number`; it only has to rise (rule CM-18) and wraps where its field does.
pub fn part(muxed: &[u8], cut: &Cut, sequence: u64) -> Result<Bytes, BoxError> {
    let mut chunks = Chunks::default();
    for found in top_boxes(muxed)? {
        if found.kind == MOOF {
            chunks.read_moof(muxed, &found.whole)?;
        } else if found.kind == MDAT {
            chunks.take_mdat(&found.body)?;
        }
    }
    chunks.finish(muxed, cut, sequence)
}

/// What the `moof`s of a run say: where each sample's bytes are.
#[derive(Default)]
struct Chunks {
    track_id: u32,
    sizes: Vec<u32>,
    /// Where the samples lie, one range a track run, in order.
    runs: Vec<Range<usize>>,
    /// Runs read but not yet found in an `mdat`.
    unplaced: usize,
}

impl Chunks {
    fn read_moof(&mut self, muxed: &[u8], whole: &Range<usize>) -> Result<(), BoxError> {
        let unreadable = |error: mp4_atom::Error| BoxError::Unreadable {
            name: "moof",
            reason: error.to_string(),
        };
        let mut bytes = &muxed[whole.clone()];
        check_counts(bytes)?;
        let header = Header::decode(&mut bytes).map_err(unreadable)?;
        let moof = Moof::decode_atom(&header, &mut bytes).map_err(unreadable)?;
        for traf in &moof.traf {
            self.track_id = traf.tfhd.track_id;
            for run in &traf.trun {
                self.read_run(&traf.tfhd, run, whole.start, muxed.len())?;
            }
        }
        Ok(())
    }

    /// `most`: the samples there can be. A run without fields of its own has as many as it claims.
    fn read_run(
        &mut self,
        tfhd: &Tfhd,
        run: &Trun,
        moof_start: usize,
        most: usize,
    ) -> Result<(), BoxError> {
        let base = match tfhd.base_data_offset {
            Some(offset) => usize::try_from(offset).map_err(|_| BoxError::OutsideMediaData)?,
            None => moof_start,
        };
        let offset = run
            .data_offset
            .ok_or(BoxError::Missing("data offset in trun"))?;
        let start = base
            .checked_add_signed(isize::try_from(offset).map_err(|_| BoxError::OutsideMediaData)?)
            .ok_or(BoxError::OutsideMediaData)?;
        let mut end = start;
        for sample in run.samples.iter() {
            let size = sample
                .size
                .or(tfhd.default_sample_size)
                .ok_or(BoxError::Missing("sample size in trun or tfhd"))?;
            if self.sizes.len() == most {
                return Err(BoxError::TooLarge("sample count of trun"));
            }
            self.sizes.push(size);
            end = usize::try_from(size)
                .ok()
                .and_then(|size| end.checked_add(size))
                .ok_or(BoxError::OutsideMediaData)?;
        }
        self.runs.push(start..end);
        self.unplaced += 1;
        Ok(())
    }

    /// The runs read since the last `mdat` have to lie inside this one and fill it (rule CM-08).
    fn take_mdat(&mut self, body: &Range<usize>) -> Result<(), BoxError> {
        let mut at = body.start;
        let placed = self.runs.len() - self.unplaced;
        for run in &self.runs[placed..] {
            if run.start != at || run.end > body.end {
                return Err(BoxError::OutsideMediaData);
            }
            at = run.end;
        }
        if at != body.end {
            return Err(BoxError::OutsideMediaData);
        }
        self.unplaced = 0;
        Ok(())
    }

    fn finish(self, muxed: &[u8], cut: &Cut, sequence: u64) -> Result<Bytes, BoxError> {
        if self.runs.is_empty() {
            return Err(BoxError::Missing("moof"));
        }
        if self.unplaced > 0 {
            return Err(BoxError::Missing("mdat"));
        }
        if self.sizes.len() != cut.samples.len() {
            return Err(BoxError::SampleCount {
                muxed: self.sizes.len(),
                fed: cut.samples.len(),
            });
        }
        let media: Vec<&[u8]> = self.runs.into_iter().map(|run| &muxed[run]).collect();
        write(
            self.track_id,
            cut.decode,
            sequence,
            cut.samples.iter().zip(self.sizes),
            &media,
        )
    }
}

/// One `moof` and one `mdat` with these samples, each with its size; `media` are their bytes in order.
pub(super) fn write<'a>(
    track_id: u32,
    decode: i64,
    sequence: u64,
    samples: impl Iterator<Item = (&'a Sample, u32)>,
    media: &[&[u8]],
) -> Result<Bytes, BoxError> {
    let media_length: usize = media.iter().map(|run| run.len()).sum();
    let entries = samples
        .map(|(sample, size)| entry(sample, size))
        .collect::<Result<Vec<_>, _>>()?;
    let mut bytes = Vec::with_capacity(media_length + 128 + 16 * entries.len());
    encode_moof(track_id, decode, sequence, entries, &mut bytes)?;
    let header = Header {
        kind: MDAT,
        size: Some(media_length),
    };
    encode(&header, "mdat", &mut bytes)?;
    for run in media {
        bytes.extend_from_slice(run);
    }
    Ok(Bytes::from(bytes))
}

fn entry(sample: &Sample, size: u32) -> Result<TrunEntry, BoxError> {
    // Signed offsets: trun version 1 (CMAF 7.5.17 allows it), because a border may move a decode time past it.
    let composition_offset = i32::try_from(sample.composition_offset)
        .map_err(|_| BoxError::TooLarge("composition offset"))?;
    Ok(TrunEntry {
        duration: Some(
            u32::try_from(sample.duration).map_err(|_| BoxError::TooLarge("sample duration"))?,
        ),
        size: Some(size),
        flags: Some(if sample.is_sync {
            SYNC_FLAGS
        } else {
            NON_SYNC_FLAGS
        }),
        cts: Some(i64::from(composition_offset)),
    })
}

fn encode_moof(
    track_id: u32,
    decode: i64,
    sequence: u64,
    entries: Vec<TrunEntry>,
    bytes: &mut Vec<u8>,
) -> Result<(), BoxError> {
    let mut moof = Moof {
        mfhd: Mfhd {
            // A field of 32 bits that only has to rise: at ten parts a second it wraps after 13 years.
            sequence_number: sequence as u32,
        },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id,
                // Offsets count from the moof (rule CM-05).
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt {
                base_media_decode_time: u64::try_from(decode)
                    .map_err(|_| BoxError::TooLarge("decode time"))?,
            }),
            trun: vec![Trun {
                data_offset: Some(0),
                samples: entries.into(),
            }],
            ..Traf::default()
        }],
    };
    // The offset is a fixed-size field, so the length known from a first pass holds for the second.
    encode(&moof, "moof", bytes)?;
    let offset = bytes.len() + MDAT_HEADER_LENGTH;
    moof.traf[0].trun[0].data_offset =
        Some(i32::try_from(offset).map_err(|_| BoxError::TooLarge("moof"))?);
    bytes.clear();
    encode(&moof, "moof", bytes)
}

const MDAT_HEADER_LENGTH: usize = 8;

fn encode(what: &impl Encode, name: &'static str, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
    what.encode(bytes).map_err(|error| BoxError::Unreadable {
        name,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MediaTime, RunningTime, Timescale};

    /// What a muxer might write: each inner list one moof with these sample bytes.
    fn muxed(chunks: &[&[&[u8]]]) -> Vec<u8> {
        let mut out = Vec::new();
        Header {
            kind: FourCC::new(b"ftyp"),
            size: Some(4),
        }
        .encode(&mut out)
        .unwrap();
        out.extend_from_slice(b"iso4");
        for samples in chunks {
            let entries: Vec<_> = samples
                .iter()
                .map(|sample| TrunEntry {
                    duration: Some(7),
                    size: Some(sample.len() as u32),
                    flags: Some(0),
                    cts: None,
                })
                .collect();
            let mut moof = Moof {
                mfhd: Mfhd { sequence_number: 0 },
                traf: vec![Traf {
                    tfhd: Tfhd {
                        track_id: 3,
                        ..Tfhd::default()
                    },
                    trun: vec![Trun {
                        data_offset: Some(0),
                        samples: entries.into(),
                    }],
                    ..Traf::default()
                }],
            };
            let mut probe = Vec::new();
            moof.encode(&mut probe).unwrap();
            moof.traf[0].trun[0].data_offset = Some(probe.len() as i32 + 8);
            moof.encode(&mut out).unwrap();
            let length = samples.iter().map(|sample| sample.len()).sum();
            Header {
                kind: MDAT,
                size: Some(length),
            }
            .encode(&mut out)
            .unwrap();
            for sample in *samples {
                out.extend_from_slice(sample);
            }
        }
        out
    }

    fn cut(decode: i64, samples: &[(i64, i64, bool)]) -> Cut {
        let samples: Vec<_> = samples
            .iter()
            .map(|&(duration, composition_offset, is_sync)| Sample {
                duration,
                composition_offset,
                is_sync,
            })
            .collect();
        Cut {
            decode,
            duration: MediaTime {
                ticks: samples.iter().map(|sample| sample.duration).sum(),
                timescale: Timescale::new(90_000).unwrap(),
            },
            samples,
            captured: RunningTime(0),
            date: RunningTime(0),
            zero: RunningTime(0),
            is_discontinuity: false,
        }
    }

    fn read(part: &[u8]) -> (Moof, Vec<u8>) {
        let boxes = top_boxes(part).unwrap();
        assert_eq!(boxes.len(), 2, "one moof, one mdat");
        let moof = Moof::decode(&mut &part[boxes[0].whole.clone()]).unwrap();
        let offset = moof.traf[0].trun[0].data_offset.unwrap() as usize;
        assert_eq!(
            offset, boxes[1].body.start,
            "data_offset points at the first sample"
        );
        (moof, part[boxes[1].body.clone()].to_vec())
    }

    #[test]
    fn several_chunks_become_one_with_the_times_of_the_line() {
        let decode = i64::from(u32::MAX) + 5;
        let cut = cut(
            decode,
            &[(3003, 0, true), (3000, -40, false), (3006, 6006, true)],
        );
        let bytes = part(&muxed(&[&[b"abc", b"de"], &[b"fghi"]]), &cut, 9).unwrap();
        let (moof, media) = read(&bytes);
        assert_eq!(media, b"abcdefghi");
        assert_eq!(moof.mfhd.sequence_number, 9);
        let traf = &moof.traf[0];
        assert_eq!(traf.tfhd.track_id, 3);
        assert!(traf.tfhd.default_base_is_moof && traf.tfhd.base_data_offset.is_none());
        assert_eq!(
            traf.tfdt.as_ref().unwrap().base_media_decode_time,
            decode as u64
        );
        let samples: Vec<_> = traf.trun[0]
            .samples
            .iter()
            .map(|sample| {
                (
                    sample.duration.unwrap(),
                    sample.size.unwrap(),
                    sample.flags.unwrap(),
                    sample.cts.unwrap(),
                )
            })
            .collect();
        assert_eq!(
            samples,
            [
                (3003, 3, SYNC_FLAGS, 0),
                (3000, 2, NON_SYNC_FLAGS, -40),
                (3006, 4, SYNC_FLAGS, 6006)
            ]
        );
    }

    #[test]
    fn truncated_anywhere_it_is_an_error_and_never_a_panic() {
        let whole = muxed(&[&[b"abc", b"de"], &[b"fghi"]]);
        let cut = cut(0, &[(1, 0, true), (1, 0, false), (1, 0, true)]);
        for length in 0..whole.len() {
            assert!(part(&whole[..length], &cut, 0).is_err(), "cut at {length}");
        }
        assert!(part(&whole, &cut, 0).is_ok());
    }

    #[test]
    fn any_changed_byte_is_an_error_or_a_part_but_never_a_panic() {
        let whole = muxed(&[&[b"abc", b"de"]]);
        let cut = cut(0, &[(1, 0, true), (1, 0, false)]);
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = part(&bytes, &cut, 0);
            }
        }
    }

    #[test]
    fn another_number_of_samples_is_refused() {
        let cut = cut(0, &[(1, 0, true)]);
        assert_eq!(
            part(&muxed(&[&[b"abc", b"de"]]), &cut, 0),
            Err(BoxError::SampleCount { muxed: 2, fed: 1 })
        );
    }

    #[test]
    fn nothing_muxed_is_refused() {
        assert_eq!(
            part(&muxed(&[]), &cut(0, &[(1, 0, true)]), 0),
            Err(BoxError::Missing("moof"))
        );
    }
}
