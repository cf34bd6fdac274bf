//! PL-30: what a playlist says of the other renditions is what they have at that moment.
//!
//! The messages of parts come from the thread that answers, in the order in which parts were published. So while one rendition
//! had a certain edge, the others can only have had what was published between that part and its next one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    collections::BTreeMap,
    thread::{self, JoinHandle},
};

use support::{
    check::Watcher,
    http::Client,
    playlist::{Playlist, number},
    stream::Stream,
    tracks,
};

/// Segment and place in it.
type Edge = (u64, u64);

/// Parts in the order of their publication, each with its rendition.
type Published = Vec<(String, Edge)>;

const PICTURE: &str =
    "videotestsrc is-live=true num-buffers=135 ! video/x-raw,width=160,height=120,framerate=30/1";
const ENCODED: &str = "x264enc tune=zerolatency speed-preset=ultrafast threads=1 ! h264parse";
const SOUND: &str = "audiotestsrc is-live=true num-buffers=211 ! avenc_aac ! aacparse";

#[test]
fn beside_a_picture_and_its_sound() {
    follow(&format!("{PICTURE} ! {ENCODED} ! sink. {SOUND} ! sink."), 2);
}

#[test]
fn beside_a_ladder_and_its_sound() {
    let rung = |nth| format!("split. ! queue ! {ENCODED} ! sink.video_{nth}");
    let ladder = format!(
        "{PICTURE} ! tee name=split {} {} {}",
        rung(0),
        rung(1),
        rung(2)
    );
    follow(&format!("{ladder} {SOUND} ! sink."), 4);
}

/// Follows all renditions with blocked reloads to their end, and compares.
fn follow(branches: &str, renditions: usize) {
    let mut stream = Stream::of_branches(branches, "post-part-messages=true");
    stream.play();
    let uris = tracks::named(&mut stream.client());
    assert_eq!(uris.len(), renditions, "{uris:?}");
    let followers: Vec<JoinHandle<Vec<Playlist>>> = uris
        .iter()
        .map(|uri| {
            let (port, path) = (stream.port(), format!("/{uri}"));
            thread::spawn(move || reload(&mut Client::new(port), &path))
        })
        .collect();
    let followed: Vec<Vec<Playlist>> = followers
        .into_iter()
        .map(|follower| follower.join().unwrap())
        .collect();
    support::wait_until("the end of the presentation", || {
        stream.stats().get::<bool>("ended") == Ok(true)
    });
    let published = published(&mut stream);
    for (uri, playlists) in uris.iter().zip(&followed) {
        // Four segments of five parts; on a crowded machine one answer may do for many of them.
        assert!(!playlists.is_empty(), "{uri}: no answer before the end");
        for playlist in playlists {
            compare(uri, playlist, &uris, &published);
        }
    }
}

/// Each answer to a blocked reload, until the playlist ends.
fn reload(client: &mut Client, path: &str) -> Vec<Playlist> {
    let mut watcher = Watcher::of(path);
    let mut playlist = read(client, path);
    let mut answers = Vec::new();
    loop {
        watcher.compare(&playlist);
        if playlist.is_ended {
            return answers;
        }
        let (msn, part) = playlist.next_part();
        playlist = read(client, &format!("{path}?_HLS_msn={msn}&_HLS_part={part}"));
        if !playlist.is_ended {
            answers.push(playlist.clone());
        }
    }
}

fn read(client: &mut Client, path: &str) -> Playlist {
    let body = client.body(path);
    Playlist::read(std::str::from_utf8(&body).unwrap())
}

fn published(stream: &mut Stream) -> Published {
    stream.drain_messages();
    let mut parts = BTreeMap::<(String, u64), u64>::new();
    let messages = stream
        .messages
        .iter()
        .filter_map(|message| message.structure());
    messages
        .filter(|structure| structure.name() == "llhls-part")
        .map(|structure| {
            let rendition: String = structure.get("rendition").unwrap();
            let msn = number(&structure.get::<String>("segment").unwrap());
            let before = parts.entry((rendition.clone(), msn)).or_default();
            let part = *before;
            *before += 1;
            (rendition, (msn, part))
        })
        .collect()
}

/// Name of its pad.
fn pad(uri: &str) -> &str {
    let name = uri.strip_prefix("live_").unwrap();
    name.strip_suffix(".m3u8").unwrap()
}

fn compare(uri: &str, playlist: &Playlist, uris: &[String], published: &Published) {
    let newest = playlist.all_segments().last().unwrap();
    let own = (newest.msn, newest.parts.len() as u64 - 1);
    let is_own = |(rendition, edge): &(String, Edge)| rendition == pad(uri) && *edge == own;
    let from = published.iter().position(is_own).unwrap();
    let later = published[from + 1..]
        .iter()
        .position(|(rendition, _)| rendition == pad(uri));
    let until = later.map_or(published.len(), |later| from + 1 + later);

    let reported: Vec<&String> = playlist.reports.iter().map(|(uri, ..)| uri).collect();
    let mut others: Vec<&String> = uris.iter().filter(|other| *other != uri).collect();
    others.sort_by_key(|other| playlist.reports.iter().position(|(uri, ..)| uri == *other));
    assert_eq!(reported, others, "each other one, once: {}", playlist.text);
    for (other, msn, part) in &playlist.reports {
        let reported = (*msn, part.expect("all list parts"));
        let of_other = |place: usize| {
            let (rendition, edge) = &published[place];
            (rendition == pad(other)).then_some(*edge)
        };
        let at_first = (0..=from).rev().find_map(of_other);
        let held: Vec<Edge> = at_first
            .into_iter()
            .chain((from + 1..until).filter_map(of_other))
            .collect();
        assert!(
            held.contains(&reported),
            "{uri} at {own:?} reports {other} at {reported:?}, which was at {held:?}"
        );
    }
}
