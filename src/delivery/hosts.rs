//! What this server may be called: against DNS rebinding, where a page has its own name resolve to this address and so reads
//! what only its visitor can reach.
//!
//! Belongs here: comparing Host, or `:authority`, with a list. Does not: who may watch (`access`).

use super::request::Refusal;

/// The names that are answered to; all of them when there is no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Names or addresses between commas, with a port or for every port, IPv6 in brackets. An error is a sentence for the
    /// user.
    pub fn new(list: &str) -> Result<Self, String> {
        let hosts = list
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty());
        hosts
            .map(|host| {
                let is_plain = host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
                let is_split = split(host).is_some();
                if is_plain && is_split {
                    Ok(host.to_ascii_lowercase())
                } else {
                    Err(format!(
                        "allowed-hosts '{host}' has to be a name or an address, such as stream.example:8080 or [::1]"
                    ))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a request came to a name it may come to; 421 otherwise.
    pub fn check(&self, host: Option<&str>) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        let asked = host.unwrap_or_default().to_ascii_lowercase();
        let is_known = split(&asked).is_some_and(|(name, port)| {
            self.0.iter().any(|allowed| match split(allowed) {
                Some((allowed, None)) => allowed == name,
                // Browsers leave out the port that the scheme has anyway.
                Some((allowed, Some("80" | "443"))) if allowed == name && port.is_none() => true,
                _ => *allowed == asked,
            })
        });
        if is_known {
            Ok(())
        } else {
            Err(Refusal::new(
                421,
                "this server is not called that: the host is not among allowed-hosts",
            ))
        }
    }
}

/// Name and port.
fn split(host: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(bracketed) => {
            let end = bracketed.find(']')? + 2;
            host.split_at(end)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port),
        None if rest.is_empty() => None,
        _ => return None,
    };
    (!name.is_empty() && !name.contains([':', '[', ']']) || name.starts_with('['))
        .then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_ports() {
        let hosts =
            AllowedHosts::new("stream.example, localhost:8080,[::1],192.0.2.1,tv.example:443")
                .unwrap();
        for (host, expected) in [
            ("stream.example", true),
            ("tv.example", true),
            ("tv.example:443", true),
            ("tv.example:8443", false),
            ("Stream.Example:9000", true),
            ("localhost:8080", true),
            ("[::1]:8080", true),
            ("192.0.2.1:80", true),
            ("localhost", false),
            ("localhost:80", false),
            ("evil.example", false),
            ("stream.example.evil.example", false),
            ("evil-stream.example", false),
            ("user@stream.example", false),
            ("stream.example:80:80", false),
            ("stream.example:x", false),
            ("::1", false),
            ("[::2]", false),
            ("", false),
        ] {
            let checked = hosts.check(Some(host));
            assert_eq!(checked.is_ok(), expected, "{host}");
        }
        assert_eq!(hosts.check(None).unwrap_err().status, 421);
    }

    #[test]
    fn no_list_no_check() {
        let hosts = AllowedHosts::new("").unwrap();
        assert_eq!(hosts.check(None), Ok(()));
        assert_eq!(hosts.check(Some("whatever")), Ok(()));
    }

    #[test]
    fn what_is_no_host() {
        for list in ["http://a", "a/b", "a b", "::1", "[::1", "a:b", "*"] {
            assert!(AllowedHosts::new(list).is_err(), "{list}");
        }
    }
}
