//! An ordinary cache before the element makes five hundred viewers one.

mod support;

#[allow(dead_code, reason = "the bench asks for more")]
#[path = "../examples/audience/crowd/mod.rs"]
mod crowd;

use std::{net::SocketAddr, time::Duration};

use crowd::{Crowd, Place, Takes};
use support::{cache::Cache, stream::Stream};

const VIEWERS: usize = 500;

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
    let requests = || -> u64 { stream.stats().get("requests").unwrap() };
    let before = requests();

    let report = Crowd {
        viewers: VIEWERS,
        place: Place {
            address: SocketAddr::from(([127, 0, 0, 1], cache.port)),
        },
        entry: "/live.m3u8".to_owned(),
        takes: Takes::HintedParts,
        span: Duration::from_secs(10),
        origin: None,
        server: None,
    }
    .watch()
    .unwrap();
    let at_origin = requests() - before;

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
}
