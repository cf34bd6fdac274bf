use super::*;
use crate::delivery::{Content, Decision, Request, decide, multivariant};
use crate::origin::fixture::{
    AUDIO, CONSTANTS, PART, Presentation, SETTINGS, START, Stream, VIDEO, audio, init, renditions,
    run, ticks, video, video_init,
};
use crate::origin::media::{Msn, Publication};
use crate::time::Nanos;
use proptest::prelude::*;

mod answerable;
mod renditions;

const STYLE: PlaylistStyle = PlaylistStyle::USUAL;

fn routes() -> Routes {
    Routes::new("live.m3u8".to_owned(), run(), &renditions())
}

fn text_of(presentation: &Presentation, id: RenditionId) -> String {
    let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
    let bytes = render(&presentation.origin, id, &routes, &STYLE).expect("there is a playlist");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    read_back(&text);
    text
}

fn text(stream: &Stream, style: &PlaylistStyle) -> String {
    let bytes =
        render(&stream.origin, RenditionId::MAIN, &routes(), style).expect("there is a playlist");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    read_back(&text);
    text
}

/// Reads a playlist with two readers that are not ours.
fn read_back(text: &str) {
    let (rest, playlist) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    let uris = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(playlist.segments.len(), uris, "{text}");

    let options = quick_m3u8::config::ParsingOptions::default();
    let mut reader = quick_m3u8::Reader::from_str(text, options);
    let mut parts = 0;
    while let Some(line) = reader.read_line().unwrap() {
        if let HlsLine::KnownTag(quick_m3u8::tag::KnownTag::Hls(quick_m3u8::tag::hls::Tag::Part(
            _,
        ))) = line
        {
            parts += 1;
        }
        assert!(!matches!(line, HlsLine::UnknownTag(_)), "{line:?}");
    }
    assert_eq!(parts, text.matches("#EXT-X-PART:").count());
}

#[test]
fn there_is_none_before_the_first_segment_is_complete() {
    let mut stream = Stream::new(SETTINGS, CONSTANTS);
    stream.parts(4);
    let text = render(&stream.origin, RenditionId::MAIN, &routes(), &STYLE);
    assert_eq!(text, None);
}

#[test]
fn at_the_start() {
    let mut stream = Stream::new(SETTINGS, CONSTANTS);
    stream.parts(2);
    stream.part_of(3000);
    stream.end_segment();
    stream.part();
    assert_eq!(
        text(&stream, &STYLE),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.1
#EXTINF:0.50000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.500Z
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00004.m4s\"
"
    );
}

#[test]
fn live_with_a_full_window() {
    let mut stream = Stream::with_segments(20);
    stream.part();
    assert_eq!(
        text(&stream, &STYLE),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:17
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:16.000Z
#EXTINF:1.00000,
run/segment_00017.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:17.000Z
#EXTINF:1.00000,
run/segment_00018.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:18.000Z
#EXT-X-PART:URI=\"run/part_00090.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00091.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00092.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00093.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00094.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00019.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:19.000Z
#EXT-X-PART:URI=\"run/part_00095.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00096.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00097.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00098.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00099.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00020.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:20.000Z
#EXT-X-PART:URI=\"run/part_00100.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00101.m4s\"
"
    );
}

#[test]
fn a_discontinuity_with_a_new_format() {
    let mut stream = Stream::with_segments(1);
    stream.position = stream.position + Nanos::from_seconds(7);
    stream.publish(init("<other>"));
    stream.parts(1);
    assert_eq!(
        text(&stream, &STYLE),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00004.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"run/init_1.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:08.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00006.m4s\"
"
    );
}

#[test]
fn a_hole_keeps_its_place() {
    let mut stream = Stream::with_segments(1);
    stream.parts(2);
    stream.gap(3 * PART);
    stream.end_segment();
    stream.gap(2 * PART + 1000);
    assert_eq!(
        text(&stream, &STYLE),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00004.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00006.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00007.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00008.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00009.m4s\",DURATION=0.2,GAP=YES
#EXT-X-GAP
#EXTINF:1.00000,
run/segment_00002.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:02.000Z
#EXT-X-PART:URI=\"run/part_00010.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00011.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00012.m4s\",DURATION=0.03333,GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00013.m4s\"
"
    );
    // When the parts of the older one are not listed any more.
    stream.end_segment();
    stream.segment(5);
    stream.segment(5);
    let later = text(&stream, &STYLE);
    let older = "\
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-GAP
#EXTINF:1.00000,
run/segment_00002.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:02.000Z
#EXT-X-PART:URI=\"run/part_00010.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00011.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00012.m4s\",DURATION=0.03333,GAP=YES
#EXT-X-GAP
#EXTINF:0.43333,
run/segment_00003.m4s
";
    assert!(later.contains(older), "{later}");
}

#[test]
fn the_next_init_section_is_hinted_while_the_next_part_needs_it() {
    const MAP_HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"run/init_1.mp4\"\n";
    const PART_HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00005.m4s\"\n";
    let mut stream = Stream::with_segments(1);
    let plain = text(&stream, &STYLE);
    assert!(
        plain.ends_with(&format!("segment_00001.m4s\n{PART_HINT}")),
        "{plain}"
    );
    stream.publish(Publication::ComingInit(RenditionId::MAIN));
    let announced = text(&stream, &STYLE);
    assert!(
        announced.ends_with(&format!("segment_00001.m4s\n{MAP_HINT}{PART_HINT}")),
        "nothing else is told of it: {announced}"
    );
    assert_eq!(announced.replace(MAP_HINT, ""), plain);
    // It is there, and so is the need for it.
    stream.publish(init("<other>"));
    assert_eq!(text(&stream, &STYLE), announced);
    stream.part();
    let done = text(&stream, &STYLE);
    assert!(!done.contains("TYPE=MAP"), "{done}");
    assert!(done.contains("#EXT-X-MAP:URI=\"run/init_1.mp4\""), "{done}");
}

#[test]
fn after_a_discontinuity_left() {
    let mut stream = Stream::with_segments(1);
    stream.discontinuity();
    for _ in 0..9 {
        stream.segment(5);
    }
    let text = text(&stream, &STYLE);
    assert!(
        text.contains("#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"),
        "{text}"
    );
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
}

#[test]
fn ended() {
    let mut stream = Stream::with_segments(1);
    stream.part();
    stream.end();
    let text = text(&stream, &STYLE);
    let tail = "\
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXTINF:0.20000,
run/segment_00002.m4s
#EXT-X-ENDLIST
";
    assert!(text.ends_with(tail), "{text}");
    assert!(!text.contains("PRELOAD-HINT"), "{text}");
}

#[test]
fn parts_of_the_first_segment_may_have_to_be_left_out() {
    let mut stream = Stream::new(
        SETTINGS,
        Constants {
            first_segment_has_parts: false,
            ..CONSTANTS
        },
    );
    stream.segment(5);
    stream.part();
    let text = text(&stream, &STYLE);
    let tail = "\
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00006.m4s\"
";
    assert!(text.ends_with(tail), "{text}");
}

#[test]
fn a_public_url_goes_before_every_uri() {
    let mut stream = Stream::with_segments(1);
    stream.part();
    let style = PlaylistStyle {
        base: BaseUrl::new("https://cdn.example/a"),
        ..STYLE
    };
    let (absolute, relative) = (text(&stream, &style), text(&stream, &STYLE));
    assert_eq!(absolute.matches("https://cdn.example/a/run/").count(), 9);
    assert_eq!(absolute.replace("https://cdn.example/a/", ""), relative);
}

#[test]
fn a_base_is_a_plain_url() {
    for (url, expected) in [
        ("http://h", Some("http://h/")),
        ("https://h:8443/x/", Some("https://h:8443/x/")),
        ("http://", None),
        ("http:///x", None),
        ("ftp://h", None),
        ("h/x", None),
        ("", None),
        ("http://h/\"", None),
        ("http://h/a b", None),
        ("http://h/\n#EXT", None),
        ("http://h/?a=b", None),
        ("http://h/#a", None),
    ] {
        let base = BaseUrl::new(url);
        assert_eq!(base.as_ref().map(BaseUrl::as_str), expected, "{url}");
    }
}

#[test]
fn no_part_is_longer_than_the_target_on_the_printed_digits() {
    // 29.97 and 59.94 frames a second, and AAC at 48 and 44.1 kHz.
    for (timescale, frame) in [
        (30_000, 1001),
        (60_000, 1001),
        (48_000, 1024),
        (44_100, 1024),
    ] {
        let timescale = crate::time::Timescale::new(timescale).unwrap();
        for frames in 1..60 {
            let part_target = MediaTime {
                ticks: frames * frame,
                timescale,
            };
            let target = part_target_units(part_target);
            let part = part_target.to_units_nearest(UNITS_PER_SECOND);
            assert!(part <= target && target <= part + 1, "{part_target:?}");
        }
    }
    // A part the sink should not have made.
    let mut stream = Stream::with_segments(1);
    stream.part_of(PART + 1000);
    assert!(text(&stream, &STYLE).contains("part_00005.m4s\",DURATION=0.2,"));
}

#[test]
fn where_to_begin_is_said_when_it_is_wanted() {
    let stream = Stream::with_segments(3);
    let text = |start_offset, comes_by_segment| {
        let style = PlaylistStyle {
            start_offset,
            comes_by_segment,
            ..STYLE
        };
        text(&stream, &style)
    };
    let tag = |text: String| {
        let line = text.lines().find(|line| line.starts_with("#EXT-X-START"))?;
        Some(line.to_owned())
    };
    for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(tag(text(nothing, false)), None, "{nothing}");
    }
    for (offset, expected) in [(1.0, "-0.2"), (1.5, "-0.3"), (3.33333, "-0.66667")] {
        let expected = format!("#EXT-X-START:TIME-OFFSET={expected},PRECISE=YES");
        assert_eq!(tag(text(offset, false)), Some(expected));
    }
    // Of segments where parts come with them.
    let expected = "#EXT-X-START:TIME-OFFSET=-2,PRECISE=YES";
    assert_eq!(tag(text(2.0, true)).as_deref(), Some(expected));
}

#[test]
fn hold_back_is_rounded_up_and_never_under_two_targets() {
    for (factor, expected) in [
        (3.0, 0.6),
        (3.1, 0.62),
        (3.33333, 0.66667),
        (2.0, 0.4),
        (1.0, 0.4),
        (-1.0, 0.4),
        (f64::NAN, 0.4),
        (f64::INFINITY, 0.4),
    ] {
        assert_eq!(part_hold_back(20_000, 20_000, factor), expected, "{factor}");
    }
    // Shorter parts than others have, and longer ones that came late.
    assert_eq!(part_hold_back(19_200, 20_000, 3.0), 0.6);
    assert_eq!(part_hold_back(25_000, 20_000, 3.0), 0.6);
    assert_eq!(part_hold_back(40_000, 20_000, 3.0), 0.8);
}

#[test]
fn durations_have_five_decimals() {
    for (length, expected) in [
        (30_000, "1.00000"),
        (1001, "0.03337"),
        (30_030, "1.00100"),
        (300_000_001, "10000.00003"),
    ] {
        assert_eq!(extinf(ticks(length)), expected);
    }
}

#[test]
fn dates() {
    for (nanos, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1_000_000, "1969-12-31T23:59:59.999Z"),
        (499_999, "1970-01-01T00:00:00.000Z"),
        (500_000, "1970-01-01T00:00:00.001Z"),
        (951_782_399_999_000_000, "2000-02-28T23:59:59.999Z"),
        (951_782_399_999_500_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000_000_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000Z"),
        (1_735_689_600_000_000_000, "2025-01-01T00:00:00.000Z"),
        (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
        (START.0, "2026-08-01T12:00:00.000Z"),
    ] {
        assert_eq!(date_time(UnixTime(nanos)).to_string(), expected);
    }
}
