//! Step 4 of a frame's road: a request decided.
//!
//! Belongs here: what a request asks for, whether it is answered now, later or not at all, and the text of answers.
//! Pure: no clock, no IO, no locks; waiting is data. Does not: sockets, headers on the wire, who waits where (`http/`).

pub mod decision;
pub mod directives;
pub mod multivariant;
pub mod playlist;
pub mod request;
pub mod stats;
pub mod timestamps;

pub use decision::{Caching, Content, Decision, Reply, decide};
pub use request::{Refusal, Request, Routes};
