//! Step 5 of a frame's road: bytes go out.
//!
//! Belongs here: sockets, the thread `llhls-http`, who waits for what, headers on the wire. Called by `sink/`, which
//! binds, starts, publishes and stops.
//! Does not: what the answer is (`delivery/`), what exists (`origin/`).

mod certificate;
mod connection;
mod http2;
mod limits;
mod live;
mod page;
mod respond;
mod server;
mod steady;
#[cfg(test)]
mod tests;
mod texts;
#[cfg(feature = "tiny-http")]
mod tiny;
#[cfg(feature = "tiny-http")]
mod tiny_socket;
mod tls;
mod wire;

pub use certificate::{CertificateError, CertificateFiles};
pub use server::{BindError, Engine, Listeners, PlainSocket, Report, Server, ServerConfig, bind};
#[cfg(feature = "tiny-http")]
pub use tiny_socket::TinySocket;
pub use tls::Tls;
