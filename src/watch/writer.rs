//! The thread that writes what is published to a folder, and the queue before it.
//!
//! Belongs here: handing over without ever waiting; what finds the queue full is lost to the folder, by whole segments, and
//! that is said. Does not: files (`disk`), when players see a segment (`release`).

mod disk;
mod listing;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use self::disk::Work;
use super::folder::Folder;
use crate::{
    origin::media::{
        Constants, Description, InitSection, Msn, NewPart, Publication, RenditionId,
        RenditionSettings,
    },
    time::{MediaTime, UnixTime},
};

const THREAD_NAME: &str = "llhls-writer";

/// Parts that may wait for the disk: half a minute of three tracks at five a second.
const MOST_QUEUED: usize = 512;

/// Bytes that may wait for the disk.
const MOST_QUEUED_BYTES: u64 = 64 * 1024 * 1024;

/// Lost segments that are remembered until the disk takes something again: an hour of the shortest. Of a longer outage the
/// oldest are missing from the playlist altogether.
const MOST_LOST_UNTOLD: usize = 3600;

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

impl WriterSettings {
    /// The name of a rendition's media playlist.
    pub(super) fn playlist_of(&self, rendition: &RenditionSettings) -> String {
        let name = &self.playlist_name;
        if self.renditions.len() == 1 {
            return name.clone();
        }
        let stem = name.strip_suffix(".m3u8").unwrap_or(name);
        format!("{stem}_{}.m3u8", rendition.name)
    }
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
    /// With what its playlist says of it, also when there is no file.
    End(Option<Constants>, Outline),
    /// What its tags say of the rendition.
    Tags(Description),
    /// The stream is over.
    Finish,
}

impl What {
    fn size(&self) -> u64 {
        match self {
            Self::Part(part, _) => part.bytes.len() as u64,
            Self::End(..) | Self::Tags(_) | Self::Finish => 0,
        }
    }
}

struct Job {
    id: RenditionId,
    msn: Msn,
    /// Parts of the segment before it.
    index: usize,
    what: What,
    /// Segments before this one that found no room in the queue.
    lost: VecDeque<Outline>,
}

/// A segment without its media.
#[derive(Clone, Copy, Debug)]
struct Outline {
    msn: Msn,
    duration: MediaTime,
    program_date_time: UnixTime,
    is_discontinuity: bool,
}

/// Where a rendition is, as far as was handed over.
#[derive(Clone, Debug)]
struct Tally {
    msn: Msn,
    parts: usize,
    init: Option<InitSection>,
    /// The open segment has lost a part.
    is_losing: bool,
    /// What the open segment is so far, with what there is no media for.
    outline: Option<Outline>,
    /// Segments the thread has yet to hear of as lost.
    lost: VecDeque<Outline>,
}

impl Tally {
    /// Adds a part, or what there is no media for.
    fn draw(&mut self, is_gap: bool, duration: MediaTime, date: UnixTime, breaks: bool) {
        let added = Outline {
            msn: self.msn,
            duration,
            program_date_time: date,
            is_discontinuity: breaks,
        };
        match &mut self.outline {
            // The file begins with its first part, wherever the segment does.
            Some(outline) if self.parts == 0 && !is_gap => {
                *outline = Outline {
                    is_discontinuity: outline.is_discontinuity || breaks,
                    ..added
                };
            }
            Some(outline) => outline.duration += duration,
            None => self.outline = Some(added),
        }
    }

    fn lose(&mut self, outline: Outline) {
        self.lost.push_back(outline);
        if self.lost.len() > MOST_LOST_UNTOLD {
            self.lost.pop_front();
        }
    }
}

/// A running writer. Dropping it writes what waits, for a few seconds at most, and the end of the playlist.
pub(super) struct SegmentWriter {
    queue: Option<Sender<Job>>,
    queued: Arc<AtomicU64>,
    tallies: Mutex<Vec<Tally>>,
    counts: Arc<WriterCounts>,
    done: Receiver<()>,
    /// Nobody waits for the thread any more: another writer may have the folder.
    is_given_up: Arc<AtomicBool>,
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
        let is_given_up = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(WriterCounts::default());
        let tallies = vec![
            Tally {
                msn: first,
                parts: 0,
                init: None,
                is_losing: false,
                outline: None,
                lost: VecDeque::new(),
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
            let is_given_up = Arc::clone(&is_given_up);
            move || {
                let goes_on = || !is_given_up.load(Ordering::Relaxed);
                for job in jobs.into_iter().take_while(|_| goes_on()) {
                    let size = job.what.size();
                    work.take(job);
                    queued.fetch_sub(size, Ordering::Relaxed);
                }
                if goes_on() {
                    work.finish();
                }
                let _ = finished.send(());
            }
        })?;
        Ok(Self {
            queue: Some(queue),
            queued,
            tallies: Mutex::new(tallies),
            counts,
            done,
            is_given_up,
            thread: Some(thread),
            tell,
        })
    }

    /// Hands a publication over and returns: never waits for the disk.
    pub(super) fn offer(&self, publication: &Publication) {
        let mut lost = Vec::new();
        let mut tallies = self.tallies.lock().expect("tallies lock poisoned");
        match publication {
            Publication::Start(id, msn) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    tally.msn = *msn;
                }
            }
            Publication::Init(id, init) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    tally.init = Some(init.clone());
                }
            }
            Publication::Gap(id, gap) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    let (date, breaks) = (gap.program_date_time, gap.is_discontinuity);
                    tally.draw(true, gap.duration, date, breaks);
                }
            }
            Publication::Part(id, part) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    let (date, breaks) = (part.program_date_time, part.is_discontinuity);
                    tally.draw(false, part.duration, date, breaks);
                    lost.extend(self.add_part(tally, *id, part));
                }
            }
            Publication::SegmentEnd(id, constants) => {
                if let Some(tally) = tallies.get_mut(id.0) {
                    lost.extend(self.end_segment(tally, *id, *constants));
                }
            }
            Publication::EndOfStream | Publication::EndOfRun => {
                // What is open is all there will ever be of it, here as for players.
                for (place, tally) in tallies.iter_mut().enumerate() {
                    lost.extend(self.end_segment(tally, RenditionId(place), None));
                }
                // Should there be no room it is finished when the writer is dropped.
                let _ = self.push(Job {
                    id: RenditionId::MAIN,
                    msn: Msn(0),
                    index: 0,
                    what: What::Finish,
                    lost: VecDeque::new(),
                });
            }
            Publication::Description(id, description) => {
                // Should there be no room it is not said.
                let _ = self.push(Job {
                    id: *id,
                    msn: Msn(0),
                    index: 0,
                    what: What::Tags(description.clone()),
                    lost: VecDeque::new(),
                });
            }
            Publication::ComingInit(_)
            | Publication::Absent(_)
            | Publication::EndOfRendition(_) => {}
        }
        drop(tallies);
        for (id, msn) in lost {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            (self.tell)(Written::Lost(id, msn));
            (self.tell)(Written::Warning(format!(
                "The disk is too slow: segment {} is lost to the folder; players have it",
                msn.0
            )));
        }
    }

    /// Answers the segment if this loses it.
    fn add_part(
        &self,
        tally: &mut Tally,
        id: RenditionId,
        part: &NewPart,
    ) -> Option<(RenditionId, Msn)> {
        let init = tally.init.clone().filter(|_| tally.parts == 0);
        let is_lost = self.hand_over(tally, id, What::Part(part.clone(), init));
        tally.parts += 1;
        is_lost.then_some((id, tally.msn))
    }

    /// The same. Without parts or gaps there is no segment to end.
    fn end_segment(
        &self,
        tally: &mut Tally,
        id: RenditionId,
        constants: Option<Constants>,
    ) -> Option<(RenditionId, Msn)> {
        let outline = tally.outline.take()?;
        let is_lost = self.hand_over(tally, id, What::End(constants, outline));
        if std::mem::take(&mut tally.is_losing) {
            tally.lose(outline);
        }
        tally.msn.0 += 1;
        tally.parts = 0;
        is_lost.then_some((id, outline.msn))
    }

    /// Queues what belongs to the open segment, unless that has lost something already. Answers whether it does now.
    fn hand_over(&self, tally: &mut Tally, id: RenditionId, what: What) -> bool {
        if tally.is_losing {
            return false;
        }
        let job = Job {
            id,
            msn: tally.msn,
            index: tally.parts,
            what,
            lost: std::mem::take(&mut tally.lost),
        };
        if let Err(refused) = self.push(job) {
            tally.lost = refused.lost;
            tally.is_losing = true;
        }
        tally.is_losing
    }

    /// Gives the job back when there is no room.
    fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let size = job.what.size();
        let Some(queue) = self
            .queue
            .as_ref()
            .filter(|_| self.queued.load(Ordering::Relaxed) + size <= MOST_QUEUED_BYTES)
        else {
            return Err(Box::new(job));
        };
        self.queued.fetch_add(size, Ordering::Relaxed);
        queue.try_send(job).map_err(|refused| {
            self.queued.fetch_sub(size, Ordering::Relaxed);
            Box::new(refused.into_inner())
        })
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
                // The thread hangs in the system and goes when that lets it, with no more than the one write it is in; the
                // host goes on, and may have begun another run in this folder by then.
                self.is_given_up.store(true, Ordering::Relaxed);
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
