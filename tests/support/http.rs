//! A client as small as can be: one request at a time on one connection, everything with a deadline.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use super::PATIENCE;

/// An answer, as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Keeps its connection from one request to the next.
#[derive(Debug)]
pub struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
    /// Whole lines, sent with every request.
    headers: String,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self {
            port,
            connection: None,
            headers: String::new(),
        }
    }

    /// Sends this header with every request from now on.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The answer to GET, whatever it is.
    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path)
    }

    /// The answer to GET with one more header.
    pub fn get_with(&mut self, name: &str, value: &str, path: &str) -> Answer {
        let usual = self.headers.clone();
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        let answer = self.get(path);
        self.headers = usual;
        answer
    }

    /// The body of what has to be there.
    pub fn body(&mut self, path: &str) -> Vec<u8> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }

    pub fn request(&mut self, method: &str, path: &str) -> Answer {
        self.try_request(method, path)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_request(&mut self, method: &str, path: &str) -> std::io::Result<Answer> {
        let is_reused = self.connection.is_some();
        match self.exchange(method, path) {
            // The server may have closed an idle connection in the meantime.
            Err(_) if is_reused => self.exchange(method, path),
            result => result,
        }
    }

    fn exchange(&mut self, method: &str, path: &str) -> std::io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        let headers = &self.headers;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = read_answer(&mut connection, method == "HEAD")?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// The next answer on a connection. In chunks it may come from a cache, which begins to send before it has all; the element
/// always says how much comes.
pub fn read_answer(connection: &mut impl BufRead, is_head: bool) -> std::io::Result<Answer> {
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let status = line()?;
    let status = status
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| bad(&status))?;
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| bad(&header))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if is_head || matches!(status, 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = read_chunks(connection)?;
        return Ok(answer);
    }
    let length = answer
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| bad("no Content-Length"))?;
    answer.body = vec![0; length];
    connection.read_exact(&mut answer.body)?;
    Ok(answer)
}

/// The rest of an answer that comes in chunks (RFC 9112 7.1), without extensions and trailers.
fn read_chunks(connection: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, line))?;
        let from = body.len();
        body.resize(from + size, 0);
        connection.read_exact(&mut body[from..])?;
        let mut end = [0; 2];
        connection.read_exact(&mut end)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A request under way on a thread and a connection of its own.
#[derive(Debug)]
pub struct Pending {
    path: String,
    answer: mpsc::Receiver<std::io::Result<Answer>>,
}

impl Pending {
    pub fn get(port: u16, path: &str) -> Self {
        let (sender, answer) = mpsc::channel();
        let request = path.to_owned();
        thread::spawn(move || {
            let answer = Client::new(port).try_request("GET", &request);
            // Nobody listens when the test failed.
            let _ = sender.send(answer);
        });
        Self {
            path: path.to_owned(),
            answer,
        }
    }

    /// Panics when there is an answer already.
    pub fn assert_waiting(&self) {
        if let Ok(answer) = self.answer.try_recv() {
            panic!("{} was to wait: {answer:?}", self.path);
        }
    }

    pub fn wait(self) -> Answer {
        self.wait_at_most(PATIENCE)
    }

    pub fn wait_at_most(self, patience: Duration) -> Answer {
        self.answer
            .recv_timeout(patience)
            .unwrap_or_else(|_| panic!("no answer to {}", self.path))
            .unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}
