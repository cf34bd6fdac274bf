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
mod tests;
