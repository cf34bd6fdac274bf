//! An origin made up for followers, whose clock and whose record of moments are as a test wants them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use super::unix_now;

const PART: i64 = 200_000_000;

/// Its playlist is at `/live.m3u8`. A part is complete as soon as somebody asks for it: nothing here takes time of itself.
#[derive(Debug)]
pub struct Origin {
    pub port: u16,
}

impl Origin {
    /// Its clock is `ahead` of the host's by so many nanoseconds. `timestamps` says with what status the n-th question for
    /// `/timestamps.json` is answered, counted from 0.
    pub fn start(ahead: i64, timestamps: impl Fn(usize) -> u16 + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut state = State {
            ahead,
            parts: BTreeMap::new(),
            questions: 0,
        };
        state.publish(1);
        // It ends with the test.
        thread::spawn(move || {
            for connection in listener.incoming() {
                // Whoever hangs up has what it came for.
                let _ = connection.and_then(|connection| state.answer(&connection, &timestamps));
            }
        });
        Self { port }
    }
}

struct State {
    ahead: i64,
    /// By number: when its first frame was captured, and when it was published, by the clock of the origin. Each is a segment
    /// of its own.
    parts: BTreeMap<u64, (i64, i64)>,
    /// Times that `/timestamps.json` was asked for.
    questions: usize,
}

impl State {
    fn now(&self) -> i64 {
        unix_now() + self.ahead
    }

    fn publish(&mut self, number: u64) {
        let now = self.now();
        self.parts.entry(number).or_insert((now - PART, now));
    }

    fn answer(
        &mut self,
        connection: &TcpStream,
        timestamps: impl Fn(usize) -> u16,
    ) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let wanted = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("_HLS_msn="));
        let (status, body) = match path {
            "/live.m3u8" => {
                if let Some(number) = wanted {
                    self.publish(number.parse().unwrap());
                }
                (200, self.playlist())
            }
            "/timestamps.json" => {
                let status = timestamps(self.questions);
                self.questions += 1;
                let record = self.record();
                let is_good = status == 200;
                (status, if is_good { record } else { String::new() })
            }
            _ if path.ends_with(".m4s") => (200, "media".to_owned()),
            _ => (404, String::new()),
        };
        write!(
            &mut &*connection,
            "HTTP/1.1 {status} So\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn playlist(&self) -> String {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n#EXT-X-PART-INF:PART-TARGET=0.2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            self.parts.keys().next().unwrap()
        );
        for (number, (captured, _)) in &self.parts {
            let date = chrono::DateTime::from_timestamp_nanos(*captured);
            text += &format!(
                "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXT-X-PART:DURATION=0.2,URI=\"part_{number:05}.m4s\"\n\
                 #EXTINF:0.2,\nsegment_{number:05}.m4s\n",
                date.format("%Y-%m-%dT%H:%M:%S%.3fZ")
            );
        }
        text
    }

    fn record(&self) -> String {
        let moments = |of: fn(&(i64, i64)) -> i64| -> serde_json::Value {
            let named = |(number, part)| (format!("part_{number:05}.m4s"), of(part).into());
            serde_json::Value::Object(self.parts.iter().map(named).collect())
        };
        let captured = moments(|(captured, _)| *captured);
        let published = moments(|(_, published)| *published);
        let now = self.now();
        serde_json::json!({"parts": published, "captured": captured, "timestamp": now}).to_string()
    }
}
