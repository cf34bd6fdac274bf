//! Checks a whole run as a player sees it: every playlist on the way, then every byte.
//!
//! Fed from HTTP alone, apart from the frames counted at the pad. Rule ids are those of the conformance checklist.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    http::Client,
    media::{Chunk, Init, Sample},
    playlist::{FIRST_MSN, Nanos, Playlist, Segment},
    stream::Stream,
};

/// What may be different from a plain run.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Segments that need not start with a sync sample.
    pub segments_without_sync: bool,
    /// The first segment may list no parts: its source was slower than its caps.
    pub first_segment_without_parts: bool,
    /// Frames left out on purpose, beside those before the first key frame.
    pub dropped: usize,
    /// EXT-X-DISCONTINUITY tags there have to be.
    pub discontinuities: usize,
}

impl Allowed {
    pub const NOTHING: Self = Self {
        segments_without_sync: false,
        first_segment_without_parts: false,
        dropped: 0,
        discontinuities: 0,
    };
}

/// Everything that was published, read back.
#[derive(Debug)]
pub struct Run {
    pub playlist: Playlist,
    /// By their URI.
    pub inits: BTreeMap<String, Init>,
    /// Parts of each segment.
    pub segments: Vec<Vec<Chunk>>,
}

impl Run {
    pub fn init(&self) -> &Init {
        self.inits.values().next().unwrap()
    }

    pub fn parts(&self) -> impl Iterator<Item = &Chunk> {
        self.segments.iter().flatten()
    }

    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.parts().flat_map(|part| &part.samples)
    }

    /// Presentation times in ticks, in decode order.
    pub fn presentation_times(&self) -> Vec<i64> {
        self.parts()
            .flat_map(|part| {
                let mut decode = part.decode as i64;
                part.samples.iter().map(move |sample| {
                    let presentation = decode + sample.composition_offset;
                    decode += i64::from(sample.duration);
                    presentation
                })
            })
            .collect()
    }

    /// Durations of the segments in seconds.
    pub fn segment_seconds(&self) -> Vec<f64> {
        self.playlist
            .segments
            .iter()
            .map(|segment| segment.duration as f64 / 1e9)
            .collect()
    }
}

/// Plays a stream to its end and checks it. Nothing is allowed.
pub fn play_and_check(stream: &mut Stream) -> Run {
    play_and_check_but(stream, Allowed::NOTHING)
}

/// Plays a stream to its end and checks it.
pub fn play_and_check_but(stream: &mut Stream, allowed: Allowed) -> Run {
    stream.play();
    follow_and_check(stream, allowed)
}

/// Checks a stream that plays, until its end.
pub fn follow_and_check(stream: &mut Stream, allowed: Allowed) -> Run {
    let mut client = stream.client();
    let mut watcher = Watcher::default();
    let mut is_over = false;
    while !is_over {
        is_over = stream.wait_for_message("a segment or the end", |message| {
            let is_segment = message
                .structure()
                .is_some_and(|structure| structure.name() == "llhls-segment");
            match message.view() {
                gst::MessageView::Eos(_) => Some(true),
                _ => is_segment.then_some(false),
            }
        });
        watcher.look(&mut client);
    }
    let playlist = stream.wait_for_playlist_end();
    watcher.compare(&playlist);
    check_ended(stream, playlist, allowed)
}

/// Compares each playlist of one rendition with those before it.
pub struct Watcher {
    path: String,
    version: Option<String>,
    newest: Option<Playlist>,
    segments: BTreeMap<u64, Segment>,
    /// What was named and there.
    found: BTreeSet<String>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self::of("/live.m3u8")
    }
}

impl Watcher {
    /// Of the playlist at that path.
    pub fn of(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            version: None,
            newest: None,
            segments: BTreeMap::new(),
            found: BTreeSet::new(),
        }
    }

    /// Looks at the playlist of this moment, if it is a new one. Everything it names has to be there (MR-06).
    pub fn look(&mut self, client: &mut Client) {
        let answer = client.get(&self.path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let version = answer.header("x-llhls-version").map(ToOwned::to_owned);
        if self.version == version {
            return;
        }
        self.version = version;
        let playlist = Playlist::read_joined(answer.text());
        for uri in playlist.uris() {
            if !self.found.insert(uri.to_owned()) {
                continue;
            }
            let answer = client.request("HEAD", &format!("/{uri}"));
            assert_eq!(answer.status, 200, "MR-06: {uri} in {}", playlist.text);
        }
        self.compare(&playlist);
    }

    /// PL-09, PL-10, PL-11, PL-17, PL-39: what may change from one playlist to the next.
    pub fn compare(&mut self, playlist: &Playlist) {
        if let Some(before) = &self.newest {
            let constants = |playlist: &Playlist| {
                (
                    playlist.target_duration,
                    playlist.part_target,
                    playlist.part_hold_back,
                )
            };
            assert_eq!(constants(before), constants(playlist), "PL-09, PL-17");
            assert!(before.media_sequence <= playlist.media_sequence, "PL-10");
            if before.media_sequence < playlist.media_sequence {
                playlist.check_window();
            }
            assert!(
                before.discontinuity_sequence <= playlist.discontinuity_sequence,
                "PL-39"
            );
            assert!(before.next_part() <= playlist.next_part(), "PL-11");
        }
        for segment in playlist.all_segments() {
            let Some(before) = self.segments.insert(segment.msn, segment.clone()) else {
                continue;
            };
            assert_eq!(before.date, segment.date, "PL-11");
            assert_eq!(before.map, segment.map, "PL-11");
            assert_eq!(before.is_discontinuity, segment.is_discontinuity, "PL-11");
            if !before.uri.is_empty() {
                assert_eq!(before.uri, segment.uri, "PL-11");
                assert_eq!(before.duration, segment.duration, "PL-11");
                assert!(before.parts.ends_with(&segment.parts), "PL-19");
            } else if !segment.parts.is_empty() {
                assert!(segment.parts.starts_with(&before.parts), "PL-19");
            }
        }
        self.newest = Some(playlist.clone());
    }
}

/// Checks every byte of a stream that is over and whose playlist lost nothing.
pub fn check_ended(stream: &Stream, playlist: Playlist, allowed: Allowed) -> Run {
    assert!(playlist.is_ended, "PL-42: {}", playlist.text);
    assert_eq!(
        playlist.media_sequence, FIRST_MSN,
        "a playlist that lost nothing"
    );
    let mut client = stream.client();
    let mut inits = BTreeMap::new();
    let mut segments = Vec::new();
    let mut next_part = 0;
    for segment in &playlist.segments {
        let init = inits
            .entry(segment.map.clone())
            .or_insert_with_key(|uri| Init::read(&client.body(&format!("/{uri}"))));
        let parts = fetch_parts(&mut client, segment, &mut next_part);
        let chunks: Vec<Chunk> = parts
            .iter()
            .map(|bytes| {
                let mut chunks = init.chunks(bytes);
                assert_eq!(chunks.len(), 1, "one moof a part");
                chunks.pop().unwrap()
            })
            .collect();
        assert!(
            allowed.segments_without_sync || chunks[0].samples[0].is_sync,
            "CM-14, CM-15: {}",
            segment.uri
        );
        check_durations(&playlist, segment, &chunks, init, allowed);
        segments.push(chunks);
    }
    let run = Run {
        playlist,
        inits,
        segments,
    };
    check_timeline(&run, allowed);
    check_frames(stream, &run, allowed);
    // The sink kept to the protocol between it and the origin.
    let stats = client.get("/stats.json").json();
    assert_eq!(stats["violations"], 0, "{}", stats["last_violation"]);
    run
}

/// The bytes of a segment's parts; together they are the segment's (MR-05).
fn fetch_parts(client: &mut Client, segment: &Segment, next: &mut u64) -> Vec<Vec<u8>> {
    let whole = client.body(&format!("/{}", segment.uri));
    let folder = segment.uri.rsplit_once('/').unwrap().0;
    let mut rest = whole.as_slice();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = client.body(&format!("/{folder}/part_{next:05}.m4s"));
        assert!(
            rest.starts_with(&part),
            "MR-05: part {next} in {}",
            segment.uri
        );
        rest = &rest[part.len()..];
        parts.push(part);
        *next += 1;
    }
    parts
}

fn check_durations(
    playlist: &Playlist,
    segment: &Segment,
    chunks: &[Chunk],
    init: &Init,
    allowed: Allowed,
) {
    let extinf: u64 = chunks.iter().map(Chunk::duration).sum();
    assert_eq!(
        printed(extinf, init),
        segment.duration,
        "CM-11: EXTINF of {}",
        segment.uri
    );
    let obeys_target = segment.msn > FIRST_MSN || !allowed.first_segment_without_parts;
    let last = chunks.len() - 1;
    for (nth, chunk) in chunks.iter().enumerate().filter(|_| obeys_target) {
        let duration = printed(chunk.duration(), init);
        let is_independent = chunk.samples.iter().any(|sample| sample.is_sync);
        assert!(
            duration <= playlist.part_target,
            "PL-15: part {nth} of {}: {duration}",
            segment.uri
        );
        assert!(
            nth == last || is_independent || duration * 100 >= playlist.part_target * 85,
            "PL-16: part {nth} of {}: {duration} of {}",
            segment.uri,
            playlist.part_target
        );
    }
    if segment.parts.is_empty() {
        return;
    }
    assert_eq!(
        segment.parts.len(),
        chunks.len(),
        "PL-36: all parts or none"
    );
    for (part, chunk) in segment.parts.iter().zip(chunks) {
        assert_eq!(
            part.duration,
            printed(chunk.duration(), init),
            "CM-10: {}",
            part.uri
        );
        assert_eq!(
            part.is_independent,
            chunk.samples.iter().any(|sample| sample.is_sync),
            "CM-12, CM-13: {}",
            part.uri
        );
    }
}

/// Ticks as a playlist writes them: hundred-thousandths of a second, to nearest.
fn printed(ticks: u64, init: &Init) -> Nanos {
    let units = (2 * ticks as i128 * 100_000 + i128::from(init.timescale))
        / (2 * i128::from(init.timescale));
    i64::try_from(units * 10_000).unwrap()
}

fn check_timeline(run: &Run, allowed: Allowed) {
    let timescale = i128::from(run.init().timescale);
    let mut next = 0;
    let mut sequence = None;
    // CM-20: the same distance between dates and decode times, until a discontinuity.
    let mut epoch = None;
    for (segment, chunks) in run.playlist.segments.iter().zip(&run.segments) {
        let decode = i128::from(chunks[0].decode) * 1_000_000_000 / timescale;
        let zero = i128::from(segment.date) - decode;
        if segment.is_discontinuity {
            epoch = None;
        }
        let epoch = *epoch.get_or_insert(zero);
        assert!(
            (zero - epoch).abs() <= 2_000_000,
            "CM-20: date of {} is {} ns off",
            segment.uri,
            zero - epoch
        );
        for chunk in chunks {
            assert_eq!(chunk.decode, next, "CM-09: {}", segment.uri);
            next += chunk.duration();
            assert!(sequence < Some(chunk.sequence), "CM-18: {}", segment.uri);
            sequence = Some(chunk.sequence);
        }
    }
    let discontinuities = run
        .playlist
        .segments
        .iter()
        .filter(|segment| segment.is_discontinuity)
        .count();
    assert_eq!(discontinuities, allowed.discontinuities);
}

/// Every frame that came to the pad is there, and is shown when it was to be.
fn check_frames(stream: &Stream, run: &Run, allowed: Allowed) {
    let fed = stream.fed();
    let before_key_frame = usize::try_from(stream.frames("dropped-before-key-frame")).unwrap();
    let samples = run.samples().count();
    assert_eq!(
        samples + before_key_frame + allowed.dropped,
        fed.len(),
        "frames lost"
    );
    if allowed.dropped > 0 || allowed.discontinuities > 0 {
        return;
    }
    let mut wanted: Vec<i64> = fed[before_key_frame..]
        .iter()
        .map(|frame| frame.pts.or(frame.dts).unwrap())
        .collect();
    wanted.sort_unstable();
    let mut shown = run.presentation_times();
    shown.sort_unstable();
    let timescale = f64::from(run.init().timescale);
    for (wanted_nth, shown_nth) in wanted.iter().zip(&shown) {
        let wanted = (wanted_nth - wanted[0]) as f64 / 1e9 * timescale;
        let shown = (shown_nth - shown[0]) as f64;
        assert!(
            (wanted - shown).abs() <= 1.01,
            "PL-21: shown at {shown}, not at {wanted} ticks of {timescale}"
        );
    }
}
