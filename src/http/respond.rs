//! A decision becomes a response: status, headers, body.
//!
//! Belongs here: what stands on the wire, CORS on every answer included. Does not: when, and to whom (`connection`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::live::Live;
use crate::delivery::{Content, Refusal, Reply};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Which version of the playlist an answer holds, for `?wait=<ms>&version=<n>`.
const PLAYLIST_VERSION: HeaderName = HeaderName::from_static("x-llhls-version");

/// Headers a script of another origin may read (rule HT-08).
const EXPOSED: &str = "Date, Age, Content-Length, Retry-After, X-LLHLS-Version";

/// Headers a script of another origin may send (rule HT-09). `*` does not cover Authorization.
const ALLOWED: &str = "*, Authorization, Range";

/// Seconds a browser may remember that it may ask.
const PREFLIGHT_CACHE_SECONDS: &str = "86400";

/// Answers a request; to HEAD with the same headers (rule MR-10).
pub(super) fn reply(live: &Live, reply: Reply, is_head: bool) -> Response<Chunks> {
    let mut playlist_version = None;
    let body = match reply.content {
        Content::Playlist(id) => match live.playlist(id) {
            Some((version, text)) => {
                playlist_version = Some(version);
                Chunks::from(text)
            }
            None => return refuse_unready(live),
        },
        Content::Multivariant => match live.multivariant() {
            Some(text) => Chunks::from(text),
            None => return refuse_unready(live),
        },
        Content::Media(chunks) => Chunks::new(chunks),
        Content::Timestamps => Chunks::from(live.timestamps()),
        Content::Stats => {
            let text = live.stats().render();
            Chunks::from(Bytes::from(text))
        }
        Content::Page(page) => match live.page().file(page) {
            Ok(bytes) => Chunks::from(bytes),
            Err(refusal) => return refuse(live, &refusal),
        },
        Content::Nothing => return preflight(live),
    };
    if !is_head {
        live.stats().bytes.sent += body.remaining;
    }
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(CACHE_CONTROL, header(reply.caching.header()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(version) = playlist_version {
        headers.insert(PLAYLIST_VERSION, HeaderValue::from(version.0));
    }
    live.cors().allow(headers);
    response
}

/// Says why not. Never kept by a cache: what is missing now may be there in a moment (rule HT-05).
pub(super) fn refuse(live: &Live, refusal: &Refusal) -> Response<Chunks> {
    live.stats().refusals.count(refusal.status);
    let mut response = Response::new(Chunks::from(Bytes::from(format!("{}\n", refusal.reason))));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if refusal.status == 405 {
        headers.insert(ALLOW, METHODS);
    }
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    live.cors().allow(headers);
    response
}

fn refuse_unready(live: &Live) -> Response<Chunks> {
    refuse(live, &Refusal::unavailable("there is no playlist yet", 1))
}

/// Says why not, and that nothing more is read.
pub(super) fn refuse_and_close(live: &Live, refusal: &Refusal) -> Response<Chunks> {
    let mut response = refuse(live, refusal);
    response.headers_mut().insert(CONNECTION, CLOSE);
    response
}

/// The whole answer to a connection there is no room for, written without reading its request.
pub(super) fn no_room(cors: &Cors) -> Vec<u8> {
    const REASON: &str = "too many connections\n";
    let mut head = HeaderMap::new();
    head.insert(CONTENT_TYPE, PLAIN_TEXT);
    head.insert(CACHE_CONTROL, NO_STORE);
    head.insert(CONNECTION, CLOSE);
    head.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    cors.allow(&mut head);
    let mut text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n",
        REASON.len()
    )
    .into_bytes();
    for (name, value) in &head {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(REASON.as_bytes());
    text
}

/// Rule HT-09.
fn preflight(live: &Live) -> Response<Chunks> {
    let mut response = Response::new(Chunks::new(Vec::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, METHODS);
    live.cors().allow_preflight(headers);
    response
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("Cache-Control is made of ASCII words and digits")
}

/// Which pages of other origins may read the answers.
pub(super) struct Cors {
    /// `None`: none may.
    origin: Option<HeaderValue>,
}

impl Cors {
    /// `*`, an origin, or empty for none. `None` for text no header can carry.
    pub(super) fn new(origin: &str) -> Option<Self> {
        let is_plain = origin.bytes().all(|byte| byte.is_ascii_graphic());
        let origin = match origin {
            "" => None,
            _ if is_plain => Some(HeaderValue::from_str(origin).ok()?),
            _ => return None,
        };
        Some(Self { origin })
    }

    /// Rule HT-08: on every answer, refusals included, or scripts see status 0 in place of the reason.
    fn allow(&self, headers: &mut HeaderMap) {
        let Some(origin) = &self.origin else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
        if origin != "*" {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
    }

    fn allow_preflight(&self, headers: &mut HeaderMap) {
        self.allow(headers);
        if self.origin.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(ALLOWED),
            );
            headers.insert(
                ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static(PREFLIGHT_CACHE_SECONDS),
            );
        }
    }
}

/// A body of bytes that are there already, sent as they lie in memory.
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    remaining: u64,
}

impl Chunks {
    fn new(chunks: Vec<Bytes>) -> Self {
        Self {
            remaining: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            chunks: chunks.into(),
        }
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        Self::new(vec![bytes])
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.chunks.pop_front();
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
