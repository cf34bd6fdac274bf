//! Requests no client should send, one at a time.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
};

use crate::{
    siege::{self, Siege},
    support::{PATIENCE, http::read_answer, playlist::Playlist},
};

/// What became of a connection.
#[derive(Debug)]
enum Outcome {
    /// The first answer, and whether the server closed after it.
    Answered {
        status: u16,
        has_reason: bool,
        is_closed: bool,
    },
    /// Closed or reset without a word.
    Closed,
}

pub(crate) fn attack(siege: &mut Siege) {
    for (attack, request, expected) in requests() {
        siege.face(attack, |siege| {
            let outcome = send(siege.port, &request);
            match outcome {
                Outcome::Answered {
                    status,
                    has_reason,
                    is_closed,
                } => {
                    assert!(expected.contains(&status), "{attack}: {outcome:?}");
                    let reason = if has_reason { " with a reason" } else { "" };
                    let end = if is_closed { ", closed" } else { "" };
                    format!("{status}{reason}{end}")
                }
                Outcome::Closed => {
                    assert!(expected.contains(&0), "{attack}: {outcome:?}");
                    "closed".to_owned()
                }
            }
        });
    }
    siege.face("traversal in ten encodings", traverse);
    siege.face("overflowing directives", overflow);
    siege.face("100 GETs at once, one of them parked", pipeline);
    siege.face("a head of 64 MB", |siege| {
        endless_head(siege, &[b'x'; 4096])
    });
    siege.face("200,000 header lines", |siege| {
        endless_head(siege, b"X: y\r\n".repeat(1000).as_slice())
    });
}

/// Name, bytes, and the statuses that will do; 0: closed without one.
fn requests() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let with_host = |line: &str, headers: &str| {
        format!("{line}\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
    };
    let get = |headers: &str| with_host("GET /live.m3u8 HTTP/1.1", headers);
    let post = |headers: &str| with_host("POST /live.m3u8 HTTP/1.1", headers);
    let path = |path: &str| with_host(&format!("GET {path} HTTP/1.1"), "");
    let long = |length: usize| path(&format!("/{}", "x".repeat(length)));
    vec![
        (
            "Content-Length 10^11",
            post("Content-Length: 100000000000\r\n"),
            &[413],
        ),
        (
            "Content-Length 2^64-1",
            post("Content-Length: 18446744073709551615\r\n"),
            // hyper's own refusal.
            &[431],
        ),
        (
            "Content-Length 2^64",
            post("Content-Length: 18446744073709551616\r\n"),
            &[400],
        ),
        (
            "Content-Length and Transfer-Encoding",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            &[400],
        ),
        (
            "two Content-Lengths",
            post("Content-Length: 4\r\nContent-Length: 5\r\n"),
            &[400],
        ),
        (
            "two equal Content-Lengths",
            post("Content-Length: 4\r\nContent-Length: 4\r\n"),
            &[413],
        ),
        (
            "a list of equal Content-Lengths",
            post("Content-Length: 4, 4\r\n"),
            &[400],
        ),
        (
            "Transfer-Encoding that is not chunked",
            post("Transfer-Encoding: gzip\r\n"),
            &[400],
        ),
        (
            "a request hidden in a body",
            [
                get("Content-Length: 36\r\n"),
                b"GET /stats.json HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            ]
            .concat(),
            &[413],
        ),
        ("a bare CR in a header", get("X: a\rb\r\n"), &[400]),
        (
            "a bare CR for a line end",
            b"GET /live.m3u8 HTTP/1.1\rHost: a\r\r".to_vec(),
            &[400],
        ),
        (
            "LF for a line end",
            b"GET /live.m3u8 HTTP/1.1\nHost: a\n\n".to_vec(),
            &[200],
        ),
        ("a folded header", get("X: a\r\n b\r\n"), &[400]),
        ("a blank before the colon", get("X : a\r\n"), &[400]),
        ("NUL in a header", get("X: a\0b\r\n"), &[400]),
        ("garbage", garbage(4096), &[400]),
        (
            "a TLS handshake on the plain port",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
            &[400],
        ),
        ("HTTP/0.9", b"GET /live.m3u8\r\n".to_vec(), &[400]),
        (
            "HTTP/1.0",
            b"GET /live.m3u8 HTTP/1.0\r\n\r\n".to_vec(),
            &[200],
        ),
        (
            "HTTP/2.0 in a request line",
            with_host("GET /live.m3u8 HTTP/2.0", ""),
            &[400],
        ),
        (
            "the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            &[400, 0],
        ),
        (
            "absolute form",
            with_host("GET http://elsewhere/live.m3u8 HTTP/1.1", ""),
            &[200],
        ),
        (
            "authority form",
            with_host("CONNECT elsewhere:443 HTTP/1.1", ""),
            &[405],
        ),
        ("asterisk form", with_host("GET * HTTP/1.1", ""), &[400]),
        (
            "no Host",
            b"GET /live.m3u8 HTTP/1.1\r\n\r\n".to_vec(),
            &[400],
        ),
        ("two Hosts", get("Host: elsewhere\r\n"), &[400]),
        (
            "an upgrade",
            get("Connection: upgrade\r\nUpgrade: h2c\r\n"),
            &[200],
        ),
        (
            "Expect",
            post("Expect: 100-continue\r\nContent-Length: 9\r\n"),
            &[413],
        ),
        ("129 header lines", get(&"X: y\r\n".repeat(129)), &[431]),
        ("a URL of 16 KB", long(16 * 1024), &[431]),
        ("a URL of 60 KB", long(60 * 1024), &[414, 431]),
        ("a URL of 1 MB", long(1024 * 1024), &[414, 431, 0]),
        (
            "bytes that are no UTF-8",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            &[400, 404],
        ),
        ("escapes that are no UTF-8", path("/%ff%fe"), &[400]),
        ("escapes that are none", path("/%zz%"), &[404]),
        (
            "no UTF-8 in a header",
            b"GET /live.m3u8 HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n".to_vec(),
            &[200],
        ),
        (
            "an unknown method",
            with_host("BREW /pot HTTP/1.1", ""),
            &[405],
        ),
        (
            "a method of 8 KB",
            with_host(&format!("{} / HTTP/1.1", "B".repeat(8192)), ""),
            &[400, 405],
        ),
    ]
}

/// The same bytes each time, none of them a method.
fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = vec![0];
    bytes.extend((1..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    }));
    bytes
}

fn connect(port: u16) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

fn send(port: u16, request: &[u8]) -> Outcome {
    let mut connection = connect(port);
    // It may be closed before all of it is sent.
    let _ = connection.write_all(request);
    let mut connection = BufReader::new(connection);
    let Ok(answer) = read_answer(&mut connection, false) else {
        return Outcome::Closed;
    };
    let closes = answer.header("connection") == Some("close");
    if closes {
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
        assert!(rest.is_empty(), "more than one answer: {rest:?}");
    }
    Outcome::Answered {
        status: answer.status,
        has_reason: answer.status >= 400
            && answer.header("access-control-allow-origin") == Some("*")
            && !answer.body.is_empty(),
        is_closed: closes,
    }
}

fn traverse(siege: &Siege) -> String {
    let playlist = siege.playlist();
    let run = playlist.uris()[0].split('/').next().unwrap().to_owned();
    let paths = [
        "/../../../../etc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/%2e%2e%2f%2e%2e%2fetc%2fpasswd".to_owned(),
        "/%252e%252e%252fetc%252fpasswd".to_owned(),
        "/..%5c..%5cetc%5cpasswd".to_owned(),
        "/..\\..\\etc\\passwd".to_owned(),
        "/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd".to_owned(),
        "/%uff0e%uff0e/etc/passwd".to_owned(),
        "/....//....//etc/passwd".to_owned(),
        format!("/{run}/../../etc/passwd"),
        format!("/{run}/%2e%2e/live.m3u8"),
        format!("/{run}/part_00001.m4s%00.html"),
        format!("//{run}//init.mp4"),
        "/./etc/passwd;/../..".to_owned(),
    ];
    for path in &paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let outcome = send(siege.port, request.as_bytes());
        assert!(
            matches!(
                outcome,
                Outcome::Answered {
                    status: 400 | 404,
                    ..
                }
            ),
            "{path}: {outcome:?}"
        );
    }
    format!("400 or 404 to all {} spellings", paths.len())
}

fn overflow(siege: &Siege) -> String {
    let queries = [
        "_HLS_msn=18446744073709551615",
        "_HLS_msn=18446744073709551616",
        "_HLS_msn=18446744073709551615&_HLS_part=18446744073709551615",
        "_HLS_msn=9223372036854775808&_HLS_part=0",
        "_HLS_msn=-1",
        "_HLS_msn=1e9",
        "_HLS_msn=0x10",
        "_HLS_msn=",
        "_HLS_msn=+1",
        "_HLS_msn=%31%30%30%30%30%30%30",
        "_HLS_msn=1&_HLS_msn=2",
        "_HLS_part=0",
        "_HLS_part=18446744073709551616&_HLS_msn=1",
        "wait=-5",
        "wait=99999999999999999999999",
        "wait=1&version=18446744073709551616",
    ];
    for query in queries {
        let request = format!("GET /live.m3u8?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
        let outcome = send(siege.port, request.as_bytes());
        assert!(
            matches!(outcome, Outcome::Answered { status: 400, .. }),
            "{query}: {outcome:?}"
        );
    }
    let digits = "9".repeat(8000);
    let request = format!("GET /live.m3u8?_HLS_msn={digits} HTTP/1.1\r\nHost: a\r\n\r\n");
    let outcome = send(siege.port, request.as_bytes());
    assert!(matches!(outcome, Outcome::Answered { status: 400, .. }));
    format!("400 to all {}", queries.len() + 1)
}

/// Answers come in the order of the requests, the held one and all behind it when its part is there.
fn pipeline(siege: &Siege) -> String {
    const PARKED: usize = 50;
    let (msn, part) = siege.part_to_park_for();
    let paths: Vec<(String, u16)> = (0..100)
        .map(|place| match (place, place * place % 7) {
            (PARKED, _) => (siege::parking_path(msn, part), 200),
            (_, 0) => ("/timestamps.json".to_owned(), 200),
            (_, 1) => (format!("/nothing_{place}"), 404),
            (_, 2) => ("/live.m3u8?_HLS_part=1".to_owned(), 400),
            _ => ("/live.m3u8".to_owned(), 200),
        })
        .collect();
    let requests: String = paths
        .iter()
        .map(|(path, _)| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    let mut connection = connect(siege.port);
    connection.write_all(requests.as_bytes()).unwrap();
    let mut connection = BufReader::new(connection);
    let mut edge = (0, 0);
    for (place, (path, status)) in paths.iter().enumerate() {
        let answer = read_answer(&mut connection, false)
            .unwrap_or_else(|error| panic!("{place}: {path}: {error}"));
        assert_eq!(answer.status, *status, "{place}: {path}");
        let is_json = answer.header("content-type") == Some("application/json");
        assert_eq!(is_json, path.ends_with(".json"), "{place}: {path}");
        if path.starts_with("/live.m3u8") && answer.status == 200 {
            // None is of an earlier moment than the one before it, and the held one is of the moment it was held for.
            let next = Playlist::read(answer.text()).next_part();
            assert!(next >= edge, "{place}: {path}: {next:?} after {edge:?}");
            assert!(
                place != PARKED || next > (msn, part),
                "{path}: {}",
                answer.text()
            );
            edge = next;
        }
    }
    "all answered in their order".to_owned()
}

/// A head that goes on, until the server has enough of it, or it is 64 MB.
fn endless_head(siege: &Siege, line: &[u8]) -> String {
    let mut connection = connect(siege.port);
    let _ = connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let mut sent = 0;
    while sent < 64 << 20 {
        if connection.write_all(line).is_err() {
            break;
        }
        sent += line.len();
    }
    assert!(sent < 32 << 20, "the server takes it all");
    // Resetting the connection may have taken the answer along.
    match read_answer(&mut BufReader::new(connection), false) {
        Ok(answer) => {
            assert_eq!(answer.status, 431);
            "431".to_owned()
        }
        Err(_) => "cut off".to_owned(),
    }
}
