//! Playlists of several renditions: what each says of the others.

use super::*;

#[test]
fn video_with_audio_beside_it() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(1);
    presentation.part(AUDIO);
    assert_eq!(
        text_of(&presentation, VIDEO),
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
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00005.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=0
"
    );
}

#[test]
fn audio_with_two_videos_beside_it() {
    let mut presentation =
        Presentation::new(vec![video("video"), audio("audio"), video("video_1")]).with_segments(1);
    presentation.part(VIDEO);
    presentation.part(VIDEO);
    assert_eq!(
        text_of(&presentation, AUDIO),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.192
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/audio_init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/audio_part_00000.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00001.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00002.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00003.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00004.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00005.m4s\",DURATION=0.04267,INDEPENDENT=YES
#EXTINF:1.00267,
run/audio_segment_00001.m4s
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/audio_part_00006.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=2,LAST-PART=1
#EXT-X-RENDITION-REPORT:URI=\"live_video_1.m3u8\",LAST-MSN=1,LAST-PART=4
"
    );
}

#[test]
fn an_audio_that_fell_silent_beside_a_video() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(1);
    presentation.segment(VIDEO);
    presentation.gap(AUDIO, Nanos::from_millis(300));
    assert_eq!(
        text_of(&presentation, AUDIO),
        "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.192
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/audio_init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/audio_part_00000.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00001.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00002.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00003.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00004.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00005.m4s\",DURATION=0.04267,INDEPENDENT=YES
#EXTINF:1.00267,
run/audio_segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.003Z
#EXT-X-PART:URI=\"run/audio_part_00006.m4s\",DURATION=0.192,GAP=YES
#EXT-X-PART:URI=\"run/audio_part_00007.m4s\",DURATION=0.108,GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/audio_part_00008.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=2,LAST-PART=4
"
    );
    let video = text_of(&presentation, VIDEO);
    let report = "#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=1\n";
    assert!(video.ends_with(report), "{video}");
}

#[test]
fn a_rendition_that_joins_begins_where_the_others_are() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.publish(Publication::Absent(AUDIO));
    presentation.segment(VIDEO);
    let before = text_of(&presentation, VIDEO);
    assert!(!before.contains("RENDITION-REPORT"), "{before}");
    presentation.track(VIDEO).discontinuity();
    for _ in 0..6 {
        presentation.segment(VIDEO);
    }
    presentation.publish(Publication::Start(AUDIO, Msn(6)));
    presentation.segment(AUDIO);
    let text = text_of(&presentation, AUDIO);
    assert!(
        text.contains("#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-MAP"),
        "{text}"
    );
    let video = text_of(&presentation, VIDEO);
    assert!(
        video.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=7,LAST-PART=5\n"),
        "{video}"
    );
}

#[test]
fn an_ended_rendition_reports_nothing_and_is_reported() {
    let mut presentation = Presentation::of_video_and_audio().with_segments(2);
    presentation.publish(Publication::EndOfRendition(AUDIO));
    presentation.part(VIDEO);
    let audio = text_of(&presentation, AUDIO);
    assert!(
        audio.ends_with("run/audio_segment_00002.m4s\n#EXT-X-ENDLIST\n"),
        "{audio}"
    );
    let video = text_of(&presentation, VIDEO);
    assert!(
        video.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=5\n"),
        "{video}"
    );
}

#[test]
fn a_report_names_no_part_where_none_is_listed() {
    let mut presentation = Presentation::of_video_and_audio();
    presentation.track(AUDIO).constants.first_segment_has_parts = false;
    let mut presentation = presentation.with_segments(1);
    let text = text_of(&presentation, VIDEO);
    assert!(
        text.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=1\n"),
        "{text}"
    );
    presentation.part(AUDIO);
    let text = text_of(&presentation, VIDEO);
    assert!(text.ends_with("LAST-MSN=2,LAST-PART=0\n"), "{text}");
}

#[test]
fn reports_stay_relative_under_a_public_url() {
    let presentation = Presentation::of_video_and_audio().with_segments(1);
    let routes = Routes::new("a b.m3u8".to_owned(), run(), &presentation.renditions);
    let style = PlaylistStyle {
        base: BaseUrl::new("https://cdn.example/"),
        ..STYLE
    };
    let bytes = render(&presentation.origin, AUDIO, &routes, &style).unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(
        text.contains("#EXT-X-MAP:URI=\"https://cdn.example/run/audio_init.mp4\""),
        "{text}"
    );
    assert!(
        text.contains("#EXT-X-RENDITION-REPORT:URI=\"a%20b_video.m3u8\""),
        "{text}"
    );
}
