//! Request, state and time become an answer, a wait or a refusal.
//!
//! Belongs here: the rules of blocking (RFC 8216bis 6.2.5.2, 6.2.6), deadlines, what may be cached and for how long.
//! Does not: how anybody waits. `http/` asks again after each publication and at the deadline it was told.

use bytes::Bytes;

use super::directives::{Directives, Patience, PlaylistQuery};
use super::metrics;
use super::request::{Page, Refusal, Request};
use crate::origin::Origin;
use crate::origin::media::{Constants, Msn, PartIndex, RenditionId, RenditionKind};
use crate::origin::name::MediaName;
use crate::origin::rendition::Rendition;
use crate::origin::window::LiveWindow;
use crate::time::Nanos;

/// How long a playlist request is held while there is no playlist at all.
const STARTUP_WAIT: Nanos = Nanos::from_seconds(10);

/// Seconds a refused client is asked to stay away.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Target durations a blocked request is held (rule DD-17).
const MAX_WAIT_TARGET_DURATIONS: i64 = 3;

/// Segments a directive may reach past the last whole one (rule DD-07).
const MAX_SEGMENTS_AHEAD: u64 = 2;

/// Target durations an answer may be cached that its URL fully names (rules HT-04, HT-05).
const CACHED_TARGET_DURATIONS: u32 = 6;

/// Media is under a name of its own for ever; the least time it may be cached, in seconds.
const MIN_MEDIA_CACHE_SECONDS: u32 = 60;

/// An init section is needed as long as anybody watches, in seconds.
const INIT_CACHE_SECONDS: u32 = 86_400;

/// What to do with a request at this moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Answer it.
    Reply(Reply),
    /// Ask again after the next publication, and when the request is this old.
    Wait {
        /// Age of the request at its deadline; asking then gives an answer or a refusal.
        at_most: Nanos,
    },
    /// Tell it why not.
    Refuse(Refusal),
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The body.
    pub content: Content,
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub caching: Caching,
}

/// The body of an answer. What is the same for everybody is named here and rendered once by whoever sends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The multivariant playlist as it is now.
    Multivariant,
    /// The media playlist of a rendition as it is now.
    Playlist(RenditionId),
    /// The same without the segments beyond the Skip Boundary, of which there are some.
    Delta(RenditionId),
    /// Published bytes, one after the other.
    Media(Vec<Bytes>),
    /// `/timestamps.json`.
    Timestamps,
    /// `/stats.json`.
    Stats,
    /// `/metrics`.
    Metrics,
    /// A file of the player page.
    Page(Page),
    /// Nothing: the answer to OPTIONS.
    Nothing,
}

/// How long an answer may be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Not kept at all: it is different each time.
    Never,
    /// Kept, but asked about before each use (rule HT-03).
    Revalidate,
    /// For this many seconds by caches that many viewers share (rule HT-04); not by the viewer's own, which never asks
    /// twice but would hand a page that is open over a restart the playlist of the run before.
    Shared(u32),
    /// For this many seconds, and it will never be anything else.
    Immutable(u32),
    /// The same, by the viewer's own cache alone.
    Own(u32),
}

impl Caching {
    /// The same for a viewer alone: what others may have as well is not to be seen from the URL.
    pub fn private(self) -> Self {
        match self {
            Self::Shared(_) => Self::Revalidate,
            Self::Immutable(seconds) => Self::Own(seconds),
            Self::Never | Self::Revalidate | Self::Own(_) => self,
        }
    }

    /// The value of Cache-Control.
    pub fn header(self) -> String {
        match self {
            Self::Never => "no-store".to_owned(),
            Self::Revalidate => "no-cache".to_owned(),
            Self::Shared(seconds) => format!("public, max-age=0, s-maxage={seconds}"),
            Self::Immutable(seconds) => format!("public, max-age={seconds}, immutable"),
            Self::Own(seconds) => format!("private, max-age={seconds}, immutable"),
        }
    }
}

/// Decides a request that arrived `waited` ago. Asked again with a greater `waited` and the state of that moment, it
/// gives the same kind of answer or a later one; it never waits past the deadline it named.
pub fn decide(request: &Request, origin: &Origin, waited: Nanos) -> Decision {
    let rendition = |id: &RenditionId| {
        origin
            .rendition(*id)
            .ok_or_else(|| Decision::Refuse(Refusal::not_found("no such rendition")))
    };
    match request {
        Request::Multivariant(patience) => decide_multivariant(*patience, origin, waited),
        Request::Playlist(id, query) => match rendition(id) {
            Ok(rendition) => decide_playlist(*id, query, rendition.window(), waited),
            Err(refusal) => refusal,
        },
        Request::Media(id, name) => match rendition(id) {
            Ok(rendition) => decide_media(*name, rendition, waited),
            Err(refusal) => refusal,
        },
        Request::Timestamps => reply(Content::Timestamps, "application/json", Caching::Never),
        Request::Stats => reply(Content::Stats, "application/json", Caching::Never),
        Request::Metrics => reply(Content::Metrics, metrics::CONTENT_TYPE, Caching::Never),
        Request::Preflight => reply(Content::Nothing, "text/plain", Caching::Never),
        Request::Page(page) => {
            let content_type = match page {
                Page::Index => "text/html; charset=utf-8",
                Page::Style => "text/css; charset=utf-8",
                Page::Script | Page::Plot | Page::HlsJs => "text/javascript; charset=utf-8",
            };
            reply(Content::Page(*page), content_type, Caching::Revalidate)
        }
    }
}

/// What it names can be played at once: nobody sees it before the presentation is live. Its version is the main
/// rendition's: whoever waits at the entry URL is woken for the same, whether there is one rendition or several.
fn decide_multivariant(patience: Option<Patience>, origin: &Origin, waited: Nanos) -> Decision {
    let main = origin.main().window();
    if origin.common().is_some() {
        let patience = patience.filter(|_| !main.is_ended());
        decide_patience(Content::Multivariant, patience, main, waited)
    } else if origin.is_ended() {
        refuse_unborn()
    } else {
        await_first_segment(waited)
    }
}

fn decide_playlist(
    id: RenditionId,
    query: &PlaylistQuery,
    window: &LiveWindow,
    waited: Nanos,
) -> Decision {
    let playlist = Content::Playlist(id);
    let Some(constants) = window.constants() else {
        if window.is_stillborn() {
            return refuse_unborn();
        }
        return await_first_segment(waited);
    };
    // Rule PL-42: nothing more will come, so nobody waits for it.
    if window.is_ended() {
        return reply_playlist(playlist, Caching::Revalidate);
    }
    // Rule DD-11. Where nothing is to be skipped, or nothing offered, the whole playlist is the answer.
    let playlist = if query.skips && window.skippable() > 0 {
        Content::Delta(id)
    } else {
        playlist
    };
    let cached = Caching::Shared(CACHED_TARGET_DURATIONS.saturating_mul(constants.target_duration));
    let standing = match query.directives {
        Directives::None => return decide_patience(playlist, query.patience, window, waited),
        Directives::Segment(msn) => stand_segment(msn, window),
        Directives::Part(msn, part) => stand_part(msn, part, window, constants),
    };
    match standing {
        Standing::Listed => reply_playlist(playlist, cached),
        Standing::Ahead => wait_or(max_wait(constants), waited, || {
            Decision::Refuse(Refusal::unavailable(
                "what the playlist was to hold has not come within three target durations",
                RETRY_AFTER_SECONDS,
            ))
        }),
        Standing::TooFar(reason) => Decision::Refuse(Refusal::bad_request(reason)),
    }
}

fn await_first_segment(waited: Nanos) -> Decision {
    wait_or(STARTUP_WAIT, waited, || {
        Decision::Refuse(Refusal::unavailable(
            "the first segment is not complete yet",
            RETRY_AFTER_SECONDS,
        ))
    })
}

fn refuse_unborn() -> Decision {
    Decision::Refuse(Refusal::not_found(
        "the stream ended before its first segment was complete",
    ))
}

/// The older way to wait: the deadline brings the playlist as it is, not an error.
fn decide_patience(
    playlist: Content,
    patience: Option<Patience>,
    window: &LiveWindow,
    waited: Nanos,
) -> Decision {
    match patience {
        Some(patience) if window.version() <= patience.version => {
            wait_or(patience.wait, waited, || {
                reply_playlist(playlist, Caching::Never)
            })
        }
        _ => reply_playlist(playlist, Caching::Revalidate),
    }
}

/// Where what a directive names stands, seen from the live edge.
enum Standing {
    Listed,
    Ahead,
    TooFar(&'static str),
}

/// `_HLS_msn` alone: the segment must be complete (rule DD-05).
fn stand_segment(msn: Msn, window: &LiveWindow) -> Standing {
    let Some(last) = window.last_complete() else {
        return Standing::Ahead;
    };
    if is_too_far(msn, last.msn) {
        Standing::TooFar("_HLS_msn is more than two segments ahead")
    } else if msn <= last.msn {
        // Rules DD-03, DD-04: however old, the playlist has moved past it.
        Standing::Listed
    } else {
        Standing::Ahead
    }
}

fn stand_part(msn: Msn, part: PartIndex, window: &LiveWindow, constants: &Constants) -> Standing {
    let Some(last) = window.last_complete() else {
        return Standing::Ahead;
    };
    if is_too_far(msn, last.msn) {
        return Standing::TooFar("_HLS_msn is more than two segments ahead");
    }
    if msn < last.msn {
        return Standing::Listed;
    }
    let open_parts = window.open().map_or(0, |open| open.parts.len() as u64);
    if msn == last.msn {
        // Rule DD-06: past the last part of a whole segment means part 0 of the next one. Players count on it at
        // each segment end, because they cannot know that the part they have was the last.
        let is_listed = part.0 < last.parts.len() as u64 || open_parts > 0;
        return if is_listed {
            Standing::Listed
        } else {
            Standing::Ahead
        };
    }
    let parts = if msn.0 == last.msn.0 + 1 {
        open_parts
    } else {
        0
    };
    if part.0 < parts {
        Standing::Listed
    } else if part.0 >= parts.saturating_add(advance_part_limit(constants)) {
        // Rule DD-08.
        Standing::TooFar("_HLS_part is too far ahead")
    } else {
        Standing::Ahead
    }
}

/// Rule DD-07.
fn is_too_far(msn: Msn, last: Msn) -> bool {
    msn.0 > last.0.saturating_add(MAX_SEGMENTS_AHEAD)
}

/// How many parts past the last listed one may be asked for (6.2.5.2): three seconds' worth, or three.
fn advance_part_limit(constants: &Constants) -> u64 {
    let target = constants.part_target;
    let per_second = i64::from(target.timescale.ticks_per_second());
    if target.ticks >= per_second {
        return 3;
    }
    // Rounded up, so that no part within the three seconds is refused.
    u64::try_from((3 * per_second + target.ticks - 1) / target.ticks).unwrap_or(3)
}

fn decide_media(name: MediaName, rendition: &Rendition, waited: Nanos) -> Decision {
    let window = rendition.window();
    // Rule HT-02.
    let content_type = match rendition.settings().kind {
        RenditionKind::Video => "video/mp4",
        RenditionKind::Audio => "audio/mp4",
    };
    let reply_media = |chunks, caching| reply(Content::Media(chunks), content_type, caching);
    match name {
        MediaName::Init(number) => match window.init(number) {
            Some(init) => reply_media(
                vec![init.bytes.clone()],
                Caching::Immutable(INIT_CACHE_SECONDS),
            ),
            None => hold_hinted(
                window.coming_init() == Some(number),
                "no such init section, or no longer, or not yet",
                window,
                waited,
            ),
        },
        MediaName::Segment(msn) => match window.segment(msn) {
            Some(segment) if segment.is_gap() => refuse_gap(),
            Some(segment) => reply_media(
                segment
                    .parts
                    .iter()
                    .map(|part| part.bytes.clone())
                    .collect(),
                media_caching(window),
            ),
            None => Decision::Refuse(Refusal::not_found("no such segment, or no longer")),
        },
        MediaName::Part(number) => match window.part(number) {
            Some(part) if part.is_gap => refuse_gap(),
            Some(part) => reply_media(vec![part.bytes.clone()], media_caching(window)),
            None => hold_hinted(
                number == window.next_part(),
                "no such part, or no longer, or not yet",
                window,
                waited,
            ),
        },
    }
}

/// What EXT-X-GAP and GAP=YES say already, to those who ask all the same, and to those who waited for a hinted part that
/// turned out to be one (6.2.6).
fn refuse_gap() -> Decision {
    Decision::Refuse(Refusal::not_found(
        "there is no media for this: the rendition has a gap here",
    ))
}

/// Rules MR-01, MR-07: what is hinted is held until it comes or the stream is over, nothing else is.
fn hold_hinted(
    is_hinted: bool,
    missing: &'static str,
    window: &LiveWindow,
    waited: Nanos,
) -> Decision {
    match window.constants() {
        Some(constants) if is_hinted && !window.is_ended() => {
            wait_or(max_wait(constants), waited, || {
                Decision::Refuse(Refusal::unavailable(
                    "what was hinted has not come within three target durations",
                    RETRY_AFTER_SECONDS,
                ))
            })
        }
        _ => Decision::Refuse(Refusal::not_found(missing)),
    }
}

fn max_wait(constants: &Constants) -> Nanos {
    Nanos::from_seconds(MAX_WAIT_TARGET_DURATIONS * i64::from(constants.target_duration))
}

fn media_caching(window: &LiveWindow) -> Caching {
    let target_duration = window
        .constants()
        .map_or(1, |constants| constants.target_duration);
    Caching::Immutable(
        CACHED_TARGET_DURATIONS
            .saturating_mul(target_duration)
            .max(MIN_MEDIA_CACHE_SECONDS),
    )
}

fn wait_or(at_most: Nanos, waited: Nanos, late: impl FnOnce() -> Decision) -> Decision {
    if waited < at_most {
        Decision::Wait { at_most }
    } else {
        late()
    }
}

fn reply_playlist(playlist: Content, caching: Caching) -> Decision {
    // Rules PL-01, HT-01.
    reply(playlist, "application/vnd.apple.mpegurl", caching)
}

fn reply(content: Content, content_type: &'static str, caching: Caching) -> Decision {
    Decision::Reply(Reply {
        content,
        content_type,
        caching,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Routes;
    use crate::origin::fixture::{
        AUDIO, CONSTANTS, Presentation, SETTINGS, Stream, VIDEO, init, part_bytes, renditions, run,
        ticks,
    };
    use crate::origin::media::Publication;
    use crate::origin::rendition::Renditions;

    fn ask(stream: &Stream, path: &str, waited: Nanos) -> Decision {
        ask_of(&stream.origin, &renditions(), path, waited)
    }

    fn ask_of(origin: &Origin, renditions: &Renditions, path: &str, waited: Nanos) -> Decision {
        let routes = Routes::new("live.m3u8".to_owned(), run(), renditions);
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        match Request::parse("GET", path, query, &routes) {
            Ok(request) => decide(&request, origin, waited),
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    /// The decision in one word: what it holds, or `wait` with its limit in milliseconds, or the status.
    fn word(decision: &Decision) -> String {
        match decision {
            Decision::Reply(Reply {
                content: Content::Media(chunks),
                ..
            }) => String::from_utf8(chunks.concat()).unwrap(),
            Decision::Reply(reply) => match &reply.content {
                Content::Playlist(RenditionId::MAIN) => "playlist".to_owned(),
                Content::Playlist(id) => format!("playlist {}", id.0),
                Content::Delta(id) => format!("delta {}", id.0),
                other => format!("{other:?}").to_lowercase(),
            },
            Decision::Wait { at_most } => format!("wait {}", at_most.0 / 1_000_000),
            Decision::Refuse(refusal) => refusal.status.to_string(),
        }
    }

    fn check(stream: &Stream, table: &[(&str, &str)]) {
        for (path, expected) in table {
            assert_eq!(word(&ask(stream, path, Nanos(0))), *expected, "{path}");
        }
    }

    fn check_all(presentation: &Presentation, table: &[(&str, &str)]) {
        for (path, expected) in table {
            let decision = ask_of(
                &presentation.origin,
                &presentation.renditions,
                path,
                Nanos(0),
            );
            assert_eq!(word(&decision), *expected, "{path}");
        }
    }

    #[test]
    fn nobody_sees_a_playlist_before_the_presentation_is_live() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.segment(VIDEO);
        presentation.part(AUDIO);
        check_all(
            &presentation,
            &[
                ("/live.m3u8", "wait 10000"),
                ("/live.m3u8?_HLS_msn=x", "wait 10000"),
                ("/live_video.m3u8", "wait 10000"),
                ("/live_video.m3u8?_HLS_msn=1", "wait 10000"),
                ("/live_audio.m3u8", "wait 10000"),
                ("/live_subtitles.m3u8", "404"),
                ("/run/audio_part_00000.m4s", "<part 0>"),
                // No hint of it is out.
                ("/run/audio_part_00001.m4s", "404"),
                ("/run/part_00005.m4s", "404"),
            ],
        );
        let late = ask_of(
            &presentation.origin,
            &presentation.renditions,
            "/live.m3u8",
            Nanos::from_seconds(10),
        );
        assert_eq!(word(&late), "503");

        presentation.publish(Publication::Absent(AUDIO));
        check_all(
            &presentation,
            &[
                ("/live.m3u8", "multivariant"),
                ("/live_video.m3u8", "playlist"),
                ("/live_audio.m3u8", "wait 10000"),
            ],
        );
        presentation.end_segment(AUDIO);
        check_all(&presentation, &[("/live_audio.m3u8", "playlist 1")]);

        let mut presentation = Presentation::of_video_and_audio();
        presentation.part(AUDIO);
        presentation.publish(Publication::EndOfRendition(AUDIO));
        check_all(
            &presentation,
            &[("/live.m3u8", "wait 10000"), ("/live_audio.m3u8", "404")],
        );
        presentation.publish(Publication::EndOfStream);
        check_all(
            &presentation,
            &[("/live.m3u8", "404"), ("/live_video.m3u8", "404")],
        );
    }

    #[test]
    fn each_rendition_blocks_for_itself() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(3);
        // Video is at (3, 1), audio at (2, 5).
        presentation.part(VIDEO);
        presentation.part(VIDEO);
        check_all(
            &presentation,
            &[
                ("/live_video.m3u8?_HLS_msn=4&_HLS_part=1", "playlist"),
                ("/live_video.m3u8?_HLS_msn=4&_HLS_part=2", "wait 3000"),
                ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=0", "wait 3000"),
                ("/live_audio.m3u8?_HLS_msn=3&_HLS_part=6", "wait 3000"),
                ("/live_audio.m3u8?_HLS_msn=3", "playlist 1"),
                ("/live_audio.m3u8?_HLS_msn=6", "400"),
                // DD-08: three seconds of 0.192 s are sixteen parts.
                ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=15", "wait 3000"),
                ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=16", "400"),
                ("/live_video.m3u8?_HLS_msn=4&_HLS_part=17", "400"),
                // MR-01, MR-07: each has a hint of its own.
                ("/run/part_00017.m4s", "wait 3000"),
                ("/run/part_00018.m4s", "404"),
                ("/run/audio_part_00018.m4s", "wait 3000"),
                ("/run/audio_part_00019.m4s", "404"),
                ("/run/audio_init.mp4", "<audio init>"),
            ],
        );
        // The end of one releases those who wait for it, and nobody else.
        presentation.publish(Publication::EndOfRendition(AUDIO));
        check_all(
            &presentation,
            &[
                ("/live.m3u8", "multivariant"),
                ("/live_audio.m3u8?_HLS_msn=900", "playlist 1"),
                ("/run/audio_part_00018.m4s", "404"),
                ("/live_video.m3u8?_HLS_msn=4&_HLS_part=2", "wait 3000"),
                ("/run/part_00017.m4s", "wait 3000"),
            ],
        );
    }

    #[test]
    fn media_says_what_it_is() {
        let presentation = Presentation::of_video_and_audio().with_segments(1);
        for (path, expected) in [
            ("/live.m3u8", "application/vnd.apple.mpegurl no-cache"),
            ("/live_audio.m3u8", "application/vnd.apple.mpegurl no-cache"),
            (
                "/run/init.mp4",
                "video/mp4 public, max-age=86400, immutable",
            ),
            (
                "/run/audio_init.mp4",
                "audio/mp4 public, max-age=86400, immutable",
            ),
            (
                "/run/audio_segment_00001.m4s",
                "audio/mp4 public, max-age=60, immutable",
            ),
            (
                "/run/audio_part_00003.m4s",
                "audio/mp4 public, max-age=60, immutable",
            ),
        ] {
            let (origin, renditions) = (&presentation.origin, &presentation.renditions);
            match ask_of(origin, renditions, path, Nanos(0)) {
                Decision::Reply(reply) => {
                    let found = format!("{} {}", reply.content_type, reply.caching.header());
                    assert_eq!(found, expected, "{path}");
                }
                other => panic!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn before_the_first_segment_everybody_waits_ten_seconds() {
        let mut stream = Stream::new(SETTINGS, CONSTANTS);
        stream.part();
        check(
            &stream,
            &[
                ("/live.m3u8", "wait 10000"),
                ("/live.m3u8?_HLS_msn=1&_HLS_part=0", "wait 10000"),
                ("/live.m3u8?_HLS_msn=900", "wait 10000"),
                ("/live.m3u8?wait=100&version=0", "wait 10000"),
                ("/live.m3u8?_HLS_part=0", "400"),
                ("/run/init.mp4", "<init>"),
                ("/run/part_00000.m4s", "<part 0>"),
                ("/run/part_00001.m4s", "404"),
                ("/timestamps.json", "timestamps"),
                ("/stats.json", "stats"),
                ("/", "page(index)"),
            ],
        );
        let late = ask(&stream, "/live.m3u8", Nanos::from_seconds(10));
        assert!(
            matches!(&late, Decision::Refuse(refusal) if refusal.status == 503 && refusal.retry_after == Some(1)),
            "{late:?}"
        );
        stream.end();
        check(
            &stream,
            &[("/live.m3u8", "404"), ("/run/part_00001.m4s", "404")],
        );
    }

    #[test]
    fn blocking_reload_at_a_segment_end() {
        // Segments 0..=9 of five parts, nothing open: the edge is (9, 4).
        let stream = Stream::with_segments(10);
        check(
            &stream,
            &[
                ("/live.m3u8", "playlist"),
                // DD-03, DD-04.
                ("/live.m3u8?_HLS_msn=0", "playlist"),
                ("/live.m3u8?_HLS_msn=0&_HLS_part=0", "playlist"),
                ("/live.m3u8?_HLS_msn=1", "playlist"),
                ("/live.m3u8?_HLS_msn=1&_HLS_part=999", "playlist"),
                ("/live.m3u8?_HLS_msn=10", "playlist"),
                ("/live.m3u8?_HLS_msn=10&_HLS_part=4", "playlist"),
                // DD-06: part 5 of a segment of five is part 0 of the next.
                ("/live.m3u8?_HLS_msn=9&_HLS_part=5", "playlist"),
                ("/live.m3u8?_HLS_msn=10&_HLS_part=5", "wait 3000"),
                ("/live.m3u8?_HLS_msn=10&_HLS_part=999", "wait 3000"),
                // DD-01, DD-05.
                ("/live.m3u8?_HLS_msn=11", "wait 3000"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=0", "wait 3000"),
                ("/live.m3u8?_HLS_msn=12&_HLS_part=0", "wait 3000"),
                // DD-07.
                ("/live.m3u8?_HLS_msn=12", "wait 3000"),
                ("/live.m3u8?_HLS_msn=13", "400"),
                ("/live.m3u8?_HLS_msn=13&_HLS_part=0", "400"),
                ("/live.m3u8?_HLS_msn=18446744073709551615", "400"),
                // DD-08: three seconds of 0.2 s.
                ("/live.m3u8?_HLS_msn=11&_HLS_part=14", "wait 3000"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=15", "400"),
                // DD-11: not offered.
                ("/live.m3u8?_HLS_skip=YES", "playlist"),
            ],
        );
    }

    #[test]
    fn blocking_reload_in_an_open_segment() {
        let mut stream = Stream::with_segments(10);
        stream.parts(2);
        check(
            &stream,
            &[
                ("/live.m3u8?_HLS_msn=10&_HLS_part=5", "playlist"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=1", "playlist"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=2", "wait 3000"),
                // DD-05: not released by a part.
                ("/live.m3u8?_HLS_msn=11", "wait 3000"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=16", "wait 3000"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=17", "400"),
                (
                    "/live.m3u8?_HLS_msn=11&_HLS_part=18446744073709551615",
                    "400",
                ),
            ],
        );
        // DD-06: the segment closes short, and what was its part 2 is part 0 of the next.
        stream.end_segment();
        check(
            &stream,
            &[
                ("/live.m3u8?_HLS_msn=11", "playlist"),
                ("/live.m3u8?_HLS_msn=11&_HLS_part=2", "wait 3000"),
            ],
        );
        stream.part();
        check(
            &stream,
            &[("/live.m3u8?_HLS_msn=11&_HLS_part=2", "playlist")],
        );
    }

    #[test]
    fn far_ahead_is_three_parts_when_parts_are_long() {
        assert_eq!(advance_part_limit(&CONSTANTS), 15);
        for (length, limit) in [
            (30_000, 3),
            (90_000, 3),
            (29_999, 4),
            (10_010, 9),
            (1, 90_000),
        ] {
            let constants = Constants {
                part_target: ticks(length),
                ..CONSTANTS
            };
            assert_eq!(advance_part_limit(&constants), limit, "{length}");
        }
    }

    #[test]
    fn only_the_hinted_part_is_held() {
        let mut stream = Stream::with_segments(40);
        stream.part();
        let hint = "/run/part_00201.m4s";
        check(
            &stream,
            &[
                ("/run/part_00200.m4s", "<part 200>"),
                (hint, "wait 3000"),
                ("/run/part_00202.m4s", "404"),
                ("/run/part_18446744073709551615.m4s", "404"),
                ("/run/part_00000.m4s", "404"),
                ("/run/segment_00041.m4s", "404"),
                ("/run/segment_00001.m4s", "404"),
                ("/run/init_1.mp4", "404"),
                (
                    "/run/segment_00040.m4s",
                    "<part 195><part 196><part 197><part 198><part 199>",
                ),
            ],
        );
        assert_eq!(word(&ask(&stream, hint, Nanos::from_seconds(3))), "503");
        stream.end_segment();
        check(&stream, &[(hint, "wait 3000")]);
        stream.part();
        let Decision::Reply(reply) = ask(&stream, hint, Nanos(0)) else {
            panic!("not there");
        };
        // MR-02.
        assert_eq!(reply.content, Content::Media(vec![part_bytes(201)]));
    }

    #[test]
    fn what_is_missing_counts_as_listed_and_is_not_handed_out() {
        let mut stream = Stream::with_segments(3);
        stream.part();
        let hint = "/run/part_00016.m4s";
        let blocked = "/live.m3u8?_HLS_msn=4&_HLS_part=1";
        check(&stream, &[(hint, "wait 3000"), (blocked, "wait 3000")]);
        stream.gap(4 * 6000);
        check(
            &stream,
            &[
                (blocked, "playlist"),
                ("/live.m3u8?_HLS_msn=4&_HLS_part=4", "playlist"),
                ("/live.m3u8?_HLS_msn=4", "wait 3000"),
                ("/live.m3u8?_HLS_msn=4&_HLS_part=5", "wait 3000"),
                // What was hinted is not to come.
                (hint, "404"),
                ("/run/part_00015.m4s", "<part 15>"),
                ("/run/part_00019.m4s", "404"),
                ("/run/part_00020.m4s", "wait 3000"),
            ],
        );
        stream.end_segment();
        stream.gap(30_000);
        stream.end_segment();
        check(
            &stream,
            &[
                ("/live.m3u8?_HLS_msn=4", "playlist"),
                ("/live.m3u8?_HLS_msn=5", "playlist"),
                ("/live.m3u8?_HLS_msn=6&_HLS_part=0", "wait 3000"),
                ("/live.m3u8?_HLS_msn=8", "400"),
                (
                    "/run/segment_00003.m4s",
                    "<part 10><part 11><part 12><part 13><part 14>",
                ),
                // Part of it is there, but not the whole that its name means.
                ("/run/segment_00004.m4s", "404"),
                ("/run/segment_00005.m4s", "404"),
                ("/run/part_00024.m4s", "404"),
            ],
        );
        let Decision::Refuse(refusal) = ask(&stream, "/run/segment_00005.m4s", Nanos(0)) else {
            panic!("there is nothing to hand out");
        };
        assert!(refusal.reason.contains("gap"), "{}", refusal.reason);
    }

    #[test]
    fn a_hinted_init_section_is_held_until_it_comes_is_withdrawn_or_all_is_over() {
        let hint = "/run/init_1.mp4";
        let announced = || {
            let mut stream = Stream::with_segments(3);
            check(&stream, &[(hint, "404")]);
            stream.publish(Publication::ComingInit(RenditionId::MAIN));
            check(&stream, &[(hint, "wait 3000"), ("/run/init_2.mp4", "404")]);
            stream
        };
        let stream = announced();
        assert_eq!(word(&ask(&stream, hint, Nanos::from_seconds(3))), "503");

        let mut stream = announced();
        stream.publish(init("<other>"));
        check(&stream, &[(hint, "<other>"), ("/run/init_2.mp4", "404")]);

        // The format is the old one after all: said in so many words, or by a part that needs no other.
        let mut stream = announced();
        stream.publish(init("<init>"));
        check(&stream, &[(hint, "404")]);
        let mut stream = announced();
        stream.part();
        check(&stream, &[(hint, "404")]);

        let mut stream = announced();
        stream.end();
        check(&stream, &[(hint, "404")]);
    }

    #[test]
    fn nobody_waits_past_three_target_durations() {
        let stream = Stream::with_segments(3);
        let path = "/live.m3u8?_HLS_msn=4&_HLS_part=0";
        assert_eq!(word(&ask(&stream, path, Nanos(2_999_999_999))), "wait 3000");
        assert_eq!(word(&ask(&stream, path, Nanos(3_000_000_000))), "503");
    }

    #[test]
    fn the_end_releases_everybody() {
        let mut stream = Stream::with_segments(3);
        stream.part();
        stream.end();
        check(
            &stream,
            &[
                ("/live.m3u8?_HLS_msn=900&_HLS_part=1", "playlist"),
                ("/live.m3u8?_HLS_msn=5", "playlist"),
                ("/live.m3u8?wait=60000&version=900", "playlist"),
                ("/live.m3u8?_HLS_part=1", "400"),
                ("/run/part_00016.m4s", "404"),
                ("/run/segment_00004.m4s", "<part 15>"),
            ],
        );
    }

    #[test]
    fn wait_and_version() {
        let mut stream = Stream::with_segments(1);
        let path = "/live.m3u8?wait=500&version=1";
        check(
            &stream,
            &[
                (path, "wait 500"),
                ("/live.m3u8?wait=500&version=0", "playlist"),
                ("/live.m3u8?wait=500", "playlist"),
                ("/live.m3u8?wait=0&version=1", "playlist"),
                ("/live.m3u8?version=1", "playlist"),
                ("/live.m3u8?wait=999999&version=1", "wait 60000"),
                ("/live.m3u8?wait=500&version=1&_HLS_msn=1", "playlist"),
            ],
        );
        assert_eq!(
            word(&ask(&stream, path, Nanos::from_millis(500))),
            "playlist"
        );
        stream.part();
        check(&stream, &[(path, "playlist")]);
    }

    #[test]
    fn each_playlist_has_a_version_of_its_own_and_the_entry_has_the_main_ones() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(3);
        let (video, audio) = (
            presentation.window(VIDEO).version().0,
            presentation.window(AUDIO).version().0,
        );
        let entry = format!("/live.m3u8?wait=500&version={video}");
        let video = format!("/live_video.m3u8?wait=500&version={video}");
        let audio = format!("/live_audio.m3u8?wait=500&version={audio}");
        for path in [&entry, &video, &audio] {
            check_all(&presentation, &[(path, "wait 500")]);
        }
        presentation.part(AUDIO);
        check_all(
            &presentation,
            &[
                (&entry, "wait 500"),
                (&video, "wait 500"),
                (&audio, "playlist 1"),
            ],
        );
        presentation.part(VIDEO);
        check_all(
            &presentation,
            &[(&entry, "multivariant"), (&video, "playlist")],
        );
        // Nothing more will come of it.
        presentation.publish(Publication::EndOfRendition(VIDEO));
        check_all(
            &presentation,
            &[("/live.m3u8?wait=500&version=9999", "multivariant")],
        );
    }

    #[test]
    fn what_may_be_cached() {
        let stream = Stream::with_segments(3);
        let caching = |path| match ask(&stream, path, Nanos(0)) {
            Decision::Reply(reply) => reply.caching.header(),
            other => panic!("{path}: {other:?}"),
        };
        for (path, expected) in [
            ("/live.m3u8", "no-cache"),
            ("/live.m3u8?_HLS_msn=3", "public, max-age=0, s-maxage=6"),
            ("/run/part_00001.m4s", "public, max-age=60, immutable"),
            ("/run/segment_00002.m4s", "public, max-age=60, immutable"),
            ("/run/init.mp4", "public, max-age=86400, immutable"),
            ("/timestamps.json", "no-store"),
            ("/stats.json", "no-store"),
            ("/", "no-cache"),
        ] {
            assert_eq!(caching(path), expected, "{path}");
        }
    }
}
