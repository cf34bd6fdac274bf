//! Which pages of other origins may read the answers (CORS).
//!
//! Belongs here: the headers that say so. Does not: who may watch at all (`access`).

use super::answer::{Answer, METHODS};

/// Headers a script of another origin may read (rule HT-08).
const EXPOSED: &str = "Date, Age, Content-Length, Content-Range, Accept-Ranges, ETag, Retry-After, \
                       WWW-Authenticate, X-LLHLS-Version";

/// Headers a script of another origin may send (rule HT-09). `*` does not cover Authorization.
const ALLOWED: &str = "*, Authorization, Range, If-Range, If-None-Match";

/// Seconds a browser may remember that it may ask.
const PREFLIGHT_CACHE_SECONDS: &str = "86400";

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Every page.
    Everyone,
    /// The pages of these origins; none when there is none.
    Origins(Vec<String>),
}

/// As browsers send an origin: without the port that its scheme has anyway (RFC 6454 6.2).
fn as_sent(origin: &str) -> String {
    let port = if origin.starts_with("https") {
        ":443"
    } else {
        ":80"
    };
    origin.strip_suffix(port).unwrap_or(origin).to_owned()
}

impl Cors {
    /// `*`, or origins between commas. An error is a sentence for the user.
    pub fn new(list: &str) -> Result<Self, String> {
        if list.trim() == "*" {
            return Ok(Self::Everyone);
        }
        let origins = list
            .split(',')
            .map(str::trim)
            .filter(|origin| !origin.is_empty());
        origins
            .map(|origin| {
                let rest = origin
                    .strip_prefix("http://")
                    .or_else(|| origin.strip_prefix("https://"));
                let is_origin = rest.is_some_and(|rest| {
                    !rest.is_empty()
                        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
                });
                if is_origin {
                    Ok(as_sent(&origin.to_ascii_lowercase()))
                } else {
                    Err(format!(
                        "cors-origin '{origin}' has to be '*', or origins such as https://example.com, without a path"
                    ))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self::Origins)
    }

    /// Whether an answer depends on the page that asks.
    pub fn depends_on_origin(&self) -> bool {
        matches!(self, Self::Origins(origins) if !origins.is_empty())
    }

    /// Rule HT-08: on every answer, refusals included, or scripts see status 0 in place of the reason. `origin` is the page
    /// that asks; the answer names ours, never what was sent.
    pub fn allow(&self, origin: Option<&str>, answer: &mut Answer) {
        let allowed = match self {
            Self::Everyone => "*".to_owned(),
            Self::Origins(origins) if origins.is_empty() => return,
            Self::Origins(origins) => {
                // Caches must not hand one page what was allowed to another.
                answer.vary("Origin");
                match origins.iter().find(|known| origin == Some(known.as_str())) {
                    Some(known) => known.clone(),
                    None => return,
                }
            }
        };
        answer.set("access-control-allow-origin", allowed);
        answer.set("access-control-expose-headers", EXPOSED);
    }

    /// Rule HT-09: on the answer to OPTIONS.
    pub fn allow_preflight(&self, origin: Option<&str>, answer: &mut Answer) {
        self.allow(origin, answer);
        if answer.header("access-control-allow-origin").is_some() {
            answer.set("access-control-allow-methods", METHODS);
            answer.set("access-control-allow-headers", ALLOWED);
            answer.set("access-control-max-age", PREFLIGHT_CACHE_SECONDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allow-Origin and Vary.
    fn allowed(list: &str, origin: Option<&str>) -> (Option<String>, Option<String>) {
        let mut answer = Answer::preflight();
        Cors::new(list)
            .unwrap()
            .allow_preflight(origin, &mut answer);
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let origin = header("access-control-allow-origin");
        assert_eq!(
            origin.is_some(),
            header("access-control-allow-headers").is_some()
        );
        (origin, header("vary"))
    }

    #[test]
    fn everyone_some_or_none() {
        let some = |text: &str| Some(text.to_owned());
        let list = "https://a.example, http://B.example:8080";
        let vary = some("Origin");
        assert_eq!(allowed("*", None), (some("*"), None));
        assert_eq!(allowed("*", Some("https://x")), (some("*"), None));
        assert_eq!(allowed("", Some("https://x")), (None, None));
        assert_eq!(
            allowed(list, Some("https://a.example")),
            (some("https://a.example"), vary.clone())
        );
        assert_eq!(
            allowed(list, Some("http://b.example:8080")),
            (some("http://b.example:8080"), vary.clone())
        );
        for other in [
            None,
            Some("https://b.example:8080"),
            Some("https://a.example.evil.example"),
            Some("https://a.example:443"),
            Some("null"),
            Some("*"),
        ] {
            assert_eq!(allowed(list, other), (None, vary.clone()), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_origin() {
        for list in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example,*",
            "null",
            "https://a\r\nb",
            "https://ü",
        ] {
            let error = Cors::new(list).unwrap_err();
            assert!(error.contains("cors-origin"), "{error}");
        }
    }
}
