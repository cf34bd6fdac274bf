//! What is on the wire when all is well: types, headers, methods, order.

use super::*;

#[test]
fn playlist_and_media() {
    let site = Site::live();
    let playlist = site.get("/live.m3u8");
    assert_eq!(playlist.status, 200);
    assert_eq!(
        playlist.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(playlist.header("cache-control"), "no-cache");
    assert_eq!(playlist.header("access-control-allow-origin"), "*");
    assert!(
        playlist
            .header("access-control-expose-headers")
            .contains("X-LLHLS-Version")
    );
    assert_eq!(playlist.header("x-llhls-version"), "2");
    assert!(!playlist.header("date").is_empty());
    assert!(playlist.text().contains("run/part_00005.m4s"));

    let segment = site.get("/run/segment_00001.m4s");
    assert_eq!(segment.text(), "<part 0><part 1><part 2><part 3><part 4>");
    assert_eq!(segment.header("content-type"), "video/mp4");
    assert_eq!(site.get("/run/init.mp4").text(), "<init>");
    assert_eq!(site.get("/run/part_00005.m4s").text(), "<part 5>");

    let missing = site.get("/old/part_00005.m4s");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("access-control-allow-origin"), "*");
    assert_eq!(missing.header("cache-control"), "no-store");
    assert_eq!(missing.text(), "no such resource\n");
    assert_eq!(site.get("/live.m3u8?_HLS_msn=x").status, 400);
}

#[test]
fn documents_and_page() {
    let site = Site::live();
    let timestamps: serde_json::Value =
        serde_json::from_str(site.get("/timestamps.json").text()).unwrap();
    assert_eq!(timestamps["version"], 2);
    assert_eq!(timestamps["captured"]["part_00005.m4s"], START.0);
    let stats = site.get("/stats.json");
    assert_eq!(stats.header("content-type"), "application/json");
    let stats: serde_json::Value = serde_json::from_str(stats.text()).unwrap();
    assert_eq!(stats["edge"]["msn"], 2);
    assert_eq!(stats["tracks"][0]["parts"], 6);
    let page = site.get("/");
    assert!(page.text().contains("live.m3u8"));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for (path, content_type) in [
        ("/player.js", "text/javascript; charset=utf-8"),
        ("/player.css", "text/css; charset=utf-8"),
    ] {
        assert_eq!(site.get(path).header("content-type"), content_type);
    }
    let hls = site.get("/hls.min.js");
    if hls.status == 404 {
        assert_eq!(hls.text(), "built without hls.js; run make\n");
    }
}

#[test]
fn head_is_get_without_body() {
    let site = Site::live();
    for path in [
        "/live.m3u8",
        "/run/segment_00001.m4s",
        "/",
        "/run/part_00099.m4s",
        "/nothing",
    ] {
        let (get, head) = (site.get(path), site.ask("HEAD", path));
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string());
    }
    // The answer after it is not taken for its body.
    let mut client = site.connect();
    client.send("HEAD /live.m3u8 HTTP/1.1\r\nHost: h\r\n\r\n");
    client.get("/run/init.mp4");
    client.answer_to("HEAD");
    assert_eq!(client.answer().text(), "<init>");
}

#[test]
fn options_and_other_methods() {
    let site = Site::live();
    for path in ["/live.m3u8", "/run/part_00000.m4s", "*"] {
        let preflight = site.ask("OPTIONS", path);
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.header("access-control-allow-origin"), "*");
        assert!(
            preflight
                .header("access-control-allow-headers")
                .contains("Range")
        );
        assert!(
            preflight
                .header("access-control-allow-methods")
                .contains("GET")
        );
    }
    for method in ["POST", "PUT", "DELETE", "BREW"] {
        let answer = site.ask(method, "/live.m3u8");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut site = Site::live();
    let mut client = site.connect();
    let mut requests = String::new();
    for path in [
        "/run/part_00000.m4s",
        "/run/part_00006.m4s",
        "/run/part_00001.m4s",
        "/nothing",
        "/run/init.mp4",
    ] {
        requests.push_str(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    client.send(&requests);
    site.until_parked(1);
    site.part();
    let answers: Vec<Answer> = (0..5).map(|_| client.answer()).collect();
    let texts: Vec<&str> = answers.iter().map(Answer::text).collect();
    assert_eq!(
        texts,
        [
            "<part 0>",
            "<part 6>",
            "<part 1>",
            "no such resource\n",
            "<init>"
        ]
    );
}
