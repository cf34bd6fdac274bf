//! A life of the element, from READY on, and the runs in it.
//!
//! Belongs here: what each change of state starts and ends, and in which order. Does not: properties and pads (`imp`), what
//! a run does with frames (`feeder`, `road`).
//!
//! From NULL to READY the port is taken and the server answers; from READY to PAUSED a run begins; PAUSED to READY ends it,
//! and whoever waits gets the final playlist; READY to NULL closes the server.

use std::sync::Arc;

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{
    CAT,
    ensemble::Ensemble,
    files::Outlet,
    imp::LlHlsSink,
    listening::Listening,
    pads::LlHlsSinkPad,
    presentation::{Kept, Presentation, Terms},
    road::Orders,
    settings::{OnRestart, Settings},
    track::{self, Track},
};
use crate::{
    cmaf::conductor::{Conductor, TrackIndex},
    http::{Listeners, Server, ServerConfig},
    origin::media::{RenditionId, RenditionSettings, RunId},
    watch::Intake,
};

/// What exists from READY on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) listening: Listening,
    pub(super) presentation: Arc<Presentation>,
    /// It has had a run.
    pub(super) is_used: bool,
    /// The run has ended, or its last pad was released: frames of another pad need another run.
    pub(super) is_over: bool,
    /// Takes media from files, when it comes from there.
    pub(super) intake: Option<Intake>,
    /// Where what the pads cut goes, while a run is under way.
    pub(super) outlet: Option<Arc<Outlet>>,
    /// What the tracks of the run under way share.
    pub(super) ensemble: Option<Arc<Ensemble>>,
    /// One a pad, with the pad's name.
    pub(super) tracks: Vec<(glib::GString, Arc<Track>)>,
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
    /// NULL to READY: takes the port, starts the server, builds the line.
    pub(super) fn start(&self) -> Result<(), gst::StateChangeError> {
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

    pub(super) fn build_track(&self, pad: &LlHlsSinkPad) -> Result<Arc<Track>, glib::BoolError> {
        let track = Arc::new(Track::build(self.obj().upcast_ref(), pad.kind())?);
        if let Some(running) = self.running().as_mut() {
            running.tracks.push((pad.name(), Arc::clone(&track)));
        }
        pad.set_target(track.entry().as_ref())?;
        Ok(track)
    }

    /// READY to PAUSED: a run begins. The server answers from READY on, so only a run with other pads, or a second one that
    /// does not go on with the first, needs another server.
    pub(super) fn begin_run(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        if let Some(mistake) = settings.mistake() {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{mistake}"));
            return Err(gst::StateChangeError);
        }
        self.end_files();
        let renditions = self.renditions();
        let listeners = match self.running().as_ref() {
            Some(running) if !running.fits(&settings, &renditions) => {
                running.listening.listeners().try_clone().map(Some)
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
        let listeners = match self.running().as_ref() {
            Some(running) if !running.presentation.is_of(&settings, &renditions) => {
                running.listening.listeners().try_clone()
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
        // Whoever watches what was there before sees its end.
        if let Some(old) = old.filter(|old| old.next_run().is_some()) {
            old.give_way();
        }
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
    pub(super) fn end_run(&self) {
        let settings = self.settings().clone();
        self.end_files();
        if let Some(running) = self.running().as_mut() {
            running.is_over = true;
            running.presentation.end_run(settings.on_restart());
        }
    }

    /// READY to NULL, and the way back from a start that failed.
    pub(super) fn stop(&self) {
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
            drop(running.listening);
            let on_restart = self.settings().on_restart();
            *self.kept() = kept.filter(|_| on_restart == OnRestart::Continue);
        }
    }

    /// A pad that comes after NULL: its track joins the run that is about to begin, or begins another.
    pub(super) fn add_track_while_running(
        &self,
        pad: &LlHlsSinkPad,
    ) -> Result<(), glib::BoolError> {
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
