//! A method, a path and a query become one value of [`Request`], or a [`Refusal`], before anything else happens.
//!
//! Belongs here: which URLs exist and how they are spelled. Nothing behind this module sees a path, so nothing can be
//! led out of its folder by one.
//! Does not: whether the thing asked for exists right now (`decision`).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::directives::{Patience, PlaylistQuery, parse_patience, parse_query};
use crate::origin::media::{RenditionId, RunId};
use crate::origin::name::{MediaName, MediaNames};
use crate::origin::rendition::Renditions;

/// What a URI in a playlist spells otherwise than a file name does: all but what RFC 3986 leaves unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The names that differ from server to server.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The entry URL is `/<playlist_name>`.
    playlist_name: String,
    /// Media is under `/<run>/`.
    run: RunId,
    /// In the order of the renditions.
    renditions: Vec<RenditionRoute>,
}

/// Where one rendition is found.
#[derive(Clone, Debug)]
struct RenditionRoute {
    playlist: String,
    media: MediaNames,
}

impl Routes {
    /// One rendition has its media playlist at the entry URL. Of several each has one beside it, and the entry URL is the
    /// multivariant playlist: `live.m3u8` has `live_video.m3u8` and `live_audio.m3u8` beside it.
    pub fn new(playlist_name: String, run: RunId, renditions: &Renditions) -> Self {
        let stem = playlist_name
            .strip_suffix(".m3u8")
            .or_else(|| playlist_name.strip_suffix(".m3u"))
            .unwrap_or(&playlist_name);
        let routes = renditions
            .iter()
            .map(|(id, rendition)| RenditionRoute {
                playlist: if renditions.is_single() {
                    playlist_name.clone()
                } else {
                    format!("{stem}_{}.m3u8", rendition.name)
                },
                media: MediaNames::new(id, &rendition.name),
            })
            .collect();
        Self {
            renditions: routes,
            playlist_name,
            run,
        }
    }

    /// The media playlist of a rendition as other playlists name it, relative to themselves: the very same spelling in
    /// the multivariant playlist and in all reports (rule PL-30), without any directive in it (rule DD-15).
    pub fn playlist_uri(&self, id: RenditionId) -> String {
        let name = self
            .renditions
            .get(id.0)
            .map_or("", |route| route.playlist.as_str());
        // All playlists lie in one folder.
        let file = name.rsplit('/').next().unwrap_or(name);
        utf8_percent_encode(file, ENCODED).to_string()
    }

    /// Whether the entry URL is a multivariant playlist.
    pub fn has_multivariant(&self) -> bool {
        self.renditions.len() > 1
    }

    fn media(&self, name: &str) -> Option<Request> {
        self.renditions
            .iter()
            .enumerate()
            .find_map(|(place, route)| {
                Some(Request::Media(RenditionId(place), route.media.read(name)?))
            })
    }
}

/// What a client wants, as far as its words tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A file of the player page.
    Page(Page),
    /// The multivariant playlist, now or once there is something new in the main rendition.
    Multivariant(Option<Patience>),
    /// The media playlist of a rendition, now or once it says something new.
    Playlist(RenditionId, PlaylistQuery),
    /// An init section, a segment or a part of a rendition of this run.
    Media(RenditionId, MediaName),
    /// `/timestamps.json`.
    Timestamps,
    /// `/stats.json`.
    Stats,
    /// `/metrics`.
    Metrics,
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
    /// `/plot.js`
    Plot,
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
    /// Whether the client shall go and come back for it: its connection is closed, where it is not shared (HTTP/2).
    pub is_last: bool,
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
            is_last: false,
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
        let playlist = routes
            .renditions
            .iter()
            .position(|route| route.playlist == path);
        if let Some(place) = playlist {
            return parse_query(query.unwrap_or_default())
                .map(|query| Self::Playlist(RenditionId(place), query));
        }
        if path == routes.playlist_name {
            return parse_patience(query.unwrap_or_default()).map(Self::Multivariant);
        }
        match path {
            "" => return Ok(Self::Page(Page::Index)),
            "player.js" => return Ok(Self::Page(Page::Script)),
            "plot.js" => return Ok(Self::Page(Page::Plot)),
            "player.css" => return Ok(Self::Page(Page::Style)),
            "hls.min.js" => return Ok(Self::Page(Page::HlsJs)),
            "timestamps.json" => return Ok(Self::Timestamps),
            "stats.json" => return Ok(Self::Stats),
            "metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        // Another run's folder is simply not there: its bytes are gone with it.
        path.strip_prefix(routes.run.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|name| routes.media(name))
            .ok_or_else(|| Refusal::not_found("no such resource"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::directives::Directives;
    use crate::origin::media::{Msn, PartIndex, PartNumber, RenditionKind, RenditionSettings};
    use crate::origin::name::InitNumber;
    use crate::origin::window::Version;
    use crate::time::Nanos;
    use proptest::prelude::*;

    const MAIN: RenditionId = RenditionId::MAIN;

    fn routes_of(playlist_name: &str, names: &[&str]) -> Routes {
        let renditions = names
            .iter()
            .map(|name| RenditionSettings::new(RenditionKind::Video, *name))
            .collect();
        Routes::new(
            playlist_name.to_owned(),
            RunId::new("r4nd0m").unwrap(),
            &Renditions::new(renditions).unwrap(),
        )
    }

    fn routes() -> Routes {
        routes_of("live.m3u8", &["video"])
    }

    fn get_from(path: &str, routes: &Routes) -> Result<Request, Refusal> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        Request::parse("GET", path, query, routes)
    }

    fn get(path: &str) -> Result<Request, Refusal> {
        get_from(path, &routes())
    }

    #[test]
    fn several_renditions_have_playlists_beside_the_entry() {
        let routes = routes_of("live.m3u8", &["video", "audio", "video_1"]);
        let playlist = |place| Request::Playlist(RenditionId(place), PlaylistQuery::default());
        for (path, expected) in [
            ("/live.m3u8", Request::Multivariant(None)),
            (
                "/live.m3u8?_HLS_msn=x&_HLS_part=y",
                Request::Multivariant(None),
            ),
            (
                "/live.m3u8?wait=500&version=7",
                Request::Multivariant(Some(Patience {
                    wait: Nanos::from_millis(500),
                    version: Version(7),
                })),
            ),
            ("/live_video.m3u8", playlist(0)),
            ("/live_audio.m3u8", playlist(1)),
            ("/live_video_1.m3u8", playlist(2)),
            (
                "/live_audio.m3u8?_HLS_msn=12",
                Request::Playlist(
                    RenditionId(1),
                    PlaylistQuery {
                        directives: Directives::Segment(Msn(12)),
                        ..PlaylistQuery::default()
                    },
                ),
            ),
            (
                "/r4nd0m/init.mp4",
                Request::Media(MAIN, MediaName::Init(InitNumber(0))),
            ),
            (
                "/r4nd0m/audio_init.mp4",
                Request::Media(RenditionId(1), MediaName::Init(InitNumber(0))),
            ),
            (
                "/r4nd0m/video_1_segment_00012.m4s",
                Request::Media(RenditionId(2), MediaName::Segment(Msn(12))),
            ),
        ] {
            assert_eq!(get_from(path, &routes), Ok(expected), "{path}");
        }
        for path in [
            "/live_.m3u8",
            "/live_video_2.m3u8",
            "/r4nd0m/video_part_00061.m4s",
            "/r4nd0m/audio_audio_init.mp4",
        ] {
            let refusal = get_from(path, &routes).unwrap_err();
            assert_eq!(refusal.status, 404, "{path}");
        }
        assert_eq!(get("/live_video.m3u8").unwrap_err().status, 404);
    }

    #[test]
    fn playlists_name_each_other_as_they_are_asked_for() {
        for (playlist_name, expected) in [
            ("live.m3u8", "live_audio.m3u8"),
            ("live.m3u", "live_audio.m3u8"),
            ("live", "live_audio.m3u8"),
            ("a b\"ü.m3u8", "a%20b%22%C3%BC_audio.m3u8"),
            ("a:b?.m3u8", "a%3Ab%3F_audio.m3u8"),
            ("sub/live.m3u8", "live_audio.m3u8"),
        ] {
            let routes = routes_of(playlist_name, &["video", "audio"]);
            let uri = routes.playlist_uri(RenditionId(1));
            assert_eq!(uri, expected);
            let folder = playlist_name
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            let slash = if folder.is_empty() { "" } else { "/" };
            let found = get_from(&format!("/{folder}{slash}{uri}"), &routes);
            assert!(
                matches!(found, Ok(Request::Playlist(RenditionId(1), _))),
                "{found:?}"
            );
        }
    }

    #[test]
    fn every_url_there_is() {
        let part = Request::Media(MAIN, MediaName::Part(PartNumber(61)));
        for (path, expected) in [
            ("/", Request::Page(Page::Index)),
            ("/?lang=de", Request::Page(Page::Index)),
            ("/player.js", Request::Page(Page::Script)),
            ("/plot.js", Request::Page(Page::Plot)),
            ("/player.css", Request::Page(Page::Style)),
            ("/hls.min.js", Request::Page(Page::HlsJs)),
            ("/timestamps.json", Request::Timestamps),
            ("/stats.json?x", Request::Stats),
            ("/metrics", Request::Metrics),
            (
                "/live.m3u8",
                Request::Playlist(MAIN, PlaylistQuery::default()),
            ),
            (
                "/live%2Em3u8",
                Request::Playlist(MAIN, PlaylistQuery::default()),
            ),
            (
                "/live.m3u8?_HLS_msn=12&_HLS_part=3",
                Request::Playlist(
                    MAIN,
                    PlaylistQuery {
                        directives: Directives::Part(Msn(12), PartIndex(3)),
                        ..PlaylistQuery::default()
                    },
                ),
            ),
            (
                "/r4nd0m/init.mp4",
                Request::Media(MAIN, MediaName::Init(InitNumber(0))),
            ),
            (
                "/r4nd0m/segment_00012.m4s",
                Request::Media(MAIN, MediaName::Segment(Msn(12))),
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
