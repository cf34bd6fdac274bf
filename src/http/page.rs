//! The player page: files that were put into the library when it was built.
//!
//! Belongs here: which file is where. Does not: what is in them (`web/`).

use bytes::Bytes;

use crate::delivery::Refusal;
use crate::delivery::request::Page;

const INDEX: &str = include_str!("../../web/index.html");
const SCRIPT: &str = include_str!("../../web/player.js");
const PLOT: &str = include_str!("../../web/plot.js");
const STYLE: &str = include_str!("../../web/player.css");
/// Empty when the library was built without npm.
const HLS_JS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hls.min.js"));

/// What `index.html` has where the name of the playlist goes.
const PLAYLIST_PLACE: &str = "{{playlist}}";

/// The files, ready to send.
pub(super) struct PageFiles {
    index: Bytes,
}

impl PageFiles {
    pub(super) fn new(playlist_name: &str) -> Self {
        Self {
            index: INDEX
                .replace(PLAYLIST_PLACE, &escape_html(playlist_name))
                .into(),
        }
    }

    pub(super) fn file(&self, page: Page) -> Result<Bytes, Refusal> {
        match page {
            Page::Index => Ok(self.index.clone()),
            Page::Script => Ok(Bytes::from_static(SCRIPT.as_bytes())),
            Page::Plot => Ok(Bytes::from_static(PLOT.as_bytes())),
            Page::Style => Ok(Bytes::from_static(STYLE.as_bytes())),
            Page::HlsJs if HLS_JS.is_empty() => {
                Err(Refusal::not_found("built without hls.js; run make"))
            }
            Page::HlsJs => Ok(Bytes::from_static(HLS_JS)),
        }
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_playlist_name_cannot_leave_its_place() {
        assert_eq!(
            escape_html("<\"it's\" & co>"),
            "&lt;&quot;it&#39;s&quot; &amp; co&gt;"
        );
        let page = PageFiles::new("a&b.m3u8").file(Page::Index).unwrap();
        let text = std::str::from_utf8(&page).unwrap();
        assert!(text.contains("a&amp;b.m3u8"), "{text}");
        assert!(!text.contains(PLAYLIST_PLACE), "{text}");
    }
}
