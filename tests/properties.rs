//! The properties, as `gst-inspect-1.0` shows them.

mod support;

use gst::{glib, prelude::*};

/// Name, default as text, and whether it can be written.
const PROPERTIES: [(&str, &str, bool); 34] = [
    ("host", "0.0.0.0", true),
    ("port", "8080", true),
    ("tls-port", "0", true),
    ("tls-certificate", "", true),
    ("tls-private-key", "", true),
    ("current-tls-port", "0", false),
    ("tls-uri", "", false),
    ("tls-fingerprint", "", false),
    ("current-port", "0", false),
    ("uri", "", false),
    ("playlist-name", "live.m3u8", true),
    ("segment-duration", "1000", true),
    ("part-duration", "200", true),
    ("part-hold-back", "3", true),
    ("start-offset", "0.0", true),
    ("playlist-length", "6", true),
    ("max-files", "20", true),
    ("send-keyframe-requests", "TRUE", true),
    ("sync", "FALSE", true),
    ("track-timeout", "3000", true),
    ("public-url", "", true),
    ("cors-origin", "*", true),
    ("allowed-hosts", "", true),
    ("carry-query", "", true),
    ("mode", "buffer-flow", true),
    ("location", "", true),
    ("poll-interval", "100", true),
    ("max-connections", "0", true),
    ("max-connections-per-address", "0", true),
    ("max-parked", "0", true),
    ("post-part-messages", "FALSE", true),
    ("on-restart", "new-presentation", true),
    ("pdt-source", "", false),
    ("stats", "", false),
];

fn own_properties(sink: &gst::Element) -> Vec<glib::ParamSpec> {
    sink.list_properties()
        .iter()
        .filter(|property| property.owner_type() == sink.type_())
        .cloned()
        .collect()
}

#[test]
fn every_property_has_its_default_and_says_when_it_is_read() {
    support::init();
    let sink = gst::ElementFactory::make("llhlssink").build().unwrap();
    let found = own_properties(&sink);
    let mut names: Vec<&str> = found.iter().map(|property| property.name()).collect();
    let mut expected: Vec<&str> = PROPERTIES.iter().map(|(name, ..)| *name).collect();
    expected.push("access-token");
    if cfg!(feature = "tiny-http") {
        expected.push("http-engine");
    }
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let token = sink.find_property("access-token").unwrap();
    assert_eq!(
        token.flags() & glib::ParamFlags::READWRITE,
        glib::ParamFlags::WRITABLE
    );
    for (name, default, is_writable) in PROPERTIES {
        let property = sink.find_property(name).unwrap();
        let flags = property.flags();
        assert!(flags.contains(glib::ParamFlags::READABLE), "{name}");
        assert_eq!(
            flags.contains(glib::ParamFlags::WRITABLE),
            is_writable,
            "{name}"
        );
        let blurb = property.blurb().expect("a blurb");
        if is_writable {
            let value = sink.property_value(name);
            let text: Option<String> = match glib::EnumValue::from_value(&value) {
                Some((_, chosen)) => Some(chosen.nick().to_owned()),
                None => value.transform::<String>().unwrap().get().unwrap(),
            };
            let text = text.unwrap_or_default();
            let text = text.trim_end_matches('0').trim_end_matches('.');
            let default_text = default.trim_end_matches('0').trim_end_matches('.');
            assert_eq!(text, default_text, "{name}");
            let is_told = blurb.contains("read when leaving") || name == "post-part-messages";
            assert!(is_told, "{name}: {blurb}");
        }
        if name.ends_with("-duration") {
            assert!(blurb.contains("milliseconds"), "{name}: {blurb}");
        }
    }
}

#[test]
fn what_is_set_is_what_is_read() {
    support::init();
    let sink = gst::ElementFactory::make("llhlssink")
        .property("host", "127.0.0.1")
        .property("part-hold-back", 2.5)
        .property("max-connections", 7_u32)
        .property_from_str("segment-duration", "2000")
        .build()
        .unwrap();
    assert_eq!(sink.property::<String>("host"), "127.0.0.1");
    assert_eq!(sink.property::<f64>("part-hold-back"), 2.5);
    assert_eq!(sink.property::<u32>("max-connections"), 7);
    assert_eq!(sink.property::<u32>("segment-duration"), 2000);
}

/// What the durations say comes out.
#[test]
fn durations_and_hold_back_are_obeyed() {
    let mut stream = support::stream::Stream::new(
        "videotestsrc num-buffers=150 ! video/x-raw,width=160,height=120,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast ! h264parse",
        "segment-duration=2000 part-duration=400 part-hold-back=2.5 start-offset=1.5",
    );
    let run = support::check::play_and_check(&mut stream);
    assert_eq!(run.playlist.target_duration, 2);
    assert_eq!(run.playlist.part_target, 400_000_000);
    assert_eq!(run.playlist.part_hold_back, 1_000_000_000);
    assert_eq!(run.playlist.start_offset, Some(600_000_000));
    assert_eq!(run.segment_seconds(), [2.0; 3]);
}
