//! Who may watch: the access token and the ways to show it.
//!
//! Belongs here: reading it off a request, comparing it. Does not: what is behind it.

use std::fmt;

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::head::Head;
use super::request::Refusal;

/// The name of the query parameter that shows it, and hands it on to child URIs.
pub const PARAMETER: &str = "token";

/// What a path begins with that shows it: `/t/<token>/live.m3u8`. Relative URIs inherit that by themselves.
const PREFIX: &str = "/t/";

/// Fewer characters could be tried out.
const MIN_CHARACTERS: usize = 8;

/// More would crowd every URI.
const MAX_CHARACTERS: usize = 256;

/// A secret that whoever may watch knows. It is in no `Debug`, and nothing shows it but a URI for who has shown it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Any text; [`Self::mistake`] tells whether it can be used.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What is wrong with it, in a sentence that does not show it. Only what RFC 3986 leaves unreserved stands in a path, a
    /// query and a header alike.
    pub fn mistake(&self) -> Option<&'static str> {
        let is_plain = self
            .0
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        let is_fit = (MIN_CHARACTERS..=MAX_CHARACTERS).contains(&self.0.len());
        (!is_plain || !is_fit)
            .then_some("access-token has to be 8 to 256 letters, digits, '-', '.', '_' or '~'")
    }

    /// As it stands in a URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on lengths alone, so that no prefix can be found out by measuring. The crate is what
    /// rustls compares with; a loop of our own the compiler might shorten.
    fn is(&self, shown: &str) -> bool {
        let shown = percent_decode_str(shown).collect::<Vec<u8>>();
        self.0.as_bytes().ct_eq(&shown).into()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// How a request showed the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It did not have to: there is none.
    Open,
    /// In its path. Relative URIs of the answer have it too.
    Path,
    /// In its query. URIs of the answer have to be given it.
    Query,
    /// By `Authorization: Bearer`. The client sends it with every request.
    Header,
}

/// A request that may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// Its path without the token.
    pub path: &'a str,
    /// How it showed the token.
    pub way: Way,
}

/// Lets a request in that shows the token, and every preflight: browsers send those without (rule HT-09).
pub fn admit<'a>(token: Option<&AccessToken>, head: &Head<'a>) -> Result<Admitted<'a>, Refusal> {
    let Some(token) = token else {
        return Ok(Admitted {
            path: head.path,
            way: Way::Open,
        });
    };
    let in_path = head
        .path
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.find('/').map(|end| rest.split_at(end)));
    let path = in_path.map_or(head.path, |(_, path)| path);
    let in_query = || {
        let pairs = head.query.unwrap_or_default().split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == PARAMETER)
            .map(|(_, value)| value)
    };
    let in_header = || {
        let (scheme, shown) = head.authorization?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Bearer").then(|| shown.trim())
    };
    let is_right = |shown: &str| token.is(shown);
    let way = if in_path.is_some_and(|(shown, _)| is_right(shown)) {
        Way::Path
    } else if in_query().is_some_and(is_right) {
        Way::Query
    } else if in_header().is_some_and(is_right) {
        Way::Header
    } else if head.method == "OPTIONS" {
        Way::Open
    } else {
        return Err(Refusal::new(
            401,
            "the access token is missing or wrong: it goes into the path as /t/<token>/, into the query as token=, or into \
             Authorization as a Bearer",
        ));
    };
    Ok(Admitted { path, way })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "s3cret-~._x";

    fn show(path: &str, query: Option<&str>, authorization: Option<&str>) -> Option<(String, Way)> {
        let head = Head {
            method: "GET",
            path,
            query,
            authorization,
            ..Head::default()
        };
        match admit(Some(&AccessToken::new(TOKEN)), &head) {
            Ok(admitted) => Some((admitted.path.to_owned(), admitted.way)),
            Err(refusal) => {
                assert_eq!(refusal.status, 401);
                assert!(!refusal.reason.contains(TOKEN));
                None
            }
        }
    }

    #[test]
    fn three_ways_to_show_it() {
        let path = |path: &str, way| Some((path.to_owned(), way));
        assert_eq!(
            show("/t/s3cret-~._x/live.m3u8", None, None),
            path("/live.m3u8", Way::Path)
        );
        assert_eq!(show("/t/%733cret-~._x/", None, None), path("/", Way::Path));
        assert_eq!(
            show("/live.m3u8", Some("a=b&token=s3cret-~._x&_HLS_msn=1"), None),
            path("/live.m3u8", Way::Query)
        );
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(
                show("/", None, Some(&format!("{scheme} {TOKEN}"))),
                path("/", Way::Header)
            );
        }
        // What is right counts, whatever else is wrong.
        assert_eq!(
            show(
                "/t/wrong/live.m3u8",
                Some("token=wrong"),
                Some("Bearer s3cret-~._x")
            ),
            path("/live.m3u8", Way::Header)
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for (path, query, authorization) in [
            ("/live.m3u8", None, None),
            ("/", Some("token="), None),
            ("/", Some("token=s3cret-~._"), None),
            ("/", Some("token=s3cret-~._xx"), None),
            ("/", Some("token=S3CRET-~._X"), None),
            ("/", Some("token=wrong&token=s3cret-~._x"), None),
            ("/", Some("Token=s3cret-~._x"), None),
            ("/t/wrong/live.m3u8", None, None),
            ("/t//live.m3u8", None, None),
            ("/t/s3cret-~._x", None, None),
            ("/live.m3u8/t/s3cret-~._x/", None, None),
            ("/", None, Some("s3cret-~._x")),
            ("/", None, Some("Basic s3cret-~._x")),
            ("/", None, Some("Bearer")),
            ("/", None, Some("Bearer wrong")),
        ] {
            assert_eq!(
                show(path, query, authorization),
                None,
                "{path} {query:?} {authorization:?}"
            );
        }
    }

    #[test]
    fn preflights_and_open_servers_need_none() {
        let head = Head {
            method: "OPTIONS",
            path: "/live.m3u8",
            ..Head::default()
        };
        assert!(admit(Some(&AccessToken::new(TOKEN)), &head).is_ok());
        let head = Head {
            method: "GET",
            path: "/t/x/live.m3u8",
            ..Head::default()
        };
        let admitted = admit(None, &head).unwrap();
        assert_eq!((admitted.path, admitted.way), ("/t/x/live.m3u8", Way::Open));
    }

    #[test]
    fn it_is_plain_and_never_shown() {
        let token = AccessToken::new(TOKEN);
        assert_eq!(token.mistake(), None);
        assert_eq!(format!("{token:?}"), "AccessToken(***)");
        for text in [
            "",
            "short",
            "with space",
            "a/b/c/d/e",
            "quotes\"\"",
            "ümlaut00",
        ] {
            let mistake = AccessToken::new(text).mistake().unwrap();
            assert!(text.is_empty() || !mistake.contains(text), "{mistake}");
        }
        assert!(AccessToken::new("x".repeat(257)).mistake().is_some());
    }
}
