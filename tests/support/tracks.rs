//! Checks a presentation of several renditions: each as a player sees it, then what they owe each other.
//!
//! Fed from HTTP alone, apart from the frames counted at the pads. Rule ids are those of the conformance checklist.

use std::collections::BTreeMap;

use super::{
    check::Watcher,
    http::Client,
    media::Init,
    playlist::{Nanos, Playlist},
    stream::Stream,
};

/// The figures that together count every frame that came in at a pad, and the silence taken besides.
pub const DEALT_WITH: [&str; 7] = [
    "taken",
    "dropped-before-key-frame",
    "dropped-before-joining",
    "dropped-ahead",
    "dropped-backwards",
    "dropped-without-timestamp",
    "dropped-empty",
];

/// A rendition, read back.
#[derive(Debug)]
pub struct Rendition {
    /// `live_audio.m3u8`.
    pub uri: String,
    pub playlist: Playlist,
    pub entry: &'static str,
    /// By number.
    pub segments: BTreeMap<u64, Segment>,
    /// Media times in nanoseconds, in the order of decoding.
    pub presented: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub date: Nanos,
    /// Media time of its first sample, in nanoseconds.
    pub media: i64,
    pub duration: Nanos,
    /// EXT-X-DISCONTINUITYs up to here.
    pub discontinuities: u64,
    pub is_sync: bool,
}

impl Rendition {
    /// Numbers of the segments that lack media.
    pub fn gaps(&self) -> Vec<u64> {
        let gaps = self
            .playlist
            .segments
            .iter()
            .filter(|segment| segment.is_gap);
        gaps.map(|segment| segment.msn).collect()
    }

    /// Name of its pad.
    pub fn pad(&self) -> &str {
        let name = self.uri.strip_prefix("live_").unwrap();
        name.strip_suffix(".m3u8").unwrap()
    }
}

/// URIs of the media playlists the multivariant playlist names, in its order.
pub fn named(client: &mut Client) -> Vec<String> {
    let answer = client.get("/live.m3u8");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, all) = m3u8_rs::parse_master_playlist(&answer.body).unwrap();
    let mut uris: Vec<String> = Vec::new();
    for variant in &all.variants {
        assert!(
            variant
                .codecs
                .as_ref()
                .is_some_and(|codecs| !codecs.is_empty()),
            "MV-03"
        );
        assert!(
            variant.average_bandwidth.unwrap() <= variant.bandwidth,
            "MV-01"
        );
        uris.push(variant.uri.clone());
    }
    uris.extend(
        all.alternatives
            .iter()
            .filter_map(|media| media.uri.clone()),
    );
    uris.sort();
    uris.dedup();
    uris
}

pub fn playlist(client: &mut Client, uri: &str) -> Playlist {
    let text = client.body(&format!("/{uri}"));
    Playlist::read(std::str::from_utf8(&text).unwrap())
}

/// Plays to the end of all tracks and checks everything. Answers the renditions by name of the pad.
pub fn play_and_check(stream: &mut Stream) -> BTreeMap<String, Rendition> {
    stream.play();
    end_and_check(stream)
}

/// Waits for the end of all tracks and checks everything.
pub fn end_and_check(stream: &mut Stream) -> BTreeMap<String, Rendition> {
    let mut client = stream.client();
    watch_to_the_end(stream, &mut client);
    super::wait_until("the end of the presentation", || {
        stream.stats().get::<bool>("ended") == Ok(true)
    });
    let uris = named(&mut client);
    assert!(!uris.is_empty(), "{}", stream.stats());
    let renditions: Vec<Rendition> = uris.iter().map(|uri| read(&mut client, uri)).collect();
    check_together(&renditions);
    check_offsets(stream, &renditions);
    // A rendition that came late may have longer parts than PART-HOLD-BACK was made for.
    let late = renditions
        .iter()
        .filter(|one| one.playlist.part_hold_back < 3 * one.playlist.part_target)
        .count();
    let stats = client.get("/stats.json").json();
    assert_eq!(stats["violations"], late, "{}", stats["last_violation"]);
    renditions
        .into_iter()
        .map(|rendition| (rendition.pad().to_owned(), rendition))
        .collect()
}

/// Looks at the playlist of each rendition with each segment of any, until all tracks are over.
fn watch_to_the_end(stream: &mut Stream, client: &mut Client) {
    let mut watchers = BTreeMap::<String, Watcher>::new();
    loop {
        let segment = stream.wait_for_message("a segment or the end", |message| {
            let segment = message
                .structure()
                .filter(|structure| structure.name() == "llhls-segment")
                .map(|structure| structure.get::<String>("rendition").unwrap());
            match message.view() {
                gst::MessageView::Eos(_) => Some(None),
                _ => segment.map(Some),
            }
        });
        let Some(rendition) = segment else { return };
        // One that has segments may wait for others to go live with.
        let watcher = watchers.entry(rendition).or_insert_with_key(|name| {
            let path = format!("/live_{name}.m3u8");
            Watcher::of(&path)
        });
        if is_live(client) {
            watcher.look(client);
        }
    }
}

/// Whether the playlists can be read without waiting.
fn is_live(client: &mut Client) -> bool {
    client.get("/stats.json").json()["version"].as_u64() > Some(0)
}

/// Reads a rendition that is over and checks it alone.
fn read(client: &mut Client, uri: &str) -> Rendition {
    let playlist = playlist(client, uri);
    assert!(playlist.is_ended, "PL-42: {uri}");
    let mut inits = BTreeMap::new();
    let mut segments = BTreeMap::new();
    let mut presented = Vec::new();
    let mut discontinuities = playlist.discontinuity_sequence;
    let mut entry = "";
    let mut end = None;
    let mut epoch = None;
    let mut gap_until = None;
    for segment in &playlist.segments {
        let init = inits
            .entry(segment.map.clone())
            .or_insert_with_key(|uri| Init::read(&client.body(&format!("/{uri}"))));
        entry = init.entry;
        if segment.is_gap {
            // Nothing to fetch as a whole. What comes after it is as much later as it says (6.2.1).
            let answer = client.get(&format!("/{}", segment.uri));
            assert_eq!(answer.status, 404, "4.4.4.7: {}", segment.uri);
            if segment.is_discontinuity {
                discontinuities += 1;
                epoch = None;
            }
            gap_until = Some(segment.date + segment.duration);
            end = None;
            continue;
        }
        if let Some(until) = gap_until.take().filter(|_| !segment.is_discontinuity) {
            let apart = segment.date - until;
            assert!(
                apart.abs() <= 2_000_000,
                "6.2.1: {apart} ns: {}",
                segment.uri
            );
        }
        let whole = client.body(&format!("/{}", segment.uri));
        let parts: Vec<u8> = segment
            .parts
            .iter()
            .flat_map(|part| client.body(&format!("/{}", part.uri)))
            .collect();
        assert!(parts.is_empty() || parts == whole, "MR-05: {}", segment.uri);
        let chunks = init.chunks(&whole);
        let timescale = i128::from(init.timescale);
        let nanos = |ticks: i64| (i128::from(ticks) * 1_000_000_000 / timescale) as i64;
        let ticks: u64 = chunks.iter().map(|chunk| chunk.duration()).sum();
        let apart = nanos(ticks as i64) - segment.duration;
        assert!(apart.abs() <= 5_001, "CM-11: {apart} ns: {}", segment.uri);
        if segment.is_discontinuity {
            discontinuities += 1;
            epoch = None;
            assert!(
                end <= Some(chunks[0].decode),
                "time runs back in {}",
                segment.uri
            );
            end = None;
        }
        let decode = nanos(chunks[0].decode as i64);
        let zero = segment.date - decode;
        assert!(
            (zero - *epoch.get_or_insert(zero)).abs() <= 2_000_000,
            "CM-20: {}",
            segment.uri
        );
        segments.insert(
            segment.msn,
            Segment {
                date: segment.date,
                media: nanos(chunks[0].decode as i64 + chunks[0].samples[0].composition_offset),
                duration: segment.duration,
                discontinuities,
                is_sync: chunks[0].samples[0].is_sync,
            },
        );
        for chunk in &chunks {
            assert_eq!(
                chunk.decode,
                end.unwrap_or(chunk.decode),
                "CM-09: {}",
                segment.uri
            );
            let mut decode = chunk.decode as i64;
            for sample in &chunk.samples {
                presented.push(nanos(decode + sample.composition_offset));
                decode += i64::from(sample.duration);
            }
            end = Some(decode as u64);
        }
        assert!(playlist.part_target > 0);
    }
    Rendition {
        uri: uri.to_owned(),
        playlist,
        entry,
        segments,
        presented,
    }
}

/// What renditions owe each other.
fn check_together(renditions: &[Rendition]) {
    let first = &renditions[0].playlist;
    for rendition in renditions {
        let playlist = &rendition.playlist;
        assert_eq!(playlist.target_duration, first.target_duration, "MV-09");
        assert_eq!(playlist.part_hold_back, first.part_hold_back, "MV-10");
        check_reports(rendition, renditions);
        for other in renditions {
            compare(rendition, other);
        }
    }
}

/// PL-30: every other rendition is reported, exactly.
fn check_reports(rendition: &Rendition, all: &[Rendition]) {
    let uris: Vec<&String> = rendition
        .playlist
        .reports
        .iter()
        .map(|(uri, ..)| uri)
        .collect();
    // One that is over reports nothing: nobody changes from it to another.
    if rendition.playlist.is_ended && uris.is_empty() {
        return;
    }
    assert_eq!(uris.len() + 1, all.len(), "PL-30: {uris:?}");
    for (uri, msn, _) in &rendition.playlist.reports {
        let other = all.iter().find(|other| other.uri == *uri).unwrap();
        assert_eq!(Some(msn), other.segments.keys().last(), "PL-30: {uri}");
    }
}

fn compare(one: &Rendition, other: &Rendition) {
    let part = one.playlist.part_target.max(other.playlist.part_target);
    let last = one.segments.keys().last();
    for (number, mine) in &one.segments {
        let Some(theirs) = other.segments.get(number) else {
            continue;
        };
        let apart = mine.date - theirs.date;
        // The last may be what is left of a longer track.
        if Some(number) != last {
            assert!(
                apart.abs() <= part,
                "MV-12: segment {number} of {} begins {apart} ns after that of {}",
                one.uri,
                other.uri
            );
        }
        let media = mine.media - theirs.media;
        assert!(
            (media - apart).abs() <= 42_000_000,
            "segment {number} of {} and {}: dates {apart} ns apart, media {media} ns",
            one.uri,
            other.uri
        );
        assert_eq!(
            mine.discontinuities, theirs.discontinuities,
            "MV-11: segment {number} of {} and {}",
            one.uri, other.uri
        );
    }
}

/// Sound against picture: as far apart in the media as at the pads. One offset has to bring every frame of every rendition to where
/// it came in, but for the silence put into holes, of which there is as much as is taken and did not come.
fn check_offsets(stream: &Stream, renditions: &[Rendition]) {
    struct Line<'a> {
        pad: &'a str,
        fed: Vec<i64>,
        presented: Vec<i64>,
        silence: u64,
    }
    let lines: Vec<Line<'_>> = renditions
        .iter()
        .filter(|rendition| {
            let mut segments = rendition.segments.values();
            let is_one_line = segments.all(|segment| segment.discontinuities == 0);
            is_one_line && !rendition.presented.is_empty()
        })
        .map(|rendition| {
            let pad = rendition.pad();
            let came = stream.fed_to(pad);
            let mut fed: Vec<i64> = came
                .iter()
                .filter_map(|frame| frame.pts.or(frame.dts))
                .collect();
            // Timestamps that were meant to be wrong.
            let is_far = |one: i64, other: i64| (one - other).abs() > 60_000_000_000;
            let wrong = fed
                .windows(3)
                .filter(|of| is_far(of[0], of[1]) && is_far(of[1], of[2]) && !is_far(of[0], of[2]))
                .count();
            fed.sort_unstable();
            let mut presented = rendition.presented.clone();
            presented.sort_unstable();
            let dealt_with: u64 = DEALT_WITH
                .iter()
                .map(|figure| stream.figure(pad, figure))
                .sum();
            Line {
                pad,
                silence: dealt_with.saturating_sub(came.len() as u64) + wrong as u64,
                fed,
                presented,
            }
        })
        .collect();
    // Of each, the frames that have no counterpart.
    let strangers = |offset: i64| -> Vec<u64> {
        let is_strange = |line: &Line<'_>, time: i64| {
            let after = line.fed.partition_point(|fed| *fed < time - 1_000_000);
            line.fed
                .get(after)
                .is_none_or(|fed| *fed > time + 1_000_000)
        };
        let count = |line: &Line<'_>| {
            let times = line.presented.iter();
            let strange = times.filter(|time| is_strange(line, **time + offset));
            strange.count() as u64
        };
        lines.iter().map(count).collect()
    };
    // Frames may have been left out at the begin, at the end, or in the middle.
    let ends = |line: &Line<'_>| {
        let first = line.fed.iter().take(200).map(|fed| fed - line.presented[0]);
        let last = line.fed.last().unwrap() - line.presented.last().unwrap();
        first.chain([last]).collect::<Vec<_>>()
    };
    let offsets = lines.iter().flat_map(ends);
    let Some(best) = offsets
        .map(strangers)
        .min_by_key(|all| all.iter().sum::<u64>())
    else {
        return;
    };
    for (line, strange) in lines.iter().zip(best) {
        assert!(
            strange <= line.silence,
            "{strange} frames of {} are not where they came in, {} of silence",
            line.pad,
            line.silence
        );
    }
}

/// Numbers of the segments that begin after a discontinuity.
pub fn breaks(rendition: &Rendition) -> Vec<u64> {
    let mut before = 0;
    let mut numbers = Vec::new();
    for (number, segment) in &rendition.segments {
        if segment.discontinuities > before {
            numbers.push(*number);
        }
        before = segment.discontinuities;
    }
    numbers
}
