//! A GStreamer sink that is a complete Low-Latency HLS origin.
//!
//! The modules stand in the order a frame travels. Dependencies point back along the road, never forward: a later step may
//! name what an earlier one makes. GStreamer is named in `sink` only, the HTTP library in `http` only; what lies between
//! is pure and is told what time it is. ARCHITECTURE.md has the reasons.

#![cfg_attr(not(test), warn(unused_crate_dependencies))]

// 1. Frames come in.
mod sink;

// 2. Frames become parts.
pub mod cmaf;

// The three times all of them speak of.
pub mod time;

// 3. The live edge.
pub mod origin;

// 4. A request is decided.
pub mod delivery;

// Files: the other way in, and the way onto the disk.
pub mod watch;

// 5. Bytes go out.
pub mod http;

pub use sink::LlHlsSink;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    sink::register(plugin)
}

gst::plugin_define!(
    llhlssink,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
