//! Reads a media playlist strictly and checks what one playlist alone can show.
//!
//! Rule ids are those of the conformance checklist.

use std::collections::HashMap;

/// Nanoseconds.
pub type Nanos = i64;

/// The number of the first segment of a presentation: not 0, which hls.js takes for none.
pub const FIRST_MSN: u64 = 1;

#[derive(Clone, Debug)]
pub struct Playlist {
    pub text: String,
    pub target_duration: i64,
    pub part_target: Nanos,
    pub part_hold_back: Nanos,
    /// EXT-X-START before the end of the playlist.
    pub start_offset: Option<Nanos>,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    /// Complete segments.
    pub segments: Vec<Segment>,
    /// The segment that is still growing.
    pub open: Option<Segment>,
    pub hint: Option<String>,
    /// PRELOAD-HINT of an init section.
    pub map_hint: Option<String>,
    /// RENDITION-REPORTs: URI, LAST-MSN, LAST-PART.
    pub reports: Vec<(String, u64, Option<u64>)>,
    pub is_ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub msn: u64,
    /// Empty while it is open.
    pub uri: String,
    /// EXTINF; zero while it is open.
    pub duration: Nanos,
    pub parts: Vec<Part>,
    pub map: String,
    /// PROGRAM-DATE-TIME.
    pub date: Nanos,
    pub is_discontinuity: bool,
    /// EXT-X-GAP.
    pub is_gap: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub uri: String,
    pub duration: Nanos,
    pub is_independent: bool,
    /// GAP=YES.
    pub is_gap: bool,
}

impl Part {
    pub fn number(&self) -> u64 {
        number(&self.uri)
    }
}

/// The number in a media URI.
pub fn number(uri: &str) -> u64 {
    let name = uri.rsplit(['/', '_']).next().unwrap();
    name.split_once('.').unwrap().0.parse().unwrap()
}

impl Playlist {
    /// Reads and checks.
    pub fn read(text: &str) -> Self {
        let playlist = Self::read_joined(text);
        if playlist.media_sequence > FIRST_MSN {
            playlist.check_window();
        }
        playlist
    }

    /// The same of a rendition that may have joined the others late: that its first number is not the first of all does not mean that
    /// anything was removed.
    pub fn read_joined(text: &str) -> Self {
        let playlist = Reader::default().read(text);
        playlist.check();
        playlist
    }

    /// PL-12: what has to be left when something is removed.
    pub fn check_window(&self) {
        let listed: Nanos = self.segments.iter().map(|segment| segment.duration).sum();
        assert!(
            listed >= 3 * self.target_duration * 1_000_000_000,
            "PL-12: {}",
            self.text
        );
    }

    /// Parts listed, of complete segments and the open one.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.all_segments().flat_map(|segment| &segment.parts)
    }

    /// Complete segments and the open one.
    pub fn all_segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().chain(&self.open)
    }

    /// Every URI that has to answer at this moment.
    pub fn uris(&self) -> Vec<&str> {
        let mut uris: Vec<&str> = self
            .all_segments()
            .flat_map(|segment| {
                let uri = if segment.is_gap { "" } else { &segment.uri };
                [segment.map.as_str(), uri]
            })
            .chain(
                self.parts()
                    .filter(|part| !part.is_gap)
                    .map(|part| part.uri.as_str()),
            )
            .filter(|uri| !uri.is_empty())
            .collect();
        uris.sort_unstable();
        uris.dedup();
        uris
    }

    /// Where the next part will be: `_HLS_msn` and `_HLS_part`.
    pub fn next_part(&self) -> (u64, usize) {
        let msn = self.media_sequence + self.segments.len() as u64;
        (msn, self.open.as_ref().map_or(0, |open| open.parts.len()))
    }

    fn check(&self) {
        self.check_constants();
        self.check_segments();
        self.check_parts();
        self.check_with_another_reader();
    }

    fn check_constants(&self) {
        assert!(self.target_duration >= 1, "PL-07: {}", self.text);
        assert!(
            self.part_hold_back >= 2 * self.part_target,
            "PL-24: {}",
            self.text
        );
        for tag in [
            "#EXT-X-PLAYLIST-TYPE",
            "#EXT-X-STREAM-INF",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "CAN-SKIP-DATERANGES",
            "BYTERANGE",
        ] {
            assert!(!self.text.contains(tag), "{tag} in {}", self.text);
        }
    }

    fn check_segments(&self) {
        assert!(
            !self.segments.is_empty(),
            "decision 13: no playlist before a segment: {}",
            self.text
        );
        for segment in &self.segments {
            // Half a second rounds up.
            let rounded = (segment.duration + 500_000_000) / 1_000_000_000;
            assert!(
                rounded <= self.target_duration,
                "PL-08: EXTINF of {} in {}",
                segment.uri,
                self.text
            );
        }
        for pair in self
            .all_segments()
            .collect::<Vec<_>>()
            .windows(2)
            .filter(|pair| !pair[1].is_discontinuity)
        {
            let step = pair[1].date - pair[0].date;
            assert!(
                (step - pair[0].duration).abs() <= 20_000_000,
                "PL-34: date after {} in {}",
                pair[0].uri,
                self.text
            );
        }
    }

    fn check_parts(&self) {
        let numbers: Vec<u64> = self.parts().map(Part::number).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "PL-19: {}",
            self.text
        );
        for segment in self.all_segments() {
            for part in &segment.parts {
                assert!(
                    part.duration <= self.part_target,
                    "PL-15: {} in {}",
                    part.uri,
                    self.text
                );
            }
            for pair in segment.parts.windows(2) {
                let part = &pair[0];
                assert!(
                    part.is_independent
                        || part.is_gap
                        || pair[1].is_gap
                        || part.duration * 100 >= self.part_target * 85,
                    "PL-16: {} in {}",
                    part.uri,
                    self.text
                );
            }
            let lacks_media = segment.parts.iter().any(|part| part.is_gap);
            if !segment.uri.is_empty() && !segment.parts.is_empty() {
                assert_eq!(segment.is_gap, lacks_media, "4.4.4.7: {}", self.text);
                let sum: Nanos = segment.parts.iter().map(|part| part.duration).sum();
                // Each printed number is off by half a digit at most.
                let slack = 5_000 * (segment.parts.len() as i64 + 1);
                assert!(
                    (sum - segment.duration).abs() <= slack,
                    "PL-21: parts of {} in {}",
                    segment.uri,
                    self.text
                );
            }
        }
        if let Some(hint) = &self.map_hint {
            let is_in_force = |segment: &Segment| segment.map == *hint;
            assert!(
                !self.all_segments().any(is_in_force),
                "PL-43: {}",
                self.text
            );
            assert!(!self.is_ended, "PL-42: {}", self.text);
        }
        match &self.hint {
            None => assert!(self.is_ended, "PL-28: {}", self.text),
            Some(hint) => {
                assert!(!self.is_ended, "PL-42: {}", self.text);
                assert!(self.parts().all(|part| part.uri != *hint), "PL-43");
                if let Some(newest) = numbers.last() {
                    assert_eq!(number(hint), newest + 1, "PL-29: {}", self.text);
                }
            }
        }
    }

    /// Somebody else's parser has to see the same.
    fn check_with_another_reader(&self) {
        let Ok(m3u8_rs::Playlist::MediaPlaylist(other)) =
            m3u8_rs::parse_playlist_res(self.text.as_bytes())
        else {
            panic!("not a media playlist: {}", self.text);
        };
        assert_eq!(other.target_duration as i64, self.target_duration);
        assert_eq!(other.media_sequence, self.media_sequence);
        assert_eq!(other.end_list, self.is_ended);
        let others: Vec<&str> = other
            .segments
            .iter()
            .map(|segment| segment.uri.as_str())
            .collect();
        let ours: Vec<&str> = self
            .segments
            .iter()
            .map(|segment| segment.uri.as_str())
            .collect();
        assert_eq!(others, ours);
    }
}

#[derive(Default)]
struct Reader {
    once: HashMap<String, String>,
    segments: Vec<Segment>,
    hints: Vec<String>,
    map_hints: Vec<String>,
    is_gap: bool,
    reports: Vec<(String, u64, Option<u64>)>,
    map: String,
    date: Option<Nanos>,
    is_discontinuity: bool,
    parts: Vec<Part>,
    extinf: Option<Nanos>,
}

impl Reader {
    fn read(mut self, text: &str) -> Playlist {
        assert!(text.starts_with("#EXTM3U\n"), "PL-02: {text}");
        assert!(text.ends_with('\n'), "{text}");
        assert!(
            text.bytes()
                .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)),
            "PL-02: {text}"
        );
        for line in text.lines().skip(1) {
            match line.strip_prefix('#') {
                Some(tag) => {
                    let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                    self.tag(name, value, text);
                }
                None => self.uri(line, text),
            }
        }
        self.finish(text)
    }

    fn tag(&mut self, name: &str, value: &str, text: &str) {
        match name {
            "EXT-X-VERSION"
            | "EXT-X-TARGETDURATION"
            | "EXT-X-SERVER-CONTROL"
            | "EXT-X-PART-INF"
            | "EXT-X-START"
            | "EXT-X-MEDIA-SEQUENCE"
            | "EXT-X-DISCONTINUITY-SEQUENCE"
            | "EXT-X-ENDLIST" => {
                let before_segments = name == "EXT-X-ENDLIST"
                    || (self.segments.is_empty() && self.parts.is_empty() && self.map.is_empty());
                assert!(before_segments, "PL-10, PL-39: {name} in {text}");
                let earlier = self.once.insert(name.to_owned(), value.to_owned());
                assert_eq!(earlier, None, "PL-04: {name} in {text}");
            }
            "EXT-X-MAP" => {
                self.assert_before_parts(name, text);
                self.map = attributes(value)["URI"].clone();
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.assert_before_parts(name, text);
                assert_eq!(self.date, None, "one date a segment: {text}");
                self.date = Some(date_time(value));
            }
            "EXT-X-DISCONTINUITY" => {
                self.assert_before_parts(name, text);
                assert_eq!(self.date, None, "PL-20: before the date: {text}");
                self.is_discontinuity = true;
            }
            "EXT-X-PART" => {
                assert!(self.date.is_some(), "PL-20, PL-31: {text}");
                assert_eq!(self.extinf, None, "PL-22: {text}");
                let attributes = attributes(value);
                self.parts.push(Part {
                    uri: attributes["URI"].clone(),
                    duration: decimal(&attributes["DURATION"]),
                    is_independent: attributes.get("INDEPENDENT").is_some_and(|is| is == "YES"),
                    is_gap: attributes.get("GAP").is_some_and(|is| is == "YES"),
                });
            }
            "EXT-X-GAP" => self.is_gap = true,
            "EXTINF" => {
                let (duration, title) = value.split_once(',').expect("PL-03: EXTINF has a comma");
                assert_eq!(title, "");
                self.extinf = Some(decimal(duration));
            }
            "EXT-X-PRELOAD-HINT" => {
                let attributes = attributes(value);
                let hints = match attributes["TYPE"].as_str() {
                    "PART" => &mut self.hints,
                    "MAP" => &mut self.map_hints,
                    other => panic!("a hint of {other} in {text}"),
                };
                hints.push(attributes["URI"].clone());
            }
            "EXT-X-RENDITION-REPORT" => {
                let attributes = attributes(value);
                let part = attributes.get("LAST-PART");
                self.reports.push((
                    attributes["URI"].clone(),
                    attributes["LAST-MSN"].parse().unwrap(),
                    part.map(|part| part.parse().unwrap()),
                ));
            }
            _ => panic!("unexpected tag {name} in {text}"),
        }
    }

    fn assert_before_parts(&self, name: &str, text: &str) {
        assert!(self.parts.is_empty(), "PL-20: {name} in {text}");
    }

    fn uri(&mut self, uri: &str, text: &str) {
        assert!(!uri.is_empty(), "{text}");
        let duration = self.extinf.take().expect("an EXTINF before each URI");
        let segment = self.take_segment(uri, duration, text);
        assert_eq!(number(uri), segment.msn, "named by its number: {text}");
        self.segments.push(segment);
    }

    fn take_segment(&mut self, uri: &str, duration: Nanos, text: &str) -> Segment {
        assert!(!self.map.is_empty(), "PL-35: {text}");
        let first: u64 = self.once["EXT-X-MEDIA-SEQUENCE"].parse().unwrap();
        Segment {
            msn: first + self.segments.len() as u64,
            uri: uri.to_owned(),
            duration,
            parts: std::mem::take(&mut self.parts),
            map: self.map.clone(),
            date: self.date.take().expect("PL-31: a date for each segment"),
            is_discontinuity: std::mem::take(&mut self.is_discontinuity),
            is_gap: std::mem::take(&mut self.is_gap),
        }
    }

    fn finish(mut self, text: &str) -> Playlist {
        let open = (!self.parts.is_empty()).then(|| self.take_segment("", 0, text));
        assert_eq!(self.date, None, "PL-20: a date without a part: {text}");
        assert!(self.hints.len() <= 1, "PL-28: {text}");
        assert!(self.map_hints.len() <= 1, "PL-28: {text}");
        assert_eq!(self.once["EXT-X-VERSION"], "6", "PL-05, PL-06");
        let control = attributes(&self.once["EXT-X-SERVER-CONTROL"]);
        assert_eq!(control["CAN-BLOCK-RELOAD"], "YES", "LL-01");
        let target_duration = self.once["EXT-X-TARGETDURATION"].parse().unwrap();
        if let Some(boundary) = control.get("CAN-SKIP-UNTIL") {
            let least = 6 * target_duration * 1_000_000_000;
            assert!(decimal(boundary) >= least, "PL-26: {text}");
        }
        Playlist {
            text: text.to_owned(),
            target_duration,
            part_target: decimal(&attributes(&self.once["EXT-X-PART-INF"])["PART-TARGET"]),
            part_hold_back: decimal(&control["PART-HOLD-BACK"]),
            start_offset: self.once.get("EXT-X-START").map(|start| {
                let start = attributes(start);
                assert_eq!(start["PRECISE"], "YES", "{text}");
                let offset = start["TIME-OFFSET"].strip_prefix('-');
                decimal(offset.expect("it counts from the end"))
            }),
            media_sequence: self.once["EXT-X-MEDIA-SEQUENCE"].parse().unwrap(),
            discontinuity_sequence: self
                .once
                .get("EXT-X-DISCONTINUITY-SEQUENCE")
                .map_or(0, |number| number.parse().unwrap()),
            is_ended: self.once.contains_key("EXT-X-ENDLIST"),
            segments: self.segments,
            open,
            hint: self.hints.pop(),
            map_hint: self.map_hints.pop(),
            reports: self.reports,
        }
    }
}

/// PL-03: no blanks, no duplicates; quotes are taken off.
fn attributes(list: &str) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').expect("PL-03: NAME=value");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-'),
            "PL-03: {list}"
        );
        let value = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').expect("PL-03: a closing quote");
                assert!(["URI"].contains(&name), "PL-03: {name} is not quoted");
                rest = after;
                value
            }
            None => {
                assert!(!["URI"].contains(&name), "PL-03: {name} is quoted");
                let end = value.find(',').unwrap_or(value.len());
                rest = &value[end..];
                &value[..end]
            }
        };
        let earlier = attributes.insert(name.to_owned(), value.to_owned());
        assert_eq!(earlier, None, "PL-03: {list}");
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').expect("PL-03: a comma between");
            assert!(!rest.is_empty(), "PL-03: {list}");
        }
    }
    attributes
}

/// Printed digits, exactly.
fn decimal(text: &str) -> Nanos {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 9, "{text}");
    let digits = format!("{fraction:0<9}");
    whole.parse::<i64>().unwrap() * 1_000_000_000 + digits.parse::<i64>().unwrap()
}

/// PL-32: `2026-11-22T13:24:00.123Z`, in nanoseconds since 1970.
fn date_time(text: &str) -> Nanos {
    let (date, time) = text.split_once('T').expect("a date and a time");
    let time = time
        .strip_suffix('Z')
        .or_else(|| time.strip_suffix("+00:00"))
        .expect("PL-32: a time zone");
    let date: Vec<i64> = date.split('-').map(|part| part.parse().unwrap()).collect();
    let [year, month, day] = date[..] else {
        panic!("{text}")
    };
    let time: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = time[..] else {
        panic!("{text}")
    };
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut days: i64 = (1970..year)
        .map(|year| 365 + i64::from(is_leap(year)))
        .sum();
    days += lengths[..month as usize - 1].iter().sum::<i64>();
    days += i64::from(is_leap(year) && month > 2) + day - 1;
    let minutes = (days * 24 + hour.parse::<i64>().unwrap()) * 60 + minute.parse::<i64>().unwrap();
    minutes * 60_000_000_000 + decimal(second)
}
