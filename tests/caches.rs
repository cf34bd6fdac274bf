//! An ordinary cache before the element makes five hundred viewers one.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

#[allow(dead_code, reason = "the bench asks for more")]
#[path = "../examples/audience/crowd/mod.rs"]
mod crowd;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crowd::{Crowd, Place, Takes};
use support::{
    PATIENCE,
    cache::Cache,
    http::{Client, Pending},
    pair::Pair,
    playlist::Playlist,
    secure::{Http2, in_time},
    stream::{FedStream, Frames, Stream},
    wait_for, wait_until,
};

const VIEWERS: usize = 500;

/// How much later than the origin's an answer may come out of the cache.
const LATE_AT_MOST: Duration = Duration::from_millis(50);

/// How often somebody has to be woken for that: who fetches, who hands on, the viewer, and whoever notes it.
const WAKES: u32 = 4;

#[test]
fn five_hundred_viewers_are_one_to_the_origin() {
    let stream = Stream::new(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=300 ! h264parse",
        "segment-duration=1000 part-duration=200",
    );
    stream.play();
    stream.playlist();
    let cache = Cache::before(stream.port());
    let mut tries = Vec::new();
    for _ in 0..3 {
        let (late, allowed) = watch_behind(&cache, &stream);
        if late <= allowed {
            return;
        }
        tries.push((late, allowed));
    }
    panic!("answers come late after the origin's, and what this machine may be: {tries:?}");
}

/// Has them watch for a while. Answers how late after the origin's all but a hundredth of their answers came, and how late
/// that may be on this machine.
#[expect(clippy::print_stdout, reason = "what was seen, for whoever asks")]
fn watch_behind(cache: &Cache, stream: &Stream) -> (Duration, Duration) {
    let requests = || stream.requests();
    let before = requests();
    let report = Crowd {
        viewers: VIEWERS,
        place: Place {
            address: SocketAddr::from(([127, 0, 0, 1], cache.port)),
        },
        entry: "/live.m3u8".to_owned(),
        takes: Takes::HintedParts,
        // The plain playlist is fetched twice a second while they come: there have to be many more of the others.
        span: Duration::from_secs(20),
        // Who watches there tells how late the cache is.
        origin: Some(SocketAddr::from(([127, 0, 0, 1], stream.port()))),
        server: None,
    }
    .watch()
    .unwrap();
    let at_origin = requests() - before - report.witnessed;

    println!("{report}requests at the origin        {at_origin}");
    assert_eq!(report.faults, [""; 0], "{report}");
    assert!(report.parts >= 40, "{report}");
    let everybodys = report.parts * VIEWERS as u64;
    assert!(
        report.delivered > everybodys / 2,
        "those who came last saw most of it: {report}"
    );
    assert!(
        at_origin as f64 <= 1.05 * report.distinct as f64,
        "{at_origin} requests at the origin: {report}"
    );

    let mut lateness = report.lateness;
    lateness.sort_unstable();
    let late = lateness[lateness.len() * 99 / 100];
    let machine = *report.timers.iter().max().unwrap();
    let span = |nanos: i64| Duration::from_nanos(nanos.try_into().unwrap_or(0));
    (span(late), LATE_AT_MOST + span(machine) * WAKES)
}

/// A stream of two whole segments, which can be watched.
fn two_segments(properties: &str) -> FedStream {
    let frames = Frames::test_picture(FRAMES, 30);
    let fed = FedStream::new(&frames.caps, properties);
    fed.stream.play();
    fed.push(&frames.buffers);
    wait_for("a playlist", || fed.stream.playlist().hint);
    fed
}

/// What names no time of its own is kept for a moment, not for as long as the cache keeps things otherwise.
fn what_changes_is_asked_for_again_through(kind: &str) {
    let frames = Frames::test_picture(FRAMES + 6, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[..FRAMES]);
    wait_for_parts(&fed.stream, 11);
    let cache = Cache::of(kind, fed.stream.port());
    let mut viewer = Client::new(cache.port);
    let mut plain = || Playlist::read(viewer.get("/live.m3u8").text());
    assert_eq!(plain().parts().count(), 11);
    fed.push(&frames.buffers[FRAMES..]);
    wait_for_parts(&fed.stream, 12);
    wait_until("the part in the cache's playlist", || {
        plain().parts().count() == 12
    });
    fed.source.end_of_stream().unwrap();
    wait_until("the end in the cache's playlist", || plain().is_ended);
    assert_asked_for_again(&fed.stream, &cache, "/");
    // And what no more will be added to: the next run has the same URL.
    assert_asked_for_again(&fed.stream, &cache, "/live.m3u8");

    let pair = Pair::new(2, "");
    pair.stream.play();
    pair.push(0..2000, 0, "va");
    let cache = Cache::of(kind, pair.stream.port());
    let entry = Client::new(cache.port).get("/live.m3u8");
    assert!(entry.text().contains("#EXT-X-STREAM-INF"), "{entry:?}");
    assert_asked_for_again(&pair.stream, &cache, "/live.m3u8");
}

#[test]
fn varnish_asks_again_for_what_changes() {
    what_changes_is_asked_for_again_through("varnish");
}

#[test]
fn nginx_asks_again_for_what_changes() {
    what_changes_is_asked_for_again_through("nginx");
}

/// Rules HT-04 and HT-05: what names its content is kept for as long as it says.
fn what_stays_is_kept_by(kind: &str) {
    let fed = two_segments("");
    let playlist = fed.stream.playlist();
    let cache = Cache::of(kind, fed.stream.port());
    let mut viewer = Client::new(cache.port);
    let requests = || fed.stream.requests();
    let media = playlist.uris().into_iter().map(|uri| format!("/{uri}"));
    let lasting: Vec<String> = media
        .chain(["/live.m3u8?_HLS_msn=1&_HLS_part=0".to_owned()])
        .collect();
    let mut ask_for_all = || {
        for path in &lasting {
            assert_eq!(viewer.get(path).status, 200, "{path}");
        }
    };
    // A machine that stops for seconds may miss the time.
    wait_until(&format!("all of {lasting:?} from the cache"), || {
        ask_for_all();
        // Longer than what may change is kept.
        assert_asked_for_again(&fed.stream, &cache, "/live.m3u8");
        let before = requests();
        ask_for_all();
        requests() == before
    });
}

#[test]
fn varnish_keeps_what_stays() {
    what_stays_is_kept_by("varnish");
}

#[test]
fn nginx_keeps_what_stays() {
    what_stays_is_kept_by("nginx");
}

/// A crowd that tunes in at once is one request, also when the playlist that was kept is over its time.
fn a_crowd_that_tunes_in_is_one_request_behind(kind: &str) {
    const CROWD: u64 = 64;
    let fed = two_segments("");
    let cache = Cache::of(kind, fed.stream.port());
    let requests = || fed.stream.requests();
    runtime().block_on(async {
        let viewer = Http2::connect(cache.tls_port).await;
        let first = requests();
        in_time(async {
            // Until the time was over twice.
            while requests() < first + 3 {
                let before = requests();
                let crowd = [(); CROWD as usize].map(|()| viewer.get_later("/live.m3u8"));
                for one in crowd {
                    assert_eq!(one.await.unwrap().status, 200);
                }
                let asked = requests() - before;
                assert!(asked * 4 <= CROWD, "{asked} requests for {CROWD}");
            }
        })
        .await;
    });
}

#[test]
fn behind_varnish_a_crowd_that_tunes_in_is_one_request() {
    a_crowd_that_tunes_in_is_one_request_behind("varnish");
}

#[test]
fn behind_nginx_a_crowd_that_tunes_in_is_one_request() {
    a_crowd_that_tunes_in_is_one_request_behind("nginx");
}

/// Rule DD-17 for many: when the source has stopped they are told together, and not one after the other, each when his own
/// time at the origin is over.
fn a_stalled_source_is_one_wait_behind(kind: &str) {
    const WAITING: usize = 12;
    let fed = two_segments("");
    let cache = Cache::of(kind, fed.stream.port());
    let requests = || fed.stream.requests();
    let playlist = fed.stream.playlist();
    let (msn, part) = playlist.next_part();
    let reload = format!("/live.m3u8?_HLS_msn={msn}&_HLS_part={part}");
    for path in [reload, format!("/{}", playlist.hint.unwrap())] {
        let before = requests();
        let waiting = [(); WAITING].map(|()| Pending::get(cache.port, &path));
        for pending in waiting {
            let answer = pending.wait();
            assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        }
        let asked = requests() - before;
        assert!(asked * 2 <= WAITING as u64, "{path}: {asked} times");
    }
}

#[test]
fn behind_varnish_a_stalled_source_is_one_wait() {
    a_stalled_source_is_one_wait_behind("varnish");
}

#[test]
fn behind_nginx_a_stalled_source_is_one_wait() {
    a_stalled_source_is_one_wait_behind("nginx");
}

/// Rules DD-09 and DD-10: what makes no sense goes to the origin as it is, and is not made into something else on the way.
fn senseless_directives_are_refused_through(kind: &str) {
    let fed = two_segments("");
    let cache = Cache::of(kind, fed.stream.port());
    let mut viewer = Client::new(cache.port);
    for query in [
        "_HLS_part=1",
        "_HLS_part=1&_HLS_skip=YES",
        "_HLS_msn=&_HLS_part=1",
        "_HLS_msn=1&_HLS_part=",
        "_HLS_msn=",
        "_HLS_msn=-1",
        "_HLS_msn=x1",
        "clientId=7&_HLS_msn=100&_HLS_part=0",
    ] {
        let path = format!("/live.m3u8?{query}");
        assert_eq!(fed.stream.client().get(&path).status, 400, "{query}");
        let answer = viewer.get(&path);
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    // A directive is what is spelt like one.
    let plain = viewer.get("/live.m3u8?_hls_msn=100&x_HLS_part=1&_HLS_skip=YES");
    assert_eq!(plain.status, 200, "{}", plain.text());
}

#[test]
fn varnish_passes_on_what_makes_no_sense() {
    senseless_directives_are_refused_through("varnish");
}

#[test]
fn nginx_passes_on_what_makes_no_sense() {
    senseless_directives_are_refused_through("nginx");
}

/// Whoever asks the cache again and again makes it ask the origin.
fn assert_asked_for_again(stream: &Stream, cache: &Cache, path: &str) {
    let mut viewer = Client::new(cache.port);
    let mut ask = || assert_eq!(viewer.get(path).status, 200, "{path}");
    let requests = || stream.requests();
    ask();
    let before = requests();
    wait_until(&format!("another request for {path}"), || {
        ask();
        requests() > before
    });
}

/// Waits until the origin lists so many parts.
fn wait_for_parts(stream: &Stream, count: usize) {
    wait_until(&format!("{count} parts at the origin"), || {
        stream.playlist().parts().count() >= count
    });
}

/// What is made up by one viewer may not become everybody's answer, nor lead past what ends at the cache.
#[test]
fn one_viewer_spoils_nothing_for_the_others() {
    let fed = two_segments("allowed-hosts=127.0.0.1,localhost");
    let cache = Cache::before(fed.stream.port());
    let requests = || fed.stream.requests();
    // `None` when it is closed without an answer.
    let status = |request: &str| -> Option<u16> {
        let mut connection = TcpStream::connect(("127.0.0.1", cache.port)).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut start = [0; 12];
        let read = connection.read_exact(&mut start);
        read.is_ok()
            .then(|| std::str::from_utf8(&start[9..]).unwrap().parse().unwrap())
    };
    let before = requests();
    for path in ["/metrics", "/stats.json", "/t/token/metrics"] {
        for scheme in ["https", "http", "ftp"] {
            let request = format!("GET {scheme}://a{path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let status = status(&request);
            assert!(matches!(status, Some(400 | 404)), "{status:?}: {request}");
        }
    }
    // More than the origin takes.
    let header = |nth: u32| format!("X-{nth}: {}\r\n", "x".repeat(7000));
    let heavy: String = (0..3).map(header).collect();
    let many: String = (0..120).map(|nth| format!("X-{nth}: y\r\n")).collect();
    for headers in [heavy, many] {
        let head = format!("GET /live.m3u8 HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let status = status(&head);
        assert!(
            matches!(status, None | Some(400..500)),
            "{status:?}: {headers:.20}"
        );
    }
    assert_eq!(requests(), before, "none of that came to the origin");
    // Another name than the origin is called.
    let head = "GET /live.m3u8 HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(status(head), Some(200));
    assert_eq!(Client::new(cache.port).get("/live.m3u8").status, 200);
}

/// The other cache keeps nothing to itself either, and lets nobody past.
#[test]
fn nginx_ends_what_is_for_the_operator_and_splits_nothing() {
    let fed = two_segments("");
    let cache = Cache::of("nginx", fed.stream.port());
    let mut viewer = Client::new(cache.port);
    let requests = || fed.stream.requests();
    let before = requests();
    for path in [
        "/metrics",
        "/stats.json?a",
        "/t/token/metrics",
        "/%6Detrics",
        "/stats%2Ejson",
        "/metrics#",
        "/live.m3u8%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/metrics",
        "/live.m3u8%0a",
    ] {
        assert_eq!(viewer.get(path).status, 404, "{path}");
    }
    assert_eq!(requests(), before, "none of that came to the origin");
    // The older way to wait goes through each time, what others add for themselves does not.
    for _ in 0..3 {
        let answer = viewer.get("/live.m3u8?wait=1&version=0");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(requests(), before + 3);
    for name in ["version=1", "version=2", "clientId=3"] {
        let answer = viewer.get(&format!("/live.m3u8?_HLS_msn=1&{name}"));
        assert_eq!(answer.status, 200);
    }
    assert_eq!(requests(), before + 4);
}

/// Two whole segments of five parts, and one part of the next.
const FRAMES: usize = 2 * 30 + 6;

fn what_waits_passes_over_http2_and_shares_one_request_behind(kind: &str) {
    let frames = Frames::test_picture(FRAMES + 18, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[..FRAMES]);
    wait_for("the part after two segments", || {
        fed.stream
            .playlist()
            .hint
            .filter(|hint| hint.ends_with("part_00011.m4s"))
    });
    let cache = Cache::of(kind, fed.stream.port());
    let parked = || -> u32 { fed.stream.stats().get("requests-parked").unwrap() };
    let requests = || fed.stream.requests();

    let hint = runtime().block_on(async {
        let viewer = Http2::connect(cache.tls_port).await;
        let entry = viewer.get("/live.m3u8").await;
        let hint = Playlist::read(entry.text()).hint.unwrap();
        let before = requests();
        let waiting = [
            "/live.m3u8?_HLS_msn=3&_HLS_part=1",
            "/live.m3u8?_HLS_part=1&_HLS_msn=3",
            "/live.m3u8?clientId=7&_HLS_msn=3&version=3&_HLS_part=1&_=1",
            &format!("/{hint}"),
            &format!("/{hint}?clientId=7"),
        ]
        .map(|path| viewer.get_later(path));
        in_time(async {
            while parked() < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        fed.push(&frames.buffers[FRAMES..FRAMES + 6]);
        let mut answers = Vec::new();
        for answer in waiting {
            answers.push(answer.await.unwrap());
        }
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{answers:?}"
        );
        let [one, other, with_more, part, same_part] = &answers[..] else {
            unreachable!("five were asked for");
        };
        assert!(one.text().contains("part_00011.m4s"), "{}", one.text());
        assert_eq!([&one.body, &one.body], [&other.body, &with_more.body]);
        assert_eq!(part.body, same_part.body);
        assert_eq!(requests() - before, 2, "one reload and one part");

        // What was missing a moment ago is there as soon as it is.
        let next = format!("/{}", hint.replace("part_00011", "part_00013"));
        let early = viewer.get(&next).await;
        assert_eq!(early.status, 404);
        fed.push(&frames.buffers[FRAMES + 6..]);
        in_time(async {
            while viewer.get(&next).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        fed.source.end_of_stream().unwrap();
        let last = viewer.get("/live.m3u8?_HLS_msn=4&_HLS_part=0").await;
        assert!(last.text().contains("#EXT-X-ENDLIST"), "{}", last.text());
        hint
    });
    let plain = Client::new(cache.port).get(&format!("/{hint}"));
    assert_eq!(plain.status, 200, "the part that was hinted at, in clear");
}

#[test]
fn what_waits_passes_over_http2_and_shares_one_request_behind_varnish() {
    what_waits_passes_over_http2_and_shares_one_request_behind("varnish");
}

#[test]
fn what_waits_passes_over_http2_and_shares_one_request_behind_nginx() {
    what_waits_passes_over_http2_and_shares_one_request_behind("nginx");
}

/// The same once more, through a cache that asks a cache.
#[test]
fn what_waits_passes_a_shield_and_an_edge() {
    let frames = Frames::test_picture(FRAMES + 6, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers[..FRAMES]);
    wait_for_parts(&fed.stream, 11);
    let shield = Cache::before(fed.stream.port());
    let edges = [(); 2].map(|()| Cache::before(shield.port));
    let requests = || fed.stream.requests();
    let hint = fed.stream.playlist().hint.unwrap();
    let before = requests();
    let reload = "/live.m3u8?_HLS_msn=3&_HLS_part=1";
    let waiting: Vec<Pending> = [reload, &format!("/{hint}")]
        .into_iter()
        .flat_map(|path| edges.each_ref().map(|edge| Pending::get(edge.port, path)))
        .collect();
    wait_until("both at the origin", || {
        fed.stream.stats().get::<u32>("requests-parked") == Ok(2)
    });
    fed.push(&frames.buffers[FRAMES..]);
    let answers: Vec<_> = waiting.into_iter().map(Pending::wait).collect();
    for pair in answers.chunks(2) {
        assert_eq!([pair[0].status, pair[1].status], [200; 2], "{answers:?}");
        assert_eq!(pair[0].body, pair[1].body);
    }
    assert!(answers[0].text().contains("part_00011.m4s"));
    assert_eq!(requests() - before, 2, "one reload and one part");
    // The edge's playlist follows the shield's.
    wait_until("the part in the edge's playlist", || {
        let entry = Client::new(edges[0].port).get("/live.m3u8");
        Playlist::read(entry.text()).parts().count() == 12
    });
}

/// A delta update and the whole playlist have the same numbers, and are not the same answer.
fn a_delta_is_not_taken_for_the_whole_by(kind: &str) {
    let frames = Frames::test_picture(9 * 30 + 6, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    wait_until("nine segments", || {
        fed.stream.playlist().next_part() == (10, 1)
    });
    let cache = Cache::of(kind, fed.stream.port());
    let mut viewer = Client::new(cache.port);
    let mut get = |query: &str| {
        let answer = viewer.get(&format!("/live.m3u8?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().to_owned()
    };
    // Once from the origin and once from the cache.
    for _ in 0..2 {
        for directives in ["", "&_HLS_msn=9&_HLS_part=4", "&_HLS_msn=9"] {
            let whole = get(&format!("clientId=7{directives}"));
            let before = get(&format!("_HLS_skip=YES{directives}"));
            let behind = get(&format!("clientId=7{directives}&_HLS_skip=YES"));
            assert!(!whole.contains("#EXT-X-SKIP"), "{directives}: {whole}");
            assert!(before.contains("#EXT-X-SKIP"), "{directives}: {before}");
            assert_eq!(before, behind, "{directives}");
        }
    }
}

#[test]
fn a_delta_is_not_taken_for_the_whole_by_varnish() {
    a_delta_is_not_taken_for_the_whole_by("varnish");
}

#[test]
fn a_delta_is_not_taken_for_the_whole_by_nginx() {
    a_delta_is_not_taken_for_the_whole_by("nginx");
}

/// By whatever name they would get past the cache.
#[test]
fn varnish_ends_what_is_for_the_operator() {
    let fed = two_segments("");
    let cache = Cache::before(fed.stream.port());
    runtime().block_on(async {
        let viewer = Http2::connect(cache.tls_port).await;
        for path in [
            "/stats.json",
            "/metrics",
            "/t/token/metrics",
            "/t/token/stats.json?a",
            "/%73tats.json",
            "/stats%2Ejson",
            "/%6Detrics",
            "/stats.json&?",
            "/metrics&x?y",
            "/t/token/metrics&?",
        ] {
            assert_eq!(viewer.get(path).await.status, 404, "{path}");
        }
        let page = viewer.get("/").await;
        assert_eq!(page.status, 200, "the player page");
    });
    let mut viewer = Client::new(cache.port);
    // Clients cut this off themselves, unless they mean harm.
    for path in ["/metrics#", "/live.m3u8#1"] {
        assert_eq!(viewer.get(path).status, 404, "{path}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
