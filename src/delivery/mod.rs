//! Step 4 of a frame's road: a request decided.
//!
//! Belongs here: what a request asks for, whether it is answered now, later or not at all, the text and the head of answers.
//! Pure: no clock, no IO, no locks; waiting is data. Does not: sockets, who waits where (`http/`).

pub mod access;
pub mod answer;
pub mod archive;
pub mod carry;
pub mod cors;
pub mod decision;
pub mod directives;
pub mod encoding;
pub mod head;
pub mod hosts;
pub mod metrics;
pub mod multivariant;
pub mod playlist;
pub mod range;
pub mod representation;
pub mod request;
mod sounds;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod timestamps;

pub use answer::{Answer, Body};
pub use decision::{Caching, Content, Decision, Reply, decide};
pub use head::Head;
pub use request::{Refusal, Request, Routes};
