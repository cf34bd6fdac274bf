//! Attacks on a running pipeline. Whatever arrives on an open port, the stream goes on, whoever watches misses nothing,
//! whoever comes is served, and nothing is kept of the attackers.
//!
//! Each test is a group of attacks on a process of its own; `siege` has the check that follows each of them. All stay on
//! loopback and end by themselves. `LLHLS_ATTACK_SECONDS=2` makes the floods last that long (10 by default);
//! `-- --nocapture` shows what was seen.

#![expect(
    clippy::disallowed_methods,
    reason = "tests at the edge: deadlines are counted on the host's clock"
)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]
#![expect(
    clippy::print_stdout,
    reason = "what was seen, and how the attacked process talks to its parent"
)]

#[path = "../support/mod.rs"]
mod support;

mod crowds;
mod encrypted;
mod malformed;
mod siege;

use siege::Siege;

/// Also the process that the others attack: they start this binary again with this test alone.
#[test]
fn an_untouched_process_passes_the_check() {
    if siege::is_the_attacked_process() {
        return;
    }
    let mut siege = Siege::start("");
    siege.face("none", |_| "nothing".to_owned());
}

#[test]
fn malformed_requests() {
    let mut siege = Siege::start("");
    malformed::attack(&mut siege);
}

#[test]
fn floods() {
    let mut siege = Siege::start("");
    crowds::flood(&mut siege);
}

#[test]
fn clients_that_stay_and_do_nothing() {
    // On a busy machine it takes a while until all of them are served: what they ask for is still there then.
    let mut siege = Siege::start("max-connections=2000 max-files=60");
    siege.memory_margin_kib = siege::CROWD_MARGIN_KIB;
    crowds::linger(&mut siege);
}

#[test]
fn no_descriptors_left() {
    // More than there are descriptors: the cap must not be what saves it.
    let mut siege = Siege::start_with("max-connections=10000", Some(160));
    crowds::exhaust_descriptors(&mut siege);
}

#[test]
fn handshakes() {
    let mut siege = Siege::start("tls-port=-1");
    siege.memory_margin_kib = siege::CROWD_MARGIN_KIB;
    encrypted::attack_handshakes(&mut siege);
}

#[test]
fn http2_frames() {
    let mut siege = Siege::start("tls-port=-1");
    encrypted::attack_http2(&mut siege);
}
