//! Step 5 of a frame's road: bytes go out.
//!
//! Belongs here: sockets, the thread `llhls-http`, who waits for what, headers on the wire. Called by `sink/`, which
//! binds, starts, publishes and stops.
//! Does not: what the answer is (`delivery/`), what exists (`origin/`).

mod connection;
mod limits;
mod live;
mod page;
mod respond;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use server::{BindError, Report, Server, ServerConfig, bind};
