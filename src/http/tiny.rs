//! Plain HTTP by tiny_http: the same answers, with fewer defences, for networks that are trusted.
//!
//! Belongs here: requests as tiny_http has them become what the rest knows, and answers are written. Does not: which request
//! gets which answer (`respond`), whose requests they are (`tiny_socket`).
//!
//! tiny_http reads with a thread for each connection and has no time-outs for it. A request that waits is a future like any
//! other; writing blocks, so it is done by a few threads of ours. It closes a connection only when the client wants to: an
//! answer that is to be the last one asks for that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use crossbeam_channel::{Receiver, Sender};
use hyper::Version;
use tiny_http::{Header, Response, StatusCode};
use tokio::sync::oneshot;

use super::limits::{self, Neighbourhood};
use super::live::{Connected, Live, Waiting};
use super::tiny_socket::Requests;
use super::{respond, wire};
use crate::delivery::{Answer, Head, Refusal};

/// Threads that write answers. A slow reader holds one of them up, [`WRITE_TIMEOUT`] at a time.
const WRITERS: usize = 8;

/// How long a client may take nothing of what is written to it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bodies that tiny_http reads before it hands a request over, in bytes. It skips a longer one only when the request is
/// dropped: as long as the client likes, with as much memory as the client says, or the process ends.
const MAX_BODY_READ: usize = 1024;

/// Answers requests for ever; fails when tiny_http accepts no connections any more.
pub(super) async fn serve(live: &Rc<Live>, mut requests: Requests) -> io::Result<Infallible> {
    while let Some(received) = requests.next().await {
        let request = received?;
        let client = request.client();
        match live.admit(client) {
            Ok(connected) => {
                tokio::task::spawn_local(answer(Rc::clone(live), request, connected));
            }
            Err(limit) => drop(request.respond(respond::no_room(live, limit, None))),
        }
    }
    // Somebody else answers from now on, and will stop this server.
    std::future::pending().await
}

/// Refuses what comes when there is nobody to answer any more.
pub(super) fn refuse_late(request: tiny_http::Request) {
    write_caught(Writing {
        request,
        answer: stopping(),
        _done: None,
    });
}

fn stopping() -> Answer {
    Answer {
        is_last: true,
        ..Answer::refusal(&Refusal::unavailable("the server is stopping", 1))
    }
}

/// The threads that write answers. They go with this and the last request.
pub(super) struct Writers(Sender<Writing>);

impl Writers {
    pub(super) fn start() -> io::Result<Self> {
        let (writings, to_write) = crossbeam_channel::unbounded();
        for _ in 0..WRITERS {
            let to_write = to_write.clone();
            std::thread::Builder::new()
                .name("llhls-write".to_owned())
                .spawn(move || write_all(&to_write))?;
        }
        Ok(Self(writings))
    }

    /// A request that one of them will answer.
    pub(super) fn hold(&self, request: tiny_http::Request) -> Held {
        Held {
            request: Some(request),
            writings: self.0.clone(),
        }
    }
}

/// A request that came. Whatever becomes of it, it is answered by a writer: dropping one writes to its socket, which may
/// block.
pub(super) struct Held {
    /// `None` once it was handed over.
    request: Option<tiny_http::Request>,
    writings: Sender<Writing>,
}

impl Held {
    fn client(&self) -> Neighbourhood {
        let address = self
            .request
            .as_ref()
            .and_then(|request| request.remote_addr());
        Neighbourhood::of(address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip()))
    }

    /// Hands the answer to a writer; done when it is written.
    fn respond(mut self, answer: Answer) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        self.hand_over(answer, Some(done));
        written
    }

    fn hand_over(&mut self, answer: Answer, done: Option<oneshot::Sender<()>>) {
        if let Some(request) = self.request.take() {
            let writing = Writing {
                request,
                answer,
                _done: done,
            };
            // The writers go when nobody can send any more.
            let _ = self.writings.send(writing);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.request.is_some() {
            self.hand_over(stopping(), None);
        }
    }
}

/// Answers one request. `_connected` counts it as long as it is under way: tiny_http shows no connections.
async fn answer(live: Rc<Live>, held: Held, _connected: Connected) {
    live.stats().clients.requests += 1;
    let translated = held
        .request
        .as_ref()
        .map_or_else(|| Err(Refusal::bad_request("no request")), translate);
    let answer = match &translated {
        Ok(request) => {
            let head = wire::head(request);
            match limits::check(request) {
                Ok(()) => respond::answer(&live, &head, &Waiting::default()).await,
                Err((refusal, limit)) => {
                    live.count_over(limit);
                    respond::refuse_and_close(&live, &head, &refusal)
                }
            }
        }
        Err(refusal) => respond::refuse_and_close(&live, &Head::default(), refusal),
    };
    // Fails when the writer gave up on it.
    let _ = held.respond(answer).await;
}

/// The request as everything behind this knows requests.
fn translate(request: &tiny_http::Request) -> Result<hyper::Request<()>, Refusal> {
    let version = match request.http_version() {
        tiny_http::HTTPVersion(1, 0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut translated = hyper::Request::builder()
        .method(request.method().as_str())
        .uri(request.url())
        .version(version);
    for header in request.headers() {
        translated = translated.header(header.field.as_str().as_str(), header.value.as_str());
    }
    translated
        .body(())
        .map_err(|_| Refusal::bad_request("the head of the request makes no sense"))
}

/// An answer on its way to a client.
struct Writing {
    request: tiny_http::Request,
    answer: Answer,
    /// Tells by being dropped that it was written, or will not be.
    _done: Option<oneshot::Sender<()>>,
}

/// Writes answers until nobody can send any more. It is never joined: who reads slowly would hold up a state change.
fn write_all(writings: &Receiver<Writing>) {
    for writing in writings {
        write_caught(writing);
    }
}

/// What goes wrong is the client's affair, but for a panic, after which the next one is served all the same.
fn write_caught(writing: Writing) {
    let _ = catch_unwind(AssertUnwindSafe(|| write(writing)));
}

fn write(writing: Writing) {
    let Writing {
        request,
        answer,
        _done,
    } = writing;
    let has_body = request
        .body_length()
        .is_some_and(|length| length > MAX_BODY_READ);
    if answer.is_last && !has_body {
        // tiny_http writes the header Connection itself, and lets no answer say that it closes.
        let mut out = request.into_writer();
        let _ = out
            .write_all(&wire::unasked(&answer))
            .and_then(|()| out.flush());
        return;
    }
    let length = answer.header("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Header::from_bytes(*name, value.as_bytes()).ok())
        .collect();
    let status = StatusCode(answer.status);
    let body = Chunks(answer.body.chunks.into());
    let response = Response::new(status, headers, body, length.or(Some(0)), None)
        // Players want to know how much comes.
        .with_chunked_threshold(usize::MAX);
    let ends_with_head = matches!(status.0, 204 | 304);
    if ends_with_head && !has_body {
        let _ = write_head(request, response);
    } else if has_body {
        // Dropped, the rest of the request would be waited for. So connection and thread are given up.
        std::mem::forget(request.upgrade("none", response));
    } else {
        let _ = request.respond(response);
    }
}

/// Writes an answer that ends with its head, and says nothing of a length (RFC 9110 8.6): tiny_http says that it is 0, or that
/// chunks come.
fn write_head(request: tiny_http::Request, response: Response<Chunks>) -> io::Result<()> {
    let mut head = Vec::new();
    // Without the headers of the request, which could ask for chunks.
    response.raw_print(&mut head, request.http_version().clone(), &[], true, None)?;
    let end = b"Content-Length: 0\r\n\r\n";
    if head.ends_with(end) {
        head.truncate(head.len() - end.len());
        head.extend_from_slice(b"\r\n");
    }
    let mut out = request.into_writer();
    out.write_all(&head)?;
    out.flush()
}

/// The bytes of an answer, one piece after the other.
struct Chunks(VecDeque<Bytes>);

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.0.front_mut() {
            if first.has_remaining() {
                let count = first.remaining().min(buffer.len());
                first.copy_to_slice(&mut buffer[..count]);
                return Ok(count);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}
