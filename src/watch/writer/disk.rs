//! What the writer's thread does to the disk, one rendition a shelf.
//!
//! Belongs here: segments appended part by part, init sections, what is removed, what is said of a disk that is full. Does
//! not: lines of playlists (`listing`), the queue before it, and what finds no room there (`writer`).

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    sync::{Arc, atomic::Ordering},
};

use super::{Job, Keep, Outline, What, WriterCounts, WriterSettings, Written, listing::Listing};
use crate::{
    delivery::archive::{self, ArchivedRendition},
    origin::media::{
        Constants, Description, InitSection, Msn, NewPart, RenditionId, RenditionSettings,
    },
    origin::name::{InitNumber, MediaName, MediaNames},
    origin::rendition::Renditions,
    watch::folder::Folder,
};

/// What is on the disk of one rendition.
struct Shelf {
    settings: RenditionSettings,
    names: MediaNames,
    listing: Listing,
    /// The init section that segments use now.
    init: Option<(InitNumber, InitSection)>,
    next_init: InitNumber,
    open: Option<OpenSegment>,
    bandwidth: u64,
    /// Segments that may be there, oldest first.
    present: VecDeque<Msn>,
    /// The next init section to be removed when no segment needs it.
    oldest_init: InitNumber,
}

impl Shelf {
    /// Removes what is more than is to be kept of segments up to `newest`, those of earlier runs first, and init sections only
    /// they needed.
    fn tidy(&mut self, folder: &Folder, first: Msn, newest: Msn, keep: Keep) {
        let Keep::Newest(most) = keep else {
            return;
        };
        let keep_from = Msn((newest.0 + 1).saturating_sub(most as u64));
        if self.present.back() != Some(&newest) {
            self.present.push_back(newest);
        }
        while let Some(oldest) = self.present.front().copied()
            && oldest < keep_from
        {
            self.present.pop_front();
            folder.remove(&self.names.write(MediaName::Segment(oldest)));
        }
        let oldest = self.present.front().copied().unwrap_or(newest);
        let Some(needed) = self.listing.oldest_init().filter(|_| first <= oldest) else {
            return;
        };
        while self.oldest_init < needed {
            folder.remove(&self.names.write(MediaName::Init(self.oldest_init)));
            self.oldest_init.0 += 1;
        }
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
    /// The number of the first segment of this run.
    first: Msn,
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
                let inits = inits.into_iter();
                segments.sort_unstable();
                let file = settings.playlist_of(rendition);
                let names = MediaNames::new(id, &rendition.name);
                Shelf {
                    listing: Listing::new(file, names.clone(), settings.keep, first > Msn::FIRST),
                    names,
                    settings: rendition.clone(),
                    init: None,
                    // Those of an earlier run stay as long as its segments do.
                    next_init: InitNumber(inits.clone().max().map_or(0, |last| last + 1)),
                    oldest_init: InitNumber(inits.min().unwrap_or(0)),
                    open: None,
                    bandwidth: 0,
                    present: segments.into(),
                }
            })
            .collect();
        let work = Self {
            folder,
            keep: settings.keep,
            first,
            playlist_name: settings.playlist_name.clone(),
            shelves,
            tell,
            counts,
            is_failing: false,
            multivariant: String::new(),
            is_finished: false,
        };
        work.make_way(settings.renditions.len() > 1);
        work
    }

    /// A recording with other tracks may have left a playlist of the other kind under this name: that is kept under another.
    fn make_way(&self, is_multivariant: bool) {
        let foreign = if is_multivariant {
            archive::SEGMENT
        } else {
            archive::VARIANT
        };
        let lines = self.folder.lines(&self.playlist_name).ok().flatten();
        let is_foreign =
            |line: io::Result<String>| line.is_ok_and(|line| line.starts_with(foreign));
        if self.keep != Keep::All || !lines.is_some_and(|mut lines| lines.any(is_foreign)) {
            return;
        }
        let text = match self.folder.set_aside(&self.playlist_name) {
            Ok(other) => format!(
                "{} was of a recording with other tracks and is {other} now",
                self.playlist_name
            ),
            Err(error) => format!(
                "{} of a recording with other tracks cannot be put aside: {error}",
                self.playlist_name
            ),
        };
        (self.tell)(Written::Warning(text));
    }

    pub(super) fn take(&mut self, job: Job) {
        let Job {
            id,
            msn,
            index,
            what,
            lost,
        } = job;
        let Some(shelf) = self.shelves.get_mut(id.0) else {
            return;
        };
        let what = match what {
            What::Finish => return self.finish(),
            What::Tags(description) => return self.describe(id, description),
            media => media,
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
            What::Tags(_) | What::Finish => {}
        }
    }

    /// What the multivariant playlist will say of a rendition, the next time it is written.
    fn describe(&mut self, id: RenditionId, description: Description) {
        let mut all: Vec<_> = self.shelves.iter().map(|of| of.settings.clone()).collect();
        let settings = &mut all[id.0];
        settings.language = description.language.or(settings.language.take());
        if let Some(label) = description.label {
            settings.label = label;
        }
        // What no attribute can carry stays out, as in the live playlist.
        if let Ok(checked) = Renditions::new(all) {
            for (shelf, (_, settings)) in self.shelves.iter_mut().zip(checked.iter()) {
                shelf.settings.clone_from(settings);
            }
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
        let names = &shelf.names;
        let file_of = |number| names.write(MediaName::Init(number));
        // Somebody may have removed it, or the whole folder.
        let is_there = |(number, current): &(InitNumber, InitSection), init: &InitSection| {
            current.bytes == init.bytes && folder.has(&file_of(*number))
        };
        if let Some(init) = init
            && !shelf
                .init
                .as_ref()
                .is_some_and(|current| is_there(current, &init))
        {
            // One of an earlier run will do when it is the same.
            let last = shelf.next_init.0.checked_sub(1).map(InitNumber);
            let is_same = |number: &InitNumber| {
                let read = folder.read(&file_of(*number));
                read.is_ok_and(|(_, bytes)| bytes == init.bytes)
            };
            let number = match last.filter(is_same) {
                Some(last) => last,
                None => {
                    folder.replace(&file_of(shelf.next_init), &init.bytes)?;
                    let number = shelf.next_init;
                    shelf.next_init.0 += 1;
                    number
                }
            };
            shelf.init = Some((number, init));
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
            shelf.listing.set_target_duration(constants.target_duration);
        }
        let (Some(open), Some((init, _))) = (shelf.open.take(), &shelf.init) else {
            return self.list_gap(id, outline);
        };
        let init = *init;
        // The system has it all. (What it finds out when it closes a file, on some network file systems, nobody is told.)
        drop(open.file);
        if open.parts != parts {
            self.folder.remove(&open.name);
            return self.list_gap(id, outline);
        }
        if !self.folder.has(&open.name) {
            self.fail(id, outline.msn, &io::ErrorKind::NotFound.into());
            return self.list_gap(id, outline);
        }
        let seconds = outline.duration.as_seconds().max(0.001);
        shelf.bandwidth = shelf
            .bandwidth
            .max((open.bytes as f64 * 8.0 / seconds) as u64);
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(open.bytes, Ordering::Relaxed);
        (self.tell)(Written::Segment(id, outline.msn));
        let listed = shelf.listing.add(&self.folder, outline, init);
        // Even when the playlist could not be written: there may be room for it then.
        shelf.tidy(&self.folder, self.first, outline.msn, self.keep);
        match listed.and_then(|()| self.offer_all()) {
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

    fn list_gap(&mut self, id: RenditionId, outline: Outline) {
        let shelf = &mut self.shelves[id.0];
        let listed = shelf.listing.add_gap(&self.folder, outline);
        // A disk that old segments fill up would never take a new one again.
        shelf.tidy(&self.folder, self.first, outline.msn, self.keep);
        if let Err(error) = listed {
            self.complain(outline.msn, &error);
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
                    settings: &shelf.settings,
                    playlist: shelf.listing.file(),
                    init,
                    bandwidth: shelf.bandwidth,
                })
            })
            .collect();
        let text = archive::multivariant(&offered);
        if text != self.multivariant || !self.folder.has(&self.playlist_name) {
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
            let listing = &mut self.shelves[place].listing;
            let finished = listing.finish(&self.folder);
            let file = listing.file().to_owned();
            if let Err(error) = finished {
                (self.tell)(Written::Warning(format!(
                    "{file} cannot be finished: {error}"
                )));
            }
        }
    }
}
