//! A presentation as the sink keeps it: the server that shows it, and what the next run has to know to go on with it.
//!
//! Belongs here: whether a run may go on with what the one before left. Does not: when it is asked (`life`), numbers and
//! discontinuities (`origin/`).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::settings::{OnRestart, Settings};
use crate::{
    cmaf::segmenter::Constants,
    delivery::stats::Stats,
    http::Server,
    origin::{
        Origin,
        media::{Msn, Publication, RenditionId, RenditionSettings},
    },
    time::UnixTime,
};

/// A presentation and its server, as long as there is one.
#[derive(Debug)]
pub(super) struct Presentation {
    server: Server,
    terms: Mutex<Terms>,
}

/// What a presentation cannot do without in its next run.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// What the server was told of, by name of the pad.
    pub(super) renditions: Vec<RenditionSettings>,
    settings: Settings,
    /// Fixed with the first segment of each rendition (rules PL-09, PL-17).
    constants: HashMap<RenditionId, Constants>,
    /// Where the dates of all parts so far end.
    dated_until: Option<UnixTime>,
    /// A rendition has ended, and no playlist goes on behind its EXT-X-ENDLIST.
    is_over: bool,
    /// All of them have.
    has_ended: bool,
}

impl Terms {
    /// Those of a presentation that has not begun.
    pub(super) fn new(settings: Settings, renditions: Vec<RenditionSettings>) -> Self {
        Self {
            renditions,
            settings,
            constants: HashMap::new(),
            dated_until: None,
            is_over: false,
            has_ended: false,
        }
    }

    /// Whether a run with these settings and renditions may go on with the presentation.
    pub(super) fn allow(&self, settings: &Settings, renditions: &[RenditionSettings]) -> bool {
        settings.on_restart() == OnRestart::Continue
            && !self.is_over
            && !self.constants.is_empty()
            && self.renditions == renditions
            && self.settings.presents_like(settings)
    }

    fn note(&mut self, publication: &Publication) {
        match publication {
            Publication::SegmentEnd(id, Some(constants)) => {
                self.constants.entry(*id).or_insert(*constants);
            }
            Publication::Part(_, part) => {
                let end = part.program_date_time + part.duration.nanos();
                self.dated_until = self.dated_until.max(Some(end));
            }
            Publication::EndOfRendition(_) => self.is_over = true,
            Publication::EndOfStream => (self.is_over, self.has_ended) = (true, true),
            _ => {}
        }
    }
}

/// A presentation without a server, from one life of the element to the next.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) origin: Origin,
    pub(super) terms: Terms,
}

impl Presentation {
    pub(super) fn new(server: Server, terms: Terms) -> Self {
        Self {
            server,
            terms: Mutex::new(terms),
        }
    }

    /// Hands a publication over and returns.
    pub(super) fn publish(&self, publication: Publication) {
        self.terms().note(&publication);
        self.server.publish(publication);
    }

    /// A run begins, with these settings: some may have changed since the server was started.
    pub(super) fn begin_run(&self, settings: &Settings) {
        self.terms().settings = settings.clone();
    }

    /// Hands over what was complete before, at the moment that is shown.
    pub(super) fn publish_completed(&self, publication: Publication, completed: UnixTime) {
        self.terms().note(&publication);
        self.server.publish_completed(publication, completed);
    }

    /// The source is gone. With `on-restart=continue` the next run may go on; else whoever waits gets the final playlist
    /// (rule PL-42).
    pub(super) fn end_run(&self, on_restart: OnRestart) {
        if on_restart == OnRestart::Continue && !self.terms().is_over {
            self.publish(Publication::EndOfRun);
        } else {
            self.give_way();
        }
    }

    /// Nothing comes any more: it is over, if it was not before.
    pub(super) fn give_way(&self) {
        if !self.terms().has_ended {
            self.publish(Publication::EndOfStream);
        }
    }

    /// Whether a run with these settings and renditions may go on with it.
    pub(super) fn allows(&self, settings: &Settings, renditions: &[RenditionSettings]) -> bool {
        self.server.is_alive() && self.terms().allow(settings, renditions)
    }

    /// Whether it has these renditions, from where these settings have them.
    pub(super) fn is_of(&self, settings: &Settings, renditions: &[RenditionSettings]) -> bool {
        let terms = self.terms();
        terms.renditions == renditions && terms.settings.mode == settings.mode
    }

    /// What an earlier run fixed for a rendition.
    pub(super) fn constants(&self, id: RenditionId) -> Option<Constants> {
        self.terms().constants.get(&id).copied()
    }

    /// Where the dates of its parts end: those of the next run do not go back behind it (rule PL-33).
    pub(super) fn dated_until(&self) -> Option<UnixTime> {
        self.terms().dated_until
    }

    /// EXT-X-TARGETDURATION, if an earlier run fixed it.
    pub(super) fn target_duration(&self) -> Option<u32> {
        let terms = self.terms();
        let first = terms.constants.iter().min_by_key(|(id, _)| **id)?;
        Some(first.1.target_duration)
    }

    /// The number the run that is about to begin goes on with; `None` when it begins the presentation.
    pub(super) fn next_run(&self) -> Option<Msn> {
        self.server.next_run()
    }

    /// The server's figures.
    pub(super) fn stats(&self) -> Stats {
        self.server.stats()
    }

    /// Stops the server. Answers what is left for the next life of the element.
    pub(super) fn close(&self) -> Option<Kept> {
        let origin = self.server.stop()?;
        let terms = self.terms().clone();
        Some(Kept { origin, terms })
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
