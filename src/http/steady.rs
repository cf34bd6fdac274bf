//! A socket that does not wait for a client for ever.
//!
//! Belongs here: what is asked of the kernel for it, who takes too little of what is written or sends too much, who has gone.
//! Does not: how much that is (`limits`), what is said on it (`connection`).

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

#[cfg(target_os = "linux")]
use super::limits::{MAX_UNSENT_BYTES, UNACKNOWLEDGED_TIMEOUT};
use super::limits::{MIN_PROGRESS_BYTES, MOST_STREAM_BYTES_READ, PRESENCE_INTERVAL};

/// Sets the options of an accepted socket. An option the system does not have is no reason to turn a client away.
pub(super) fn tune(stream: &TcpStream) {
    // Rule HT-12: a released reload is one small write that must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT));
        let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    }
}

/// A socket that gives up on a client which takes its bytes too slowly, or not at all, so that it cannot hold parts in
/// memory for ever.
pub(super) struct SteadyStream {
    stream: Rc<TcpStream>,
    period: Duration,
    /// Set from the first write the kernel had no room for until everything is written.
    backlog: Option<Backlog>,
    /// What was read in the current period, where that is limited.
    intake: Option<Intake>,
}

struct Intake {
    since: Instant,
    bytes: usize,
    /// Bytes that went the other way.
    written: usize,
}

impl Intake {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
            written: 0,
        }
    }
}

struct Backlog {
    /// The end of the current period.
    deadline: Pin<Box<Sleep>>,
    /// Bytes taken in the current period.
    taken: usize,
}

impl SteadyStream {
    /// `period`: [`limits::PROGRESS_PERIOD`](super::limits::PROGRESS_PERIOD), but in tests.
    pub(super) fn new(stream: TcpStream, period: Duration) -> Self {
        Self {
            stream: Rc::new(stream),
            period,
            backlog: None,
            intake: None,
        }
    }

    /// Looks at what comes as well: a client of several streams has more ways to keep the server busy.
    pub(super) fn carry_streams(&mut self) {
        self.intake = Some(Intake::begin());
    }

    fn note_read(&mut self, count: usize) -> io::Result<()> {
        let Some(intake) = &mut self.intake else {
            return Ok(());
        };
        intake.bytes += count;
        if intake.bytes > MOST_STREAM_BYTES_READ + intake.written / 100 {
            if intake.since.elapsed() < self.period {
                return Err(io::Error::new(
                    io::ErrorKind::QuotaExceeded,
                    "the client sends too much",
                ));
            }
            *intake = Intake::begin();
        }
        Ok(())
    }

    /// Looks after the client while nothing is read from it.
    pub(super) fn presence(&self) -> Presence {
        Presence(Rc::clone(&self.stream))
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            if let Some(backlog) = &mut self.backlog {
                backlog.taken += count;
            }
            if let Some(intake) = &mut self.intake {
                intake.written += count;
            }
        }
        if written.is_ready() {
            return written;
        }
        let backlog = self.backlog.get_or_insert_with(|| Backlog {
            deadline: Box::pin(sleep(self.period)),
            taken: 0,
        });
        loop {
            ready!(backlog.deadline.as_mut().poll(cx));
            if backlog.taken < MIN_PROGRESS_BYTES {
                // A reset when it is closed: else the kernel would go on handing out what it holds, for hours.
                let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes its bytes too slowly",
                )));
            }
            *backlog = Backlog {
                deadline: Box::pin(sleep(self.period)),
                taken: 0,
            };
        }
    }
}

impl AsyncRead for SteadyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.and_then(|count| self.note_read(count))),
            }
        }
    }
}

impl AsyncWrite for SteadyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = write_when_ready(&self.stream, cx, |stream| stream.try_write(bytes));
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |stream: &TcpStream| stream.try_write_vectored(slices);
        let written = write_when_ready(&self.stream, cx, write);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only called once everything was written.
        self.backlog = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}

fn write_when_ready(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

/// Whether the client of a connection is still there.
///
/// hyper listens for its leaving while a request is parked, but not when it holds bytes of the next one already: such a
/// client would keep its place until the deadline, and its socket costs it nothing.
pub(super) struct Presence(Rc<TcpStream>);

impl Presence {
    /// Resolves when the client has closed its side, if that is found out while something `is_waiting` for it.
    pub(super) async fn end(&self, is_waiting: impl Fn() -> bool) {
        loop {
            sleep(PRESENCE_INTERVAL).await;
            if is_waiting() && self.is_closed() {
                return;
            }
        }
    }

    fn is_closed(&self) -> bool {
        let ready = pin!(self.0.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::net::TcpListener;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work)
    }

    /// A client and the server's side of its connection.
    async fn connect() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[test]
    fn the_kernel_gives_up_on_who_acknowledges_nothing() {
        block_on(async {
            let (_client, accepted) = connect().await;
            tune(&accepted);
            let socket = SockRef::from(&accepted);
            assert!(socket.tcp_nodelay().unwrap());
            #[cfg(target_os = "linux")]
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                Some(UNACKNOWLEDGED_TIMEOUT)
            );
        });
    }

    /// Writes 64 MB, more than kernels queue.
    async fn write(accepted: TcpStream) -> io::Result<()> {
        let mut stream = SteadyStream::new(accepted, Duration::from_millis(50));
        let chunk = vec![0; 1 << 20];
        let mut left = 64 * chunk.len();
        while left > 0 {
            let wanted = &chunk[..chunk.len().min(left)];
            left -= poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, wanted)).await?;
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await
    }

    /// Reads so many bytes at a time until the connection ends in whatever way.
    async fn read(client: &TcpStream, bytes: usize) -> io::Result<()> {
        let mut buffer = vec![0; bytes];
        loop {
            client.readable().await.unwrap();
            match client.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => tokio::task::yield_now().await,
            }
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        block_on(async {
            let (client, accepted) = connect().await;
            let error = write(accepted).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            // And with it what the kernel still holds for it, which could take it hours.
            let end = read(&client, 1 << 20).await;
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }

    /// The kernels between would take megabytes at once, and then for a long time nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_client_that_is_slow_and_steady_is_served() {
        const PERIOD: Duration = Duration::from_secs(2);
        const BYTES: usize = 24 << 20;
        block_on(async {
            let (client, accepted) = connect().await;
            tune(&accepted);
            let write = async {
                let mut stream = SteadyStream::new(accepted, PERIOD);
                let chunk = vec![0; BYTES];
                let mut left = BYTES;
                while left > 0 {
                    left -=
                        poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &chunk[..left])).await?;
                }
                io::Result::Ok(())
            };
            // The kernel tells in steps of half of what may wait and a segment of loopback: four times that in a period, so
            // that a machine which stands still for a moment is not taken for the client.
            let pace = PERIOD / 32;
            let read = async {
                let mut buffer = vec![0; MIN_PROGRESS_BYTES];
                for _ in 0..80 {
                    client.readable().await.unwrap();
                    client.try_read(&mut buffer).unwrap();
                    sleep(pace).await;
                }
            };
            tokio::select! {
                end = write => panic!("cut off: {end:?}"),
                () = read => {}
            }
        });
    }

    #[test]
    fn a_client_that_takes_its_time_is_served() {
        block_on(async {
            let (client, accepted) = connect().await;
            let (written, end) = tokio::join!(write(accepted), read(&client, 256 * 1024));
            written.unwrap();
            end.unwrap();
        });
    }
}
