//! Delta updates: a player that has an older playlist and gets one knows what the whole one says.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::delivery::playlist::{PlaylistStyle, render, render_delta};
use crate::delivery::{Content, Decision, Request, Routes, decide};
use crate::origin::fixture::{CONSTANTS, Stream, init, renditions, run};
use crate::origin::media::RenditionId;
use crate::origin::window::WindowSettings;
use crate::time::Nanos;

const STYLE: PlaylistStyle = PlaylistStyle::USUAL;

fn of_length(playlist_length: usize) -> Stream {
    let settings = WindowSettings {
        playlist_length,
        max_files: 5,
    };
    Stream::new(settings, CONSTANTS)
}

fn routes() -> Routes {
    Routes::new("live.m3u8".to_owned(), run(), &renditions())
}

fn full(stream: &Stream) -> Option<String> {
    let bytes = render(&stream.origin, RenditionId::MAIN, &routes(), &STYLE)?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

fn delta(stream: &Stream) -> String {
    let bytes = render_delta(&stream.origin, RenditionId::MAIN, &routes(), &STYLE).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a request for the playlist is answered with.
fn content(stream: &Stream, query: &str) -> Content {
    let request = Request::parse("GET", "/live.m3u8", Some(query), &routes()).unwrap();
    match decide(&request, &stream.origin, Nanos(0)) {
        Decision::Reply(reply) => reply.content,
        other => panic!("{query}: {other:?}"),
    }
}

/// A playlist taken apart as a player does it.
#[derive(Clone, Debug, PartialEq)]
struct Playlist {
    /// Tags before the first segment, but EXT-X-VERSION and EXT-X-SKIP.
    header: Vec<String>,
    version: u64,
    first: u64,
    skipped: usize,
    /// Each with its tags, EXT-X-MAP and EXT-X-PART apart.
    segments: Vec<Segment>,
    /// Everything after the last whole segment.
    tail: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Segment {
    /// The EXT-X-MAP in force; `None` when the playlist does not say.
    map: Option<String>,
    parts: Vec<String>,
    lines: Vec<String>,
}

impl Playlist {
    fn read(text: &str) -> Self {
        let mut playlist = Self {
            header: Vec::new(),
            version: 0,
            first: 0,
            skipped: 0,
            segments: Vec::new(),
            tail: Vec::new(),
        };
        let mut map = None;
        let mut segment = Segment::default();
        for line in text.lines() {
            if let Some(version) = line.strip_prefix("#EXT-X-VERSION:") {
                playlist.version = version.parse().unwrap();
            } else if let Some(count) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                playlist.skipped = count.parse().unwrap();
            } else if let Some(uri) = line.strip_prefix("#EXT-X-MAP:") {
                map = Some(uri.to_owned());
            } else if line.starts_with("#EXT-X-PART:") {
                segment.parts.push(line.to_owned());
            } else if line.starts_with("#EXT-X-PROGRAM-DATE-TIME")
                || line == "#EXT-X-DISCONTINUITY"
                || line.starts_with("#EXTINF")
            {
                segment.lines.push(line.to_owned());
            } else if !line.starts_with('#') {
                segment.lines.push(line.to_owned());
                segment.map.clone_from(&map);
                playlist.segments.push(std::mem::take(&mut segment));
            } else if line.starts_with("#EXT-X-PRELOAD-HINT") || line == "#EXT-X-ENDLIST" {
                playlist.tail.push(line.to_owned());
            } else {
                if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                    playlist.first = first.parse().unwrap();
                }
                playlist.header.push(line.to_owned());
            }
        }
        playlist.tail.append(&mut segment.lines);
        playlist.tail.append(&mut segment.parts);
        playlist
    }

    /// The whole playlist, from a delta and one the player had before.
    fn expand(mut self, before: &Self) -> Self {
        let known = before
            .segments
            .iter()
            .skip(usize::try_from(self.first - before.first).unwrap())
            .take(self.skipped);
        let mut segments: Vec<Segment> = known.cloned().collect();
        assert_eq!(segments.len(), self.skipped, "the player has them all");
        for segment in &mut segments {
            segment.parts.clear();
        }
        let map = segments.last().and_then(|last| last.map.clone());
        for mut segment in self.segments {
            segment.map = segment.map.or_else(|| map.clone());
            segments.push(segment);
        }
        self.segments = segments;
        self.skipped = 0;
        self.version = before.version;
        self
    }
}

#[test]
fn a_delta_update_of_a_long_window() {
    let mut stream = of_length(9);
    for _ in 0..12 {
        stream.segment(5);
    }
    stream.part();
    let text = delta(&stream);
    let head = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=6.0,PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:4
#EXT-X-SKIP:SKIPPED-SEGMENTS=3
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:06.000Z
#EXTINF:1.00000,
run/segment_00007.m4s
";
    assert!(text.starts_with(head), "{text}");
    let whole = full(&stream).unwrap();
    assert!(whole.contains("#EXT-X-VERSION:6\n"), "{whole}");
    assert!(whole.contains("CAN-SKIP-UNTIL=6.0,"), "{whole}");
    assert!(!whole.contains("EXT-X-SKIP"), "{whole}");
}

#[test]
fn exactly_what_lies_beyond_the_boundary_is_skipped() {
    let mut stream = of_length(9);
    for _ in 0..12 {
        stream.segment(5);
    }
    let window = || stream.window();
    // The newest six end exactly at the boundary; the one before them does not lie beyond it.
    assert_eq!(window().skippable(), 2);
    stream.part();
    assert_eq!(stream.window().skippable(), 3);
}

#[test]
fn whether_deltas_are_offered_depends_on_the_length_that_was_set() {
    for (length, offer) in [(3, None), (6, None), (7, Some(6)), (30, Some(6))] {
        let mut stream = of_length(length);
        for _ in 0..40 {
            stream.segment(5);
            assert_eq!(stream.window().skip_boundary(), offer, "{length}");
            let text = full(&stream).unwrap();
            assert_eq!(text.contains("CAN-SKIP-UNTIL"), offer.is_some());
        }
    }
}

/// TARGETDURATION is in whole seconds, so half-second segments take twice as many to get beyond six of them.
#[test]
fn deltas_are_offered_where_there_will_be_something_to_skip() {
    // Parts of 0.2 s.
    for (length, parts, offer) in [
        (12, 3, true),
        (10, 3, false),
        (11, 3, true),
        (6, 5, false),
        (7, 5, true),
        (12, 2, false),
        (15, 2, false),
        (16, 2, true),
    ] {
        let mut stream = of_length(length);
        let mut most = 0;
        for _ in 0..40 {
            stream.segment(parts);
            for _ in 1..parts {
                stream.part();
            }
            most = most.max(stream.window().skippable());
            stream.part();
            stream.end_segment();
        }
        let is_offered = stream.window().skip_boundary().is_some();
        assert_eq!((is_offered, most > 0), (offer, offer), "{length} {parts}");
    }
}

#[test]
fn deltas_are_for_live_playlists_that_have_something_to_skip() {
    let whole = Content::Playlist(RenditionId::MAIN);
    let shorter = Content::Delta(RenditionId::MAIN);
    let mut stream = of_length(9);
    stream.segment(5);
    assert_eq!(content(&stream, "_HLS_skip=YES"), whole, "too short as yet");
    for _ in 0..12 {
        stream.segment(5);
    }
    stream.part();
    for (query, expected) in [
        ("", &whole),
        ("_HLS_skip=YES", &shorter),
        ("_HLS_skip=v2", &shorter),
        ("_HLS_skip=maybe", &whole),
        ("_HLS_msn=14&_HLS_part=0&_HLS_skip=YES", &shorter),
        ("_HLS_msn=3&_HLS_skip=YES", &shorter),
        ("_HLS_skip=YES&wait=1000&version=1", &shorter),
    ] {
        assert_eq!(content(&stream, query), *expected, "{query}");
    }
    stream.end();
    assert_eq!(content(&stream, "_HLS_skip=YES"), whole);

    let mut stream = of_length(6);
    for _ in 0..12 {
        stream.segment(5);
    }
    assert_eq!(content(&stream, "_HLS_skip=YES"), whole, "not offered");
}

/// Half the Skip Boundary.
fn retain_what_a_player_may_have(before: &mut Vec<(Nanos, Playlist)>, stream: &Stream) {
    before.retain(|(at, _)| stream.position.0 - at.0 <= Nanos::from_seconds(3).0);
}

/// Publishes one part, or the end of the segment; what players are given then: the playlist and its delta.
/// `None` before there is one.
fn advance(stream: &mut Stream, is_end: bool) -> Option<(Playlist, Playlist)> {
    if is_end {
        stream.end_segment();
    } else {
        stream.part();
    }
    let text = full(stream)?;
    let whole = Playlist::read(&text);
    let shorter = Playlist::read(&delta(stream));
    Some((whole, shorter))
}

/// DD-12 for every n: from nothing skipped to all that ever is, for each length of the playlist, at each part.
#[test]
fn every_number_of_segments_is_skipped_and_comes_back() {
    for playlist_length in 7..=30 {
        let mut stream = of_length(playlist_length);
        let mut before: Vec<(Nanos, Playlist)> = Vec::new();
        let mut skipped = BTreeSet::new();
        for _ in 0..playlist_length + 4 {
            for part in 0..=5 {
                let Some((whole, shorter)) = advance(&mut stream, part == 5) else {
                    continue;
                };
                skipped.insert(shorter.skipped);
                retain_what_a_player_may_have(&mut before, &stream);
                for (_, known) in &before {
                    let expanded = shorter.clone().expand(known);
                    assert_eq!(expanded, whole, "{playlist_length}");
                }
                before.push((stream.position, whole));
            }
        }
        // All but those that six target durations reach into.
        let expected = 0..=playlist_length - 6;
        assert!(skipped.into_iter().eq(expected), "{playlist_length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// DD-12: from whichever older playlist within half the Skip Boundary, which is what a player may have, the delta
    /// expands to the whole.
    #[test]
    fn every_delta_expands_to_the_whole(
        playlist_length in 7_usize..24,
        steps in prop::collection::vec((1..8_u64, 0..12_u8), 8..60),
    ) {
        let mut stream = of_length(playlist_length);
        let mut formats = ["<a>", "<b>"].iter().cycle();
        let mut before: Vec<(Nanos, Playlist)> = Vec::new();
        let mut skipped = 0;
        // The first one says how long segments are.
        stream.segment(5);
        for (parts, what) in steps {
            match what {
                0 => stream.discontinuity(),
                1 => {
                    stream.publish(init(formats.next().unwrap()));
                }
                _ => {}
            }
            for part in 0..=parts {
                let Some((whole, shorter)) = advance(&mut stream, part == parts) else {
                    continue;
                };
                prop_assert_eq!(shorter.skipped, stream.window().skippable());
                prop_assert_eq!(shorter.version, if shorter.skipped > 0 { 9 } else { 6 });
                skipped += shorter.skipped;
                retain_what_a_player_may_have(&mut before, &stream);
                for (_, known) in &before {
                    prop_assert_eq!(&shorter.clone().expand(known), &whole);
                }
                before.push((stream.position, whole));
            }
        }
        prop_assert!(skipped > 0 || stream.window().listed().len() < 15);
    }
}
