//! What the benchmark page of the script before us asks for, request by request, and finds. `web/test/benchmark.mjs` does
//! the same in a browser.

mod support;

use support::{http::Client, stream::Stream, unix_now};

const SOURCE: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 \
                      ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse";

/// Letters and underscores, five digits, `.m4s`: all the page knows of names.
fn bare_name(url: &str) -> Option<&str> {
    let name = url.split('?').next()?.rsplit('/').next()?;
    let stem = name.strip_suffix(".m4s")?;
    let (word, digits) = stem.split_at(stem.len().checked_sub(5)?);
    let is_word = word
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    (is_word && !word.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some(name)
}

fn open_to_all(client: &mut Client, path: &str) -> Vec<u8> {
    let answer = client.get(&format!("{path}?clientId=viewer-1"));
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    answer.body
}

#[test]
fn the_segment_on_screen_is_found_in_the_timestamps() {
    let stream = Stream::new(SOURCE, "segment-duration=500 part-duration=100");
    stream.play();
    stream.playlist();
    let mut client = stream.client();
    for _ in 0..3 {
        let playlist = String::from_utf8(open_to_all(&mut client, "/live.m3u8")).unwrap();
        let newest = playlist
            .lines()
            .rfind(|line| !line.starts_with('#') && !line.is_empty())
            .unwrap();
        let media = open_to_all(&mut client, &format!("/{newest}"));
        assert!(!media.is_empty());
        let name = bare_name(newest).unwrap_or_else(|| panic!("{newest} has another form"));
        let document = open_to_all(&mut client, "/timestamps.json");
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        let complete = document["segments"][name].as_i64().unwrap();
        let age = unix_now() - complete;
        assert!(
            (0..support::PATIENCE.as_nanos() as i64).contains(&age),
            "{name}: {age}"
        );
        // Until there is a newer one, as the page does with its version.
        let version = document["version"].as_u64().unwrap();
        let newer = client.get(&format!(
            "/live.m3u8?wait=5000&version={version}&clientId=viewer-1"
        ));
        assert_eq!(newer.status, 200);
        let said = newer.header("x-llhls-version").unwrap();
        assert!(said.parse::<u64>().unwrap() > version);
    }
}
