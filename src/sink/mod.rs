//! Step 1 of a frame's road: frames come in. The one place that knows GStreamer.
//!
//! Belongs here: the element, its pads and properties, the muxer's runs, reading the pipeline clock.
//! Does not: where parts end (`cmaf/`), what players see (`origin/`, `delivery/`), sockets (`http/`).

use std::sync::LazyLock;

use gst::{glib, prelude::*};

mod clock;
mod collector;
mod dates;
mod doubts;
mod ensemble;
mod feeder;
mod files;
mod format;
mod imp;
mod life;
mod listening;
mod messages;
mod muxing;
mod pads;
mod presentation;
mod requests;
mod road;
mod settings;
mod silence;
mod steps;
mod telling;
mod track;

/// One debug category for the whole plugin: `GST_DEBUG=llhlssink:6`.
static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "llhlssink",
        gst::DebugColorFlags::empty(),
        Some("Low-Latency HLS sink"),
    )
});

glib::wrapper! {
    /// The `llhlssink` element.
    pub struct LlHlsSink(ObjectSubclass<imp::LlHlsSink>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

/// Makes the element known to GStreamer.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "llhlssink",
        gst::Rank::NONE,
        LlHlsSink::static_type(),
    )
}
