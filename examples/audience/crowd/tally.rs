//! What a crowd saw, and when. One thread writes and reads it.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    time::Instant,
};

use super::{Fault, playlist::Reader};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The playlist as it stood.
    Entry,
    Init,
    /// The playlist with that segment's part.
    Reload(u64, u64),
    /// A part that was listed.
    Part(u64),
    /// A part that was hinted.
    Hint(u64),
}

/// One request, in nanoseconds since the crowd began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) key: Key,
    pub(crate) asked: i64,
    /// When its last byte was read.
    pub(crate) answered: i64,
}

pub(crate) struct Tally {
    start: Instant,
    tuned_in: Cell<usize>,
    delivered: Cell<u64>,
    newest: Cell<Option<u64>>,
    /// The part everybody is to have before they leave; `None` while they are to go on.
    last: Cell<Option<u64>>,
    answers: RefCell<Vec<Answer>>,
    /// Size and checksum of each part as its first viewer got it.
    parts: RefCell<HashMap<u64, (u64, u32)>>,
    pub(crate) playlists: Reader,
}

impl Tally {
    pub(crate) fn since(start: Instant) -> Self {
        Self {
            start,
            tuned_in: Cell::new(0),
            delivered: Cell::new(0),
            newest: Cell::new(None),
            last: Cell::new(None),
            answers: RefCell::default(),
            parts: RefCell::default(),
            playlists: Reader::default(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// A viewer has a playlist and begins to follow it.
    pub(crate) fn tuned_in(&self) {
        self.tuned_in.set(self.tuned_in.get() + 1);
    }

    pub(crate) fn count_tuned_in(&self) -> usize {
        self.tuned_in.get()
    }

    /// A viewer has a part whole.
    pub(crate) fn delivered(&self) {
        self.delivered.set(self.delivered.get() + 1);
    }

    pub(crate) fn count_delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// A playlist lists that part.
    pub(crate) fn seen(&self, part: u64) {
        self.newest.set(self.newest.get().max(Some(part)));
    }

    /// From now on viewers leave when they have all that any of them has seen so far.
    pub(crate) fn call_it_a_day(&self) {
        self.last.set(Some(self.newest.get().unwrap_or(0)));
    }

    pub(crate) fn is_enough(&self, newest: Option<u64>) -> bool {
        self.last.get().is_some_and(|last| newest >= Some(last))
    }

    pub(crate) fn answered(&self, key: Key, asked: i64) {
        let answered = self.now();
        self.answers.borrow_mut().push(Answer {
            key,
            asked,
            answered,
        });
    }

    pub(crate) fn count_answers(&self) -> u64 {
        self.answers.borrow().len() as u64
    }

    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.answers.borrow().clone()
    }

    /// All viewers get the same bytes.
    pub(crate) fn compare(&self, part: u64, size: u64, checksum: u32) -> Result<(), Fault> {
        let mut parts = self.parts.borrow_mut();
        let first = *parts.entry(part).or_insert((size, checksum));
        if first == (size, checksum) {
            Ok(())
        } else {
            Err(Fault::new(format!(
                "part {part} is not the same for all: {first:?} and {:?}",
                (size, checksum)
            )))
        }
    }

    /// Bytes of the parts, each counted once, and how many there were.
    pub(crate) fn parts(&self) -> (u64, u64) {
        let parts = self.parts.borrow();
        let bytes = parts.values().map(|(size, _)| size).sum();
        (bytes, parts.len() as u64)
    }

    /// How many URLs were asked for.
    pub(crate) fn distinct(&self) -> u64 {
        let keys: HashSet<Key> = self
            .answers
            .borrow()
            .iter()
            .map(|answer| match answer.key {
                Key::Hint(number) => Key::Part(number),
                key => key,
            })
            .collect();
        keys.len() as u64
    }
}
