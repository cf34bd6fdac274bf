//! Several renditions at one origin.

use super::*;

/// A video and an audio beside it.
fn of_two() -> ServerConfig {
    ServerConfig {
        renditions: vec![video("video"), audio("audio")],
        ..config()
    }
}

/// A site of two renditions that have a segment each, and their tracks.
fn live_with_audio() -> (Site, [Track; 2]) {
    live_with_audio_and(|_| {})
}

/// The same with other settings.
pub(super) fn live_with_audio_and(set: impl FnOnce(&mut ServerConfig)) -> (Site, [Track; 2]) {
    let mut config = of_two();
    set(&mut config);
    let site = Site::new(config);
    let mut tracks = [
        Track::new(VIDEO, CONSTANTS),
        Track::new(AUDIO, AUDIO_CONSTANTS),
    ];
    site.server()
        .publish(Publication::Init(AUDIO, audio_init("<audio init>")));
    for track in &mut tracks {
        part_of(&site, track);
        site.server().publish(track.segment_end());
    }
    (site, tracks)
}

fn part_of(site: &Site, track: &mut Track) {
    let target = track.constants.part_target;
    site.server().publish(track.next_part(target));
}

#[test]
fn several_renditions_are_offered_and_served() {
    let (site, _) = live_with_audio();
    let entry = site.get("/live.m3u8");
    assert_eq!(
        entry.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(entry.header("cache-control"), "no-cache");
    assert!(entry.text().contains("\nlive_video.m3u8\n"));
    assert!(entry.text().contains("URI=\"live_audio.m3u8\""));
    let audio = site.get("/live_audio.m3u8");
    assert!(audio.text().contains("run/audio_part_00000.m4s\",DURATION"));
    let init = site.get("/run/audio_init.mp4");
    assert_eq!(
        (init.text(), init.header("content-type")),
        ("<audio init>", "audio/mp4")
    );
    assert_eq!(
        site.get("/run/init.mp4").header("content-type"),
        "video/mp4"
    );
    assert_eq!(site.get("/run/video_init.mp4").status, 404);
    let stats: serde_json::Value = serde_json::from_str(site.get("/stats.json").text()).unwrap();
    assert_eq!(stats["tracks"][1]["name"], "audio");
    assert!(site.get("/").text().contains("live.m3u8"));
}

#[test]
fn the_entry_is_waited_for_until_all_are_there() {
    let mut site = Site::new(of_two());
    let mut clients: Vec<Client> = ["/live.m3u8", "/live_video.m3u8", "/live_audio.m3u8"]
        .into_iter()
        .map(|path| {
            let mut client = site.connect();
            client.get(path);
            client
        })
        .collect();
    site.until_parked(3);
    site.segment();
    site.until("the video is there", |stats| stats.edge.is_some());
    assert_eq!(site.server().stats().clients.parked, 3);
    site.server().publish(Publication::Absent(AUDIO));
    assert_eq!(clients[0].answer().status, 200);
    assert_eq!(clients[1].answer().status, 200);
    site.until_parked(1);

    let mut track = Track::new(AUDIO, AUDIO_CONSTANTS);
    site.server()
        .publish(Publication::Init(AUDIO, audio_init("<audio init>")));
    part_of(&site, &mut track);
    site.server().publish(track.segment_end());
    assert!(clients[2].answer().text().contains("audio_segment_00001"));
}

#[test]
fn a_blocked_reload_wakes_with_its_own_rendition_only() {
    let (site, [mut video, mut audio]) = live_with_audio();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live_audio.m3u8?_HLS_msn=2&_HLS_part=0");
    hint.get("/run/audio_part_00001.m4s");
    site.until_parked(2);
    for _ in 0..3 {
        part_of(&site, &mut video);
    }
    let fresh = site.get("/live_video.m3u8?_HLS_msn=2&_HLS_part=2");
    assert_eq!(fresh.header("x-llhls-version"), "4");
    assert_eq!(site.server().stats().clients.parked, 2);
    part_of(&site, &mut audio);
    // PL-30: what the video did meanwhile is in it.
    let report = "#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=2,LAST-PART=2\n";
    let playlist = reload.answer();
    assert!(playlist.text().ends_with(report), "{}", playlist.text());
    assert_eq!(hint.answer().text(), "<part 1>");
}

#[test]
fn reports_are_fresh_when_only_the_other_rendition_moved() {
    let (site, [_, mut audio]) = live_with_audio();
    let report = |msn, part| {
        format!("#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN={msn},LAST-PART={part}\n")
    };
    let before = site.get("/live_video.m3u8");
    assert!(before.text().ends_with(&report(1, 0)));
    for part in 0..2 {
        part_of(&site, &mut audio);
        site.get(&format!("/live_audio.m3u8?_HLS_msn=2&_HLS_part={part}"));
        let after = site.get("/live_video.m3u8");
        assert!(after.text().ends_with(&report(2, part)), "{}", after.text());
        assert_eq!(
            after.header("x-llhls-version"),
            before.header("x-llhls-version")
        );
    }
}

#[test]
fn the_end_of_one_rendition_releases_its_waiters() {
    let (mut site, [mut video, _]) = live_with_audio();
    let mut clients: Vec<Client> = [
        "/live_audio.m3u8?_HLS_msn=2&_HLS_part=0",
        "/run/audio_part_00001.m4s",
        "/live_video.m3u8?_HLS_msn=2&_HLS_part=0",
    ]
    .into_iter()
    .map(|path| {
        let mut client = site.connect();
        client.get(path);
        client
    })
    .collect();
    site.until_parked(3);
    site.server().publish(Publication::EndOfRendition(AUDIO));
    assert!(clients[0].answer().text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(clients[1].answer().status, 404);
    site.until_parked(1);
    part_of(&site, &mut video);
    assert_eq!(clients[2].answer().status, 200);
    clients[2].get("/live_video.m3u8?_HLS_msn=2&_HLS_part=1");
    site.until_parked(1);
    site.stop();
    assert_eq!(clients[2].answer().status, 503);
    let reports = site.reports.lock().unwrap();
    let ended = Event::RenditionEnded {
        rendition: "audio".to_owned(),
    };
    assert!(reports.contains(&Report::Event(ended)));
}

#[test]
fn stopping_answers_those_who_wait_for_any_rendition() {
    let (mut site, _) = live_with_audio();
    let mut client = site.connect();
    client.get("/live_audio.m3u8?_HLS_msn=2&_HLS_part=0");
    site.until_parked(1);
    let before = Instant::now();
    site.stop();
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(client.answer().status, 503);
}
