//! The element: a bin with one line of elements per pad and a server beside them.
//!
//! Belongs here: properties, pads on request, the state changes that start and stop things.
//! Does not: the frames' way (`feeder`), the pads' caps (`pads`).
//!
//! From NULL to READY the port is taken and the server answers; from READY to PAUSED a run begins; PAUSED to READY ends it,
//! and whoever waits gets the final playlist; READY to NULL closes the server.

use std::{
    net::TcpListener,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{
    CAT, feeder, messages, pads,
    settings::{self, Settings},
    track::{self, Track},
};
use crate::{
    http::{BindError, Report, Server, ServerConfig, bind},
    origin::media::{Publication, RenditionKind, RenditionSettings, RunId},
};

/// Implementation of [`super::LlHlsSink`].
#[derive(Debug, Default)]
pub struct LlHlsSink {
    settings: Mutex<Settings>,
    /// Copied out of the settings when they change: read for each part on the server's thread.
    posts_parts: Arc<AtomicBool>,
    video: Mutex<Option<gst::GhostPad>>,
    running: Mutex<Option<Running>>,
}

/// What exists from READY on.
#[derive(Debug)]
struct Running {
    listener: TcpListener,
    port: u16,
    server: Arc<Server>,
    /// The server has had a run: the next one needs another.
    is_used: bool,
    /// The pad of this run was released: frames of another pad need another run.
    is_over: bool,
    /// `None` without a pad.
    track: Option<Arc<Track>>,
}

impl LlHlsSink {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().expect("settings lock poisoned")
    }

    fn video(&self) -> MutexGuard<'_, Option<gst::GhostPad>> {
        self.video.lock().expect("video lock poisoned")
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("running lock poisoned")
    }

    fn track(&self) -> Option<Arc<Track>> {
        self.running()
            .as_ref()
            .and_then(|running| running.track.clone())
    }

    /// Puts a parser behind the pad. Answers whether it could be had.
    pub(super) fn convert_with(&self, parser: &'static str) -> bool {
        let Some(track) = self.track() else {
            return false;
        };
        match track.insert_parser(self.obj().upcast_ref(), parser) {
            Ok(()) => true,
            Err(error) => {
                self.tell_missing(parser, "gst-plugins-bad", &error);
                false
            }
        }
    }

    fn tell_missing(&self, factory: &str, package: &str, error: &glib::BoolError) {
        if gst::ElementFactory::find(factory).is_some() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Pad,
                ("{factory} cannot be put into the bin: {error}")
            );
            return;
        }
        let element = self.obj();
        // What gst_missing_element_message_new() makes; its library is not worth linking for one structure.
        let details = gst::Structure::builder("missing-plugin")
            .field("type", "element")
            .field("detail", factory)
            .field("name", format!("GStreamer element {factory}"))
            .build();
        let message = gst::message::Element::builder(details)
            .src(&*element)
            .build();
        // Fails without a bus, when nobody is there to tell.
        let _ = element.post_message(message);
        gst::element_imp_error!(
            self,
            gst::CoreError::MissingPlugin,
            ("The element {factory} is missing; install {package} (see gst-inspect-1.0 {factory})")
        );
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
        let listener =
            bind(&settings.host, settings.port).map_err(|error| self.tell_taken(&error))?;
        let port = listener
            .local_addr()
            .map_or(settings.port, |address| address.port());
        let server = self.start_server(&listener, &settings)?;
        *self.running() = Some(Running {
            listener,
            port,
            server,
            is_used: false,
            is_over: false,
            track: None,
        });
        gst::info!(
            CAT,
            imp = self,
            "Serving {}",
            self.uri().unwrap_or_default()
        );
        let pad = self.video().clone();
        if let Some(pad) = pad
            && let Err(error) = self.build_track(&pad)
        {
            gst::element_imp_error!(
                self,
                gst::CoreError::Failed,
                (
                    "The elements behind pad {} cannot be built: {error}",
                    pad.name()
                )
            );
            self.stop();
            return Err(gst::StateChangeError);
        }
        Ok(())
    }

    fn tell_taken(&self, error: &BindError) -> gst::StateChangeError {
        gst::element_imp_error!(self, gst::ResourceError::OpenReadWrite, ("{error}"));
        gst::StateChangeError
    }

    fn start_server(
        &self,
        listener: &TcpListener,
        settings: &Settings,
    ) -> Result<Arc<Server>, gst::StateChangeError> {
        let run = glib::uuid_string_random().replace('-', "");
        let config = ServerConfig {
            run: RunId::new(&run[..8]).expect("hexadecimal digits"),
            renditions: vec![RenditionSettings::new(RenditionKind::Video, "video")],
            playlist_name: settings.playlist_name.clone(),
            public_url: settings.public_url.clone(),
            cors_origin: settings.cors_origin.clone(),
            max_connections: Some(settings.max_connections).filter(|&most| most > 0),
            playlist_length: settings.playlist_length,
            max_files: settings.max_files,
            part_hold_back: settings.part_hold_back,
        };
        let sink = self.obj().downgrade();
        let report = Box::new(move |report| {
            if let Some(sink) = sink.upgrade() {
                sink.imp().tell(report);
            }
        });
        listener
            .try_clone()
            .and_then(|listener| Server::start(listener, config, report))
            .map(Arc::new)
            .map_err(|error| {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Failed,
                    ("The HTTP server cannot start: {error}")
                );
                gst::StateChangeError
            })
    }

    /// Passes on what the server says, on the server's thread.
    fn tell(&self, report: Report) {
        match report {
            Report::Event(event) => {
                gst::log!(CAT, imp = self, "{event:?}");
                let with_parts = self.posts_parts.load(Ordering::Relaxed);
                if let Some(details) = messages::structure(&event, with_parts) {
                    let element = self.obj();
                    let message = gst::message::Element::builder(details)
                        .src(&*element)
                        .build();
                    // Fails without a bus, when nobody is there to tell.
                    let _ = element.post_message(message);
                }
            }
            Report::Warning(text) => {
                gst::element_imp_warning!(self, gst::ResourceError::Failed, ("{text}"));
            }
            Report::Failed(text) => {
                gst::element_imp_error!(self, gst::ResourceError::Failed, ("{text}"));
            }
        }
    }

    fn build_track(&self, pad: &gst::GhostPad) -> Result<Arc<Track>, glib::BoolError> {
        let track = Arc::new(Track::build(self.obj().upcast_ref())?);
        if let Some(running) = self.running().as_mut() {
            running.track = Some(Arc::clone(&track));
        }
        pad.set_target(track.entry().as_ref())?;
        Ok(track)
    }

    /// READY to PAUSED: a run begins. The server answers from READY on, so only a second run needs another.
    fn begin_run(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        let used = match self.running().as_ref() {
            Some(running) if running.is_used => running.listener.try_clone().map(Some),
            _ => Ok(None),
        };
        let used = used.map_err(|_| gst::StateChangeError)?;
        if let Some(listener) = used {
            // Taken out first: stopping answers everyone who waits, and that must not happen under the lock.
            let server = self.start_server(&listener, &settings)?;
            let old = self
                .running()
                .as_mut()
                .map(|running| std::mem::replace(&mut running.server, server));
            drop(old);
        }
        let (server, track) = match self.running().as_mut() {
            Some(running) => {
                running.is_used = true;
                running.is_over = false;
                (Arc::clone(&running.server), running.track.clone())
            }
            None => return Err(gst::StateChangeError),
        };
        if let Some(track) = track {
            Self::prepare(&track, &settings, server);
        }
        Ok(())
    }

    fn prepare(track: &Track, settings: &Settings, server: Arc<Server>) {
        track.set_sync(settings.sync);
        track.feeder.prepare(feeder::Orders {
            segment_duration: settings.segment_duration(),
            part_duration: settings.part_duration(),
            send_keyframe_requests: settings.send_keyframe_requests,
            publish: Box::new(move |publication| server.publish(publication)),
        });
    }

    /// PAUSED to READY: whoever waits gets the final playlist (rule PL-42).
    fn end_run(&self) {
        if let Some(running) = self.running().as_ref() {
            running.server.publish(Publication::EndOfStream);
        }
    }

    /// READY to NULL, and the way back from a start that failed.
    fn stop(&self) {
        let running = self.running().take();
        let pad = self.video().clone();
        if let Some(pad) = pad {
            // Without a target the pad takes nothing; it cannot fail.
            let _ = pad.set_target(None::<&gst::Pad>);
        }
        if let Some(Running { server, track, .. }) = running {
            if let Some(track) = track {
                track.remove(self.obj().upcast_ref());
            }
            // The last reference: answers everyone who waits and joins the thread.
            drop(server);
        }
    }

    fn uri(&self) -> Option<String> {
        let settings = self.settings().clone();
        let port = self.running().as_ref().map(|running| running.port)?;
        if let Some(base) = settings.public_url {
            return Some(format!(
                "{}/{}",
                base.trim_end_matches('/'),
                settings.playlist_name
            ));
        }
        let host = match settings.host.as_str() {
            // Every address of this host: the one that is always there.
            settings::DEFAULT_HOST | "" => "127.0.0.1".to_owned(),
            "::" | "[::]" => "[::1]".to_owned(),
            host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            host => host.to_owned(),
        };
        Some(format!("http://{host}:{port}/{}", settings.playlist_name))
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LlHlsSink {
    const NAME: &'static str = "GstLlHlsSink";
    type Type = super::LlHlsSink;
    type ParentType = gst::Bin;
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
                let port = self.running().as_ref().map_or(0, |running| running.port);
                u32::from(port).to_value()
            }
            "uri" => self.uri().to_value(),
            "stats" => {
                let server = self
                    .running()
                    .as_ref()
                    .map(|running| Arc::clone(&running.server));
                let frames = self.track().map(|track| track.feeder.counts());
                let figures = server.map(|server| server.stats());
                messages::stats(figures.as_ref(), frames.as_deref()).to_value()
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
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let pad = {
            let mut video = self.video();
            if video.is_some() {
                gst::error!(CAT, imp = self, "The video pad is taken, and there is one");
                return None;
            }
            let pad = pads::new(template, "video");
            *video = Some(pad.clone());
            pad
        };
        let is_started = self.running().is_some();
        if is_started && let Err(error) = self.add_track_while_running(&pad) {
            gst::error!(CAT, imp = self, "The video pad cannot be added: {error}");
            self.video().take();
            return None;
        }
        let element = self.obj();
        if element.current_state() > gst::State::Ready {
            pad.set_active(true).ok()?;
        }
        element.add_pad(&pad).ok()?;
        Some(pad.upcast())
    }

    fn release_pad(&self, pad: &gst::Pad) {
        {
            let mut video = self.video();
            let is_ours = video
                .as_ref()
                .is_some_and(|video| video.upcast_ref::<gst::Pad>() == pad);
            if !is_ours {
                return;
            }
            video.take();
        }
        // Deactivating waits for the streaming thread to leave the pad.
        let _ = pad.set_active(false);
        if let Some(ghost) = pad.downcast_ref::<gst::GhostPad>() {
            let _ = ghost.set_target(None::<&gst::Pad>);
        }
        let is_running = self.obj().current_state() > gst::State::Ready;
        let (track, server) = match self.running().as_mut() {
            Some(running) => {
                running.is_over = is_running;
                (running.track.take(), Some(Arc::clone(&running.server)))
            }
            None => (None, None),
        };
        if let Some(track) = track {
            track.remove(self.obj().upcast_ref());
        }
        // Without its only track the stream is over: whoever waits gets the final playlist (rule PL-42).
        if let Some(server) = server.filter(|_| is_running) {
            server.publish(Publication::EndOfStream);
        }
        let _ = self.obj().remove_pad(pad);
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
    fn add_track_while_running(&self, pad: &gst::GhostPad) -> Result<(), glib::BoolError> {
        let track = self.build_track(pad)?;
        let (server, is_over) = match self.running().as_ref() {
            Some(running) if running.is_used => {
                (Some(Arc::clone(&running.server)), running.is_over)
            }
            _ => (None, false),
        };
        if is_over {
            self.begin_run()
                .map_err(|_| glib::bool_error!("no other run can begin"))?;
        } else if let Some(server) = server {
            let settings = self.settings().clone();
            Self::prepare(&track, &settings, server);
        }
        track.sync_state_with_parent()
    }
}

impl BinImpl for LlHlsSink {
    fn handle_message(&self, message: gst::Message) {
        // The muxer stops and starts with each part: nobody outside wants 56 messages a second about that.
        let is_from_muxer = std::iter::successors(message.src().cloned(), |object| object.parent())
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
