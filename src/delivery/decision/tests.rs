use super::*;
use crate::delivery::Routes;
use crate::origin::fixture::{
    AUDIO, CONSTANTS, Presentation, SETTINGS, Stream, VIDEO, init, part_bytes, renditions, run,
    ticks,
};
use crate::origin::media::Publication;
use crate::origin::rendition::Renditions;

fn ask(stream: &Stream, path: &str, waited: Nanos) -> Decision {
    ask_of(&stream.origin, &renditions(), path, waited)
}

fn ask_of(origin: &Origin, renditions: &Renditions, path: &str, waited: Nanos) -> Decision {
    let routes = Routes::new("live.m3u8".to_owned(), run(), renditions);
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    match Request::parse("GET", path, query, &routes) {
        Ok(request) => decide(&request, origin, waited),
        Err(refusal) => Decision::Refuse(refusal),
    }
}

/// The decision in one word: what it holds, or `wait` with its limit in milliseconds, or the status.
fn word(decision: &Decision) -> String {
    match decision {
        Decision::Reply(Reply {
            content: Content::Media(chunks),
            ..
        }) => String::from_utf8(chunks.concat()).unwrap(),
        Decision::Reply(reply) => match &reply.content {
            Content::Playlist(RenditionId::MAIN) => "playlist".to_owned(),
            Content::Playlist(id) => format!("playlist {}", id.0),
            Content::Delta(id) => format!("delta {}", id.0),
            other => format!("{other:?}").to_lowercase(),
        },
        Decision::Wait { at_most } => format!("wait {}", at_most.0 / 1_000_000),
        Decision::Refuse(refusal) => refusal.status.to_string(),
    }
}

fn check(stream: &Stream, table: &[(&str, &str)]) {
    for (path, expected) in table {
        assert_eq!(word(&ask(stream, path, Nanos(0))), *expected, "{path}");
    }
}

fn check_all(presentation: &Presentation, table: &[(&str, &str)]) {
    for (path, expected) in table {
        let decision = ask_of(
            &presentation.origin,
            &presentation.renditions,
            path,
            Nanos(0),
        );
        assert_eq!(word(&decision), *expected, "{path}");
    }
}

#[test]
fn nobody_sees_a_playlist_before_the_presentation_is_live() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.segment(VIDEO);
    presentation.part(AUDIO);
    check_all(
        &presentation,
        &[
            ("/live.m3u8", "wait 10000"),
            ("/live.m3u8?_HLS_msn=x", "wait 10000"),
            ("/live_video.m3u8", "wait 10000"),
            ("/live_video.m3u8?_HLS_msn=1", "wait 10000"),
            ("/live_audio.m3u8", "wait 10000"),
            ("/live_subtitles.m3u8", "404"),
            ("/run/audio_part_00000.m4s", "<part 0>"),
            // No hint of it is out.
            ("/run/audio_part_00001.m4s", "404"),
            ("/run/part_00005.m4s", "404"),
        ],
    );
    let late = ask_of(
        &presentation.origin,
        &presentation.renditions,
        "/live.m3u8",
        Nanos::from_seconds(10),
    );
    assert_eq!(word(&late), "503");

    presentation.publish(Publication::Absent(AUDIO));
    check_all(
        &presentation,
        &[
            ("/live.m3u8", "multivariant"),
            ("/live_video.m3u8", "playlist"),
            ("/live_audio.m3u8", "wait 10000"),
        ],
    );
    presentation.end_segment(AUDIO);
    check_all(&presentation, &[("/live_audio.m3u8", "playlist 1")]);

    let mut presentation = Presentation::of_video_and_audio();
    presentation.part(AUDIO);
    presentation.publish(Publication::EndOfRendition(AUDIO));
    check_all(
        &presentation,
        &[("/live.m3u8", "wait 10000"), ("/live_audio.m3u8", "404")],
    );
    presentation.publish(Publication::EndOfStream);
    check_all(
        &presentation,
        &[("/live.m3u8", "404"), ("/live_video.m3u8", "404")],
    );
}

#[test]
fn each_rendition_blocks_for_itself() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(3);
    // Video is at (3, 1), audio at (2, 5).
    presentation.part(VIDEO);
    presentation.part(VIDEO);
    check_all(
        &presentation,
        &[
            ("/live_video.m3u8?_HLS_msn=4&_HLS_part=1", "playlist"),
            ("/live_video.m3u8?_HLS_msn=4&_HLS_part=2", "wait 3000"),
            ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=0", "wait 3000"),
            ("/live_audio.m3u8?_HLS_msn=3&_HLS_part=6", "wait 3000"),
            ("/live_audio.m3u8?_HLS_msn=3", "playlist 1"),
            ("/live_audio.m3u8?_HLS_msn=6", "400"),
            // DD-08: three seconds of 0.192 s are sixteen parts.
            ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=15", "wait 3000"),
            ("/live_audio.m3u8?_HLS_msn=4&_HLS_part=16", "400"),
            ("/live_video.m3u8?_HLS_msn=4&_HLS_part=17", "400"),
            // MR-01, MR-07: each has a hint of its own.
            ("/run/part_00017.m4s", "wait 3000"),
            ("/run/part_00018.m4s", "404"),
            ("/run/audio_part_00018.m4s", "wait 3000"),
            ("/run/audio_part_00019.m4s", "404"),
            ("/run/audio_init.mp4", "<audio init>"),
        ],
    );
    // The end of one releases those who wait for it, and nobody else.
    presentation.publish(Publication::EndOfRendition(AUDIO));
    check_all(
        &presentation,
        &[
            ("/live.m3u8", "multivariant"),
            ("/live_audio.m3u8?_HLS_msn=900", "playlist 1"),
            ("/run/audio_part_00018.m4s", "404"),
            ("/live_video.m3u8?_HLS_msn=4&_HLS_part=2", "wait 3000"),
            ("/run/part_00017.m4s", "wait 3000"),
        ],
    );
}

#[test]
fn media_says_what_it_is() {
    let presentation = Presentation::of_video_and_audio().with_segments(1);
    for (path, expected) in [
        ("/live.m3u8", "application/vnd.apple.mpegurl no-cache"),
        ("/live_audio.m3u8", "application/vnd.apple.mpegurl no-cache"),
        (
            "/run/init.mp4",
            "video/mp4 public, max-age=86400, immutable",
        ),
        (
            "/run/audio_init.mp4",
            "audio/mp4 public, max-age=86400, immutable",
        ),
        (
            "/run/audio_segment_00001.m4s",
            "audio/mp4 public, max-age=60, immutable",
        ),
        (
            "/run/audio_part_00003.m4s",
            "audio/mp4 public, max-age=60, immutable",
        ),
    ] {
        let (origin, renditions) = (&presentation.origin, &presentation.renditions);
        match ask_of(origin, renditions, path, Nanos(0)) {
            Decision::Reply(reply) => {
                let found = format!("{} {}", reply.content_type, reply.caching.header());
                assert_eq!(found, expected, "{path}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn before_the_first_segment_everybody_waits_ten_seconds() {
    let mut stream = Stream::new(SETTINGS, CONSTANTS);
    stream.part();
    check(
        &stream,
        &[
            ("/live.m3u8", "wait 10000"),
            ("/live.m3u8?_HLS_msn=1&_HLS_part=0", "wait 10000"),
            ("/live.m3u8?_HLS_msn=900", "wait 10000"),
            ("/live.m3u8?wait=100&version=0", "wait 10000"),
            ("/live.m3u8?_HLS_part=0", "400"),
            ("/run/init.mp4", "<init>"),
            ("/run/part_00000.m4s", "<part 0>"),
            ("/run/part_00001.m4s", "404"),
            ("/timestamps.json", "timestamps"),
            ("/stats.json", "stats"),
            ("/", "page(index)"),
        ],
    );
    let late = ask(&stream, "/live.m3u8", Nanos::from_seconds(10));
    assert!(
        matches!(&late, Decision::Refuse(refusal) if refusal.status == 503 && refusal.retry_after == Some(1)),
        "{late:?}"
    );
    stream.end();
    check(
        &stream,
        &[("/live.m3u8", "404"), ("/run/part_00001.m4s", "404")],
    );
}

#[test]
fn blocking_reload_at_a_segment_end() {
    // Segments 0..=9 of five parts, nothing open: the edge is (9, 4).
    let stream = Stream::with_segments(10);
    check(
        &stream,
        &[
            ("/live.m3u8", "playlist"),
            // DD-03, DD-04.
            ("/live.m3u8?_HLS_msn=0", "playlist"),
            ("/live.m3u8?_HLS_msn=0&_HLS_part=0", "playlist"),
            ("/live.m3u8?_HLS_msn=1", "playlist"),
            ("/live.m3u8?_HLS_msn=1&_HLS_part=999", "playlist"),
            ("/live.m3u8?_HLS_msn=10", "playlist"),
            ("/live.m3u8?_HLS_msn=10&_HLS_part=4", "playlist"),
            // DD-06: part 5 of a segment of five is part 0 of the next.
            ("/live.m3u8?_HLS_msn=9&_HLS_part=5", "playlist"),
            ("/live.m3u8?_HLS_msn=10&_HLS_part=5", "wait 3000"),
            ("/live.m3u8?_HLS_msn=10&_HLS_part=999", "wait 3000"),
            // DD-01, DD-05.
            ("/live.m3u8?_HLS_msn=11", "wait 3000"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=0", "wait 3000"),
            ("/live.m3u8?_HLS_msn=12&_HLS_part=0", "wait 3000"),
            // DD-07.
            ("/live.m3u8?_HLS_msn=12", "wait 3000"),
            ("/live.m3u8?_HLS_msn=13", "400"),
            ("/live.m3u8?_HLS_msn=13&_HLS_part=0", "400"),
            ("/live.m3u8?_HLS_msn=18446744073709551615", "400"),
            // DD-08: three seconds of 0.2 s.
            ("/live.m3u8?_HLS_msn=11&_HLS_part=14", "wait 3000"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=15", "400"),
            // DD-11: not offered.
            ("/live.m3u8?_HLS_skip=YES", "playlist"),
        ],
    );
}

#[test]
fn blocking_reload_in_an_open_segment() {
    let mut stream = Stream::with_segments(10);
    stream.parts(2);
    check(
        &stream,
        &[
            ("/live.m3u8?_HLS_msn=10&_HLS_part=5", "playlist"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=1", "playlist"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=2", "wait 3000"),
            // DD-05: not released by a part.
            ("/live.m3u8?_HLS_msn=11", "wait 3000"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=16", "wait 3000"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=17", "400"),
            (
                "/live.m3u8?_HLS_msn=11&_HLS_part=18446744073709551615",
                "400",
            ),
        ],
    );
    // DD-06: the segment closes short, and what was its part 2 is part 0 of the next.
    stream.end_segment();
    check(
        &stream,
        &[
            ("/live.m3u8?_HLS_msn=11", "playlist"),
            ("/live.m3u8?_HLS_msn=11&_HLS_part=2", "wait 3000"),
        ],
    );
    stream.part();
    check(
        &stream,
        &[("/live.m3u8?_HLS_msn=11&_HLS_part=2", "playlist")],
    );
}

#[test]
fn far_ahead_is_three_parts_when_parts_are_long() {
    assert_eq!(advance_part_limit(&CONSTANTS), 15);
    for (length, limit) in [
        (30_000, 3),
        (90_000, 3),
        (29_999, 4),
        (10_010, 9),
        (1, 90_000),
    ] {
        let constants = Constants {
            part_target: ticks(length),
            ..CONSTANTS
        };
        assert_eq!(advance_part_limit(&constants), limit, "{length}");
    }
}

#[test]
fn only_the_hinted_part_is_held() {
    let mut stream = Stream::with_segments(40);
    stream.part();
    let hint = "/run/part_00201.m4s";
    check(
        &stream,
        &[
            ("/run/part_00200.m4s", "<part 200>"),
            (hint, "wait 3000"),
            ("/run/part_00202.m4s", "404"),
            ("/run/part_18446744073709551615.m4s", "404"),
            ("/run/part_00000.m4s", "404"),
            ("/run/segment_00041.m4s", "404"),
            ("/run/segment_00001.m4s", "404"),
            ("/run/init_1.mp4", "404"),
            (
                "/run/segment_00040.m4s",
                "<part 195><part 196><part 197><part 198><part 199>",
            ),
        ],
    );
    assert_eq!(word(&ask(&stream, hint, Nanos::from_seconds(3))), "503");
    stream.end_segment();
    check(&stream, &[(hint, "wait 3000")]);
    stream.part();
    let Decision::Reply(reply) = ask(&stream, hint, Nanos(0)) else {
        panic!("not there");
    };
    // MR-02.
    assert_eq!(reply.content, Content::Media(vec![part_bytes(201)]));
}

#[test]
fn what_is_missing_counts_as_listed_and_is_not_handed_out() {
    let mut stream = Stream::with_segments(3);
    stream.part();
    let hint = "/run/part_00016.m4s";
    let blocked = "/live.m3u8?_HLS_msn=4&_HLS_part=1";
    check(&stream, &[(hint, "wait 3000"), (blocked, "wait 3000")]);
    stream.gap(4 * 6000);
    check(
        &stream,
        &[
            (blocked, "playlist"),
            ("/live.m3u8?_HLS_msn=4&_HLS_part=4", "playlist"),
            ("/live.m3u8?_HLS_msn=4", "wait 3000"),
            ("/live.m3u8?_HLS_msn=4&_HLS_part=5", "wait 3000"),
            // What was hinted is not to come.
            (hint, "404"),
            ("/run/part_00015.m4s", "<part 15>"),
            ("/run/part_00019.m4s", "404"),
            ("/run/part_00020.m4s", "wait 3000"),
        ],
    );
    stream.end_segment();
    stream.gap(30_000);
    stream.end_segment();
    check(
        &stream,
        &[
            ("/live.m3u8?_HLS_msn=4", "playlist"),
            ("/live.m3u8?_HLS_msn=5", "playlist"),
            ("/live.m3u8?_HLS_msn=6&_HLS_part=0", "wait 3000"),
            ("/live.m3u8?_HLS_msn=8", "400"),
            (
                "/run/segment_00003.m4s",
                "<part 10><part 11><part 12><part 13><part 14>",
            ),
            // Part of it is there, but not the whole that its name means.
            ("/run/segment_00004.m4s", "404"),
            ("/run/segment_00005.m4s", "404"),
            ("/run/part_00024.m4s", "404"),
        ],
    );
    let Decision::Refuse(refusal) = ask(&stream, "/run/segment_00005.m4s", Nanos(0)) else {
        panic!("there is nothing to hand out");
    };
    assert!(refusal.reason.contains("gap"), "{}", refusal.reason);
}

#[test]
fn a_hinted_init_section_is_held_until_it_comes_is_withdrawn_or_all_is_over() {
    let hint = "/run/init_1.mp4";
    let announced = || {
        let mut stream = Stream::with_segments(3);
        check(&stream, &[(hint, "404")]);
        stream.publish(Publication::ComingInit(RenditionId::MAIN));
        check(&stream, &[(hint, "wait 3000"), ("/run/init_2.mp4", "404")]);
        stream
    };
    let stream = announced();
    assert_eq!(word(&ask(&stream, hint, Nanos::from_seconds(3))), "503");

    let mut stream = announced();
    stream.publish(init("<other>"));
    check(&stream, &[(hint, "<other>"), ("/run/init_2.mp4", "404")]);

    // The format is the old one after all: said in so many words, or by a part that needs no other.
    let mut stream = announced();
    stream.publish(init("<init>"));
    check(&stream, &[(hint, "404")]);
    let mut stream = announced();
    stream.part();
    check(&stream, &[(hint, "404")]);

    let mut stream = announced();
    stream.end();
    check(&stream, &[(hint, "404")]);
}

#[test]
fn nobody_waits_past_three_target_durations() {
    let stream = Stream::with_segments(3);
    let path = "/live.m3u8?_HLS_msn=4&_HLS_part=0";
    assert_eq!(word(&ask(&stream, path, Nanos(2_999_999_999))), "wait 3000");
    assert_eq!(word(&ask(&stream, path, Nanos(3_000_000_000))), "503");
}

#[test]
fn the_end_releases_everybody() {
    let mut stream = Stream::with_segments(3);
    stream.part();
    stream.end();
    check(
        &stream,
        &[
            ("/live.m3u8?_HLS_msn=900&_HLS_part=1", "playlist"),
            ("/live.m3u8?_HLS_msn=5", "playlist"),
            ("/live.m3u8?wait=60000&version=900", "playlist"),
            ("/live.m3u8?_HLS_part=1", "400"),
            ("/run/part_00016.m4s", "404"),
            ("/run/segment_00004.m4s", "<part 15>"),
        ],
    );
}

#[test]
fn wait_and_version() {
    let mut stream = Stream::with_segments(1);
    let path = "/live.m3u8?wait=500&version=1";
    check(
        &stream,
        &[
            (path, "wait 500"),
            ("/live.m3u8?wait=500&version=0", "playlist"),
            ("/live.m3u8?wait=500", "playlist"),
            ("/live.m3u8?wait=0&version=1", "playlist"),
            ("/live.m3u8?version=1", "playlist"),
            ("/live.m3u8?wait=999999&version=1", "wait 60000"),
            ("/live.m3u8?wait=500&version=1&_HLS_msn=1", "playlist"),
        ],
    );
    assert_eq!(
        word(&ask(&stream, path, Nanos::from_millis(500))),
        "playlist"
    );
    stream.part();
    check(&stream, &[(path, "playlist")]);
}

#[test]
fn each_playlist_has_a_version_of_its_own_and_the_entry_has_the_main_ones() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(3);
    let (video, audio) = (
        presentation.window(VIDEO).version().0,
        presentation.window(AUDIO).version().0,
    );
    let entry = format!("/live.m3u8?wait=500&version={video}");
    let video = format!("/live_video.m3u8?wait=500&version={video}");
    let audio = format!("/live_audio.m3u8?wait=500&version={audio}");
    for path in [&entry, &video, &audio] {
        check_all(&presentation, &[(path, "wait 500")]);
    }
    presentation.part(AUDIO);
    check_all(
        &presentation,
        &[
            (&entry, "wait 500"),
            (&video, "wait 500"),
            (&audio, "playlist 1"),
        ],
    );
    presentation.part(VIDEO);
    check_all(
        &presentation,
        &[(&entry, "multivariant"), (&video, "playlist")],
    );
    // Nothing more will come of it.
    presentation.publish(Publication::EndOfRendition(VIDEO));
    check_all(
        &presentation,
        &[("/live.m3u8?wait=500&version=9999", "multivariant")],
    );
}

#[test]
fn what_may_be_cached() {
    // The least for media is a minute.
    for (target_duration, playlist, media) in [(1, 6, 60), (10, 60, 60), (12, 72, 72)] {
        let constants = Constants {
            target_duration,
            ..CONSTANTS
        };
        let mut stream = Stream::new(SETTINGS, constants);
        for _ in 0..3 {
            stream.segment(u64::from(target_duration) * 5);
        }
        let caching = |path| match ask(&stream, path, Nanos(0)) {
            Decision::Reply(reply) => reply.caching.header(),
            other => panic!("{path}: {other:?}"),
        };
        let playlist = format!("public, max-age=0, s-maxage={playlist}");
        let media = format!("public, max-age={media}, immutable");
        for (path, expected) in [
            ("/live.m3u8", "no-cache"),
            ("/live.m3u8?_HLS_msn=3", playlist.as_str()),
            ("/run/part_00001.m4s", media.as_str()),
            ("/run/segment_00002.m4s", media.as_str()),
            ("/run/init.mp4", "public, max-age=86400, immutable"),
            ("/timestamps.json", "no-store"),
            ("/stats.json", "no-store"),
            ("/", "no-cache"),
        ] {
            assert_eq!(caching(path), expected, "{target_duration}: {path}");
        }
    }
}
