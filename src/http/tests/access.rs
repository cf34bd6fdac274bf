//! Who may watch, read and ask, and what of it shows.

use super::*;

const TOKEN: &str = "s3cret-t0ken";

fn guarded() -> ServerConfig {
    ServerConfig {
        access_token: Some(AccessToken::new(TOKEN)),
        ..config()
    }
}

#[test]
fn nothing_is_served_without_the_token() {
    let site = Site::live_with(guarded());
    for path in [
        "/",
        "/live.m3u8",
        "/live.m3u8?token=wrong",
        "/t/wrong/live.m3u8",
        "/run/part_00000.m4s",
        "/run/init.mp4",
        "/stats.json",
        "/timestamps.json",
        "/metrics",
        "/player.js",
        "/nothing",
    ] {
        let answer = site.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"llhlssink\""
        );
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(
            answer
                .text()
                .starts_with("the access token is missing or wrong")
        );
    }
    assert_eq!(site.ask("POST", "/live.m3u8").status, 401);
    let preflight = site.ask("OPTIONS", "/live.m3u8");
    assert_eq!(preflight.status, 204);
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("Authorization")
    );
    assert_eq!(site.server().stats().refusals.unauthorized, 12);
}

/// Every URI of a playlist, as a player resolves it from where it found that.
fn uris(playlist_path: &str, text: &str) -> Vec<String> {
    let folder = playlist_path.rsplit_once('/').unwrap().0;
    let uris = text
        .lines()
        .filter_map(|line| match line.split_once("URI=\"") {
            Some((_, rest)) => rest.split('"').next(),
            None if line.starts_with('#') => None,
            None => Some(line),
        });
    uris.map(|uri| format!("{folder}/{uri}")).collect()
}

#[test]
fn every_way_to_show_it_reaches_every_child() {
    let (mut site, [mut video, mut audio]) = renditions::live_with_audio_and(|config| {
        config.access_token = Some(AccessToken::new(TOKEN));
    });
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (entry, header) in [
        (format!("/t/{TOKEN}/live.m3u8"), ""),
        (format!("/live.m3u8?token={TOKEN}"), ""),
        ("/live.m3u8".to_owned(), &*bearer),
    ] {
        let text = site.ask_with("GET", &entry, header);
        assert_eq!(text.status, 200, "{entry}");
        let playlists = uris(&entry, text.text());
        assert_eq!(playlists.len(), 2, "{}", text.text());
        let mut media = 0;
        for playlist in playlists {
            let text = site.ask_with("GET", &playlist, header);
            assert_eq!(text.status, 200, "{playlist}");
            let hint = text
                .text()
                .lines()
                .find(|line| line.contains("PRELOAD-HINT"))
                .unwrap()
                .to_owned();
            for uri in uris(playlist.split('?').next().unwrap(), text.text()) {
                if hint.contains(uri.rsplit('/').next().unwrap()) {
                    continue;
                }
                assert_eq!(site.ask_with("GET", &uri, header).status, 200, "{uri}");
                media += 1;
            }
        }
        assert!(media >= 8, "{media}");
        part_of_both(&mut site, &mut video, &mut audio);
    }
    assert_eq!(site.server().stats().refusals.unauthorized, 0);
}

fn part_of_both(site: &mut Site, video: &mut Track, audio: &mut Track) {
    for track in [video, audio] {
        let target = track.constants.part_target;
        site.server().publish(track.next_part(target));
    }
}

#[test]
fn absolute_uris_do_not_inherit_it_and_are_given_it() {
    let site = Site::live_with(ServerConfig {
        public_url: Some("https://cdn.example/a".to_owned()),
        ..guarded()
    });
    let playlist = site.get(&format!("/t/{TOKEN}/live.m3u8"));
    let uri = format!("https://cdn.example/a/run/part_00005.m4s?token={TOKEN}\"");
    assert!(playlist.text().contains(&uri), "{}", playlist.text());
}

#[test]
fn the_page_works_wherever_the_token_is() {
    let site = Site::live_with(guarded());
    let page = site.get(&format!("/t/{TOKEN}/"));
    assert!(page.text().contains("src=\"player.js\""), "{}", page.text());
    let page = site.get(&format!("/?token={TOKEN}"));
    for asset in ["player.js", "player.css", "live.m3u8", "stats.json"] {
        assert!(
            page.text().contains(&format!("\"{asset}?token={TOKEN}\"")),
            "{asset}"
        );
    }
}

#[test]
fn answers_to_a_header_stay_with_who_sent_it() {
    let site = Site::live_with(guarded());
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (path, expected) in [
        ("/live.m3u8?_HLS_msn=1", "no-cache"),
        ("/run/part_00000.m4s", "private, max-age=60, immutable"),
    ] {
        assert_eq!(
            site.ask_with("GET", path, &bearer).header("cache-control"),
            expected
        );
    }
    let in_path = site.get(&format!("/t/{TOKEN}/live.m3u8?_HLS_msn=1"));
    assert_eq!(
        in_path.header("cache-control"),
        "public, max-age=0, s-maxage=6"
    );
}

#[test]
fn the_token_is_in_no_figure_and_no_header() {
    let site = Site::live_with(guarded());
    let in_path = format!("/t/{TOKEN}");
    for path in [
        "/",
        "/live.m3u8",
        "/stats.json",
        "/timestamps.json",
        "/metrics",
        "/nothing",
        "/run/part_00000.m4s",
    ] {
        let answer = site.get(&format!("{in_path}{path}"));
        assert!(!format!("{:?}", answer.headers).contains(TOKEN), "{path}");
        assert!(
            !String::from_utf8_lossy(&answer.body).contains(TOKEN),
            "{path}"
        );
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    assert!(!format!("{:?}", guarded()).contains(TOKEN));
    let reports = site.reports.lock().unwrap();
    assert!(!format!("{reports:?}").contains(TOKEN));
}

#[test]
fn some_origins_or_none_may_read() {
    let some = Site::live_with(ServerConfig {
        cors_origin: "https://a.example,https://b.example".to_owned(),
        ..config()
    });
    let answer = some.ask_with("GET", "/live.m3u8", "Origin: https://b.example\r\n");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://b.example"
    );
    assert_eq!(answer.header("vary"), "Accept-Encoding, Origin");
    for headers in ["", "Origin: https://c.example\r\n", "Origin: null\r\n"] {
        for path in ["/live.m3u8", "/run/part_00000.m4s", "/nothing"] {
            let answer = some.ask_with("GET", path, headers);
            assert!(
                !answer.headers.contains_key("access-control-allow-origin"),
                "{headers}"
            );
            assert!(answer.header("vary").contains("Origin"));
        }
    }
    let none = Site::live_with(ServerConfig {
        cors_origin: String::new(),
        ..config()
    });
    let answer = none.ask_with("GET", "/live.m3u8", "Origin: https://a.example\r\n");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn other_names_for_this_server_are_refused() {
    let site = Site::live_with(ServerConfig {
        allowed_hosts: "h, stream.example:8080".to_owned(),
        ..config()
    });
    assert_eq!(site.get("/live.m3u8").status, 200);
    for (request, expected) in [
        (
            "GET /live.m3u8 HTTP/1.1\r\nHost: STREAM.example:8080\r\n\r\n",
            200,
        ),
        (
            "GET /live.m3u8 HTTP/1.1\r\nHost: stream.example\r\n\r\n",
            421,
        ),
        ("GET /live.m3u8 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (
            "GET http://evil.example/live.m3u8 HTTP/1.1\r\nHost: h\r\n\r\n",
            421,
        ),
        (
            "GET http://h/live.m3u8 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            200,
        ),
        (
            "OPTIONS /live.m3u8 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            421,
        ),
        ("GET /live.m3u8 HTTP/1.0\r\n\r\n", 421),
    ] {
        let mut client = site.connect();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status, expected, "{request}");
        if expected == 421 {
            assert!(answer.text().contains("allowed-hosts"), "{}", answer.text());
        }
    }
    assert_eq!(site.server().stats().refusals.misdirected, 5);
}

#[test]
fn the_page_may_run_its_own_scripts_only() {
    let site = Site::live();
    let page = site.get("/");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
        "{policy}"
    );
    assert!(policy.contains("media-src 'self' blob:"));
    assert!(!policy.contains("unsafe"));
    let text = page.text();
    assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="));
    assert!(text.matches("<script").count() == text.matches("<script src=").count());
    for path in [
        "/",
        "/player.js",
        "/player.css",
        "/live.m3u8",
        "/run/init.mp4",
        "/nothing",
    ] {
        let answer = site.get(path);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    let elsewhere = Site::live_with(ServerConfig {
        public_url: Some("https://cdn.example:8443/a/b".to_owned()),
        ..config()
    });
    let policy = elsewhere
        .get("/")
        .header("content-security-policy")
        .to_owned();
    assert!(
        policy.contains("connect-src 'self' https://cdn.example:8443;"),
        "{policy}"
    );
}

#[test]
fn nothing_a_client_says_comes_back_in_a_header() {
    let site = Site::live_with(ServerConfig {
        carry_query: "carried".to_owned(),
        cors_origin: "https://a.example".to_owned(),
        ..config()
    });
    let headers = "Origin: https://echo.example\r\nReferer: http://echo\r\nX-Echo: echo\r\nRange: echo=1\r\n\
                   If-None-Match: \"echo\"\r\nIf-Range: \"echo\"\r\nAccept-Encoding: echo\r\nCookie: echo=echo\r\n\
                   Authorization: Bearer echo\r\nAccess-Control-Request-Headers: X-Echo\r\n\
                   Access-Control-Request-Method: ECHO\r\nForwarded: host=echo\r\nX-Forwarded-Host: echo\r\n";
    for method in ["GET", "HEAD", "OPTIONS", "POST", "ECHO"] {
        for path in [
            "/echo",
            "/live.m3u8?echo=echo&carried=echo",
            "/live.m3u8?_HLS_msn=echo",
            "/live.m3u8?carried=echo%0d%0aSet-Cookie:%20echo=1",
            "/run/init.mp4?carried=echo%0D%0AEcho:1",
            "/run/echo%0d%0aecho:%20echo",
            "/?carried=echo",
            "/t/echo/live.m3u8",
        ] {
            let answer = site.ask_with(method, path, headers);
            let shown = format!("{:?}", answer.headers).to_lowercase();
            assert!(!shown.contains("echo"), "{method} {path}: {shown}");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
}
