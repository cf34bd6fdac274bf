//! HTTP/2 frame by frame, for clients that do what no library would.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use super::{Deadline, PATIENCE, secure};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a look takes at whether something came.
const GLANCE: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The status in the HEADERS of an answer: the first field, as the encoder's table has no room for any.
    pub fn status(&self) -> u16 {
        let mut block = &self.payload[..];
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        match block[0] {
            indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed & 7)],
            // Literal, named ":status".
            0x08 | 0x18 | 0x48 => {
                let length = usize::from(block[1] & 0x7f);
                let value = &block[2..2 + length];
                if block[1] & 0x80 == 0 {
                    std::str::from_utf8(value).unwrap().parse().unwrap()
                } else {
                    digits(value).parse().unwrap()
                }
            }
            other => panic!("no status: {other:#x}"),
        }
    }

    /// The error code of GOAWAY.
    fn error_code(&self) -> u32 {
        u32::from_be_bytes(self.payload[4..8].try_into().unwrap())
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B).
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u32> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)))
        .collect();
    let mut text = String::new();
    let mut rest = &bits[..];
    for _ in 0..3 {
        let read = |count: usize| rest[..count].iter().fold(0, |value, bit| value << 1 | bit);
        let (digit, count) = match read(5) {
            short @ 0..=2 => (short, 5),
            _ => (read(6) - 0x19 + 3, 6),
        };
        text.push(char::from_digit(digit, 10).unwrap());
        rest = &rest[count..];
    }
    text
}

/// A connection over which any frame can be sent.
pub struct Frames {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
    /// The last GOAWAY's error code.
    pub goodbye: Option<u32>,
    /// Whether the server has closed.
    pub is_closed: bool,
}

impl Frames {
    /// Shakes hands; nothing of HTTP/2 is said yet.
    pub fn shake_hands(port: u16) -> Self {
        Self::shake_hands_over(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    fn shake_hands_over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        let config = secure::trusting_anybody(rustls::ALL_VERSIONS, &[secure::HTTP2]);
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        stream.sock.set_read_timeout(Some(GLANCE)).unwrap();
        Self {
            stream,
            unread: Vec::new(),
            goodbye: None,
            is_closed: false,
        }
    }

    /// With these settings, and no table for the headers of answers.
    pub fn connect(port: u16, settings: &[(u16, u32)]) -> Self {
        Self::connect_over(TcpStream::connect(("127.0.0.1", port)).unwrap(), settings)
    }

    /// The same over a connection that is there already.
    pub fn connect_over(tcp: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::shake_hands_over(tcp);
        let mut payload = Vec::new();
        for (name, value) in [&[(HEADER_TABLE_SIZE, 0)], settings].concat() {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut first = PREFACE.to_vec();
        first.extend(frame(SETTINGS, 0, 0, &payload));
        frames.send(&first).unwrap();
        frames
    }

    /// A write that the server does not take in two seconds fails.
    pub fn give_up_writing_early(&self) {
        let patience = Some(Duration::from_secs(2));
        self.stream.sock.set_write_timeout(patience).unwrap();
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn get(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(&get(stream, path))
    }

    /// Takes so many bytes off the socket, if they are there, and no notice of them: nothing can be read after it.
    pub fn sip(&mut self, bytes: usize) {
        match self.stream.sock.read(&mut vec![0; bytes]) {
            // The end, if bytes were wanted.
            Ok(0) => self.is_closed |= bytes > 0,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.is_closed = true,
        }
        // Bytes that nobody reads hide the end of the connection behind them; a reset does not wait its turn.
        self.is_closed |= self.stream.sock.take_error().unwrap().is_some();
    }

    /// A frame if one is there.
    pub fn glance(&mut self) -> Option<Frame> {
        if let Some(frame) = self.take() {
            return Some(frame);
        }
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.is_closed = true,
            Ok(count) => self.unread.extend(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.is_closed = true,
        }
        self.take()
    }

    fn take(&mut self) -> Option<Frame> {
        let (head, _) = self.unread.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if self.unread.len() < 9 + length {
            return None;
        }
        let bytes: Vec<u8> = self.unread.drain(..9 + length).collect();
        let frame = Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes(bytes[5..9].try_into().unwrap()),
            payload: bytes[9..].to_vec(),
        };
        if frame.kind == GOAWAY {
            self.goodbye = Some(frame.error_code());
        }
        Some(frame)
    }

    /// The next frame that `wanted` finds something in.
    pub fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(&Frame) -> Option<T>) -> T {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let found = self.glance();
            if let Some(found) = found.and_then(|frame| wanted(&frame)) {
                return found;
            }
            assert!(!self.is_closed, "closed before {what}");
            assert!(!deadline.is_over(), "no {what}");
        }
    }

    /// The status of the answer on a stream.
    pub fn status(&mut self, stream: u32) -> u16 {
        self.wait_for("an answer", |frame| {
            (frame.kind == HEADERS && frame.stream == stream).then(|| frame.status())
        })
    }

    /// Reads on until the server has closed, or for that long.
    pub fn read_to_end(&mut self, patience: Duration) {
        let deadline = Deadline::after(patience);
        while !self.is_closed && !deadline.is_over() {
            self.glance();
        }
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A whole request.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_block(path))
}

/// The header block of a GET (RFC 7541): fields of the static table, and literals that stay out of any table.
pub fn get_block(path: &str) -> Vec<u8> {
    // :method GET, :scheme https.
    let mut block = vec![0x82, 0x87];
    literal(&mut block, 0x04, path);
    literal(&mut block, 0x01, "localhost");
    block
}

/// A field whose name is in the static table.
pub fn literal(block: &mut Vec<u8>, name: u8, value: &str) {
    block.push(name);
    let mut length = value.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        block.push(length as u8);
    }
    block.extend(value.as_bytes());
}
