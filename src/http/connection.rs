//! One client: accepted or turned away, its requests read and answered in order.
//!
//! Belongs here: the life of a socket. Does not: which request gets which answer (`delivery/`), limits (`limits`).

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::limits::{self, Neighbourhood, SteadyStream};
use super::live::{Connected, Live, TurnedAway, Waiting};
use super::respond;
use super::server::Report;
use super::wire::{self, Chunks};

/// How long accepting rests when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least time between two warnings about that.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How long a client that is turned away may take to read why.
const TURN_AWAY_GRACE: Duration = Duration::from_secs(1);

/// Accepts connections for ever, as many as the limits allow. An error in accepting is survived.
pub(super) async fn accept(live: &Rc<Live>, listener: TcpListener) -> Infallible {
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
        limits::tune(&stream);
        match live.admit(client) {
            Ok(connected) => {
                tokio::task::spawn_local(serve(Rc::clone(live), stream, connected));
            }
            Err(limit) => {
                if let Some(turned_away) = live.turn_away(limits::MAX_TURNING_AWAY) {
                    let answer = wire::unasked(&respond::no_room(live, limit));
                    tokio::task::spawn_local(turn_away(stream, answer, turned_away));
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

async fn serve(live: Rc<Live>, stream: TcpStream, _connected: Connected) {
    let mut stopping = live.stopping();
    let waiting = Waiting::default();
    let service = service_fn(|request| answer(&live, &waiting, request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // Runs while a request head is awaited or read, so it ends idle connections too; not while one is parked.
            .header_read_timeout(limits::HEADER_READ_TIMEOUT)
            .max_headers(limits::MOST_HEADERS_READ)
            .max_buf_size(limits::MOST_HEADER_BYTES_READ)
            .serve_connection(
                TokioIo::new(SteadyStream::new(stream, limits::PROGRESS_PERIOD)),
                service
            )
    );
    // What goes wrong here is the client's affair: it went away, sent garbage (hyper has answered that) or stalled.
    tokio::select! {
        end = connection.as_mut() => return live.count_end(end),
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    live.count_end(connection.await);
}

async fn answer(
    live: &Live,
    waiting: &Waiting,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Chunks>, Infallible> {
    live.stats().clients.requests += 1;
    #[cfg(test)]
    assert_ne!(request.uri().query(), Some("panic-for-test"), "asked to");
    let head = wire::head(&request);
    let answer = match limits::check(&request) {
        Ok(()) => respond::answer(live, &head, waiting).await,
        // What follows on this connection may be a body: it cannot be told from a request.
        Err(refusal) => {
            live.count_over(limits::limit_of(&refusal));
            respond::refuse_and_close(live, &head, &refusal)
        }
    };
    Ok(wire::response(answer, request.version()))
}

/// Says that there is no room, then listens a moment: closing with a request unread would reset the connection before
/// the client has the answer.
async fn turn_away(stream: TcpStream, answer: Vec<u8>, _turned_away: TurnedAway) {
    let exchange = async {
        let mut rest = &answer[..];
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        SockRef::from(&stream).shutdown(std::net::Shutdown::Write)?;
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
    };
    let _ = timeout(TURN_AWAY_GRACE, exchange).await;
}
