//! Says when a file of a folder is finished.
//!
//! Belongs here: inotify, and looking again and again where that cannot be had. Does not: reading files (`intake`).
//!
//! `notify` says CLOSE_WRITE and MOVED_TO apart from everything else, so its inotify is used. Its polling only compares
//! times of change and cannot say that a file is finished, so looking is done here.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crossbeam_channel::Receiver;

use super::folder::{Entry, Folder, is_media};
use crate::time::{Nanos, UnixTime};

/// How a folder is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The system tells.
    Inotify,
    /// By looking at it again and again.
    Poll,
}

/// Events that wait to be read. When there are more, the folder is looked at as a whole.
const MOST_EVENTS: usize = 4096;

/// A file nothing follows is taken for finished when it has not changed for so long: the last one of a stream.
pub(super) const QUIET: Nanos = Nanos::from_seconds(3);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The writer has closed this file, or moved it in; when.
    Finished(String, UnixTime),
    /// More happened than the system could tell: the whole folder has to be looked at.
    Lost,
    /// The folder itself is gone.
    Gone,
}

/// Watches a folder through inotify.
pub(super) struct Watcher {
    sights: Receiver<Sight>,
    /// There was no room to tell of something.
    has_lost: Arc<AtomicBool>,
    /// Of the folder that is watched, whatever becomes of its path.
    identity: Option<(u64, u64)>,
    #[cfg(target_os = "linux")]
    _inotify: notify::INotifyWatcher,
}

impl Watcher {
    /// Says why not when the system cannot tell what happens in this folder.
    #[cfg(target_os = "linux")]
    pub(super) fn start(folder: &Folder) -> Result<Self, String> {
        use notify::Watcher as _;

        if is_on_network(folder) {
            return Err("it is on a network file system".to_owned());
        }
        let identity = folder.identity();
        let (sender, sights) = crossbeam_channel::bounded(MOST_EVENTS);
        let has_lost = Arc::new(AtomicBool::new(false));
        let handler = {
            let has_lost = Arc::clone(&has_lost);
            let path = folder.path().to_owned();
            move |event: notify::Result<notify::Event>| {
                let now = now();
                let sights = match event {
                    Ok(event) if event.need_rescan() => vec![Sight::Lost],
                    Ok(event) => sights_of(&event, &path, now),
                    Err(_) => vec![Sight::Lost],
                };
                for sight in sights {
                    if sender.try_send(sight).is_err() {
                        has_lost.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut inotify =
            notify::INotifyWatcher::new(handler, config).map_err(|error| error.to_string())?;
        inotify
            .watch(folder.path(), notify::RecursiveMode::NonRecursive)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            sights,
            has_lost,
            identity,
            _inotify: inotify,
        })
    }

    /// Says why not when the system cannot tell what happens in this folder.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn start(_folder: &Folder) -> Result<Self, String> {
        Err("this system has no inotify".to_owned())
    }

    /// What was seen, as it is seen.
    pub(super) fn sights(&self) -> &Receiver<Sight> {
        &self.sights
    }

    /// Whether what is watched is still the folder at its path. What is above it may have been renamed or unmounted, of which
    /// inotify says nothing.
    pub(super) fn is_of(&self, folder: &Folder) -> bool {
        self.identity.is_some() && self.identity == folder.identity()
    }

    /// Whether something may have been missed since this was asked last: the whole folder has to be looked at.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost.swap(false, Ordering::Relaxed)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: the moment a file is finished is the host's time"
)]
fn now() -> UnixTime {
    UnixTime::from_system(std::time::SystemTime::now())
}

#[cfg(target_os = "linux")]
fn sights_of(event: &notify::Event, folder: &std::path::Path, now: UnixTime) -> Vec<Sight> {
    use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};

    let is_end = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To))
    );
    let is_loss = matches!(
        event.kind,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From))
    );
    if is_loss && event.paths.iter().any(|path| path == folder) {
        return vec![Sight::Gone];
    }
    if !is_end {
        return Vec::new();
    }
    event
        .paths
        .iter()
        .filter(|path| path.parent() == Some(folder))
        .filter_map(|path| path.file_name()?.to_str())
        .map(|name| Sight::Finished(name.to_owned(), now))
        .collect()
}

/// File systems whose other ends change files without this system hearing of it.
#[cfg(target_os = "linux")]
fn is_on_network(folder: &Folder) -> bool {
    rustix::fs::statfs(folder.path())
        // The type is a number of 32 bits in a field that has another width on each system.
        .is_ok_and(|file_system| is_network(file_system.f_type as u32))
}

/// Whether a file system of this type is one.
#[cfg(target_os = "linux")]
fn is_network(file_system: u32) -> bool {
    // NFS, SMB (three generations), Ceph, AFS, 9P, FUSE (sshfs and its kin), Lustre, BeeGFS, GFS2, OCFS2, and what virtual
    // machines share with their hosts (VirtualBox, VMware).
    const NETWORK: [u32; 15] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x00c3_6400,
        0x5346_414f,
        0x6b41_4653,
        0x0102_1997,
        0x6573_5546,
        0x0bd0_0bd0,
        0x1983_0326,
        0x0116_1970,
        0x7461_636f,
        0x786f_4256,
        0xbacb_acbc,
    ];
    NETWORK.contains(&file_system)
}

/// Finds finished files by looking at a folder again and again.
///
/// A file is finished when another one follows it, when it came by its name whole (it was there under one that is no
/// segment's), or when it has been quiet for long. A writer that pauses between fragments leaves a file of whole boxes, so
/// that alone says nothing.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How the folder was at the last look; `None` before the first.
    last: HashMap<String, Look>,
    count: u64,
}

#[derive(Clone, Debug)]
struct Look {
    entry: Entry,
    /// The look it was there for the first time.
    first: u64,
    /// How it was when it was told of.
    told: Option<(u64, UnixTime)>,
}

impl Looks {
    /// Takes in the folder as it is `now` and answers which files are finished, oldest first. Each is told of once, unless
    /// it changes.
    pub(super) fn look(&mut self, entries: Vec<Entry>, now: UnixTime) -> Vec<Entry> {
        // Names that are gone: what had one may have another now. An inode alone does not tell, because it is given away again
        // at once; and a segment that is gone was removed, not renamed.
        let gone: HashMap<u64, &Entry> = {
            let there: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            self.last
                .values()
                .map(|look| &look.entry)
                .filter(|entry| !there.contains(entry.name.as_str()) && !is_media(&entry.name))
                .map(|entry| (entry.inode, entry))
                .collect()
        };
        self.count += 1;
        let mut this = HashMap::with_capacity(entries.len());
        for entry in entries {
            let before = self.last.get(&entry.name);
            let came_by_name = entry.inode != 0
                && before.is_none_or(|look| look.entry.inode != entry.inode)
                && gone
                    .get(&entry.inode)
                    .is_some_and(|other| other.created == entry.created);
            let is_same_file = before.is_some_and(|look| look.entry.inode == entry.inode);
            // A writer that counts its names round writes over old files: such a one begins another life. One that only closes
            // a file after it has begun the next adds to it at once.
            let is_rewritten = before.is_some_and(|look| {
                let was_told = look.told == Some((look.entry.size, look.entry.modified));
                let is_other =
                    entry.size < look.entry.size || entry.modified - look.entry.modified > QUIET;
                was_told && is_other
            });
            let is_going_on = is_same_file && !came_by_name && !is_rewritten;
            let look = Look {
                first: match before {
                    Some(look) if is_going_on => look.first,
                    _ => self.count,
                },
                told: before.and_then(|look| look.told),
                entry,
            };
            this.insert(look.entry.name.clone(), (look, came_by_name));
        }
        let order = |look: &Look| (look.first, look.entry.modified);
        let newest = this
            .values()
            .map(|(look, _)| look)
            .filter(|look| is_media(&look.entry.name))
            .max_by_key(|look| order(look))
            .cloned();
        let is_followed = |look: &Look| {
            newest.as_ref().is_some_and(|newest| {
                order(newest) > order(look) && newest.entry.modified >= look.entry.modified
            })
        };
        let mut finished: Vec<Entry> = this
            .values()
            .filter(|(look, _)| is_media(&look.entry.name) && look.entry.size > 0)
            .filter(|(look, _)| look.told != Some((look.entry.size, look.entry.modified)))
            .filter(|(look, came_by_name)| {
                *came_by_name || is_followed(look) || now - look.entry.modified > QUIET
            })
            .map(|(look, _)| look.entry.clone())
            .collect();
        finished.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        self.last = this
            .into_iter()
            .map(|(name, (look, _))| (name, look))
            .collect();
        for entry in &finished {
            if let Some(look) = self.last.get_mut(&entry.name) {
                look.told = Some((entry.size, entry.modified));
            }
        }
        finished
    }

    /// It was not whole: it is told of again at the next look.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(look) = self.last.get_mut(name) {
            look.told = None;
        }
    }

    /// These were dealt with before looking began.
    pub(super) fn know(&mut self, entries: &[Entry]) {
        for entry in entries {
            let look = Look {
                entry: entry.clone(),
                first: self.count,
                told: Some((entry.size, entry.modified)),
            };
            self.last.insert(entry.name.clone(), look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: u64, second: i64, inode: u64) -> Entry {
        Entry {
            name: name.to_owned(),
            size,
            modified: UnixTime(second * 1_000_000_000),
            inode,
            created: None,
        }
    }

    fn names(looks: &mut Looks, second: i64, entries: &[Entry]) -> Vec<String> {
        looks
            .look(entries.to_vec(), UnixTime(second * 1_000_000_000))
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn a_file_is_finished_when_the_next_one_is_there() {
        let mut looks = Looks::default();
        assert_eq!(
            names(&mut looks, 100, &[entry("a.m4s", 10, 100, 1)]),
            [""; 0]
        );
        // It pauses, whole: that says nothing.
        assert_eq!(
            names(&mut looks, 101, &[entry("a.m4s", 10, 100, 1)]),
            [""; 0]
        );
        let both = [entry("a.m4s", 20, 101, 1), entry("b.m4s", 0, 102, 2)];
        assert_eq!(names(&mut looks, 102, &both), ["a.m4s"]);
        assert_eq!(names(&mut looks, 102, &both), [""; 0], "told once");
    }

    #[test]
    fn a_file_that_came_by_its_name_is_finished() {
        let mut looks = Looks::default();
        let _ = names(&mut looks, 100, &[entry("a.m4s.tmp", 10, 100, 1)]);
        assert_eq!(
            names(&mut looks, 101, &[entry("a.m4s", 10, 101, 1)]),
            ["a.m4s"]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_close_after_writing_and_a_move_in_are_ends() {
        use notify::event::{
            AccessKind, AccessMode, CreateKind, DataChange, EventKind, ModifyKind, RemoveKind,
            RenameMode,
        };
        use std::path::Path;

        let folder = Path::new("/live");
        let seen = |kind, path: &str| {
            let event = notify::Event::new(kind).add_path(path.into());
            sights_of(&event, folder, UnixTime(7))
        };
        let close = |mode| EventKind::Access(AccessKind::Close(mode));
        let rename = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let finished = [Sight::Finished("a.m4s".to_owned(), UnixTime(7))];
        assert_eq!(seen(close(AccessMode::Write), "/live/a.m4s"), finished);
        assert_eq!(seen(rename(RenameMode::To), "/live/a.m4s"), finished);
        for kind in [
            close(AccessMode::Read),
            rename(RenameMode::From),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Data(DataChange::Any)),
            EventKind::Remove(RemoveKind::File),
        ] {
            assert!(seen(kind, "/live/a.m4s").is_empty(), "{kind:?}");
        }
        assert!(seen(close(AccessMode::Write), "/live/deeper/a.m4s").is_empty());
        assert_eq!(
            seen(EventKind::Remove(RemoveKind::Folder), "/live"),
            [Sight::Gone]
        );
        assert_eq!(seen(rename(RenameMode::From), "/live"), [Sight::Gone]);
    }

    /// Figures of linux/magic.h and statfs(2).
    #[cfg(target_os = "linux")]
    #[test]
    fn file_systems_that_others_write_to_are_not_watched() {
        for (name, file_system) in [
            ("NFS", 0x6969),
            ("CIFS", 0xff53_4d42),
            ("SMB2", 0xfe53_4d42),
            ("9P", 0x0102_1997),
            ("FUSE", 0x6573_5546),
            ("Ceph", 0x00c3_6400),
        ] {
            assert!(is_network(file_system), "{name}");
        }
        for (name, file_system) in [
            ("ext4", 0xef53),
            ("tmpfs", 0x0102_1994),
            ("overlayfs", 0x794c_7630),
            ("btrfs", 0x9123_683e),
            ("xfs", 0x5846_5342),
        ] {
            assert!(!is_network(file_system), "{name}");
        }
    }

    /// File systems give the number of a removed file to the next one.
    #[test]
    fn a_file_with_the_number_of_a_removed_one_is_not_finished() {
        for (removed, created) in [("a.m4s", None), ("notes.txt", Some(UnixTime(1)))] {
            let mut looks = Looks::default();
            let mut before = entry(removed, 10, 100, 1);
            before.created = created;
            let _ = names(&mut looks, 100, &[before]);
            let mut next = entry("b.m4s", 5, 101, 1);
            next.created = created.map(|_| UnixTime(2));
            assert_eq!(names(&mut looks, 101, &[next]), [""; 0], "{removed}");
        }
        // A playlist that was replaced.
        let mut looks = Looks::default();
        let _ = names(&mut looks, 100, &[entry("live.m3u8", 9, 100, 1)]);
        let after = [entry("live.m3u8", 9, 101, 2), entry("b.m4s", 5, 101, 1)];
        assert_eq!(names(&mut looks, 101, &after), [""; 0]);
    }

    #[test]
    fn the_last_file_is_finished_when_it_is_quiet() {
        let mut looks = Looks::default();
        let last = [entry("a.m4s", 10, 100, 1)];
        assert_eq!(names(&mut looks, 101, &last), [""; 0]);
        assert_eq!(names(&mut looks, 104, &last), ["a.m4s"]);
        // Written again under the same name.
        let again = [entry("a.m4s", 12, 110, 1), entry("b.m4s", 0, 111, 2)];
        assert_eq!(names(&mut looks, 111, &again), ["a.m4s"]);
    }

    /// splitmuxsink with `max-files` counts round.
    #[test]
    fn names_that_are_used_again_are_seen_as_soon_as_others() {
        let mut looks = Looks::default();
        let folder = |newest: i64| -> Vec<Entry> {
            let life = |slot: i64| (0..=newest).rev().find(|nth| nth % 3 == slot);
            let written = |slot: i64| {
                let nth = life(slot)?;
                let size = if nth == newest { 5 } else { 100 + nth as u64 };
                Some(entry(
                    &format!("{slot}.m4s"),
                    size,
                    100 + nth,
                    slot as u64 + 1,
                ))
            };
            (0..3).filter_map(written).collect()
        };
        for nth in 0..9 {
            let told = names(&mut looks, 100 + nth, &folder(nth));
            let before = (nth > 0).then(|| format!("{}.m4s", (nth - 1) % 3));
            assert_eq!(told, Vec::from_iter(before), "{nth}");
        }
    }

    #[test]
    fn what_is_known_and_what_is_no_media_is_not_told() {
        let mut looks = Looks::default();
        looks.know(&[entry("a.m4s", 10, 100, 1)]);
        let all = [entry("a.m4s", 10, 100, 1), entry("live.m3u8", 9, 100, 3)];
        assert_eq!(names(&mut looks, 200, &all), [""; 0]);
    }

    #[test]
    fn several_that_came_at_once_keep_their_order() {
        let mut looks = Looks::default();
        let all = [
            entry("c.m4s", 0, 103, 3),
            entry("b.m4s", 5, 102, 2),
            entry("a.m4s", 5, 101, 1),
        ];
        assert_eq!(names(&mut looks, 103, &all), ["a.m4s", "b.m4s"]);
    }
}
