//! tiny_http on a socket that outlives servers.
//!
//! Belongs here: who gets what is asked at this moment, and what becomes of it when there is nobody. Does not: answering
//! (`tiny`).
//!
//! tiny_http closes no connection by itself, so those that were made in one run are there in the next. With a tiny_http for
//! each run, what they ask would be read by threads that have nobody to pass it on to.

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: how long the host's clock says a closed socket is listened to"
)]

use std::io;
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::sync::mpsc;

use super::tiny::{Held, WRITE_TIMEOUT, Writers};

/// How long requests are still refused, and not just left, once the socket is closed: those that were on their way.
const LINGER: Duration = Duration::from_secs(1);

/// A socket, and the tiny_http that reads from it once somebody answers. Dropping it closes it.
#[derive(Debug)]
pub struct TinySocket {
    listener: TcpListener,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// `None` before anybody answered, and after accepting has failed.
    running: Option<Arc<tiny_http::Server>>,
    /// Who answers.
    answering: Option<mpsc::UnboundedSender<io::Result<Held>>>,
    is_closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// What is asked on a socket from now on, until somebody else answers there.
pub(super) struct Requests {
    received: mpsc::UnboundedReceiver<io::Result<Held>>,
    /// Open as long as somebody answers.
    _socket: Arc<TinySocket>,
}

impl Requests {
    /// The next one; an error when no connections are accepted any more. `None` once somebody else answers.
    pub(super) async fn next(&mut self) -> Option<io::Result<Held>> {
        self.received.recv().await
    }
}

impl TinySocket {
    /// Nothing is accepted before somebody answers.
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            state: Arc::default(),
        }
    }

    /// Where it listens.
    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// From now on the caller answers, also on connections that were there before; whoever did so far answers what it has.
    pub(super) fn take_over(self: &Arc<Self>) -> io::Result<Requests> {
        let (answering, received) = mpsc::unbounded_channel();
        let mut state = lock(&self.state);
        if state.running.is_none() {
            state.running = Some(self.start()?);
        }
        state.answering = Some(answering);
        Ok(Requests {
            received,
            _socket: Arc::clone(self),
        })
    }

    fn start(&self) -> io::Result<Arc<tiny_http::Server>> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(false)?;
        let socket = SockRef::from(&listener);
        // Accepted sockets have these from the one that listens.
        socket.set_tcp_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let writers = Writers::start()?;
        std::thread::Builder::new()
            .name("llhls-receive".to_owned())
            .spawn({
                let (server, state) = (Arc::clone(&server), Arc::clone(&self.state));
                move || {
                    receive(&server, &state, &writers);
                    drop(writers);
                    linger(&server);
                }
            })?;
        Ok(server)
    }
}

impl Drop for TinySocket {
    fn drop(&mut self) {
        let running = {
            let mut state = lock(&self.state);
            state.is_closed = true;
            state.running.take()
        };
        // Linux only; elsewhere accepting ends with the thread that receives.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(running) = running {
            running.unblock();
        }
    }
}

/// Passes requests on until the socket is closed, or accepting has failed, which is tiny_http's end.
fn receive(server: &tiny_http::Server, state: &Mutex<State>, writers: &Writers) {
    loop {
        let received = server.recv().map(|request| writers.hold(request));
        let has_ended = received.is_err();
        let answering = {
            let mut state = lock(state);
            if has_ended {
                state.running = None;
            }
            // That a socket was closed is no failure of its own to tell of.
            state
                .answering
                .clone()
                .filter(|_| !(has_ended && state.is_closed))
        };
        if let Some(answering) = answering {
            // What nobody takes is refused by being dropped.
            let _ = answering.send(received);
        }
        if has_ended {
            return;
        }
    }
}

/// Refuses what was on its way when the socket was closed.
fn linger(server: &tiny_http::Server) {
    let end = Instant::now() + LINGER;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Ok(Some(request)) = server.recv_timeout(left) {
            super::tiny::refuse_late(request);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
