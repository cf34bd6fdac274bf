//! The thread that takes a presentation from files another program writes.
//!
//! Belongs here: which file is read when, what is said of one that cannot be used. Does not: noticing that a file is
//! finished (`watcher`), joining files (`timeline`). Nothing is written here and nothing removed: the files are the writer's.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded, never};

use super::{
    folder::{Entry, Folder, ReadError, Refused, is_media, is_refused},
    rival::{Rival, Successor},
    taken::{MOST_REMEMBERED, TakenFiles, identity},
    timeline::{HeaderNews, Timeline},
    watcher::{Looks, Manner, QUIET, Sight, Watcher},
};
use crate::{
    cmaf::fragment::{FileError, FragmentedFile, TrackHeader},
    origin::media::{Publication, RenditionId, RenditionSettings},
    time::{Nanos, UnixTime},
};

const THREAD_NAME: &str = "llhls-intake";

/// Media that came before its init section waits for it: so many files at most.
const MOST_WAITING: usize = 8;

/// What is in the folder at the start belongs to the stream only if one file came after the other without a pause longer
/// than this; the rest is of another day.
const LONGEST_PAUSE: Nanos = Nanos::from_seconds(10);

/// A larger file is more than an init section.
const LARGEST_HEADER: u64 = 1024 * 1024;

/// The boxes an init section may begin with.
const HEADER_BOXES: [[u8; 4]; 2] = [*b"ftyp", *b"moov"];

const OTHER_TRACKS: &str =
    "it has other tracks than the stream; another one like it begins another presentation";

const OTHER_FORMAT: &str =
    "it brings another format than the init section of the stream; another one like it is taken";

/// How often is looked whether the folder that is watched is still the one at its path.
const LOOK_AFTER_FOLDER: Nanos = Nanos::from_seconds(1);

/// How often a folder that is gone is looked for.
const LOOK_FOR_FOLDER: Duration = Duration::from_millis(250);

/// What an intake needs to know.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// The folder; made if it is not there.
    pub location: PathBuf,
    /// How it is watched.
    pub manner: Manner,
    /// How often to look when polling.
    pub poll_interval: Duration,
    /// The wanted length of a segment.
    pub segment_duration: Nanos,
    /// Segments taken at most of what is there at the start.
    pub max_files: usize,
}

/// What an intake tells, from its thread.
#[derive(Debug)]
pub enum News {
    /// What is presented, known with the first init section; again when the files have other tracks from here on.
    Renditions(Vec<RenditionSettings>),
    /// What players shall see, and the moment its file was finished.
    Publication(Publication, UnixTime),
    /// Something is wrong and the stream goes on.
    Warning(String),
}

/// A running intake. Dropping it stops it.
#[derive(Debug)]
pub struct Intake {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Intake {
    /// Watches a folder and tells what becomes of it. `tell` must not block, nor drop the intake.
    ///
    /// Fails when the folder cannot be made or read, or the system has no resources for a thread.
    pub fn start(settings: IntakeSettings, tell: Box<dyn Fn(News) + Send>) -> io::Result<Self> {
        let folder = Folder::make(&settings.location)?;
        folder.entries()?;
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || Work::new(settings, folder, stopped, tell).run())?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            // It is its own last owner when the application lets go of a playing element.
            && thread.thread().id() != thread::current().id()
        {
            // A panic in it has ended it already; the host goes on.
            let _ = thread.join();
        }
    }
}

/// What was made of a file.
enum Outcome {
    Done,
    /// Its init section is still to come.
    NeedsHeader,
    /// It is not whole (yet).
    Incomplete(FileError),
    Unusable(String),
}

struct Work {
    settings: IntakeSettings,
    folder: Folder,
    stopped: Receiver<()>,
    tell: Box<dyn Fn(News) + Send>,
    timeline: Timeline,
    taken: TakenFiles,
    unsettled: Option<Unsettled>,
    /// Size and time of change of files that are no init section, by name; until there is one.
    no_headers: HashMap<String, (u64, UnixTime)>,
    /// Other tracks than those presented.
    rival: Option<Rival>,
    /// Whether the newest file that was taken brought its own header; `None` before the first.
    brings_headers: Option<bool>,
    /// It was said that files are cut.
    has_told_of_cuts: bool,
    /// Media whose init section has not come.
    waiting: VecDeque<(String, UnixTime)>,
    warned_of: VecDeque<String>,
}

/// What was the newest file when the watching began, if it may be written still: one that ends with a whole fragment looks no
/// different from one that is finished.
struct Unsettled {
    entry: Entry,
    /// The names of the files beside it. They may be closed after it was begun; what comes after them is begun after it.
    beside: HashSet<String>,
}

/// What the thread does next.
enum Next {
    Sight(Sight),
    Look,
    Stop,
}

impl Work {
    fn new(
        settings: IntakeSettings,
        folder: Folder,
        stopped: Receiver<()>,
        tell: Box<dyn Fn(News) + Send>,
    ) -> Self {
        Self {
            timeline: Timeline::new(settings.segment_duration),
            settings,
            folder,
            stopped,
            tell,
            taken: TakenFiles::default(),
            no_headers: HashMap::new(),
            rival: None,
            brings_headers: None,
            has_told_of_cuts: false,
            unsettled: None,
            waiting: VecDeque::new(),
            warned_of: VecDeque::new(),
        }
    }

    fn run(mut self) {
        let mut manner = self.settings.manner;
        loop {
            let is_stopped = match manner {
                Manner::Inotify => match Watcher::start(&self.folder) {
                    Ok(watcher) => self.watch(&watcher),
                    Err(reason) => {
                        self.warn(format!(
                            "{} cannot be watched with inotify: {reason}; it is looked at every {} ms instead",
                            self.folder.path().display(),
                            self.settings.poll_interval.as_millis()
                        ));
                        manner = Manner::Poll;
                        continue;
                    }
                },
                Manner::Poll => self.poll(),
            };
            if is_stopped || self.wait_for_folder() {
                return;
            }
            manner = self.settings.manner;
        }
    }

    /// Until the folder is gone (false) or the thread is to stop (true).
    fn watch(&mut self, watcher: &Watcher) -> bool {
        self.take_backlog();
        let pause = Duration::from_nanos(LOOK_AFTER_FOLDER.0.unsigned_abs());
        let (mut heard, mut looked) = (now(), now());
        loop {
            // No room to tell of it.
            if watcher.has_lost() {
                self.take_backlog();
            }
            match self.next(watcher.sights(), Some(pause)) {
                Next::Stop => return true,
                Next::Sight(Sight::Gone) => return false,
                Next::Sight(Sight::Lost) => {
                    self.take_backlog();
                    heard = now();
                }
                Next::Sight(Sight::Finished(name, at)) => {
                    self.settle(&name);
                    self.take(&name, at);
                    heard = now();
                }
                Next::Look if now() - heard > QUIET => {
                    self.settle_if_unchanged();
                    heard = now();
                }
                Next::Look => {}
            }
            if now() - looked >= LOOK_AFTER_FOLDER {
                looked = now();
                if !watcher.is_of(&self.folder) {
                    return false;
                }
            }
        }
    }

    /// A file was finished. If that is a new one, what was the newest before is finished as well; and by its own report.
    fn settle(&mut self, finished: &str) {
        let is_new =
            |unsettled: &mut Unsettled| is_media(finished) && !unsettled.beside.contains(finished);
        if let Some(Unsettled { entry, .. }) = self.unsettled.take_if(is_new)
            && entry.name != finished
        {
            // Should it be cut off in the middle, it is told of when it is closed.
            self.try_take(&entry.name, entry.modified, true);
        }
    }

    /// Nothing was finished for long: a file that is as it was belongs to a writer that has gone.
    fn settle_if_unchanged(&mut self) {
        let Some(before) = self.unsettled.take() else {
            return;
        };
        match self.folder.read(&before.entry.name) {
            Ok((entry, _)) if entry == before.entry => {
                self.try_take(&entry.name, entry.modified, true);
            }
            Ok((entry, _)) => self.unsettled = Some(Unsettled { entry, ..before }),
            Err(_) => {}
        }
    }

    /// The same by looking.
    fn poll(&mut self) -> bool {
        let mut looks = Looks::default();
        let known = self.take_backlog();
        looks.know(&known);
        loop {
            match self.next(&never(), Some(self.settings.poll_interval)) {
                Next::Stop => return true,
                _ => {
                    let Ok((entries, refused)) = self.folder.list() else {
                        return false;
                    };
                    self.refuse(&refused);
                    // A file is finished when it is seen to be.
                    let now = now();
                    for entry in looks.look(entries, now) {
                        // One that is closed only after the next one was begun is not whole yet.
                        let may_be_open = now - entry.modified < LONGEST_PAUSE;
                        if !self.try_take(&entry.name, now, may_be_open) {
                            looks.forget(&entry.name);
                        }
                    }
                }
            }
        }
    }

    fn next(&self, sights: &Receiver<Sight>, at_most: Option<Duration>) -> Next {
        let timer = at_most.map_or_else(never, crossbeam_channel::after);
        crossbeam_channel::select! {
            // Nothing is ever sent: the other end goes away.
            recv(self.stopped) -> _ => Next::Stop,
            recv(sights) -> sight => sight.map_or(Next::Stop, Next::Sight),
            recv(timer) -> _ => Next::Look,
        }
    }

    /// The folder is gone: says so, and waits for it. Answers whether the thread is to stop.
    fn wait_for_folder(&mut self) -> bool {
        self.warn(format!(
            "{} is gone; the stream goes on when it is there again",
            self.folder.path().display()
        ));
        self.timeline.note_hole();
        loop {
            if matches!(self.next(&never(), Some(LOOK_FOR_FOLDER)), Next::Stop) {
                return true;
            }
            if self.folder.exists() {
                return false;
            }
        }
    }

    /// Takes what was written before the watching began, as far as it belongs to this stream; but not the newest file, when
    /// that was changed a moment ago. Answers what needs no other look.
    fn take_backlog(&mut self) -> Vec<Entry> {
        let Ok((mut entries, refused)) = self.folder.list() else {
            return Vec::new();
        };
        self.refuse(&refused);
        let mut beside: HashSet<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        entries.retain(|entry| is_media(&entry.name) && !self.taken.has(entry));
        entries.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        let newest = entries.pop_if(|newest| now() - newest.modified <= QUIET);
        self.unsettled = newest.clone().map(|entry| {
            beside.remove(&entry.name);
            Unsettled { entry, beside }
        });
        let pause = LONGEST_PAUSE.0.max(4 * self.settings.segment_duration.0);
        let mut after = newest.map_or_else(now, |newest| newest.modified);
        let recent = entries
            .iter()
            .rev()
            .take(self.settings.max_files.max(1))
            .take_while(|entry| {
                let is_near = (after - entry.modified).0 <= pause;
                after = entry.modified;
                is_near
            })
            .count();
        let (old, recent) = entries.split_at(entries.len() - recent);
        let mut known = old.to_vec();
        for entry in recent {
            // The one that is being written is not whole yet; it is told of when it is closed.
            let may_be_open = now() - entry.modified < LONGEST_PAUSE;
            if self.try_take(&entry.name, entry.modified, may_be_open) {
                known.push(entry.clone());
            }
        }
        known
    }

    /// Looks for the init section of media that has none: of files that are only that, the newest. Not before there is media
    /// of this stream: what lies there may be of another day.
    fn look_for_header(&mut self) {
        let Ok(mut entries) = self.folder.entries() else {
            return;
        };
        entries.retain(|entry| {
            is_media(&entry.name)
                && entry.size <= LARGEST_HEADER
                && self.no_headers.get(&entry.name) != Some(&identity(entry))
        });
        entries.sort_by(|a, b| (b.modified, &b.name).cmp(&(a.modified, &a.name)));
        for entry in entries {
            let may_be = self.folder.begins_with(&entry.name, &HEADER_BOXES);
            if may_be
                && let Ok((_, bytes)) = self.folder.read(&entry.name)
                && let Ok(file) = FragmentedFile::read(&bytes)
                && !file.has_media()
                && self.take_first_header(&file)
            {
                self.taken.add(&entry, &bytes);
                self.no_headers.clear();
                return;
            }
            if self.no_headers.len() < MOST_REMEMBERED {
                self.no_headers.insert(entry.name.clone(), identity(&entry));
            }
        }
    }

    /// Takes a file that was finished at `at`.
    fn take(&mut self, name: &str, at: UnixTime) {
        // One whose name is not plain is refused when it is read.
        if is_media(name) || is_refused(name) {
            self.try_take(name, at, false);
        }
    }

    /// Answers whether it was dealt with. One that may still be written is left for later without a word.
    fn try_take(&mut self, name: &str, at: UnixTime, may_be_open: bool) -> bool {
        let (entry, bytes) = match self.folder.read(name) {
            Ok(read) => read,
            // The writer removes old files; it was quicker.
            Err(ReadError::Missing) => return true,
            Err(error) => {
                self.leave_out(name, &error.to_string());
                return true;
            }
        };
        if self.taken.has(&entry) {
            return true;
        }
        let new = self.taken.new_in(&entry, &bytes);
        // One that is made before it is written says nothing yet, and one that was only touched nothing more.
        if new.is_empty() {
            self.taken.add(&entry, &bytes);
            return true;
        }
        let mut outcome = self.digest(new, at);
        if matches!(outcome, Outcome::NeedsHeader) {
            self.look_for_header();
            if self.timeline.has_header() {
                self.take_waiting();
                outcome = self.digest(new, at);
            }
        }
        match outcome {
            Outcome::Done => self.taken.add(&entry, &bytes),
            Outcome::NeedsHeader => self.wait_for_header(name, at),
            Outcome::Incomplete(_) if may_be_open => return false,
            Outcome::Incomplete(error) => self.leave_out(name, &error.to_string()),
            Outcome::Unusable(reason) => self.leave_out(name, &reason),
        }
        true
    }

    fn digest(&mut self, bytes: &[u8], at: UnixTime) -> Outcome {
        let file = match FragmentedFile::read(bytes) {
            Ok(file) => file,
            Err(error @ FileError::Boxes(_)) => return Outcome::Incomplete(error),
            Err(error) => return Outcome::Unusable(error.to_string()),
        };
        let headers = match file.header() {
            Ok(headers) => headers,
            Err(error) => return Outcome::Unusable(error.to_string()),
        };
        let has_own = headers.is_some();
        let has_media = file.has_media();
        let before =
            (has_own && has_media && self.timeline.has_header()).then(|| self.timeline.clone());
        let mut is_guest = false;
        if let Some(headers) = headers {
            // Where all others have their init section in a file of its own, it may be anything.
            if has_media
                && self.brings_headers == Some(false)
                && self.timeline.is_other_format(&headers)
                && !self.is_borne_out(&headers)
            {
                self.rival = Some(Rival::of(headers, false));
                return Outcome::Unusable(OTHER_FORMAT.to_owned());
            }
            match self.timeline.take_header(headers.clone()) {
                HeaderNews::First => {
                    (self.tell)(News::Renditions(self.timeline.renditions()));
                    self.take_waiting();
                }
                HeaderNews::Same => {
                    self.rival = None;
                    is_guest = self.brings_headers == Some(false);
                }
                HeaderNews::OtherFormat => self.rival = None,
                HeaderNews::OtherTracks => return self.meet_rival(&file, headers, at),
            }
        }
        if !has_media {
            return Outcome::Done;
        }
        if !self.timeline.has_header() {
            return Outcome::NeedsHeader;
        }
        if !has_own
            && let Some(rival) = &mut self.rival
            && rival.claims(&file, &self.timeline)
            && let Some(successor) = rival.succeed(&file, self.settings.segment_duration, at)
        {
            if !rival.has_claimed_before() {
                return Outcome::Unusable(OTHER_TRACKS.to_owned());
            }
            self.change_over(successor, at);
            return Outcome::Done;
        }
        match self.timeline.take(&file, at) {
            Ok(publications) => {
                // Not two in a row.
                self.rival = self.rival.take().and_then(Rival::after_another);
                self.brings_headers = Some(has_own && !is_guest);
                if let Some(before) = before.filter(|_| is_guest) {
                    // The others are still to be read as their own init section says.
                    self.timeline.read_like(&before);
                }
                self.tell_of_cuts(&publications);
                self.publish(publications, at);
                Outcome::Done
            }
            Err(error) => {
                // Nothing of it counts, nor does its header.
                if let Some(before) = before {
                    self.timeline = before;
                }
                match error {
                    FileError::Boxes(_) => Outcome::Incomplete(error),
                    _ => Outcome::Unusable(error.to_string()),
                }
            }
        }
    }

    /// Whether the file before had this format, too.
    fn is_borne_out(&self, headers: &[TrackHeader]) -> bool {
        let rival = self.rival.as_ref();
        rival.is_some_and(|rival| rival.is_borne_out_by(headers) && rival.has_format_of(headers))
    }

    fn tell_of_cuts(&mut self, publications: &[Publication]) {
        let is_end = |publication: &&Publication| matches!(publication, Publication::SegmentEnd(id, _) if *id == RenditionId::MAIN);
        if self.has_told_of_cuts || publications.iter().filter(is_end).count() < 2 {
            return;
        }
        self.has_told_of_cuts = true;
        self.warn(format!(
            "files in {} are longer than EXT-X-TARGETDURATION, which is fixed with the first, and are cut into several segments; set segment-duration to their length",
            self.folder.path().display()
        ));
    }

    /// A file has other tracks than what is presented.
    fn meet_rival(
        &mut self,
        file: &FragmentedFile<'_>,
        headers: Vec<TrackHeader>,
        at: UnixTime,
    ) -> Outcome {
        let is_borne_out = self
            .rival
            .as_ref()
            .is_some_and(|rival| rival.is_borne_out_by(&headers));
        let has_media = file.has_media();
        let rival = Rival::of(headers, !has_media);
        if !has_media {
            // What comes behind it says whether it counts.
            self.rival = Some(rival);
            return Outcome::Done;
        }
        if is_borne_out
            && let Some(successor) = rival.succeed(file, self.settings.segment_duration, at)
        {
            self.change_over(successor, at);
            return Outcome::Done;
        }
        self.rival = Some(rival);
        Outcome::Unusable(OTHER_TRACKS.to_owned())
    }

    /// The files are another presentation from here on.
    fn change_over(&mut self, successor: Successor, at: UnixTime) {
        self.rival = None;
        self.brings_headers = None;
        self.has_told_of_cuts = false;
        self.timeline = successor.timeline;
        (self.tell)(News::Renditions(self.timeline.renditions()));
        self.publish(successor.publications, at);
    }

    fn publish(&self, publications: Vec<Publication>, at: UnixTime) {
        for publication in publications {
            (self.tell)(News::Publication(publication, at));
        }
    }

    /// Takes a header before there is any. Answers whether it is one.
    fn take_first_header(&mut self, file: &FragmentedFile<'_>) -> bool {
        let Ok(Some(headers)) = file.header() else {
            return false;
        };
        let is_first = self.timeline.take_header(headers) == HeaderNews::First;
        if is_first {
            (self.tell)(News::Renditions(self.timeline.renditions()));
        }
        is_first
    }

    fn wait_for_header(&mut self, name: &str, at: UnixTime) {
        if self.waiting.len() == MOST_WAITING
            && let Some((oldest, _)) = self.waiting.pop_front()
        {
            self.warn_of(&oldest, "no init section has come for it");
        }
        self.waiting.push_back((name.to_owned(), at));
    }

    fn take_waiting(&mut self) {
        for (name, at) in std::mem::take(&mut self.waiting) {
            self.take(&name, at);
        }
    }

    fn refuse(&mut self, refused: &[Refused]) {
        for (name, reason) in refused {
            self.warn_of(name, reason);
        }
    }

    fn leave_out(&mut self, name: &str, reason: &str) {
        self.timeline.note_hole();
        self.warn_of(name, reason);
    }

    /// Once a file: what is wrong with it does not change by looking again.
    fn warn_of(&mut self, name: &str, reason: &str) {
        if self.warned_of.iter().any(|known| known == name) {
            return;
        }
        if self.warned_of.len() == MOST_REMEMBERED {
            self.warned_of.pop_front();
        }
        self.warned_of.push_back(name.to_owned());
        self.warn(format!(
            "{} in {} is left out: {reason}",
            name.escape_debug(),
            self.folder.path().display()
        ));
    }

    fn warn(&self, text: String) {
        (self.tell)(News::Warning(text));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: files carry the host's time"
)]
fn now() -> UnixTime {
    UnixTime::from_system(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests;
