//! The pure middle of the plugin, compiled from its own sources, and what is fuzzed of it.
//!
//! Not the plugin as a dependency: fuzzing needs no GStreamer and no HTTP library, and builds in a tenth of the time.

#[path = "../../src/cmaf/mod.rs"]
pub mod cmaf;

#[path = "../../src/time.rs"]
pub mod time;

#[path = "../../src/origin/mod.rs"]
pub mod origin;

#[path = "../../src/delivery/mod.rs"]
pub mod delivery;

pub mod targets;
