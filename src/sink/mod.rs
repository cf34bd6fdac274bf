//! Step 1 of a frame's road: frames come in. The one place that knows GStreamer.
//!
//! Belongs here: the element, its pads and properties, the muxer's runs, reading the pipeline clock.
//! Does not: where parts end (`cmaf/`), what players see (`origin/`, `delivery/`), sockets (`http/`).

use gst::{glib, prelude::*};

mod clock;
mod collector;
mod feeder;
mod imp;
mod messages;
mod pads;
mod settings;
mod track;

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
