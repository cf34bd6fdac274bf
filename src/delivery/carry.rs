//! Query parameters that go on from a playlist to what it names, such as the session token of a CDN.
//!
//! Belongs here: which parameters, how they are spelled, where in a text they go. Does not: delivery directives, which never
//! go on (rule DD-15).

use bytes::Bytes;

use super::access::{AccessToken, PARAMETER};
use super::request::Refusal;

/// Bytes of all that is carried. It stands in every URI of a playlist, so one request may cost much more than itself.
const MAX_CARRIED_BYTES: usize = 2048;

/// What query keys of the delivery directives begin with.
const RESERVED: &str = "_HLS_";

/// The names of the parameters that are carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedNames(Vec<String>);

impl CarriedNames {
    /// Names between commas; an error is a sentence for the user.
    pub fn new(list: &str) -> Result<Self, String> {
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names
            .map(|name| {
                let is_plain = name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
                if !is_plain {
                    return Err(format!(
                        "carry-query '{name}' has to be made of letters, digits, '-', '.', '_' or '~'"
                    ));
                }
                if name.starts_with(RESERVED) {
                    return Err(format!("carry-query '{name}': delivery directives are never carried"));
                }
                Ok(name.to_owned())
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What goes behind each URI named to a client that asked with `query`: empty, or a question mark and parameters, safe
    /// in a quoted attribute, in a line and in HTML. `token` is carried as well, when the client showed it in its query.
    pub fn suffix(
        &self,
        query: Option<&str>,
        token: Option<&AccessToken>,
    ) -> Result<String, Refusal> {
        let mut suffix = String::new();
        let mut add = |name: &str, value: Option<&str>| {
            suffix.push(if suffix.is_empty() { '?' } else { '&' });
            suffix.push_str(name);
            if let Some(value) = value {
                suffix.push('=');
                respell(value, &mut suffix);
            }
        };
        if let Some(token) = token {
            add(PARAMETER, Some(token.as_str()));
        }
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            };
            let is_told = token.is_some() && name == PARAMETER;
            if !is_told && self.0.iter().any(|carried| carried == name) {
                add(name, value);
            }
        }
        if suffix.len() > MAX_CARRIED_BYTES {
            return Err(Refusal::new(
                414,
                "the query parameters to carry on are too long",
            ));
        }
        Ok(suffix)
    }
}

/// Keeps the spelling of a value, for a signature may be over it, and encodes what could end a URI, an attribute or a line.
fn respell(value: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for (place, byte) in value.bytes().enumerate() {
        let is_escape = byte == b'%'
            && value
                .as_bytes()
                .get(place + 1..place + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if is_escape || byte.is_ascii_alphanumeric() || b"-._~!$()*+,;:@/?=".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The playlist with `suffix` behind every URI in it.
pub fn carry(playlist: &[u8], suffix: &str) -> Bytes {
    let mut carried = Vec::with_capacity(playlist.len() * 2);
    for line in playlist.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let mut from = 0;
        for end in uri_ends(text) {
            carried.extend_from_slice(&line[from..end]);
            carried.extend_from_slice(suffix.as_bytes());
            from = end;
        }
        carried.extend_from_slice(&line[from..]);
    }
    carried.into()
}

/// Where the URIs of a line end: the line itself, or its attribute `URI`. Quoted strings hold no quotes, but everything else
/// an attribute is made of, so they are stepped over.
fn uri_ends(line: &[u8]) -> Vec<usize> {
    if line.is_empty() {
        return Vec::new();
    }
    if line[0] != b'#' {
        return vec![line.len()];
    }
    let mut ends = Vec::new();
    if !line.starts_with(b"#EXT") {
        return ends;
    }
    let mut opened_by: Option<usize> = None;
    for (place, byte) in line.iter().enumerate() {
        if *byte != b'"' {
            continue;
        }
        match opened_by.take() {
            None => opened_by = Some(place),
            Some(open) => {
                let before = &line[..open];
                if before.ends_with(b":URI=") || before.ends_with(b",URI=") {
                    ends.push(place);
                }
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn suffix(names: &str, query: &str) -> String {
        let names = CarriedNames::new(names).unwrap();
        names.suffix(Some(query), None).unwrap()
    }

    #[test]
    fn chosen_parameters_in_the_order_they_came() {
        for (names, query, expected) in [
            ("", "session=1", ""),
            ("session", "", ""),
            ("session", "session=1", "?session=1"),
            ("session", "_HLS_msn=4&session=1&other=2", "?session=1"),
            ("a, b", "b=2&a=1&b=3", "?b=2&a=1&b=3"),
            ("flag", "flag", "?flag"),
            ("s", "s=", "?s="),
            ("s", "S=1&ss=2", ""),
            // The spelling stays.
            ("s", "s=a%2Fb+c%2f=~d/e", "?s=a%2Fb+c%2f=~d/e"),
            // What would end a URI or an attribute does not.
            (
                "s",
                "s=\"><'\\^`{|}#",
                "?s=%22%3E%3C%27%5C%5E%60%7B%7C%7D%23",
            ),
            ("s", "s=\r\n#EXT-X-ENDLIST", "?s=%0D%0A%23EXT-X-ENDLIST"),
            ("s", "s=50%&s=%4&s=%zz", "?s=50%25&s=%254&s=%25zz"),
            ("s", "s=ü", "?s=%C3%BC"),
        ] {
            assert_eq!(suffix(names, query), expected, "{names} {query}");
        }
    }

    #[test]
    fn the_token_goes_on_when_it_was_shown_there() {
        let names = CarriedNames::new("token,cdn").unwrap();
        let token = AccessToken::new("s3cret-token");
        let suffix = names.suffix(Some("cdn=1&token=s3cret-token"), Some(&token));
        assert_eq!(suffix.unwrap(), "?token=s3cret-token&cdn=1");
    }

    #[test]
    fn no_more_than_a_bound() {
        let names = CarriedNames::new("s").unwrap();
        let query = format!("s={}", "x".repeat(3000));
        assert_eq!(names.suffix(Some(&query), None).unwrap_err().status, 414);
    }

    #[test]
    fn names_are_plain_and_no_directives() {
        for list in ["_HLS_msn", "a=b", "a b", "a&b", "ü"] {
            let error = CarriedNames::new(list).unwrap_err();
            assert!(error.contains(list), "{error}");
        }
        assert_eq!(CarriedNames::new(" , ").unwrap(), CarriedNames::default());
    }

    #[test]
    fn every_uri_of_a_playlist_gets_them() {
        let playlist = "\
#EXTM3U
# run URI=\"comment\"
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00001.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN=1
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"x,URI=\",GROUP-ID=\"a\",X-URI=\"y\",URI=\"live_audio.m3u8\"
";
        assert_eq!(
            carry(playlist.as_bytes(), "?s=1"),
            "\
#EXTM3U
# run URI=\"comment\"
#EXT-X-MAP:URI=\"run/init.mp4?s=1\"
#EXT-X-PART:URI=\"run/part_00000.m4s?s=1\",DURATION=0.2,INDEPENDENT=YES
#EXTINF:1.00000,
run/segment_00001.m4s?s=1
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00001.m4s?s=1\"
#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8?s=1\",LAST-MSN=1
#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"x,URI=\",GROUP-ID=\"a\",X-URI=\"y\",URI=\"live_audio.m3u8?s=1\"
"
        );
    }

    proptest! {
        #[test]
        fn nothing_breaks_out(value in ".{0,40}") {
            let suffix = suffix("s", &format!("s={value}"));
            prop_assert!(suffix.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>'#\\".contains(&byte)));
        }
    }
}
