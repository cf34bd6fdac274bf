//! What is there becomes the answer to one client: in the coding it takes, the range it wants, or not again.
//!
//! Belongs here: Accept-Encoding, Range, If-Range, If-None-Match and the headers that answer them.
//! Does not: what is there (`decision`), CORS and the like, which every answer has (`http/respond`).

use std::rc::Rc;

use bytes::Bytes;

use super::answer::{Answer, Body};
use super::decision::Caching;
use super::encoding::{Text, accepts_gzip};
use super::head::Head;
use super::range::{self, Wanted};
use super::request::Refusal;

/// A resource as it is at this moment.
#[derive(Clone, Debug)]
pub struct Representation {
    /// Its bytes.
    pub source: Source,
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub caching: Caching,
    /// What tells it from every other state of the resource at its URL, ETag without quotes: ASCII letters, digits, dots
    /// and dashes. `None` where there is no such thing.
    pub tag: Option<String>,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// In gzip to those who take it.
    Text(Rc<Text>),
    /// Published media, one after the other: in ranges to those who want some, never compressed.
    Media(Vec<Bytes>),
}

impl Representation {
    /// Answers a GET or HEAD for it.
    pub fn answer(self, head: &Head<'_>) -> Answer {
        match self.source {
            Source::Text(ref text) => {
                let text = Rc::clone(text);
                self.answer_with_text(head, &text)
            }
            Source::Media(ref chunks) => {
                let body = Body::from(chunks.clone());
                self.answer_with_media(head, body)
            }
        }
    }

    fn answer_with_text(&self, head: &Head<'_>, text: &Text) -> Answer {
        let gzip = accepts_gzip(head.accept_encoding)
            .then(|| text.gzip())
            .flatten();
        // Two codings are two representations, and have two tags (RFC 9110 8.8.3.3).
        let coding = if gzip.is_some() { ".gz" } else { "" };
        let tag = self.tag.as_ref().map(|tag| format!("\"{tag}{coding}\""));
        let mut answer = if is_held(head, tag.as_deref()) {
            Answer::not_modified(self.caching)
        } else {
            let bytes = gzip.unwrap_or(text.plain()).clone();
            let mut answer = Answer::new(200, self.content_type, self.caching, Body::from(bytes));
            if gzip.is_some() {
                answer.set("content-encoding", "gzip");
            }
            answer
        };
        // Rule HT-07.
        answer.vary("Accept-Encoding");
        if let Some(tag) = tag {
            answer.set("etag", tag);
        }
        answer
    }

    fn answer_with_media(&self, head: &Head<'_>, body: Body) -> Answer {
        let tag = self.tag.as_ref().map(|tag| format!("\"{tag}\""));
        let length = body.len();
        let mut answer = if is_held(head, tag.as_deref()) {
            Answer::not_modified(self.caching)
        } else {
            match wanted(head, tag.as_deref(), length) {
                Wanted::Whole => Answer::new(200, self.content_type, self.caching, body),
                Wanted::Slice(range) => {
                    let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                    let body = body.slice(range);
                    let mut answer = Answer::new(206, self.content_type, self.caching, body);
                    answer.set("content-range", content_range);
                    answer
                }
                Wanted::Unsatisfiable => {
                    let mut answer = Answer::refusal(&Refusal::new(
                        416,
                        "the range begins past the end, or is empty",
                    ));
                    answer.set("content-range", format!("bytes */{length}"));
                    answer
                }
            }
        };
        answer.set("accept-ranges", "bytes");
        if let Some(tag) = tag.filter(|_| answer.status != 416) {
            answer.set("etag", tag);
        }
        answer
    }
}

/// Ranges are for GET, and when a resumed download goes by If-Range, for what is still the same. Dates in it never are:
/// nothing here has a Last-Modified.
fn wanted(head: &Head<'_>, tag: Option<&str>, length: u64) -> Wanted {
    let is_same = head.if_range.is_none_or(|held| tag == Some(held.trim()));
    match head.range {
        Some(header) if is_same && head.method == "GET" => range::read(header, length),
        _ => Wanted::Whole,
    }
}

/// Whether If-None-Match names the tag; by weak comparison (RFC 9110 13.1.2).
fn is_held(head: &Head<'_>, tag: Option<&str>) -> bool {
    let (Some(held), Some(tag)) = (head.if_none_match, tag) else {
        return false;
    };
    held.split(',')
        .map(str::trim)
        .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Head<'_> = Head {
        method: "GET",
        path: "/",
        query: None,
        host: None,
        origin: None,
        authorization: None,
        range: None,
        if_range: None,
        if_none_match: None,
        accept_encoding: None,
    };

    fn media(head: Head<'_>) -> Answer {
        let chunks = vec![Bytes::from("0123"), Bytes::from("456"), Bytes::from("789")];
        Representation {
            source: Source::Media(chunks),
            content_type: "video/mp4",
            caching: Caching::Immutable(60),
            tag: Some("run".to_owned()),
        }
        .answer(&head)
    }

    fn playlist(head: Head<'_>) -> Answer {
        Representation {
            source: Source::Text(Rc::new(Text::new("#EXTINF:1.00000,\n".repeat(100)))),
            content_type: "application/vnd.apple.mpegurl",
            caching: Caching::Revalidate,
            tag: Some("run-7".to_owned()),
        }
        .answer(&head)
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.body.chunks.concat()).unwrap()
    }

    #[test]
    fn ranges_over_the_borders_of_chunks() {
        for (range, expected, content_range) in [
            ("bytes=0-0", "0", "bytes 0-0/10"),
            ("bytes=3-4", "34", "bytes 3-4/10"),
            ("bytes=2-8", "2345678", "bytes 2-8/10"),
            ("bytes=4-6", "456", "bytes 4-6/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-4", "6789", "bytes 6-9/10"),
            ("bytes=0-99", "0123456789", "bytes 0-9/10"),
        ] {
            let answer = media(Head {
                range: Some(range),
                ..GET
            });
            assert_eq!((answer.status, &*text(&answer)), (206, expected), "{range}");
            assert_eq!(answer.header("content-range"), Some(content_range));
            let length = expected.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length));
            assert_eq!(answer.header("etag"), Some("\"run\""));
            assert_eq!(
                answer.header("cache-control"),
                Some("public, max-age=60, immutable")
            );
        }
    }

    #[test]
    fn a_range_that_is_not_there() {
        let answer = media(Head {
            range: Some("bytes=10-"),
            ..GET
        });
        assert_eq!(answer.status, 416);
        assert_eq!(answer.header("content-range"), Some("bytes */10"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("etag"), None);
    }

    #[test]
    fn the_whole_where_no_range_applies() {
        for head in [
            GET,
            Head {
                range: Some("bytes=0-1,4-5"),
                ..GET
            },
            Head {
                method: "HEAD",
                range: Some("bytes=0-1"),
                ..GET
            },
            Head {
                range: Some("bytes=0-1"),
                if_range: Some("\"other\""),
                ..GET
            },
            Head {
                range: Some("bytes=0-1"),
                if_range: Some("W/\"run\""),
                ..GET
            },
            Head {
                range: Some("bytes=0-1"),
                if_range: Some("Sat, 01 Aug 2026 12:00:00 GMT"),
                ..GET
            },
        ] {
            let answer = media(head);
            assert_eq!((answer.status, &*text(&answer)), (200, "0123456789"));
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
            assert_eq!(answer.header("content-range"), None);
        }
        let resumed = media(Head {
            range: Some("bytes=8-"),
            if_range: Some("\"run\""),
            ..GET
        });
        assert_eq!((resumed.status, &*text(&resumed)), (206, "89"));
    }

    #[test]
    fn gzip_for_those_who_take_it() {
        let plain = playlist(GET);
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        assert_eq!(plain.header("etag"), Some("\"run-7\""));
        let gzip = playlist(Head {
            accept_encoding: Some("gzip"),
            ..GET
        });
        assert_eq!(gzip.header("content-encoding"), Some("gzip"));
        assert_eq!(gzip.header("vary"), Some("Accept-Encoding"));
        assert_eq!(gzip.header("etag"), Some("\"run-7.gz\""));
        assert_eq!(
            gzip.header("content-length"),
            Some(&*gzip.body.len().to_string())
        );
        assert!(gzip.body.len() < plain.body.len());
        let media = media(Head {
            accept_encoding: Some("gzip"),
            ..GET
        });
        assert_eq!(
            (media.header("content-encoding"), media.header("vary")),
            (None, None)
        );
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for (held, accept_encoding, expected) in [
            ("\"run-7\"", None, 304),
            ("W/\"run-7\"", None, 304),
            ("\"a\", \"run-7\"", None, 304),
            ("*", None, 304),
            ("\"run-7.gz\"", Some("gzip"), 304),
            ("\"run-7.gz\"", None, 200),
            ("\"run-7\"", Some("gzip"), 200),
            ("\"run-6\"", None, 200),
            ("run-7", None, 200),
            ("", None, 200),
        ] {
            let answer = playlist(Head {
                if_none_match: Some(held),
                accept_encoding,
                ..GET
            });
            assert_eq!(answer.status, expected, "{held}");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
            assert!(answer.header("etag").is_some());
            if answer.status == 304 {
                assert!(answer.body.is_empty());
                assert_eq!(answer.header("content-length"), None);
                assert_eq!(answer.header("cache-control"), Some("no-cache"));
            }
        }
        let answer = media(Head {
            if_none_match: Some("\"run\""),
            range: Some("bytes=0-1"),
            ..GET
        });
        assert_eq!(answer.status, 304);
    }
}
