//! What a viewer reads off a media playlist: where it stands, what is new, what comes next.
//!
//! Belongs here: text. Does not: requests (`viewer`).

use std::{cell::RefCell, rc::Rc};

use super::Fault;

/// The newest playlist, read once for all who got the same bytes: what viewers cost themselves would look like lateness of
/// the server.
#[derive(Default)]
pub(crate) struct Reader(RefCell<Option<(Vec<u8>, Rc<Playlist>)>>);

impl Reader {
    /// What was found under `path`.
    pub(crate) fn read(&self, bytes: Vec<u8>, path: &str) -> Result<Rc<Playlist>, Fault> {
        let mut newest = self.0.borrow_mut();
        if let Some((known, playlist)) = &*newest
            && *known == bytes
        {
            return Ok(Rc::clone(playlist));
        }
        let playlist = Rc::new(Playlist::read(&String::from_utf8_lossy(&bytes), path)?);
        *newest = Some((bytes, Rc::clone(&playlist)));
        Ok(playlist)
    }
}

/// A part the playlist lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its running number, as its name carries it.
    pub(crate) number: u64,
    /// Its path on the server the playlist came from.
    pub(crate) path: String,
}

/// A media playlist, as far as viewers here follow it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Playlist {
    /// The init section of the newest segment.
    pub(crate) map: Option<String>,
    /// In order, the newest last.
    pub(crate) parts: Vec<Part>,
    /// The part that comes next, if it is hinted.
    pub(crate) hint: Option<Part>,
    /// Media sequence number and index of the part after the last one.
    pub(crate) next: (u64, u64),
    /// Nothing comes any more.
    pub(crate) is_ended: bool,
}

impl Playlist {
    /// Reads what was found under `path`.
    pub(crate) fn read(text: &str, path: &str) -> Result<Self, Fault> {
        if !text.starts_with("#EXTM3U") {
            return Err(Fault::new(format!("{path} is no playlist")));
        }
        let mut playlist = Self {
            map: None,
            parts: Vec::new(),
            hint: None,
            next: (0, 0),
            is_ended: false,
        };
        let unreadable = |line: &str| Fault::new(format!("{path} has the line {line}"));
        for line in text.lines() {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.next.0 = first.parse().map_err(|_| unreadable(line))?;
            } else if line.starts_with("#EXTINF:") {
                playlist.next = (playlist.next.0 + 1, 0);
            } else if line.starts_with("#EXT-X-PART:") {
                playlist.next.1 += 1;
                let part = part(line, path).ok_or_else(|| unreadable(line))?;
                playlist.parts.push(part);
            } else if line.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART") {
                playlist.hint = Some(part(line, path).ok_or_else(|| unreadable(line))?);
            } else if line.starts_with("#EXT-X-MAP:") {
                let uri = uri(line).ok_or_else(|| unreadable(line))?;
                playlist.map = Some(resolve(uri, path));
            } else if line == "#EXT-X-ENDLIST" {
                playlist.is_ended = true;
            }
        }
        Ok(playlist)
    }

    /// The number of the newest part.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.parts.last().map(|part| part.number)
    }
}

fn part(line: &str, path: &str) -> Option<Part> {
    let uri = uri(line)?;
    let (_, name) = uri.rsplit_once("part_")?;
    Some(Part {
        number: name.strip_suffix(".m4s")?.parse().ok()?,
        path: resolve(uri, path),
    })
}

fn uri(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("URI=\"")?;
    Some(rest.split_once('"')?.0)
}

/// The path a URI in the playlist under `path` stands for. Other hosts are not followed: an absolute URI is asked for where
/// the playlist came from.
fn resolve(uri: &str, path: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let folder = path.split('?').next().unwrap_or(path);
    let folder = folder.rfind('/').map_or("/", |at| &folder[..=at]);
    format!("{folder}{uri}")
}
