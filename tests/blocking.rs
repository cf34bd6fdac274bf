//! Blocking reload against the running element: who waits, for what, and who is refused.

mod support;

use std::{io::Write, net::TcpStream};

use support::{
    playlist::{FIRST_MSN, Playlist},
    stream::{FedStream, Frames, TEN_TIMES_AS_LONG},
};

/// A stream fed by hand: frames go in when a test says so.
struct Live {
    fed: FedStream,
    frames: Frames,
    next: usize,
}

impl Live {
    /// With `parts` parts of six frames out, five to a segment.
    fn at(parts: usize) -> Self {
        let frames = Frames::test_picture(240, 30).ten_times_as_slow();
        Self::of(frames, TEN_TIMES_AS_LONG, parts)
    }

    fn of(frames: Frames, properties: &str, parts: usize) -> Self {
        let fed = FedStream::new(&frames.caps, properties);
        fed.stream.play();
        let mut live = Self {
            fed,
            frames,
            next: 0,
        };
        live.feed(parts * 6);
        // The segment ends when the key frame after it is seen.
        if parts.is_multiple_of(5) {
            live.feed(1);
        }
        support::wait_until("the last part", || {
            let stats = live.fed.stream.stats();
            stats.get::<u64>("parts") == Ok(parts as u64) && live.playlist_has(parts)
        });
        live
    }

    fn playlist_has(&self, parts: usize) -> bool {
        self.playlist().next_part() == (FIRST_MSN + (parts / 5) as u64, parts % 5)
    }

    fn feed(&mut self, count: usize) {
        self.fed
            .push(&self.frames.buffers[self.next..self.next + count]);
        self.next += count;
    }

    fn playlist(&self) -> Playlist {
        self.fed.stream.playlist()
    }

    fn get_later(&self, query: &str) -> support::http::Pending {
        let pending = self.fed.stream.get_later(&format!("/live.m3u8?{query}"));
        self.wait_for_parked(1);
        pending
    }

    fn wait_for_parked(&self, count: u32) {
        support::wait_until("parked requests", || {
            self.fed.stream.stats().get::<u32>("requests-parked") == Ok(count)
        });
    }

    fn status(&self, query: &str) -> u16 {
        let answer = self.fed.stream.client().get(&format!("/live.m3u8?{query}"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        answer.status
    }
}

/// DD-01, DD-02.
#[test]
fn a_reload_wakes_with_its_part() {
    let mut live = Live::at(12);
    let pending = live.get_later("_HLS_msn=3&_HLS_part=2");
    // The part closes with its sixth frame, not with the first of the next one.
    live.feed(5);
    live.fed.wait_for_frames(77);
    pending.assert_waiting();
    live.feed(1);
    let answer = pending.wait();
    let playlist = Playlist::read(answer.text());
    assert_eq!(playlist.next_part(), (3, 3));
}

/// DD-03, DD-04.
#[test]
fn what_is_listed_is_answered_at_once_and_what_is_older_too() {
    let live = Live::at(12);
    let now = live.playlist().text;
    for query in [
        "_HLS_msn=3&_HLS_part=1",
        "_HLS_msn=3&_HLS_part=0",
        "_HLS_msn=2",
        "_HLS_msn=2&_HLS_part=4",
        "_HLS_msn=1&_HLS_part=99",
        "_HLS_msn=1",
        // What no segment has.
        "_HLS_msn=0&_HLS_part=0",
        "_HLS_msn=0",
        "_HLS_part=1&_HLS_msn=3&_HLS_skip=YES&clientId=7",
    ] {
        let body = live
            .fed
            .stream
            .client()
            .body(&format!("/live.m3u8?{query}"));
        assert_eq!(body, now.as_bytes(), "{query}");
    }
}

/// DD-05.
#[test]
fn a_number_alone_waits_for_the_whole_segment() {
    let mut live = Live::at(12);
    let pending = live.get_later("_HLS_msn=3");
    live.feed(6);
    support::wait_until("another part", || live.playlist_has(13));
    pending.assert_waiting();
    live.feed(13);
    let playlist = Playlist::read(pending.wait().text());
    assert_eq!(playlist.segments.last().unwrap().msn, 3);
}

/// DD-06: hls.js asks for the part after the last it knows.
#[test]
fn a_part_past_the_end_of_a_segment_is_the_first_of_the_next() {
    let mut live = Live::at(15);
    let pending = live.get_later("_HLS_msn=3&_HLS_part=5");
    live.feed(4);
    live.fed.wait_for_frames(95);
    pending.assert_waiting();
    live.feed(1);
    let playlist = Playlist::read(pending.wait().text());
    assert_eq!(playlist.next_part(), (4, 1));
    // Asked while the segment was open: the same.
    live.feed(6 * 2);
    support::wait_until("three parts of the segment", || {
        live.playlist().next_part() == (4, 3)
    });
    let pending = live.get_later("_HLS_msn=4&_HLS_part=5");
    live.feed(6 * 2);
    // No other of such long parts fits into the segment, which may end before the key frame.
    support::wait_until("the last part of the segment", || {
        live.playlist().next_part() >= (4, 5)
    });
    pending.assert_waiting();
    live.feed(6);
    let playlist = Playlist::read(pending.wait().text());
    assert_eq!(playlist.next_part(), (5, 1));
}

/// DD-07, DD-08, DD-09, DD-10.
#[test]
fn what_is_too_far_or_makes_no_sense_is_refused_at_once() {
    // How many parts are too far depends on how long they are.
    let live = Live::of(Frames::test_picture(90, 30), "", 12);
    for query in [
        "_HLS_msn=5",
        "_HLS_msn=5&_HLS_part=0",
        "_HLS_msn=3&_HLS_part=17",
        "_HLS_msn=18446744073709551615",
        "_HLS_part=1",
        "_HLS_msn=",
        "_HLS_msn=-1",
        "_HLS_msn=1e3",
        "_HLS_msn=18446744073709551616",
        "_HLS_msn=3&_HLS_part=x",
    ] {
        assert_eq!(live.status(query), 400, "{query}");
    }
}

/// The older way to wait.
#[test]
fn wait_and_version_wait_for_a_newer_playlist() {
    let mut live = Live::at(12);
    let answer = live.fed.stream.client().get("/live.m3u8");
    let version: u64 = answer.header("x-llhls-version").unwrap().parse().unwrap();
    // What is newer is answered at once.
    live.fed
        .stream
        .client()
        .body(&format!("/live.m3u8?wait=60000&version={}", version - 1));
    let pending = live.get_later(&format!("wait=60000&version={version}"));
    live.feed(6);
    let playlist = Playlist::read(pending.wait().text());
    assert_eq!(playlist.next_part(), (3, 3));
    // The deadline brings the playlist as it is.
    let now = live.playlist().text;
    let body = live
        .fed
        .stream
        .client()
        .body("/live.m3u8?wait=100&version=99999");
    assert_eq!(body, now.as_bytes());
}

/// MR-01, MR-02, MR-07.
#[test]
fn the_hinted_part_is_held_and_then_is_the_part() {
    let mut live = Live::at(12);
    let hint = format!("/{}", live.playlist().hint.unwrap());
    let pending = live.fed.stream.get_later(&hint);
    live.wait_for_parked(1);
    // Nobody waits for the one after it.
    let after = hint.replace("part_00012", "part_00013");
    assert_eq!(live.fed.stream.client().get(&after).status, 404);
    live.feed(5);
    live.fed.wait_for_frames(77);
    pending.assert_waiting();
    live.feed(1);
    let held = pending.wait();
    assert_eq!(held.status, 200);
    assert_eq!(held.body, live.fed.stream.client().body(&hint));
    assert!(
        live.playlist()
            .parts()
            .any(|part| hint.ends_with(&part.uri))
    );
}

/// The hint at the end of a segment names the part that opens the next.
#[test]
fn the_hint_is_right_over_the_end_of_a_segment() {
    let mut live = Live::at(15);
    let hint = live.playlist().hint.unwrap();
    let pending = live.fed.stream.get_later(&format!("/{hint}"));
    live.wait_for_parked(1);
    live.feed(5);
    assert_eq!(pending.wait().status, 200);
    let playlist = live.playlist();
    assert_eq!(playlist.open.unwrap().parts[0].uri, hint, "PL-29");
}

/// DD-14, DD-16.
#[test]
fn forty_waiters_leave_room_for_others_and_get_the_same() {
    let mut live = Live::at(12);
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            live.fed
                .stream
                .get_later("/live.m3u8?_HLS_msn=3&_HLS_part=2")
        })
        .collect();
    live.wait_for_parked(40);
    assert_eq!(live.status(""), 200);
    live.feed(6);
    let mut answers = waiting.into_iter().map(|pending| pending.wait().body);
    let first = answers.next().unwrap();
    assert!(answers.all(|answer| answer == first));
}

/// A client that went away is not waited for.
#[test]
fn a_client_that_goes_away_is_forgotten() {
    use std::io::Write;

    let live = Live::at(12);
    // It does not say when a client goes away: the request waits for its part or its deadline.
    if live.fed.stream.is_over_tiny_http() {
        return;
    }
    let port = live.fed.stream.port();
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection
        .write_all(b"GET /live.m3u8?_HLS_msn=3&_HLS_part=2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    live.wait_for_parked(1);
    drop(connection);
    live.wait_for_parked(0);
    assert_eq!(
        live.fed.stream.stats().get::<u64>("requests-abandoned"),
        Ok(1)
    );
}

/// What it has sent beyond its request keeps the server from reading on, and so from hearing that it is gone.
#[test]
fn a_client_that_leaves_with_half_of_the_next_request_waits_no_more() {
    let live = Live::at(5);
    if live.fed.stream.is_over_tiny_http() {
        // It does not tell.
        return;
    }
    let mut socket = TcpStream::connect(("127.0.0.1", live.fed.stream.port())).unwrap();
    let request =
        "GET /live.m3u8?wait=60000&version=18446744073709551615 HTTP/1.1\r\nHost: a\r\n\r\nG";
    socket.write_all(request.as_bytes()).unwrap();
    live.wait_for_parked(1);
    drop(socket);
    live.wait_for_parked(0);
    assert_eq!(
        live.fed.stream.stats().get::<u64>("requests-abandoned"),
        Ok(1)
    );
}
