//! HTTPS against the running element: who the server says it is, what is spoken, and who is turned down.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use gst::prelude::*;
use rustls::version::{TLS12, TLS13};
use support::{
    PATIENCE,
    secure::{
        self, HTTP1, HTTP2, Http2, Pair, certificate, fingerprint, get_http1, shake_hands,
        shake_hands_trusting,
    },
    stream::Stream,
};

const SOURCE: &str = "videotestsrc ! x264enc ! h264parse";

/// An element that serves, without a stream.
fn ready(properties: &str) -> Stream {
    let stream = Stream::new(SOURCE, properties);
    stream.pipeline.set_state(gst::State::Ready).unwrap();
    stream
}

/// A stream whose element cannot leave NULL.
fn refused(properties: &str) -> String {
    let mut stream = Stream::new(SOURCE, properties);
    assert!(stream.pipeline.set_state(gst::State::Ready).is_err());
    stream.wait_for_error()
}

fn wait_for_warning(stream: &mut Stream) -> String {
    stream.wait_for_message("a warning", |message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
        _ => None,
    })
}

#[tokio::test]
async fn without_files_the_certificate_is_self_signed_and_said_to_be() {
    let mut stream = ready("tls-port=-1");
    let warning = wait_for_warning(&mut stream);
    let shown: String = stream.sink.property("tls-fingerprint");
    assert!(
        warning.contains("self-signed") && warning.contains(&shown),
        "{warning}"
    );
    let port = stream.tls_port();
    assert_eq!(
        stream.sink.property::<String>("tls-uri"),
        format!("https://127.0.0.1:{port}/live.m3u8")
    );
    let plain = stream.port();
    assert_eq!(
        stream.sink.property::<String>("uri"),
        format!("http://127.0.0.1:{plain}/live.m3u8")
    );
    let secured = shake_hands(port, rustls::ALL_VERSIONS, &[]).await.unwrap();
    let made = certificate(&secured);
    assert_eq!(fingerprint(&made), shown);
    // The cryptography of the host process stays the host's to choose.
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    // Whoever trusts it needs no exception: it is for the names this host has.
    for name in ["localhost", "127.0.0.1", "::1"] {
        let secured = shake_hands_trusting(port, made.clone(), name)
            .await
            .unwrap();
        assert_eq!(
            get_http1(secured, "/stats.json").await.status,
            200,
            "{name}"
        );
    }
    // It stays the same over runs.
    for state in [gst::State::Paused, gst::State::Ready, gst::State::Paused] {
        stream.pipeline.set_state(state).unwrap();
        assert_eq!(stream.sink.property::<String>("tls-fingerprint"), shown);
    }
    let secured = shake_hands(stream.tls_port(), rustls::ALL_VERSIONS, &[HTTP2])
        .await
        .unwrap();
    assert_eq!(certificate(&secured), made);
}

#[test]
fn without_a_port_there_is_no_https() {
    let mut stream = ready("");
    assert_eq!(stream.sink.property::<u32>("current-tls-port"), 0);
    assert_eq!(stream.sink.property::<Option<String>>("tls-uri"), None);
    assert_eq!(
        stream.sink.property::<Option<String>>("tls-fingerprint"),
        None
    );
    stream.drain_messages();
    assert!(stream.warnings().is_empty());
}

#[tokio::test]
async fn the_protocol_is_chosen_in_the_handshake() {
    let pair = Pair::new();
    let stream = ready(&pair.properties());
    let port = stream.tls_port();
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [
            (&[HTTP2, HTTP1][..], Some(HTTP2)),
            (&[HTTP1, HTTP2], Some(HTTP2)),
            (&[HTTP1], Some(HTTP1)),
            (&[], None),
        ] {
            let secured = shake_hands(port, &[version], offered).await.unwrap();
            let (_, session) = secured.get_ref();
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes));
            assert_eq!(certificate(&secured), pair.der);
            if chosen != Some(HTTP2) {
                assert_eq!(get_http1(secured, "/stats.json").await.status, 200);
            }
        }
    }
    let client = Http2::connect(port).await;
    let answer = client.get("/stats.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    // RFC 7301 3.2.
    let error = shake_hands(port, rustls::ALL_VERSIONS, &["spdy/3"]).await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("NoApplicationProtocol")
    );
    // A client that trusts the certificate and knows the name.
    shake_hands_trusting(port, pair.der.clone(), "localhost")
        .await
        .unwrap();
}

/// HT-08, MR-10, and what a transport could forget.
#[tokio::test]
async fn answers_over_http2_have_the_manners_of_all() {
    let stream = ready("tls-port=-1");
    let client = Http2::connect(stream.tls_port()).await;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/nothing", 404),
        ("HEAD", "/nothing", 404),
        ("POST", "/live.m3u8", 405),
        ("OPTIONS", "/live.m3u8", 204),
        ("GET", "/live.m3u8?_HLS_part=1", 400),
    ] {
        let answer = client.send(method, path).await.unwrap();
        let answer = secure::whole(answer).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("connection"), None);
        if method == "HEAD" {
            assert!(answer.body.is_empty());
            let length = client.get(path).await.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
        }
    }
}

#[test]
fn files_that_are_no_good_are_named_with_the_reason() {
    let pair = Pair::new();
    let other = Pair::new();
    let expired = Pair::expired();
    let early = Pair::of_tomorrow();
    let nothing = pair.folder().join("nothing.pem");
    let garbage = pair.file("garbage.pem", b"no certificate");
    let broken = pair.file(
        "broken.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let endless = pair.file("large.pem", &vec![b'x'; 2 << 20]);
    let (cert, key) = (pair.certificate(), pair.private_key());
    let cases: [(&Path, &Path, &Path, &str); 11] = [
        (&nothing, &key, &nothing, "No such file"),
        (&cert, &nothing, &nothing, "No such file"),
        (pair.folder(), &key, pair.folder(), "not a regular file"),
        (
            Path::new("/dev/zero"),
            &key,
            Path::new("/dev/zero"),
            "not a regular file",
        ),
        (&endless, &key, &endless, "too large"),
        (&garbage, &key, &garbage, "no certificate in it"),
        (&broken, &key, &broken, "cannot be read"),
        (&cert, &garbage, &garbage, "no private key in it"),
        (
            &cert,
            &other.private_key(),
            &other.private_key(),
            "is not that of the certificate",
        ),
        (
            &expired.certificate(),
            &expired.private_key(),
            &expired.certificate(),
            "expired",
        ),
        (
            &early.certificate(),
            &early.private_key(),
            &early.certificate(),
            "not valid before",
        ),
    ];
    for (certificate, private_key, named, reason) in cases {
        let text = refused(&secure::properties(certificate, private_key));
        assert!(text.contains(&named.display().to_string()), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    let text = refused("tls-port=-1 tls-private-key=/key.pem");
    assert!(text.contains("tls-certificate"), "{text}");
}

#[test]
fn a_taken_tls_port_is_named_and_lets_go_of_the_other() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = refused(&format!("tls-port={port}"));
    assert!(text.contains(&port.to_string()), "{text}");
}

/// As some tools write it.
#[tokio::test]
async fn certificate_and_key_may_be_one_file() {
    let pair = Pair::new();
    let both = [pair.private_key(), pair.certificate()].map(|file| std::fs::read(file).unwrap());
    let both = pair.file("both.pem", &both.concat());
    let stream = ready(&format!("tls-port=-1 tls-certificate={}", both.display()));
    let secured = shake_hands(stream.tls_port(), rustls::ALL_VERSIONS, &[]).await;
    assert_eq!(certificate(&secured.unwrap()), pair.der);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn renewed_files_are_used_and_bad_ones_are_not() {
    let pair = Pair::new();
    let mut stream = ready(&pair.properties());
    let port = stream.tls_port();
    let before = Http2::connect(port).await;
    assert_eq!(before.get("/stats.json").await.status, 200);

    // One after the other: of a look in between, which finds half of it, nothing is said.
    let next = Pair::new();
    std::fs::copy(next.certificate(), pair.certificate()).unwrap();
    std::fs::copy(next.private_key(), pair.private_key()).unwrap();
    let expected = fingerprint(&next.der);
    support::wait_until("the new certificate", || {
        stream.sink.property::<String>("tls-fingerprint") == expected
    });
    let secured = shake_hands(port, rustls::ALL_VERSIONS, &[]).await.unwrap();
    assert_eq!(certificate(&secured), next.der);
    // Who is connected stays so.
    assert_eq!(before.get("/stats.json").await.status, 200);
    assert!(!before.is_closed());

    let other = Pair::new();
    std::fs::copy(other.private_key(), pair.private_key()).unwrap();
    let warning = wait_for_warning(&mut stream);
    let file = pair.private_key();
    assert!(warning.contains(&file.display().to_string()), "{warning}");
    assert!(warning.contains("kept"), "{warning}");
    std::fs::remove_file(pair.certificate()).unwrap();
    let warning = wait_for_warning(&mut stream);
    assert!(warning.contains("No such file"), "{warning}");
    let secured = shake_hands(port, rustls::ALL_VERSIONS, &[]).await.unwrap();
    assert_eq!(certificate(&secured), next.der);

    // By a symbolic link, as certbot does it.
    std::fs::remove_file(pair.private_key()).unwrap();
    std::os::unix::fs::symlink(other.certificate(), pair.certificate()).unwrap();
    std::os::unix::fs::symlink(other.private_key(), pair.private_key()).unwrap();
    let expected = fingerprint(&other.der);
    support::wait_until("the certificate behind the link", || {
        stream.sink.property::<String>("tls-fingerprint") == expected
    });
    stream.drain_messages();
    assert_eq!(stream.warnings().len(), 2, "{:?}", stream.warnings());
}

fn connect(port: u16) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// Everything the server has to say until it closes; a reset counts.
fn rest(mut connection: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    answer
}

#[tokio::test]
async fn who_speaks_the_wrong_protocol_harms_nobody() {
    let stream = ready("tls-port=-1");
    let (plain, secured) = (stream.port(), stream.tls_port());
    let viewer = Http2::connect(secured).await;
    assert_eq!(viewer.get("/stats.json").await.status, 200);
    let silent: Vec<TcpStream> = (0..50).map(|_| connect(secured)).collect();

    let mut http = connect(secured);
    http.write_all(b"GET /live.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let answer = String::from_utf8(rest(http)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.ends_with("this port speaks HTTPS\n"), "{answer}");

    // An alert, or nothing.
    for garbage in [
        &b"\x16\x03\x01\x40\x00garbage"[..],
        b"\x80\x2e\x01",
        &[0; 4096],
    ] {
        let mut garbled = connect(secured);
        garbled.write_all(garbage).unwrap();
        garbled.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = rest(garbled);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }

    // TLS on the plain port.
    let error = shake_hands(plain, rustls::ALL_VERSIONS, &[HTTP2]).await;
    assert!(error.is_err());

    // HTTP/2 in clear (RFC 9113 3.3) is not spoken: closed without an answer.
    let mut in_clear = connect(plain);
    in_clear
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let answer = rest(in_clear);
    assert!(answer.is_empty(), "{answer:?}");

    // The silent ones are counted, and nobody else noticed anything.
    let answer = viewer.get("/stats.json").await;
    let connections = answer.json()["clients"]["connections"].as_u64().unwrap();
    assert!(connections >= 51, "{connections}");
    assert_eq!(stream.client().get("/stats.json").status, 200);
    drop(silent);
}

/// Ten seconds for a handshake.
#[tokio::test]
async fn silent_handshakes_end_and_count_against_the_cap() {
    let page = "https://a.example";
    let stream = ready(&format!(
        "tls-port=-1 max-connections=3 cors-origin={page},https://b.example"
    ));
    let port = stream.tls_port();
    let silent: Vec<TcpStream> = (0..3).map(|_| connect(port)).collect();
    support::wait_until("the silent ones are counted", || {
        stream.stats().get::<u32>("clients") == Ok(3)
    });
    // The next one is told so, in its own language.
    for protocol in [HTTP1, HTTP2] {
        let secured = shake_hands(port, rustls::ALL_VERSIONS, &[protocol]).await;
        let answer = if protocol == HTTP1 {
            get_http1(secured.unwrap(), "/stats.json").await
        } else {
            let client = Http2::connect(port).await;
            let answer = client.get_for_page(page, "/stats.json").await;
            // And its page may read why (HT-08).
            assert_eq!(answer.header("access-control-allow-origin"), Some(page));
            answer
        };
        assert_eq!(answer.status, 503, "{protocol}");
        assert!(answer.header("retry-after").is_some());
    }
    for connection in silent {
        assert!(rest(connection).is_empty());
    }
    let client = Http2::connect(port).await;
    assert_eq!(client.get("/stats.json").await.status, 200);
}
