//! Makes one presentation of files that were written one after the other.
//!
//! Belongs here: decode times that run on whatever the files count from, dates, where a discontinuity is, what the playlists
//! will say for good. Pure: a file comes as bytes together with the moment it was finished. Does not: which file comes next
//! (`intake`), what is in a box (`cmaf/fragment`).

use bytes::Bytes;

use super::{
    chunks::{LONGEST_BRIDGED_HOLE, TOLERANCE, bridge, duration_of, first_of, part_target, settle},
    cuts::{self, Part},
};
use crate::{
    cmaf::fragment::{self, Chunk, FileError, FragmentedFile, TrackHeader},
    origin::media::{
        Constants, InitSection, NewPart, Publication, RenditionId, RenditionKind, RenditionSettings,
    },
    time::{MediaTime, Nanos, UnixTime},
};

/// How much later than its length says a file of a writer that counts anew in each may come, before something is missing.
const LONGEST_SILENCE: Nanos = Nanos::from_seconds(3);

/// How much dates may move from segment to segment, towards when files really come.
const MOST_DRIFT_A_SEGMENT: Nanos = Nanos::from_millis(1);

/// More tracks than this are not presented.
const MOST_TRACKS: usize = 16;

/// Files so far, as one line.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// The wanted length of a segment, the least TARGETDURATION is made of.
    segment_duration: Nanos,
    /// One a track, videos first. Empty until a header was taken.
    lines: Vec<Line>,
    /// Set with the first segment and never again.
    target_duration: Option<u32>,
    newest: Option<Newest>,
    /// What the next file begins with does not follow from what was published.
    has_hole: bool,
}

#[derive(Clone, Debug)]
struct Line {
    header: TrackHeader,
    /// `header` was not published yet.
    needs_init: bool,
    /// Decode time where the last segment ended, in ticks.
    end: i64,
    /// The same by the writer's count.
    source_end: i64,
    part_target: Option<MediaTime>,
    /// Parts published so far.
    parts: u64,
}

/// The last file that was published.
#[derive(Clone, Copy, Debug)]
struct Newest {
    /// Decode time of its first sample, main track, by the writer's count.
    first: Nanos,
    completed: UnixTime,
    /// Its end on the wall clock, by the dates that were published.
    date_end: UnixTime,
}

/// How a file follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    /// By the writer's count it begins where the other ended, or a little later.
    GoesOn,
    /// The writer counts anew in every file.
    CountsAnew,
    /// Something is missing, or another writer began.
    Jump,
}

/// What a header changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderNews {
    /// Nothing.
    Same,
    /// The tracks are known now.
    First,
    /// The same tracks, in another format.
    OtherFormat,
    /// Other tracks than the presentation has: nothing can be made of it.
    OtherTracks,
}

impl Timeline {
    pub(super) fn new(segment_duration: Nanos) -> Self {
        Self {
            segment_duration,
            lines: Vec::new(),
            target_duration: None,
            newest: None,
            has_hole: false,
        }
    }

    /// Whether files without `moov` can be read.
    pub(super) fn has_header(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Whether a file has something of every track.
    pub(super) fn has_all_of(&self, file: &FragmentedFile<'_>) -> bool {
        let has = |line: &Line| file.chunks(&line.header).is_ok();
        self.lines.iter().all(has)
    }

    /// A file was left out: what comes next does not follow.
    pub(super) fn note_hole(&mut self) {
        self.has_hole = self.newest.is_some();
    }

    /// What is presented, the main rendition first.
    pub(super) fn renditions(&self) -> Vec<RenditionSettings> {
        let mut counts = [0_u32; 2];
        let named = |line: &Line| {
            let is_audio = line.header.is_audio();
            let kind = if is_audio {
                RenditionKind::Audio
            } else {
                RenditionKind::Video
            };
            let count = &mut counts[usize::from(is_audio)];
            // As pads are called: video, video_0, video_1.
            let name = match count.checked_sub(1) {
                None => kind.as_str().to_owned(),
                Some(number) => format!("{}_{number}", kind.as_str()),
            };
            *count += 1;
            RenditionSettings::new(kind, name)
        };
        self.lines.iter().map(named).collect()
    }

    /// Whether a header has the same kinds of tracks as the presentation, one of them in another format.
    pub(super) fn is_other_format(&self, headers: &[TrackHeader]) -> bool {
        let news = self.clone().take_header(headers.to_vec());
        news == HeaderNews::OtherFormat
    }

    /// Takes what a `moov` says.
    pub(super) fn take_header(&mut self, mut headers: Vec<TrackHeader>) -> HeaderNews {
        headers.truncate(MOST_TRACKS);
        if self.lines.is_empty() {
            let line = |header| Line {
                header,
                needs_init: true,
                end: 0,
                source_end: 0,
                part_target: None,
                parts: 0,
            };
            self.lines = headers.into_iter().map(line).collect();
            return HeaderNews::First;
        }
        let kinds = |headers: &mut dyn Iterator<Item = &TrackHeader>| -> Vec<bool> {
            headers.map(TrackHeader::is_audio).collect()
        };
        let current = kinds(&mut self.lines.iter().map(|line| &line.header));
        if current != kinds(&mut headers.iter()) {
            return HeaderNews::OtherTracks;
        }
        let mut news = HeaderNews::Same;
        for (line, header) in self.lines.iter_mut().zip(headers) {
            if header.has_format_of(&line.header) {
                line.header = header.written_as(&line.header);
                continue;
            }
            line.needs_init = true;
            news = HeaderNews::OtherFormat;
            let in_new_ticks = |ticks| header.timescale.ticks(line.header.timescale.nanos(ticks));
            line.end = in_new_ticks(line.end);
            line.source_end = in_new_ticks(line.source_end);
            // As long as it was (rule PL-17), or a tick less.
            line.part_target = line.part_target.map(|target| MediaTime {
                ticks: target.to_units_floor(header.timescale.ticks_per_second()),
                timescale: header.timescale,
            });
            line.header = header;
        }
        news
    }

    /// Files without `moov` are read as they were `before`, a moment ago.
    pub(super) fn read_like(&mut self, before: &Self) {
        for (line, before) in self.lines.iter_mut().zip(&before.lines) {
            line.header = before.header.clone();
        }
    }

    /// Makes a segment of every rendition of a file that was finished at `completed`; several of one that is longer than
    /// EXT-X-TARGETDURATION allows. On an error nothing has changed.
    pub(super) fn take(
        &mut self,
        file: &FragmentedFile<'_>,
        completed: UnixTime,
    ) -> Result<Vec<Publication>, FileError> {
        let mut tracks = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let mut chunks = file.chunks(&line.header)?;
            settle(&mut chunks, &line.header);
            tracks.push(chunks);
        }
        let (Some(main), Some(chunks)) = (self.lines.first(), tracks.first()) else {
            return Err(FileError::NoTrack);
        };
        let first = main.header.timescale.nanos(first_of(chunks));
        let duration = main.header.timescale.nanos(duration_of(chunks));
        let joint = self.joint(first, duration, &tracks, completed);
        let starts = self.starts(joint, &mut tracks);
        let main = &self.lines[0];
        let duration = main.header.timescale.nanos(duration_of(&tracks[0]));
        if duration.0 <= 0 {
            return Err(FileError::NoSamples);
        }
        let date = self.date(joint, duration, completed);
        let lengths = self.lines.iter().zip(&tracks).map(|(line, chunks)| {
            let length = line.header.timescale.nanos(duration_of(chunks));
            seconds(length)
        });
        let longest = lengths.max().unwrap_or(1);
        let target_duration = self
            .target_duration
            .unwrap_or_else(|| seconds(self.segment_duration).max(longest));

        // Of all renditions, when one has another format: they count discontinuities alike (rule MV-09).
        let has_new_format = self.newest.is_some() && self.lines.iter().any(|line| line.needs_init);
        let is_discontinuity = joint == Some(Joint::Jump) || has_new_format;
        let zero = Nanos(date.0 - self.lines[0].header.timescale.nanos(starts[0]).0);
        let mut all_parts = Vec::with_capacity(self.lines.len());
        for (line, chunks) in self.lines.iter().zip(&tracks) {
            let part_target = line
                .part_target
                .unwrap_or_else(|| part_target(chunks, &line.header, target_duration));
            all_parts.push((fragment::parts(chunks, part_target), part_target));
        }
        let cuts = if longest > target_duration {
            let tracks: Vec<&[Part]> = all_parts.iter().map(|(parts, _)| &**parts).collect();
            cuts::cuts(&tracks, target_duration)
        } else {
            vec![Vec::new(); self.lines.len()]
        };
        let mut publications = Vec::new();
        let mut ends = Vec::with_capacity(self.lines.len());
        for ((place, line), (((parts, part_target), cuts), start)) in self
            .lines
            .iter()
            .enumerate()
            .zip(all_parts.into_iter().zip(cuts).zip(&starts))
        {
            let id = RenditionId(place);
            if line.needs_init {
                publications.push(Publication::Init(id, init_section(&line.header)));
            }
            let mut decode = *start;
            let mut constants = line.part_target.is_none().then_some(Constants {
                target_duration,
                part_target,
                first_segment_has_parts: true,
            });
            for (nth, (samples, length)) in parts.iter().enumerate() {
                if cuts.contains(&nth) {
                    publications.push(Publication::SegmentEnd(id, constants.take()));
                }
                let sequence = line.parts + nth as u64 + 1;
                let bytes = file.part(&line.header, samples, decode, sequence)?;
                let begins = UnixTime(zero.0) + line.header.timescale.nanos(decode);
                publications.push(Publication::Part(
                    id,
                    NewPart {
                        bytes,
                        duration: *length,
                        is_independent: cuts::is_independent(samples),
                        captured: begins,
                        program_date_time: begins,
                        is_discontinuity: is_discontinuity && nth == 0,
                    },
                ));
                decode += length.ticks;
            }
            publications.push(Publication::SegmentEnd(id, constants));
            ends.push((decode, parts.len() as u64, part_target));
        }

        for ((line, chunks), (end, parts, part_target)) in
            self.lines.iter_mut().zip(&tracks).zip(ends)
        {
            line.end = end;
            line.source_end = first_of(chunks) + duration_of(chunks);
            line.parts += parts;
            line.part_target = Some(part_target);
            line.needs_init = false;
        }
        self.target_duration = Some(target_duration);
        self.has_hole = false;
        self.newest = Some(Newest {
            first,
            completed,
            date_end: date + duration,
        });
        Ok(publications)
    }

    /// `None` for the first file.
    fn joint(
        &self,
        first: Nanos,
        duration: Nanos,
        tracks: &[Vec<Chunk>],
        completed: UnixTime,
    ) -> Option<Joint> {
        let newest = self.newest?;
        if self.has_hole {
            return Some(Joint::Jump);
        }
        let mut go_on = self.lines.iter().zip(tracks).map(|(line, chunks)| {
            let ahead = line
                .header
                .timescale
                .nanos(first_of(chunks) - line.source_end);
            (-TOLERANCE.0..=LONGEST_BRIDGED_HOLE.0).contains(&ahead.0)
        });
        // Where one of the others does not, bridging it would move it against the main one for good.
        if go_on.next() == Some(true) {
            let all_go_on = go_on.all(|goes_on| goes_on);
            return Some(if all_go_on {
                Joint::GoesOn
            } else {
                Joint::Jump
            });
        }
        let counts_anew = (first.0 - newest.first.0).abs() <= TOLERANCE.0;
        let silence = Nanos((completed - newest.completed).0 - duration.0);
        let (earliest, latest) = self.spread(tracks);
        let are_near = latest - earliest <= LONGEST_BRIDGED_HOLE.0;
        Some(if counts_anew && silence < LONGEST_SILENCE && are_near {
            Joint::CountsAnew
        } else {
            Joint::Jump
        })
    }

    /// Where each track goes on, in its ticks. Small holes are closed by the first sample, which lasts longer for it.
    fn starts(&self, joint: Option<Joint>, tracks: &mut [Vec<Chunk>]) -> Vec<i64> {
        let lines = || self.lines.iter();
        match joint {
            Some(Joint::GoesOn) => {
                for (line, chunks) in lines().zip(tracks) {
                    let ahead = first_of(chunks) - line.source_end;
                    bridge(chunks, ahead, &line.header);
                }
                lines().map(|line| line.end).collect()
            }
            Some(Joint::CountsAnew) => {
                self.bring_together(tracks);
                lines().map(|line| line.end).collect()
            }
            None | Some(Joint::Jump) => {
                // All begin at one moment, as far apart as the writer has them.
                let nanos = |(line, chunks): (&Line, &Vec<Chunk>)| {
                    line.header.timescale.nanos(first_of(chunks))
                };
                let earliest = lines().zip(&*tracks).map(nanos).min().unwrap_or_default();
                let end = lines()
                    .map(|line| line.header.timescale.nanos(line.end))
                    .max()
                    .unwrap_or_default();
                lines()
                    .zip(&*tracks)
                    .map(|(line, chunks)| {
                        let apart = Nanos(nanos((line, chunks)).0 - earliest.0);
                        line.header.timescale.ticks(end + apart)
                    })
                    .collect()
            }
        }
    }

    /// Tracks of a writer that counts anew are as far apart as their lengths add up to. What the last samples of the files say of
    /// their own lengths is often wrong, always the same way: those that fell behind begin later, once it can be heard.
    fn bring_together(&self, tracks: &mut [Vec<Chunk>]) {
        let (earliest, latest) = self.spread(tracks);
        if latest - earliest <= TOLERANCE.0 {
            return;
        }
        for (line, chunks) in self.lines.iter().zip(tracks) {
            let behind = Nanos(latest - line.begin(chunks).0);
            bridge(chunks, line.header.timescale.ticks(behind), &line.header);
        }
    }

    /// Where a file would begin for the track that is the furthest back, and for the one that is the furthest on, in nanoseconds.
    fn spread(&self, tracks: &[Vec<Chunk>]) -> (i64, i64) {
        let begins = || {
            let lines = self.lines.iter().zip(tracks);
            lines.map(|(line, chunks)| line.begin(chunks).0)
        };
        (
            begins().min().unwrap_or_default(),
            begins().max().unwrap_or_default(),
        )
    }

    /// PROGRAM-DATE-TIME of a file: what is published runs on without jitter, and follows when files come by a little.
    fn date(&self, joint: Option<Joint>, duration: Nanos, completed: UnixTime) -> UnixTime {
        let seen = completed + Nanos(-duration.0);
        match (joint, self.newest) {
            (Some(Joint::GoesOn | Joint::CountsAnew), Some(newest)) => {
                let off = (seen - newest.date_end).0;
                let most = MOST_DRIFT_A_SEGMENT.0;
                newest.date_end + Nanos(off.clamp(-most, most))
            }
            // Dates do not go back over a jump (rule PL-33).
            (_, Some(newest)) => seen.max(newest.date_end),
            (_, None) => seen,
        }
    }
}

impl Line {
    /// Where a file would begin if it were for this track alone.
    fn begin(&self, chunks: &[Chunk]) -> Nanos {
        self.header.timescale.nanos(self.end - first_of(chunks))
    }
}

fn init_section(header: &TrackHeader) -> InitSection {
    InitSection {
        bytes: Bytes::clone(&header.init),
        codec: header.description.codec.clone(),
        resolution: header.description.resolution,
        frame_rate: None,
        channels: header.description.channels,
    }
}

/// Whole seconds, to nearest, at least one.
fn seconds(span: Nanos) -> u32 {
    let rounded = (span.0 + 500_000_000) / 1_000_000_000;
    u32::try_from(rounded.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
