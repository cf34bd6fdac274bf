//! Which pages of other origins may read the answers (CORS).
//!
//! Belongs here: the headers that say so. Does not: who may watch at all.

use super::answer::{Answer, METHODS};

/// Headers a script of another origin may read (rule HT-08).
const EXPOSED: &str = "Date, Age, Content-Length, Retry-After, X-LLHLS-Version";

/// Headers a script of another origin may send (rule HT-09). `*` does not cover Authorization.
const ALLOWED: &str = "*, Authorization, Range";

/// Seconds a browser may remember that it may ask.
const PREFLIGHT_CACHE_SECONDS: &str = "86400";

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `None`: none may.
    origin: Option<String>,
}

impl Cors {
    /// `*`, an origin, or empty for none. `None` for text no header can carry.
    pub fn new(origin: &str) -> Option<Self> {
        let is_plain = origin.bytes().all(|byte| byte.is_ascii_graphic());
        let origin = match origin {
            "" => None,
            _ if is_plain => Some(origin.to_owned()),
            _ => return None,
        };
        Some(Self { origin })
    }

    /// Rule HT-08: on every answer, refusals included, or scripts see status 0 in place of the reason.
    pub fn allow(&self, answer: &mut Answer) {
        let Some(origin) = &self.origin else {
            return;
        };
        answer.set("access-control-allow-origin", origin.clone());
        answer.set("access-control-expose-headers", EXPOSED);
        if origin != "*" {
            answer.set("vary", "Origin");
        }
    }

    /// Rule HT-09: on the answer to OPTIONS.
    pub fn allow_preflight(&self, answer: &mut Answer) {
        self.allow(answer);
        if self.origin.is_some() {
            answer.set("access-control-allow-methods", METHODS);
            answer.set("access-control-allow-headers", ALLOWED);
            answer.set("access-control-max-age", PREFLIGHT_CACHE_SECONDS);
        }
    }
}
