//! A method, a path and a query become one value of [`Request`], or a [`Refusal`], before anything else happens.
//!
//! Belongs here: which URLs exist and how they are spelled. Nothing behind this module sees a path, so nothing can be
//! led out of its folder by one.
//! Does not: whether the thing asked for exists right now (`decision`).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::directives::{PlaylistQuery, parse_query};
use crate::origin::media::RunId;
use crate::origin::name::MediaName;

/// The names that differ from server to server.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The entry URL is `/<playlist_name>`.
    pub playlist_name: String,
    /// Media is under `/<run>/`.
    pub run: RunId,
}

/// What a client wants, as far as its words tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A file of the player page.
    Page(Page),
    /// The playlist, now or once it says something new.
    Playlist(PlaylistQuery),
    /// An init section, a segment or a part of this run.
    Media(MediaName),
    /// `/timestamps.json`.
    Timestamps,
    /// `/stats.json`.
    Stats,
    /// OPTIONS, on whatever path.
    Preflight,
}

/// The files of the player page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`
    Index,
    /// `/player.js`
    Script,
    /// `/player.css`
    Style,
    /// `/hls.min.js`
    HlsJs,
}

/// Why a request gets no answer but a status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 4xx or 5xx.
    pub status: u16,
    /// One line for the person who reads it; the body.
    pub reason: Cow<'static, str>,
    /// Seconds after which asking again makes sense, Retry-After.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// 400: no server could answer that.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, reason)
    }

    /// 404: it is not here, or not any more.
    pub fn not_found(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, reason)
    }

    /// 503: it should be here, and is not.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(503, reason)
        }
    }

    /// Any other status.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            retry_after: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl Request {
    /// Reads a request line's parts: `path` and `query` still percent-encoded, `query` without its question mark.
    pub fn parse(
        method: &str,
        path: &str,
        query: Option<&str>,
        routes: &Routes,
    ) -> Result<Self, Refusal> {
        match method {
            "GET" | "HEAD" => {}
            "OPTIONS" => return Ok(Self::Preflight),
            _ => return Err(Refusal::new(405, "only GET, HEAD and OPTIONS are answered")),
        }
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Refusal::bad_request("the path is not UTF-8"))?;
        let Some(path) = path.strip_prefix('/') else {
            return Err(Refusal::bad_request("the path does not begin with a slash"));
        };
        if path == routes.playlist_name {
            return parse_query(query.unwrap_or_default()).map(Self::Playlist);
        }
        match path {
            "" => return Ok(Self::Page(Page::Index)),
            "player.js" => return Ok(Self::Page(Page::Script)),
            "player.css" => return Ok(Self::Page(Page::Style)),
            "hls.min.js" => return Ok(Self::Page(Page::HlsJs)),
            "timestamps.json" => return Ok(Self::Timestamps),
            "stats.json" => return Ok(Self::Stats),
            _ => {}
        }
        // Another run's folder is simply not there: its bytes are gone with it.
        path.strip_prefix(routes.run.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(MediaName::parse)
            .map(Self::Media)
            .ok_or_else(|| Refusal::not_found("no such resource"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::directives::Directives;
    use crate::origin::media::{Msn, PartIndex, PartNumber};
    use crate::origin::name::InitNumber;
    use proptest::prelude::*;

    fn routes() -> Routes {
        Routes {
            playlist_name: "live.m3u8".to_owned(),
            run: RunId::new("r4nd0m").unwrap(),
        }
    }

    fn get(path: &str) -> Result<Request, Refusal> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        Request::parse("GET", path, query, &routes())
    }

    #[test]
    fn every_url_there_is() {
        let part = Request::Media(MediaName::Part(PartNumber(61)));
        for (path, expected) in [
            ("/", Request::Page(Page::Index)),
            ("/?lang=de", Request::Page(Page::Index)),
            ("/player.js", Request::Page(Page::Script)),
            ("/player.css", Request::Page(Page::Style)),
            ("/hls.min.js", Request::Page(Page::HlsJs)),
            ("/timestamps.json", Request::Timestamps),
            ("/stats.json?x", Request::Stats),
            ("/live.m3u8", Request::Playlist(PlaylistQuery::default())),
            ("/live%2Em3u8", Request::Playlist(PlaylistQuery::default())),
            (
                "/live.m3u8?_HLS_msn=12&_HLS_part=3",
                Request::Playlist(PlaylistQuery {
                    directives: Directives::Part(Msn(12), PartIndex(3)),
                    patience: None,
                }),
            ),
            (
                "/r4nd0m/init.mp4",
                Request::Media(MediaName::Init(InitNumber(0))),
            ),
            (
                "/r4nd0m/segment_00012.m4s",
                Request::Media(MediaName::Segment(Msn(12))),
            ),
            ("/r4nd0m/part_00061.m4s", part.clone()),
            ("/r4nd0m/part_00061.m4s?token=a", part.clone()),
            ("/r4nd0m%2Fpart_00061.m4s", part),
        ] {
            assert_eq!(get(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn every_other_url_is_refused() {
        for (path, status) in [
            ("", 400),
            ("*", 400),
            ("live.m3u8", 400),
            ("/%ff", 400),
            ("/live.m3u8?_HLS_part=1", 400),
            ("//live.m3u8", 404),
            ("/live.m3u8/", 404),
            ("/LIVE.M3U8", 404),
            ("/part_00061.m4s", 404),
            ("/oldrun/part_00061.m4s", 404),
            ("/r4nd0mpart_00061.m4s", 404),
            ("/r4nd0m//part_00061.m4s", 404),
            ("/r4nd0m/part_61.m4s", 404),
            ("/r4nd0m/part_000061.m4s", 404),
            ("/r4nd0m/../r4nd0m/part_00061.m4s", 404),
            ("/r4nd0m/%2e%2e/%2e%2e/etc/passwd", 404),
            ("/../../etc/passwd", 404),
            ("/r4nd0m/part_00061.m4s%00", 404),
            ("/r4nd0m/", 404),
            ("/r4nd0m", 404),
        ] {
            assert_eq!(
                get(path).map_err(|refusal| refusal.status),
                Err(status),
                "{path}"
            );
        }
    }

    #[test]
    fn methods() {
        let parse = |method| Request::parse(method, "/", None, &routes());
        assert_eq!(parse("GET"), Ok(Request::Page(Page::Index)));
        assert_eq!(parse("HEAD"), Ok(Request::Page(Page::Index)));
        assert_eq!(parse("OPTIONS"), Ok(Request::Preflight));
        for method in ["POST", "PUT", "DELETE", "TRACE", "CONNECT", "get", "BREW"] {
            assert_eq!(parse(method).unwrap_err().status, 405, "{method}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_panics(method in "[A-Z]{0,8}", path in ".{0,60}", query in ".{0,60}") {
            let _ = Request::parse(&method, &path, Some(&query), &routes());
            let _ = Request::parse("GET", &format!("/live.m3u8{path}"), Some(&query), &routes());
            let _ = Request::parse("GET", "/live.m3u8", Some(&format!("_HLS_msn={query}")), &routes());
        }
    }
}
