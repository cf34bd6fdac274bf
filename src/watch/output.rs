//! What is published goes through files: a recording beside the live road, or files players see segments of.
//!
//! Belongs here: putting writer, ledger and watcher together, and the number the first segment has. Does not: each of them.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, unbounded};

use super::{
    folder::Folder,
    intake::News,
    ledger::Ledger,
    watcher::{Manner, Sight, Watcher},
    writer::{SegmentWriter, WriterCounts, WriterSettings, Written},
};
use crate::{
    origin::media::{Msn, Publication, RenditionId},
    origin::name::{MediaName, MediaNames},
    time::UnixTime,
};

const THREAD_NAME: &str = "llhls-folder";

/// How often overdue files are looked for.
const TICK: Duration = Duration::from_millis(50);

/// How long reports are waited for at the end.
const LAST_REPORTS: Duration = Duration::from_millis(500);

/// What an output needs to know.
#[derive(Clone, Debug)]
pub struct OutputSettings {
    /// The folder; made if it is not there.
    pub location: PathBuf,
    /// How finished files are noticed; `None` for a recording, which nobody waits for.
    pub manner: Option<Manner>,
    /// How often to look when polling.
    pub poll_interval: Duration,
    /// What is written.
    pub writer: WriterSettings,
    /// The number of the first segment at least; it is higher where the folder has that already.
    pub least: Option<Msn>,
}

/// Files being written. Dropping it writes what waits and releases what is held.
pub struct Output {
    first: Msn,
    /// `None` once it is finished.
    writer: Mutex<Option<SegmentWriter>>,
    counts: Arc<WriterCounts>,
    ledger: Option<Arc<Mutex<Ledger>>>,
    /// What ends the thread that lets segments be seen, and the thread; `None` once it has ended, and for a recording.
    release: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Starts writing. `tell` is called on threads of its own and must not block; of a recording it hears warnings only.
    ///
    /// Fails when the folder cannot be made or read, or the system has no resources for a thread.
    pub fn start(
        settings: OutputSettings,
        tell: Box<dyn Fn(News) + Send + Sync>,
    ) -> io::Result<Self> {
        let folder = Folder::make(&settings.location)?;
        folder.entries()?;
        let renditions = &settings.writer.renditions;
        let next = folder
            .own_files(renditions)
            .into_iter()
            .filter_map(|(_, name)| match name {
                MediaName::Segment(msn) => Some(Msn(msn.0 + 1)),
                _ => None,
            })
            .chain(listed(&folder, &settings.writer))
            .max();
        let first = next.max(settings.least).unwrap_or(Msn::FIRST);
        let Some(manner) = settings.manner else {
            let told = move |written| {
                if let Written::Warning(text) = written {
                    tell(News::Warning(text));
                }
            };
            let writer = SegmentWriter::start(folder, settings.writer, first, Arc::new(told))?;
            return Ok(Self {
                first,
                counts: writer.counts(),
                writer: Mutex::new(Some(writer)),
                ledger: None,
                release: Mutex::new(None),
            });
        };
        let ledger = Arc::new(Mutex::new(Ledger::new(renditions.len(), first)));
        let names = renditions
            .iter()
            .enumerate()
            .map(|(place, rendition)| MediaNames::new(RenditionId(place), &rendition.name))
            .collect();
        // As many as segments are written between two looks.
        let (told, written) = unbounded();
        let (stop, stopped) = bounded(0);
        let work = Release {
            folder: folder.clone(),
            manner,
            poll_interval: settings.poll_interval,
            names,
            ledger: Arc::clone(&ledger),
            written,
            stopped,
            tell,
        };
        let thread = thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || work.run())?;
        let told = move |written| {
            // Fails when the thread has ended, and then nobody waits.
            let _ = told.send(written);
        };
        let writer = SegmentWriter::start(folder, settings.writer, first, Arc::new(told))?;
        Ok(Self {
            first,
            counts: writer.counts(),
            writer: Mutex::new(Some(writer)),
            ledger: Some(ledger),
            release: Mutex::new(Some((stop, thread))),
        })
    }

    /// The number of the first segment.
    pub fn first(&self) -> Msn {
        self.first
    }

    /// Hands over what was cut, and returns: never waits for a file. Numbers in it count from the run's first segment.
    pub fn take(&self, publication: Publication) {
        let numbered = match &publication {
            Publication::Start(id, msn) => Publication::Start(*id, Msn(self.first.0 + msn.0)),
            publication => publication.clone(),
        };
        if let Some(ledger) = &self.ledger {
            let mut ledger = ledger.lock().expect(POISONED);
            ledger.hold(publication, now());
        }
        if let Some(writer) = &*self.writer.lock().expect(POISONED) {
            writer.offer(&numbered);
        }
    }

    /// Writes what waits and releases what is held, for a few seconds at most; nothing is taken afterwards. What is open is all
    /// there will ever be of it, and no less a segment.
    pub fn finish(&self) {
        let writer = self.writer.lock().expect(POISONED).take();
        if let Some(ledger) = &self.ledger {
            ledger.lock().expect(POISONED).complete_open(now());
        }
        if let Some(writer) = &writer {
            writer.offer(&Publication::EndOfStream);
        }
        // The last files are reported after this.
        drop(writer);
        let release = self.release.lock().expect(POISONED).take();
        if let Some((stop, thread)) = release {
            drop(stop);
            if thread.thread().id() != thread::current().id() {
                // A panic in it has ended it already; the host goes on.
                let _ = thread.join();
            }
        }
    }

    /// The figures of this moment.
    pub fn counts(&self) -> &WriterCounts {
        &self.counts
    }
}

/// The numbers behind what the playlists in a folder list, also of segments that are not there.
fn listed(folder: &Folder, settings: &WriterSettings) -> Vec<Msn> {
    let mut numbers = Vec::new();
    for (place, rendition) in settings.renditions.iter().enumerate() {
        let names = MediaNames::new(RenditionId(place), &rendition.name);
        let playlist = settings.playlist_of(rendition);
        // One that cannot be read now cannot be gone on with later, and then it is said.
        let lines = folder.lines(&playlist).ok().flatten();
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if let Some(MediaName::Segment(msn)) = names.read(&line) {
                numbers.push(Msn(msn.0 + 1));
            }
        }
    }
    numbers
}

impl Drop for Output {
    fn drop(&mut self) {
        self.finish();
    }
}

const POISONED: &str = "output lock poisoned";

/// The thread that lets segments be seen.
struct Release {
    folder: Folder,
    manner: Manner,
    poll_interval: Duration,
    names: Vec<MediaNames>,
    ledger: Arc<Mutex<Ledger>>,
    written: Receiver<Written>,
    stopped: Receiver<()>,
    tell: Box<dyn Fn(News) + Send + Sync>,
}

impl Release {
    fn run(self) {
        let mut watcher = self.watch(true);
        let nothing = never();
        let pace = |watcher: &Option<Watcher>| {
            after(if watcher.is_some() {
                TICK
            } else {
                self.poll_interval
            })
        };
        // It runs on whatever else happens: many reports must not put off the next look.
        let mut timer = pace(&watcher);
        loop {
            let sights = watcher.as_ref().map_or(&nothing, Watcher::sights);
            crossbeam_channel::select! {
                // Nothing is ever sent: the other end goes away.
                recv(self.stopped) -> _ => break,
                recv(self.written) -> written => {
                    if let Ok(written) = written {
                        self.note(written);
                    }
                }
                recv(sights) -> sight => match sight {
                    Ok(Sight::Finished(name, at)) => self.see(&name, at),
                    Ok(Sight::Lost) => self.look(),
                    Ok(Sight::Gone) | Err(_) => watcher = None,
                },
                recv(timer) -> _ => {
                    watcher = watcher.filter(|watcher| watcher.is_of(&self.folder));
                    if watcher.is_none() {
                        self.look();
                        if self.manner == Manner::Inotify && self.folder.exists() {
                            watcher = self.watch(false);
                        }
                    }
                    timer = pace(&watcher);
                }
            }
            self.release();
        }
        self.finish(watcher.as_ref());
    }

    /// `None` where looking has to do.
    fn watch(&self, is_first: bool) -> Option<Watcher> {
        if self.manner == Manner::Poll {
            return None;
        }
        match Watcher::start(&self.folder) {
            Ok(watcher) => Some(watcher),
            Err(reason) => {
                if is_first {
                    (self.tell)(News::Warning(format!(
                        "{} cannot be watched with inotify: {reason}; it is looked at every {} ms instead",
                        self.folder.path().display(),
                        self.poll_interval.as_millis()
                    )));
                }
                None
            }
        }
    }

    fn note(&self, written: Written) {
        match written {
            Written::Segment(id, msn) => self.ledger().written(id, msn, now()),
            Written::Lost(id, msn) => self.ledger().lost(id, msn),
            Written::Warning(text) => (self.tell)(News::Warning(text)),
        }
    }

    fn see(&self, name: &str, at: UnixTime) {
        if let Some((id, msn)) = self.segment(name) {
            self.ledger().finished(id, msn, at);
        }
    }

    fn segment(&self, name: &str) -> Option<(RenditionId, Msn)> {
        let read = |(place, names): (usize, &MediaNames)| match names.read(name)? {
            MediaName::Segment(msn) => Some((RenditionId(place), msn)),
            _ => None,
        };
        self.names.iter().enumerate().find_map(read)
    }

    /// Without inotify: a file the writer has closed is finished when it is found.
    fn look(&self) {
        let entries = self.folder.entries().unwrap_or_default();
        let now = now();
        for entry in entries {
            if let Some((id, msn)) = self.segment(&entry.name) {
                let mut ledger = self.ledger();
                if ledger.waits_for(id, msn) {
                    ledger.finished(id, msn, now);
                }
            }
        }
    }

    fn release(&self) {
        let (released, overdue) = self.ledger().release(now());
        for (publication, at) in released {
            (self.tell)(News::Publication(publication, at));
        }
        if overdue > 0 {
            (self.tell)(News::Warning(format!(
                "{} does not take files in time; players are served from memory",
                self.folder.path().display()
            )));
        }
    }

    /// The writer has ended: what it reported last is still to be seen.
    fn finish(&self, watcher: Option<&Watcher>) {
        for written in self.written.try_iter() {
            self.note(written);
        }
        if let Some(watcher) = watcher {
            while let Ok(sight) = watcher.sights().recv_timeout(LAST_REPORTS) {
                if let Sight::Finished(name, at) = sight {
                    self.see(&name, at);
                }
                self.release();
                if self.ledger().is_empty() {
                    break;
                }
            }
        }
        let released = self.ledger().release_all(now());
        for (publication, at) in released {
            (self.tell)(News::Publication(publication, at));
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect(POISONED)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: files carry the host's time"
)]
fn now() -> UnixTime {
    UnixTime::from_system(std::time::SystemTime::now())
}
