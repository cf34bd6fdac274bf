//! The server as the sink sees it: bind, start, publish, stop.
//!
//! Belongs here: the thread, its runtime, the road of a publication to the origin and its end.
//! Does not: connections (`connection`), what the thread shares among them (`live`).

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: reads the clocks that everything behind it is told"
)]

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{SyncSender, sync_channel},
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use super::connection;
use super::live::Live;
#[cfg(feature = "tiny-http")]
use super::tiny;
#[cfg(feature = "tiny-http")]
use super::tiny_socket::{Requests, TinySocket};
use super::tls::Tls;
use crate::delivery::access::AccessToken;
use crate::delivery::playlist::PlaylistStyle;
use crate::delivery::stats::Stats;
use crate::origin::Origin;
use crate::origin::event::Event;
use crate::origin::media::{Msn, Publication, RenditionSettings, RunId};
use crate::time::{Nanos, UnixTime};

/// The name of the thread, as debuggers and `top -H` show it.
const THREAD_NAME: &str = "llhls-http";

/// Connections the kernel queues before they are accepted: an audience that arrives at once.
const BACKLOG: i32 = 1024;

/// Publications applied before viewers have their turn, however fast the sink makes them.
const MAX_BATCH: usize = 32;

/// How long answers may still be on their way once the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// What a server needs to know; fixed while it runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The folder of this run's media.
    pub run: RunId,
    /// What is presented, the main rendition first; at least one.
    pub renditions: Vec<RenditionSettings>,
    /// The entry URL is `/<playlist_name>`.
    pub playlist_name: String,
    /// Absolute base put before media URIs; `None` leaves them relative.
    pub public_url: Option<String>,
    /// Whose pages may read: `*`, origins between commas, or empty for none.
    pub cors_origin: String,
    /// What Host may be: names between commas, with or without ports, or empty for anything.
    pub allowed_hosts: String,
    /// What whoever may watch knows; `None` for everybody.
    pub access_token: Option<AccessToken>,
    /// Query parameters that go on to child URIs: names between commas.
    pub carry_query: String,
    /// Connections served at once; `None` follows the soft descriptor limit.
    pub max_connections: Option<u32>,
    /// Connections served at once from one address; `None`: half of all, and no limit on loopback.
    pub max_connections_per_address: Option<u32>,
    /// Requests that wait at once; `None`: eight for each connection there may be.
    pub max_parked: Option<u32>,
    /// Complete segments a playlist lists.
    pub playlist_length: u32,
    /// Complete segments kept.
    pub max_files: u32,
    /// PART-HOLD-BACK as a multiple of PART-TARGET.
    pub part_hold_back: f64,
    /// Where players shall begin, in PART-TARGETs before the end of the playlist; zero leaves it to them.
    pub start_offset: f64,
    /// The presentation to go on with, of the same run and renditions; `None` begins one.
    pub going_on: Option<Origin>,
    /// Parts are published a segment at a time: PART-HOLD-BACK follows from TARGETDURATION.
    pub comes_by_segment: bool,
}

impl ServerConfig {
    /// One that everybody may read: an ordinary playlist at `/live.m3u8`, relative URIs, as many clients as there is room for.
    pub fn new(run: RunId, renditions: Vec<RenditionSettings>) -> Self {
        Self {
            run,
            renditions,
            playlist_name: "live.m3u8".to_owned(),
            public_url: None,
            cors_origin: "*".to_owned(),
            allowed_hosts: String::new(),
            access_token: None,
            carry_query: String::new(),
            max_connections: None,
            max_connections_per_address: None,
            max_parked: None,
            playlist_length: 6,
            max_files: 20,
            part_hold_back: PlaylistStyle::USUAL.part_hold_back,
            start_offset: PlaylistStyle::USUAL.start_offset,
            going_on: None,
            comes_by_segment: PlaylistStyle::USUAL.comes_by_segment,
        }
    }
}

/// What the server tells the sink, from the thread `llhls-http`.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A publication was applied.
    Event(Event),
    /// The thread is dead and nobody is served any more.
    Failed(String),
    /// Something is wrong and the server goes on.
    Warning(String),
    /// The certificate files have changed and are used from now on.
    Renewed {
        /// See [`Tls::fingerprint`].
        fingerprint: String,
    },
}

/// Why a listener could not be had. Its text names host and port.
#[derive(Debug)]
pub struct BindError {
    host: String,
    port: u16,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, source } = self;
        write!(f, "cannot listen on host {host}, port {port}: {source}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Listens on the first address `host` stands for that can be had. `host` is a name or an address, IPv6 with or
/// without brackets; port 0 picks a free one.
pub fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    let failed = |source| BindError {
        host: host.to_owned(),
        port,
        source,
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (bare, port).to_socket_addrs().map_err(failed)? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = error,
        }
    }
    Err(failed(last_error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A run that follows another on the same port must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What carries plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// hyper, as everything else.
    #[default]
    Hyper,
    /// tiny_http.
    #[cfg(feature = "tiny-http")]
    TinyHttp,
}

/// A socket for plain HTTP, and what carries it.
#[derive(Debug)]
pub enum PlainSocket {
    /// hyper does.
    Hyper(TcpListener),
    /// tiny_http does.
    #[cfg(feature = "tiny-http")]
    TinyHttp(Arc<TinySocket>),
}

impl PlainSocket {
    /// `listener` is from [`bind`].
    pub fn new(listener: TcpListener, engine: Engine) -> Self {
        match engine {
            Engine::Hyper => Self::Hyper(listener),
            #[cfg(feature = "tiny-http")]
            Engine::TinyHttp => Self::TinyHttp(Arc::new(TinySocket::new(listener))),
        }
    }

    /// The port it listens on; an error when the system does not say.
    pub fn port(&self) -> io::Result<u16> {
        let listener = match self {
            Self::Hyper(listener) => listener,
            #[cfg(feature = "tiny-http")]
            Self::TinyHttp(socket) => socket.listener(),
        };
        Ok(listener.local_addr()?.port())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Hyper(listener) => Self::Hyper(listener.try_clone()?),
            #[cfg(feature = "tiny-http")]
            Self::TinyHttp(socket) => Self::TinyHttp(Arc::clone(socket)),
        })
    }

    /// What comes from here on is the caller's to answer.
    fn open(self) -> io::Result<PlainSource> {
        Ok(match self {
            Self::Hyper(listener) => {
                listener.set_nonblocking(true)?;
                PlainSource::Connections(listener)
            }
            #[cfg(feature = "tiny-http")]
            Self::TinyHttp(socket) => PlainSource::Requests(socket.take_over()?),
        })
    }
}

/// What a socket for plain HTTP yields.
enum PlainSource {
    Connections(TcpListener),
    #[cfg(feature = "tiny-http")]
    Requests(Requests),
}

impl PlainSource {
    /// Serves for ever, or until it cannot listen any more.
    async fn serve(self, live: &Rc<Live>) -> io::Result<Infallible> {
        match self {
            Self::Connections(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                Ok(connection::accept(live, listener, None).await)
            }
            #[cfg(feature = "tiny-http")]
            Self::Requests(requests) => tiny::serve(live, requests).await,
        }
    }
}

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// Plain HTTP.
    pub plain: PlainSocket,
    /// HTTPS, if there is any, from [`bind`].
    pub secure: Option<(TcpListener, Arc<Tls>)>,
}

impl Listeners {
    /// The same sockets once more, for a server that follows another one or that another one follows.
    pub fn try_clone(&self) -> io::Result<Self> {
        let secure = match &self.secure {
            Some((listener, tls)) => Some((listener.try_clone()?, Arc::clone(tls))),
            None => None,
        };
        Ok(Self {
            plain: self.plain.try_clone()?,
            secure,
        })
    }
}

impl From<TcpListener> for Listeners {
    fn from(plain: TcpListener) -> Self {
        Self {
            plain: PlainSocket::new(plain, Engine::default()),
            secure: None,
        }
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    messages: mpsc::UnboundedSender<Message>,
    stats: Arc<Mutex<Stats>>,
    /// `None` once it was joined.
    thread: Mutex<Option<JoinHandle<Option<Origin>>>>,
}

enum Message {
    /// What, when it was handed over, and when it was complete if that was earlier.
    Publish(Publication, Instant, Option<UnixTime>),
    NextRun(SyncSender<Option<Msn>>),
    Stop,
    #[cfg(test)]
    Panic,
}

impl Server {
    /// Starts serving.
    ///
    /// `report` is called on the server's thread and must neither block nor call [`Server::stop`]. Fails when the
    /// config holds something no header or playlist can carry, or the system has no resources for a thread.
    pub fn start(
        listeners: impl Into<Listeners>,
        config: ServerConfig,
        report: Box<dyn Fn(Report) + Send>,
    ) -> io::Result<Self> {
        let Listeners { plain, secure } = listeners.into();
        if let Some((listener, _)) = &secure {
            listener.set_nonblocking(true)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let stats = Arc::new(Mutex::new(Stats::default()));
        let settings = super::live::LiveSettings::new(config)?;
        let (messages, inbox) = mpsc::unbounded_channel();
        let plain = plain.open()?;

        let thread = std::thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn({
                let stats = Arc::clone(&stats);
                move || {
                    let report: Rc<dyn Fn(Report)> = Rc::from(report as Box<dyn Fn(Report)>);
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        let live = Rc::new(Live::new(settings, stats, Rc::clone(&report)));
                        let tasks = tokio::task::LocalSet::new();
                        let life = run(Rc::clone(&live), plain, secure, inbox);
                        runtime.block_on(tasks.run_until(life))?;
                        Ok::<_, io::Error>(live.origin())
                    }));
                    let failure = match outcome {
                        Ok(Ok(origin)) => return Some(origin),
                        Ok(Err(error)) => format!("the HTTP server cannot listen: {error}"),
                        Err(panic) => {
                            format!("the HTTP server panicked: {}", panic_text(panic.as_ref()))
                        }
                    };
                    // A reporter that panics itself has nobody left to tell.
                    let _ = catch_unwind(AssertUnwindSafe(|| report(Report::Failed(failure))));
                    None
                }
            })?;
        Ok(Self {
            messages,
            stats,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a publication over and returns: never blocks, whatever the audience does. After the thread failed it
    /// does nothing; [`Report::Failed`] has told.
    pub fn publish(&self, publication: Publication) {
        let _ = self
            .messages
            .send(Message::Publish(publication, Instant::now(), None));
    }

    /// The same for what was complete before: `completed` is the moment that is shown.
    pub fn publish_completed(&self, publication: Publication, completed: UnixTime) {
        let _ = self.messages.send(Message::Publish(
            publication,
            Instant::now(),
            Some(completed),
        ));
    }

    /// The number the first segment of the next run will have, behind all that was handed over so far; `None` when that run
    /// begins the presentation. Waits for the server's thread.
    pub fn next_run(&self) -> Option<Msn> {
        let (answer, answered) = sync_channel(1);
        self.messages.send(Message::NextRun(answer)).ok()?;
        // Fails when the thread has failed, and that was told.
        answered.recv().ok().flatten()
    }

    /// Whether it still takes publications.
    pub fn is_alive(&self) -> bool {
        !self.messages.is_closed()
    }

    /// The figures of this moment, from any thread.
    pub fn stats(&self) -> Stats {
        self.stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Answers every parked request with 503, closes all sockets and joins the thread: about a second at most. Answers what
    /// was published, for another server to go on with; `None` when it failed or was stopped before.
    pub fn stop(&self) -> Option<Origin> {
        let _ = self.messages.send(Message::Stop);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread.take()?;
        // Panics were caught and reported inside.
        thread.join().ok().flatten()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// The life of the thread.
async fn run(
    live: Rc<Live>,
    plain: PlainSource,
    secure: Option<(TcpListener, Arc<Tls>)>,
    inbox: mpsc::UnboundedReceiver<Message>,
) -> io::Result<()> {
    let accept_plain = plain.serve(&live);
    let secure = match secure {
        Some((listener, tls)) => {
            Some((tokio::net::TcpListener::from_std(listener)?, tls.acceptor()))
        }
        None => None,
    };
    let accept_secure = async {
        match secure {
            Some((listener, acceptor)) => connection::accept(&live, listener, Some(acceptor)).await,
            None => std::future::pending().await,
        }
    };
    // All run in this one task, not in tasks of their own: a panic in one must end the thread and be reported,
    // not leave a server that has gone deaf.
    tokio::select! {
        biased;
        () = apply(&live, inbox) => {}
        end = accept_plain => match end {
            Ok(never) => match never {},
            Err(error) => return Err(error),
        },
        never = accept_secure => match never {},
    }
    live.stop();
    // Those that do not take their answer are cut off.
    let _ = tokio::time::timeout(STOP_GRACE, live.all_gone()).await;
    Ok(())
}

/// Applies publications in order until the server is to stop.
async fn apply(live: &Live, mut inbox: mpsc::UnboundedReceiver<Message>) {
    let mut events = Vec::new();
    let mut is_stopping = false;
    while !is_stopping && let Some(first) = inbox.recv().await {
        // What came together becomes visible together: a part and the end of its segment are one change.
        let mut next = Some(first);
        let mut room = MAX_BATCH;
        while let Some(message) = next {
            match message {
                Message::Publish(publication, sent, completed) => {
                    let now = completed.unwrap_or_else(|| UnixTime::from_system(SystemTime::now()));
                    let handover =
                        Nanos(i64::try_from(sent.elapsed().as_nanos()).unwrap_or(i64::MAX));
                    events.extend(live.publish(publication, now, handover));
                }
                Message::NextRun(answer) => {
                    // Whoever asked waits, so there is room.
                    let _ = answer.try_send(live.next_run());
                }
                Message::Stop => is_stopping = true,
                #[cfg(test)]
                Message::Panic => panic!("asked to"),
            }
            room -= 1;
            next = (room > 0).then(|| inbox.try_recv().ok()).flatten();
        }
        live.wake();
        // Viewers first: the waiters run before the sink is told.
        tokio::task::yield_now().await;
        for event in events.drain(..) {
            live.report(Report::Event(event));
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
impl Server {
    /// Makes the thread panic, to see that somebody notices.
    pub(super) fn panic(&self) {
        let _ = self.messages.send(Message::Panic);
    }
}
