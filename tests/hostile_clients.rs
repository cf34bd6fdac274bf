//! Clients that misbehave harm nobody else: the stream goes on, and the well-behaved are served.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use gst::prelude::*;
use support::{PATIENCE, stream::Stream};

#[test]
fn nobody_is_harmed_by_those_who_misbehave() {
    let mut stream = Stream::new(
        "videotestsrc is-live=true num-buffers=60 pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "",
    );
    stream.play();
    let port = stream.port();
    let connect = || {
        let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    };
    // Half-open and silent ones stay until the end of the test.
    let mut kept: Vec<TcpStream> = (0..20).map(|_| connect()).collect();
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(2_000)
    );
    for request in [
        "GET / HTTP/1.1\r\n",
        "GET /live.m3u8?_HLS_msn=2&_HLS_part=0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        &huge,
        &many,
    ] {
        let mut connection = connect();
        // The server may have closed already.
        let _ = connection.write_all(request.as_bytes());
        kept.push(connection);
    }
    // The next one reads nothing of what it asks for, over and over.
    let mut slow = connect();
    slow.set_nonblocking(true).unwrap();
    for _ in 0..2_000 {
        if slow
            .write(b"GET /stats.json HTTP/1.1\r\nHost: a\r\n\r\n")
            .is_err()
        {
            break;
        }
    }
    kept.push(slow);

    let playlist = stream.wait_for_end();
    assert_eq!(playlist.segments.len(), 2);
    let mut client = stream.client();
    for uri in playlist.uris() {
        client.body(&format!("/{uri}"));
    }
    assert_eq!(client.get("/stats.json").json()["clients"]["panics"], 0);

    // What makes no sense was told so, or cut off.
    let mut answer = Vec::new();
    let mut senseless = connect();
    senseless
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n")
        .unwrap();
    senseless.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    drop(kept);
}

#[test]
fn the_connection_cap_is_a_property() {
    let stream = Stream::new("videotestsrc ! x264enc ! h264parse", "max-connections=2");
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    let mut served = [stream.client(), stream.client()];
    for client in &mut served {
        assert_eq!(client.get("/stats.json").status, 200);
    }
    let mut one_too_many = TcpStream::connect(("127.0.0.1", stream.port())).unwrap();
    one_too_many.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    one_too_many.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    // Room again once one has left.
    let [first, _second] = served;
    drop(first);
    support::wait_until("room", || {
        stream
            .client()
            .try_request("GET", "/stats.json")
            .is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn the_caps_of_an_address_and_of_the_parked_are_properties() {
    let stream = Stream::new(
        "videotestsrc ! x264enc ! h264parse",
        "max-connections-per-address=3 max-parked=1",
    );
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    // There is no playlist in READY: it is waited for.
    let waiting = stream.get_later("/live.m3u8");
    let mut client = stream.client();
    support::wait_until("a parked request", || {
        client.get("/stats.json").json()["clients"]["parked"] == 1
    });
    let answer = stream.client().get("/live.m3u8");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    support::wait_until("the refused one to be gone", || {
        client.get("/stats.json").json()["clients"]["connections"] == 2
    });
    let mut third = stream.client();
    assert_eq!(third.get("/stats.json").status, 200);
    let mut one_too_many = TcpStream::connect(("127.0.0.1", stream.port())).unwrap();
    one_too_many.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    one_too_many.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    let limits: gst::Structure = stream.stats().get("limits").unwrap();
    assert_eq!(limits.get::<u64>("parked"), Ok(1));
    assert_eq!(limits.get::<u64>("connections-per-address"), Ok(1));
    drop(third);
    stream.stop();
    assert_eq!(waiting.wait().status, 503);
}
