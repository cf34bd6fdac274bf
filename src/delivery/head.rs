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
}
