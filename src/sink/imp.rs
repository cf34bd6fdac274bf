//! The element: a bin with one line of elements per pad and a server beside them.
//!
//! Belongs here: properties, pads on request, the state changes that start and stop things.
//! Does not: the frames' way (`feeder`), the pads' caps (`pads`).
//!
//! From NULL to READY the port is taken and the server answers; from READY to PAUSED a run begins; PAUSED to READY ends it,
//! and whoever waits gets the final playlist; READY to NULL closes the server.

use std::sync::{
    Arc, LazyLock, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{
    CAT,
    clock::DateSource,
    ensemble::Ensemble,
    files::Outlet,
    listening::Listening,
    messages,
    pads::{self, LlHlsSinkPad},
    presentation::{Kept, Presentation, Terms},
    road::Orders,
    settings::{self, OnRestart, Settings},
    track::{self, Track},
};
use crate::{
    cmaf::conductor::{Conductor, TrackIndex},
    http::{Listeners, Server, ServerConfig},
    origin::media::{Publication, RenditionId, RenditionKind, RenditionSettings, RunId},
    watch::{Intake, Output},
};

/// Implementation of [`super::LlHlsSink`].
#[derive(Debug, Default)]
pub struct LlHlsSink {
    settings: Mutex<Settings>,
    /// Copied out of the settings when they change: read for each part on the server's thread.
    pub(super) posts_parts: Arc<AtomicBool>,
    /// In the order they were requested.
    pads: Mutex<Vec<LlHlsSinkPad>>,
    running: Mutex<Option<Running>>,
    /// What the last life left, if the next one may go on with it.
    kept: Mutex<Option<Kept>>,
}

/// What exists from READY on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) listening: Listening,
    pub(super) presentation: Arc<Presentation>,
    /// It has had a run.
    is_used: bool,
    /// The run has ended, or its last pad was released: frames of another pad need another run.
    is_over: bool,
    /// Takes media from files, when it comes from there.
    intake: Option<Intake>,
    /// Where what the pads cut goes, while a run is under way.
    pub(super) outlet: Option<Arc<Outlet>>,
    /// What the tracks of the run under way share.
    ensemble: Option<Arc<Ensemble>>,
    /// One a pad, with the pad's name.
    tracks: Vec<(glib::GString, Arc<Track>)>,
}

impl Running {
    /// Whether the presentation there is can take a run with these settings and renditions.
    fn fits(&self, settings: &Settings, renditions: &[RenditionSettings]) -> bool {
        if self.is_used {
            self.presentation.allows(settings, renditions)
        } else {
            self.presentation.is_of(settings, renditions)
        }
    }
}

impl LlHlsSink {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().expect("settings lock poisoned")
    }

    fn pads(&self) -> MutexGuard<'_, Vec<LlHlsSinkPad>> {
        self.pads.lock().expect("pads lock poisoned")
    }

    /// The pads in the order of their renditions: videos before audios. The first is the main one, and leads.
    fn ordered_pads(&self) -> Vec<LlHlsSinkPad> {
        let mut pads = self.pads().clone();
        pads.sort_by_key(|pad| pad.kind() == RenditionKind::Audio);
        pads
    }

    fn renditions(&self) -> Vec<RenditionSettings> {
        let pads = self.ordered_pads();
        if pads.is_empty() {
            // Nothing is linked yet: who asks meanwhile is told of the usual one.
            return vec![RenditionSettings::new(RenditionKind::Video, "video")];
        }
        pads.iter().map(LlHlsSinkPad::rendition).collect()
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("running lock poisoned")
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().expect("kept lock poisoned")
    }

    fn track(&self, pad: &LlHlsSinkPad) -> Option<Arc<Track>> {
        let name = pad.name();
        let running = self.running();
        let tracks = &running.as_ref()?.tracks;
        let found = tracks.iter().find(|(of, _)| *of == name);
        found.map(|(_, track)| Arc::clone(track))
    }

    /// Puts a parser behind the pad. Answers whether it could be had.
    pub(super) fn convert_with(&self, pad: &LlHlsSinkPad, parser: &'static str) -> bool {
        let Some(track) = self.track(pad) else {
            return false;
        };
        match track.insert_parser(self.obj().upcast_ref(), parser) {
            Ok(()) => true,
            Err(error) => {
                let package = if parser == "aacparse" {
                    "gst-plugins-good"
                } else {
                    "gst-plugins-bad"
                };
                self.tell_missing(parser, package, &error);
                false
            }
        }
    }

    /// NULL to READY: takes the port, starts the server, builds the line.
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        if let Some(mistake) = settings.mistake() {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{mistake}"));
            return Err(gst::StateChangeError);
        }
        if gst::ElementFactory::find(track::MUXER).is_none() {
            let error = glib::bool_error!("not found");
            self.tell_missing(track::MUXER, "gst-plugins-good", &error);
            return Err(gst::StateChangeError);
        }
        let listening =
            Listening::open(&settings, self.reporter()).map_err(|error| self.tell_deaf(&error))?;
        let renditions = self.renditions();
        let kept = self.kept().take();
        let kept = kept.filter(|kept| kept.terms.allow(&settings, &renditions));
        let is_used = kept.is_some();
        let presentation = self.present(listening.listeners(), &settings, renditions, kept)?;
        *self.running() = Some(Running {
            listening,
            presentation,
            is_used,
            is_over: false,
            intake: None,
            outlet: None,
            ensemble: None,
            tracks: Vec::new(),
        });
        gst::info!(
            CAT,
            imp = self,
            "Serving {}",
            self.uri().unwrap_or_default()
        );
        self.tell_self_signed(&settings);
        for pad in self.ordered_pads() {
            if let Err(error) = self.build_track(&pad) {
                let name = pad.name();
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Failed,
                    ("The elements behind pad {name} cannot be built: {error}")
                );
                self.stop();
                return Err(gst::StateChangeError);
            }
        }
        Ok(())
    }

    /// Starts a server, for what was kept or for a presentation that begins.
    fn present(
        &self,
        listeners: &Listeners,
        settings: &Settings,
        renditions: Vec<RenditionSettings>,
        kept: Option<Kept>,
    ) -> Result<Arc<Presentation>, gst::StateChangeError> {
        let (run, going_on, terms) = match kept {
            Some(Kept { origin, terms }) => (origin.run().clone(), Some(origin), terms),
            None => {
                let run = glib::uuid_string_random().replace('-', "");
                let run = RunId::new(&run[..8]).expect("hexadecimal digits");
                (run, None, Terms::new(settings.clone(), renditions))
            }
        };
        let config = ServerConfig {
            run,
            renditions: terms.renditions.clone(),
            going_on,
            playlist_name: settings.playlist_name.clone(),
            public_url: settings.public_url.clone(),
            cors_origin: settings.cors_origin.clone(),
            allowed_hosts: settings.allowed_hosts.clone(),
            access_token: settings.access_token.clone(),
            carry_query: settings.carry_query.clone(),
            max_connections: Some(settings.max_connections).filter(|&most| most > 0),
            max_connections_per_address: Some(settings.max_connections_per_address)
                .filter(|&most| most > 0),
            max_parked: Some(settings.max_parked).filter(|&most| most > 0),
            playlist_length: settings.playlist_length,
            max_files: settings.max_files,
            part_hold_back: settings.part_hold_back,
            start_offset: settings.start_offset,
            comes_by_segment: settings.manner().is_some(),
        };
        let report = self.reporter();
        listeners
            .try_clone()
            .and_then(|listeners| Server::start(listeners, config, report))
            .map(|server| Arc::new(Presentation::new(server, terms)))
            .map_err(|error| {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Failed,
                    ("The HTTP server cannot start: {error}")
                );
                gst::StateChangeError
            })
    }

    fn build_track(&self, pad: &LlHlsSinkPad) -> Result<Arc<Track>, glib::BoolError> {
        let track = Arc::new(Track::build(self.obj().upcast_ref(), pad.kind())?);
        if let Some(running) = self.running().as_mut() {
            running.tracks.push((pad.name(), Arc::clone(&track)));
        }
        pad.set_target(track.entry().as_ref())?;
        Ok(track)
    }

    /// READY to PAUSED: a run begins. The server answers from READY on, so only a run with other pads, or a second one that
    /// does not go on with the first, needs another server.
    fn begin_run(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        if let Some(mistake) = settings.mistake() {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{mistake}"));
            return Err(gst::StateChangeError);
        }
        self.end_files();
        let renditions = self.renditions();
        let listeners = match self.running().as_mut() {
            Some(running) if !running.fits(&settings, &renditions) => {
                running.listening.listeners_to_take_over().map(Some)
            }
            _ => Ok(None),
        };
        let listeners = listeners.map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::OpenRead,
                ("cannot go on listening: {error}")
            );
            gst::StateChangeError
        })?;
        if let Some(listeners) = listeners {
            let next = self.present(&listeners, &settings, renditions, None)?;
            // Taken out first: stopping answers everyone who waits, and that must not happen under the lock.
            let old = self
                .running()
                .as_mut()
                .map(|running| std::mem::replace(&mut running.presentation, next));
            if let Some(old) = old {
                old.give_way();
            }
        }
        let pads = self.ordered_pads();
        let ensemble = Arc::new(Ensemble::new(
            Conductor::new(pads.len().max(1), TrackIndex(0)),
            pads.len(),
            settings.track_timeout(),
        ));
        let presentation = match self.running().as_mut() {
            Some(running) => {
                running.is_used = true;
                running.is_over = false;
                running.ensemble = Some(Arc::clone(&ensemble));
                Arc::clone(&running.presentation)
            }
            None => return Err(gst::StateChangeError),
        };
        presentation.begin_run(&settings);
        if let Some(seconds) = presentation.target_duration() {
            ensemble.change(|conductor| conductor.fix_target_duration(seconds));
        }
        let outlet = if pads.is_empty() {
            None
        } else {
            let renditions = pads.iter().map(LlHlsSinkPad::rendition).collect();
            let outlet = self.open_outlet(&settings, &presentation, renditions)?;
            Some(Arc::new(outlet))
        };
        if let Some(running) = self.running().as_mut() {
            running.outlet.clone_from(&outlet);
        }
        for (index, pad) in pads.iter().enumerate() {
            let (Some(track), Some(outlet)) = (self.track(pad), outlet.clone()) else {
                continue;
            };
            track.set_sync(settings.sync);
            let orders = Orders {
                track: TrackIndex(index),
                pad: pad.name().to_string(),
                described: pad.description(),
                ensemble: Arc::clone(&ensemble),
                has_company: pads.len() > 1,
                segment_duration: settings.segment_duration(),
                part_duration: settings.part_duration(),
                send_keyframe_requests: settings.send_keyframe_requests,
                constants: presentation.constants(RenditionId(index)),
                dated_until: presentation.dated_until(),
                publish: Box::new(move |publication| outlet.publish(publication)),
            };
            track.feeder.prepare(orders);
        }
        if let Some(manner) = settings.manner().filter(|_| pads.is_empty()) {
            let intake = self.start_intake(&settings, manner)?;
            if let Some(running) = self.running().as_mut() {
                running.intake = Some(intake);
            }
        }
        Ok(())
    }

    /// The renditions are known only now: they get a presentation of their own, unless they are what was expected.
    pub(super) fn present_instead(&self, renditions: Vec<RenditionSettings>) {
        let settings = self.settings().clone();
        let listeners = match self.running().as_mut() {
            Some(running) if !running.presentation.is_of(&settings, &renditions) => {
                running.listening.listeners_to_take_over()
            }
            _ => return,
        };
        // An error was posted, and the old server goes on.
        let Some(next) = listeners
            .ok()
            .and_then(|listeners| self.present(&listeners, &settings, renditions, None).ok())
        else {
            return;
        };
        let old = self
            .running()
            .as_mut()
            .map(|running| std::mem::replace(&mut running.presentation, next));
        drop(old);
    }

    /// Stops reading and writing files: what waits is written and seen, for a few seconds at most.
    fn end_files(&self) {
        // Taken out first: they may be about to tell something.
        let taken = self
            .running()
            .as_mut()
            .map(|running| (running.intake.take(), running.outlet.take()));
        let Some((intake, outlet)) = taken else {
            return;
        };
        drop(intake);
        if let Some(output) = outlet.as_deref().and_then(Outlet::output) {
            output.finish();
        }
    }

    /// PAUSED to READY.
    fn end_run(&self) {
        let settings = self.settings().clone();
        self.end_files();
        if let Some(running) = self.running().as_mut() {
            running.is_over = true;
            running.presentation.end_run(settings.on_restart());
        }
    }

    /// READY to NULL, and the way back from a start that failed.
    fn stop(&self) {
        self.end_files();
        let running = self.running().take();
        for pad in self.ordered_pads() {
            // Without a target the pad takes nothing; it cannot fail.
            let _ = pad.set_target(None::<&gst::Pad>);
        }
        if let Some(running) = running {
            for (_, track) in running.tracks {
                track.remove(self.obj().upcast_ref());
            }
            // Answers everyone who waits and joins the thread.
            let kept = running.presentation.close();
            running.listening.close();
            let on_restart = self.settings().on_restart();
            *self.kept() = kept.filter(|_| on_restart == OnRestart::Continue);
        }
    }

    fn uri(&self) -> Option<String> {
        let settings = self.settings().clone();
        let running = self.running();
        Some(running.as_ref()?.listening.uri(&settings))
    }

    fn tls_uri(&self) -> Option<String> {
        let settings = self.settings().clone();
        let running = self.running();
        running.as_ref()?.listening.tls_uri(&settings)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LlHlsSink {
    const NAME: &'static str = "GstLlHlsSink";
    type Type = super::LlHlsSink;
    type ParentType = gst::Bin;
    type Interfaces = (gst::ChildProxy,);
}

impl ObjectImpl for LlHlsSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        settings.set(pspec.name(), value);
        self.posts_parts
            .store(settings.post_part_messages, Ordering::Relaxed);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "current-port" => {
                let running = self.running();
                let port = running
                    .as_ref()
                    .map_or(0, |running| running.listening.port());
                u32::from(port).to_value()
            }
            "uri" => self.uri().to_value(),
            "current-tls-port" => {
                let running = self.running();
                let port = running
                    .as_ref()
                    .and_then(|running| running.listening.tls_port());
                u32::from(port.unwrap_or(0)).to_value()
            }
            "tls-uri" => self.tls_uri().to_value(),
            "tls-fingerprint" => {
                let running = self.running();
                let fingerprint = running
                    .as_ref()
                    .and_then(|running| running.listening.fingerprint());
                fingerprint.to_value()
            }
            "pdt-source" => {
                let ensemble = self
                    .running()
                    .as_ref()
                    .and_then(|running| running.ensemble.clone());
                let source = ensemble.and_then(|ensemble| ensemble.date_source());
                source.map(DateSource::as_str).to_value()
            }
            "stats" => {
                let presentation = self
                    .running()
                    .as_ref()
                    .map(|running| Arc::clone(&running.presentation));
                let frames: Vec<_> = self
                    .ordered_pads()
                    .iter()
                    .filter_map(|pad| Some((pad.name(), self.track(pad)?.feeder.counts())))
                    .collect();
                let figures = presentation.map(|presentation| presentation.stats());
                let outlet = self
                    .running()
                    .as_ref()
                    .and_then(|running| running.outlet.clone());
                let files = outlet
                    .as_deref()
                    .and_then(Outlet::output)
                    .map(Output::counts);
                messages::stats(figures.as_ref(), &frames, files).to_value()
            }
            name => self
                .settings()
                .value(name)
                .unwrap_or_else(|| pspec.default_value().clone()),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        // The flag stays with or without pads: the bin is a sink to whoever looks at it.
        element.set_suppressed_flags(gst::ElementFlags::SINK | gst::ElementFlags::SOURCE);
        element.set_element_flags(gst::ElementFlags::SINK);
    }
}

impl GstObjectImpl for LlHlsSink {}

impl ElementImpl for LlHlsSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Low-Latency HLS sink",
                "Sink/Muxer/Network",
                "Turns an encoded live stream into a complete Low-Latency HLS origin: CMAF parts, playlist and HTTP server",
                "The llhlssink authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        &pads::TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let has_begun = self
            .running()
            .as_ref()
            .filter(|running| !running.is_over)
            .and_then(|running| running.ensemble.clone())
            .is_some_and(|ensemble| ensemble.read(|conductor| conductor.has_arrivals()));
        if has_begun {
            gst::error!(
                CAT,
                imp = self,
                "The tracks of a run are fixed with its first frame; request pads before"
            );
            return None;
        }
        let pad = {
            let mut pads = self.pads();
            let name = free_name(template.name_template(), name, &pads)?;
            let pad = LlHlsSinkPad::new(template, &name);
            pads.push(pad.clone());
            pad
        };
        let is_started = self.running().is_some();
        if is_started && let Err(error) = self.add_track_while_running(&pad) {
            gst::error!(
                CAT,
                imp = self,
                "Pad {} cannot be added: {error}",
                pad.name()
            );
            self.pads().retain(|other| *other != pad);
            return None;
        }
        let element = self.obj();
        if element.current_state() > gst::State::Ready {
            pad.set_active(true).ok()?;
        }
        element.add_pad(&pad).ok()?;
        element.child_added(&pad, &pad.name());
        Some(pad.upcast())
    }

    fn release_pad(&self, pad: &gst::Pad) {
        let Some(pad) = pad.downcast_ref::<LlHlsSinkPad>() else {
            return;
        };
        // Deactivating waits for the streaming thread to leave the pad, and that may wait for the clock or the muxer.
        let track = self.track(pad);
        if let Some(track) = &track {
            track.let_go();
        }
        let _ = pad.set_active(false);
        let _ = pad.set_target(None::<&gst::Pad>);
        self.pads().retain(|other| other != pad);
        let is_running = self.obj().current_state() > gst::State::Ready;
        let name = pad.name();
        let (is_last, outlet, presentation) = match self.running().as_mut() {
            Some(running) => {
                running.tracks.retain(|(of, _)| *of != name);
                let is_last = running.tracks.is_empty();
                running.is_over |= is_running && is_last;
                let outlet = running.outlet.clone();
                (is_last, outlet, Some(Arc::clone(&running.presentation)))
            }
            None => (false, None, None),
        };
        if let Some(track) = track {
            track.feeder.leave();
            track.remove(self.obj().upcast_ref());
        }
        // Without its last track the stream is over: whoever waits gets the final playlist (rule PL-42).
        if let Some(presentation) = presentation.filter(|_| is_running && is_last) {
            match outlet {
                Some(outlet) => outlet.publish(Publication::EndOfStream),
                None => presentation.publish(Publication::EndOfStream),
            }
        }
        let element = self.obj();
        element.child_removed(pad, &name);
        let _ = element.remove_pad(pad);
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.start()?,
            gst::StateChange::ReadyToPaused => self.begin_run()?,
            _ => {}
        }
        let result = self.parent_change_state(transition);
        match transition {
            gst::StateChange::NullToReady if result.is_err() => self.stop(),
            gst::StateChange::PausedToReady => self.end_run(),
            gst::StateChange::ReadyToNull => self.stop(),
            _ => {}
        }
        result
    }
}

impl LlHlsSink {
    /// A pad that comes after NULL: its track joins the run that is about to begin, or begins another.
    fn add_track_while_running(&self, pad: &LlHlsSinkPad) -> Result<(), glib::BoolError> {
        let track = self.build_track(pad)?;
        let is_used = self
            .running()
            .as_ref()
            .is_some_and(|running| running.is_used);
        if is_used && self.obj().current_state() > gst::State::Ready {
            self.begin_run()
                .map_err(|_| glib::bool_error!("no other run can begin"))?;
        }
        track.sync_state_with_parent()
    }
}

/// The name of a new pad: the one asked for, or the first that is free. A taken `video` gives a `video_%u`, because
/// gst-launch links the second encoder without naming a pad.
fn free_name(template: &str, wanted: Option<&str>, pads: &[LlHlsSinkPad]) -> Option<String> {
    let is_free = |name: &str| pads.iter().all(|pad| pad.name() != name);
    if let Some(wanted) = wanted.filter(|wanted| !wanted.contains('%') && *wanted != template) {
        return is_free(wanted).then(|| wanted.to_owned());
    }
    let kind = template.trim_end_matches("_%u");
    if template == kind && is_free(kind) {
        return Some(kind.to_owned());
    }
    (0..u32::MAX)
        .map(|number| format!("{kind}_{number}"))
        .find(|name| is_free(name))
}

impl BinImpl for LlHlsSink {
    fn handle_message(&self, message: gst::Message) {
        // The muxer stops and starts with each part: nobody outside wants 56 messages a second about that.
        // Only what is inside counts: the application may lock this element itself, or a bin around it.
        let this = self.obj();
        let is_from_muxer = std::iter::successors(message.src().cloned(), |object| object.parent())
            .take_while(|object| object != this.upcast_ref::<gst::Object>())
            .filter_map(|object| object.downcast::<gst::Element>().ok())
            .any(|element| element.is_locked_state());
        let is_trouble = matches!(
            message.view(),
            gst::MessageView::Error(_) | gst::MessageView::Warning(_)
        );
        if is_trouble || !is_from_muxer {
            self.parent_handle_message(message);
        }
    }
}

/// Children are the pads, so that `llhlssink audio::language=en` works, and by name whatever else is in the bin.
impl ChildProxyImpl for LlHlsSink {
    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        self.ordered_pads()
            .into_iter()
            .nth(index as usize)
            .map(|pad| pad.upcast())
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        let pad = self
            .ordered_pads()
            .into_iter()
            .find(|pad| pad.name() == name);
        pad.map(|pad| pad.upcast())
            .or_else(|| self.obj().by_name(name).map(|element| element.upcast()))
    }

    fn children_count(&self) -> u32 {
        u32::try_from(self.pads().len()).unwrap_or(u32::MAX)
    }
}
