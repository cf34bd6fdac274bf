//! One rendition and those who wait for it.

use super::*;

#[test]
fn a_blocked_reload_and_a_hint_wake_with_the_part() {
    let mut site = Site::live();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
    hint.get("/run/part_00006.m4s");
    site.until_parked(2);
    site.part();
    let playlist = reload.answer();
    assert!(playlist.text().contains("run/part_00006.m4s\",DURATION"));
    assert_eq!(
        playlist.header("cache-control"),
        "public, max-age=0, s-maxage=6"
    );
    let part = hint.answer();
    assert_eq!(part.body, part_bytes(6));
    assert_eq!(part.body, site.get("/run/part_00006.m4s").body);
    site.until_parked(0);
    assert_eq!(site.server().stats().clients.abandoned, 0);
}

#[test]
fn a_hinted_init_section_comes_with_its_boxes_and_a_hinted_part_may_turn_out_missing() {
    let mut site = Site::live();
    let mut part = site.connect();
    part.get("/run/part_00006.m4s");
    site.until_parked(1);
    let gap = NewGap {
        duration: ticks(6000),
        program_date_time: START,
        is_discontinuity: false,
    };
    site.server().publish(Publication::Gap(VIDEO, gap));
    let missing = part.answer();
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("gap"), "{}", missing.text());

    site.server().publish(Publication::SegmentEnd(VIDEO, None));
    site.server().publish(Publication::ComingInit(VIDEO));
    let mut hinted = site.connect();
    hinted.get("/run/init_1.mp4");
    site.until_parked(1);
    let announced = site.get("/live.m3u8");
    assert!(
        announced.text().contains("TYPE=MAP,URI=\"run/init_1.mp4\""),
        "{}",
        announced.text()
    );
    site.server().publish(init("<other>"));
    assert_eq!(hinted.answer().text(), "<other>");
    site.part();
    assert_eq!(site.server().stats().violations, 0);
}

#[test]
fn the_first_playlist_is_waited_for() {
    let mut site = Site::new(config());
    let mut client = site.connect();
    client.get("/live.m3u8");
    site.until_parked(1);
    site.part();
    site.until("the part is there", |stats| stats.edge.is_some());
    assert_eq!(site.server().stats().clients.parked, 1);
    site.segment();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn forty_waiters_do_not_hold_up_anybody() {
    let mut site = Site::live();
    let mut waiters: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = site.connect();
            client.get("/live.m3u8?_HLS_msn=2&_HLS_part=1");
            client
        })
        .collect();
    site.until_parked(40);
    assert_eq!(site.get("/live.m3u8").status, 200);
    assert_eq!(site.server().stats().clients.parked, 40);
    site.part();
    let first = waiters[0].answer();
    for waiter in &mut waiters[1..] {
        assert_eq!(waiter.answer().body, first.body);
    }
}

#[test]
fn wait_and_version_answer_in_time() {
    let site = Site::live();
    let patient = site.get("/live.m3u8?wait=30&version=2");
    assert_eq!(patient.header("x-llhls-version"), "2");
    let mut client = site.connect();
    client.get("/live.m3u8?wait=60000&version=2");
    site.until_parked(1);
    site.server().publish(Publication::EndOfStream);
    assert_eq!(client.answer().header("x-llhls-version"), "4");
}

#[test]
fn the_end_releases_waiters_and_the_server_goes_on() {
    let site = Site::live();
    let (mut reload, mut hint) = (site.connect(), site.connect());
    reload.get("/live.m3u8?_HLS_msn=3");
    hint.get("/run/part_00006.m4s");
    site.until_parked(2);
    site.server().publish(Publication::EndOfStream);
    assert!(reload.answer().text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(hint.answer().status, 404);
    assert!(
        site.get("/live.m3u8?_HLS_msn=99")
            .text()
            .contains("ENDLIST")
    );
}
