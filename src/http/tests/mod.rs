//! The server over real sockets, fed with a made-up stream. Nothing here sleeps for a fixed time: every wait is for
//! something, with a deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "deadlines of tests over real sockets"
)]

mod access;
mod answers;
mod attacks;
mod blocking;
mod lifetime;
mod renditions;
mod serving;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Report, Server, ServerConfig, bind};
use crate::delivery::access::AccessToken;
use crate::delivery::stats::{Limit, Stats};
use crate::origin::event::Event;
use crate::origin::fixture::{
    AUDIO, AUDIO_CONSTANTS, CONSTANTS, START, Track, VIDEO, audio, audio_init, init, part_bytes,
    run, ticks, video,
};
use crate::origin::media::{NewGap, NewPart, Publication};

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
        max_connections: Some(200),
        ..ServerConfig::new(run(), vec![video("video")])
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

    /// One whole segment of five parts, and one part of the next: the edge is (2, 0), the hint part 6.
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
        self.ask_with(method, path, "")
    }

    /// `headers`: whole lines.
    fn ask_with(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut client = self.connect();
        client.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"
        ));
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
