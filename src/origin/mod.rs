//! Step 3 of a frame's road: the live edge.
//!
//! Belongs here: what has been published and what of it a playlist may still name. Pure: no clock, no IO, no locks.
//! Does not: how a request is answered (`delivery/`), how bytes travel (`http/`).

pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod media;
pub mod name;
pub mod window;

use crate::time::UnixTime;
use event::Event;
use media::{Publication, RunId};
use window::{LiveWindow, WindowSettings};

/// The state requests are answered from: one run of one presentation.
///
/// One rendition so far; several would each bring a window of their own.
#[derive(Debug)]
pub struct Origin {
    run: RunId,
    window: LiveWindow,
}

impl Origin {
    /// An origin nothing has been published to.
    pub fn new(run: RunId, settings: WindowSettings) -> Self {
        Self {
            run,
            window: LiveWindow::new(settings),
        }
    }

    /// Applies what the sink published; `now` is when, and becomes the `published` time of what it completes.
    ///
    /// Publications must come in the order the sink made them. One that breaks the protocol changes nothing (or only
    /// what is said at the [`event::Violation`]) and comes back as [`Event::Violation`].
    pub fn publish(&mut self, publication: Publication, now: UnixTime) -> Vec<Event> {
        self.window.publish(publication, now)
    }

    /// The folder all media of this run is under.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The segments and parts of the only rendition.
    pub fn window(&self) -> &LiveWindow {
        &self.window
    }
}
