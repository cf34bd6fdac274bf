//! Real pictures with their own irregular key frames, as they are and encoded again.

mod support;

use support::{
    check::{Allowed, Run, follow_and_check, play_and_check, play_and_check_but},
    footage::clip,
    stream::Stream,
};

const CLIPS: [&str; 3] = ["bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"];

fn remuxed(name: &str, properties: &str) -> Stream {
    Stream::new(
        &format!("filesrc location=\"{}\" ! qtdemux ! h264parse", clip(name)),
        properties,
    )
}

fn check(stream: &mut Stream) -> Run {
    let run = play_and_check_but(
        stream,
        Allowed {
            // Their GOPs were made for files: a later one may be longer than the first.
            segments_without_sync: true,
            ..Allowed::NOTHING
        },
    );
    assert!(run.segments[0][0].samples[0].is_sync);
    run
}

#[test]
fn clips_are_remuxed() {
    for name in CLIPS {
        let mut stream = remuxed(name, "");
        let run = check(&mut stream);
        let seconds: f64 = run.segment_seconds().iter().sum();
        assert!(seconds > 3.0, "{name}: {seconds}");
    }
}

/// Paced by the clock, inside the element: half a second of it is enough to see.
#[test]
fn a_clip_is_paced_by_the_clock() {
    let mut stream = remuxed("bigbuckbunny.mp4", "sync=true");
    let (run, elapsed) = support::timed(|| check(&mut stream));
    let seconds: f64 = run.segment_seconds().iter().sum();
    // The last frame is let in at its time, and it lasts a frame.
    assert!(
        elapsed.as_secs_f64() > seconds - 0.5,
        "{seconds} s of pictures in {elapsed:?}"
    );
}

#[test]
fn clips_are_encoded_again() {
    for name in CLIPS {
        let mut stream = Stream::new(
            &format!(
                "filesrc location=\"{}\" ! qtdemux ! h264parse ! avdec_h264 ! videoconvert ! videoscale \
                 ! video/x-raw,width=320,height=180 ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
                clip(name)
            ),
            "",
        );
        let run = play_and_check(&mut stream);
        // Key frames were asked for: a segment a second, whatever the clip had.
        for seconds in &run.segment_seconds()[..run.segments.len() - 1] {
            assert!((0.9..1.1).contains(seconds), "{name}: {seconds}");
        }
    }
}

/// Without requests the clip's own key frames decide.
#[test]
fn a_clip_without_requests_is_legal_too() {
    let mut stream = remuxed("bikes.mp4", "send-keyframe-requests=false");
    stream.play();
    follow_and_check(
        &mut stream,
        Allowed {
            segments_without_sync: true,
            ..Allowed::NOTHING
        },
    );
}
