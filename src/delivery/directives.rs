//! The query of a playlist request: delivery directives (RFC 8216bis 6.2.5) and the older `wait`/`version` pair.
//!
//! Belongs here: reading them, in any order, among parameters that are not ours (rule DD-15).
//! Does not: what they mean for a given playlist (`decision`).

use percent_encoding::percent_decode_str;

use super::request::Refusal;
use crate::origin::media::{Msn, PartIndex};
use crate::origin::window::Version;
use crate::time::Nanos;

/// The longest `wait` granted, in milliseconds; a client that wants more asks again.
const MAX_WAIT_MILLIS: i64 = 60_000;

/// Everything the query of a playlist request says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaylistQuery {
    /// `_HLS_msn` and `_HLS_part`.
    pub directives: Directives,
    /// `_HLS_skip`: a delta update will do.
    pub skips: bool,
    /// `wait` and `version`; directives win over it.
    pub patience: Option<Patience>,
}

/// What the playlist must hold before it is sent (6.2.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directives {
    /// Whatever there is.
    #[default]
    None,
    /// The whole of a segment (rule DD-05): `_HLS_msn` alone is not its part 0.
    Segment(Msn),
    /// A part of a segment, or anything later (rule DD-01).
    Part(Msn, PartIndex),
}

/// `?wait=<ms>&version=<n>`: answer when the playlist is newer than `version`, or after `wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Counted from the arrival of the request.
    pub wait: Nanos,
    /// What the client has; 0 when it did not say.
    pub version: Version,
}

/// Reads the query of a media playlist, without its question mark. Of the values of `_HLS_skip`, `v2` allows to leave out
/// date ranges too, of which there are none; others than the standard's are ignored.
pub fn parse_query(query: &str) -> Result<PlaylistQuery, Refusal> {
    let [msn, part, skip] = values(query, ["_HLS_msn", "_HLS_part", "_HLS_skip"])?;
    let msn = msn
        .map(|value| parse_integer("_HLS_msn", value))
        .transpose()?;
    let part = part
        .map(|value| parse_integer("_HLS_part", value))
        .transpose()?;
    let directives = match (msn, part) {
        (None, None) => Directives::None,
        (Some(msn), None) => Directives::Segment(Msn(msn)),
        (Some(msn), Some(part)) => Directives::Part(Msn(msn), PartIndex(part)),
        // Rule DD-09.
        (None, Some(_)) => return Err(Refusal::bad_request("_HLS_part without _HLS_msn")),
    };
    let skips = skip.is_some_and(|value| {
        let value = percent_decode_str(value).decode_utf8_lossy();
        matches!(&*value, "YES" | "v2")
    });
    Ok(PlaylistQuery {
        directives,
        skips,
        patience: parse_patience(query)?,
    })
}

/// Reads `wait` and `version` alone: all there is to say to a multivariant playlist, for directives are for media playlists
/// (6.2.5). Without `wait` a `version` is somebody else's parameter.
pub fn parse_patience(query: &str) -> Result<Option<Patience>, Refusal> {
    let [Some(wait)] = values(query, ["wait"])? else {
        return Ok(None);
    };
    let [version] = values(query, ["version"])?;
    Ok(Some(Patience {
        wait: Nanos::from_millis(
            i64::try_from(parse_integer("wait", wait)?)
                .map_or(MAX_WAIT_MILLIS, |millis| millis.min(MAX_WAIT_MILLIS)),
        ),
        version: Version(match version {
            Some(version) => parse_integer("version", version)?,
            None => 0,
        }),
    }))
}

/// The values of some keys, still percent-encoded. One given twice is refused: which one a cache in between went by cannot
/// be known.
fn values<'a, const COUNT: usize>(
    query: &'a str,
    keys: [&str; COUNT],
) -> Result<[Option<&'a str>; COUNT], Refusal> {
    let mut values = [None; COUNT];
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Ok(key) = percent_decode_str(key).decode_utf8() else {
            continue;
        };
        let Some(place) = keys.iter().position(|wanted| *wanted == key) else {
            continue;
        };
        if values[place].replace(value).is_some() {
            return Err(Refusal::bad_request(format!("{key} is given twice")));
        }
    }
    Ok(values)
}

/// A bare decimal integer of at most 64 bits, and nothing else (rule DD-10).
fn parse_integer(key: &str, value: &str) -> Result<u64, Refusal> {
    let value = percent_decode_str(value).decode_utf8_lossy();
    let is_decimal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal
        .then(|| value.parse().ok())
        .flatten()
        .ok_or_else(|| Refusal::bad_request(format!("{key} is not a decimal integer of 64 bits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_in_any_order_among_other_parameters() {
        for (query, expected) in [
            ("", Directives::None),
            ("&&", Directives::None),
            ("token=abc&clientId=7", Directives::None),
            ("version=1&version=2", Directives::None),
            ("_HLS_skip=YES", Directives::None),
            ("_HLS_skip=what", Directives::None),
            ("_hls_msn=1", Directives::None),
            ("_HLS_msn=0", Directives::Segment(Msn(0))),
            ("_HLS_msn=007", Directives::Segment(Msn(7))),
            (
                "_HLS_msn=18446744073709551615",
                Directives::Segment(Msn(u64::MAX)),
            ),
            (
                "_HLS_msn=12&_HLS_part=3",
                Directives::Part(Msn(12), PartIndex(3)),
            ),
            (
                "_HLS_part=3&a=b&_HLS_msn=12&_HLS_skip=v2",
                Directives::Part(Msn(12), PartIndex(3)),
            ),
            (
                "%5FHLS_msn=1%32&_HLS_part=3",
                Directives::Part(Msn(12), PartIndex(3)),
            ),
            ("version=zzz&_HLS_msn=1", Directives::Segment(Msn(1))),
        ] {
            assert_eq!(
                parse_query(query).map(|query| query.directives),
                Ok(expected),
                "{query}"
            );
        }
    }

    #[test]
    fn malformed_directives_are_refused() {
        for query in [
            "_HLS_part=0",
            "_HLS_msn",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=%2B1",
            "_HLS_msn=+1",
            "_HLS_msn=0x10",
            "_HLS_msn=1e3",
            "_HLS_msn=1.0",
            "_HLS_msn= 1",
            "_HLS_msn=18446744073709551616",
            "_HLS_msn=%ff",
            "_HLS_msn=1&_HLS_part=",
            "_HLS_msn=1&_HLS_part=x",
            "_HLS_msn=1&_HLS_msn=1",
            "_HLS_msn=1&_HLS_part=1&_HLS_part=1",
            "_HLS_skip=YES&_HLS_skip=YES",
            "wait=soon&version=1",
            "wait=100&version=-1",
        ] {
            assert_eq!(
                parse_query(query).map_err(|refusal| refusal.status),
                Err(400),
                "{query}"
            );
        }
    }

    #[test]
    fn a_delta_update_is_asked_for_in_two_ways() {
        for (query, expected) in [
            ("", false),
            ("_HLS_skip=YES", true),
            ("_HLS_skip=v2", true),
            ("_HLS_msn=1&_HLS_part=0&_HLS_skip=%59ES", true),
            ("_HLS_skip=yes", false),
            ("_HLS_skip=NO", false),
            ("_HLS_skip", false),
            ("skip=YES", false),
        ] {
            assert_eq!(
                parse_query(query).map(|query| query.skips),
                Ok(expected),
                "{query}"
            );
        }
    }

    #[test]
    fn wait_is_capped() {
        let patience = |query| parse_query(query).unwrap().patience;
        assert_eq!(patience("version=3"), None);
        assert_eq!(
            patience("wait=250&version=3"),
            Some(Patience {
                wait: Nanos::from_millis(250),
                version: Version(3),
            })
        );
        assert_eq!(
            patience("wait=18446744073709551615"),
            Some(Patience {
                wait: Nanos::from_seconds(60),
                version: Version(0),
            })
        );
    }
}
