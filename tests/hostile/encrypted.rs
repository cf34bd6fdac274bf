//! Attacks on the TLS port: on the handshake, and with HTTP/2 behind it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    crowds::connect_narrowly,
    siege::{Siege, attack_time},
    support::{
        Deadline, PATIENCE,
        frames::{
            ACK, CONTINUATION, DATA, END_HEADERS, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
            PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, get_block, literal,
        },
    },
};

/// Longer than any time-out of the server, on a busy machine.
const TIMED_OUT: Duration = Duration::from_secs(90);

/// Frames sent before a look at what came back.
const BATCH: u32 = 100;

/// RFC 9113 7.
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) fn attack_handshakes(siege: &mut Siege) {
    siege.face("plain HTTP on the TLS port", |siege| {
        let mut connection = connect(siege.tls_port);
        connection
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
        "400 with a reason, closed".to_owned()
    });
    siege.face("garbage on the TLS port", |siege| {
        let mut connection = connect(siege.tls_port);
        let _ = connection.write_all(&[0xa5; 4096]);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert!(answer.len() < 100, "{answer:?}");
        "closed".to_owned()
    });
    let attack = "300 silent handshakes, 50 silent after theirs, 50 that open no window, 50 that read 1 KB/s, 20 that \
        answer no ping, 20 that ask for nothing more, all at once";
    siege.face(attack, |siege| {
        let before = siege.stats()["limits"].clone();
        let mut silent: Vec<TcpStream> = (0..300)
            .map(|nth| {
                let mut connection = connect(siege.tls_port);
                if nth % 2 == 1 {
                    // A ClientHello that says it has 508 bytes.
                    connection
                        .write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc")
                        .unwrap();
                }
                connection.set_nonblocking(true).unwrap();
                connection
            })
            .collect();
        let segment = format!("/{}", siege.playlist().segments.last().unwrap().uri);
        let mut guests: Vec<Guest> = [
            (Habit::Silent, 50),
            (Habit::Shuts, 50),
            (Habit::Sips, 50),
            (Habit::IsDeaf, 20),
            (Habit::Idles, 20),
            (Habit::Watches, 20),
        ]
        .iter()
        .flat_map(|(habit, count)| [*habit].repeat(*count))
        .map(|habit| Guest::new(siege.tls_port, habit, &segment))
        .collect();
        let during = siege.check_service("while they are there");
        check_http2(siege);
        let deadline = Deadline::after(TIMED_OUT);
        let is_unwelcome = |guest: &&Guest| guest.habit != Habit::Watches;
        // Each turn waits for those that are welcome to hear something.
        loop {
            silent.retain(|connection| {
                matches!(connection.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            });
            for guest in guests.iter_mut().filter(|guest| !guest.frames.is_closed) {
                guest.live_on();
            }
            let left: Vec<Habit> = guests
                .iter()
                .filter(is_unwelcome)
                .filter(|guest| !guest.frames.is_closed)
                .map(|guest| guest.habit)
                .collect();
            if silent.is_empty() && left.is_empty() {
                break;
            }
            assert!(
                !deadline.is_over(),
                "{} and {left:?} are still there: {}",
                silent.len(),
                siege.stats()
            );
        }
        for guest in &guests {
            let (frames, habit) = (&guest.frames, guest.habit);
            match habit {
                Habit::Watches => {
                    assert!(!frames.is_closed && guest.answers > 1, "{}", guest.answers);
                }
                // It did nothing wrong.
                Habit::Idles => assert_eq!(frames.goodbye, Some(0)),
                Habit::IsDeaf => assert!(guest.answers > 1, "{}", guest.answers),
                _ => assert_eq!(guest.answers, 0, "{habit:?}"),
            }
        }
        let after = siege.stats()["limits"].clone();
        let over = |limit: &str| after[limit].as_u64().unwrap() - before[limit].as_u64().unwrap();
        assert!(over("handshake") >= 300, "{after}");
        assert!(over("request_time") >= 90, "{after}");
        assert!(over("progress") >= 100, "{after}");
        format!(
            "a viewer in {:.1} ms beside them; {} handshakes, {} silent, deaf or idle and {} stalled ones cut off; 20 that \
             watched meanwhile were not",
            during.as_secs_f64() * 1e3,
            over("handshake"),
            over("request_time"),
            over("progress")
        )
    });
}

/// A client that has shaken hands, and stays as long as it may.
struct Guest {
    frames: Frames,
    habit: Habit,
    /// The stream of its next request.
    next: u32,
    /// Until it asks or sips again, if it does.
    pause: Deadline,
    /// Answers that have begun.
    answers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// Says nothing.
    Silent,
    /// Asks for segments and opens no window for them.
    Shuts,
    /// Asks for segments, opens every window, and reads a kilobyte a second.
    Sips,
    /// Asks on and on, and answers no ping.
    IsDeaf,
    /// Asks once, and answers pings ever after.
    Idles,
    /// Asks on and on, and answers pings.
    Watches,
}

impl Habit {
    fn pause(self) -> Deadline {
        Deadline::after(Duration::from_secs(match self {
            Self::Sips => 1,
            // Quiet enough to be pinged, and not idle.
            _ => 12,
        }))
    }
}

impl Guest {
    fn new(port: u16, habit: Habit, segment: &str) -> Self {
        let frames = match habit {
            Habit::Silent => Frames::shake_hands(port),
            Habit::Shuts => Frames::connect(port, &[(INITIAL_WINDOW_SIZE, 0)]),
            Habit::Sips => {
                let mut frames =
                    Frames::connect_over(connect_narrowly(port), &[(INITIAL_WINDOW_SIZE, 1 << 24)]);
                let wide = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
                frames.send(&wide).unwrap();
                frames
            }
            Habit::IsDeaf | Habit::Idles | Habit::Watches => Frames::connect(port, &[]),
        };
        let mut guest = Self {
            frames,
            habit,
            next: 1,
            pause: habit.pause(),
            answers: 0,
        };
        match habit {
            Habit::Silent => {}
            Habit::Shuts | Habit::Sips => (0..50).for_each(|_| guest.ask(segment)),
            Habit::IsDeaf | Habit::Idles | Habit::Watches => guest.ask("/live.m3u8"),
        }
        guest
    }

    fn ask(&mut self, path: &str) {
        // It may have been cut off.
        let _ = self.frames.get(self.next, path);
        self.next += 2;
    }

    fn live_on(&mut self) {
        let is_due = self.pause.is_over();
        if is_due {
            self.pause = self.habit.pause();
        }
        if self.habit == Habit::Sips {
            return self.frames.sip(if is_due { 1024 } else { 0 });
        }
        while let Some(received) = self.frames.glance() {
            let is_question = received.kind == PING && received.flags & ACK == 0;
            if is_question && self.habit != Habit::IsDeaf {
                let _ = self.frames.send(&frame(PING, ACK, 0, &received.payload));
            }
            let has_headers = received.kind == HEADERS;
            self.answers += u32::from(has_headers && self.habit != Habit::Shuts);
        }
        if is_due && matches!(self.habit, Habit::IsDeaf | Habit::Watches) {
            self.ask("/live.m3u8");
        }
    }
}

/// Somebody who comes over HTTP/2 is served.
fn check_http2(siege: &Siege) {
    let mut frames = Frames::connect(siege.tls_port, &[]);
    frames.get(1, "/live.m3u8").unwrap();
    assert_eq!(frames.status(1), 200);
}

fn connect(port: u16) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection
}

pub(crate) fn attack_http2(siege: &mut Siege) {
    let mut face = |attack: &str, run: &dyn Fn(&Siege) -> String| {
        siege.face(attack, |siege| {
            let seen = run(siege);
            check_http2(siege);
            seen
        });
    };
    face("rapid reset", &|siege| {
        let before = siege.over("http2");
        let flood = flood(siege, |nth| {
            let stream = 2 * nth + 1;
            let mut bytes = get(stream, "/live.m3u8");
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        });
        assert!(siege.over("http2") > before, "{}", siege.stats());
        flood.assert_told(ENHANCE_YOUR_CALM)
    });
    face("rapid reset of parked requests", &|siege| {
        let path = siege.parking_path();
        let flood = flood(siege, |nth| {
            let stream = 2 * nth + 1;
            let mut bytes = get(stream, &path);
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        });
        flood.assert_told(ENHANCE_YOUR_CALM)
    });
    face(
        "streams the server has to reset (window updates of nothing)",
        &|siege| {
            let flood = flood(siege, |nth| {
                let stream = 2 * nth + 1;
                let mut bytes = get(stream, "/live.m3u8?_HLS_msn=99999999");
                bytes.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
                bytes
            });
            flood.assert_ended()
        },
    );
    face("CONTINUATION flood", &|siege| {
        let flood = flood(siege, |nth| match nth {
            0 => frame(HEADERS, 0, 1, &get_block("/live.m3u8")),
            _ => {
                let mut block = Vec::new();
                // x-attack: a value that stays out of any table.
                block.extend(b"\0\x08x-attack");
                literal(&mut block, 0, &"y".repeat(100));
                block.remove(10);
                frame(CONTINUATION, 0, 1, &block)
            }
        });
        flood.assert_ended()
    });
    face("CONTINUATION flood of empty frames", &|siege| {
        let flood = flood(siege, |nth| match nth {
            0 => frame(HEADERS, 0, 1, &get_block("/live.m3u8")),
            _ => frame(CONTINUATION, 0, 1, &[]),
        });
        flood.assert_ended()
    });
    face(
        "a header block that unpacks to 100 times its size",
        &|siege| {
            let mut frames = Frames::connect(siege.tls_port, &[]);
            let mut block = get_block("/live.m3u8");
            // A new entry of the table, 3 KB long, and then itself over and over.
            block.extend(b"\x40\x01x");
            let mut value = Vec::new();
            literal(&mut value, 0, &"y".repeat(3000));
            block.extend(&value[1..]);
            block.extend([0xbe; 300]);
            frames
                .send(&frame(HEADERS, END_HEADERS | 1, 1, &block))
                .unwrap();
            let told = frames.wait_for("a refusal", |frame| match frame.kind {
                HEADERS => Some(frame.status().to_string()),
                RST_STREAM => Some("the stream is reset".to_owned()),
                GOAWAY => Some("GOAWAY".to_owned()),
                _ => None,
            });
            assert_ne!(told, "200");
            told
        },
    );
    face("SETTINGS flood, answers unread", &|siege| {
        flood_unread(siege, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 1, 0])).seen()
    });
    face("SETTINGS flood", &|siege| {
        let before = siege.over("http2");
        // Twenty at a time, so that the slowest of testers sends too much.
        let settings = [0, 4, 0, 0, 1, 0].repeat(20);
        let flood = flood(siege, |_| frame(SETTINGS, 0, 0, &settings));
        assert!(siege.over("http2") > before, "{}", siege.stats());
        flood.assert_ended()
    });
    face("PING flood, answers unread", &|siege| {
        flood_unread(siege, |_| frame(PING, 0, 0, &[7; 8])).seen()
    });
    face("PING flood", &|siege| {
        flood(siege, |_| frame(PING, 0, 0, &[7; 8])).seen()
    });
    face("PRIORITY flood", &|siege| {
        flood(siege, |nth| {
            frame(PRIORITY, 0, 2 * (nth % 1000) + 1, &[0, 0, 0, 0, 1])
        })
        .seen()
    });
    face("empty DATA flood", &|siege| {
        flood(siege, |nth| match nth {
            0 => frame(HEADERS, END_HEADERS, 1, &get_block(&siege.parking_path())),
            _ => frame(DATA, 0, 1, &[]),
        })
        .assert_ended()
    });
    face("windows that overflow", &|siege| {
        let most = 0x7fff_ffff_u32.to_be_bytes();
        let flood = flood(siege, |_| frame(WINDOW_UPDATE, 0, 0, &most));
        flood.assert_told(FLOW_CONTROL_ERROR)
    });
    face("requests without end, none of them read", &|siege| {
        flood_unread(siege, |nth| get(2 * nth + 1, "/stats.json")).seen()
    });
    face("90 requests parked on one connection", &|siege| {
        let before = siege.over("parked_per_connection");
        let mut frames = Frames::connect(siege.tls_port, &[]);
        // So long that all of them come before the first has its answer.
        let path = format!("/live.m3u8?wait=5000&version={}", u64::MAX);
        let requests: Vec<u8> = (0..90).flat_map(|nth| get(2 * nth + 1, &path)).collect();
        frames.send(&requests).unwrap();
        let mut statuses = Vec::new();
        while statuses.len() < 90 {
            let status = frames.wait_for("answers", |frame| {
                (frame.kind == HEADERS).then(|| frame.status())
            });
            statuses.push(status);
        }
        let of = |status: u16| statuses.iter().filter(|found| **found == status).count();
        assert_eq!(of(200) + of(429), 90, "{statuses:?}");
        assert!(of(200) >= 32, "{statuses:?}");
        let over = siege.over("parked_per_connection") - before;
        assert_eq!(over, of(429) as u64);
        assert!(over > 0, "{statuses:?}");
        format!(
            "{} answered, {} told 429; the connection goes on",
            of(200),
            of(429)
        )
    });
    face("101 streams at once", &|siege| {
        // None of them is read, so all stay open.
        let mut frames = Frames::connect(siege.tls_port, &[(INITIAL_WINDOW_SIZE, 0)]);
        let path = format!("/{}", siege.playlist().segments.last().unwrap().uri);
        let requests: Vec<u8> = (0..101).flat_map(|nth| get(2 * nth + 1, &path)).collect();
        frames.send(&requests).unwrap();
        let (mut answered, mut refused) = (0, None);
        while refused.is_none() || answered < 100 {
            frames.wait_for("100 answers and a refusal", |frame| match frame.kind {
                HEADERS => {
                    answered += 1;
                    Some(())
                }
                RST_STREAM => {
                    let code = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                    refused = Some((frame.stream, code));
                    Some(())
                }
                _ => None,
            });
        }
        assert_eq!(refused, Some((201, REFUSED_STREAM)));
        format!("{answered} answered, the last one refused")
    });
    face("frames no connection has", &|siege| {
        let mut told = Vec::new();
        for bytes in [
            frame(DATA, 0, 0, b"on no stream"),
            frame(HEADERS, END_HEADERS, 2, &get_block("/")),
            frame(SETTINGS, 0, 0, &[0; 5]),
            frame(PING, 0, 0, &[0; 7]),
            frame(RST_STREAM, 0, 99, &[0; 4]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(HEADERS, END_HEADERS, 1, &[0xff; 16]),
            frame(HEADERS, END_HEADERS, 1, &[0x82]),
            frame(0xfa, 0xff, 1, &[1; 100]),
            vec![0xff; 64],
        ] {
            let mut frames = Frames::connect(siege.tls_port, &[]);
            let _ = frames.send(&bytes);
            let _ = frames.get(101, "/live.m3u8");
            // Answered, told or closed, but not held.
            let end = loop {
                match frames.glance() {
                    Some(frame) if frame.kind == GOAWAY => break "GOAWAY",
                    Some(frame) if frame.kind == HEADERS && frame.stream == 101 => break "ignored",
                    _ if frames.is_closed => break "closed",
                    _ => {}
                }
            };
            told.push(end);
        }
        told.join(", ")
    });
}

/// How a flood ended.
struct Flood {
    sent: u32,
    /// Whether the server stopped taking it.
    is_blocked: bool,
    is_over: bool,
    goodbye: Option<u32>,
}

impl Flood {
    fn seen(&self) -> String {
        let sent = self.sent;
        match (self.goodbye, self.is_over, self.is_blocked) {
            (Some(code), ..) => format!("GOAWAY with error {code} within {sent} frames"),
            (None, true, _) => format!("closed within {sent} frames"),
            (None, false, true) => format!("not read any more after {sent} frames"),
            (None, false, false) => {
                let seconds = attack_time().as_secs_f64();
                format!("{:.0} frames a second taken", f64::from(sent) / seconds)
            }
        }
    }

    fn assert_told(&self, code: u32) -> String {
        assert!(
            self.goodbye == Some(code) || self.goodbye.is_none() && self.is_over,
            "{}",
            self.seen()
        );
        self.seen()
    }

    fn assert_ended(&self) -> String {
        assert!(self.is_over || self.goodbye.is_some(), "{}", self.seen());
        self.seen()
    }
}

/// Sends frames as fast as they are taken, and reads what comes.
fn flood(siege: &Siege, make: impl Fn(u32) -> Vec<u8>) -> Flood {
    pour(siege, true, make)
}

fn flood_unread(siege: &Siege, make: impl Fn(u32) -> Vec<u8>) -> Flood {
    pour(siege, false, make)
}

fn pour(siege: &Siege, reads: bool, make: impl Fn(u32) -> Vec<u8>) -> Flood {
    let mut frames = Frames::connect(siege.tls_port, &[]);
    frames.give_up_writing_early();
    let deadline = Deadline::after(attack_time());
    let mut sent = 0;
    let mut is_blocked = false;
    while !deadline.is_over() && !frames.is_closed && frames.goodbye.is_none() {
        let batch: Vec<u8> = (sent..sent + BATCH).flat_map(&make).collect();
        if let Err(error) = frames.send(&batch) {
            is_blocked = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            break;
        }
        sent += BATCH;
        while reads && frames.glance().is_some() {}
    }
    if !is_blocked {
        // What was said before the connection was closed.
        frames.read_to_end(Duration::from_millis(500));
    }
    Flood {
        sent,
        is_blocked,
        is_over: frames.is_closed,
        goodbye: frames.goodbye,
    }
}
