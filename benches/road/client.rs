//! Players reduced to their requests: one asks for the playlist with each next part, one for each hinted part.
//!
//! Each runs in a process of its own and prints a line per answer: number of the part, when it was asked for, when the last
//! byte was there.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{Outcome, process::now};

pub(crate) const PLAYLIST: &str = "/live.m3u8";

/// Blocking playlist reloads.
pub(crate) fn reload(port: &str, count: &str, path: &str) -> Outcome<()> {
    let mut connection = Connection::open(port)?;
    let mut playlist = connection.text(path)?;
    for _ in 0..count.parse::<usize>()? {
        let (msn, part) = part_after(&playlist)?;
        let asked = now();
        let body = connection.request(&format!("{path}?_HLS_msn={msn}&_HLS_part={part}"))?;
        let answered = now();
        playlist = String::from_utf8(body)?;
        let newest = playlist
            .lines()
            .rfind(|line| line.starts_with("#EXT-X-PART:"))
            .ok_or("the playlist lists no part")?;
        println!("{} {asked} {answered}", part_number(uri(newest)?)?);
    }
    Ok(())
}

/// Requests of hinted parts.
pub(crate) fn hint(port: &str, count: &str, path: &str) -> Outcome<()> {
    let mut connection = Connection::open(port)?;
    for _ in 0..count.parse::<usize>()? {
        let playlist = connection.text(path)?;
        let hint = playlist
            .lines()
            .find(|line| line.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART"))
            .ok_or("the playlist has no hint")?;
        let uri = uri(hint)?;
        let asked = now();
        connection.request(&format!("/{uri}"))?;
        let answered = now();
        println!("{} {asked} {answered}", part_number(uri)?);
    }
    Ok(())
}

/// What is there now.
pub(crate) fn fetch(port: u16, path: &str) -> Outcome<Vec<u8>> {
    Connection::open(&port.to_string())?.request(path)
}

/// Sequence numbers of the part that comes next.
fn part_after(playlist: &str) -> Outcome<(u64, u64)> {
    let first: u64 = playlist
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))
        .ok_or("the playlist has no media sequence")?
        .parse()?;
    let mut next = (first, 0);
    for line in playlist.lines() {
        if line.starts_with("#EXTINF:") {
            next = (next.0 + 1, 0);
        } else if line.starts_with("#EXT-X-PART:") {
            next.1 += 1;
        }
    }
    Ok(next)
}

fn uri(tag: &str) -> Outcome<&str> {
    let (_, rest) = tag.split_once("URI=\"").ok_or("a tag has no URI")?;
    Ok(rest.split_once('"').ok_or("a URI has no end")?.0)
}

fn part_number(uri: &str) -> Outcome<u64> {
    let (_, name) = uri.rsplit_once("part_").ok_or("a part has another name")?;
    let digits = name.strip_suffix(".m4s").ok_or("a part has another name")?;
    Ok(digits.parse()?)
}

struct Connection {
    stream: TcpStream,
    host: String,
}

impl Connection {
    fn open(port: &str) -> Outcome<Self> {
        let host = format!("127.0.0.1:{port}");
        let stream = TcpStream::connect(&host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host })
    }

    fn text(&mut self, path: &str) -> Outcome<String> {
        Ok(String::from_utf8(self.request(path)?)?)
    }

    /// The body of a good answer, read to its last byte.
    fn request(&mut self, path: &str) -> Outcome<Vec<u8>> {
        let host = &self.host;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 64 * 1024];
        loop {
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(format!("the connection ended while {path} was read").into());
            }
            bytes.extend_from_slice(&chunk[..count]);
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let body = end + 4;
            let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200 ") {
                return Err(format!("{path} was answered with {head}").into());
            }
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .ok_or("an answer has no length")?
                .trim()
                .parse()?;
            if bytes.len() >= body + length {
                bytes.drain(..body);
                return Ok(bytes);
            }
        }
    }
}
