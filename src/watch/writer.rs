//! The thread that writes what is published to a folder.
//!
//! Belongs here: segments appended part by part, init sections, the playlists beside them, what is removed, a disk that is full
//! or slow. Does not: when players see a segment (`release`). Whoever hands something over never waits: what finds the queue
//! full is lost to the folder, by whole segments, and that is said.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::folder::Folder;
use crate::{
    delivery::archive::{self, ArchiveKind, ArchivedRendition, ArchivedSegment},
    origin::media::{
        Constants, InitSection, Msn, NewPart, Publication, RenditionId, RenditionSettings,
    },
    origin::name::{InitNumber, MediaName, MediaNames},
    time::{MediaTime, UnixTime},
};

const THREAD_NAME: &str = "llhls-writer";

/// Parts that may wait for the disk: half a minute of three tracks at five a second.
const MOST_QUEUED: usize = 512;

/// Bytes that may wait for the disk.
const MOST_QUEUED_BYTES: u64 = 64 * 1024 * 1024;

/// How long the end waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything: a recording, whose playlist is complete at the end.
    All,
    /// So many segments of each rendition, under a live playlist.
    Newest(usize),
}

/// What a writer needs to know.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// The name of the playlist; of several renditions that of the multivariant one.
    pub playlist_name: String,
    /// What is presented, the main rendition first.
    pub renditions: Vec<RenditionSettings>,
    /// How much is kept.
    pub keep: Keep,
}

/// What a writer tells, from its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// A segment was closed whole.
    Segment(RenditionId, Msn),
    /// A segment is not in the folder.
    Lost(RenditionId, Msn),
    /// Something is wrong and the stream goes on.
    Warning(String),
}

/// What was written so far.
#[derive(Debug, Default)]
pub struct WriterCounts {
    /// Segments that are whole in the folder, or were.
    pub segments: AtomicU64,
    /// Segments that are not.
    pub lost: AtomicU64,
    /// Bytes of media.
    pub bytes: AtomicU64,
}

enum What {
    /// With the init section it needs when it opens a segment.
    Part(NewPart, Option<InitSection>),
    End(Option<Constants>),
    /// The stream is over.
    Finish,
}

impl What {
    fn size(&self) -> u64 {
        match self {
            Self::Part(part, _) => part.bytes.len() as u64,
            Self::End(_) | Self::Finish => 0,
        }
    }
}

struct Job {
    id: RenditionId,
    msn: Msn,
    /// Parts of the segment before it.
    index: usize,
    what: What,
}

/// Where a rendition is, as far as was handed over.
#[derive(Clone, Debug)]
struct Tally {
    msn: Msn,
    parts: usize,
    init: Option<InitSection>,
    /// The open segment has lost a part.
    is_losing: bool,
}

/// A running writer. Dropping it writes what waits, for a few seconds at most, and the end of the playlist.
pub(super) struct SegmentWriter {
    queue: Option<Sender<Job>>,
    queued: Arc<AtomicU64>,
    tallies: Mutex<Vec<Tally>>,
    counts: Arc<WriterCounts>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    tell: Arc<dyn Fn(Written) + Send + Sync>,
}

impl SegmentWriter {
    /// Starts writing to a folder; the first segment of each rendition is number `first`. `tell` must not block.
    pub(super) fn start(
        folder: Folder,
        settings: WriterSettings,
        first: Msn,
        tell: Arc<dyn Fn(Written) + Send + Sync>,
    ) -> io::Result<Self> {
        let (queue, jobs) = bounded::<Job>(MOST_QUEUED);
        let (finished, done) = bounded(1);
        let queued = Arc::new(AtomicU64::new(0));
        let counts = Arc::new(WriterCounts::default());
        let tallies = vec![
            Tally {
                msn: first,
                parts: 0,
                init: None,
                is_losing: false,
            };
            settings.renditions.len()
        ];
        let mut work = Work::new(
            folder,
            settings,
            first,
            Arc::clone(&tell),
            Arc::clone(&counts),
        );
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn({
            let queued = Arc::clone(&queued);
            move || {
                for job in jobs {
                    let size = job.what.size();
                    work.take(job);
                    queued.fetch_sub(size, Ordering::Relaxed);
                }
                work.finish();
                let _ = finished.send(());
            }
        })?;
        Ok(Self {
            queue: Some(queue),
            queued,
            tallies: Mutex::new(tallies),
            counts,
            done,
            thread: Some(thread),
            tell,
        })
    }

    /// Hands a publication over and returns: never waits for the disk.
    pub(super) fn offer(&self, publication: &Publication) {
        let mut tallies = self.tallies.lock().expect("tallies lock poisoned");
        let (id, what) = match publication {
            Publication::Start(id, msn) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    tally.msn = *msn;
                }
                return;
            }
            Publication::Init(id, init) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    tally.init = Some(init.clone());
                }
                return;
            }
            Publication::Part(id, part) => (*id, What::Part(part.clone(), None)),
            Publication::SegmentEnd(id, constants) => (*id, What::End(*constants)),
            Publication::EndOfStream | Publication::EndOfRun => {
                // Should there be no room it is finished when the writer is dropped.
                self.push(Job {
                    id: RenditionId::MAIN,
                    msn: Msn(0),
                    index: 0,
                    what: What::Finish,
                });
                return;
            }
            _ => return,
        };
        let Some(tally) = tallies.get_mut(id.0) else {
            return;
        };
        let (msn, index) = (tally.msn, tally.parts);
        let is_end = matches!(what, What::End(_));
        let what = match what {
            What::Part(part, _) if index == 0 => What::Part(part, tally.init.clone()),
            what => what,
        };
        let was_losing = tally.is_losing;
        if !was_losing {
            tally.is_losing = !self.push(Job {
                id,
                msn,
                index,
                what,
            });
        }
        let is_lost = tally.is_losing;
        if is_end {
            tally.msn.0 += 1;
            tally.parts = 0;
            tally.is_losing = false;
        } else {
            tally.parts += 1;
        }
        drop(tallies);
        if is_lost && !was_losing {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            (self.tell)(Written::Lost(id, msn));
            (self.tell)(Written::Warning(format!(
                "The disk is too slow: segment {} is lost to the folder; players have it",
                msn.0
            )));
        }
    }

    fn push(&self, job: Job) -> bool {
        let size = job.what.size();
        if self.queued.load(Ordering::Relaxed) + size > MOST_QUEUED_BYTES {
            return false;
        }
        self.queued.fetch_add(size, Ordering::Relaxed);
        let is_taken = self
            .queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(job).is_ok());
        if !is_taken {
            self.queued.fetch_sub(size, Ordering::Relaxed);
        }
        is_taken
    }

    /// The figures of this moment.
    pub(super) fn counts(&self) -> Arc<WriterCounts> {
        Arc::clone(&self.counts)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        self.queue.take();
        match self.done.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                // The thread hangs in the system and goes when that lets it; the host goes on.
                (self.tell)(Written::Warning(
                    "The disk does not answer: the end of the files is not written".to_owned(),
                ));
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    // It has ended already, or is about to.
                    let _ = thread.join();
                }
            }
        }
    }
}

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
    /// What comes next does not follow from what is on the disk.
    has_hole: bool,
    bandwidth: u64,
    /// The next segment to be removed when there are too many.
    oldest: Option<Msn>,
}

struct OpenSegment {
    msn: Msn,
    file: File,
    name: String,
    parts: usize,
    bytes: u64,
    duration: MediaTime,
    program_date_time: UnixTime,
    is_discontinuity: bool,
}

struct Work {
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
    fn new(
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
                    has_hole: first > Msn::FIRST,
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

    fn take(&mut self, job: Job) {
        let Job {
            id,
            msn,
            index,
            what,
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
        let outcome = match what {
            What::Part(part, init) => self.append(id, msn, index, &part, init),
            What::End(constants) => self.close(id, msn, index, constants),
            What::Finish => Ok(()),
        };
        if let Err(error) = outcome {
            self.fail(id, msn, &error);
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
            && let Err(error) = self.open(id, msn, part, init.clone())
        {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            // Somebody removed the folder, and with it all that was in it.
            self.folder.make_again()?;
            self.shelves[id.0].init = None;
            self.open(id, msn, part, init)?;
        }
        let Some(open) = &mut self.shelves[id.0].open else {
            // Its begin could not be written.
            return Ok(());
        };
        open.file.write_all(&part.bytes)?;
        open.parts += 1;
        open.bytes += part.bytes.len() as u64;
        if index > 0 {
            open.duration += part.duration;
        }
        Ok(())
    }

    fn open(
        &mut self,
        id: RenditionId,
        msn: Msn,
        part: &NewPart,
        init: Option<InitSection>,
    ) -> io::Result<()> {
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
            duration: part.duration,
            program_date_time: part.program_date_time,
            is_discontinuity: part.is_discontinuity,
        });
        Ok(())
    }

    fn close(
        &mut self,
        id: RenditionId,
        msn: Msn,
        parts: usize,
        constants: Option<Constants>,
    ) -> io::Result<()> {
        let shelf = &mut self.shelves[id.0];
        if let Some(constants) = constants {
            shelf.target_duration = Some(constants.target_duration);
        }
        let Some(open) = shelf.open.take() else {
            // There was nothing but a gap in it.
            shelf.has_hole = true;
            return Ok(());
        };
        if open.parts != parts {
            shelf.open = Some(open);
            self.give_up(id);
            return Ok(());
        }
        // Written back errors come out here.
        drop(open.file);
        let seconds = open.duration.as_seconds().max(0.001);
        shelf.bandwidth = shelf
            .bandwidth
            .max((open.bytes as f64 * 8.0 / seconds) as u64);
        let init = shelf.init.as_ref().map(|(name, _)| name.clone());
        let is_other_init = init != shelf.named_init;
        let segment = ArchivedSegment {
            name: open.name,
            init: init.clone().filter(|_| is_other_init),
            duration: open.duration,
            program_date_time: open.program_date_time,
            is_discontinuity: open.is_discontinuity
                || std::mem::take(&mut shelf.has_hole)
                || (is_other_init && shelf.named_init.is_some()),
        };
        shelf.named_init.clone_from(&init);
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(open.bytes, Ordering::Relaxed);
        (self.tell)(Written::Segment(id, msn));
        self.list(id, msn, segment, init.unwrap_or_default())?;
        self.offer_all()?;
        if std::mem::take(&mut self.is_failing) {
            (self.tell)(Written::Warning(format!(
                "Files are written to {} again",
                self.folder.path().display()
            )));
        }
        Ok(())
    }

    /// Names a segment in its playlist, and removes what is too old.
    fn list(
        &mut self,
        id: RenditionId,
        msn: Msn,
        segment: ArchivedSegment,
        init: String,
    ) -> io::Result<()> {
        let folder = &self.folder;
        let shelf = &mut self.shelves[id.0];
        let target = shelf.target_duration.unwrap_or(1);
        match self.keep {
            Keep::All => {
                if !shelf.has_playlist {
                    let head = archive::header(ArchiveKind::Event, target, msn.0, 0);
                    folder.begin_recording(&shelf.playlist, &head)?;
                    shelf.has_playlist = true;
                }
                folder.append(&shelf.playlist, archive::segment(&segment).as_bytes())
            }
            Keep::Newest(most) => {
                shelf.listed.push_back((msn, segment, init));
                while shelf.listed.len() > most
                    && let Some((_, gone, _)) = shelf.listed.pop_front()
                {
                    shelf.discontinuity_sequence += u64::from(gone.is_discontinuity);
                }
                let mut text = String::new();
                let mut named = None;
                for (nth, (msn, segment, init)) in shelf.listed.iter().enumerate() {
                    if nth == 0 {
                        text = archive::header(
                            ArchiveKind::Live,
                            target,
                            msn.0,
                            shelf.discontinuity_sequence,
                        );
                    }
                    let is_named = named.replace(init) == Some(init);
                    text.push_str(&archive::segment(&ArchivedSegment {
                        init: (!is_named).then(|| init.clone()),
                        ..segment.clone()
                    }));
                }
                folder.replace(&shelf.playlist, text.as_bytes())?;
                // Those an earlier run left count as well.
                let keep_from = Msn((msn.0 + 1).saturating_sub(most as u64));
                let oldest = shelf.oldest.get_or_insert(msn);
                while *oldest < keep_from {
                    folder.remove(&shelf.names.write(MediaName::Segment(*oldest)));
                    oldest.0 += 1;
                }
                Ok(())
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
        let shelf = &mut self.shelves[id.0];
        shelf.has_hole = true;
        if let Some(open) = shelf.open.take() {
            drop(open.file);
            self.folder.remove(&open.name);
        }
    }

    fn fail(&mut self, id: RenditionId, msn: Msn, error: &io::Error) {
        self.give_up(id);
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        (self.tell)(Written::Lost(id, msn));
        if !std::mem::replace(&mut self.is_failing, true) {
            (self.tell)(Written::Warning(format!(
                "Segment {} cannot be written to {}: {error}; players are served from memory",
                msn.0,
                self.folder.path().display()
            )));
        }
    }

    /// The stream is over.
    fn finish(&mut self) {
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
