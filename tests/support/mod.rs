//! What the tests of the whole element share: streams to run, a client to ask with, readers that check what comes back.
//!
//! Nothing here names the inside of the plugin. Waiting is always for something, with a deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "tests at the edge: deadlines are counted on the host's clock"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own share of this"
)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

pub mod cache;
pub mod check;
pub mod folder;
pub mod footage;
pub mod frames;
pub mod http;
pub mod media;
pub mod origin;
pub mod pair;
pub mod playlist;
pub mod program;
pub mod rtsp;
pub mod secure;
pub mod stream;
pub mod streamer;
pub mod tracks;

use std::{
    sync::Once,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Far longer than anything here takes on a busy machine; only a hang gets there.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// GStreamer and the plugin, ready to use.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstllhlssink::plugin_register_static().unwrap();
    });
}

/// A moment after which waiting is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Waits until `found` finds something; panics with `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(PATIENCE);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(!deadline.is_over(), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `is_true`; panics with `what` after [`PATIENCE`].
pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    wait_for(what, || is_true().then_some(()));
}

/// How long `work` took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// The host's clock, in nanoseconds since 1970.
pub fn unix_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}
