//! What players show of a rendition comes from the pad's properties, or else from the tags of the stream.

mod support;

use gst::prelude::*;
use support::{
    pair::{aac, video},
    stream::Stream,
    tracks,
};

#[test]
fn language_and_name_are_those_of_the_pad_or_else_of_the_tags() {
    let tagged = |tags: &str| format!("{} ! taginject tags=\"{tags}\" ! sink.", aac(2));
    let branches = [
        format!("{} ! sink.", video(2)),
        // Three letters of ISO 639-2, where RFC 5646 has two.
        tagged("language-code=(string)ger,title=(string)Ton"),
        tagged("language-code=(string)en,title=(string)Sound"),
        // What says nothing, and what a label may not be.
        tagged("language-code=(string)und,title=(string)Ton"),
    ];
    let place = tempfile::tempdir().unwrap();
    let recorded = format!("location={}", place.path().display());
    let mut stream = Stream::of_branches(&branches.join(" "), &recorded);
    let pad = stream.sink.static_pad("audio_0").unwrap();
    pad.set_property("language", "fr");
    pad.set_property("label", "Son");
    pad.set_property("default", true);
    tracks::play_and_check(&mut stream);
    let answer = stream.client().get("/live.m3u8");
    stream.stop();
    // The recording says the same.
    let beside_files = std::fs::read(place.path().join("live.m3u8")).unwrap();
    for playlist in [&answer.body[..], &beside_files] {
        let (_, all) = m3u8_rs::parse_master_playlist(playlist).unwrap();
        let told: Vec<(&str, Option<&str>, bool, bool)> = all
            .alternatives
            .iter()
            .map(|media| {
                let language = media.language.as_deref();
                (
                    media.name.as_str(),
                    language,
                    media.default,
                    media.autoselect,
                )
            })
            .collect();
        let expected = [
            ("Ton", Some("de"), false, true),
            ("Son", Some("fr"), true, true),
            ("Ton (audio_1)", None, false, false),
        ];
        assert_eq!(told, expected, "{}", String::from_utf8_lossy(playlist));
    }
}
