//! `/timestamps.json`: when each segment and part came to be, for tools that measure delay.
//!
//! Belongs here: the JSON, whose keys existing tools know. Does not: taking the times (`http/` reads the clock).

use serde_json::{Map, Value, json};

use super::request::Routes;
use crate::origin::Origin;
use crate::origin::name::MediaName;
use crate::time::UnixTime;

/// Renders the document but for its end, which [`end`] has. All times are Unix time in nanoseconds.
///
/// It covers the newest `max_files` segments of each rendition; what the file lists can also be fetched. File names tell
/// renditions apart. `version` is that of the main one's playlist, and `versions` has it of each playlist by its file name.
pub fn begin(origin: &Origin, routes: &Routes, max_files: usize) -> String {
    let mut segments = Map::new();
    let mut parts = Map::new();
    let mut captured = Map::new();
    let mut versions = Map::new();
    for (id, rendition) in origin.renditions() {
        let window = rendition.window();
        versions.insert(routes.playlist_uri(id), Value::from(window.version().0));
        let kept = window.kept();
        let skipped = kept.len().saturating_sub(max_files);
        for segment in kept.skip(skipped).chain(window.open()) {
            if let Some(completed) = segment.completed
                && !segment.is_gap()
            {
                let name = window.names().write(MediaName::Segment(segment.msn));
                captured.insert(name.clone(), Value::from(segment.captured().0));
                segments.insert(name, Value::from(completed.0));
            }
            for part in segment.parts.iter().filter(|part| !part.is_gap) {
                let name = window.names().write(MediaName::Part(part.number));
                captured.insert(name.clone(), Value::from(part.captured.0));
                parts.insert(name, Value::from(part.published.0));
            }
        }
    }
    let mut document = json!({
        "segments": segments,
        "parts": parts,
        "version": origin.main().window().version().0,
        "versions": versions,
        "captured": captured,
    })
    .to_string();
    // The brace at its end.
    document.pop();
    document
}

/// What differs with each answer: `now` is its `timestamp`.
pub fn end(now: UnixTime) -> String {
    format!(",\"timestamp\":{}}}", now.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::fixture::{
        AUDIO, CONSTANTS, Presentation, SETTINGS, START, Stream, VIDEO, run,
    };
    use crate::origin::rendition::Renditions;
    use crate::time::Nanos;

    fn rendered(origin: &Origin, max_files: usize, now: UnixTime) -> String {
        let settings = origin
            .renditions()
            .map(|(_, rendition)| rendition.settings().clone());
        let renditions = Renditions::new(settings.collect()).unwrap();
        let routes = Routes::new("live.m3u8".to_owned(), run(), &renditions);
        begin(origin, &routes, max_files) + &end(now)
    }

    #[test]
    fn names_and_unix_nanoseconds() {
        let mut stream = Stream::new(SETTINGS, CONSTANTS);
        stream.segment(2);
        stream.part();
        let at = |millis| (START + Nanos::from_millis(millis)).0;
        let text = rendered(&stream.origin, 5, START + Nanos::from_seconds(9));
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({
                "segments": { "segment_00001.m4s": at(400) },
                "parts": {
                    "part_00000.m4s": at(200),
                    "part_00001.m4s": at(400),
                    "part_00002.m4s": at(600),
                },
                "captured": {
                    "segment_00001.m4s": at(0),
                    "part_00000.m4s": at(0),
                    "part_00001.m4s": at(200),
                    "part_00002.m4s": at(400),
                },
                "timestamp": at(9000),
                "version": 2,
                "versions": { "live.m3u8": 2 },
            })
        );
    }

    #[test]
    fn file_names_tell_renditions_apart() {
        let presentation = Presentation::of_video_and_audio().with_segments(2);
        let text = rendered(&presentation.origin, 1, START);
        let document: Value = serde_json::from_str(&text).unwrap();
        let names = |key: &str| -> Vec<String> {
            let names = document[key].as_object().unwrap().keys();
            names.cloned().collect()
        };
        assert_eq!(
            names("segments"),
            ["audio_segment_00002.m4s", "segment_00002.m4s"]
        );
        assert_eq!(names("parts").len(), 5 + 6);
        assert!(document["captured"]["audio_part_00011.m4s"].is_i64());
        let version = presentation.window(VIDEO).version();
        assert_eq!(document["version"], version.0);
        assert_eq!(
            document["versions"],
            json!({
                "live_video.m3u8": version.0,
                "live_audio.m3u8": presentation.window(AUDIO).version().0,
            })
        );
    }

    #[test]
    fn what_is_missing_never_came_to_be() {
        let mut stream = Stream::with_segments(1);
        stream.part();
        stream.gap(6000);
        stream.end_segment();
        let text = rendered(&stream.origin, 5, START);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(document["parts"]["part_00005.m4s"].is_i64(), "{text}");
        for name in ["part_00006.m4s", "segment_00002.m4s"] {
            assert!(!text.contains(name), "{text}");
        }
    }

    #[test]
    fn only_the_newest_segments() {
        let text = rendered(&Stream::with_segments(20).origin, 5, START);
        let document: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = document["segments"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 5);
        assert!(document["segments"]["segment_00020.m4s"].is_i64());
        assert_eq!(document["parts"].as_object().unwrap().len(), 25);
    }
}
