//! `?wait=<ms>&version=<n>`: the reload of the script this plugin takes the place of, on every playlist there is.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use support::{
    http::{Answer, Client},
    stream::Stream,
};

const PICTURE: &str = "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse";
const SOUND: &str = "audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse";

fn version(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-llhls-version").unwrap().parse().unwrap()
}

/// Waits for something newer three times, as a script does it; once the wait is in vain.
fn follow(client: &mut Client, path: &str) -> u64 {
    let mut known = version(&client.get(path));
    for _ in 0..3 {
        let newer = version(&client.get(&format!("{path}?wait=30000&version={known}")));
        assert!(newer > known, "{path}: {newer} after {known}");
        known = newer;
    }
    let never = u32::MAX;
    let (answer, waited) =
        support::timed(|| client.get(&format!("{path}?wait=100&version={never}")));
    assert!(waited.as_millis() >= 100, "{path}: {waited:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    version(&answer)
}

#[test]
fn every_playlist_waits_for_something_newer() {
    let stream = Stream::of_branches(&format!("{PICTURE} ! sink.video {SOUND} ! sink.audio"), "");
    stream.play();
    let mut client = stream.client();
    let entry = follow(&mut client, "/live.m3u8");
    let video = follow(&mut client, "/live_video.m3u8");
    let audio = follow(&mut client, "/live_audio.m3u8");
    // The version of the entry is that of the picture.
    assert!(video >= entry);

    let document = client.get("/timestamps.json").json();
    let of = |playlist: &str| document["versions"][playlist].as_u64().unwrap();
    assert!(of("live_video.m3u8") >= video);
    assert!(of("live_audio.m3u8") >= audio);
    assert_eq!(document["version"], document["versions"]["live_video.m3u8"]);
    assert_eq!(document["versions"].as_object().unwrap().len(), 2);
}

#[test]
fn one_rendition_alone_is_the_entry() {
    let stream = Stream::new(PICTURE, "");
    stream.play();
    let mut client = stream.client();
    let known = follow(&mut client, "/live.m3u8");
    let document = client.get("/timestamps.json").json();
    assert!(document["versions"]["live.m3u8"].as_u64().unwrap() >= known);
    assert_eq!(document["version"], document["versions"]["live.m3u8"]);
}
