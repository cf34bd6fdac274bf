//! DD-17: a source that stops, or never starts, keeps nobody waiting for ever.

mod support;

use std::time::Duration;

use support::stream::{FedStream, Frames};

#[test]
fn after_three_target_durations_the_answer_is_503() {
    let frames = Frames::test_picture(40, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    support::wait_until("two parts of the second segment", || {
        fed.stream.playlist().next_part() == (2, 1)
    });
    let playlist = fed.stream.playlist();
    assert_eq!(playlist.target_duration, 1);
    let hint = playlist.hint.unwrap();
    let paths = [
        "/live.m3u8?_HLS_msn=2&_HLS_part=1".to_owned(),
        "/live.m3u8?_HLS_msn=2".to_owned(),
        format!("/{hint}"),
    ];
    let (answers, elapsed) = support::timed(|| {
        paths
            .map(|path| fed.stream.get_later(&path))
            .map(|pending| pending.wait())
    });
    for answer in answers {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert!(elapsed >= Duration::from_millis(2_900), "{elapsed:?}");
    // The rest is still there.
    assert_eq!(fed.stream.playlist().text, playlist.text);
    // And when the source goes on, so do they.
    let more = Frames::test_picture(50, 30);
    let pending = fed.stream.get_later(&format!("/{hint}"));
    fed.push(&more.buffers[40..]);
    assert_eq!(pending.wait().status, 200);
}

/// There is no target duration yet: ten seconds.
#[test]
fn a_stream_that_never_starts_is_503_with_retry_after() {
    let frames = Frames::test_picture(20, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    let (answer, elapsed) = support::timed(|| fed.stream.client().get("/live.m3u8"));
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(elapsed >= Duration::from_millis(9_900), "{elapsed:?}");
}
