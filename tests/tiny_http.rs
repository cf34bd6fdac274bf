//! The other engine: what it needs, what it refuses, and what it must not do to the host.
//!
//! What is served over it is tested by the tests of everything else, with `LLHLS_HTTP_ENGINE=tiny-http`.

#![cfg(feature = "tiny-http")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use gst::prelude::*;
use support::{
    PATIENCE,
    http::{self, Answer},
    stream::{FedStream, Frames, Stream},
};

const SOURCE: &str = "videotestsrc ! x264enc ! h264parse";

fn ready(properties: &str) -> Stream {
    let stream = Stream::new(SOURCE, &format!("http-engine=tiny-http {properties}"));
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    stream
}

fn connect(port: u16) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// Asks on this connection and no other.
fn ask(connection: &TcpStream, path: &str) -> Answer {
    request(connection, &format!("GET {path}"), "")
}

/// The same with another method, and with lines of the head.
fn request(mut connection: &TcpStream, what: &str, headers: &str) -> Answer {
    let request = format!("{what} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    http::read_answer(&mut BufReader::new(connection), false).unwrap()
}

#[test]
fn it_listens_on_this_host_alone_unless_told() {
    let another_address_of_this_host = |port: u16| TcpStream::connect(("127.0.0.2", port));
    let stream = ready("");
    assert_eq!(stream.client().get("/stats.json").status, 200);
    assert!(another_address_of_this_host(stream.port()).is_err());
    let stream = ready("host=0.0.0.0");
    assert!(another_address_of_this_host(stream.port()).is_ok());
}

#[test]
fn https_is_refused_with_a_way_out() {
    let mut stream = Stream::new(SOURCE, "http-engine=tiny-http tls-port=-1");
    assert!(stream.pipeline.set_state(gst::State::Ready).is_err());
    let text = stream.wait_for_error();
    assert!(text.contains("tls-port"), "{text}");
    assert!(text.contains("http-engine=hyper"), "{text}");
}

/// By itself tiny_http ends the process over this.
#[test]
fn a_huge_body_that_is_only_declared_harms_nobody() {
    let stream = ready("");
    let mut viewer = stream.client();
    for length in ["2000", "100000000000", "18446744073709551615"] {
        let mut hostile = connect(stream.port());
        hostile
            .write_all(
                format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
                    .as_bytes(),
            )
            .unwrap();
        let mut answer = [0; 12];
        hostile.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
        assert_eq!(viewer.get("/stats.json").status, 200);
    }
}

#[test]
fn senseless_heads_are_refused() {
    let stream = ready("");
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ] {
        let mut connection = connect(stream.port());
        connection.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.ends_with(status), "{head:?}: {answer}");
    }
    assert_eq!(stream.client().get("/stats.json").status, 200);
}

/// RFC 9110 8.6: a 204 says nothing of a length, and a 304 that of what is not sent again, if any. By itself tiny_http says 0.
#[test]
fn an_answer_without_a_body_has_no_length() {
    let frames = Frames::test_picture(40, 30);
    let fed = FedStream::new(&frames.caps, "http-engine=tiny-http");
    fed.stream.play();
    fed.push(&frames.buffers);
    support::wait_until("all parts", || fed.stream.playlist().next_part() == (2, 1));
    let playlist = fed.stream.playlist();
    let connection = connect(fed.stream.port());
    for path in [
        "/live.m3u8".to_owned(),
        format!("/{}", playlist.segments[0].uri),
    ] {
        let whole = ask(&connection, &path);
        assert_eq!(whole.status, 200, "{path}");
        let tag = whole.header("etag").unwrap();
        let headers = format!("If-None-Match: {tag}\r\nTE: chunked\r\n");
        for method in ["GET", "HEAD"] {
            let held = request(&connection, &format!("{method} {path}"), &headers);
            assert_eq!(held.status, 304, "{path}");
            assert_bodiless(&held);
            for name in ["etag", "cache-control"] {
                assert_eq!(held.header(name), whole.header(name), "{path}");
            }
        }
        let preflight = request(&connection, &format!("OPTIONS {path}"), "");
        assert_eq!(preflight.status, 204, "{path}");
        assert_bodiless(&preflight);
        assert!(preflight.header("access-control-allow-methods").is_some());
        // Where the answer ends is no question: the next one is whole.
        assert_eq!(ask(&connection, &path).body, whole.body);
    }
}

fn assert_bodiless(answer: &Answer) {
    for name in ["content-length", "transfer-encoding"] {
        assert_eq!(answer.header(name), None, "{name}: {answer:?}");
    }
    assert!(answer.header("date").is_some(), "{answer:?}");
}

/// Fifty requests that wait are fifty values; nobody else waits for them.
#[test]
fn requests_that_wait_hold_up_nobody_and_a_stop_answers_them() {
    let frames = Frames::test_picture(90, 30);
    let fed = FedStream::new(&frames.caps, "http-engine=tiny-http");
    fed.stream.play();
    fed.push(&frames.buffers[..72]);
    support::wait_until("twelve parts", || {
        fed.stream.playlist().next_part() == (3, 2)
    });
    let idle = connect(fed.stream.port());
    let waiting: Vec<_> = (0..50)
        .map(|_| fed.stream.get_later("/live.m3u8?wait=60000&version=99999"))
        .collect();
    support::wait_until("parked requests", || {
        fed.stream.stats().get::<u32>("requests-parked") == Ok(50)
    });
    assert_eq!(fed.stream.client().get("/timestamps.json").status, 200);
    let (result, elapsed) = support::timed(|| fed.stream.pipeline.set_state(gst::State::Null));
    result.unwrap();
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    for pending in waiting {
        let answer = pending.wait();
        assert!(answer.text().contains("#EXT-X-ENDLIST"), "PL-42");
    }
    drop(idle);
}

/// tiny_http closes no connection, so one that was made in a run is there in the next.
#[test]
fn a_connection_outlives_the_run_it_was_made_in() {
    let stream = Stream::new(
        "videotestsrc ! x264enc speed-preset=ultrafast tune=zerolatency ! h264parse",
        "http-engine=tiny-http",
    );
    stream.play();
    let connection = connect(stream.port());
    let first = ask(&connection, "/live.m3u8");
    assert!(first.text().contains("#EXTINF"), "{}", first.text());
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    stream.play();
    let second = ask(&connection, "/live.m3u8");
    assert_eq!(second.status, 200);
    assert_ne!(second.text(), first.text());
    assert!(!second.text().contains("#EXT-X-ENDLIST"), "of the next run");
}

#[test]
fn what_comes_when_the_server_has_stopped_is_refused() {
    let stream = ready("");
    let connection = connect(stream.port());
    assert_eq!(ask(&connection, "/stats.json").status, 200);
    stream.pipeline.set_state(gst::State::Null).unwrap();
    let refused = ask(&connection, "/stats.json");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("connection"), Some("close"));
}
