//! What the writer's thread does to the disk, one rendition a shelf.
//!
//! Belongs here: segments appended part by part, init sections, the playlists beside them, what is removed, what is said of a
//! disk that is full. Does not: the queue before it, and what finds no room there (`writer`).

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    sync::{Arc, atomic::Ordering},
};

use super::{Job, Keep, Outline, What, WriterCounts, WriterSettings, Written};
use crate::{
    delivery::archive::{self, ArchiveKind, ArchivedRendition, ArchivedSegment},
    origin::media::{Constants, InitSection, Msn, NewPart, RenditionId, RenditionSettings},
    origin::name::{InitNumber, MediaName, MediaNames},
    watch::folder::Folder,
};

/// Bytes of a playlist that wait for a disk that takes none. What comes after more is behind a discontinuity, as if it were
/// another recording.
const MOST_UNWRITTEN: usize = 1 << 20;

/// What is on the disk of one rendition.
struct Shelf {
    settings: RenditionSettings,
    names: MediaNames,
    playlist: String,
    /// The init section that segments use now: its file, its bytes and what it says.
    init: Option<(String, InitSection)>,
    next_init: u64,
    open: Option<OpenSegment>,
    /// Of a live playlist: what it names, oldest first, with the init section each needs.
    listed: VecDeque<(Msn, ArchivedSegment, String)>,
    discontinuity_sequence: u64,
    /// Whether a playlist file was begun.
    has_playlist: bool,
    /// The init section the last line of the playlist is under.
    named_init: Option<String>,
    target_duration: Option<u32>,
    /// Lines of a recording's playlist that are not on the disk yet.
    unwritten: String,
    /// What comes next does not follow from what an earlier run left.
    resumes: bool,
    bandwidth: u64,
    /// The next segment to be removed when there are too many.
    oldest: Option<Msn>,
}

impl Shelf {
    fn live_playlist(&self, target_duration: u32) -> String {
        let mut text = String::new();
        let mut named = None;
        for (nth, (msn, segment, init)) in self.listed.iter().enumerate() {
            if nth == 0 {
                text = archive::header(
                    ArchiveKind::Live,
                    target_duration,
                    msn.0,
                    self.discontinuity_sequence,
                );
            }
            let is_named = named.replace(init) == Some(init);
            text.push_str(&archive::segment(&ArchivedSegment {
                init: (!is_named).then(|| init.clone()),
                ..segment.clone()
            }));
        }
        text
    }
}

struct OpenSegment {
    msn: Msn,
    file: File,
    name: String,
    parts: usize,
    bytes: u64,
}

pub(super) struct Work {
    folder: Folder,
    keep: Keep,
    playlist_name: String,
    shelves: Vec<Shelf>,
    tell: Arc<dyn Fn(Written) + Send + Sync>,
    counts: Arc<WriterCounts>,
    /// The last write failed and somebody was told.
    is_failing: bool,
    /// Text of the multivariant playlist as it is on the disk.
    multivariant: String,
    is_finished: bool,
}

impl Work {
    pub(super) fn new(
        folder: Folder,
        settings: WriterSettings,
        first: Msn,
        tell: Arc<dyn Fn(Written) + Send + Sync>,
        counts: Arc<WriterCounts>,
    ) -> Self {
        let stem = settings
            .playlist_name
            .strip_suffix(".m3u8")
            .unwrap_or(&settings.playlist_name);
        let is_single = settings.renditions.len() == 1;
        let files = folder.own_files(&settings.renditions);
        let shelves = settings
            .renditions
            .iter()
            .enumerate()
            .map(|(place, rendition)| {
                let id = RenditionId(place);
                let own = files.iter().filter(|(owner, _)| *owner == id);
                let (mut inits, mut segments) = (Vec::new(), Vec::new());
                for (_, name) in own {
                    match name {
                        MediaName::Init(InitNumber(number)) => inits.push(*number),
                        MediaName::Segment(msn) => segments.push(*msn),
                        MediaName::Part(_) => {}
                    }
                }
                Shelf {
                    names: MediaNames::new(id, &rendition.name),
                    playlist: if is_single {
                        settings.playlist_name.clone()
                    } else {
                        format!("{stem}_{}.m3u8", rendition.name)
                    },
                    settings: rendition.clone(),
                    init: None,
                    // Those of an earlier run stay as long as its segments do.
                    next_init: inits.into_iter().max().map_or(0, |last| last + 1),
                    open: None,
                    listed: VecDeque::new(),
                    discontinuity_sequence: 0,
                    has_playlist: false,
                    named_init: None,
                    target_duration: None,
                    unwritten: String::new(),
                    resumes: first > Msn::FIRST,
                    bandwidth: 0,
                    oldest: segments.into_iter().min(),
                }
            })
            .collect();
        Self {
            folder,
            keep: settings.keep,
            playlist_name: settings.playlist_name.clone(),
            shelves,
            tell,
            counts,
            is_failing: false,
            multivariant: String::new(),
            is_finished: false,
        }
    }

    pub(super) fn take(&mut self, job: Job) {
        let Job {
            id,
            msn,
            index,
            what,
            lost,
        } = job;
        if matches!(what, What::Finish) {
            return self.finish();
        }
        let Some(shelf) = self.shelves.get_mut(id.0) else {
            return;
        };
        // A part of the segment before it was lost on the way here.
        if shelf.open.as_ref().is_some_and(|open| open.msn != msn) {
            self.give_up(id);
        }
        for outline in lost {
            self.list_gap(id, outline);
        }
        match what {
            What::Part(part, init) => {
                if let Err(error) = self.append(id, msn, index, &part, init) {
                    self.fail(id, msn, &error);
                }
            }
            What::End(constants, outline) => self.close(id, index, constants, outline),
            What::Finish => {}
        }
    }

    /// Appends a part to the segment being written; opens that with its first.
    fn append(
        &mut self,
        id: RenditionId,
        msn: Msn,
        index: usize,
        part: &NewPart,
        init: Option<InitSection>,
    ) -> io::Result<()> {
        if index == 0
            && let Err(error) = self.open(id, msn, init.clone())
        {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            // Somebody removed the folder, and with it all that was in it.
            self.folder.make_again()?;
            self.shelves[id.0].init = None;
            self.open(id, msn, init)?;
        }
        let Some(open) = &mut self.shelves[id.0].open else {
            // Its begin could not be written.
            return Ok(());
        };
        open.file.write_all(&part.bytes)?;
        open.parts += 1;
        open.bytes += part.bytes.len() as u64;
        Ok(())
    }

    fn open(&mut self, id: RenditionId, msn: Msn, init: Option<InitSection>) -> io::Result<()> {
        let folder = &self.folder;
        let shelf = &mut self.shelves[id.0];
        if let Some(init) = init
            && shelf
                .init
                .as_ref()
                .is_none_or(|(_, current)| current.bytes != init.bytes)
        {
            let name = shelf
                .names
                .write(MediaName::Init(InitNumber(shelf.next_init)));
            // One of an earlier run will do when it is the same.
            let last = shelf.next_init.checked_sub(1).map(|last| {
                let name = shelf.names.write(MediaName::Init(InitNumber(last)));
                let is_same = folder
                    .read(&name)
                    .is_ok_and(|(_, bytes)| bytes == init.bytes);
                (name, is_same)
            });
            match last {
                Some((name, true)) => shelf.init = Some((name, init)),
                _ => {
                    folder.replace(&name, &init.bytes)?;
                    shelf.next_init += 1;
                    shelf.init = Some((name, init));
                }
            }
        }
        let name = shelf.names.write(MediaName::Segment(msn));
        shelf.open = Some(OpenSegment {
            msn,
            file: folder.create(&name)?,
            name,
            parts: 0,
            bytes: 0,
        });
        Ok(())
    }

    fn close(
        &mut self,
        id: RenditionId,
        parts: usize,
        constants: Option<Constants>,
        outline: Outline,
    ) {
        let shelf = &mut self.shelves[id.0];
        if let Some(constants) = constants {
            shelf.target_duration = Some(constants.target_duration);
        }
        if shelf.open.as_ref().is_none_or(|open| open.parts != parts) {
            self.give_up(id);
            return self.list_gap(id, outline);
        }
        let Some(open) = shelf.open.take() else {
            return;
        };
        // Written back errors come out here.
        drop(open.file);
        let seconds = outline.duration.as_seconds().max(0.001);
        shelf.bandwidth = shelf
            .bandwidth
            .max((open.bytes as f64 * 8.0 / seconds) as u64);
        let init = shelf.init.as_ref().map(|(name, _)| name.clone());
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(open.bytes, Ordering::Relaxed);
        (self.tell)(Written::Segment(id, outline.msn));
        let written = self
            .list(id, outline, init, false)
            .and_then(|()| self.offer_all());
        match written {
            Ok(()) if std::mem::take(&mut self.is_failing) => {
                (self.tell)(Written::Warning(format!(
                    "Files are written to {} again",
                    self.folder.path().display()
                )));
            }
            Ok(()) => {}
            // The segment is there, and named as soon as there is room.
            Err(error) => self.complain(outline.msn, &error),
        }
    }

    /// Keeps the number and the time of a segment that has no file (RFC 8216bis 4.4.4.7).
    fn list_gap(&mut self, id: RenditionId, outline: Outline) {
        let shelf = &self.shelves[id.0];
        // What nothing stands before leaves no hole.
        let Some(init) = shelf.named_init.clone() else {
            return;
        };
        if let Err(error) = self.list(id, outline, Some(init), true) {
            self.complain(outline.msn, &error);
        }
    }

    /// Names a segment in its playlist, and removes what is too old.
    fn list(
        &mut self,
        id: RenditionId,
        outline: Outline,
        init: Option<String>,
        is_gap: bool,
    ) -> io::Result<()> {
        let folder = &self.folder;
        let shelf = &mut self.shelves[id.0];
        let msn = outline.msn;
        let target = shelf.target_duration.unwrap_or(1);
        let is_other_init = init != shelf.named_init;
        let segment = ArchivedSegment {
            name: shelf.names.write(MediaName::Segment(msn)),
            init: init.clone().filter(|_| is_other_init),
            duration: outline.duration,
            program_date_time: outline.program_date_time,
            is_discontinuity: outline.is_discontinuity
                || std::mem::take(&mut shelf.resumes)
                || (is_other_init && shelf.named_init.is_some()),
            is_gap,
        };
        shelf.named_init.clone_from(&init);
        match self.keep {
            Keep::All => {
                if shelf.unwritten.len() > MOST_UNWRITTEN {
                    shelf.unwritten = format!("{}\n", archive::DISCONTINUITY);
                }
                shelf.unwritten.push_str(&archive::segment(&segment));
                if !shelf.has_playlist {
                    let head = archive::header(ArchiveKind::Event, target, msn.0, 0);
                    folder.begin_recording(&shelf.playlist, &head)?;
                    shelf.has_playlist = true;
                }
                folder.append(&shelf.playlist, shelf.unwritten.as_bytes())?;
                shelf.unwritten.clear();
                Ok(())
            }
            Keep::Newest(most) => {
                let init = init.unwrap_or_default();
                shelf.listed.push_back((msn, segment, init));
                while shelf.listed.len() > most
                    && let Some((_, gone, _)) = shelf.listed.pop_front()
                {
                    shelf.discontinuity_sequence += u64::from(gone.is_discontinuity);
                }
                // Those an earlier run left count as well.
                let keep_from = Msn((msn.0 + 1).saturating_sub(most as u64));
                let mut oldest = shelf.oldest.unwrap_or(msn);
                let too_old = oldest.0..keep_from.0;
                oldest = oldest.max(keep_from);
                shelf.oldest = Some(oldest);
                let replaced =
                    folder.replace(&shelf.playlist, shelf.live_playlist(target).as_bytes());
                // Even when the playlist was not: there may be room for it then.
                for gone in too_old {
                    folder.remove(&shelf.names.write(MediaName::Segment(Msn(gone))));
                }
                replaced
            }
        }
    }

    /// Writes the multivariant playlist, when there are several renditions and it changed.
    fn offer_all(&mut self) -> io::Result<()> {
        if self.shelves.len() < 2 {
            return Ok(());
        }
        let offered: Vec<ArchivedRendition<'_>> = self
            .shelves
            .iter()
            .filter_map(|shelf| {
                let (_, init) = shelf.init.as_ref()?;
                Some(ArchivedRendition {
                    kind: shelf.settings.kind,
                    label: &shelf.settings.label,
                    language: shelf.settings.language.as_deref(),
                    playlist: &shelf.playlist,
                    init,
                    bandwidth: shelf.bandwidth,
                })
            })
            .collect();
        let text = archive::multivariant(&offered);
        if text != self.multivariant {
            self.folder.replace(&self.playlist_name, text.as_bytes())?;
            self.multivariant = text;
        }
        Ok(())
    }

    /// The segment being written is not whole: it does not stay.
    fn give_up(&mut self, id: RenditionId) {
        if let Some(open) = self.shelves[id.0].open.take() {
            drop(open.file);
            self.folder.remove(&open.name);
        }
    }

    fn fail(&mut self, id: RenditionId, msn: Msn, error: &io::Error) {
        self.give_up(id);
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        (self.tell)(Written::Lost(id, msn));
        self.complain(msn, error);
    }

    /// Once until it works again.
    fn complain(&mut self, msn: Msn, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            (self.tell)(Written::Warning(format!(
                "Segment {} cannot be written to {}: {error}; players are served from memory",
                msn.0,
                self.folder.path().display()
            )));
        }
    }

    /// The stream is over.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        for place in 0..self.shelves.len() {
            // What was cut off in the middle is no segment.
            self.give_up(RenditionId(place));
            let shelf = &self.shelves[place];
            let finished = match self.keep {
                Keep::All if shelf.has_playlist => self.folder.finish_recording(&shelf.playlist),
                Keep::Newest(_) if !shelf.listed.is_empty() => self
                    .folder
                    .append(&shelf.playlist, format!("{}\n", archive::END).as_bytes()),
                _ => Ok(()),
            };
            if let Err(error) = finished {
                (self.tell)(Written::Warning(format!(
                    "{} cannot be finished: {error}",
                    shelf.playlist
                )));
            }
        }
    }
}
