//! Many at once: floods of short connections, and crowds that stay and do nothing useful.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    siege::{Siege, at_rate},
    support::{Deadline, PATIENCE, http::Client, wait_until},
};

/// Longer than any time-out of the server, on a busy machine.
const TIMED_OUT: Duration = Duration::from_secs(90);

/// Connections that are left are left this much later, as many as that: a tenth of a second.
const STAYING: usize = 50;

/// The same where what they wait for is there within a tenth of a second.
const STAYING_FOR_A_HINT: usize = 5;

/// Requests before they are made anew: for a fifth of a part, so that most of those in a hint are held.
const RENEWED: u32 = 10;

pub(crate) fn flood(siege: &mut Siege) {
    siege.face("1,000 connects a second", |siege| {
        let mut nth = 0;
        let rate = at_rate(1000, || {
            let mut client = connect(siege.port);
            nth += 1;
            if nth % 2 == 0 {
                let _ = client.write_all(b"GET /live.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n");
            }
        });
        siege.check_service("while connections pour in");
        format!("{rate} a second")
    });
    siege.face("500 abandons a second while parked", |siege| {
        abandon_parked(siege, STAYING, |siege| get(&siege.parking_path()))
    });
    siege.face("500 abandons a second in the hint", |siege| {
        let hint = |siege: &Siege| get(&format!("/{}", siege.playlist().hint.unwrap()));
        abandon_parked(siege, STAYING_FOR_A_HINT, hint)
    });
    siege.face("500 abandons a second in a body", |siege| {
        // More than the kernel holds for who does not read: the server is in the middle of it when they leave.
        let rate = abandon(siege, STAYING, segments, 100);
        format!("{rate} a second")
    });
}

/// Has requests that wait abandoned. Many are answered before, because what they wait for comes, but most of an attack is
/// one.
fn abandon_parked(
    siege: &Siege,
    staying_at_a_time: usize,
    requests: impl Fn(&Siege) -> String,
) -> String {
    let before = abandoned(siege);
    let mut all = 0;
    let rate = abandon(
        siege,
        staying_at_a_time,
        |siege| {
            all += u64::from(RENEWED);
            requests(siege)
        },
        0,
    );
    // The viewer who is there may be parked.
    wait_until("the parked to be gone", || parked(siege) <= 1);
    let abandoned = abandoned(siege) - before;
    assert!(abandoned * 4 >= all, "{abandoned} of {all} were parked");
    format!("{rate} a second, {abandoned} of {all} parked")
}

fn abandoned(siege: &Siege) -> u64 {
    siege.stats()["clients"]["abandoned"].as_u64().unwrap()
}

fn parked(siege: &Siege) -> u64 {
    siege.stats()["clients"]["parked"].as_u64().unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The newest segment, a hundred times over: some ten megabytes.
fn segments(siege: &Siege) -> String {
    let playlist = siege.playlist();
    get(&format!("/{}", playlist.segments.last().unwrap().uri)).repeat(100)
}

/// Sends requests that are made anew now and then, reads so many bytes of what comes, and leaves when so many others have come.
fn abandon(
    siege: &Siege,
    staying_at_a_time: usize,
    mut requests: impl FnMut(&Siege) -> String,
    bytes: usize,
) -> u32 {
    let mut staying = VecDeque::new();
    let mut request = String::new();
    let mut nth = 0_u32;
    at_rate(500, || {
        if nth.is_multiple_of(RENEWED) {
            request = requests(siege);
        }
        nth += 1;
        let mut client = connect_narrowly(siege.port);
        let _ = client.write_all(request.as_bytes());
        let _ = client.read_exact(&mut vec![0; bytes]);
        staying.push_back(client);
        if staying.len() > staying_at_a_time {
            staying.pop_front();
        }
    })
}

fn connect(port: u16) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// With little room for what is not read: or the kernel takes it all in place of the reader.
pub(crate) fn connect_narrowly(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&address.into()).unwrap();
    socket.into()
}

pub(crate) fn linger(siege: &mut Siege) {
    let attack = "500 slowloris, 500 idle, 100 readers at 1 KB/s, 20 who read nothing, 12 half-sent POSTs, all at once";
    siege.face(attack, |siege| {
        let before = siege.stats()["limits"].clone();
        let mut crowd = Vec::new();
        for _ in 0..500 {
            crowd.push(Lingerer::new(siege.port, b"", Habit::Silent));
            let head = b"GET /live.m3u8 HTTP/1.1\r\nHost: a\r\n";
            crowd.push(Lingerer::new(siege.port, head, Habit::Trickles));
        }
        let requests = segments(siege);
        for nth in 0..120 {
            let habit = if nth < 100 {
                Habit::Sips
            } else {
                Habit::Silent
            };
            crowd.push(Lingerer::new(siege.port, requests.as_bytes(), habit));
        }
        for _ in 0..12 {
            let half = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf of it";
            crowd.push(Lingerer::new(siege.port, half, Habit::Reads));
        }
        let during = siege.check_service("while the crowd is there");
        let deadline = Deadline::after(TIMED_OUT);
        let mut turn = 0_u32;
        while !crowd.is_empty() {
            crowd.retain_mut(|lingerer| lingerer.is_served_on(turn));
            turn += 1;
            // Whoever does not read cannot see that it was let go: the end comes after what is unread.
            if turn.is_multiple_of(20) && siege.stats()["clients"]["connections"] == 2 {
                break;
            }
            let left = crowd.len();
            assert!(!deadline.is_over(), "{left} are still there: {}", siege.stats());
            thread::sleep(Lingerer::TURN);
        }
        let after = siege.stats()["limits"].clone();
        let over = |limit: &str| after[limit].as_u64().unwrap() - before[limit].as_u64().unwrap();
        assert!(over("request_time") >= 1000, "{after}");
        assert!(over("progress") >= 120, "{after}");
        assert!(over("body") >= 12, "{after}");
        format!(
            "a viewer in {:.1} ms beside them; {} cut off for silence, {} for reading too slowly, {} POSTs refused",
            during.as_secs_f64() * 1e3,
            over("request_time"),
            over("progress"),
            over("body")
        )
    });
}

/// A client that stays as long as it may.
struct Lingerer {
    connection: TcpStream,
    habit: Habit,
}

#[derive(Clone, Copy)]
enum Habit {
    /// Neither reads nor writes.
    Silent,
    /// Sends a header line a second.
    Trickles,
    /// Reads a kilobyte a second.
    Sips,
    /// Reads what there is.
    Reads,
}

impl Lingerer {
    const TURN: Duration = Duration::from_millis(100);

    fn new(port: u16, first: &[u8], habit: Habit) -> Self {
        let mut connection = connect_narrowly(port);
        connection.set_nonblocking(true).unwrap();
        // The server may stop reading before all of it is sent.
        let _ = connection.write_all(first);
        Self { connection, habit }
    }

    /// Does what it does; false once the server has closed.
    fn is_served_on(&mut self, turn: u32) -> bool {
        let is_second = turn.is_multiple_of(10);
        let result = match self.habit {
            Habit::Trickles if is_second => self.connection.write(b"X: y\r\n"),
            Habit::Sips if is_second => self.connection.read(&mut [0; 1024]),
            Habit::Reads => self.connection.read(&mut [0; 4096]),
            _ => self.connection.peek(&mut [0; 1]),
        };
        // Bytes that nobody reads hide the end of the connection behind them; a reset does not wait its turn.
        let is_reset = self.connection.take_error().unwrap().is_some();
        match result {
            Ok(0) => false,
            Ok(_) => !is_reset,
            Err(error) => !is_reset && error.kind() == ErrorKind::WouldBlock,
        }
    }
}

pub(crate) fn exhaust_descriptors(siege: &mut Siege) {
    siege.face("400 connections where there are 160 descriptors", |siege| {
        let crowd: Vec<TcpStream> = (0..400).map(|_| connect(siege.port)).collect();
        wait_until("the warning", || siege.state().contains("cannot accept"));
        siege.viewer_goes_on();
        for connection in &crowd {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(crowd);
        let answer = Client::new(siege.port).get("/stats.json");
        assert_eq!(answer.status, 200);
        "a warning on the bus; who was there watches on; served again once they left".to_owned()
    });
}
