//! HTTP/2 (RFC 9113), for clients that chose it in their TLS handshake.
//!
//! Belongs here: the life of such a connection, and what it owes its client on all its streams. Does not: which request
//! gets which answer (`connection`).
//!
//! A window that a client does not open holds up no socket, so [`SteadyStream`](super::steady::SteadyStream) cannot see it:
//! each answer is watched until its last byte has left for the socket.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::limits;
use super::live::Live;
use super::wire::Chunks;
use crate::delivery::stats::Limit;

/// Serves a connection until its client goes away, stalls or does nothing, or the server stops. `answer` never fails and
/// may take as long as a request is parked.
pub(super) async fn serve<I, A, F>(live: &Rc<Live>, io: I, answer: A)
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Chunks>> + 'static,
{
    let traffic = Rc::new(Traffic::default());
    let service = service_fn(|request| {
        let under_way = UnderWay::new(live, &traffic);
        let answer = answer(request);
        async move { Ok::<_, Infallible>(under_way.deliver(answer.await)) }
    });
    let mut connection = pin!(
        http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .keep_alive_interval(limits::PING_INTERVAL)
            .keep_alive_timeout(limits::PING_TIMEOUT)
            .max_concurrent_streams(limits::MAX_STREAMS)
            .max_header_list_size(limits::MOST_HEADER_LIST_BYTES)
            .max_pending_accept_reset_streams(limits::MAX_PENDING_RESETS)
            .max_local_error_reset_streams(limits::MAX_LOCAL_RESETS)
            // Requests have no bodies here.
            .initial_stream_window_size(limits::RECEIVE_WINDOW)
            .initial_connection_window_size(limits::RECEIVE_WINDOW)
            .serve_connection(TokioIo::new(io), service)
    );
    let mut stopping = live.stopping();
    // What goes wrong here is the client's affair. Streams under way notice when their connection is dropped.
    tokio::select! {
        end = connection.as_mut() => return live.count_end(end),
        end = traffic.end() => match end {
            End::Stalled => return live.count_over(Some(Limit::Progress)),
            End::Silent => return live.count_over(Some(Limit::RequestTime)),
            End::Idle => live.count_over(Some(Limit::RequestTime)),
        },
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    // GOAWAY; whoever is parked is answered, by the server's stopping or in time.
    connection.as_mut().graceful_shutdown();
    if let Ok(end) = timeout(limits::GOAWAY_GRACE, connection).await {
        live.count_end(end);
    }
}

/// Streams run where everything else of the server does.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F> Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}

/// Why a connection shall end.
#[derive(Debug, PartialEq)]
enum End {
    /// The client leaves an answer lying.
    Stalled,
    /// It never asked for anything.
    Silent,
    /// It asks for nothing any more.
    Idle,
}

/// What goes on on one connection.
#[derive(Default)]
struct Traffic {
    /// Requests that came so far.
    begun: Cell<u64>,
    /// Requests that are not answered yet.
    open: Cell<u32>,
    /// Answers some of which may not have been sent yet.
    deliveries: RefCell<Vec<Weak<Delivery>>>,
}

impl Traffic {
    /// Returns when the connection shall end.
    async fn end(&self) -> End {
        let mut begun_before = 0;
        let mut idle_looks = 0;
        loop {
            sleep(limits::PROGRESS_PERIOD).await;
            if self.has_stalled() {
                return End::Stalled;
            }
            let begun = self.begun.get();
            if begun == 0 {
                return End::Silent;
            }
            let is_idle = begun == begun_before
                && self.open.get() == 0
                && self.deliveries.borrow().is_empty();
            begun_before = begun;
            idle_looks = if is_idle { idle_looks + 1 } else { 0 };
            if idle_looks == limits::IDLE_PERIODS {
                return End::Idle;
            }
        }
    }

    /// Called once a [`limits::PROGRESS_PERIOD`].
    fn has_stalled(&self) -> bool {
        let mut has_stalled = false;
        self.deliveries.borrow_mut().retain(|delivery| {
            let delivery = delivery.upgrade();
            has_stalled |= delivery
                .as_ref()
                .is_some_and(|delivery| delivery.has_stalled());
            delivery.is_some()
        });
        has_stalled
    }
}

/// A request that is not answered yet; counts itself out.
struct UnderWay {
    live: Rc<Live>,
    traffic: Rc<Traffic>,
}

impl UnderWay {
    fn new(live: &Rc<Live>, traffic: &Rc<Traffic>) -> Self {
        traffic.begun.set(traffic.begun.get() + 1);
        traffic.open.set(traffic.open.get() + 1);
        Self {
            live: Rc::clone(live),
            traffic: Rc::clone(traffic),
        }
    }

    fn deliver(self, answer: Response<Chunks>) -> Response<Delivered> {
        answer.map(|chunks| {
            let size = chunks.size_hint().exact().unwrap_or(0);
            let delivery = Rc::new(Delivery::new(size));
            let watched = Rc::downgrade(&delivery);
            let mut deliveries = self.traffic.deliveries.borrow_mut();
            // What is over goes before there is twice as much: one connection can ask for very many small things.
            if deliveries.len() == deliveries.capacity() {
                deliveries.retain(|delivery| delivery.strong_count() > 0);
            }
            deliveries.push(watched);
            Delivered { chunks, delivery }
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.traffic.open.set(self.traffic.open.get() - 1);
        if std::thread::panicking() {
            self.live.count_panic();
        }
    }
}

/// How far the body of one answer has come. It lives as long as bytes of it lie anywhere: in the body, with hyper, or in
/// h2's queue.
#[derive(Debug)]
struct Delivery {
    /// Bytes that have not left for the socket.
    left: Cell<u64>,
    /// What was left at the last look.
    left_before: Cell<Option<u64>>,
}

impl Delivery {
    fn new(left: u64) -> Self {
        Self {
            left: Cell::new(left),
            left_before: Cell::new(None),
        }
    }

    fn took(&self, count: usize) {
        self.left.set(self.left.get().saturating_sub(count as u64));
    }

    /// Whether the client took too little since the last look.
    fn has_stalled(&self) -> bool {
        let left = self.left.get();
        let before = self.left_before.replace(Some(left));
        left > 0 && before.is_some_and(|before| before - left < limits::MIN_PROGRESS_BYTES as u64)
    }
}

/// A body that is watched.
struct Delivered {
    chunks: Chunks,
    delivery: Rc<Delivery>,
}

impl Body for Delivered {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let frame = Pin::new(&mut self.chunks).poll_frame(cx);
        frame.map_ok(|frame| {
            frame.map_data(|bytes| Piece {
                bytes,
                delivery: Rc::clone(&self.delivery),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.chunks.size_hint()
    }
}

/// Bytes of a watched body.
struct Piece {
    bytes: Bytes,
    delivery: Rc<Delivery>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.delivery.took(count);
    }
}
