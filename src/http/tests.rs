//! The server over real sockets, fed with a made-up stream. Nothing here sleeps for a fixed time: every wait is for
//! something, with a deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "deadlines of tests over real sockets"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Report, Server, ServerConfig, bind};
use crate::delivery::stats::Stats;
use crate::origin::event::Event;
use crate::origin::fixture::{
    AUDIO, AUDIO_CONSTANTS, CONSTANTS, START, Track, VIDEO, audio, audio_init, init, part_bytes,
    run, ticks, video,
};
use crate::origin::media::{NewPart, Publication};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    server: Option<Server>,
    address: SocketAddr,
    reports: Arc<Mutex<Vec<Report>>>,
    parts: u64,
    has_constants: bool,
}

fn config() -> ServerConfig {
    ServerConfig {
        run: run(),
        renditions: vec![video("video")],
        playlist_name: "live.m3u8".to_owned(),
        public_url: None,
        cors_origin: "*".to_owned(),
        max_connections: Some(200),
        playlist_length: 6,
        max_files: 20,
        part_hold_back: 3.0,
    }
}

impl Site {
    fn new(config: ServerConfig) -> Self {
        let listener = bind("127.0.0.1", 0).unwrap();
        let address = listener.local_addr().unwrap();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start(listener, config, {
            let reports = Arc::clone(&reports);
            Box::new(move |report| reports.lock().unwrap().push(report))
        })
        .unwrap();
        server.publish(init("<init>"));
        Self {
            server: Some(server),
            address,
            reports,
            parts: 0,
            has_constants: false,
        }
    }

    /// One whole segment of five parts, and one part of the next: the edge is (1, 0), the hint part 6.
    fn live() -> Self {
        Self::live_with(config())
    }

    fn live_with(config: ServerConfig) -> Self {
        let mut site = Self::new(config);
        site.segment();
        site.part();
        site
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn part(&mut self) {
        let part = NewPart {
            bytes: part_bytes(self.parts),
            duration: ticks(6000),
            is_independent: self.parts.is_multiple_of(5),
            captured: START,
            program_date_time: START,
            is_discontinuity: false,
        };
        self.server().publish(Publication::Part(VIDEO, part));
        self.parts += 1;
    }

    fn segment(&mut self) {
        for _ in 0..5 {
            self.part();
        }
        let constants = (!self.has_constants).then_some(CONSTANTS);
        self.has_constants = true;
        self.server()
            .publish(Publication::SegmentEnd(VIDEO, constants));
    }

    fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        let mut client = self.connect();
        client.send(&format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.answer_to(method)
    }

    /// Waits until the figures say so.
    fn until(&self, what: &str, is_so: impl Fn(&Stats) -> bool) {
        until(what, || is_so(&self.server().stats()));
    }

    fn until_parked(&self, count: u32) {
        self.until("requests are parked", |stats| stats.clients.parked == count);
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }

    fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Answer {
        let head = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.unread.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut self.unread, rest)).unwrap();
            }
            assert!(self.read() > 0, "closed in the head: {:?}", self.unread);
        };
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let status = status.parse().unwrap();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = match headers.get("content-length") {
            Some(length) if method != "HEAD" => length.parse().unwrap(),
            _ => 0,
        };
        while self.unread.len() < length {
            assert!(self.read() > 0, "closed in the body");
        }
        let rest = self.unread.split_off(length);
        Answer {
            status,
            headers,
            body: std::mem::replace(&mut self.unread, rest),
        }
    }

    fn read(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count
    }

    fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read() == 0
    }
}

#[test]
fn playlist_and_media() {
    let site = Site::live();
    let playlist = site.get("/live.m3u8");
    assert_eq!(playlist.status, 200);
    assert_eq!(
        playlist.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(playlist.header("cache-control"), "no-cache");
    assert_eq!(playlist.header("access-control-allow-origin"), "*");
    assert!(
        playlist
            .header("access-control-expose-headers")
            .contains("X-LLHLS-Version")
    );
    assert_eq!(playlist.header("x-llhls-version"), "2");
    assert!(!playlist.header("date").is_empty());
    assert!(playlist.text().contains("run/part_00005.m4s"));

    let segment = site.get("/run/segment_00000.m4s");
    assert_eq!(segment.text(), "<part 0><part 1><part 2><part 3><part 4>");
    assert_eq!(segment.header("content-type"), "video/mp4");
    assert_eq!(site.get("/run/init.mp4").text(), "<init>");
    assert_eq!(site.get("/run/part_00005.m4s").text(), "<part 5>");

    let missing = site.get("/old/part_00005.m4s");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("access-control-allow-origin"), "*");
    assert_eq!(missing.header("cache-control"), "no-store");
    assert_eq!(missing.text(), "no such resource\n");
    assert_eq!(site.get("/live.m3u8?_HLS_msn=x").status, 400);
}

#[test]
fn documents_and_page() {
    let site = Site::live();
    let timestamps: serde_json::Value =
        serde_json::from_str(site.get("/timestamps.json").text()).unwrap();
    assert_eq!(timestamps["version"], 2);
    assert_eq!(timestamps["captured"]["part_00005.m4s"], START.0);
    let stats = site.get("/stats.json");
    assert_eq!(stats.header("content-type"), "application/json");
    let stats: serde_json::Value = serde_json::from_str(stats.text()).unwrap();
    assert_eq!(stats["edge"]["msn"], 1);
    assert_eq!(stats["tracks"][0]["parts"], 6);
    let page = site.get("/");
    assert!(page.text().contains("live.m3u8"));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for (path, content_type) in [
        ("/player.js", "text/javascript; charset=utf-8"),
        ("/player.css", "text/css; charset=utf-8"),
    ] {
        assert_eq!(site.get(path).header("content-type"), content_type);
    }
    let hls = site.get("/hls.min.js");
    if hls.status == 404 {
        assert_eq!(hls.text(), "built without hls.js; run make\n");
    }
}

#[test]
fn a_blocked_reload_and_a_hint_wake_with_the_part() {
    let mut site = Site::live();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live.m3u8?_HLS_msn=1&_HLS_part=1");
    hint.get("/run/part_00006.m4s");
    site.until_parked(2);
    site.part();
    let playlist = reload.answer();
    assert!(playlist.text().contains("run/part_00006.m4s\",DURATION"));
    assert_eq!(
        playlist.header("cache-control"),
        "public, max-age=0, s-maxage=6"
    );
    let part = hint.answer();
    assert_eq!(part.body, part_bytes(6));
    assert_eq!(part.body, site.get("/run/part_00006.m4s").body);
    site.until_parked(0);
    assert_eq!(site.server().stats().clients.abandoned, 0);
}

/// A video and an audio beside it.
fn of_two() -> ServerConfig {
    ServerConfig {
        renditions: vec![video("video"), audio("audio")],
        ..config()
    }
}

/// A site of two renditions that have a segment each, and their tracks.
fn live_with_audio() -> (Site, [Track; 2]) {
    let site = Site::new(of_two());
    let mut tracks = [
        Track::new(VIDEO, CONSTANTS),
        Track::new(AUDIO, AUDIO_CONSTANTS),
    ];
    site.server()
        .publish(Publication::Init(AUDIO, audio_init("<audio init>")));
    for track in &mut tracks {
        part_of(&site, track);
        site.server().publish(track.segment_end());
    }
    (site, tracks)
}

fn part_of(site: &Site, track: &mut Track) {
    let target = track.constants.part_target;
    site.server().publish(track.next_part(target));
}

#[test]
fn several_renditions_are_offered_and_served() {
    let (site, _) = live_with_audio();
    let entry = site.get("/live.m3u8");
    assert_eq!(
        entry.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(entry.header("cache-control"), "no-cache");
    assert!(entry.text().contains("\nlive_video.m3u8\n"));
    assert!(entry.text().contains("URI=\"live_audio.m3u8\""));
    let audio = site.get("/live_audio.m3u8");
    assert!(audio.text().contains("run/audio_part_00000.m4s\",DURATION"));
    let init = site.get("/run/audio_init.mp4");
    assert_eq!(
        (init.text(), init.header("content-type")),
        ("<audio init>", "audio/mp4")
    );
    assert_eq!(
        site.get("/run/init.mp4").header("content-type"),
        "video/mp4"
    );
    assert_eq!(site.get("/run/video_init.mp4").status, 404);
    let stats: serde_json::Value = serde_json::from_str(site.get("/stats.json").text()).unwrap();
    assert_eq!(stats["tracks"][1]["name"], "audio");
    assert!(site.get("/").text().contains("live.m3u8"));
}

#[test]
fn the_entry_is_waited_for_until_all_are_there() {
    let mut site = Site::new(of_two());
    let mut clients: Vec<Client> = ["/live.m3u8", "/live_video.m3u8", "/live_audio.m3u8"]
        .into_iter()
        .map(|path| {
            let mut client = site.connect();
            client.get(path);
            client
        })
        .collect();
    site.until_parked(3);
    site.segment();
    site.until("the video is there", |stats| stats.edge.is_some());
    assert_eq!(site.server().stats().clients.parked, 3);
    site.server().publish(Publication::Absent(AUDIO));
    assert_eq!(clients[0].answer().status, 200);
    assert_eq!(clients[1].answer().status, 200);
    site.until_parked(1);

    let mut track = Track::new(AUDIO, AUDIO_CONSTANTS);
    site.server()
        .publish(Publication::Init(AUDIO, audio_init("<audio init>")));
    part_of(&site, &mut track);
    site.server().publish(track.segment_end());
    assert!(clients[2].answer().text().contains("audio_segment_00000"));
}

#[test]
fn a_blocked_reload_wakes_with_its_own_rendition_only() {
    let (site, [mut video, mut audio]) = live_with_audio();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live_audio.m3u8?_HLS_msn=1&_HLS_part=0");
    hint.get("/run/audio_part_00001.m4s");
    site.until_parked(2);
    for _ in 0..3 {
        part_of(&site, &mut video);
    }
    let fresh = site.get("/live_video.m3u8?_HLS_msn=1&_HLS_part=2");
    assert_eq!(fresh.header("x-llhls-version"), "4");
    assert_eq!(site.server().stats().clients.parked, 2);
    part_of(&site, &mut audio);
    // PL-30: what the video did meanwhile is in it.
    let report = "#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=1,LAST-PART=2\n";
    let playlist = reload.answer();
    assert!(playlist.text().ends_with(report), "{}", playlist.text());
    assert_eq!(hint.answer().text(), "<part 1>");
}

#[test]
fn reports_are_fresh_when_only_the_other_rendition_moved() {
    let (site, [_, mut audio]) = live_with_audio();
    let report = |msn, part| {
        format!("#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN={msn},LAST-PART={part}\n")
    };
    let before = site.get("/live_video.m3u8");
    assert!(before.text().ends_with(&report(0, 0)));
    for part in 0..2 {
        part_of(&site, &mut audio);
        site.get(&format!("/live_audio.m3u8?_HLS_msn=1&_HLS_part={part}"));
        let after = site.get("/live_video.m3u8");
        assert!(after.text().ends_with(&report(1, part)), "{}", after.text());
        assert_eq!(
            after.header("x-llhls-version"),
            before.header("x-llhls-version")
        );
    }
}

#[test]
fn the_end_of_one_rendition_releases_its_waiters() {
    let (mut site, [mut video, _]) = live_with_audio();
    let mut clients: Vec<Client> = [
        "/live_audio.m3u8?_HLS_msn=1&_HLS_part=0",
        "/run/audio_part_00001.m4s",
        "/live_video.m3u8?_HLS_msn=1&_HLS_part=0",
    ]
    .into_iter()
    .map(|path| {
        let mut client = site.connect();
        client.get(path);
        client
    })
    .collect();
    site.until_parked(3);
    site.server().publish(Publication::EndOfRendition(AUDIO));
    assert!(clients[0].answer().text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(clients[1].answer().status, 404);
    site.until_parked(1);
    part_of(&site, &mut video);
    assert_eq!(clients[2].answer().status, 200);
    clients[2].get("/live_video.m3u8?_HLS_msn=1&_HLS_part=1");
    site.until_parked(1);
    site.stop();
    assert_eq!(clients[2].answer().status, 503);
    let reports = site.reports.lock().unwrap();
    let ended = Event::RenditionEnded {
        rendition: "audio".to_owned(),
    };
    assert!(reports.contains(&Report::Event(ended)));
}

#[test]
fn stopping_answers_those_who_wait_for_any_rendition() {
    let (mut site, _) = live_with_audio();
    let mut client = site.connect();
    client.get("/live_audio.m3u8?_HLS_msn=1&_HLS_part=0");
    site.until_parked(1);
    let before = Instant::now();
    site.stop();
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(client.answer().status, 503);
}

#[test]
fn the_first_playlist_is_waited_for() {
    let mut site = Site::new(config());
    let mut client = site.connect();
    client.get("/live.m3u8");
    site.until_parked(1);
    site.part();
    site.until("the part is there", |stats| stats.edge.is_some());
    assert_eq!(site.server().stats().clients.parked, 1);
    site.segment();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn forty_waiters_do_not_hold_up_anybody() {
    let mut site = Site::live();
    let mut waiters: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=1&_HLS_part=1");
            client
        })
        .collect();
    site.until_parked(40);
    assert_eq!(site.get("/live.m3u8").status, 200);
    assert_eq!(site.server().stats().clients.parked, 40);
    site.part();
    let first = waiters[0].answer();
    for waiter in &mut waiters[1..] {
        assert_eq!(waiter.answer().body, first.body);
    }
}

#[test]
fn wait_and_version_answer_in_time() {
    let site = Site::live();
    let patient = site.get("/live.m3u8?wait=30&version=2");
    assert_eq!(patient.header("x-llhls-version"), "2");
    let mut client = site.connect();
    client.get("/live.m3u8?wait=60000&version=2");
    site.until_parked(1);
    site.server().publish(Publication::EndOfStream);
    assert_eq!(client.answer().header("x-llhls-version"), "4");
}

#[test]
fn the_end_releases_waiters_and_the_server_goes_on() {
    let site = Site::live();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live.m3u8?_HLS_msn=2");
    hint.get("/run/part_00006.m4s");
    site.until_parked(2);
    site.server().publish(Publication::EndOfStream);
    assert!(reload.answer().text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(hint.answer().status, 404);
    assert!(
        site.get("/live.m3u8?_HLS_msn=99")
            .text()
            .contains("ENDLIST")
    );
}

#[test]
fn stopping_answers_waiters_and_frees_the_port() {
    let mut site = Site::live();
    let mut waiters: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=1&_HLS_part=1");
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
fn head_is_get_without_body() {
    let site = Site::live();
    for path in [
        "/live.m3u8",
        "/run/segment_00000.m4s",
        "/",
        "/run/part_00099.m4s",
        "/nothing",
    ] {
        let (get, head) = (site.get(path), site.ask("HEAD", path));
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string());
    }
    // The answer after it is not taken for its body.
    let mut client = site.connect();
    client.send("HEAD /live.m3u8 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.get("/run/init.mp4");
    client.answer_to("HEAD");
    assert_eq!(client.answer().text(), "<init>");
}

#[test]
fn options_and_other_methods() {
    let site = Site::live();
    for path in ["/live.m3u8", "/run/part_00000.m4s", "*"] {
        let preflight = site.ask("OPTIONS", path);
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.header("access-control-allow-origin"), "*");
        assert!(
            preflight
                .header("access-control-allow-headers")
                .contains("Range")
        );
        assert!(
            preflight
                .header("access-control-allow-methods")
                .contains("GET")
        );
    }
    for method in ["POST", "PUT", "DELETE", "BREW"] {
        let answer = site.ask(method, "/live.m3u8");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[test]
fn one_origin_or_none_may_read() {
    let one = Site::live_with(ServerConfig {
        cors_origin: "https://a.example".to_owned(),
        ..config()
    });
    let answer = one.get("/live.m3u8");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://a.example"
    );
    assert_eq!(answer.header("vary"), "Origin");
    let none = Site::live_with(ServerConfig {
        cors_origin: String::new(),
        ..config()
    });
    let answer = none.get("/live.m3u8");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

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
    let lines = "A: b\r\n".repeat(100);
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
            client.get("/live.m3u8?_HLS_msn=1&_HLS_part=1");
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
            client.get("/live.m3u8?_HLS_msn=1&_HLS_part=1");
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

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut site = Site::live();
    let mut client = site.connect();
    let mut requests = String::new();
    for path in [
        "/run/part_00000.m4s",
        "/run/part_00006.m4s",
        "/run/part_00001.m4s",
        "/nothing",
        "/run/init.mp4",
    ] {
        requests.push_str(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    client.send(&requests);
    site.until_parked(1);
    site.part();
    let answers: Vec<Answer> = (0..5).map(|_| client.answer()).collect();
    let texts: Vec<&str> = answers.iter().map(Answer::text).collect();
    assert_eq!(
        texts,
        [
            "<part 0>",
            "<part 6>",
            "<part 1>",
            "no such resource\n",
            "<init>"
        ]
    );
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
            "segment_00000.m4s",
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
    client.get("/live.m3u8?_HLS_msn=2");
    for _ in 0..500 {
        site.segment();
    }
    assert_eq!(client.answer().status, 200);
    site.until("all is applied", |stats| {
        stats.edge.is_some_and(|edge| edge.msn.0 == 500)
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
