//! The element: a bin with one line of elements per pad and a server beside them.
//!
//! Belongs here: what GStreamer asks of an element: properties, pads on request, state changes, messages, children.
//! Does not: what a state change starts and stops (`life`), the frames' way (`feeder`), the pads' caps (`pads`).

use std::sync::{
    Arc, LazyLock, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{
    CAT,
    clock::DateSource,
    files::Outlet,
    life::Running,
    messages,
    pads::{self, LlHlsSinkPad},
    presentation::Kept,
    settings::{self, Settings},
    track::Track,
};
use crate::{
    origin::media::{Publication, RenditionKind, RenditionSettings},
    watch::Output,
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

impl LlHlsSink {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().expect("settings lock poisoned")
    }

    fn pads(&self) -> MutexGuard<'_, Vec<LlHlsSinkPad>> {
        self.pads.lock().expect("pads lock poisoned")
    }

    /// The pads in the order of their renditions: videos before audios. The first is the main one, and leads.
    pub(super) fn ordered_pads(&self) -> Vec<LlHlsSinkPad> {
        let mut pads = self.pads().clone();
        pads.sort_by_key(|pad| pad.kind() == RenditionKind::Audio);
        pads
    }

    pub(super) fn renditions(&self) -> Vec<RenditionSettings> {
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

    pub(super) fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().expect("kept lock poisoned")
    }

    pub(super) fn track(&self, pad: &LlHlsSinkPad) -> Option<Arc<Track>> {
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

    pub(super) fn uri(&self) -> Option<String> {
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
