//! The text of a media playlist.
//!
//! Belongs here: which tags, in which order, with which digits. Does not: which segments (`origin/window`), who gets it
//! when (`decision`), how renditions are offered (`multivariant`). Rendered once per change and shared, so all clients
//! see the same change at once.

use std::fmt::Write as _;

use bytes::Bytes;
use quick_m3u8::date::{DateTime, DateTimeTimezoneOffset};
use quick_m3u8::tag::hls::{
    Discontinuity, DiscontinuitySequence, Endlist, Gap, M3u, Map, MediaSequence, Part as PartTag,
    PartInf, PreloadHint, PreloadHintType, ProgramDateTime, RenditionReport, ServerControl, Skip,
    Targetduration, Version,
};
use quick_m3u8::{HlsLine, Writer};

use super::request::Routes;
use crate::origin::media::{Constants, RenditionId, RunId};
use crate::origin::name::{InitNumber, MediaName, MediaNames};
use crate::origin::window::{LiveWindow, Segment};
use crate::origin::{Common, Origin};
use crate::time::{MediaTime, UnixTime};

/// The least version with EXT-X-MAP in a playlist of whole pictures (rules PL-05, PL-06).
const VERSION: u64 = 6;

/// The least version with EXT-X-SKIP (rule PL-05).
const VERSION_WITH_SKIP: u64 = 9;

/// Durations are written in hundred-thousandths of a second: 1001/30000 s and its kin stay below their target.
const UNITS_PER_SECOND: u32 = 100_000;

/// PART-HOLD-BACK is never less than this many PART-TARGETs (rule PL-24).
const MIN_PART_HOLD_BACK: f64 = 2.0;

/// What a server adds to the text of its playlists, the same for the life of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaylistStyle {
    /// Put before every URI of media; `None` leaves them relative to the playlist.
    pub base: Option<BaseUrl>,
    /// PART-HOLD-BACK as a multiple of PART-TARGET (rules PL-24, PL-25).
    pub part_hold_back: f64,
    /// Parts become visible with the whole segment they are in: PART-HOLD-BACK is a multiple of TARGETDURATION instead, or
    /// players would stall between segments.
    pub comes_by_segment: bool,
}

/// An absolute URL that media names are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// `None` unless it is an http or https URL that can stand in a quoted attribute: printable ASCII without spaces,
    /// quotes, query or fragment. A slash is put at the end when there is none.
    pub fn new(url: &str) -> Option<Self> {
        let after_scheme = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"))?;
        let is_plain = after_scheme
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'?' | b'#'));
        let has_host = !after_scheme.is_empty() && !after_scheme.starts_with('/');
        (is_plain && has_host).then(|| {
            let slash = if url.ends_with('/') { "" } else { "/" };
            Self(format!("{url}{slash}"))
        })
    }

    /// The URL, with a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Renders the playlist of a rendition as it is now; `None` until it and the presentation are live (checklist section 0,
/// decision 13).
pub fn render(
    origin: &Origin,
    id: RenditionId,
    routes: &Routes,
    style: &PlaylistStyle,
) -> Option<Bytes> {
    write(origin, id, routes, style, 0)
}

/// Renders a delta update (6.2.5.1): the same, with EXT-X-SKIP in place of the segments beyond the Skip Boundary. What is
/// left out is what players have; an EXT-X-MAP that went with it stays in force (rules DD-12, PL-35).
pub fn render_delta(
    origin: &Origin,
    id: RenditionId,
    routes: &Routes,
    style: &PlaylistStyle,
) -> Option<Bytes> {
    let skipped = origin.rendition(id)?.window().skippable();
    write(origin, id, routes, style, skipped)
}

fn write(
    origin: &Origin,
    id: RenditionId,
    routes: &Routes,
    style: &PlaylistStyle,
    skipped: usize,
) -> Option<Bytes> {
    let window = origin.rendition(id)?.window();
    let (common, constants) = (origin.common()?, window.constants()?);
    let mut lines = Lines {
        writer: Writer::new(Vec::with_capacity(4096)),
        run: origin.run(),
        names: window.names(),
        base: style.base.as_ref().map_or("", BaseUrl::as_str),
        map: None,
    };
    let version = if skipped > 0 {
        VERSION_WITH_SKIP
    } else {
        VERSION
    };
    lines.tag(M3u);
    lines.tag(Version::new(version));
    write_header(&mut lines, window, constants, common, style);
    if skipped > 0 {
        lines.tag(
            Skip::builder()
                .with_skipped_segments(skipped as u64)
                .finish(),
        );
        lines.map = window.listed().nth(skipped - 1).map(|last| last.init);
    }
    let first_with_parts = window.first_listed_parts();
    for segment in window.listed().skip(skipped).chain(window.open()) {
        lines.segment(segment, segment.msn >= first_with_parts, constants);
    }
    if window.is_ended() {
        lines.tag(Endlist);
    } else {
        if let Some(init) = window.coming_init() {
            lines.hint(PreloadHintType::Map, MediaName::Init(init));
        }
        // Rules PL-28, PL-29: the running number is right whether or not the part opens a segment. Without a hint
        // hls.js asks in a loop.
        lines.hint(PreloadHintType::Part, MediaName::Part(window.next_part()));
        write_reports(&mut lines, origin, id, routes);
    }
    Some(Bytes::from(lines.writer.into_inner()))
}

fn write_header(
    lines: &mut Lines<'_>,
    window: &LiveWindow,
    constants: &Constants,
    common: &Common,
    style: &PlaylistStyle,
) {
    let part_target = part_target_units(constants.part_target);
    let mut longest = part_target_units(common.longest_part_target);
    if style.comes_by_segment {
        longest = longest.max(i64::from(constants.target_duration) * i64::from(UNITS_PER_SECOND));
    }
    lines.tag(Targetduration::new(u64::from(constants.target_duration)));
    let mut control = ServerControl::builder()
        .with_can_block_reload()
        .with_part_hold_back(part_hold_back(part_target, longest, style.part_hold_back));
    if let Some(boundary) = window.skip_boundary() {
        control = control.with_can_skip_until(f64::from(boundary));
    }
    lines.tag(control.finish());
    lines.tag(PartInf::new(seconds(part_target)));
    lines.tag(MediaSequence::new(window.first_listed().0));
    // Absent means 0 (4.4.3.3); once it has left 0 it never comes back, so it never disappears again.
    if window.discontinuity_sequence() > 0 {
        lines.tag(DiscontinuitySequence::new(window.discontinuity_sequence()));
    }
}

/// Rule PL-30: where each other rendition stands, of whatever type, so that a player that switches to it knows what to
/// ask for. Exact when written: the text is made anew whenever any rendition moved.
fn write_reports(lines: &mut Lines<'_>, origin: &Origin, id: RenditionId, routes: &Routes) {
    for (other, rendition) in origin.renditions() {
        let window = rendition.window();
        // One that has not come yet is in no playlist.
        if other == id || !window.is_live() {
            continue;
        }
        let Some((msn, part)) = window.last_listed() else {
            continue;
        };
        let report = RenditionReport::builder()
            .with_uri(routes.playlist_uri(other))
            .with_last_msn(msn.0);
        lines.tag(match part {
            Some(part) => report.with_last_part(part.0).finish(),
            None => report.finish(),
        });
    }
}

/// The lines of one playlist while it is being written.
struct Lines<'a> {
    writer: Writer<Vec<u8>>,
    run: &'a RunId,
    names: &'a MediaNames,
    base: &'a str,
    /// The init section in force.
    map: Option<InitNumber>,
}

impl Lines<'_> {
    fn segment(&mut self, segment: &Segment, has_parts: bool, constants: &Constants) {
        // Rule PL-20: what applies to the segment stands before its first part.
        if segment.is_discontinuity {
            self.tag(Discontinuity);
        }
        if self.map != Some(segment.init) {
            self.map = Some(segment.init);
            let uri = self.uri(MediaName::Init(segment.init));
            self.tag(Map::builder().with_uri(uri).finish());
        }
        self.tag(ProgramDateTime::new(date_time(segment.program_date_time)));
        if has_parts {
            let target = part_target_units(constants.part_target);
            for part in &segment.parts {
                // Rule PL-15: players compare the digits.
                let duration = part.duration.to_units_nearest(UNITS_PER_SECOND).min(target);
                let tag = PartTag::builder()
                    .with_uri(self.uri(MediaName::Part(part.number)))
                    .with_duration(seconds(duration));
                self.tag(match (part.is_gap, part.is_independent) {
                    (true, _) => tag.with_gap().finish(),
                    (false, true) => tag.with_independent().finish(),
                    (false, false) => tag.finish(),
                });
            }
        }
        if segment.completed.is_some() {
            if segment.is_gap() {
                self.tag(Gap);
            }
            let uri = self.uri(MediaName::Segment(segment.msn));
            let duration = extinf(segment.duration);
            self.writer
                .get_mut()
                .extend_from_slice(format!("#EXTINF:{duration},\n{uri}\n").as_bytes());
        }
    }

    fn hint(&mut self, what: PreloadHintType, name: MediaName) {
        let uri = self.uri(name);
        let hint = PreloadHint::builder().with_hint_type(what).with_uri(uri);
        self.tag(hint.finish());
    }

    fn uri(&self, name: MediaName) -> String {
        let name = self.names.write(name);
        format!("{}{}/{name}", self.base, self.run.as_str())
    }

    fn tag<'b>(&mut self, tag: impl Into<HlsLine<'b>>) {
        self.writer
            .write_line(tag.into())
            .expect("writing to memory does not fail");
    }
}

/// PART-TARGET as written: rounded up, so that no part's rounded duration passes it (rule PL-15).
fn part_target_units(part_target: MediaTime) -> i64 {
    part_target.to_units_ceil(UNITS_PER_SECOND)
}

/// PART-HOLD-BACK, the same in all playlists because it follows from the longest PART-TARGET of all (rules PL-25, MV-10).
/// Only a rendition that came later with even longer parts gets one of its own where it must (rule PL-24).
fn part_hold_back(part_target: i64, longest: i64, factor: f64) -> f64 {
    let factor = if factor.is_finite() {
        factor.max(MIN_PART_HOLD_BACK)
    } else {
        MIN_PART_HOLD_BACK
    };
    // A hair less before rounding up: 3.1 x 20000 is a little more than 62000 in binary.
    let units = (longest as f64 * factor - 1e-6).ceil();
    units.max(part_target as f64 * MIN_PART_HOLD_BACK) / f64::from(UNITS_PER_SECOND)
}

fn seconds(units: i64) -> f64 {
    units as f64 / f64::from(UNITS_PER_SECOND)
}

/// EXTINF by hand: the tag writer leaves out the comma that 4.4.4.1 asks for.
pub(super) fn extinf(duration: MediaTime) -> String {
    let units = duration.to_units_nearest(UNITS_PER_SECOND).max(0);
    let per_second = i64::from(UNITS_PER_SECOND);
    let mut text = String::new();
    write!(text, "{}.{:05}", units / per_second, units % per_second)
        .expect("writing to memory does not fail");
    text
}

/// UTC with milliseconds (rule PL-32), to nearest.
pub(super) fn date_time(time: UnixTime) -> DateTime {
    const MILLIS_PER_DAY: i64 = 86_400_000;
    let millis = time.0.saturating_add(500_000).div_euclid(1_000_000);
    let (year, month, day) = civil_date(millis.div_euclid(MILLIS_PER_DAY));
    let of_day = millis.rem_euclid(MILLIS_PER_DAY);
    DateTime {
        date_fullyear: u32::try_from(year).unwrap_or(0),
        date_month: month,
        date_mday: day,
        time_hour: (of_day / 3_600_000) as u8,
        time_minute: (of_day / 60_000 % 60) as u8,
        time_second: (of_day % 60_000) as f64 / 1000.0,
        timezone_offset: DateTimeTimezoneOffset {
            time_hour: 0,
            time_minute: 0,
        },
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01.
///
/// Whole four-century cycles first, then centuries, four-year cycles and years, in a year that begins in March, so
/// that the leap day is its last.
fn civil_date(days: i64) -> (i64, u8, u8) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    const DAYS_IN_100_YEARS: i64 = 36_524;
    const DAYS_IN_4_YEARS: i64 = 1_461;
    /// From 2000-03-01, where a cycle begins, to 1970-01-01.
    const EPOCH: i64 = -11_017;
    /// March to February.
    const DAYS_IN_MONTHS: [i64; 12] = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29];

    let days = days + EPOCH;
    let cycle = days.div_euclid(DAYS_IN_400_YEARS);
    let mut rest = days.rem_euclid(DAYS_IN_400_YEARS);
    // The last century of a cycle and the last year of four have a day more; they are not a fifth one.
    let century = (rest / DAYS_IN_100_YEARS).min(3);
    rest -= century * DAYS_IN_100_YEARS;
    let fours = rest / DAYS_IN_4_YEARS;
    rest -= fours * DAYS_IN_4_YEARS;
    let year_of_four = (rest / 365).min(3);
    rest -= year_of_four * 365;
    let mut year = 2000 + cycle * 400 + century * 100 + fours * 4 + year_of_four;
    let mut month = 0;
    while rest >= DAYS_IN_MONTHS[month] {
        rest -= DAYS_IN_MONTHS[month];
        month += 1;
    }
    if month >= 10 {
        year += 1;
    }
    let month = (month + 2) % 12 + 1;
    (year, month as u8, (rest + 1) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Content, Decision, Request, decide, multivariant};
    use crate::origin::fixture::{
        AUDIO, CONSTANTS, PART, Presentation, SETTINGS, START, Stream, VIDEO, audio, init,
        renditions, run, ticks, video, video_init,
    };
    use crate::origin::media::{Msn, Publication};
    use crate::time::Nanos;
    use proptest::prelude::*;

    const STYLE: PlaylistStyle = PlaylistStyle {
        base: None,
        part_hold_back: 3.0,
        comes_by_segment: false,
    };

    fn routes() -> Routes {
        Routes::new("live.m3u8".to_owned(), run(), &renditions())
    }

    fn text_of(presentation: &Presentation, id: RenditionId) -> String {
        let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
        let bytes = render(&presentation.origin, id, &routes, &STYLE).expect("there is a playlist");
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        read_back(&text);
        text
    }

    fn text(stream: &Stream, style: &PlaylistStyle) -> String {
        let bytes = render(&stream.origin, RenditionId::MAIN, &routes(), style)
            .expect("there is a playlist");
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        read_back(&text);
        text
    }

    /// Reads a playlist with two readers that are not ours.
    fn read_back(text: &str) {
        let (rest, playlist) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        let uris = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(playlist.segments.len(), uris, "{text}");

        let options = quick_m3u8::config::ParsingOptions::default();
        let mut reader = quick_m3u8::Reader::from_str(text, options);
        let mut parts = 0;
        while let Some(line) = reader.read_line().unwrap() {
            if let HlsLine::KnownTag(quick_m3u8::tag::KnownTag::Hls(
                quick_m3u8::tag::hls::Tag::Part(_),
            )) = line
            {
                parts += 1;
            }
            assert!(!matches!(line, HlsLine::UnknownTag(_)), "{line:?}");
        }
        assert_eq!(parts, text.matches("#EXT-X-PART:").count());
    }

    #[test]
    fn there_is_none_before_the_first_segment_is_complete() {
        let mut stream = Stream::new(SETTINGS, CONSTANTS);
        stream.parts(4);
        let text = render(&stream.origin, RenditionId::MAIN, &routes(), &STYLE);
        assert_eq!(text, None);
    }

    #[test]
    fn at_the_start() {
        let mut stream = Stream::new(SETTINGS, CONSTANTS);
        stream.parts(2);
        stream.part_of(3000);
        stream.end_segment();
        stream.part();
        assert_eq!(
            text(&stream, &STYLE),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.1
#EXTINF:0.50000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.500Z
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00004.m4s\"
"
        );
    }

    #[test]
    fn live_with_a_full_window() {
        let mut stream = Stream::with_segments(20);
        stream.part();
        assert_eq!(
            text(&stream, &STYLE),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:17
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:16.000Z
#EXTINF:1.00000,
run/segment_00017.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:17.000Z
#EXTINF:1.00000,
run/segment_00018.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:18.000Z
#EXT-X-PART:URI=\"run/part_00090.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00091.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00092.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00093.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00094.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00019.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:19.000Z
#EXT-X-PART:URI=\"run/part_00095.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00096.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00097.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00098.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00099.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00020.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:20.000Z
#EXT-X-PART:URI=\"run/part_00100.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00101.m4s\"
"
        );
    }

    #[test]
    fn a_discontinuity_with_a_new_format() {
        let mut stream = Stream::with_segments(1);
        stream.position = stream.position + Nanos::from_seconds(7);
        stream.publish(init("<other>"));
        stream.parts(1);
        assert_eq!(
            text(&stream, &STYLE),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00004.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"run/init_1.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:08.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00006.m4s\"
"
        );
    }

    #[test]
    fn a_hole_keeps_its_place() {
        let mut stream = Stream::with_segments(1);
        stream.parts(2);
        stream.gap(3 * PART);
        stream.end_segment();
        stream.gap(2 * PART + 1000);
        assert_eq!(
            text(&stream, &STYLE),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00004.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00006.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00007.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00008.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00009.m4s\",DURATION=0.2,GAP=YES
#EXT-X-GAP
#EXTINF:1.00000,
run/segment_00002.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:02.000Z
#EXT-X-PART:URI=\"run/part_00010.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00011.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00012.m4s\",DURATION=0.03333,GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00013.m4s\"
"
        );
        // When the parts of the older one are not listed any more.
        stream.end_segment();
        stream.segment(5);
        stream.segment(5);
        let later = text(&stream, &STYLE);
        let older = "\
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-GAP
#EXTINF:1.00000,
run/segment_00002.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:02.000Z
#EXT-X-PART:URI=\"run/part_00010.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00011.m4s\",DURATION=0.2,GAP=YES
#EXT-X-PART:URI=\"run/part_00012.m4s\",DURATION=0.03333,GAP=YES
#EXT-X-GAP
#EXTINF:0.43333,
run/segment_00003.m4s
";
        assert!(later.contains(older), "{later}");
    }

    #[test]
    fn an_audio_that_fell_silent_beside_a_video() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(1);
        presentation.segment(VIDEO);
        presentation.gap(AUDIO, Nanos::from_millis(300));
        assert_eq!(
            text_of(&presentation, AUDIO),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.192
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/audio_init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/audio_part_00000.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00001.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00002.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00003.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00004.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00005.m4s\",DURATION=0.04267,INDEPENDENT=YES
#EXTINF:1.00267,
run/audio_segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.003Z
#EXT-X-PART:URI=\"run/audio_part_00006.m4s\",DURATION=0.192,GAP=YES
#EXT-X-PART:URI=\"run/audio_part_00007.m4s\",DURATION=0.108,GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/audio_part_00008.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=2,LAST-PART=4
"
        );
        let video = text_of(&presentation, VIDEO);
        let report = "#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=1\n";
        assert!(video.ends_with(report), "{video}");
    }

    #[test]
    fn the_next_init_section_is_hinted_while_the_next_part_needs_it() {
        const MAP_HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"run/init_1.mp4\"\n";
        const PART_HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00005.m4s\"\n";
        let mut stream = Stream::with_segments(1);
        let plain = text(&stream, &STYLE);
        assert!(
            plain.ends_with(&format!("segment_00001.m4s\n{PART_HINT}")),
            "{plain}"
        );
        stream.publish(Publication::ComingInit(RenditionId::MAIN));
        let announced = text(&stream, &STYLE);
        assert!(
            announced.ends_with(&format!("segment_00001.m4s\n{MAP_HINT}{PART_HINT}")),
            "nothing else is told of it: {announced}"
        );
        assert_eq!(announced.replace(MAP_HINT, ""), plain);
        // It is there, and so is the need for it.
        stream.publish(init("<other>"));
        assert_eq!(text(&stream, &STYLE), announced);
        stream.part();
        let done = text(&stream, &STYLE);
        assert!(!done.contains("TYPE=MAP"), "{done}");
        assert!(done.contains("#EXT-X-MAP:URI=\"run/init_1.mp4\""), "{done}");
    }

    #[test]
    fn after_a_discontinuity_left() {
        let mut stream = Stream::with_segments(1);
        stream.discontinuity();
        for _ in 0..9 {
            stream.segment(5);
        }
        let text = text(&stream, &STYLE);
        assert!(
            text.contains("#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"),
            "{text}"
        );
        assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    }

    #[test]
    fn ended() {
        let mut stream = Stream::with_segments(1);
        stream.part();
        stream.end();
        let text = text(&stream, &STYLE);
        let tail = "\
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXTINF:0.20000,
run/segment_00002.m4s
#EXT-X-ENDLIST
";
        assert!(text.ends_with(tail), "{text}");
        assert!(!text.contains("PRELOAD-HINT"), "{text}");
    }

    #[test]
    fn video_with_audio_beside_it() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(1);
        presentation.part(AUDIO);
        assert_eq!(
            text_of(&presentation, VIDEO),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/part_00000.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/part_00001.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00002.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00003.m4s\",DURATION=0.2
#EXT-X-PART:URI=\"run/part_00004.m4s\",DURATION=0.2
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00005.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=0
"
        );
    }

    #[test]
    fn audio_with_two_videos_beside_it() {
        let mut presentation =
            Presentation::new(vec![video("video"), audio("audio"), video("video_1")])
                .with_segments(1);
        presentation.part(VIDEO);
        presentation.part(VIDEO);
        assert_eq!(
            text_of(&presentation, AUDIO),
            "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=0.6,CAN-BLOCK-RELOAD=YES
#EXT-X-PART-INF:PART-TARGET=0.192
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-MAP:URI=\"run/audio_init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXT-X-PART:URI=\"run/audio_part_00000.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00001.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00002.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00003.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00004.m4s\",DURATION=0.192,INDEPENDENT=YES
#EXT-X-PART:URI=\"run/audio_part_00005.m4s\",DURATION=0.04267,INDEPENDENT=YES
#EXTINF:1.00267,
run/audio_segment_00001.m4s
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/audio_part_00006.m4s\"
#EXT-X-RENDITION-REPORT:URI=\"live_video.m3u8\",LAST-MSN=2,LAST-PART=1
#EXT-X-RENDITION-REPORT:URI=\"live_video_1.m3u8\",LAST-MSN=1,LAST-PART=4
"
        );
    }

    #[test]
    fn a_rendition_that_joins_begins_where_the_others_are() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.publish(Publication::Absent(AUDIO));
        presentation.segment(VIDEO);
        let before = text_of(&presentation, VIDEO);
        assert!(!before.contains("RENDITION-REPORT"), "{before}");
        presentation.track(VIDEO).discontinuity();
        for _ in 0..6 {
            presentation.segment(VIDEO);
        }
        presentation.publish(Publication::Start(AUDIO, Msn(6)));
        presentation.segment(AUDIO);
        let text = text_of(&presentation, AUDIO);
        assert!(
            text.contains("#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-MAP"),
            "{text}"
        );
        let video = text_of(&presentation, VIDEO);
        assert!(
            video.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=7,LAST-PART=5\n"),
            "{video}"
        );
    }

    #[test]
    fn an_ended_rendition_reports_nothing_and_is_reported() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(2);
        presentation.publish(Publication::EndOfRendition(AUDIO));
        presentation.part(VIDEO);
        let audio = text_of(&presentation, AUDIO);
        assert!(
            audio.ends_with("run/audio_segment_00002.m4s\n#EXT-X-ENDLIST\n"),
            "{audio}"
        );
        let video = text_of(&presentation, VIDEO);
        assert!(
            video.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=2,LAST-PART=5\n"),
            "{video}"
        );
    }

    #[test]
    fn a_report_names_no_part_where_none_is_listed() {
        let mut presentation = Presentation::of_video_and_audio();
        presentation.track(AUDIO).constants.first_segment_has_parts = false;
        let mut presentation = presentation.with_segments(1);
        let text = text_of(&presentation, VIDEO);
        assert!(
            text.ends_with("URI=\"live_audio.m3u8\",LAST-MSN=1\n"),
            "{text}"
        );
        presentation.part(AUDIO);
        let text = text_of(&presentation, VIDEO);
        assert!(text.ends_with("LAST-MSN=2,LAST-PART=0\n"), "{text}");
    }

    #[test]
    fn reports_stay_relative_under_a_public_url() {
        let presentation = Presentation::of_video_and_audio().with_segments(1);
        let routes = Routes::new("a b.m3u8".to_owned(), run(), &presentation.renditions);
        let style = PlaylistStyle {
            base: BaseUrl::new("https://cdn.example/"),
            ..STYLE
        };
        let bytes = render(&presentation.origin, AUDIO, &routes, &style).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(
            text.contains("#EXT-X-MAP:URI=\"https://cdn.example/run/audio_init.mp4\""),
            "{text}"
        );
        assert!(
            text.contains("#EXT-X-RENDITION-REPORT:URI=\"a%20b_video.m3u8\""),
            "{text}"
        );
    }

    #[test]
    fn parts_of_the_first_segment_may_have_to_be_left_out() {
        let mut stream = Stream::new(
            SETTINGS,
            Constants {
                first_segment_has_parts: false,
                ..CONSTANTS
            },
        );
        stream.segment(5);
        stream.part();
        let text = text(&stream, &STYLE);
        let tail = "\
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:00.000Z
#EXTINF:1.00000,
run/segment_00001.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-08-01T12:00:01.000Z
#EXT-X-PART:URI=\"run/part_00005.m4s\",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"run/part_00006.m4s\"
";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn a_public_url_goes_before_every_uri() {
        let mut stream = Stream::with_segments(1);
        stream.part();
        let style = PlaylistStyle {
            base: BaseUrl::new("https://cdn.example/a"),
            ..STYLE
        };
        let (absolute, relative) = (text(&stream, &style), text(&stream, &STYLE));
        assert_eq!(absolute.matches("https://cdn.example/a/run/").count(), 9);
        assert_eq!(absolute.replace("https://cdn.example/a/", ""), relative);
    }

    #[test]
    fn a_base_is_a_plain_url() {
        for (url, expected) in [
            ("http://h", Some("http://h/")),
            ("https://h:8443/x/", Some("https://h:8443/x/")),
            ("http://", None),
            ("http:///x", None),
            ("ftp://h", None),
            ("h/x", None),
            ("", None),
            ("http://h/\"", None),
            ("http://h/a b", None),
            ("http://h/\n#EXT", None),
            ("http://h/?a=b", None),
            ("http://h/#a", None),
        ] {
            let base = BaseUrl::new(url);
            assert_eq!(base.as_ref().map(BaseUrl::as_str), expected, "{url}");
        }
    }

    #[test]
    fn no_part_is_longer_than_the_target_on_the_printed_digits() {
        // 29.97 and 59.94 frames a second, and AAC at 48 and 44.1 kHz.
        for (timescale, frame) in [
            (30_000, 1001),
            (60_000, 1001),
            (48_000, 1024),
            (44_100, 1024),
        ] {
            let timescale = crate::time::Timescale::new(timescale).unwrap();
            for frames in 1..60 {
                let part_target = MediaTime {
                    ticks: frames * frame,
                    timescale,
                };
                let target = part_target_units(part_target);
                let part = part_target.to_units_nearest(UNITS_PER_SECOND);
                assert!(part <= target && target <= part + 1, "{part_target:?}");
            }
        }
        // A part the sink should not have made.
        let mut stream = Stream::with_segments(1);
        stream.part_of(PART + 1000);
        assert!(text(&stream, &STYLE).contains("part_00005.m4s\",DURATION=0.2,"));
    }

    #[test]
    fn hold_back_is_rounded_up_and_never_under_two_targets() {
        for (factor, expected) in [
            (3.0, 0.6),
            (3.1, 0.62),
            (3.33333, 0.66667),
            (2.0, 0.4),
            (1.0, 0.4),
            (-1.0, 0.4),
            (f64::NAN, 0.4),
            (f64::INFINITY, 0.4),
        ] {
            assert_eq!(part_hold_back(20_000, 20_000, factor), expected, "{factor}");
        }
        // Shorter parts than others have, and longer ones that came late.
        assert_eq!(part_hold_back(19_200, 20_000, 3.0), 0.6);
        assert_eq!(part_hold_back(25_000, 20_000, 3.0), 0.6);
        assert_eq!(part_hold_back(40_000, 20_000, 3.0), 0.8);
    }

    #[test]
    fn durations_have_five_decimals() {
        for (length, expected) in [
            (30_000, "1.00000"),
            (1001, "0.03337"),
            (30_030, "1.00100"),
            (300_000_001, "10000.00003"),
        ] {
            assert_eq!(extinf(ticks(length)), expected);
        }
    }

    #[test]
    fn dates() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1_000_000, "1969-12-31T23:59:59.999Z"),
            (499_999, "1970-01-01T00:00:00.000Z"),
            (500_000, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999_000_000, "2000-02-28T23:59:59.999Z"),
            (951_782_399_999_500_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000_000_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600_000_000_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
            (START.0, "2026-08-01T12:00:00.000Z"),
        ] {
            assert_eq!(date_time(UnixTime(nanos)).to_string(), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// MR-06: whatever has been published, each URI a playlist names has an answer, and only the hint's is to wait.
        #[test]
        fn every_uri_named_is_answerable(
            segments in prop::collection::vec((0..8_u64, any::<bool>(), any::<bool>(), 0..3_i64), 1..30),
            open_parts in 0..5_u64,
            is_init_coming: bool,
        ) {
            let mut stream = Stream::new(SETTINGS, CONSTANTS);
            let routes = routes();
            let mut formats = ["<a>", "<b>"].iter().cycle();
            stream.segment(5);
            for (parts, is_discontinuity, is_new_format, missing) in segments {
                if is_discontinuity {
                    stream.discontinuity();
                }
                if is_new_format {
                    stream.publish(init(formats.next().unwrap()));
                }
                stream.parts(parts);
                if missing > 0 || parts == 0 {
                    stream.gap(missing * 7000 + 1);
                }
                stream.end_segment();
            }
            if is_init_coming {
                stream.publish(Publication::ComingInit(RenditionId::MAIN));
            }
            stream.parts(open_parts);
            check_answerable(&text(&stream, &STYLE), &stream.origin, &routes)?;
        }

        /// The same of several renditions, each at its own pace: of the multivariant playlist and whatever it leads to.
        /// And PL-30: each report says what the playlist it is about says at that moment.
        #[test]
        fn every_uri_of_a_presentation_is_answerable_and_every_report_true(
            steps in prop::collection::vec((0..4_usize, 0..10_u8), 1..60),
        ) {
            let settings = vec![video("video"), audio("audio"), video("video_1"), audio("audio_1")];
            let mut presentation = Presentation::new(settings);
            let routes = Routes::new("live.m3u8".to_owned(), run(), &presentation.renditions);
            let mut formats = ["<a>", "<b>"].iter().cycle();
            let mut numbers = [(0, 0); 4];
            for (place, what) in steps {
                let id = RenditionId(place);
                match what {
                    0 => {
                        presentation.publish(Publication::Absent(id));
                    }
                    1 if place == 3 => {
                        presentation.publish(Publication::EndOfRendition(id));
                    }
                    1 => presentation.track(id).discontinuity(),
                    2 => {
                        let init = video_init(formats.next().unwrap());
                        presentation.publish(Publication::Init(id, init));
                    }
                    3..=4 => {
                        presentation.segment(id);
                    }
                    5 => {
                        presentation.gap(id, Nanos::from_millis(900));
                        presentation.end_segment(id);
                    }
                    6 => {
                        presentation.publish(Publication::ComingInit(id));
                    }
                    _ => {
                        presentation.part(id);
                    }
                }
                let Some(entry) = multivariant::render(&presentation.origin, &routes) else {
                    continue;
                };
                let entry = str::from_utf8(&entry).unwrap();
                check_answerable(entry, &presentation.origin, &routes)?;
                let texts: Vec<(RenditionId, String)> = presentation
                    .origin
                    .renditions()
                    .filter(|(_, rendition)| rendition.window().is_live())
                    .map(|(id, _)| (id, text_of(&presentation, id)))
                    .collect();
                for (id, text) in &texts {
                    check_answerable(text, &presentation.origin, &routes)?;
                    check_reports(*id, &texts, &routes)?;
                    let number = |tag: &str| {
                        let line = text.lines().find_map(|line| line.strip_prefix(tag));
                        line.map_or(0, |number| number.parse::<u64>().unwrap())
                    };
                    let after = (
                        number("#EXT-X-MEDIA-SEQUENCE:"),
                        number("#EXT-X-DISCONTINUITY-SEQUENCE:"),
                    );
                    let before = std::mem::replace(&mut numbers[id.0], after);
                    prop_assert!(after.0 >= before.0 && after.1 >= before.1);
                }
            }
        }
    }

    fn check_answerable(text: &str, origin: &Origin, routes: &Routes) -> Result<(), TestCaseError> {
        let mut is_gap = false;
        for line in text.lines() {
            is_gap |= line == "#EXT-X-GAP";
            let is_missing = if line.starts_with('#') {
                line.ends_with("GAP=YES")
            } else {
                std::mem::take(&mut is_gap)
            };
            check_line(line, is_missing, origin, routes)?;
        }
        Ok(())
    }

    fn check_line(
        line: &str,
        is_missing: bool,
        origin: &Origin,
        routes: &Routes,
    ) -> Result<(), TestCaseError> {
        let uri = match line.split_once("URI=\"") {
            Some((_, rest)) => rest.split('"').next().unwrap(),
            None if line.starts_with('#') => return Ok(()),
            None => line,
        };
        let request = Request::parse("GET", &format!("/{uri}"), None, routes).unwrap();
        let decision = decide(&request, origin, Nanos(0));
        let is_as_promised = match &decision {
            Decision::Wait { .. } => line.starts_with("#EXT-X-PRELOAD-HINT"),
            Decision::Refuse(refusal) if is_missing => refusal.status == 404,
            Decision::Reply(_) if is_missing => false,
            Decision::Reply(reply) => match &reply.content {
                // An init section may be there before the part that needs it.
                Content::Media(chunks) => {
                    !chunks.is_empty() && !line.starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART")
                }
                Content::Playlist(id) => render(origin, *id, routes, &STYLE).is_some(),
                _ => false,
            },
            Decision::Refuse(_) => false,
        };
        prop_assert!(is_as_promised, "{line}: {decision:?}");
        Ok(())
    }

    /// Each report in the playlist of `id` against the text it is about.
    fn check_reports(
        id: RenditionId,
        texts: &[(RenditionId, String)],
        routes: &Routes,
    ) -> Result<(), TestCaseError> {
        let others = texts.iter().filter(|(other, _)| *other != id);
        let expected: Vec<String> = others
            .map(|(other, text)| {
                let uri = routes.playlist_uri(*other);
                format!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",{}", last_of(text))
            })
            .collect();
        let own = texts.iter().find(|(own, _)| *own == id);
        let text = own.map_or("", |(_, text)| text);
        let found: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("#EXT-X-RENDITION-REPORT"))
            .collect();
        if text.ends_with("#EXT-X-ENDLIST\n") {
            prop_assert!(found.is_empty());
        } else {
            prop_assert_eq!(found, expected);
        }
        Ok(())
    }

    /// The newest part a playlist lists, counted off its text.
    fn last_of(text: &str) -> String {
        let (mut msn, mut parts) = (0, 0_u64);
        let mut last = String::new();
        for line in text.lines() {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                msn = first.parse().unwrap();
            } else if line.starts_with("#EXT-X-PART:") {
                last = format!("LAST-MSN={msn},LAST-PART={parts}");
                parts += 1;
            } else if !line.starts_with('#') {
                if parts == 0 {
                    last = format!("LAST-MSN={msn}");
                }
                (msn, parts) = (msn + 1, 0);
            }
        }
        last
    }
}
