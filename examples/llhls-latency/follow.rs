//! Follows a stream as a low-latency player does: a blocking reload for each next part, then the part.
//!
//! Belongs here: requests, and when their answers came. Does not: reading playlists (`playlist`), printing (`report`).

use std::mem;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use ureq::tls::TlsConfig;
use url::Url;

use crate::{
    playlist::{self, Media, Part, Place, Playlist},
    report::{Measured, Offset},
};

/// Longer than any origin holds a reload: three target durations of a stream with long key-frame distances.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is read of one answer at most.
const MOST_BYTES: u64 = 1 << 30;

/// Exchanges that compare clocks before the first part.
const CLOCK_EXCHANGES: usize = 8;

/// Two clocks that nobody puts right part by one nanosecond in so many: 50 in a million, as much as cheap quartzes do.
const DRIFT: i64 = 20_000;

/// So many questions in a row without an answer end the asking: about two seconds of a stream with parts of 200 ms.
const MOST_REFUSALS: usize = 10;

/// What came of one reload.
#[derive(Debug)]
pub(crate) enum Step {
    /// These parts are new, in order.
    Parts(Vec<Measured>),
    /// The origin gave up waiting for the next part: 503.
    Stalled,
    /// EXT-X-ENDLIST, after these parts.
    Ended(Vec<Measured>),
}

/// A viewer.
pub(crate) struct Follower {
    agent: ureq::Agent,
    playlist: Url,
    timestamps: Timestamps,
    /// What the user should know about it, and has not been told.
    notes: Vec<String>,
    offset: Option<Offset>,
    /// When the clocks were compared last, in Unix nanoseconds of ours.
    compared: i64,
    next: Place,
}

/// Where the origin's own record of moments would be, and whether asking for it is worth the while.
struct Timestamps {
    url: Url,
    standing: Standing,
}

/// What the questions so far have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has never been there, and was refused so many times.
    Sought { refusals: usize },
    /// It is there, and was refused so many times since it was read last.
    Found { refusals: usize },
    /// It is not asked for any more.
    GivenUp,
}

impl Standing {
    /// Without a record in the answer. What the user should know of it, the first time and when it is given up.
    fn refused(&mut self, status: u16) -> Option<String> {
        // Some answer everything with a page of their own, and 200.
        let is_absent = matches!(status, 200 | 404 | 410);
        let refusals = match self {
            Self::Sought { .. } if is_absent => {
                *self = Self::GivenUp;
                return Some(format!(
                    "the origin has no timestamps.json ({status}): when its parts were published is not known"
                ));
            }
            Self::Sought { refusals } | Self::Found { refusals } => refusals,
            Self::GivenUp => return None,
        };
        *refusals += 1;
        match *refusals {
            1 => Some(format!(
                "timestamps.json was answered with {status}: for now it is not known when parts were published"
            )),
            MOST_REFUSALS => {
                *self = Self::GivenUp;
                Some(format!(
                    "timestamps.json was refused {MOST_REFUSALS} times in a row, at last with {status}, and is not asked for any more: \
                     when parts were published is not known from here on"
                ))
            }
            _ => None,
        }
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    asked: SystemTime,
    /// From asking to the last byte.
    took: Duration,
}

impl Answer {
    fn received(&self) -> i64 {
        unix_nanos(self.asked) + nanos(self.took)
    }

    fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.body).map_err(|_| "an answer is no UTF-8 text".to_owned())
    }
}

impl Follower {
    /// Begins at the live edge. `rendition` is a piece of the URI of the media playlist wanted, when `url` names several;
    /// the first variant otherwise. Fails with a sentence.
    pub(crate) fn open(
        url: &Url,
        rendition: Option<&str>,
        trusts_anyone: bool,
    ) -> Result<Self, String> {
        let tls = TlsConfig::builder()
            .disable_verification(trusts_anyone)
            .build();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LONGEST_WAIT))
            .tls_config(tls)
            .build()
            .new_agent();
        let mut follower = Self {
            agent,
            playlist: url.clone(),
            timestamps: Timestamps {
                url: beside(url, "timestamps.json")?,
                standing: Standing::Sought { refusals: 0 },
            },
            notes: Vec::new(),
            offset: None,
            compared: 0,
            next: Place::default(),
        };
        let media = match follower.load(&follower.playlist)? {
            Playlist::Media(media) => media,
            Playlist::Multivariant(children) => {
                let child = pick(&children, rendition)?;
                follower.playlist = beside(url, child)?;
                match follower.load(&follower.playlist)? {
                    Playlist::Media(media) => media,
                    Playlist::Multivariant(_) => {
                        return Err("a multivariant playlist names another one".to_owned());
                    }
                }
            }
        };
        let is_low_latency = media.has_parts && media.can_block;
        if !is_low_latency && !media.is_ended {
            return Err(
                "this is no low-latency stream: no EXT-X-PART-INF, or no CAN-BLOCK-RELOAD=YES"
                    .to_owned(),
            );
        }
        follower.next = media.next;
        for _ in 0..CLOCK_EXCHANGES {
            if follower.ask_timestamps()?.is_none() {
                break;
            }
        }
        // What came while clocks were compared has waited for us: it says nothing about the stream.
        if !media.is_ended {
            follower.next = into_media(follower.load(&follower.playlist)?)?.next;
        }
        Ok(follower)
    }

    /// The media playlist that is followed.
    pub(crate) fn playlist(&self) -> &Url {
        &self.playlist
    }

    /// Our clock against the origin's, as far as it is known by now.
    pub(crate) fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// What the user should know by now, once.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        mem::take(&mut self.notes)
    }

    /// Waits for the next part, and fetches it.
    pub(crate) fn step(&mut self) -> Result<Step, String> {
        let mut url = self.playlist.clone();
        url.query_pairs_mut()
            .append_pair("_HLS_msn", &self.next.msn.to_string())
            .append_pair("_HLS_part", &self.next.part.to_string());
        let answer = self.get(&url)?;
        let media = match answer.status {
            200 => into_media(playlist::read(answer.text()?)?)?,
            503 => return Ok(Step::Stalled),
            // Another run, whose numbers are far behind ours.
            400 => into_media(self.load(&self.playlist)?)?,
            status => return Err(format!("{url} was answered with {status}")),
        };
        let is_other_run = media.next < self.next;
        if answer.status == 400 && !is_other_run {
            return Err(format!("{url} was refused: {}", answer.text()?.trim()));
        }
        let new: Vec<Part> = media
            .parts
            .iter()
            .filter(|part| !is_other_run && part.place >= self.next)
            .cloned()
            .collect();
        self.next = media.next;
        let parts = self.fetch(&new, nanos(answer.took))?;
        Ok(if media.is_ended {
            Step::Ended(parts)
        } else {
            Step::Parts(parts)
        })
    }

    fn fetch(&mut self, parts: &[Part], playlist_wait: i64) -> Result<Vec<Measured>, String> {
        let mut received = Vec::new();
        for part in parts {
            let url = beside(&self.playlist, &part.uri)?;
            let answer = self.get(&url)?;
            if answer.status != 200 {
                return Err(format!("{url} was answered with {}", answer.status));
            }
            received.push(answer);
        }
        let timestamps = if parts.is_empty() {
            None
        } else {
            self.ask_timestamps()?
        };
        let ahead = self.offset.map_or(0, |offset| offset.ahead);
        Ok(parts
            .iter()
            .zip(received)
            .map(|(part, answer)| {
                let path = part.uri.split('?').next().unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                let moment = |of: &str| timestamps.as_ref()?.get(of)?.get(&name)?.as_i64();
                let published = moment("parts");
                // Theirs is exact; the playlist's is in milliseconds.
                let captured = moment("captured").or(part.date);
                let received = answer.received() + ahead;
                Measured {
                    place: part.place,
                    size: answer.body.len() as u64,
                    capture_to_published: published.zip(captured).map(|(to, from)| to - from),
                    published_to_received: published.map(|from| received - from),
                    capture_to_received: captured.map(|from| received - from),
                    playlist_wait,
                    fetch: nanos(answer.took),
                    name,
                }
            })
            .collect())
    }

    /// The origin's own record, and one more look at its clock.
    fn ask_timestamps(&mut self) -> Result<Option<Value>, String> {
        if self.timestamps.standing == Standing::GivenUp {
            return Ok(None);
        }
        let answer = self.get(&self.timestamps.url)?;
        let document: Option<Value> = serde_json::from_slice(&answer.body)
            .ok()
            .filter(|_| answer.status == 200);
        let now = document
            .as_ref()
            .and_then(|document| document["timestamp"].as_i64());
        let (Some(document), Some(now)) = (document, now) else {
            let note = self.timestamps.standing.refused(answer.status);
            self.notes.extend(note);
            return Ok(None);
        };
        self.timestamps.standing = Standing::Found { refusals: 0 };
        let half = nanos(answer.took) / 2;
        let seen = Offset {
            ahead: now - (unix_nanos(answer.asked) + half),
            uncertainty: half,
        };
        let asked = unix_nanos(answer.asked);
        if let Some(best) = &mut self.offset {
            best.uncertainty += (asked - self.compared).max(0) / DRIFT;
        }
        self.compared = asked;
        // The quicker the exchange, the less it can be wrong.
        if self
            .offset
            .is_none_or(|best| seen.uncertainty <= best.uncertainty)
        {
            self.offset = Some(seen);
        }
        Ok(Some(document))
    }

    fn load(&self, url: &Url) -> Result<Playlist, String> {
        let answer = self.get(url)?;
        if answer.status != 200 {
            let reason = String::from_utf8_lossy(&answer.body);
            return Err(format!(
                "{url} was answered with {}: {}",
                answer.status,
                reason.trim_end()
            ));
        }
        playlist::read(answer.text()?)
    }

    fn get(&self, url: &Url) -> Result<Answer, String> {
        let in_words = |error: ureq::Error| format!("{url}: {error}");
        let (asked, clock) = (SystemTime::now(), Instant::now());
        let mut response = self.agent.get(url.as_str()).call().map_err(in_words)?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MOST_BYTES)
            .read_to_vec()
            .map_err(in_words)?;
        Ok(Answer {
            status: response.status().as_u16(),
            body,
            asked,
            took: clock.elapsed(),
        })
    }
}

fn pick<'a>(children: &'a [String], wanted: Option<&str>) -> Result<&'a str, String> {
    let found = match wanted {
        Some(piece) => children.iter().find(|uri| uri.contains(piece)),
        None => children.first(),
    };
    found.map(String::as_str).ok_or_else(|| {
        format!(
            "no rendition is called {}; there are: {}",
            wanted.unwrap_or_default(),
            children.join(", ")
        )
    })
}

fn into_media(playlist: Playlist) -> Result<Media, String> {
    match playlist {
        Playlist::Media(media) => Ok(media),
        Playlist::Multivariant(_) => {
            Err("the media playlist has become a multivariant one".to_owned())
        }
    }
}

/// A URI as `base` names it, with the query of `base` unless it has its own: an access token may be in there.
fn beside(base: &Url, uri: &str) -> Result<Url, String> {
    let mut url = base
        .join(uri)
        .map_err(|error| format!("{uri} is no URI: {error}"))?;
    if url.query().is_none() {
        url.set_query(base.query());
    }
    Ok(url)
}

fn unix_nanos(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos)
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_playlist_keeps_its_query() {
        let base = Url::parse("http://host:8080/t/x/live.m3u8?token=a").unwrap();
        let url = |uri| beside(&base, uri).unwrap().to_string();
        assert_eq!(
            url("run/part_00001.m4s"),
            "http://host:8080/t/x/run/part_00001.m4s?token=a"
        );
        assert_eq!(
            url("timestamps.json?token=b"),
            "http://host:8080/t/x/timestamps.json?token=b"
        );
    }

    #[test]
    fn what_was_never_there_is_given_up_at_once() {
        for status in [200, 404, 410] {
            let mut standing = Standing::Sought { refusals: 3 };
            let note = standing.refused(status).unwrap();
            assert!(note.contains("the origin has no timestamps.json"), "{note}");
            assert_eq!(standing, Standing::GivenUp);
            assert_eq!(standing.refused(status), None);
        }
    }

    #[test]
    fn what_was_there_or_may_be_is_asked_for_again() {
        for (before, status) in [
            (Standing::Sought { refusals: 0 }, 503),
            (Standing::Found { refusals: 0 }, 404),
        ] {
            let mut standing = before;
            let notes: Vec<String> = (0..2 * MOST_REFUSALS)
                .filter_map(|_| standing.refused(status))
                .collect();
            assert_eq!(notes.len(), 2, "{notes:?}");
            assert!(notes[0].contains("for now"), "{notes:?}");
            assert!(notes[1].contains("10 times in a row"), "{notes:?}");
            assert_eq!(standing, Standing::GivenUp);
        }
    }

    #[test]
    fn a_rendition_is_found_by_a_piece_of_its_name() {
        let children = ["live_video.m3u8".to_owned(), "live_audio.m3u8".to_owned()];
        assert_eq!(pick(&children, None), Ok("live_video.m3u8"));
        assert_eq!(pick(&children, Some("audio")), Ok("live_audio.m3u8"));
        assert!(
            pick(&children, Some("text"))
                .unwrap_err()
                .contains("live_audio")
        );
    }
}
