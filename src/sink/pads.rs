//! The pads applications link to: what they accept, and how input that the muxer does not take is converted.
//!
//! Belongs here: templates and the ghost pads. Does not: the elements behind them (`track`).

use std::sync::LazyLock;

use gst::{prelude::*, subclass::prelude::*};

use super::{LlHlsSink, imp};

/// Every pad template of the element.
pub(super) static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
    gst::PadTemplate::new(
        "video",
        gst::PadDirection::Sink,
        gst::PadPresence::Request,
        &video_caps(),
    )
    .into_iter()
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
    caps
}

/// A pad without anything behind it yet: the track is built when the element leaves NULL.
pub(super) fn new(template: &gst::PadTemplate, name: &str) -> gst::GhostPad {
    gst::GhostPad::builder_from_template(template)
        .name(name)
        .event_function(|pad, parent, event| {
            imp::LlHlsSink::catch_panic_pad_function(
                parent,
                || false,
                |sink| sink_event(sink, pad, event),
            )
        })
        .query_function(|pad, parent, query| {
            imp::LlHlsSink::catch_panic_pad_function(
                parent,
                || false,
                |sink| sink_query(sink, pad, query),
            )
        })
        .build()
}

fn sink_event(sink: &imp::LlHlsSink, pad: &gst::GhostPad, event: gst::Event) -> bool {
    if let gst::EventView::Caps(caps) = event.view()
        && let Some(parser) = parser_for(caps.caps())
        && !sink.convert_with(parser)
    {
        return false;
    }
    let element: &LlHlsSink = &sink.obj();
    gst::Pad::event_default(pad, Some(element), event)
}

/// The parser that makes of `caps` what the muxer takes; `None` when it takes them as they are.
fn parser_for(caps: &gst::CapsRef) -> Option<&'static str> {
    let structure = caps.structure(0)?;
    if structure.get::<&str>("stream-format") != Ok("byte-stream") {
        return None;
    }
    match structure.name().as_str() {
        "video/x-h264" => Some("h264parse"),
        "video/x-h265" => Some("h265parse"),
        _ => None,
    }
}

/// Caps are answered from the template, not from what is behind the pad: a parser may still be put there.
fn sink_query(sink: &imp::LlHlsSink, pad: &gst::GhostPad, query: &mut gst::QueryRef) -> bool {
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
