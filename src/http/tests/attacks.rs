//! Clients that do wrong, leave, dawdle or are too many.

use super::*;

#[test]
fn malformed_requests_are_refused_and_nobody_else_notices() {
    let site = Site::live();
    let long_header = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many_headers = format!(
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(12_000));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", &[400][..]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
        ("GET / HTTP/1.0\r\n\r\n", &[200]),
        ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", &[200]),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345",
            &[413],
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000000\r\n\r\n",
            &[413],
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            &[400],
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            &[200],
        ),
        (
            "GET http://other/live.m3u8 HTTP/1.1\r\nHost: h\r\n\r\n",
            &[200],
        ),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", &[404]),
        ("GET / HTTP/9.9\r\nHost: h\r\n\r\n", &[400, 505]),
        ("\u{1}\u{2}\u{3}\r\n\r\n", &[400]),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", &[400]),
        (&long_header, &[431]),
        (&many_headers, &[431]),
        (&long_path, &[404, 414]),
    ] {
        let mut client = site.connect();
        // The server may close before all of it is sent.
        let _ = client.stream.write_all(request.as_bytes());
        let answer = client.answer();
        let shown = &request[..request.len().min(60)];
        assert!(expected.contains(&answer.status), "{shown:?}: {answer:?}");
        if answer.status == 413 {
            assert_eq!(answer.header("connection"), "close");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
        }
    }
    assert_eq!(site.get("/live.m3u8").status, 200);
    assert_eq!(site.server().stats().clients.panics, 0);
}

#[test]
fn too_large_a_head_is_refused_with_a_reason_that_pages_can_read() {
    let site = Site::live();
    let lines = "A: b\r\n".repeat(200);
    let long = "x".repeat(20_000);
    for request in [
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: h\r\nLong: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"),
    ] {
        let mut client = site.connect();
        client.stream.write_all(request.as_bytes()).unwrap();
        let answer = client.answer();
        assert_eq!(answer.status, 431);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.text(), "the head of the request is too large\n");
    }
}

#[test]
fn a_client_that_leaves_while_parked_leaves_nothing_behind() {
    let mut site = Site::live();
    let clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
            client
        })
        .collect();
    site.until_parked(10);
    drop(clients);
    site.until("they are gone", |stats| {
        stats.clients.parked == 0 && stats.clients.connections == 0
    });
    assert_eq!(site.server().stats().clients.abandoned, 10);
    site.part();
    assert_eq!(site.get("/run/part_00006.m4s").status, 200);
}

#[test]
fn over_the_cap_newcomers_are_turned_away() {
    let mut site = Site::live_with(ServerConfig {
        max_connections: Some(3),
        ..config()
    });
    let mut viewers: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
            client
        })
        .collect();
    site.until_parked(3);
    let mut newcomer = site.connect();
    newcomer.get("/live.m3u8");
    let answer = newcomer.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(newcomer.is_closed());
    assert_eq!(site.server().stats().clients.turned_away, 1);

    site.part();
    for viewer in &mut viewers {
        assert_eq!(viewer.answer().status, 200);
    }
    viewers.pop();
    site.until("there is room", |stats| stats.clients.connections == 2);
    assert_eq!(site.get("/live.m3u8").status, 200);
}

/// A site with room for one viewer, who is there.
fn full(cors_origin: &str) -> (Site, Client) {
    let site = Site::live_with(ServerConfig {
        max_connections: Some(1),
        cors_origin: cors_origin.to_owned(),
        ..config()
    });
    let mut viewer = site.connect();
    viewer.get("/stats.json");
    assert_eq!(viewer.answer().status, 200);
    (site, viewer)
}

/// Rule HT-08: a page of the list can read that there is no room.
#[test]
fn pages_of_a_list_can_read_that_there_is_no_room() {
    let (site, _viewer) = full("https://a.example:443, http://b.example");
    for (origin, is_known) in [
        ("https://a.example", true),
        ("http://b.example", true),
        ("http://c.example", false),
    ] {
        let mut newcomer = site.connect();
        newcomer.send(&format!(
            "GET /live.m3u8 HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n\r\n"
        ));
        let answer = newcomer.answer();
        assert_eq!(answer.status, 503);
        let allowed = answer.headers.get("access-control-allow-origin");
        assert_eq!(
            allowed.is_some_and(|allowed| allowed == origin),
            is_known,
            "{origin}"
        );
        assert!(newcomer.is_closed());
    }
}

/// A long way off, a handshake and a request take some time.
#[test]
fn who_is_turned_away_may_take_a_moment_to_ask() {
    let (site, _viewer) = full("https://a.example, http://b.example");
    let mut newcomer = site.connect();
    newcomer.send("GET /live.m3u8 HTTP/1.1\r\nHost: h\r\n");
    let patience = newcomer.stream.read_timeout().unwrap();
    let moment = Some(Duration::from_millis(1500));
    newcomer.stream.set_read_timeout(moment).unwrap();
    let read = newcomer.stream.read(&mut [0; 1]);
    assert!(read.is_err(), "given up: {read:?}");
    newcomer.stream.set_read_timeout(patience).unwrap();
    newcomer.send("Origin: http://b.example\r\n\r\n");
    assert_eq!(newcomer.answer().status, 503);
}

#[test]
fn a_slow_or_half_open_connection_holds_up_nobody() {
    let site = Site::live();
    let mut slow = site.connect();
    slow.send("GET /live.m3u8 HT");
    let half_closed = site.connect();
    half_closed.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(site.get("/live.m3u8").status, 200);
    slow.send("TP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(slow.answer().status, 200);
}

#[test]
fn over_the_cap_of_an_address_newcomers_from_there_are_turned_away() {
    let site = Site::live_with(ServerConfig {
        max_connections_per_address: Some(2),
        ..config()
    });
    let mut viewers = [site.connect(), site.connect()];
    for viewer in &mut viewers {
        viewer.get("/stats.json");
        assert_eq!(viewer.answer().status, 200);
    }
    let mut newcomer = site.connect();
    let answer = newcomer.answer();
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(newcomer.is_closed());
    let stats = site.server().stats();
    assert_eq!(stats.limits.of(Limit::ConnectionsPerAddress), 1);
    assert_eq!(stats.limits.of(Limit::Connections), 0);
    assert_eq!(stats.clients.turned_away, 1);
    let [first, _second] = viewers;
    drop(first);
    site.until("there is room", |stats| stats.clients.connections == 1);
    assert_eq!(site.get("/live.m3u8").status, 200);
}

#[test]
fn over_the_cap_of_the_parked_newcomers_come_back_later() {
    let mut site = Site::live_with(ServerConfig {
        max_parked: Some(2),
        ..config()
    });
    let park = |site: &Site| {
        let mut client = site.connect();
        client.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
        client
    };
    let mut viewers = [park(&site), park(&site)];
    site.until_parked(2);
    let answer = park(&site).answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(site.server().stats().limits.of(Limit::Parked), 1);
    // What need not wait is nobody's burden.
    assert_eq!(site.get("/live.m3u8").status, 200);
    site.part();
    for viewer in &mut viewers {
        assert_eq!(viewer.answer().status, 200);
    }
    let mut later = site.connect();
    later.get("/live.m3u8?_HLS_msn=2&_HLS_part=2");
    site.until_parked(1);
    site.part();
    assert_eq!(later.answer().status, 200);
}

#[test]
fn who_goes_over_a_limit_is_counted_by_kind() {
    let site = Site::live();
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    let endless = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    for (request, limit, count) in [
        (long.as_str(), Limit::Head, 1),
        (&endless, Limit::Head, 2),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n",
            Limit::Body,
            1,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Limit::Body,
            2,
        ),
    ] {
        let mut client = site.connect();
        let _ = client.stream.write_all(request.as_bytes());
        site.until("it is counted", |stats| stats.limits.of(limit) == count);
    }
}
