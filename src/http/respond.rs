//! A request's head becomes an answer, whatever carried it here.
//!
//! Belongs here: the way through `delivery/`, which bytes a decision stands for, CORS on every answer included.
//! Does not: reading and writing heads on the wire (`wire`), sockets (`connection`).

use bytes::Bytes;

use super::limits;
use super::live::{Live, Waiting};
use crate::delivery::stats::Limit;
use crate::delivery::{Answer, Body, Content, Head, Refusal, Reply, Request};

/// Which version of the playlist an answer holds, for `?wait=<ms>&version=<n>`.
const PLAYLIST_VERSION: &str = "x-llhls-version";

/// Answers a request, once there is an answer. `waiting` is of its connection.
pub(super) async fn answer(live: &Live, head: &Head<'_>, waiting: &Waiting) -> Answer {
    let settled = match Request::parse(head.method, head.path, head.query, live.routes()) {
        Ok(request) => live.settle(&request, waiting).await,
        Err(refusal) => Err(refusal),
    };
    match settled {
        Ok(reply) => self::reply(live, head, reply),
        Err(refusal) if live.is_stopping() || refusal.is_last => {
            refuse_and_close(live, head, &refusal)
        }
        Err(refusal) => refuse(live, head, &refusal),
    }
}

fn reply(live: &Live, head: &Head<'_>, reply: Reply) -> Answer {
    let mut playlist_version = None;
    let body = match reply.content {
        Content::Playlist(id) => match live.playlist(id) {
            Some((version, text)) => {
                playlist_version = Some(version);
                Body::from(text)
            }
            None => return refuse_unready(live, head),
        },
        Content::Delta(id) => match live.delta(id) {
            Some((version, text)) => {
                live.stats().answers.deltas += 1;
                playlist_version = Some(version);
                Body::from(text)
            }
            None => return refuse_unready(live, head),
        },
        Content::Multivariant => match live.multivariant() {
            Some((version, text)) => {
                playlist_version = Some(version);
                Body::from(text)
            }
            None => return refuse_unready(live, head),
        },
        Content::Media(chunks) => Body::from(chunks),
        Content::Timestamps => Body::from(live.timestamps()),
        Content::Stats => {
            let text = live.stats().render();
            Body::from(Bytes::from(text))
        }
        Content::Page(page) => match live.page().file(page) {
            Ok(bytes) => Body::from(bytes),
            Err(refusal) => return refuse(live, head, &refusal),
        },
        Content::Nothing => {
            let mut answer = Answer::preflight();
            live.cors().allow_preflight(&mut answer);
            return answer;
        }
    };
    let mut answer = Answer::new(200, reply.content_type, reply.caching, body);
    if let Some(version) = playlist_version {
        answer.set(PLAYLIST_VERSION, version.0.to_string());
    }
    live.cors().allow(&mut answer);
    finish(live, head, answer)
}

/// Says why not.
pub(super) fn refuse(live: &Live, head: &Head<'_>, refusal: &Refusal) -> Answer {
    live.stats().refusals.count(refusal.status);
    let mut answer = Answer::refusal(refusal);
    live.cors().allow(&mut answer);
    if head.is_head() {
        answer.without_body()
    } else {
        answer
    }
}

fn refuse_unready(live: &Live, head: &Head<'_>) -> Answer {
    refuse(
        live,
        head,
        &Refusal::unavailable("there is no playlist yet", 1),
    )
}

/// Says why not, and that nothing more is read.
pub(super) fn refuse_and_close(live: &Live, head: &Head<'_>, refusal: &Refusal) -> Answer {
    Answer {
        is_last: true,
        ..refuse(live, head, refusal)
    }
}

/// The answer to a connection that would be one too many, made without reading its request.
pub(super) fn no_room(live: &Live, limit: Limit) -> Answer {
    let mut answer = Answer::refusal(&limits::refusal(limit));
    live.cors().allow(&mut answer);
    Answer {
        is_last: true,
        ..answer
    }
}

/// The answer to a connection that speaks plain HTTP where TLS is spoken.
pub(super) fn not_secure(live: &Live) -> Answer {
    let mut answer = Answer::refusal(&Refusal::bad_request("this port speaks HTTPS"));
    live.cors().allow(&mut answer);
    Answer {
        is_last: true,
        ..answer
    }
}

fn finish(live: &Live, head: &Head<'_>, answer: Answer) -> Answer {
    if head.is_head() {
        return answer.without_body();
    }
    live.stats().bytes.sent += answer.body.len();
    answer
}
