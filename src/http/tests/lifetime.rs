//! How a server starts, reports, fails and stops.

use super::*;

#[test]
fn stopping_answers_waiters_and_frees_the_port() {
    let mut site = Site::live();
    let mut waiters: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
            client
        })
        .collect();
    let mut idle = site.connect();
    site.until_parked(5);
    site.until("all are connected", |stats| stats.clients.connections == 6);
    let before = Instant::now();
    site.stop();
    assert!(before.elapsed() < Duration::from_secs(5));
    for waiter in &mut waiters {
        let answer = waiter.answer();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(waiter.is_closed());
    }
    assert!(idle.is_closed());
    let again = bind("127.0.0.1", site.address.port()).unwrap();
    let server = Server::start(again, config(), Box::new(|_| {})).unwrap();
    drop(server);
}

#[test]
fn events_are_reported_in_order() {
    let mut site = Site::live();
    site.stop();
    let reports = site.reports.lock().unwrap();
    let names: Vec<&str> = reports
        .iter()
        .map(|report| match report {
            Report::Event(Event::InitPublished { name, .. })
            | Report::Event(Event::PartPublished { name, .. })
            | Report::Event(Event::SegmentPublished { name, .. }) => name,
            Report::Event(Event::PlaylistStarted { .. }) => "playlist",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        names,
        [
            "init.mp4",
            "part_00000.m4s",
            "part_00001.m4s",
            "part_00002.m4s",
            "part_00003.m4s",
            "part_00004.m4s",
            "segment_00001.m4s",
            "playlist",
            "part_00005.m4s"
        ]
    );
}

#[test]
fn a_dead_thread_is_reported() {
    let site = Site::live();
    site.server().panic();
    until("the failure is reported", || {
        site.reports.lock().unwrap().iter().any(
            |report| matches!(report, Report::Failed(text) if text.contains("panicked: asked to")),
        )
    });
    // Publishing on, reading figures and stopping do no harm.
    site.server().publish(Publication::EndOfStream);
    site.server().stats();
}

#[test]
fn what_cannot_be_served_is_refused_at_start() {
    for config in [
        ServerConfig {
            public_url: Some("nonsense".to_owned()),
            ..config()
        },
        ServerConfig {
            cors_origin: "a\r\nb".to_owned(),
            ..config()
        },
        ServerConfig {
            renditions: Vec::new(),
            ..config()
        },
        ServerConfig {
            renditions: vec![video("a/b")],
            ..config()
        },
    ] {
        let listener = bind("localhost", 0).unwrap();
        let error = Server::start(listener, config, Box::new(|_| {})).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = bind("127.0.0.1", port).unwrap_err().to_string();
    assert!(
        text.contains("127.0.0.1") && text.contains(&port.to_string()),
        "{text}"
    );
    let text = bind("no.such.host.invalid", 80).unwrap_err().to_string();
    assert!(text.contains("no.such.host.invalid"), "{text}");
    if let Ok(listener) = bind("[::1]", 0) {
        assert!(listener.local_addr().unwrap().is_ipv6());
    }
}

#[test]
fn an_unthrottled_source_does_not_shut_viewers_out() {
    let mut site = Site::live();
    let mut client = site.connect();
    client.get("/live.m3u8?_HLS_msn=3");
    for _ in 0..500 {
        site.segment();
    }
    assert_eq!(client.answer().status, 200);
    site.until("all is applied", |stats| {
        stats.edge.is_some_and(|edge| edge.msn.0 == 501)
    });
    let stats = site.server().stats();
    assert_eq!(stats.violations, 0);
    assert!(stats.bytes.kept < stats.bytes.published / 10);
}

#[test]
fn a_connection_that_panics_takes_nobody_along() {
    let site = Site::live();
    let mut victim = site.connect();
    victim.get("/live.m3u8?panic-for-test");
    assert!(victim.is_closed());
    site.until("it is counted", |stats| stats.clients.panics == 1);
    assert_eq!(site.get("/live.m3u8").status, 200);
    let reports = site.reports.lock().unwrap();
    assert!(
        reports
            .iter()
            .any(|report| matches!(report, Report::Warning(_)))
    );
}
