//! The other way in, and the way onto the disk: folders.
//!
//! Belongs here: everything that opens, names, watches or removes a file. Pure middle: `timeline` makes one presentation of
//! many files and is told what time it is. Does not belong here: what boxes mean (`cmaf/`), what players see (`origin/`).
//! Called by `sink/`, which passes on what is published. Every thread here ends when its owner is dropped.

mod chunks;
mod cuts;
#[cfg(test)]
mod fixture;
mod folder;
mod intake;
mod ledger;
mod output;
mod rival;
mod taken;
mod timeline;
mod watcher;
mod writer;

pub use intake::{Intake, IntakeSettings, News};
pub use output::{Output, OutputSettings};
pub use watcher::Manner;
pub use writer::{Keep, WriterCounts, WriterSettings};
