//! Which files were taken already, and how much of each.
//!
//! Belongs here: telling a file that was written again from one that was added to, and from one that is as it was. Does not:
//! what is in them (`timeline`).

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hasher},
};

use super::{folder::Entry, watcher::QUIET};
use crate::time::UnixTime;

/// Files remembered so that none is taken twice.
pub(super) const MOST_REMEMBERED: usize = 10_000;

/// The files that were taken, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct TakenFiles {
    files: HashMap<String, Taken>,
    /// Their names, oldest first.
    order: VecDeque<String>,
}

/// A file as it was when it was taken.
#[derive(Debug)]
struct Taken {
    size: u64,
    modified: UnixTime,
    /// Of all its bytes: when there are more later, the same writer may have gone on.
    hash: u64,
}

impl TakenFiles {
    /// Whether a file is as it was when it was taken.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let taken = self.files.get(&entry.name);
        taken.is_some_and(|taken| (taken.size, taken.modified) == identity(entry))
    }

    /// What of a file was not taken yet: its end, where a writer has added to it after closing it. One that is much younger is
    /// another one of that name, even if all its bytes are the same: a still picture, counted anew.
    pub(super) fn new_in<'a>(&self, entry: &Entry, bytes: &'a [u8]) -> &'a [u8] {
        let added = self.files.get(&entry.name).and_then(|taken| {
            let (before, added) = bytes.split_at_checked(usize::try_from(taken.size).ok()?)?;
            let is_other = added.is_empty() && entry.modified - taken.modified > QUIET;
            (!is_other && hash(before) == taken.hash).then_some(added)
        });
        added.unwrap_or(bytes)
    }

    /// All of a file was taken.
    pub(super) fn add(&mut self, entry: &Entry, bytes: &[u8]) {
        let taken = Taken {
            size: bytes.len() as u64,
            modified: entry.modified,
            hash: hash(bytes),
        };
        if self.files.insert(entry.name.clone(), taken).is_none() {
            self.order.push_back(entry.name.clone());
        }
        if self.order.len() > MOST_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.files.remove(&oldest);
        }
    }
}

/// What changes when a file is written again.
pub(super) fn identity(entry: &Entry) -> (u64, UnixTime) {
    (entry.size, entry.modified)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: usize, modified: i64) -> Entry {
        Entry {
            name: name.to_owned(),
            size: size as u64,
            modified: UnixTime(modified),
            inode: 0,
            created: None,
        }
    }

    #[test]
    fn what_was_added_is_new_and_what_was_written_again_is_all_new() {
        let mut taken = TakenFiles::default();
        taken.add(&entry("a", 3, 1), b"abc");
        assert!(taken.has(&entry("a", 3, 1)));
        for changed in [entry("a", 3, 2), entry("a", 5, 1), entry("b", 3, 1)] {
            assert!(!taken.has(&changed), "{changed:?}");
        }
        assert_eq!(taken.new_in(&entry("a", 5, 2), b"abcde"), b"de");
        assert_eq!(taken.new_in(&entry("a", 3, 2), b"abc"), b"", "touched");
        let later = entry("a", 3, 60_000_000_000);
        assert_eq!(
            taken.new_in(&later, b"abc"),
            b"abc",
            "its name has come round"
        );
        for other in [&b"abXde"[..], b"ab", b"xyz"] {
            assert_eq!(taken.new_in(&entry("a", other.len(), 2), other), other);
        }
        assert_eq!(taken.new_in(&entry("b", 3, 2), b"abc"), b"abc");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut taken = TakenFiles::default();
        for nth in 0..=MOST_REMEMBERED {
            taken.add(&entry(&nth.to_string(), 1, 1), b"x");
        }
        assert!(!taken.has(&entry("0", 1, 1)));
        assert!(taken.has(&entry("1", 1, 1)));
    }
}
