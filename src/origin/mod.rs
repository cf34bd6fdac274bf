//! Step 3 of a frame's road: the live edge.
//!
//! Belongs here: what has been published and what of it a playlist may still name. Pure: no clock, no IO, no locks.
//! Does not: how a request is answered (`delivery/`), how bytes travel (`http/`).

pub mod media;
