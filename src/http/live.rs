//! What all connections of the server share: the origin, the rendered playlist, the bell that wakes waiters.
//!
//! Belongs here: state of the thread `llhls-http`; nothing in it is locked but the figures, which others read.
//! Does not: sockets (`connection`), headers (`respond`).

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: reads the clock that /timestamps.json shows"
)]

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::page::PageFiles;
use super::respond::Cors;
use super::server::{Report, ServerConfig};
use crate::delivery::playlist::{self, BaseUrl, PlaylistStyle};
use crate::delivery::stats::{Stats, TrackStats};
use crate::delivery::{Decision, Refusal, Reply, Request, Routes, decide, timestamps};
use crate::origin::Origin;
use crate::origin::event::Event;
use crate::origin::media::Publication;
use crate::origin::window::{Version, WindowSettings};
use crate::time::{Nanos, UnixTime};

/// A [`ServerConfig`] read and found good.
pub(super) struct LiveSettings {
    routes: Routes,
    style: PlaylistStyle,
    window: WindowSettings,
    cors: Cors,
    page: PageFiles,
}

impl LiveSettings {
    pub(super) fn new(config: ServerConfig) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let base = match &config.public_url {
            None => None,
            Some(url) => Some(BaseUrl::new(url).ok_or_else(|| {
                invalid(format!(
                    "{url:?} is no plain http or https URL for public-url"
                ))
            })?),
        };
        let cors = Cors::new(&config.cors_origin)
            .ok_or_else(|| invalid(format!("{:?} is no origin", config.cors_origin)))?;
        Ok(Self {
            style: PlaylistStyle {
                base,
                part_hold_back: config.part_hold_back,
            },
            window: WindowSettings {
                playlist_length: config.playlist_length as usize,
                max_files: config.max_files as usize,
            },
            cors,
            page: PageFiles::new(&config.playlist_name),
            routes: Routes {
                playlist_name: config.playlist_name,
                run: config.run,
            },
        })
    }
}

/// The shared state. Borrows of its cells never outlive a call: no caller can hold one over an await.
pub(super) struct Live {
    routes: Routes,
    style: PlaylistStyle,
    max_files: usize,
    cors: Cors,
    page: PageFiles,
    origin: RefCell<Origin>,
    /// The playlist of one version; rendered when the first client asks for it.
    rendered: RefCell<Option<(Version, Bytes)>>,
    /// Rung after each change; everyone parked decides again.
    changes: watch::Sender<()>,
    /// Turns true once, when the server stops.
    is_stopping: watch::Sender<bool>,
    connections: watch::Sender<u32>,
    turning_away: Cell<u32>,
    stats: Arc<Mutex<Stats>>,
    report: Rc<dyn Fn(Report)>,
}

impl Live {
    pub(super) fn new(
        settings: LiveSettings,
        stats: Arc<Mutex<Stats>>,
        report: Rc<dyn Fn(Report)>,
    ) -> Self {
        let LiveSettings {
            routes,
            style,
            window,
            cors,
            page,
        } = settings;
        Self {
            origin: RefCell::new(Origin::new(routes.run.clone(), window)),
            routes,
            style,
            max_files: window.max_files,
            cors,
            page,
            rendered: RefCell::new(None),
            changes: watch::Sender::new(()),
            is_stopping: watch::Sender::new(false),
            connections: watch::Sender::new(0),
            turning_away: Cell::new(0),
            stats,
            report,
        }
    }

    /// Applies a publication; nobody is woken yet. `handover` is how long it was on its way to this thread.
    pub(super) fn publish(
        &self,
        publication: Publication,
        now: UnixTime,
        handover: Nanos,
    ) -> Vec<Event> {
        let mut origin = self.origin.borrow_mut();
        let events = origin.publish(publication, now);
        let mut stats = self.stats();
        for event in &events {
            count(&mut stats, event, handover);
        }
        stats.observe(&origin);
        events
    }

    /// Wakes everyone parked.
    pub(super) fn wake(&self) {
        self.changes.send_replace(());
    }

    /// Refuses whatever is parked or comes from now on.
    pub(super) fn stop(&self) {
        self.is_stopping.send_replace(true);
        self.wake();
    }

    /// Whether the server stops.
    pub(super) fn is_stopping(&self) -> bool {
        *self.is_stopping.borrow()
    }

    /// Turns true when the server stops.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.is_stopping.subscribe()
    }

    /// Returns once there is no connection any more.
    pub(super) async fn all_gone(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self
            .connections
            .subscribe()
            .wait_for(|open| *open == 0)
            .await;
    }

    pub(super) fn report(&self, report: Report) {
        (self.report)(report);
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    pub(super) fn cors(&self) -> &Cors {
        &self.cors
    }

    pub(super) fn page(&self) -> &PageFiles {
        &self.page
    }

    /// The figures, for one quick change. Nothing is called while they are held.
    pub(super) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides a request, parking it as long as the decision is to wait.
    pub(super) async fn settle(&self, request: &Request) -> Result<Reply, Refusal> {
        let arrived = Instant::now();
        let mut changes = self.changes.subscribe();
        let mut parked = None;
        loop {
            let waited = Nanos(i64::try_from(arrived.elapsed().as_nanos()).unwrap_or(i64::MAX));
            let settled = match self.decide(request, waited) {
                Decision::Reply(reply) => Ok(reply),
                Decision::Refuse(refusal) => Err(refusal),
                Decision::Wait { at_most } => {
                    parked.get_or_insert_with(|| Parked::new(&self.stats));
                    let at_most = Duration::from_nanos(u64::try_from(at_most.0).unwrap_or(0));
                    let _ = timeout_at(arrived + at_most, changes.changed()).await;
                    continue;
                }
            };
            if let Some(parked) = parked {
                parked.settle();
            }
            return settled;
        }
    }

    fn decide(&self, request: &Request, waited: Nanos) -> Decision {
        let decision = decide(request, &self.origin.borrow(), waited);
        match decision {
            // Only what would have to wait: what is there is still handed out, the final playlist above all.
            Decision::Wait { .. } if self.is_stopping() => {
                Decision::Refuse(Refusal::unavailable("the server is stopping", 1))
            }
            _ => decision,
        }
    }

    /// The playlist of this moment and its version; the same bytes for everyone until the next change.
    pub(super) fn playlist(&self) -> Option<(Version, Bytes)> {
        let origin = self.origin.borrow();
        let version = origin.window().version();
        let mut rendered = self.rendered.borrow_mut();
        match &*rendered {
            Some((of, text)) if *of == version => Some((version, text.clone())),
            _ => {
                let text = playlist::render(&origin, &self.style)?;
                *rendered = Some((version, text.clone()));
                Some((version, text))
            }
        }
    }

    /// `/timestamps.json` of this moment.
    pub(super) fn timestamps(&self) -> Bytes {
        let now = UnixTime::from_system(SystemTime::now());
        timestamps::render(&self.origin.borrow(), self.max_files, now).into()
    }

    /// Counts a connection in; `None` when `limit` are open.
    pub(super) fn admit(self: &Rc<Self>, limit: u32) -> Option<Connected> {
        if *self.connections.borrow() >= limit {
            self.stats().clients.turned_away += 1;
            return None;
        }
        self.connections.send_modify(|open| *open += 1);
        let mut stats = self.stats();
        stats.clients.accepted += 1;
        stats.clients.connections += 1;
        drop(stats);
        Some(Connected(Rc::clone(self)))
    }

    /// Counts in a connection that is only told to come back; `None` when there are `limit` of those already.
    pub(super) fn turn_away(self: &Rc<Self>, limit: u32) -> Option<TurnedAway> {
        let turning_away = self.turning_away.get();
        (turning_away < limit).then(|| {
            self.turning_away.set(turning_away + 1);
            TurnedAway(Rc::clone(self))
        })
    }
}

fn count(stats: &mut Stats, event: &Event, handover: Nanos) {
    match event {
        Event::InitPublished {
            codec, resolution, ..
        } => {
            let (parts, segments) = stats
                .tracks
                .pop()
                .map_or((0, 0), |track| (track.parts, track.segments));
            stats.tracks.push(TrackStats {
                codec: codec.clone(),
                resolution: *resolution,
                parts,
                segments,
            });
        }
        Event::PartPublished {
            size,
            captured,
            published,
            ..
        } => {
            stats.bytes.published += *size as u64;
            stats.delays.handover.record(handover);
            stats
                .delays
                .capture_to_publish
                .record(*published - *captured);
            if let Some(track) = stats.tracks.last_mut() {
                track.parts += 1;
            }
        }
        Event::SegmentPublished { .. } => {
            if let Some(track) = stats.tracks.last_mut() {
                track.segments += 1;
            }
        }
        Event::Violation(_) => stats.violations += 1,
        Event::Discontinuity { .. } | Event::PlaylistStarted | Event::Ended => {}
    }
}

/// A connection being served; counts itself out.
pub(super) struct Connected(Rc<Live>);

impl Drop for Connected {
    fn drop(&mut self) {
        let is_panicking = std::thread::panicking();
        self.0.connections.send_modify(|open| *open -= 1);
        let mut stats = self.0.stats();
        stats.clients.connections -= 1;
        stats.clients.panics += u64::from(is_panicking);
        drop(stats);
        if is_panicking {
            // A second panic while the first unwinds would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                self.0.report(Report::Warning(
                    "serving a connection panicked; the others go on".to_owned(),
                ));
            }));
        }
    }
}

/// A connection being told that there is no room; counts itself out.
pub(super) struct TurnedAway(Rc<Live>);

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.0.turning_away.set(self.0.turning_away.get() - 1);
    }
}

/// A request that waits; counts itself out, also when its client goes away and its future is dropped.
struct Parked<'a> {
    stats: &'a Mutex<Stats>,
    is_settled: bool,
}

impl<'a> Parked<'a> {
    fn new(stats: &'a Mutex<Stats>) -> Self {
        let parked = Self {
            stats,
            is_settled: false,
        };
        parked.lock().clients.parked += 1;
        parked
    }

    fn settle(mut self) {
        self.is_settled = true;
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut stats = self.lock();
        stats.clients.parked -= 1;
        stats.clients.abandoned += u64::from(!self.is_settled);
    }
}
