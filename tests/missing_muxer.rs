//! Without mp4mux the element says so. In a process of its own: the factory is taken out of the registry.

mod support;

use gst::prelude::*;
use support::stream::Stream;

#[test]
fn a_missing_muxer_is_named_in_a_message_and_an_error() {
    support::init();
    let registry = gst::Registry::get();
    let muxer = registry.lookup_feature("mp4mux").unwrap();
    registry.remove_feature(&muxer);

    // Made and inspected without it.
    let element = gst::ElementFactory::make("llhlssink").build().unwrap();
    assert!(element.property::<Option<String>>("uri").is_none());

    let mut stream = Stream::new("videotestsrc ! x264enc ! h264parse", "");
    assert!(stream.pipeline.set_state(gst::State::Playing).is_err());
    let text = stream.wait_for_error();
    assert!(text.contains("mp4mux"), "{text}");
    assert!(text.contains("gst-plugins-good"), "{text}");
    let missing = stream
        .messages
        .iter()
        .filter_map(|message| message.structure())
        .find(|structure| structure.name() == "missing-plugin")
        .expect("a missing-plugin message");
    assert_eq!(missing.get::<&str>("type"), Ok("element"));
    assert_eq!(missing.get::<&str>("detail"), Ok("mp4mux"));
    assert_eq!(stream.sink.property::<u32>("current-port"), 0);

    registry.add_feature(&muxer).unwrap();
    stream.stop();
    stream.play();
    assert_ne!(stream.port(), 0);
}
