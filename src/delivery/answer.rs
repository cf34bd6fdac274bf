//! An answer as any transport writes it: a status, header lines, bytes.
//!
//! Belongs here: what stands in the head of an answer, in plain values. Does not: which bytes (`decision`), how they get
//! onto a socket and what the transport adds there, such as Date (`http/`).

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::decision::Caching;
use super::request::Refusal;

/// The methods there are, for Allow and preflights.
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// A complete answer. Nothing a client sent stands in its header lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines: names in lower case, each once.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// What is sent after the head.
    pub body: Body,
    /// Whether nothing more is read from this client: what follows cannot be told from a request, or the server stops.
    pub is_last: bool,
}

/// Bytes that are there already, sent as they lie in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// One after the other.
    pub chunks: Vec<Bytes>,
}

impl Body {
    /// Bytes of all chunks together.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The bytes in `range`, which lies within. Nothing is copied.
    pub fn slice(self, range: Range<u64>) -> Self {
        let mut start = 0;
        let mut chunks = self.chunks;
        chunks.retain_mut(|chunk| {
            let end = start + chunk.len() as u64;
            let from = range.start.clamp(start, end) - start;
            let to = range.end.clamp(start, end) - start;
            start = end;
            let within = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
            *chunk = chunk.slice(within(from)..within(to));
            !chunk.is_empty()
        });
        Self { chunks }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(Bytes::is_empty)
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self { chunks }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            chunks: vec![bytes],
        }
    }
}

impl Answer {
    /// A status and what its answers have in common; Content-Length is that of `body`.
    pub fn new(status: u16, content_type: &'static str, caching: Caching, body: Body) -> Self {
        let mut answer = Self {
            status,
            headers: Vec::with_capacity(12),
            is_last: false,
            body,
        };
        answer.set("content-type", content_type);
        answer.set("content-length", answer.body.len().to_string());
        answer.set("cache-control", caching.header());
        answer.protect();
        answer
    }

    /// Says why not. Never kept by a cache: what is missing now may be there in a moment (rule HT-05).
    pub fn refusal(refusal: &Refusal) -> Self {
        let reason = Bytes::from(format!("{}\n", refusal.reason));
        let mut answer = Self::new(
            refusal.status,
            "text/plain; charset=utf-8",
            Caching::Never,
            reason.into(),
        );
        if refusal.status == 405 {
            answer.set("allow", METHODS);
        }
        if refusal.status == 401 {
            answer.set("www-authenticate", "Bearer realm=\"llhlssink\"");
        }
        if let Some(seconds) = refusal.retry_after {
            answer.set("retry-after", seconds.to_string());
        }
        answer
    }

    /// Rule HT-09: what OPTIONS is answered with.
    pub fn preflight() -> Self {
        let mut answer = Self::bare(204);
        answer.set("allow", METHODS);
        answer
    }

    /// The client has it already and may go on using it as `caching` says (RFC 9110 15.4.5).
    pub fn not_modified(caching: Caching) -> Self {
        let mut answer = Self::bare(304);
        answer.set("cache-control", caching.header());
        answer
    }

    /// An answer that has no body whatever is asked for.
    fn bare(status: u16) -> Self {
        let mut answer = Self {
            status,
            headers: Vec::with_capacity(12),
            body: Body::default(),
            is_last: false,
        };
        answer.protect();
        answer
    }

    /// Nothing is taken for what it is not said to be, and no URL, which may hold a secret, is told to anybody else.
    fn protect(&mut self) {
        self.set("x-content-type-options", "nosniff");
        self.set("referrer-policy", "no-referrer");
    }

    /// Adds the name of a request header that the answer depends on.
    pub fn vary(&mut self, name: &'static str) {
        match self.header("vary") {
            Some(others) if others.split(", ").any(|other| other == name) => {}
            Some(others) => {
                let all = format!("{others}, {name}");
                self.set("vary", all);
            }
            None => self.set("vary", name),
        }
    }

    /// Sets a header, in place of the one there is.
    pub fn set(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = value.into();
        match self.headers.iter_mut().find(|(set, _)| *set == name) {
            Some((_, old)) => *old = value,
            None => self.headers.push((name, value)),
        }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(set, _)| *set == name)
            .map(|(_, value)| &**value)
    }

    /// The same head without the bytes: the answer to HEAD (rule MR-10).
    pub fn without_body(mut self) -> Self {
        self.body = Body::default();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(answer: &Answer) -> Vec<String> {
        let lines = answer.headers.iter();
        lines
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    #[test]
    fn a_refusal_says_why() {
        let answer = Answer::refusal(&Refusal::unavailable("not yet", 1));
        assert_eq!(answer.status, 503);
        assert_eq!(
            lines(&answer),
            [
                "content-type: text/plain; charset=utf-8",
                "content-length: 8",
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
                "retry-after: 1"
            ]
        );
        assert_eq!(answer.body, Body::from(Bytes::from("not yet\n")));
        let answer = Answer::refusal(&Refusal::new(405, "no"));
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    }

    #[test]
    fn a_slice_of_chunks() {
        let body = || {
            Body::from(vec![
                Bytes::from("ab"),
                Bytes::from("cde"),
                Bytes::from("f"),
            ])
        };
        for (range, expected) in [
            (0..6, vec!["ab", "cde", "f"]),
            (1..4, vec!["b", "cd"]),
            (2..5, vec!["cde"]),
            (5..6, vec!["f"]),
        ] {
            assert_eq!(body().slice(range).chunks, expected);
        }
    }

    #[test]
    fn what_an_answer_depends_on_adds_up() {
        let mut answer = Answer::preflight();
        answer.vary("Accept-Encoding");
        answer.vary("Origin");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding, Origin"));
    }

    #[test]
    fn the_answer_to_head_keeps_its_length() {
        let body = Body::from(vec![Bytes::from("ab"), Bytes::from("c")]);
        let answer = Answer::new(200, "video/mp4", Caching::Revalidate, body).without_body();
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("content-length"), Some("3"));
    }
}
