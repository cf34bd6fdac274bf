//! One client: accepted or turned away, its handshake made, its requests read and answered.
//!
//! Belongs here: the life of a socket. Does not: which request gets which answer (`delivery/`), limits (`limits`), what
//! HTTP/2 asks for beyond this (`http2`).

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::http2;
use super::limits::{self, Neighbourhood};
use super::live::{Connected, Live, TurnedAway, Waiting};
use super::respond;
use super::server::Report;
use super::steady::{self, SteadyStream};
use super::tls;
use super::wire::{self, Chunks};
use crate::delivery::stats::Limit;

/// How long accepting rests when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least time between two warnings about that.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How long a client that is turned away may take for its handshake and its request, and to read why: some round trips on a
/// poor line. Only so many are told at a time ([`limits::MAX_TURNING_AWAY`]).
const TURN_AWAY_GRACE: Duration = Duration::from_secs(5);

/// How the bytes of a plain HTTP request may begin: with a method.
const METHOD_LETTERS: std::ops::RangeInclusive<u8> = b'A'..=b'Z';

/// Accepts connections for ever, as many as the limits allow. An error in accepting is survived. With `tls` clients have to
/// begin with a handshake.
pub(super) async fn accept(
    live: &Rc<Live>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) -> Infallible {
    let mut last_warning: Option<Instant> = None;
    loop {
        let (stream, client) = match listener.accept().await {
            Ok((stream, address)) => (stream, Neighbourhood::of(address.ip())),
            Err(error) if is_of_one_client(&error) => continue,
            Err(error) => {
                let now = Instant::now();
                if last_warning.is_none_or(|last| now - last >= ACCEPT_WARNING_INTERVAL) {
                    last_warning = Some(now);
                    live.report(Report::Warning(format!(
                        "cannot accept HTTP connections: {error}"
                    )));
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        steady::tune(&stream);
        match live.admit(client) {
            Ok(connected) => {
                tokio::task::spawn_local(serve(Rc::clone(live), stream, tls.clone(), connected));
            }
            Err(limit) => {
                if let Some(turned_away) = live.turn_away(limits::MAX_TURNING_AWAY) {
                    let live = Rc::clone(live);
                    tokio::task::spawn_local(turn_away(
                        live,
                        stream,
                        tls.clone(),
                        limit,
                        turned_away,
                    ));
                }
            }
        }
    }
}

/// The client hung up before it was accepted; the listener is well.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn serve(live: Rc<Live>, stream: TcpStream, tls: Option<TlsAcceptor>, _connected: Connected) {
    if let Some(tls) = tls {
        // In a box: what TLS and HTTP/2 keep would otherwise be set aside for each plain connection as well, and
        // thousands of those are parked at a time.
        return Box::pin(serve_secured(&live, stream, &tls)).await;
    }
    let waiting = Waiting::default();
    let stream = SteadyStream::new(stream, limits::PROGRESS_PERIOD);
    let presence = stream.presence();
    let is_gone = presence.end(|| waiting.is_any());
    let answer = |request| answer(&live, &waiting, request);
    serve_http1(&live, stream, is_gone, answer).await;
}

async fn serve_secured(live: &Rc<Live>, stream: TcpStream, tls: &TlsAcceptor) {
    let mut stopping = live.stopping();
    let mut stream = tokio::select! {
        secured = timeout(limits::HANDSHAKE_TIMEOUT, shake_hands(stream, tls)) => match secured {
            Ok(Ok(Secured::Yes(stream))) => stream,
            Ok(Ok(Secured::No(stream))) => {
                let answer = wire::unasked(&respond::not_secure(live));
                let _ = timeout(TURN_AWAY_GRACE, say(&stream, &answer)).await;
                return;
            }
            // rustls has told the client what is wrong.
            Ok(Err(_)) => return,
            Err(_) => return live.count_over(Some(Limit::Handshake)),
        },
        _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
    };
    if speaks_http2(&mut stream) {
        let waiting = Rc::new(Waiting::default());
        http2::serve(live, stream, |request| {
            let (live, waiting) = (Rc::clone(live), Rc::clone(&waiting));
            async move { answer(&live, &waiting, request).await }
        })
        .await;
    } else {
        let waiting = Waiting::default();
        let presence = stream.get_ref().0.presence();
        let is_gone = presence.end(|| waiting.is_any());
        let answer = |request| answer(live, &waiting, request);
        serve_http1(live, stream, is_gone, answer).await;
    }
}

/// Answers requests one after the other until the connection ends, or `is_gone` resolves.
async fn serve_http1<I, A, F>(live: &Live, stream: I, is_gone: impl Future<Output = ()>, answer: A)
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Fn(hyper::Request<Incoming>) -> F,
    F: Future<Output = hyper::Response<Chunks>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // Runs while a request head is awaited or read, so it ends idle connections too; not while one is parked.
            .header_read_timeout(limits::HEADER_READ_TIMEOUT)
            .max_headers(limits::MOST_HEADERS_READ)
            .max_buf_size(limits::MOST_HEADER_BYTES_READ)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut stopping = live.stopping();
    // What goes wrong here is the client's affair: it went away, sent garbage (hyper has answered that) or stalled.
    tokio::select! {
        end = connection.as_mut() => return live.count_end(end),
        () = is_gone => return,
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    live.count_end(connection.await);
}

/// What came of a connection to the TLS port.
enum Secured {
    Yes(Box<TlsStream<SteadyStream>>),
    /// The client speaks plain HTTP.
    No(TcpStream),
}

async fn shake_hands(stream: TcpStream, tls: &TlsAcceptor) -> io::Result<Secured> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && METHOD_LETTERS.contains(&first[0]) {
        return Ok(Secured::No(stream));
    }
    let stream = SteadyStream::new(stream, limits::PROGRESS_PERIOD);
    let stream = tls.accept(stream).await?;
    Ok(Secured::Yes(Box::new(stream)))
}

/// Whether HTTP/2 was chosen in the handshake (RFC 9113 3.2); a socket that carries it is tuned for that.
fn speaks_http2(stream: &mut TlsStream<SteadyStream>) -> bool {
    let (socket, session) = stream.get_mut();
    let speaks_http2 = session.alpn_protocol() == Some(tls::HTTP2);
    if speaks_http2 {
        socket.carry_streams();
    }
    speaks_http2
}

async fn answer(
    live: &Live,
    waiting: &Waiting,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Chunks> {
    live.stats().clients.requests += 1;
    #[cfg(test)]
    assert_ne!(request.uri().query(), Some("panic-for-test"), "asked to");
    let version = request.version();
    let checked = limits::check(&request);
    let kept = wire::head(&request).keep();
    drop(request);
    let head = kept.head();
    let answer = match checked {
        Ok(()) => respond::answer(live, &head, waiting).await,
        // What follows on this connection may be a body: it cannot be told from a request.
        Err((refusal, limit)) => {
            live.count_over(limit);
            respond::refuse_and_close(live, &head, &refusal)
        }
    };
    wire::response(answer, version)
}

/// Says that there is no room, over TLS if need be.
async fn turn_away(
    live: Rc<Live>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    limit: Limit,
    _turned_away: TurnedAway,
) {
    let exchange = async {
        let Some(tls) = tls else {
            // Which page asks has to be read where that decides whether it may read the answer.
            if live.cors().depends_on_origin() {
                let stream = SteadyStream::new(stream, limits::PROGRESS_PERIOD);
                let answer = |request| ready(full(&live, limit, &request));
                serve_http1(&live, stream, pending(), answer).await;
                return Ok(());
            }
            return say(
                &stream,
                &wire::unasked(&respond::no_room(&live, limit, None)),
            )
            .await;
        };
        let Secured::Yes(mut stream) = shake_hands(stream, &tls).await? else {
            return Ok(());
        };
        if speaks_http2(&mut stream) {
            http2::serve(&live, stream, |request| ready(full(&live, limit, &request))).await;
        } else {
            let answer = |request| ready(full(&live, limit, &request));
            serve_http1(&live, stream, pending(), answer).await;
        }
        Ok(())
    };
    let _ = timeout(TURN_AWAY_GRACE, exchange).await;
}

fn full(live: &Live, limit: Limit, request: &hyper::Request<Incoming>) -> hyper::Response<Chunks> {
    let head = wire::head(request);
    let answer = respond::no_room(live, limit, head.origin);
    let answer = if head.is_head() {
        answer.without_body()
    } else {
        answer
    };
    wire::response(answer, request.version())
}

/// Writes an answer to a request that is not read, then listens a moment: closing with something unread would reset the
/// connection before the client has the answer.
async fn say(stream: &TcpStream, answer: &[u8]) -> io::Result<()> {
    let mut rest = answer;
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
    let mut ignored = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut ignored) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
