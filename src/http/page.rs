//! The player page: files that were put into the library when it was built.
//!
//! Belongs here: which file is where. Does not: what is in them (`web/`).

use std::rc::Rc;

use bytes::Bytes;

use crate::delivery::Refusal;
use crate::delivery::encoding::Text;
use crate::delivery::playlist::BaseUrl;
use crate::delivery::request::Page;

const INDEX: &str = include_str!("../../web/index.html");
const SCRIPT: &str = include_str!("../../web/player.js");
const PLOT: &str = include_str!("../../web/plot.js");
const STYLE: &str = include_str!("../../web/player.css");
/// Empty when the library was built without npm.
const HLS_JS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hls.min.js"));

/// What `index.html` has where the name of the playlist goes.
const PLAYLIST_PLACE: &str = "{{playlist}}";

/// Where what is carried from URL to URL goes, behind each address.
const QUERY_PLACE: &str = "{{query}}";

/// The files, ready to send.
pub(super) struct PageFiles {
    /// With the name of the playlist, without what is carried.
    index: String,
    bare_index: Rc<Text>,
    script: Rc<Text>,
    plot: Rc<Text>,
    style: Rc<Text>,
    hls_js: Rc<Text>,
    policy: String,
}

impl PageFiles {
    /// `base` is where the media is, when that is not here.
    pub(super) fn new(playlist_name: &str, base: Option<&BaseUrl>) -> Self {
        let index = INDEX.replace(PLAYLIST_PLACE, &escape_html(playlist_name));
        let text = |bytes: &'static [u8]| Rc::new(Text::new(Bytes::from_static(bytes)));
        // hls.js fetches media and hands the browser a blob; a browser that plays HLS itself fetches for the video element.
        let elsewhere = base
            .and_then(origin_of)
            .map_or_else(String::new, |origin| format!(" {origin}"));
        Self {
            bare_index: Rc::new(Text::new(index.replace(QUERY_PLACE, ""))),
            index,
            script: text(SCRIPT.as_bytes()),
            plot: text(PLOT.as_bytes()),
            style: text(STYLE.as_bytes()),
            hls_js: text(HLS_JS),
            policy: format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                 media-src 'self' blob:{elsewhere}; connect-src 'self'{elsewhere}; worker-src 'self' blob:; \
                 base-uri 'none'; form-action 'none'"
            ),
        }
    }

    /// A file; in the page itself `suffix` goes behind every address.
    pub(super) fn file(&self, page: Page, suffix: &str) -> Result<Rc<Text>, Refusal> {
        match page {
            Page::Index if suffix.is_empty() => Ok(Rc::clone(&self.bare_index)),
            Page::Index => {
                let index = self.index.replace(QUERY_PLACE, &escape_html(suffix));
                Ok(Rc::new(Text::new(index)))
            }
            Page::Script => Ok(Rc::clone(&self.script)),
            Page::Plot => Ok(Rc::clone(&self.plot)),
            Page::Style => Ok(Rc::clone(&self.style)),
            Page::HlsJs if HLS_JS.is_empty() => {
                Err(Refusal::not_found("built without hls.js; run make"))
            }
            Page::HlsJs => Ok(Rc::clone(&self.hls_js)),
        }
    }

    /// The page's Content-Security-Policy: nothing inline, nothing from elsewhere but media that is there.
    pub(super) fn policy(&self) -> &str {
        &self.policy
    }
}

/// Scheme and authority, if a policy can name them.
fn origin_of(base: &BaseUrl) -> Option<&str> {
    let url = base.as_str();
    let start = url.find("://")? + 3;
    let end = start + url[start..].find('/')?;
    let is_plain = url[start..end]
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    is_plain.then(|| &url[..end])
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
        let page = PageFiles::new("a&b.m3u8", None);
        let page = page.file(Page::Index, "?a=1&b").unwrap();
        let text = std::str::from_utf8(page.plain()).unwrap();
        assert!(text.contains("a&amp;b.m3u8"), "{text}");
        assert!(!text.contains("{{"), "{text}");
        assert!(text.contains("\"player.js?a=1&amp;b\""), "{text}");
    }

    #[test]
    fn the_policy_names_where_media_is() {
        for (url, expected) in [
            ("https://cdn.example/a/b", Some("https://cdn.example")),
            ("http://[::1]:80", Some("http://[::1]:80")),
            ("http://a;script-src", None),
            ("http://user@a", None),
        ] {
            assert_eq!(origin_of(&BaseUrl::new(url).unwrap()), expected, "{url}");
        }
    }
}
