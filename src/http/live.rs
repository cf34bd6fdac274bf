//! What all connections of the server share: the origin, the rendered playlists, the bells that wake waiters.
//!
//! Belongs here: state of the thread `llhls-http`; nothing in it is locked but the figures, which others read.
//! Does not: sockets (`connection`), what an answer says (`respond`).

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: reads the clock that /timestamps.json shows"
)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::limits::{self, Limits, Neighbourhood};
use super::page::PageFiles;
use super::server::{Report, ServerConfig};
use super::texts::{Beginnings, Texts};
use crate::delivery::access::{AccessToken, Way};
use crate::delivery::carry::CarriedNames;
use crate::delivery::cors::Cors;
use crate::delivery::encoding::Text;
use crate::delivery::hosts::AllowedHosts;
use crate::delivery::playlist::{self, BaseUrl, PlaylistStyle};
use crate::delivery::stats::{Limit, Stats};
use crate::delivery::{
    Decision, Refusal, Reply, Request, Routes, decide, multivariant, timestamps,
};
use crate::origin::event::Event;
use crate::origin::media::{Msn, Publication, RenditionId, RunId};
use crate::origin::rendition::Renditions;
use crate::origin::window::{Version, WindowSettings};
use crate::origin::{Origin, Revision};
use crate::time::{Nanos, UnixTime};

/// A [`ServerConfig`] read and found good.
pub(super) struct LiveSettings {
    run: RunId,
    renditions: Renditions,
    routes: Routes,
    style: PlaylistStyle,
    window: WindowSettings,
    going_on: Option<Origin>,
    cors: Cors,
    hosts: AllowedHosts,
    carried: CarriedNames,
    token: Option<AccessToken>,
    playlist_name: String,
    limits: Limits,
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
        let cors = Cors::new(&config.cors_origin).map_err(invalid)?;
        let hosts = AllowedHosts::new(&config.allowed_hosts).map_err(invalid)?;
        let carried = CarriedNames::new(&config.carry_query).map_err(invalid)?;
        if let Some(mistake) = config.access_token.as_ref().and_then(AccessToken::mistake) {
            return Err(invalid(mistake.to_owned()));
        }
        let renditions =
            Renditions::new(config.renditions).map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            limits: Limits::new(
                config.max_connections,
                config.max_connections_per_address,
                config.max_parked,
            ),
            style: PlaylistStyle {
                base,
                part_hold_back: config.part_hold_back,
                start_offset: config.start_offset,
                comes_by_segment: config.comes_by_segment,
            },
            going_on: config.going_on,
            window: WindowSettings {
                playlist_length: config.playlist_length as usize,
                max_files: config.max_files as usize,
            },
            cors,
            hosts,
            carried,
            token: config.access_token,
            routes: Routes::new(
                config.playlist_name.clone(),
                config.run.clone(),
                &renditions,
            ),
            renditions,
            playlist_name: config.playlist_name,
            run: config.run,
        })
    }
}

/// A playlist of one moment.
pub(super) struct Shown {
    pub(super) version: Version,
    pub(super) revision: Revision,
    pub(super) text: Rc<Text>,
}

/// Wakes those who wait for one rendition: they decide again. The parts of another are nothing to them.
struct Bell {
    changes: watch::Sender<()>,
    /// Something changed since it was rung.
    is_due: Cell<bool>,
}

/// The shared state. Borrows of its cells never outlive a call: no caller can hold one over an await.
pub(super) struct Live {
    routes: Routes,
    style: PlaylistStyle,
    max_files: usize,
    cors: Cors,
    hosts: AllowedHosts,
    carried: CarriedNames,
    token: Option<AccessToken>,
    page: PageFiles,
    limits: Limits,
    origin: RefCell<Origin>,
    /// The media playlists in the order of the renditions.
    playlists: Vec<Texts>,
    /// Their delta updates.
    deltas: Vec<Texts>,
    multivariant: Texts,
    /// `/timestamps.json` but for its end.
    timestamps: Beginnings,
    /// One for each rendition.
    bells: Vec<Bell>,
    /// Turns true once, when the server stops.
    is_stopping: watch::Sender<bool>,
    connections: watch::Sender<u32>,
    /// The same, by where they come from; nobody stays in it without one.
    by_client: RefCell<HashMap<Neighbourhood, u32>>,
    turning_away: Cell<u32>,
    /// Of the parked requests, those that are more than their connection is promised.
    extra_parked: Cell<u32>,
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
            run,
            renditions,
            routes,
            style,
            window,
            going_on,
            cors,
            hosts,
            carried,
            token,
            playlist_name,
            limits,
        } = settings;
        let page = PageFiles::new(&playlist_name, style.base.as_ref());
        if let Some(origin) = &going_on {
            let mut stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
            stats.observe(origin);
        }
        Self {
            playlists: renditions.iter().map(|_| Texts::default()).collect(),
            deltas: renditions.iter().map(|_| Texts::default()).collect(),
            multivariant: Texts::default(),
            timestamps: Beginnings::default(),
            bells: renditions
                .iter()
                .map(|_| Bell {
                    changes: watch::Sender::new(()),
                    is_due: Cell::new(false),
                })
                .collect(),
            origin: RefCell::new(going_on.unwrap_or_else(|| Origin::new(run, &renditions, window))),
            routes,
            style,
            max_files: window.max_files,
            cors,
            hosts,
            carried,
            token,
            page,
            limits,
            is_stopping: watch::Sender::new(false),
            connections: watch::Sender::new(0),
            by_client: RefCell::default(),
            turning_away: Cell::new(0),
            extra_parked: Cell::new(0),
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
        let was_live = origin.common().is_some();
        let concerned = match &publication {
            Publication::Start(id, _)
            | Publication::Description(id, _)
            | Publication::Init(id, _)
            | Publication::ComingInit(id)
            | Publication::Part(id, _)
            | Publication::Gap(id, _)
            | Publication::SegmentEnd(id, _)
            | Publication::Absent(id)
            | Publication::EndOfRendition(id) => Some(*id),
            Publication::EndOfRun | Publication::EndOfStream => None,
        };
        let events = origin.publish(publication, now);
        for (place, bell) in self.bells.iter().enumerate() {
            // Going live is news for all.
            if !was_live || concerned.is_none_or(|id| id == RenditionId(place)) {
                bell.is_due.set(true);
            }
        }
        let mut stats = self.stats();
        for event in &events {
            count(&mut stats, event, handover);
        }
        stats.observe(&origin);
        events
    }

    /// See [`Origin::next_run`].
    pub(super) fn next_run(&self) -> Option<Msn> {
        self.origin.borrow().next_run()
    }

    /// All that was published, for a server that goes on with it.
    pub(super) fn origin(&self) -> Origin {
        self.origin.borrow().clone()
    }

    /// Wakes whoever is parked for a rendition that changed.
    pub(super) fn wake(&self) {
        for bell in &self.bells {
            if bell.is_due.take() {
                bell.changes.send_replace(());
            }
        }
    }

    /// Refuses whatever is parked or comes from now on.
    pub(super) fn stop(&self) {
        self.is_stopping.send_replace(true);
        for bell in &self.bells {
            bell.is_due.set(true);
        }
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

    pub(super) fn hosts(&self) -> &AllowedHosts {
        &self.hosts
    }

    pub(super) fn token(&self) -> Option<&AccessToken> {
        self.token.as_ref()
    }

    /// What goes behind the URIs named to a client that asked with `query` and showed the token in that `way`: it goes on
    /// from query to query, and from a path only to absolute URIs, which do not inherit it.
    pub(super) fn suffix(&self, query: Option<&str>, way: Way) -> Result<String, Refusal> {
        let goes_on = match way {
            Way::Query => true,
            Way::Path => self.style.base.is_some(),
            Way::Header | Way::Open => false,
        };
        let token = self.token.as_ref().filter(|_| goes_on);
        self.carried.suffix(query, token)
    }

    /// What tells the media and the page of this run from those of others.
    pub(super) fn tag(&self) -> String {
        self.origin.borrow().run().as_str().to_owned()
    }

    /// What tells a playlist from what it was and will be.
    pub(super) fn tag_of(&self, revision: Revision) -> String {
        format!("{}-{}", self.origin.borrow().run().as_str(), revision.0)
    }

    pub(super) fn page(&self) -> &PageFiles {
        &self.page
    }

    /// The figures, for one quick change. Nothing is called while they are held.
    pub(super) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides a request, parking it as long as the decision is to wait. `waiting` is of its connection.
    pub(super) async fn settle(
        &self,
        request: &Request,
        waiting: &Waiting,
    ) -> Result<Reply, Refusal> {
        let mut arrived = Instant::now();
        let mut had_playlist = self.has_playlist();
        let mut changes = self.bell(request).changes.subscribe();
        let mut parked = None;
        loop {
            if !had_playlist && self.has_playlist() {
                // What a directive waits for is counted from the first playlist, not from a start that took long.
                had_playlist = true;
                arrived = Instant::now();
            }
            let waited = Nanos(i64::try_from(arrived.elapsed().as_nanos()).unwrap_or(i64::MAX));
            let settled = match self.decide(request, waited) {
                Decision::Reply(reply) => Ok(reply),
                Decision::Refuse(refusal) => Err(refusal),
                Decision::Wait { at_most } => {
                    if parked.is_none() {
                        parked = Some(self.park(waiting)?);
                    }
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

    /// Counts a request in that waits; refuses it if it is one too many.
    fn park<'a>(&'a self, waiting: &'a Waiting) -> Result<Parked<'a>, Refusal> {
        let mut stats = self.stats();
        let extra = self.extra_parked.get();
        let room = self
            .limits
            .check_parking(waiting.count.get(), extra, stats.clients.parked);
        let is_extra = match room {
            Ok(is_extra) => is_extra,
            Err(limit) => {
                stats.limits.count(limit);
                return Err(limits::refusal(limit));
            }
        };
        stats.clients.parked += 1;
        waiting.count.set(waiting.count.get() + 1);
        self.extra_parked.set(extra + u32::from(is_extra));
        Ok(Parked {
            live: self,
            waiting,
            is_extra,
            is_settled: false,
        })
    }

    /// What tells of the changes this request may wait for. Until the presentation is live any bell does.
    fn bell(&self, request: &Request) -> &Bell {
        let id = match request {
            Request::Playlist(id, _) | Request::Media(id, _) => *id,
            _ => RenditionId::MAIN,
        };
        // `Routes` makes no other rendition up, and there is always the main one.
        self.bells.get(id.0).unwrap_or(&self.bells[0])
    }

    fn has_playlist(&self) -> bool {
        self.origin.borrow().common().is_some()
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

    /// The media playlist of this moment, or its delta update, with `suffix` behind every URI; the same bytes for everyone
    /// until the next change.
    pub(super) fn playlist(&self, id: RenditionId, is_delta: bool, suffix: &str) -> Option<Shown> {
        let origin = self.origin.borrow();
        let revision = origin.revision();
        let texts = if is_delta {
            &self.deltas
        } else {
            &self.playlists
        };
        let text = texts.get(id.0)?.text(revision, suffix, || {
            if is_delta {
                playlist::render_delta(&origin, id, &self.routes, &self.style)
            } else {
                playlist::render(&origin, id, &self.routes, &self.style)
            }
        })?;
        Some(Shown {
            version: origin.rendition(id)?.window().version(),
            revision,
            text,
        })
    }

    /// The multivariant playlist of this moment, with the version of the main rendition's.
    pub(super) fn multivariant(&self, suffix: &str) -> Option<Shown> {
        let origin = self.origin.borrow();
        let revision = origin.revision();
        let text = self.multivariant.text(revision, suffix, || {
            multivariant::render(&origin, &self.routes, &self.style)
        })?;
        Some(Shown {
            version: origin.main().window().version(),
            revision,
            text,
        })
    }

    /// `/timestamps.json` of this moment.
    pub(super) fn timestamps(&self) -> Text {
        let origin = self.origin.borrow();
        let end = timestamps::end(UnixTime::from_system(SystemTime::now()));
        self.timestamps.text(origin.revision(), &end, || {
            timestamps::begin(&origin, &self.routes, self.max_files)
        })
    }

    /// Counts a connection in, or says which limit is in its way.
    pub(super) fn admit(self: &Rc<Self>, client: Neighbourhood) -> Result<Connected, Limit> {
        let mut by_client = self.by_client.borrow_mut();
        let from_there = by_client.get(&client).copied().unwrap_or(0);
        let mut stats = self.stats();
        if let Err(limit) =
            self.limits
                .check_connection(client, from_there, *self.connections.borrow())
        {
            stats.clients.turned_away += 1;
            stats.limits.count(limit);
            return Err(limit);
        }
        by_client.insert(client, from_there + 1);
        self.connections.send_modify(|open| *open += 1);
        stats.clients.accepted += 1;
        stats.clients.connections += 1;
        Ok(Connected {
            live: Rc::clone(self),
            client,
        })
    }

    /// Counts a limit that was gone over, if one was.
    pub(super) fn count_over(&self, limit: Option<Limit>) {
        if let Some(limit) = limit {
            self.stats().limits.count(limit);
        }
    }

    /// Counts how a connection ended, if it was over a limit.
    pub(super) fn count_end(&self, end: Result<(), hyper::Error>) {
        self.count_over(end.err().as_ref().and_then(limits::limit_of_end));
    }

    /// Counts a panic that ends a connection, or a stream of one, and tells of it. Called while it unwinds.
    pub(super) fn count_panic(&self) {
        self.stats().clients.panics += 1;
        // A second panic while the first unwinds would abort the process.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.report(Report::Warning(
                "serving a connection panicked; the others go on".to_owned(),
            ));
        }));
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
        }
        Event::Violation {
            rendition,
            violation,
        } => {
            stats.violations += 1;
            stats.last_violation = Some((rendition.clone(), *violation));
        }
        Event::InitPublished { .. }
        | Event::SegmentPublished { .. }
        | Event::Gap { .. }
        | Event::Discontinuity { .. }
        | Event::PlaylistStarted { .. }
        | Event::RenditionEnded { .. }
        | Event::Ended => {}
    }
}

/// A connection being served; counts itself out.
pub(super) struct Connected {
    live: Rc<Live>,
    client: Neighbourhood,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let live = &self.live;
        let mut by_client = live.by_client.borrow_mut();
        match by_client.get_mut(&self.client) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                by_client.remove(&self.client);
            }
        }
        drop(by_client);
        live.connections.send_modify(|open| *open -= 1);
        live.stats().clients.connections -= 1;
        if std::thread::panicking() {
            live.count_panic();
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
    live: &'a Live,
    waiting: &'a Waiting,
    /// More than its connection is promised.
    is_extra: bool,
    is_settled: bool,
}

impl Parked<'_> {
    fn settle(mut self) {
        self.is_settled = true;
    }
}

/// How many requests of one connection wait.
#[derive(Default)]
pub(super) struct Waiting {
    count: Cell<u32>,
}

impl Waiting {
    /// Whether any does.
    pub(super) fn is_any(&self) -> bool {
        self.count.get() > 0
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let Self { live, waiting, .. } = self;
        waiting.count.set(waiting.count.get() - 1);
        live.extra_parked
            .set(live.extra_parked.get() - u32::from(self.is_extra));
        let mut stats = live.stats();
        stats.clients.parked -= 1;
        stats.clients.abandoned += u64::from(!self.is_settled);
    }
}
