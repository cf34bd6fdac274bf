//! A playlist that slides: what leaves it, and what can still be fetched.

mod support;

use support::{
    check::Watcher,
    stream::{FedStream, Frames},
};

/// A minute of parts, one at a time, and after each everything the playlist names is asked for.
#[test]
fn everything_named_is_there_while_the_window_slides() {
    let frames = Frames::test_picture(30 * 30, 30);
    let fed = FedStream::new(&frames.caps, "playlist-length=4 max-files=4");
    fed.stream.play();
    let mut client = fed.stream.client();
    let mut watcher = Watcher::default();
    let mut earlier: Vec<String> = Vec::new();
    for (nth, part) in frames.buffers.chunks(6).enumerate() {
        fed.push(part);
        let parts = nth as u64 + 1;
        support::wait_until("the part", || {
            fed.stream.stats().get::<u64>("parts") == Ok(parts)
        });
        if parts <= 5 {
            continue;
        }
        watcher.look(&mut client);
        let playlist = fed.stream.playlist();
        assert!(playlist.segments.len() <= 4);
        // PL-36: parts of the last three target durations, no more.
        let listed = playlist.parts().count();
        assert!((1..=15).contains(&listed), "{listed} parts listed");
        // PL-37, PL-38: what was named a moment ago is still there.
        for uri in &earlier {
            client.body(&format!("/{uri}"));
        }
        earlier = playlist.uris().into_iter().map(ToOwned::to_owned).collect();
    }
    let playlist = fed.stream.playlist();
    assert_eq!(playlist.segments.len(), 4);
    assert_eq!(playlist.media_sequence, 26);
    // Memory is bounded: the oldest are gone.
    let uri = playlist.segments[0].uri.replace("00026", "00001");
    assert_eq!(client.get(&format!("/{uri}")).status, 404);
    let kept = fed.stream.stats().get::<u64>("bytes-kept").unwrap();
    let published = fed.stream.stats().get::<u64>("bytes-published").unwrap();
    assert!(kept * 2 < published, "{kept} of {published} bytes kept");
}

/// Rules DD-11 to DD-13: what a delta leaves out stands in the playlist before it, and the rest is the same.
#[test]
fn a_delta_leaves_out_what_is_long_known() {
    let frames = Frames::test_picture(9 * 30 + 6, 30);
    let fed = FedStream::new(&frames.caps, "");
    fed.stream.play();
    fed.push(&frames.buffers);
    support::wait_until("nine segments and a part", || {
        fed.stream.playlist().next_part() == (10, 1)
    });
    let mut client = fed.stream.client();
    let mut text = |path: &str| String::from_utf8(client.body(path)).unwrap();
    let whole = text("/live.m3u8");
    assert!(whole.contains("CAN-SKIP-UNTIL=6.0,"), "{whole}");
    // More than six target durations from the end.
    let skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n";
    let third = "segment_00003.m4s\n";
    let from = whole.find("#EXT-X-MAP").unwrap();
    let to = whole.find(third).unwrap() + third.len();
    for query in ["", "&_HLS_msn=3", "&_HLS_msn=10&_HLS_part=0"] {
        let delta = text(&format!("/live.m3u8?_HLS_skip=YES{query}"));
        assert!(delta.contains(skip), "{query}: {delta}");
        let expanded = delta
            .replace("#EXT-X-VERSION:9\n", "#EXT-X-VERSION:6\n")
            .replace(skip, &whole[from..to]);
        assert_eq!(expanded, whole, "{query}");
    }
}
