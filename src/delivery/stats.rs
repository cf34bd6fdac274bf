//! The figures of a running server, and their JSON at `/stats.json`.
//!
//! Belongs here: what is counted and how it is called. Does not: the counting (`http/`), GStreamer's view of it
//! (`sink/`).

use serde_json::{Value, json};

use crate::origin::Origin;
use crate::origin::event::Violation;
use crate::origin::media::{RenditionId, RenditionKind};
use crate::origin::rendition::Rendition;
use crate::origin::window::LiveEdge;
use crate::time::Nanos;

/// A snapshot of everything counted since the server started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// What is published; one entry a track, the main one first.
    pub tracks: Vec<TrackStats>,
    /// The newest part of the main track.
    pub edge: Option<LiveEdge>,
    /// Visible changes of the main track's playlist.
    pub version: u64,
    /// Whether the stream is over.
    pub is_ended: bool,
    /// Who is there.
    pub clients: ClientStats,
    /// How it was answered.
    pub answers: AnswerStats,
    /// What was refused.
    pub refusals: RefusalStats,
    /// What went over a limit.
    pub limits: LimitStats,
    /// What travelled.
    pub bytes: ByteStats,
    /// How long things took.
    pub delays: DelayStats,
    /// Publications that broke the protocol.
    pub violations: u64,
    /// The last of those: its rendition, and what was wrong.
    pub last_violation: Option<(String, Violation)>,
}

/// One track, and so one rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStats {
    /// The name of its rendition.
    pub name: String,
    /// What it is.
    pub kind: RenditionKind,
    /// RFC 6381 codec string; `None` until its first init section.
    pub codec: Option<String>,
    /// Width and height in pixels, when it is video.
    pub resolution: Option<(u32, u32)>,
    /// Parts published.
    pub parts: u64,
    /// Segments published.
    pub segments: u64,
    /// Bits a second of its heaviest stretch so far.
    pub peak_bandwidth: u64,
    /// Bits a second on average.
    pub average_bandwidth: u64,
}

/// Connections and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Open now.
    pub connections: u32,
    /// Accepted since the start.
    pub accepted: u64,
    /// Turned away at a connection cap, of all or of one address.
    pub turned_away: u64,
    /// Requests read since the start.
    pub requests: u64,
    /// Requests waiting now.
    pub parked: u32,
    /// Requests whose client went away while they waited.
    pub abandoned: u64,
    /// Connections whose task panicked; each is a bug in this server.
    pub panics: u64,
}

/// Answers that are not simply the whole of what there is, as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerStats {
    /// Playlists without the segments beyond the Skip Boundary.
    pub deltas: u64,
    /// Compressed bodies.
    pub gzipped: u64,
    /// 206: a range of media.
    pub ranges: u64,
    /// 304: the client has it already.
    pub not_modified: u64,
}

/// Refused requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalStats {
    /// 400: malformed, or too far ahead.
    pub bad_request: u64,
    /// 401: no access token, or a wrong one.
    pub unauthorized: u64,
    /// 404.
    pub not_found: u64,
    /// 416: a range that is not there.
    pub not_satisfiable: u64,
    /// 421: a host this server is not called.
    pub misdirected: u64,
    /// 429: more waits already than one connection may.
    pub too_many: u64,
    /// 503: nothing came in time, or the server stops.
    pub unavailable: u64,
    /// 405, 413, 431 and what else there is.
    pub other: u64,
}

impl RefusalStats {
    /// Counts one refusal.
    pub fn count(&mut self, status: u16) {
        match status {
            400 => self.bad_request += 1,
            401 => self.unauthorized += 1,
            404 => self.not_found += 1,
            416 => self.not_satisfiable += 1,
            421 => self.misdirected += 1,
            429 => self.too_many += 1,
            503 => self.unavailable += 1,
            _ => self.other += 1,
        }
    }

    /// Every reason and how often it was given.
    pub fn by_reason(&self) -> [(&'static str, u64); 8] {
        [
            ("bad_request", self.bad_request),
            ("unauthorized", self.unauthorized),
            ("not_found", self.not_found),
            ("not_satisfiable", self.not_satisfiable),
            ("misdirected", self.misdirected),
            ("too_many", self.too_many),
            ("unavailable", self.unavailable),
            ("other", self.other),
        ]
    }
}

/// A limit of the server that a client can go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections in total.
    Connections,
    /// Connections from one address.
    ConnectionsPerAddress,
    /// Requests that wait at once, in total.
    Parked,
    /// Requests that wait at once on one connection.
    ParkedPerConnection,
    /// Lines or bytes of a request's head.
    Head,
    /// A request's body.
    Body,
    /// Time without a whole request, idle or in the middle of a head.
    RequestTime,
    /// Bytes taken in a time.
    Progress,
    /// Time for the TLS handshake.
    Handshake,
    /// HTTP/2 streams, resets and frames.
    Http2,
}

impl Limit {
    const ALL: [Self; 10] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Parked,
        Self::ParkedPerConnection,
        Self::Head,
        Self::Body,
        Self::RequestTime,
        Self::Progress,
        Self::Handshake,
        Self::Http2,
    ];

    /// How figures call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Parked => "parked",
            Self::ParkedPerConnection => "parked_per_connection",
            Self::Head => "head",
            Self::Body => "body",
            Self::RequestTime => "request_time",
            Self::Progress => "progress",
            Self::Handshake => "handshake",
            Self::Http2 => "http2",
        }
    }
}

/// How often each limit was gone over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitStats([u64; Limit::ALL.len()]);

impl LimitStats {
    /// Counts a client that went over `limit`.
    pub fn count(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }

    /// How often `limit` was gone over.
    pub fn of(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }

    /// Every limit and how often it was gone over.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.0)
    }
}

/// Payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteStats {
    /// Published by the sink since the start.
    pub published: u64,
    /// Handed out in bodies since the start.
    pub sent: u64,
    /// Of media, held in memory now.
    pub kept: u64,
}

/// Delays, each over all parts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayStats {
    /// From the streaming thread's call to the moment the thread that serves has it; waiters are woken at once then.
    pub handover: Delay,
    /// From a part's first frame's capture to the moment it can be fetched; its own duration included.
    pub capture_to_publish: Delay,
}

/// One kind of delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// How often it was measured.
    pub count: u64,
    /// The last one.
    pub last: Nanos,
    /// The greatest one.
    pub max: Nanos,
    total: Nanos,
    /// How many were no longer than each of [`BUCKETS`], and longer than the one before.
    buckets: [u64; BUCKETS.len()],
}

/// The delays a histogram tells apart: from well under a frame to far over any part.
pub const BUCKETS: [Nanos; 14] = [
    Nanos(500_000),
    Nanos::from_millis(1),
    Nanos(2_500_000),
    Nanos::from_millis(5),
    Nanos::from_millis(10),
    Nanos::from_millis(25),
    Nanos::from_millis(50),
    Nanos::from_millis(100),
    Nanos::from_millis(250),
    Nanos::from_millis(500),
    Nanos::from_millis(1000),
    Nanos::from_millis(2500),
    Nanos::from_millis(5000),
    Nanos::from_millis(10_000),
];

impl Delay {
    /// Takes in one measurement. A clock that was put right may say that something was over before it began: sums of delays never
    /// fall.
    pub fn record(&mut self, delay: Nanos) {
        let delay = delay.max(Nanos(0));
        self.count += 1;
        self.last = delay;
        self.max = self.max.max(delay);
        self.total = self.total + delay;
        if let Some(bucket) = BUCKETS.iter().position(|bound| delay <= *bound) {
            self.buckets[bucket] += 1;
        }
    }

    /// For each of [`BUCKETS`], how many were no longer than that.
    pub fn at_most(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    /// All of them together.
    pub fn total(&self) -> Nanos {
        self.total
    }

    /// The average; zero when there is none.
    pub fn mean(&self) -> Nanos {
        Nanos(
            i64::try_from(self.count)
                .ok()
                .and_then(|count| self.total.0.checked_div(count))
                .unwrap_or(0),
        )
    }

    fn json(&self) -> Value {
        json!({
            "count": self.count,
            "last_ms": millis(self.last),
            "mean_ms": millis(self.mean()),
            "max_ms": millis(self.max),
        })
    }
}

impl TrackStats {
    fn new(rendition: &Rendition) -> Self {
        let settings = rendition.settings();
        let mut track = Self {
            name: settings.name.clone(),
            kind: settings.kind,
            codec: None,
            resolution: None,
            parts: 0,
            segments: 0,
            peak_bandwidth: 0,
            average_bandwidth: 0,
        };
        track.observe(rendition);
        track
    }

    fn observe(&mut self, rendition: &Rendition) {
        let window = rendition.window();
        if let Some(init) = window.current_init() {
            // Seldom new, and this comes with each part.
            if self.codec.as_ref() != Some(&init.codec) {
                self.codec = Some(init.codec.clone());
            }
            self.resolution = init.resolution;
        }
        self.parts = window.parts_published();
        self.segments = window.segments_published();
        self.peak_bandwidth = window.bandwidth().peak();
        self.average_bandwidth = window.bandwidth().average();
    }
}

impl Stats {
    /// Takes over what can be read off the origin.
    pub fn observe(&mut self, origin: &Origin) {
        let main = origin.main().window();
        self.edge = main.edge();
        self.version = main.version().0;
        self.is_ended = origin.is_ended();
        self.bytes.kept = origin
            .renditions()
            .flat_map(|(_, rendition)| {
                let window = rendition.window();
                window.kept().chain(window.open())
            })
            .map(|segment| segment.size() as u64)
            .sum();
        for (RenditionId(place), rendition) in origin.renditions() {
            if let Some(track) = self.tracks.get_mut(place) {
                track.observe(rendition);
            } else {
                self.tracks.push(TrackStats::new(rendition));
            }
        }
    }

    /// Renders `/stats.json`.
    pub fn render(&self) -> String {
        let tracks: Vec<Value> = self
            .tracks
            .iter()
            .map(|track| {
                json!({
                    "name": track.name,
                    "kind": track.kind.as_str(),
                    "codec": track.codec,
                    "width": track.resolution.map(|(width, _)| width),
                    "height": track.resolution.map(|(_, height)| height),
                    "parts": track.parts,
                    "segments": track.segments,
                    "peak_bandwidth": track.peak_bandwidth,
                    "average_bandwidth": track.average_bandwidth,
                })
            })
            .collect();
        let counted = |(name, count): (&str, u64)| (name.to_owned(), Value::from(count));
        let refusals: serde_json::Map<String, Value> =
            self.refusals.by_reason().into_iter().map(counted).collect();
        let limits: serde_json::Map<String, Value> = self
            .limits
            .iter()
            .map(|(limit, count)| counted((limit.name(), count)))
            .collect();
        json!({
            "tracks": tracks,
            "edge": self.edge.map(|edge| json!({ "msn": edge.msn.0, "part": edge.part.0 })),
            "version": self.version,
            "ended": self.is_ended,
            "clients": {
                "connections": self.clients.connections,
                "accepted": self.clients.accepted,
                "turned_away": self.clients.turned_away,
                "requests": self.clients.requests,
                "parked": self.clients.parked,
                "abandoned": self.clients.abandoned,
                "panics": self.clients.panics,
            },
            "answers": {
                "deltas": self.answers.deltas,
                "gzipped": self.answers.gzipped,
                "ranges": self.answers.ranges,
                "not_modified": self.answers.not_modified,
            },
            "refusals": refusals,
            "limits": limits,
            "bytes": {
                "published": self.bytes.published,
                "sent": self.bytes.sent,
                "kept": self.bytes.kept,
            },
            "delays": {
                "handover": self.delays.handover.json(),
                "capture_to_publish": self.delays.capture_to_publish.json(),
            },
            "violations": self.violations,
            "last_violation": self
                .last_violation
                .as_ref()
                .map(|(rendition, violation)| format!("{rendition}: {violation}")),
        })
        .to_string()
    }
}

fn millis(span: Nanos) -> f64 {
    span.0 as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::fixture::{AUDIO, Presentation, Stream};
    use crate::origin::media::Publication;

    #[test]
    fn the_document_has_every_figure() {
        let mut stream = Stream::with_segments(1);
        stream.part();
        let mut stats = Stats::default();
        stats.observe(&stream.origin);
        stats.refusals.count(404);
        stats.refusals.count(405);
        stats.limits.count(Limit::Http2);
        stats.delays.handover.record(Nanos::from_millis(1));
        stats.delays.handover.record(Nanos::from_millis(3));
        let document: Value = serde_json::from_str(&stats.render()).unwrap();
        assert_eq!(document["edge"], json!({ "msn": 2, "part": 0 }));
        assert_eq!(document["version"], 2);
        assert_eq!(
            document["tracks"],
            json!([{
                "name": "video",
                "kind": "video",
                "codec": "avc1.64001f",
                "width": 1280,
                "height": 720,
                "parts": 6,
                "segments": 1,
                "peak_bandwidth": 320,
                "average_bandwidth": 320,
            }])
        );
        assert_eq!(document["bytes"]["kept"], 6 * 8);
        assert_eq!(document["refusals"]["not_found"], 1);
        assert_eq!(document["refusals"]["other"], 1);
        for (place, (limit, count)) in stats.limits.iter().enumerate() {
            assert_eq!(limit as usize, place);
            assert_eq!(document["limits"][limit.name()], count);
            assert_eq!(stats.limits.of(limit), u64::from(limit == Limit::Http2));
        }
        assert_eq!(
            document["delays"]["handover"],
            json!({ "count": 2, "last_ms": 3.0, "mean_ms": 2.0, "max_ms": 3.0 })
        );
        assert_eq!(document["delays"]["capture_to_publish"]["mean_ms"], 0.0);
        assert_eq!(document["last_violation"], Value::Null);
        stats.last_violation = Some(("audio".to_owned(), Violation::EmptySegment));
        let document: Value = serde_json::from_str(&stats.render()).unwrap();
        assert_eq!(
            document["last_violation"],
            "audio: a segment ended without a part"
        );
    }

    #[test]
    fn one_entry_a_track_from_the_start() {
        let mut presentation = Presentation::of_video_and_audio();
        let mut stats = Stats::default();
        presentation.segment(AUDIO);
        stats.observe(&presentation.origin);
        assert_eq!(stats.edge, None, "the main one's");
        let figures: Vec<_> = stats
            .tracks
            .iter()
            .map(|track| (track.name.as_str(), track.kind, track.parts, track.segments))
            .collect();
        assert_eq!(
            figures,
            [
                ("video", RenditionKind::Video, 0, 0),
                ("audio", RenditionKind::Audio, 6, 1)
            ]
        );
        assert_eq!(stats.tracks[1].codec.as_deref(), Some("mp4a.40.2"));
        assert_eq!(stats.tracks[1].peak_bandwidth, 383);
        presentation.publish(Publication::EndOfRendition(AUDIO));
        stats.observe(&presentation.origin);
        assert!(!stats.is_ended);
        assert_eq!(stats.tracks.len(), 2);
    }
}
