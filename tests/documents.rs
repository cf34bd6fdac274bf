//! What else the server has: the JSON documents, and the manners of every answer.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::io::Read;

use flate2::read::GzDecoder;
use support::{check::play_and_check, http::Client, playlist::Playlist, stream::Stream};

fn ended() -> (Stream, support::check::Run) {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=90 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "",
    );
    let run = play_and_check(&mut stream);
    (stream, run)
}

const TWO_SECONDS: &str = "videotestsrc num-buffers=60 ! video/x-raw,width=160,height=120,framerate=30/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";

#[test]
fn timestamps_are_under_bare_names() {
    let before = support::unix_now();
    let (stream, run) = ended();
    let document = stream.client().get("/timestamps.json");
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document = document.json();
    let after = support::unix_now();
    let keys: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "captured",
            "parts",
            "segments",
            "timestamp",
            "version",
            "versions"
        ]
    );
    let moments = |key: &str| document[key].as_object().unwrap().clone();
    let (segments, parts, captured) = (moments("segments"), moments("parts"), moments("captured"));
    assert_eq!(segments.len(), 3);
    assert_eq!(parts.len(), 15);
    assert_eq!(captured.len(), 18);
    for name in segments.keys().chain(parts.keys()) {
        assert!(!name.contains('/'), "{name}");
        assert!(captured.contains_key(name), "{name}");
    }
    assert!(segments.contains_key("segment_00003.m4s"));
    assert!(parts.contains_key("part_00014.m4s"));
    for moment in segments.values().chain(parts.values()) {
        let moment = moment.as_i64().unwrap();
        assert!((before..=after).contains(&moment), "{moment}");
    }
    // The capture time of a segment is its date.
    for segment in &run.playlist.segments {
        let name = segment.uri.rsplit('/').next().unwrap();
        let captured = captured[name].as_i64().unwrap();
        assert!((captured - segment.date).abs() <= 500_000, "{name}");
    }
    let now = document["timestamp"].as_i64().unwrap();
    assert!((before..=after).contains(&now));
    assert!(document["version"].as_u64().unwrap() > 0);
}

#[test]
fn stats_are_in_json_and_in_a_property() {
    let (stream, run) = ended();
    let document = stream.client().get("/stats.json");
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document = document.json();
    assert_eq!(document["tracks"][0]["segments"], 3);
    assert_eq!(document["tracks"][0]["parts"], 15);
    assert_eq!(document["ended"], true);
    assert_eq!(document["edge"]["msn"], 3);
    assert_eq!(document["violations"], 0);
    let published: usize = run.parts().map(|part| part.size).sum();
    assert_eq!(document["bytes"]["published"], published as u64);
    let stats = stream.stats();
    assert_eq!(stats.get::<u64>("bytes-published"), Ok(published as u64));
    assert_eq!(stats.get::<u64>("edge-msn"), Ok(3));
    assert_eq!(stats.get::<bool>("ended"), Ok(true));
    assert_eq!(stream.frames("taken"), 90);
}

#[test]
fn every_answer_may_be_read_by_any_page_and_says_what_it_is() {
    let (stream, run) = ended();
    let mut client = stream.client();
    let media = format!("/{}", run.playlist.segments[0].uri);
    let init = format!("/{}", run.playlist.segments[0].map);
    for (path, status, kind) in [
        ("/", 200, "text/html"),
        ("/live.m3u8", 200, "application/vnd.apple.mpegurl"),
        (media.as_str(), 200, "video/mp4"),
        (init.as_str(), 200, "video/mp4"),
        ("/timestamps.json", 200, "application/json"),
        ("/stats.json", 200, "application/json"),
        ("/nothing", 404, "text/plain"),
        ("/../../etc/passwd", 404, "text/plain"),
        ("/live.m3u8?_HLS_part=1", 400, "text/plain"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, status, "{path}");
        let told = answer.header("content-type").unwrap();
        assert!(told.starts_with(kind), "{path}: {told}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "HT-08: {path}"
        );
        assert!(answer.header("cache-control").is_some(), "{path}");
        let length = answer.header("content-length").map(str::parse);
        assert_eq!(length, Some(Ok(answer.body.len())), "{path}");
        if status >= 400 {
            assert_eq!(answer.text().lines().count(), 1, "a reason: {path}");
        }
        // MR-10.
        let head = client.request("HEAD", path);
        assert_eq!(head.status, status, "{path}");
        assert_eq!(
            head.header("content-type"),
            answer.header("content-type"),
            "{path}"
        );
        if !path.ends_with(".json") && path != "/nothing" {
            assert_eq!(
                head.header("content-length"),
                answer.header("content-length"),
                "{path}"
            );
        }
    }
    check_methods(&mut client, &media);
}

fn check_methods(client: &mut Client, media: &str) {
    for path in ["/live.m3u8", media, "/nothing"] {
        let answer = client.request("OPTIONS", path);
        assert_eq!(answer.status, 204, "HT-09");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("GET"), "{methods}");
        assert!(answer.header("access-control-allow-headers").is_some());
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = client.request(method, "/live.m3u8");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert!(answer.header("allow").unwrap().contains("GET"));
    }
}

/// Rules HT-06 and HT-07.
#[test]
fn what_is_text_comes_in_gzip_to_those_who_take_it() {
    let (stream, run) = ended();
    let mut client = stream.client();
    for path in ["/live.m3u8", "/"] {
        let plain = client.get(path);
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let packed = client.get_with("Accept-Encoding", "br, gzip;q=0.5", path);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(unpack(&packed.body), plain.body, "{path}");
        assert!(packed.body.len() < plain.body.len(), "{path}");
        for answer in [&plain, &packed] {
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
        }
        let refused = client.get_with("Accept-Encoding", "gzip;q=0", path);
        assert_eq!(refused.header("content-encoding"), None, "{path}");
        assert_eq!(refused.body, plain.body, "{path}");
    }
    let document = client.get_with("Accept-Encoding", "gzip", "/timestamps.json");
    let document: serde_json::Value = serde_json::from_slice(&unpack(&document.body)).unwrap();
    assert_eq!(document["segments"].as_object().unwrap().len(), 3);
    // Media is compressed already.
    let media = format!("/{}", run.playlist.segments[0].uri);
    let whole = client.body(&media);
    let answer = client.get_with("Accept-Encoding", "gzip", &media);
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.body, whole);
}

fn unpack(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

/// Rules MR-08 and MR-09, over the borders of the parts a segment is made of.
#[test]
fn media_comes_in_ranges() {
    let (stream, run) = ended();
    let mut client = stream.client();
    let segment = &run.playlist.segments[0];
    let first_part = client.body(&format!("/{}", segment.parts[0].uri)).len();
    for uri in [&segment.uri, &segment.map, &segment.parts[1].uri] {
        let path = format!("/{uri}");
        let whole = client.body(&path);
        let length = whole.len();
        let border = first_part.min(length - 2);
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            (
                format!("bytes={}-{border}", border - 1),
                border - 1,
                border + 1,
            ),
            (format!("bytes={border}-"), border, length),
            ("bytes=-7".to_owned(), length - 7, length),
            (format!("bytes=1-{}", length * 2), 1, length),
        ] {
            let answer = client.get_with("Range", &range, &path);
            assert_eq!(answer.status, 206, "{path} {range}");
            assert!(answer.body == whole[from..to], "{path} {range}");
            let told = format!("bytes {from}-{}/{length}", to - 1);
            assert_eq!(answer.header("content-range"), Some(&*told), "{path}");
        }
        let past = client.get_with("Range", &format!("bytes={length}-"), &path);
        assert_eq!(past.status, 416, "{path}");
        let told = format!("bytes */{length}");
        assert_eq!(past.header("content-range"), Some(&*told), "{path}");
        assert_eq!(past.header("access-control-allow-origin"), Some("*"));
        // And what is no range is none.
        let whole_again = client.get_with("Range", "lines=1-2", &path);
        assert_eq!(whole_again.status, 200, "{path}");
        assert!(whole_again.body == whole, "{path}");
    }
}

/// Rule MR-11.
#[test]
fn what_a_client_holds_is_not_sent_again() {
    let (stream, run) = ended();
    let mut client = stream.client();
    let segment = &run.playlist.segments[0];
    for path in [
        "/live.m3u8".to_owned(),
        "/".to_owned(),
        format!("/{}", segment.uri),
        format!("/{}", segment.map),
    ] {
        let whole = client.get(&path);
        let tag = whole.header("etag").unwrap();
        for held in [tag, &format!("\"other\", W/{tag}")] {
            let answer = client.get_with("If-None-Match", held, &path);
            assert_eq!(answer.status, 304, "{path} {held}");
            assert_eq!(answer.header("etag"), Some(tag), "{path}");
            assert_eq!(
                answer.header("cache-control"),
                whole.header("cache-control"),
                "{path}"
            );
        }
        let other = client.get_with("If-None-Match", "\"other\"", &path);
        assert_eq!(other.status, 200, "{path}");
        assert!(other.body == whole.body, "{path}");
    }
}

#[test]
fn chosen_parameters_go_on_into_the_uris_of_a_playlist() {
    let mut stream = Stream::new(TWO_SECONDS, "carry-query=session,cdn");
    let plain = stream.play_to_end();
    let mut client = stream.client();
    let text = client.body("/live.m3u8?_HLS_msn=1&session=a1&clientId=7&cdn=x");
    let carried = Playlist::read(std::str::from_utf8(&text).unwrap());
    let expected: Vec<String> = plain
        .uris()
        .into_iter()
        .map(|uri| format!("{uri}?session=a1&cdn=x"))
        .collect();
    assert_eq!(carried.uris(), expected);
    for uri in carried.uris() {
        client.body(&format!("/{uri}"));
    }
}

#[test]
fn the_origin_that_may_read_is_a_property() {
    for (origin, expected) in [
        ("https://example.com", Some("https://example.com")),
        ("https://other.example", None),
        ("\"\"", None),
    ] {
        let stream = Stream::new(
            "videotestsrc ! x264enc ! h264parse",
            &format!("cors-origin={origin}"),
        );
        gst::prelude::ElementExt::set_state(&stream.pipeline, gst::State::Ready).unwrap();
        let mut page = stream.client().with_header("Origin", "https://example.com");
        let answer = page.get("/stats.json");
        assert_eq!(answer.header("access-control-allow-origin"), expected);
    }
}

#[test]
fn a_public_url_stands_before_every_uri() {
    let mut stream = Stream::new(TWO_SECONDS, "public-url=https://cdn.example.com/live");
    let playlist = stream.play_to_end();
    for uri in playlist.uris() {
        assert!(uri.starts_with("https://cdn.example.com/live/"), "{uri}");
    }
}
