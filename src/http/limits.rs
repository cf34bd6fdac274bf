//! What one client may take: time, headers, memory, descriptors.
//!
//! Belongs here: limits, and what is held against them as a whole. Does not: the pace of one socket (`steady`), limits the
//! protocol sets, such as how long a reload is held (`delivery/decision`).

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use hyper::{Request, Version};

use crate::delivery::Refusal;
use crate::delivery::stats::Limit;

/// From the end of one answer, or the start of the connection, to the end of the next request's head.
pub(super) const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Header lines of a request. Cookies are one, however many lines a browser makes of them over HTTP/2 (RFC 9113 8.2.3).
const MAX_HEADERS: usize = 128;

/// Bytes of a request's target, names and values together.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Header lines hyper reads. More than are allowed, so that this server refuses most of what is too much, with a reason and
/// CORS (rule HT-08): hyper's own refusals have neither.
pub(super) const MOST_HEADERS_READ: usize = 256;

/// Bytes of a head hyper reads; see [`MOST_HEADERS_READ`].
pub(super) const MOST_HEADER_BYTES_READ: usize = 64 * 1024;

/// Connections that are being told at one time that there is no room; further ones are closed without a word.
pub(super) const MAX_TURNING_AWAY: u32 = 64;

/// Requests that may wait at once on one connection. Over HTTP/1.1 it is one; over HTTP/2 a player has a reload and a hint
/// for each rendition it plays, and a proxy those of many viewers.
const MAX_PARKED_PER_CONNECTION: u32 = 32;

/// Of those, so many are nobody else's to take: two renditions, reload and hint.
const PROMISED_PARKED: u32 = 4;

/// How long sent bytes may go without an acknowledgement before the kernel gives the connection up.
pub(super) const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(20);

/// A client that has bytes waiting for it must take [`MIN_PROGRESS_BYTES`] in this time.
pub(super) const PROGRESS_PERIOD: Duration = Duration::from_secs(10);

/// How often it is looked whether a client that waits is still there.
pub(super) const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);

/// 13 kbit/s over [`PROGRESS_PERIOD`]: nobody watches at that rate.
pub(super) const MIN_PROGRESS_BYTES: usize = 16 * 1024;

/// From a connection to the TLS port to the end of its handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams a client may have open on one HTTP/2 connection, each with a request that may be parked. RFC 9113 6.5.2 wants no
/// fewer.
pub(super) const MAX_STREAMS: u32 = 100;

/// Header lines of a request over HTTP/2 as RFC 9113 6.5.2 counts them; h2 answers 431 to more. Room for what is refused
/// with a reason; see [`MOST_HEADERS_READ`].
pub(super) const MOST_HEADER_LIST_BYTES: u32 = 64 * 1024;

/// Streams reset before they were looked at; with more the connection ends (rapid reset, CVE-2023-44487).
pub(super) const MAX_PENDING_RESETS: usize = 20;

/// Streams reset because of what the client did wrong; with more the connection ends (CVE-2025-8671).
pub(super) const MAX_LOCAL_RESETS: usize = 100;

/// Bytes of bodies a client may send unasked over HTTP/2, where requests have none.
pub(super) const RECEIVE_WINDOW: u32 = 64 * 1024;

/// How often an HTTP/2 client is asked whether it is still there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may take to answer that.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP/2 connection without requests is closed after so many [`PROGRESS_PERIOD`]s.
pub(super) const IDLE_PERIODS: u32 = 3;

/// How long a client may take to go after GOAWAY.
pub(super) const GOAWAY_GRACE: Duration = Duration::from_secs(30);

/// Bytes a client may send in [`PROGRESS_PERIOD`] on an HTTP/2 connection, besides a hundredth of what it gets (window updates
/// of small windows are a five-hundredth). A viewer sends a hundredth of it; h2 0.4 counts no SETTINGS, PING, PRIORITY or
/// empty frames, and answers some.
pub(super) const MOST_STREAM_BYTES_READ: usize = 1 << 20;

/// Bytes the kernel may hold unsent for a connection. With more, a playlist over HTTP/2 would queue behind the segment that
/// another stream downloads; and who reads slowly, but enough, would make no progress to be seen for longer than
/// [`PROGRESS_PERIOD`], because there is room for more only once a third of what is queued has gone.
#[cfg(target_os = "linux")]
pub(super) const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// Connections served when nothing says how many descriptors there are.
const MAX_CONNECTIONS_WITHOUT_LIMIT: u32 = 65_536;

/// Where a client is: its address, or of IPv6 its /64, which is what one customer has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Neighbourhood(IpAddr);

impl Neighbourhood {
    /// Where `address` is; one of IPv4 in IPv6's clothes is one of IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address => address,
        })
    }
}

/// How much a server takes on; fixed while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    max_connections: u32,
    max_connections_per_address: u32,
    /// A reverse proxy on this host is all of its viewers; so loopback is limited only when somebody says so.
    spares_loopback: bool,
    max_parked: u32,
}

impl Limits {
    /// `None` where nobody said how many.
    pub(super) fn new(
        max_connections_configured: Option<u32>,
        per_address_configured: Option<u32>,
        max_parked_configured: Option<u32>,
    ) -> Self {
        let max_connections = max_connections(max_connections_configured);
        Self {
            max_connections,
            max_connections_per_address: per_address_configured
                .unwrap_or(max_connections / 2)
                .max(1),
            spares_loopback: per_address_configured.is_none(),
            // Half of it is what every connection is promised.
            max_parked: max_parked_configured
                .unwrap_or(max_connections.saturating_mul(2 * PROMISED_PARKED)),
        }
    }

    /// Whether one more request of a connection may wait, beside `on_connection` of the same, `parked` of all, and `extra` that
    /// are more than their connections are promised; says whether this is one of the latter.
    pub(super) fn check_parking(
        self,
        on_connection: u32,
        extra: u32,
        parked: u32,
    ) -> Result<bool, Limit> {
        if parked >= self.max_parked {
            return Err(Limit::Parked);
        }
        let is_extra = on_connection >= PROMISED_PARKED;
        if is_extra && (on_connection >= MAX_PARKED_PER_CONNECTION || extra >= self.max_parked / 2)
        {
            return Err(Limit::ParkedPerConnection);
        }
        Ok(is_extra)
    }

    /// Whether one more fits beside those that are open from there and from everywhere; else what it is over.
    pub(super) fn check_connection(
        self,
        client: Neighbourhood,
        open_from_there: u32,
        open: u32,
    ) -> Result<(), Limit> {
        if open >= self.max_connections {
            return Err(Limit::Connections);
        }
        let is_spared = self.spares_loopback && client.0.is_loopback();
        if !is_spared && open_from_there >= self.max_connections_per_address {
            return Err(Limit::ConnectionsPerAddress);
        }
        Ok(())
    }
}

/// What a client is told that went over a limit.
pub(super) fn refusal(limit: Limit) -> Refusal {
    let (status, reason, seconds) = match limit {
        Limit::ConnectionsPerAddress => (429, "too many connections from this address", 2),
        Limit::ParkedPerConnection => (429, "too many requests of this connection wait already", 1),
        Limit::Parked => (503, "too many requests wait already", 1),
        _ => (503, "too many connections", 2),
    };
    Refusal {
        retry_after: Some(seconds),
        is_last: true,
        ..Refusal::new(status, reason)
    }
}

/// The connection cap: what was asked for, or three quarters of the soft descriptor limit. The rest is for the host
/// process, which has files and sockets of its own.
fn max_connections(configured: Option<u32>) -> u32 {
    let limit = configured.unwrap_or_else(|| {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let share = descriptors.map_or(u64::MAX, |count| count / 4 * 3);
        u32::try_from(share).map_or(MAX_CONNECTIONS_WITHOUT_LIMIT, |share| {
            share.min(MAX_CONNECTIONS_WITHOUT_LIMIT)
        })
    });
    limit.max(1)
}

/// The limit that ended a connection, if one did.
pub(super) fn limit_of_end(error: &hyper::Error) -> Option<Limit> {
    if error.is_timeout() {
        return Some(Limit::RequestTime);
    }
    if error.is_parse_too_large() {
        return Some(Limit::Head);
    }
    let cause = error.source()?;
    let http2 = cause.downcast_ref::<h2::Error>();
    if http2.is_some_and(|error| error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)) {
        return Some(Limit::Http2);
    }
    let cause = http2
        .and_then(h2::Error::get_io)
        .or_else(|| cause.downcast_ref::<io::Error>())?;
    match cause.kind() {
        io::ErrorKind::TimedOut => Some(Limit::Progress),
        io::ErrorKind::QuotaExceeded => Some(Limit::Http2),
        _ => None,
    }
}

/// What hyper lets through and this server does not: too large a head, no Host (RFC 9112 3.2), or a body. Names the limit if it
/// is one.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), (Refusal, Option<Limit>)> {
    let headers = request.headers();
    let target = request.uri().path_and_query();
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum::<usize>()
        + target.map_or(0, |target| target.as_str().len());
    let crumbs = headers.get_all(COOKIE).iter().count();
    if headers.len() - crumbs.saturating_sub(1) > MAX_HEADERS || size > MAX_HEADER_BYTES {
        let refusal = Refusal::new(431, "the head of the request is too large");
        return Err((refusal, Some(Limit::Head)));
    }
    let hosts = headers.get_all(HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts == 0 {
        return Err((Refusal::bad_request("no Host header"), None));
    }
    if hosts > 1 {
        return Err((Refusal::bad_request("more than one Host header"), None));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let refusal = Refusal::bad_request("requests here have no body");
        return Err((refusal, Some(Limit::Body)));
    }
    // hyper has refused lengths that are no number, or several that differ.
    if headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .any(|length| length.as_bytes().iter().any(|byte| *byte != b'0'))
    {
        let refusal = Refusal::new(413, "requests here have no body");
        return Err((refusal, Some(Limit::Body)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_one_line_however_many_a_browser_makes_of_them() {
        let head = |name: &'static str, lines: usize| {
            let mut request = Request::builder().header(HOST, "h");
            for _ in 0..lines {
                request = request.header(name, "a=b");
            }
            check(&request.body(()).unwrap())
        };
        assert!(head("cookie", 300).is_ok());
        assert!(head("x-other", MAX_HEADERS - 1).is_ok());
        for (name, lines) in [("x-other", MAX_HEADERS), ("cookie", 3000)] {
            let (refusal, limit) = head(name, lines).unwrap_err();
            assert_eq!((refusal.status, limit), (431, Some(Limit::Head)), "{name}");
        }
    }

    #[test]
    fn one_address_cannot_take_all_the_places() {
        let client = |text: &str| Neighbourhood::of(text.parse().unwrap());
        assert_eq!(client("::ffff:192.0.2.7"), client("192.0.2.7"));
        assert_eq!(client("2001:db8::1:2:3:4"), client("2001:db8::ffff:0:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_ne!(client("192.0.2.7"), client("192.0.2.8"));
        let automatic = Limits::new(Some(10), None, None);
        for (client, open_from_there, open, expected) in [
            (client("192.0.2.7"), 4, 9, Ok(())),
            (client("192.0.2.7"), 5, 9, Err(Limit::ConnectionsPerAddress)),
            (client("127.0.0.1"), 9, 9, Ok(())),
            (client("::1"), 9, 9, Ok(())),
            (client("::ffff:127.0.0.1"), 9, 9, Ok(())),
            (client("127.0.0.1"), 0, 10, Err(Limit::Connections)),
        ] {
            let found = automatic.check_connection(client, open_from_there, open);
            assert_eq!(found, expected, "{client:?}");
        }
        let strict = Limits::new(Some(10), Some(2), None);
        assert_eq!(
            strict.check_connection(client("::1"), 2, 2),
            Err(Limit::ConnectionsPerAddress)
        );
        let alone = Limits::new(Some(1), None, None);
        assert_eq!(alone.check_connection(client("192.0.2.7"), 0, 0), Ok(()));
    }

    #[test]
    fn whoever_waits_for_little_may_always_wait() {
        let limits = Limits::new(Some(10), None, None);
        for (on_connection, extra, parked, expected) in [
            (0, 0, 0, Ok(false)),
            (3, 40, 79, Ok(false)),
            (4, 39, 60, Ok(true)),
            (4, 40, 60, Err(Limit::ParkedPerConnection)),
            (31, 30, 60, Ok(true)),
            (32, 30, 60, Err(Limit::ParkedPerConnection)),
            (0, 0, 80, Err(Limit::Parked)),
        ] {
            let found = limits.check_parking(on_connection, extra, parked);
            assert_eq!(found, expected, "{on_connection} {extra} {parked}");
        }
        // Nine greedy ones first: the tenth has what it is promised.
        let mut waiting = [0; 10];
        let (mut extra, mut parked) = (0, 0);
        for place in (0..10).cycle().take(9 * 100).filter(|place| *place < 9) {
            if let Ok(is_extra) = limits.check_parking(waiting[place], extra, parked) {
                waiting[place] += 1;
                extra += u32::from(is_extra);
                parked += 1;
            }
        }
        for promised in 0..PROMISED_PARKED {
            assert_eq!(limits.check_parking(promised, extra, parked), Ok(false));
            parked += 1;
        }
        let few = Limits::new(Some(10), None, Some(1));
        assert_eq!(few.check_parking(0, 0, 1), Err(Limit::Parked));
    }

    #[test]
    fn the_cap_leaves_descriptors_for_others() {
        assert_eq!(max_connections(Some(7)), 7);
        assert_eq!(max_connections(Some(0)), 1);
        let automatic = u64::from(max_connections(None));
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        assert!(descriptors.is_none_or(|count| automatic < count));
    }
}
