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
    Start, Targetduration, Version,
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
    /// Where players shall begin, before the end of the playlist: a multiple of the same length. Zero leaves it to them.
    pub start_offset: f64,
    /// Parts become visible with the whole segment they are in: PART-HOLD-BACK is a multiple of TARGETDURATION instead, or
    /// players would stall between segments.
    pub comes_by_segment: bool,
}

impl PlaylistStyle {
    /// Relative URIs, the least PART-HOLD-BACK that is advised (rule PL-25), and players begin where they like.
    pub const USUAL: Self = Self {
        base: None,
        part_hold_back: 3.0,
        start_offset: 0.0,
        comes_by_segment: false,
    };

    /// The length that distances from the live edge are multiples of, the same in all playlists: the longest PART-TARGET
    /// of all (rules PL-25, MV-10), or TARGETDURATION where players see nothing shorter.
    fn edge_unit(&self, common: &Common) -> i64 {
        let part_target = part_target_units(common.longest_part_target);
        if self.comes_by_segment {
            part_target.max(i64::from(common.target_duration) * i64::from(UNITS_PER_SECOND))
        } else {
            part_target
        }
    }

    /// EXT-X-START (4.4.2.2), which belongs into the entry playlist and no other. PRECISE, because players that begin at a
    /// segment's start instead would be further behind than without the tag.
    pub(super) fn start(&self, common: &Common) -> Option<Start<'static>> {
        let units = (self.edge_unit(common) as f64 * self.start_offset).round();
        (units.is_finite() && units > 0.0).then(|| {
            Start::builder()
                .with_time_offset(-units / f64::from(UNITS_PER_SECOND))
                .with_precise()
                .finish()
        })
    }
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
    if !routes.has_multivariant()
        && let Some(start) = style.start(common)
    {
        lines.tag(start);
    }
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
    let longest = style.edge_unit(common);
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

/// PART-HOLD-BACK, the same in all playlists because it follows from what is the same for all.
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
mod tests;
