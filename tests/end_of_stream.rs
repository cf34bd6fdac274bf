//! The end of a stream: what is left comes out, nobody waits any longer, and players can still fetch.

mod support;

use gst::prelude::*;
use support::{
    check::{Allowed, check_ended},
    stream::{FedStream, Frames, TEN_TIMES_AS_LONG},
};

/// Two segments, and part of a third that only the end completes.
fn fed() -> (FedStream, Frames) {
    let frames = Frames::test_picture(70, 30).ten_times_as_slow();
    let fed = FedStream::new(&frames.caps, TEN_TIMES_AS_LONG);
    fed.stream.play();
    fed.push(&frames.buffers);
    fed.wait_for_frames(70);
    (fed, frames)
}

#[test]
fn the_last_short_part_and_segment_come_out() {
    let (mut fed, _) = fed();
    fed.source.end_of_stream().unwrap();
    let playlist = fed.stream.wait_for_end();
    assert_eq!(playlist.hint, None);
    let run = check_ended(&fed.stream, playlist, Allowed::NOTHING);
    // 30 + 30 + 10 frames; 6 + 4 of them in the last two parts.
    let parts: Vec<usize> = run.segments[2]
        .iter()
        .map(|part| part.samples.len())
        .collect();
    assert_eq!(parts, [6, 4]);
}

#[test]
fn whoever_waits_gets_the_final_playlist() {
    let (mut fed, _) = fed();
    let mut playlist = fed.stream.playlist();
    support::wait_until("ten frames into the third segment", || {
        playlist = fed.stream.playlist();
        playlist.next_part() == (3, 1)
    });
    let for_a_part = fed.stream.get_later("/live.m3u8?_HLS_msn=3&_HLS_part=3");
    let for_a_segment = fed.stream.get_later("/live.m3u8?_HLS_msn=4");
    // One part further than the one that the end brings out.
    let hint = format!("/{}", playlist.hint.unwrap());
    let for_the_hint = fed.stream.get_later(&hint);
    support::wait_until("parked requests", || {
        fed.stream.stats().get::<u32>("requests-parked") == Ok(3)
    });
    for_a_part.assert_waiting();
    for_a_segment.assert_waiting();
    for_the_hint.assert_waiting();

    fed.source.end_of_stream().unwrap();
    let last = fed.stream.wait_for_end();
    for answer in [for_a_part.wait(), for_a_segment.wait()] {
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("#EXT-X-ENDLIST"), "PL-42");
    }
    // The last short part was the hinted one.
    let answer = for_the_hint.wait();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, fed.stream.client().body(&hint));

    // From then on nobody waits, whatever is asked for.
    let mut client = fed.stream.client();
    for query in ["_HLS_msn=4", "_HLS_msn=99&_HLS_part=0"] {
        let text = client.body(&format!("/live.m3u8?{query}"));
        assert_eq!(text, last.text.as_bytes(), "6.2.5.2");
    }
    let answer = client.get(&hint.replace("part_00011", "part_00012"));
    assert_eq!(answer.status, 404);
}

#[test]
fn the_server_answers_until_ready_is_left() {
    let (mut fed, _) = fed();
    fed.source.end_of_stream().unwrap();
    let playlist = fed.stream.wait_for_end();
    let port = fed.stream.port();
    fed.stream.pipeline.set_state(gst::State::Ready).unwrap();
    assert_eq!(fed.stream.port(), port);
    let mut client = fed.stream.client();
    for uri in playlist.uris() {
        client.body(&format!("/{uri}"));
    }
    fed.stream.stop();
    assert_eq!(fed.stream.sink.property::<u32>("current-port"), 0);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Stopping in the middle of a stream: PAUSED to READY is an end like any other to those who wait.
#[test]
fn a_stop_releases_whoever_waits() {
    for state in [gst::State::Ready, gst::State::Null] {
        let (fed, _) = fed();
        support::wait_until("two segments", || fed.stream.playlist().segments.len() == 2);
        let hint = fed.stream.playlist().hint.unwrap();
        let waiting = [
            fed.stream.get_later("/live.m3u8?_HLS_msn=4&_HLS_part=0"),
            fed.stream.get_later("/live.m3u8?_HLS_msn=4"),
            fed.stream.get_later(&format!("/{hint}")),
        ];
        support::wait_until("parked requests", || {
            fed.stream.stats().get::<u32>("requests-parked") == Ok(3)
        });
        fed.stream.pipeline.set_state(state).unwrap();
        let [for_a_part, for_a_segment, for_the_hint] = waiting.map(|pending| pending.wait());
        for answer in [for_a_part, for_a_segment] {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("#EXT-X-ENDLIST"), "PL-42");
        }
        // What was not complete is not published.
        assert!([404, 503].contains(&for_the_hint.status));
    }
}
