//! The head of a request, as any transport reads it.
//!
//! Belongs here: the few words of a head that an answer depends on. Does not: reading them off a socket (`http/`), what
//! they mean (`request` for the target, one module for each header).

/// What a request says before its body, which none here has.
///
/// Of a header that comes more than once the first line is taken, and one that is no text counts as absent: no client that
/// plays sends either. There is no `Debug` for it on purpose, because a head may carry a secret.
#[derive(Clone, Copy, Default)]
pub struct Head<'a> {
    /// The method, in the spelling it came in.
    pub method: &'a str,
    /// The path of the target, still percent-encoded.
    pub path: &'a str,
    /// The query of the target, without its question mark, still percent-encoded.
    pub query: Option<&'a str>,
    /// Whom the client believes to talk to: the authority of the target if it has one (`:authority`, absolute form), else
    /// Host (RFC 9112 3.2.2).
    pub host: Option<&'a str>,
    /// Origin: the page that asks.
    pub origin: Option<&'a str>,
    /// Authorization.
    pub authorization: Option<&'a str>,
    /// Range.
    pub range: Option<&'a str>,
    /// If-Range.
    pub if_range: Option<&'a str>,
    /// If-None-Match.
    pub if_none_match: Option<&'a str>,
    /// Accept-Encoding.
    pub accept_encoding: Option<&'a str>,
}

impl Head<'_> {
    /// Whether only the head of the answer is wanted (rule MR-10).
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The same without what it was read from. A request that waits would otherwise keep the buffer of its connection, which
    /// is far larger, and thousands may wait.
    pub fn keep(&self) -> KeptHead {
        let keep = |word: Option<&str>| word.map(Box::from);
        KeptHead {
            method: Box::from(self.method),
            path: Box::from(self.path),
            query: keep(self.query),
            host: keep(self.host),
            origin: keep(self.origin),
            authorization: keep(self.authorization),
            range: keep(self.range),
            if_range: keep(self.if_range),
            if_none_match: keep(self.if_none_match),
            accept_encoding: keep(self.accept_encoding),
        }
    }
}

/// A [`Head`] that stands for itself.
pub struct KeptHead {
    method: Box<str>,
    path: Box<str>,
    query: Option<Box<str>>,
    host: Option<Box<str>>,
    origin: Option<Box<str>>,
    authorization: Option<Box<str>>,
    range: Option<Box<str>>,
    if_range: Option<Box<str>>,
    if_none_match: Option<Box<str>>,
    accept_encoding: Option<Box<str>>,
}

impl KeptHead {
    /// What was kept.
    pub fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            host: self.host.as_deref(),
            origin: self.origin.as_deref(),
            authorization: self.authorization.as_deref(),
            range: self.range.as_deref(),
            if_range: self.if_range.as_deref(),
            if_none_match: self.if_none_match.as_deref(),
            accept_encoding: self.accept_encoding.as_deref(),
        }
    }
}
