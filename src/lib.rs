//! llhlssink.

// The road of a frame, front to back.
pub mod time;

pub mod cmaf;

pub mod origin;

pub mod delivery;

pub mod http;
