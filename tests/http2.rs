//! Many requests on one connection: nobody waits for another, and nobody takes for ever.

mod support;

use std::{sync::LazyLock, time::Duration};

use gst::prelude::*;
use http_body_util::BodyExt;
use support::{
    playlist::Playlist,
    secure::{Http2, in_time, whole},
    stream::{FedStream, Frames, Stream, TEN_TIMES_AS_LONG},
};

/// Bytes of a body that may be on the way unread: far less than a segment.
const SMALL_WINDOW: u32 = 16 * 1024;

/// A stream fed by hand, in segments of some hundred kilobytes.
struct Live {
    fed: FedStream,
    frames: Frames,
    next: usize,
}

impl Live {
    /// With two whole segments out and two parts of the third.
    fn new() -> Self {
        Self::with("")
    }

    /// The same with these properties as well.
    fn with(properties: &str) -> Self {
        static FRAMES: LazyLock<Frames> = LazyLock::new(|| Frames::snow(110).ten_times_as_slow());
        let frames = FRAMES.clone();
        let fed = FedStream::new(
            &frames.caps,
            &format!("tls-port=-1 {TEN_TIMES_AS_LONG} {properties}"),
        );
        fed.stream.play();
        let mut live = Self {
            fed,
            frames,
            next: 0,
        };
        live.feed(72);
        support::wait_until("twelve parts", || {
            live.fed.stream.playlist().next_part() == (3, 2)
        });
        live
    }

    fn feed(&mut self, count: usize) {
        self.fed
            .push(&self.frames.buffers[self.next..self.next + count]);
        self.next += count;
    }

    fn wait_for_parked(&self, count: u32) {
        support::wait_until("parked requests", || {
            self.fed.stream.stats().get::<u32>("requests-parked") == Ok(count)
        });
    }

    fn port(&self) -> u16 {
        self.fed.stream.tls_port()
    }

    fn first_segment(&self) -> String {
        format!("/{}", self.fed.stream.playlist().segments[0].uri)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_download_and_blocked_reloads_share_a_connection() {
    let mut live = Live::new();
    let client = Http2::with_stream_window(live.port(), SMALL_WINDOW).await;
    let path = live.first_segment();
    let expected = live.fed.stream.client().body(&path);
    assert!(expected.len() > 10 * SMALL_WINDOW as usize);
    let mut download = client.begin(&path).await.unwrap().into_body();
    let mut received = Vec::new();
    for part in 2..5 {
        // A little at a time: the rest waits at the server.
        let frame = in_time(download.frame()).await.unwrap().unwrap();
        received.extend_from_slice(&frame.into_data().unwrap());
        let reload = client.get_later(&format!("/live.m3u8?_HLS_msn=3&_HLS_part={part}"));
        let hint = client.get_later(&format!("/{}", live.fed.stream.playlist().hint.unwrap()));
        live.wait_for_parked(2);
        // While they are parked everything else is answered.
        assert_eq!(client.get("/timestamps.json").await.status, 200);
        assert!(!reload.is_finished() && !hint.is_finished());
        live.feed(6);
        let answer = in_time(reload).await.unwrap();
        let playlist = Playlist::read(answer.text());
        assert_eq!(playlist.next_part(), (3, part + 1));
        assert_eq!(in_time(hint).await.unwrap().status, 200);
        assert!(received.len() < expected.len() / 2);
    }
    // Nothing of it was lost meanwhile.
    while let Some(frame) = in_time(download.frame()).await {
        received.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(received, expected);
    assert_eq!(live.fed.stream.stats().get::<u32>("clients"), Ok(1));
}

/// Each reload is a stream of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn thirty_reloads_wake_together() {
    let mut live = Live::new();
    let client = Http2::connect(live.port()).await;
    let waiting: Vec<_> = (0..30)
        .map(|_| client.get_later("/live.m3u8?_HLS_msn=3&_HLS_part=2"))
        .collect();
    live.wait_for_parked(30);
    live.feed(6);
    for pending in waiting {
        assert_eq!(in_time(pending).await.unwrap().status, 200);
    }
}

/// A stream that is refused is refused alone: others on its connection watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn over_a_limit_one_request_is_refused_and_not_its_connection() {
    let mut live = Live::with("max-parked=1");
    let client = Http2::connect(live.port()).await;
    let path = "/live.m3u8?_HLS_msn=3&_HLS_part=2";
    let first = client.get_later(path);
    live.wait_for_parked(1);
    let second = client.get(path).await;
    assert_eq!(second.status, 503, "{}", second.text());
    assert_eq!(second.header("retry-after"), Some("1"));
    assert_eq!(second.header("access-control-allow-origin"), Some("*"));
    let long = client.get(&format!("/{}", "x".repeat(20_000))).await;
    assert_eq!(long.status, 431, "{}", long.text());
    live.feed(6);
    assert_eq!(in_time(first).await.unwrap().status, 200);
    assert!(!client.is_closed());
}

/// RST_STREAM while parked: the others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_that_is_given_up_is_forgotten() {
    let mut live = Live::new();
    let client = Http2::connect(live.port()).await;
    let [given_up, stays] = ["3", "3&_HLS_part=2"]
        .map(|directives| client.get_later(&format!("/live.m3u8?_HLS_msn={directives}")));
    live.wait_for_parked(2);
    given_up.abort();
    live.wait_for_parked(1);
    let stats = live.fed.stream.stats();
    assert_eq!(stats.get::<u64>("requests-abandoned"), Ok(1));
    live.feed(6);
    assert_eq!(in_time(stays).await.unwrap().status, 200);
}

/// GOAWAY, and an answer for everybody who waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_answers_whoever_waits_and_closes() {
    for (state, status) in [(gst::State::Ready, 200), (gst::State::Null, 200)] {
        let live = Live::new();
        let client = Http2::connect(live.port()).await;
        let idle = Http2::connect(live.port()).await;
        assert_eq!(idle.get("/stats.json").await.status, 200);
        let reload = client.get_later("/live.m3u8?_HLS_msn=4");
        live.wait_for_parked(1);
        let pipeline = live.fed.stream.pipeline.clone();
        let (result, elapsed) = support::timed(|| pipeline.set_state(state));
        result.unwrap();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
        let answer = in_time(reload).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(answer.text().contains("#EXT-X-ENDLIST"), "PL-42");
        if state == gst::State::Ready {
            assert_eq!(client.get("/live.m3u8").await.status, 200);
            pipeline.set_state(gst::State::Null).unwrap();
        }
        support::wait_until("the connections close", || {
            client.is_closed() && idle.is_closed()
        });
    }
}

/// A window that stays shut would hold parts in memory for ever, whatever else its client takes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_leaves_an_answer_lying_is_cut_off() {
    let live = Live::new();
    let stalled = Http2::with_stream_window(live.port(), SMALL_WINDOW).await;
    let slow = Http2::with_stream_window(live.port(), SMALL_WINDOW).await;
    let path = live.first_segment();
    let download = stalled.begin(&path).await.unwrap();
    // Beside it one that is slow, and moves.
    let mut trickle = slow.begin(&path).await.unwrap().into_body();
    let (has_stalled, is_slow) = tokio::join!(
        tokio::time::timeout(support::PATIENCE, async {
            while !stalled.is_closed() {
                // Other answers it takes at once. The last one is cut off.
                if let Ok(other) = stalled.begin("/live.m3u8").await {
                    let _ = other.into_body().collect().await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }),
        async {
            while !stalled.is_closed() {
                let frame = in_time(trickle.frame()).await;
                frame.expect("more to come").expect("not cut off");
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
            !slow.is_closed()
        }
    );
    assert!(has_stalled.is_ok() && is_slow);
    assert!(in_time(download.into_body().collect()).await.is_err());
    let client = Http2::connect(live.port()).await;
    let answer = whole(client.begin(&path).await.unwrap()).await;
    assert_eq!(answer.status, 200);
}

/// A stream of two seconds that has ended, by which those are judged who ask for it.
fn ended(set: impl FnOnce(&gst::Element)) -> Stream {
    let mut stream = Stream::new(
        "videotestsrc num-buffers=60 ! video/x-raw,width=160,height=120,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "tls-port=-1",
    );
    set(&stream.sink);
    stream.play();
    stream.wait_for_message("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    stream
}

/// There is no Host: what it is called stands in `:authority`, and if there is a Host all the same it says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn by_another_name_nobody_is_served() {
    let stream = ended(|sink| sink.set_property("allowed-hosts", "watch.example, [::1]:8443"));
    let client = Http2::connect(stream.tls_port()).await;
    for (authority, host, status) in [
        ("watch.example", None, 200),
        ("WATCH.example:8443", None, 200),
        ("[::1]:8443", None, 200),
        ("[::1]:8444", None, 421),
        ("localhost", None, 421),
        ("evil.example", None, 421),
        ("watch.example.evil.example", None, 421),
        ("evil.example", Some("watch.example"), 421),
        ("watch.example", Some("evil.example"), 200),
    ] {
        let url = format!("https://{authority}/live.m3u8");
        let (name, value) = host.map_or(("x-none", "x"), |host| ("host", host));
        let answer = client.get_with(name, value, &url).await;
        assert_eq!(answer.status, status, "{authority} {host:?}");
        if status == 421 {
            let text = answer.text();
            assert!(text.contains("allowed-hosts"), "{text}");
        }
    }
    let stats = stream.stats();
    assert_eq!(stats.get::<u64>("refused-misdirected"), Ok(5));
    assert!(!client.is_closed(), "a request was refused, not its client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_way_to_show_the_access_token_reaches_the_media() {
    const TOKEN: &str = "a-s3cret-t0ken";
    let stream = ended(|sink| sink.set_property("access-token", TOKEN));
    let client = Http2::connect(stream.tls_port()).await;
    let bearer = format!("Bearer {TOKEN}");
    for (path, authorization, status) in [
        ("/live.m3u8".to_owned(), None, 401),
        ("/live.m3u8?token=wrong".to_owned(), None, 401),
        ("/t/wrong/live.m3u8".to_owned(), None, 401),
        ("/live.m3u8".to_owned(), Some("Bearer wrong"), 401),
        ("/live.m3u8".to_owned(), Some(&*bearer), 200),
        (format!("/live.m3u8?token={TOKEN}"), None, 200),
        (format!("/t/{TOKEN}/live.m3u8"), None, 200),
    ] {
        let (name, value) = authorization.map_or(("x-none", "x"), |by| ("authorization", by));
        let get = async |path: &str| {
            let url = format!("https://localhost{path}");
            client.get_with(name, value, &url).await
        };
        let entry = get(&path).await;
        assert_eq!(entry.status, status, "{path} {authorization:?}");
        if status == 401 {
            assert!(entry.header("www-authenticate").is_some(), "{path}");
            continue;
        }
        // Relative to where the playlist is, as a player takes it.
        let folder = &path[..path.find("live.m3u8").unwrap()];
        for uri in Playlist::read(entry.text()).uris() {
            let media = get(&format!("{folder}{uri}")).await;
            assert_eq!(media.status, 200, "{folder}{uri}");
        }
    }
    let stats = stream.stats();
    assert_eq!(stats.get::<u64>("refused-unauthorized"), Ok(4));
}
