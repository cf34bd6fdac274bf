//! `/timestamps.json`: when each segment and part came to be, for tools that measure delay.
//!
//! Belongs here: the JSON, whose keys existing tools know. Does not: taking the times (`http/` reads the clock).

use serde_json::{Map, Value, json};

use crate::origin::Origin;
use crate::origin::name::MediaName;
use crate::time::UnixTime;

/// Renders the document. `now` is its `timestamp`; all times are Unix time in nanoseconds.
///
/// It covers the newest `max_files` segments; what the file lists can also be fetched.
pub fn render(origin: &Origin, max_files: usize, now: UnixTime) -> String {
    let window = origin.window();
    let mut segments = Map::new();
    let mut parts = Map::new();
    let mut captured = Map::new();
    let kept = window.kept();
    let skipped = kept.len().saturating_sub(max_files);
    for segment in kept.skip(skipped).chain(window.open()) {
        if let Some(completed) = segment.completed {
            let name = MediaName::Segment(segment.msn).to_string();
            captured.insert(name.clone(), Value::from(segment.captured().0));
            segments.insert(name, Value::from(completed.0));
        }
        for part in &segment.parts {
            let name = MediaName::Part(part.number).to_string();
            captured.insert(name.clone(), Value::from(part.captured.0));
            parts.insert(name, Value::from(part.published.0));
        }
    }
    json!({
        "segments": segments,
        "parts": parts,
        "timestamp": now.0,
        "version": window.version().0,
        "captured": captured,
    })
    .to_string()
}
