//! One viewer: tunes in, then follows the live edge as a low-latency player does.
//!
//! Belongs here: which request comes next, and what has to be in its answer. Does not: bytes on a socket (`exchange`),
//! how many there are and when they leave (the module above).

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::time::timeout;

use super::{
    Fault, Takes,
    exchange::{Connection, Place, Scratch},
    playlist::{Part, Playlist},
    tally::{Key, Tally},
};

/// Longer than a server may hold a request; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(40);

/// A viewer that has a playlist.
pub(crate) struct Viewer<'a> {
    tally: &'a Tally,
    entry: &'a str,
    takes: Takes,
    connection: Connection,
    /// Where hinted parts are waited for; `None` when they are not asked for.
    hints: Option<Connection>,
    playlist: Rc<Playlist>,
}

/// Connects and reads the playlist as it stands, and the init section.
pub(crate) async fn tune_in<'a>(
    tally: &'a Tally,
    place: &Place,
    entry: &'a str,
    takes: Takes,
    scratch: &Scratch,
) -> Result<Viewer<'a>, Fault> {
    let mut connection = Connection::open(place, scratch).await?;
    let playlist = body(tally, &mut connection, entry, Key::Entry).await?;
    let playlist = tally.playlists.read(playlist, entry)?;
    if let Some(map) = &playlist.map {
        body(tally, &mut connection, map, Key::Init).await?;
    }
    let hints = match takes {
        Takes::HintedParts => Some(Connection::open(place, scratch).await?),
        Takes::Reloads | Takes::Parts => None,
    };
    tally.tuned_in();
    Ok(Viewer {
        tally,
        entry,
        takes,
        connection,
        hints,
        playlist,
    })
}

impl Viewer<'_> {
    /// Follows the stream until the tally says that it is enough, or the stream ends.
    pub(crate) async fn watch(mut self) -> Result<(), Fault> {
        // Players begin some parts behind the edge; what matters here is that from now on every part is new.
        let mut newest = self.playlist.newest();
        while !self.playlist.is_ended && !self.tally.is_enough(newest) {
            let hinted = self.reload().await?;
            let new: Vec<Part> = self
                .playlist
                .parts
                .iter()
                .filter(|part| newest.is_none_or(|newest| part.number > newest))
                .cloned()
                .collect();
            for part in new {
                let expected = newest.map_or(part.number, |newest| newest + 1);
                if part.number != expected {
                    return Err(Fault::new(format!(
                        "part {expected} never came: the playlist goes on with {}",
                        part.number
                    )));
                }
                self.tally.seen(part.number);
                if self.takes != Takes::Reloads {
                    if hinted != Some(part.number) {
                        let key = Key::Part(part.number);
                        fetch(self.tally, &mut self.connection, &part, key).await?;
                    }
                    self.tally.delivered();
                }
                newest = Some(part.number);
            }
        }
        Ok(())
    }

    /// Waits for the next playlist and, if wanted, for the hinted part; answers which one that was.
    async fn reload(&mut self) -> Result<Option<u64>, Fault> {
        let reload = reload(self.tally, &mut self.connection, self.entry, &self.playlist);
        let hint = self.playlist.hint.as_ref();
        let (playlist, hinted) = match self.hints.as_mut().zip(hint) {
            Some((hints, hint)) => {
                let fetch = fetch(self.tally, hints, hint, Key::Hint(hint.number));
                let (playlist, ()) = tokio::try_join!(reload, fetch)?;
                (playlist, Some(hint.number))
            }
            None => (reload.await?, None),
        };
        self.playlist = playlist;
        Ok(hinted)
    }
}

/// The playlist once it holds what comes after `known`.
async fn reload(
    tally: &Tally,
    connection: &mut Connection,
    entry: &str,
    known: &Playlist,
) -> Result<Rc<Playlist>, Fault> {
    let (msn, part) = known.next;
    let joint = if entry.contains('?') { '&' } else { '?' };
    let path = format!("{entry}{joint}_HLS_msn={msn}&_HLS_part={part}");
    let playlist = body(tally, connection, &path, Key::Reload(msn, part)).await?;
    let playlist = tally.playlists.read(playlist, entry)?;
    if !playlist.is_ended && playlist.next <= known.next {
        return Err(Fault::new(format!("{path} was answered too early")));
    }
    Ok(playlist)
}

async fn body(
    tally: &Tally,
    connection: &mut Connection,
    path: &str,
    key: Key,
) -> Result<Vec<u8>, Fault> {
    let body = RefCell::new(Vec::new());
    get(tally, connection, path, key, |bytes| {
        body.borrow_mut().extend_from_slice(bytes);
    })
    .await?;
    Ok(body.into_inner())
}

/// Takes a part and compares it with what others got under its name.
async fn fetch(
    tally: &Tally,
    connection: &mut Connection,
    part: &Part,
    key: Key,
) -> Result<(), Fault> {
    let mut checksum = crc32fast::Hasher::new();
    let mut size = 0;
    get(tally, connection, &part.path, key, |bytes| {
        checksum.update(bytes);
        size += bytes.len() as u64;
    })
    .await?;
    tally.compare(part.number, size, checksum.finalize())
}

async fn get(
    tally: &Tally,
    connection: &mut Connection,
    path: &str,
    key: Key,
    take: impl FnMut(&[u8]),
) -> Result<(), Fault> {
    let asked = tally.now();
    timeout(PATIENCE, connection.get(path, take))
        .await
        .map_err(|_| Fault::new(format!("{path} was not answered")))??;
    tally.answered(key, asked);
    Ok(())
}
