//! Key frames asked for upstream, by the thread that brings frames.
//!
//! Belongs here: what waits to be asked, and whether anybody listens. Does not: when a key frame is wanted (`cmaf/segmenter`).
//!
//! With several tracks a thread of the track's own finds out that a key frame is wanted, and must not ask itself: h264parse and
//! h265parse keep the newest request, and let go of the one before, without a lock (read in their source). Asked from another
//! thread than the one that pushes frames through them, they may read freed memory.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use gst::prelude::*;

/// The requests of one track.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: Mutex<Vec<gst::Event>>,
    is_heard: AtomicBool,
}

impl Requests {
    /// Asks with the next frame that comes, or the one that is being taken.
    pub(super) fn add(&self, request: gst::Event) {
        self.waiting().push(request);
    }

    /// Asks upstream of `pad`. Only the thread that brings frames calls this.
    pub(super) fn send(&self, pad: &gst::Pad) {
        let waiting = std::mem::take(&mut *self.waiting());
        for request in waiting {
            // False when nobody upstream knows the event; the warning comes when a segment turns out long.
            self.is_heard
                .store(pad.push_event(request), Ordering::Relaxed);
        }
    }

    /// Whether somebody upstream takes requests, as far as is known.
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// Another run begins.
    pub(super) fn forget(&self) {
        self.waiting().clear();
        self.is_heard.store(false, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<gst::Event>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
