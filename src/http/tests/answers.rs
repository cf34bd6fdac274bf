//! Codings, ranges and validators on the wire.

use super::*;
use flate2::read::GzDecoder;

fn with(site: &Site, path: &str, headers: &str) -> Answer {
    site.ask_with("GET", path, headers)
}

fn unpack(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

/// A playlist long enough for gzip and delta updates.
fn long() -> Site {
    let mut site = Site::live_with(ServerConfig {
        playlist_length: 20,
        ..config()
    });
    for _ in 0..12 {
        site.segment();
    }
    site.part();
    site.until("all is applied", |stats| {
        stats.edge.is_some_and(|edge| edge.msn.0 == 14)
    });
    site
}

#[test]
fn playlists_and_documents_are_compressed_for_those_who_take_it() {
    let site = long();
    let plain = site.get("/live.m3u8");
    assert_eq!(plain.header("vary"), "Accept-Encoding");
    assert_eq!(plain.header("content-encoding"), "");
    let gzip = with(&site, "/live.m3u8", "Accept-Encoding: br, gzip\r\n");
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert_eq!(gzip.header("vary"), "Accept-Encoding");
    assert_eq!(
        gzip.header("x-llhls-version"),
        plain.header("x-llhls-version")
    );
    assert!(gzip.body.len() < plain.body.len() / 3);
    assert_eq!(unpack(&gzip.body), plain.body);
    let refused = with(&site, "/live.m3u8", "Accept-Encoding: gzip;q=0\r\n");
    assert_eq!(refused.body, plain.body);

    let document = with(&site, "/timestamps.json", "Accept-Encoding: gzip\r\n");
    let document: serde_json::Value = serde_json::from_slice(&unpack(&document.body)).unwrap();
    assert!(document["segments"]["segment_00004.m4s"].is_i64());
    let script = with(&site, "/player.js", "Accept-Encoding: gzip\r\n");
    assert_eq!(unpack(&script.body), site.get("/player.js").body);

    let media = with(&site, "/run/segment_00001.m4s", "Accept-Encoding: gzip\r\n");
    assert_eq!(media.header("content-encoding"), "");
    assert_eq!(media.header("vary"), "");
    assert_eq!(site.server().stats().answers.gzipped, 3);
}

#[test]
fn delta_updates_block_like_any_other() {
    let mut site = long();
    let mut client = site.connect();
    client.get("/live.m3u8?_HLS_msn=14&_HLS_part=1&_HLS_skip=YES");
    site.until_parked(1);
    site.part();
    let delta = client.answer();
    assert!(
        delta.text().contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=7\n"),
        "{}",
        delta.text()
    );
    assert!(delta.text().contains("#EXT-X-VERSION:9\n"));
    assert_eq!(
        delta.header("cache-control"),
        "public, max-age=0, s-maxage=6"
    );
    let whole = site.get("/live.m3u8?_HLS_msn=14&_HLS_part=1");
    assert!(whole.text().contains("CAN-SKIP-UNTIL=6"));
    assert!(whole.body.len() > delta.body.len());
    assert_eq!(site.server().stats().answers.deltas, 1);
    site.server().publish(Publication::EndOfStream);
    site.until("it is over", |stats| stats.is_ended);
    let last = site.get("/live.m3u8?_HLS_skip=YES");
    assert!(!last.text().contains("EXT-X-SKIP"), "{}", last.text());
}

#[test]
fn ranges_of_media() {
    let mut site = Site::live();
    let whole = "<part 0><part 1><part 2><part 3><part 4>";
    for (range, expected, content_range) in [
        ("bytes=0-7", "<part 0>", "bytes 0-7/40"),
        ("bytes=6-9", "0><p", "bytes 6-9/40"),
        ("bytes=32-", "<part 4>", "bytes 32-39/40"),
        ("bytes=-2", "4>", "bytes 38-39/40"),
    ] {
        let answer = with(
            &site,
            "/run/segment_00001.m4s",
            &format!("Range: {range}\r\n"),
        );
        assert_eq!((answer.status, answer.text()), (206, expected), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-type"), "video/mp4");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("Content-Range")
        );
    }
    let several = with(&site, "/run/segment_00001.m4s", "Range: bytes=0-1,4-5\r\n");
    assert_eq!((several.status, several.text()), (200, whole));
    assert_eq!(several.header("accept-ranges"), "bytes");
    let past = with(&site, "/run/segment_00001.m4s", "Range: bytes=40-\r\n");
    assert_eq!(past.status, 416);
    assert_eq!(past.header("content-range"), "bytes */40");
    assert_eq!(past.header("access-control-allow-origin"), "*");
    assert!(past.text().contains("past the end"));
    let head = site.ask_with("HEAD", "/run/segment_00001.m4s", "Range: bytes=0-7\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, "40"));
    let playlist = with(&site, "/live.m3u8", "Range: bytes=0-7\r\n");
    assert_eq!(playlist.status, 200, "texts change: no ranges of them");

    // Of the hinted part as well, once it is there.
    let mut client = site.connect();
    client.send("GET /run/part_00006.m4s HTTP/1.1\r\nHost: h\r\nRange: bytes=1-4\r\n\r\n");
    site.until_parked(1);
    site.part();
    assert_eq!(client.answer().text(), "part");
    let stats = site.server().stats();
    assert_eq!(
        (stats.answers.ranges, stats.refusals.not_satisfiable),
        (5, 1)
    );
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let mut site = Site::live();
    for path in [
        "/live.m3u8",
        "/run/init.mp4",
        "/run/segment_00001.m4s",
        "/",
        "/player.js",
    ] {
        let first = site.get(path);
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
        let again = site.ask_with("GET", path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(again.status, 304, "{path}");
        assert!(again.body.is_empty());
        for name in [
            "etag",
            "cache-control",
            "vary",
            "access-control-allow-origin",
        ] {
            assert_eq!(again.header(name), first.header(name), "{path} {name}");
        }
        assert_eq!(again.header("content-length"), "");
    }
    let tag = site.get("/live.m3u8").header("etag").to_owned();
    site.part();
    site.until("the part is there", |stats| {
        stats.edge.is_some_and(|edge| edge.part.0 == 1)
    });
    let changed = with(&site, "/live.m3u8", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(site.server().stats().answers.not_modified, 5);
    // The next answer on the connection is not taken for the body of a 304.
    let mut client = site.connect();
    client.send(&format!(
        "GET /run/init.mp4 HTTP/1.1\r\nHost: h\r\nIf-None-Match: {}\r\n\r\n",
        site.get("/run/init.mp4").header("etag")
    ));
    client.get("/run/part_00000.m4s");
    assert_eq!(client.answer_to("HEAD").status, 304);
    assert_eq!(client.answer().text(), "<part 0>");
}

#[test]
fn chosen_parameters_go_on_to_children() {
    let (site, _) = renditions::live_with_audio_and(|config| {
        config.carry_query = "session, cdn".to_owned();
    });
    let entry = site.get("/live.m3u8?session=a%22b&x=1&_HLS_msn=1");
    assert!(
        entry.text().contains("\nlive_video.m3u8?session=a%22b\n"),
        "{}",
        entry.text()
    );
    assert!(
        entry
            .text()
            .contains("URI=\"live_audio.m3u8?session=a%22b\"")
    );
    let playlist = site.get("/live_video.m3u8?cdn=7&_HLS_msn=1&session=z");
    for uri in [
        "URI=\"run/init.mp4?cdn=7&session=z\"",
        "URI=\"run/part_00000.m4s?cdn=7&session=z\"",
        "\nrun/segment_00001.m4s?cdn=7&session=z\n",
        "URI=\"run/part_00001.m4s?cdn=7&session=z\"",
        "URI=\"live_audio.m3u8?cdn=7&session=z\"",
    ] {
        assert!(playlist.text().contains(uri), "{uri}: {}", playlist.text());
    }
    assert!(!playlist.text().contains("_HLS_"));
    assert!(!site.get("/live_video.m3u8?x=1").text().contains('?'));
    assert_eq!(site.get("/run/part_00000.m4s?cdn=7&session=z").status, 200);
    let long = "x".repeat(3000);
    assert_eq!(site.get(&format!("/live.m3u8?cdn={long}")).status, 414);
    assert!(
        site.get("/?session=1")
            .text()
            .contains("live.m3u8?session=1")
    );
}

#[test]
fn metrics_are_there_for_prometheus() {
    let site = Site::live();
    let metrics = site.get("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(metrics.header("cache-control"), "no-store");
    for line in [
        "# TYPE llhls_live_edge_msn gauge\n",
        "\nllhls_live_edge_msn 2\n",
        "\nllhls_live_edge_part 0\n",
        "\nllhls_rendition_parts_total{rendition=\"video\"} 6\n",
        "\nllhls_publish_delay_seconds_count 6\n",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}
