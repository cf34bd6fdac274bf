//! A request's head becomes an answer, whatever carried it here.
//!
//! Belongs here: the way through `delivery/`, which bytes a decision stands for, what every answer has: CORS above all.
//! Does not: reading and writing heads on the wire (`wire`), sockets (`connection`).

use std::rc::Rc;

use super::limits;
use super::live::{Live, Waiting};
use crate::delivery::access::{self, Way};
use crate::delivery::encoding::Text;
use crate::delivery::representation::{Representation, Source};
use crate::delivery::request::Page;
use crate::delivery::stats::Limit;
use crate::delivery::{Answer, Content, Head, Refusal, Reply, Request, metrics};

/// Which version of the playlist an answer holds, for `?wait=<ms>&version=<n>`.
const PLAYLIST_VERSION: &str = "x-llhls-version";

/// Answers a request, once there is an answer. `waiting` is of its connection.
pub(super) async fn answer(live: &Live, head: &Head<'_>, waiting: &Waiting) -> Answer {
    match serve(live, head, waiting).await {
        Ok(answer) => finish(live, head, answer),
        Err(refusal) if live.is_stopping() || refusal.is_last => {
            refuse_and_close(live, head, &refusal)
        }
        Err(refusal) => refuse(live, head, &refusal),
    }
}

async fn serve(live: &Live, head: &Head<'_>, waiting: &Waiting) -> Result<Answer, Refusal> {
    live.hosts().check(head.host)?;
    let admitted = access::admit(live.token(), head)?;
    let request = Request::parse(head.method, admitted.path, head.query, live.routes())?;
    let suffix = match request {
        Request::Multivariant(..) | Request::Playlist(..) | Request::Page(Page::Index) => {
            live.suffix(head.query, admitted.way)?
        }
        _ => String::new(),
    };
    let mut reply = live.settle(&request, waiting).await?;
    if admitted.way == Way::Header {
        // Its URL does not show who may have it.
        reply.caching = reply.caching.private();
    }
    present(live, head, reply, &suffix)
}

fn present(live: &Live, head: &Head<'_>, reply: Reply, suffix: &str) -> Result<Answer, Refusal> {
    let document = |text: Text| (Source::Text(Rc::new(text)), None);
    let unready = || Refusal::unavailable("there is no playlist yet", 1);
    let is_page = reply.content == Content::Page(Page::Index);
    let mut playlist_version = None;
    let (source, tag) = match reply.content {
        Content::Playlist(id) | Content::Delta(id) => {
            let is_delta = matches!(reply.content, Content::Delta(_));
            let shown = live.playlist(id, is_delta, suffix).ok_or_else(unready)?;
            live.stats().answers.deltas += u64::from(is_delta);
            playlist_version = Some(shown.version);
            (Source::Text(shown.text), Some(live.tag_of(shown.revision)))
        }
        Content::Multivariant => {
            let shown = live.multivariant(suffix).ok_or_else(unready)?;
            playlist_version = Some(shown.version);
            (Source::Text(shown.text), Some(live.tag_of(shown.revision)))
        }
        // Under its name it is never anything else; the run tells names of one server from those of the next.
        Content::Media(chunks) => (Source::Media(chunks), Some(live.tag())),
        Content::Timestamps => document(live.timestamps()),
        Content::Stats => document(Text::new(live.stats().render())),
        Content::Metrics => document(Text::new(metrics::render(&live.stats()))),
        Content::Page(page) => {
            let text = live.page().file(page, suffix)?;
            (Source::Text(text), Some(live.tag()))
        }
        Content::Nothing => {
            let mut answer = Answer::preflight();
            live.cors().allow_preflight(head.origin, &mut answer);
            return Ok(answer);
        }
    };
    let mut answer = Representation {
        source,
        content_type: reply.content_type,
        caching: reply.caching,
        tag,
    }
    .answer(head);
    if let Some(version) = playlist_version {
        answer.set(PLAYLIST_VERSION, version.0.to_string());
    }
    if is_page {
        answer.set("content-security-policy", live.page().policy().to_owned());
    }
    Ok(answer)
}

/// Says why not.
fn refuse(live: &Live, head: &Head<'_>, refusal: &Refusal) -> Answer {
    finish(live, head, Answer::refusal(refusal))
}

/// Says why not, and that nothing more is read.
pub(super) fn refuse_and_close(live: &Live, head: &Head<'_>, refusal: &Refusal) -> Answer {
    Answer {
        is_last: true,
        ..refuse(live, head, refusal)
    }
}

/// The answer to a connection that would be one too many. `origin` is the page that asks; `None` when no request was read.
pub(super) fn no_room(live: &Live, limit: Limit, origin: Option<&str>) -> Answer {
    let mut answer = Answer::refusal(&limits::refusal(limit));
    live.cors().allow(origin, &mut answer);
    Answer {
        is_last: true,
        ..answer
    }
}

/// The answer to a connection that speaks plain HTTP where TLS is spoken.
pub(super) fn not_secure(live: &Live) -> Answer {
    let mut answer = Answer::refusal(&Refusal::bad_request("this port speaks HTTPS"));
    live.cors().allow(None, &mut answer);
    Answer {
        is_last: true,
        ..answer
    }
}

/// Adds what every answer has, and counts it.
fn finish(live: &Live, head: &Head<'_>, mut answer: Answer) -> Answer {
    live.cors().allow(head.origin, &mut answer);
    if head.is_head() {
        answer = answer.without_body();
    }
    let mut stats = live.stats();
    match answer.status {
        206 => stats.answers.ranges += 1,
        304 => stats.answers.not_modified += 1,
        400.. => {
            stats.refusals.count(answer.status);
            return answer;
        }
        _ => {}
    }
    if answer.header("content-encoding").is_some() {
        stats.answers.gzipped += 1;
    }
    stats.bytes.sent += answer.body.len();
    answer
}
