//! The pads applications link to: what they accept, and how input that the muxer does not take is converted.
//!
//! Belongs here: templates, names and properties of the pads. Does not: the elements behind them (`track`).

use std::sync::{LazyLock, Mutex};

use gst::{glib, prelude::*, subclass::prelude::*};

use super::{LlHlsSink, imp as sink_imp};
use crate::origin::media::{Description, RenditionKind, RenditionSettings};

glib::wrapper! {
    /// A pad of `llhlssink`: one track in, one rendition out.
    pub struct LlHlsSinkPad(ObjectSubclass<imp::LlHlsSinkPad>) @extends gst::GhostPad, gst::ProxyPad, gst::Pad, gst::Object;
}

/// Every pad template of the element.
pub(super) static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
    [
        ("video", video_caps()),
        ("video_%u", video_caps()),
        ("audio", audio_caps()),
        ("audio_%u", audio_caps()),
    ]
    .into_iter()
    .filter_map(|(name, caps)| {
        gst::PadTemplate::with_gtype(
            name,
            gst::PadDirection::Sink,
            gst::PadPresence::Request,
            &caps,
            LlHlsSinkPad::static_type(),
        )
        .ok()
    })
    .collect()
});

fn video_caps() -> gst::Caps {
    // Profiles browsers decode, and no other: without the list x264enc negotiates High 4:4:4 with videotestsrc.
    let h264_profiles = gst::List::new([
        "constrained-baseline",
        "baseline",
        "main",
        "constrained-high",
        "progressive-high",
        "high",
    ]);
    let h265_profiles = gst::List::new(["main", "main-10"]);
    let mut caps = gst::Caps::new_empty();
    let all = caps.get_mut().expect("nobody else has seen it");
    all.append_structure(
        gst::Structure::builder("video/x-h264")
            .field("stream-format", gst::List::new(["avc", "byte-stream"]))
            .field("alignment", "au")
            .field("profile", h264_profiles)
            .build(),
    );
    all.append_structure(
        gst::Structure::builder("video/x-h265")
            .field("stream-format", gst::List::new(["hvc1", "byte-stream"]))
            .field("alignment", "au")
            .field("profile", h265_profiles)
            .build(),
    );
    all.append_structure(
        gst::Structure::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .build(),
    );
    caps
}

fn audio_caps() -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let all = caps.get_mut().expect("nobody else has seen it");
    all.append_structure(
        gst::Structure::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", gst::List::new(["raw", "adts"]))
            .build(),
    );
    all.append_structure(
        gst::Structure::builder("audio/x-opus")
            .field("channel-mapping-family", gst::IntRange::new(0, 255))
            .build(),
    );
    caps
}

impl LlHlsSinkPad {
    /// A pad without anything behind it yet: the track is built when the element leaves NULL.
    pub(super) fn new(template: &gst::PadTemplate, name: &str) -> Self {
        gst::PadBuilder::<Self>::from_template(template)
            .name(name)
            .event_function(|pad, parent, event| {
                sink_imp::LlHlsSink::catch_panic_pad_function(
                    parent,
                    || false,
                    |sink| sink_event(sink, pad, event),
                )
            })
            .query_function(|pad, parent, query| {
                sink_imp::LlHlsSink::catch_panic_pad_function(
                    parent,
                    || false,
                    |sink| sink_query(sink, pad, query),
                )
            })
            .build()
    }

    /// Video or audio, by the name of the template.
    pub(super) fn kind(&self) -> RenditionKind {
        let is_audio = self
            .pad_template()
            .is_some_and(|template| template.name_template().starts_with("audio"));
        if is_audio {
            RenditionKind::Audio
        } else {
            RenditionKind::Video
        }
    }

    /// What the application says of the rendition, which counts more than tags.
    pub(super) fn description(&self) -> Description {
        let settings = self.imp().settings();
        Description {
            label: settings.label.clone(),
            language: settings.language.clone(),
        }
    }

    /// What players are told of the rendition.
    pub(super) fn rendition(&self) -> RenditionSettings {
        let settings = self.imp().settings().clone();
        let mut rendition = RenditionSettings::new(self.kind(), self.name());
        if let Some(label) = settings.label {
            rendition.label = label;
        }
        rendition.language = settings.language;
        rendition.is_default = settings.is_default;
        rendition
    }
}

mod imp {
    use std::sync::MutexGuard;

    use super::*;

    #[derive(Default)]
    pub struct LlHlsSinkPad {
        settings: Mutex<Settings>,
    }

    #[derive(Clone, Default)]
    pub(in crate::sink) struct Settings {
        pub(in crate::sink) label: Option<String>,
        pub(in crate::sink) language: Option<String>,
        pub(in crate::sink) is_default: bool,
    }

    impl LlHlsSinkPad {
        pub(in crate::sink) fn settings(&self) -> MutexGuard<'_, Settings> {
            self.settings.lock().expect("pad settings lock poisoned")
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for LlHlsSinkPad {
        const NAME: &'static str = "GstLlHlsSinkPad";
        type Type = super::LlHlsSinkPad;
        type ParentType = gst::GhostPad;
    }

    impl ObjectImpl for LlHlsSinkPad {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("label")
                        .nick("Label")
                        .blurb("NAME of the rendition as players show it; unset: the title among the tags of the stream, or else the pad's name; read when a run begins")
                        .mutable_ready()
                        .build(),
                    glib::ParamSpecString::builder("language")
                        .nick("Language")
                        .blurb("LANGUAGE of the rendition, a tag of RFC 5646 such as 'en'; unset: the language code among the tags of the stream; read when a run begins")
                        .mutable_ready()
                        .build(),
                    glib::ParamSpecBoolean::builder("default")
                        .nick("Default")
                        .blurb("Played unless the viewer asks for another; of several audios that say so the first is; read when a run begins")
                        .default_value(false)
                        .mutable_ready()
                        .build(),
                ]
            });
            &PROPERTIES
        }

        fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
            const CHECKED: &str = "GObject checks the type against the ParamSpec";
            let mut settings = self.settings();
            match pspec.name() {
                "label" => settings.label = value.get().expect(CHECKED),
                "language" => settings.language = value.get().expect(CHECKED),
                "default" => settings.is_default = value.get().expect(CHECKED),
                _ => {}
            }
        }

        fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
            let settings = self.settings();
            match pspec.name() {
                "label" => settings.label.to_value(),
                "language" => settings.language.to_value(),
                _ => settings.is_default.to_value(),
            }
        }
    }

    impl GstObjectImpl for LlHlsSinkPad {}
    impl PadImpl for LlHlsSinkPad {}
    impl ProxyPadImpl for LlHlsSinkPad {}
    impl GhostPadImpl for LlHlsSinkPad {}
}

fn sink_event(sink: &sink_imp::LlHlsSink, pad: &LlHlsSinkPad, event: gst::Event) -> bool {
    if let gst::EventView::Caps(caps) = event.view()
        && let Some(parser) = parser_for(caps.caps())
        && !sink.convert_with(pad, parser)
    {
        return false;
    }
    let element: &LlHlsSink = &sink.obj();
    gst::Pad::event_default(pad, Some(element), event)
}

/// The parser that makes of `caps` what the muxer takes; `None` when it takes them as they are.
fn parser_for(caps: &gst::CapsRef) -> Option<&'static str> {
    let structure = caps.structure(0)?;
    let format = structure.get::<&str>("stream-format").ok()?;
    match (structure.name().as_str(), format) {
        ("video/x-h264", "byte-stream") => Some("h264parse"),
        ("video/x-h265", "byte-stream") => Some("h265parse"),
        ("audio/mpeg", "adts") => Some("aacparse"),
        _ => None,
    }
}

/// Caps are answered from the template, not from what is behind the pad: a parser may still be put there.
fn sink_query(sink: &sink_imp::LlHlsSink, pad: &LlHlsSinkPad, query: &mut gst::QueryRef) -> bool {
    match query.view_mut() {
        gst::QueryViewMut::Caps(caps) => {
            let accepted = pad.pad_template_caps();
            let result = match caps.filter() {
                Some(filter) => filter
                    .to_owned()
                    .intersect_with_mode(&accepted, gst::CapsIntersectMode::First),
                None => accepted,
            };
            caps.set_result(&result);
            true
        }
        gst::QueryViewMut::AcceptCaps(accept) => {
            // Intersection, not subset: caps without a profile are not refused for that.
            let is_accepted = pad.pad_template_caps().can_intersect(&accept.caps_owned());
            accept.set_result(is_accepted);
            true
        }
        _ => {
            let element: &LlHlsSink = &sink.obj();
            gst::Pad::query_default(pad, Some(element), query)
        }
    }
}
