//! Step 2 of a frame's road: frames become parts.
//!
//! Belongs here: where parts and segments end, what a sample's times are, the boxes of CMAF. Pure: no clock, no IO, no
//! GStreamer. Called by `sink/`, which owns the muxer that makes the bytes.
//! Does not: what happens to a part once it is cut (`origin/`).

pub mod segmenter;

pub mod conductor;
pub mod turn;

pub mod access_unit;
mod av1;
pub mod boxes;
pub mod codec;
pub mod fragment;
pub mod init;
pub mod moof;
pub mod sound;

#[cfg(test)]
mod tests;
