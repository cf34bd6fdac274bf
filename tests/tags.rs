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
    let mut stream = Stream::of_branches(&branches.join(" "), "");
    let pad = stream.sink.static_pad("audio_0").unwrap();
    pad.set_property("language", "fr");
    pad.set_property("label", "Son");
    tracks::play_and_check(&mut stream);
    let answer = stream.client().get("/live.m3u8");
    let (_, all) = m3u8_rs::parse_master_playlist(&answer.body).unwrap();
    let told: Vec<(&str, Option<&str>)> = all
        .alternatives
        .iter()
        .map(|media| (media.name.as_str(), media.language.as_deref()))
        .collect();
    let expected = [
        ("Ton", Some("de")),
        ("Son", Some("fr")),
        ("Ton (audio_1)", None),
    ];
    assert_eq!(told, expected, "{}", answer.text());
}
