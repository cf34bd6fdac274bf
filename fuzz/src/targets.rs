//! What is fuzzed, one function a target: bytes somebody else chose go into the pure middle of the plugin, and what comes
//! out keeps its promises.
//!
//! `make fuzz` feeds these with whatever libFuzzer thinks of; `tests/corpus.rs` of the plugin feeds them with what is kept in
//! `corpus/`, on stable Rust and with every other test. So `crate` is either this one or that test.

use std::{rc::Rc, sync::LazyLock};

use crate::{
    cmaf::{
        access_unit::{Coding, is_sync, length_size},
        boxes::top_boxes,
        init::init,
        moof::part,
        segmenter::{Cut, Sample},
    },
    delivery::{
        Caching, Content, Decision, Head, Request, Routes,
        access::{self, AccessToken, Way},
        cors::Cors,
        decide,
        directives::{Directives, parse_query},
        encoding::Text,
        hosts::AllowedHosts,
        multivariant,
        playlist::{self, PlaylistStyle},
        representation::{Representation, Source},
    },
    origin::{
        Origin,
        media::{
            Constants, InitSection, NewPart, Publication, RenditionId, RenditionKind,
            RenditionSettings, RunId,
        },
        rendition::Renditions,
        window::WindowSettings,
    },
    time::{MediaTime, Nanos, RunningTime, Timescale, UnixTime},
};
use bytes::Bytes;

/// A request: `<state> <milliseconds waited> <method> <target>`, as a text that people can read and write. The state is
/// `new` (no playlist yet), `one` (video alone), `two` (video and audio) or `over` (as `two`, ended).
pub fn request(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut words = text.splitn(4, ' ');
    let (Some(state), Some(waited), Some(method), Some(target)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let Some(site) = SITES.iter().find(|site| site.name == state) else {
        return;
    };
    let Some(waited) = waited
        .parse()
        .ok()
        .filter(|millis| (0..100_000).contains(millis))
        .map(Nanos::from_millis)
    else {
        return;
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = match Request::parse(method, path, query, &site.routes) {
        Ok(request) => request,
        Err(refusal) => return check_refusal(refusal.status, &refusal.reason),
    };
    let decision = decide(&request, &site.origin, waited);
    assert_eq!(
        decision,
        decide(&request, &site.origin, waited),
        "the same request has the same answer"
    );
    match decision {
        Decision::Wait { at_most } => {
            assert!(at_most > waited, "waits for a moment that has passed");
            let later = decide(&request, &site.origin, at_most);
            assert!(
                !matches!(later, Decision::Wait { .. }),
                "waits past its deadline"
            );
        }
        Decision::Refuse(refusal) => check_refusal(refusal.status, &refusal.reason),
        Decision::Reply(reply) => check_content(site, &reply.content),
    }
}

fn check_refusal(status: u16, reason: &str) {
    assert!((400..600).contains(&status), "{status}");
    assert!(!reason.is_empty() && reason.len() < 200, "{reason}");
    // It becomes one line of text, and must not bring anything of the client's into it.
    assert!(
        reason.chars().all(|letter| matches!(letter, ' '..='~')),
        "{reason}"
    );
}

const STYLE: PlaylistStyle = PlaylistStyle {
    start_offset: 1.5,
    ..PlaylistStyle::USUAL
};

fn check_content(site: &Site, content: &Content) {
    let text = match content {
        Content::Playlist(id) => {
            let whole = playlist::render(&site.origin, *id, &site.routes, &STYLE);
            let delta = playlist::render_delta(&site.origin, *id, &site.routes, &STYLE);
            assert!(delta.is_none_or(|delta| delta.len() < whole.as_ref().map_or(0, Bytes::len)));
            whole
        }
        Content::Multivariant => multivariant::render(&site.origin, &site.routes, &STYLE),
        Content::Media(chunks) => {
            assert!(chunks.iter().any(|chunk| !chunk.is_empty()), "empty media");
            return;
        }
        _ => return,
    };
    let text = text.expect("what is answered with is there");
    assert!(text.starts_with(b"#EXTM3U\n"));
}

/// A request's head: `<method> <target>`, then a line `name: value` for each header, as HTTP/1.1 has it but with bare line
/// feeds. It is asked for text and for media, of a site that lets nobody in without a token, a host name and an origin.
pub fn head(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else {
        return;
    };
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header = |wanted: &str| {
        let mut all = headers.iter();
        all.find(|(name, _)| *name == wanted)
            .map(|(_, value)| *value)
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let head = Head {
        method,
        path,
        query,
        host: header("host"),
        origin: header("origin"),
        authorization: header("authorization"),
        range: header("range"),
        if_range: header("if-range"),
        if_none_match: header("if-none-match"),
        accept_encoding: header("accept-encoding"),
    };
    if let Err(refusal) = GUARD.hosts.check(head.host) {
        assert_eq!(refusal.status, 421);
        check_refusal(refusal.status, &refusal.reason);
    }
    match access::admit(Some(&GUARD.token), &head) {
        Err(refusal) => {
            assert_eq!(refusal.status, 401);
            check_refusal(refusal.status, &refusal.reason);
        }
        Ok(admitted) => {
            let has_shown = data
                .windows(TOKEN.len())
                .any(|shown| shown == TOKEN.as_bytes());
            assert!(
                has_shown || text.contains('%') || admitted.way == Way::Open,
                "let in without the token"
            );
            assert!(admitted.way != Way::Open || method == "OPTIONS");
        }
    }
    let text = Rc::new(Text::new(TEXT.clone()));
    check_answer(
        Source::Text(Rc::clone(&text)),
        text.plain().len() as u64,
        &head,
    );
    let chunks = vec![
        Bytes::from_static(b"moof"),
        Bytes::from_static(b"mdat and more"),
    ];
    let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    check_answer(Source::Media(chunks), length, &head);
}

fn check_answer(source: Source, length: u64, head: &Head<'_>) {
    let mut answer = Representation {
        source,
        content_type: "video/mp4",
        caching: Caching::Immutable(60),
        tag: Some("run-1".to_owned()),
    }
    .answer(head);
    GUARD.cors.allow(head.origin, &mut answer);
    let allowed = answer.header("access-control-allow-origin");
    assert!(allowed.is_none() || allowed == Some(ORIGIN) && head.origin == Some(ORIGIN));
    for (name, value) in &answer.headers {
        assert!(
            value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{name}: {value}"
        );
    }
    let sent = answer.body.len();
    match answer.status {
        200 if answer.header("content-encoding").is_some() => assert!((1..length).contains(&sent)),
        200 => assert_eq!(sent, length),
        206 => {
            let range = answer.header("content-range").expect("says which");
            let (first, rest) = range
                .strip_prefix("bytes ")
                .and_then(|range| range.split_once('-'))
                .expect("a range");
            let (last, of) = rest.split_once('/').expect("of all");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            assert_eq!(number(of), length);
            assert!(number(last) < length);
            assert_eq!(number(last) + 1 - number(first), sent);
        }
        304 => assert_eq!(sent, 0),
        416 => assert_eq!(
            answer.header("content-range"),
            Some(&*format!("bytes */{length}"))
        ),
        other => panic!("answered with {other}"),
    }
}

/// What [`head`] is held against.
struct Guard {
    hosts: AllowedHosts,
    token: AccessToken,
    cors: Cors,
}

const TOKEN: &str = "secret-token";
const ORIGIN: &str = "https://example.com";

/// Long enough to be worth compressing.
static TEXT: LazyLock<String> = LazyLock::new(|| "#EXT-X-VERSION:9\n".repeat(100));

static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard {
    hosts: AllowedHosts::new("live.example.com, 192.0.2.1:8080").expect("names"),
    token: AccessToken::new(TOKEN),
    cors: Cors::new(ORIGIN).expect("an origin"),
});

/// The query of a playlist request.
pub fn query(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let parsed = match parse_query(text) {
        Ok(parsed) => parsed,
        Err(refusal) => return check_refusal(refusal.status, &refusal.reason),
    };
    let mut spelled = match parsed.directives {
        Directives::None => String::new(),
        Directives::Segment(msn) => format!("_HLS_msn={}", msn.0),
        Directives::Part(msn, part) => format!("_HLS_part={}&_HLS_msn={}", part.0, msn.0),
    };
    if parsed.skips {
        spelled.push_str("&_HLS_skip=YES");
    }
    let again = parse_query(&spelled).expect("what was understood can be said again");
    assert_eq!(
        (again.directives, again.skips),
        (parsed.directives, parsed.skips)
    );
    // Rule DD-15: what is somebody else's changes nothing.
    let among_others = format!("a=b&{text}&token=c");
    assert_eq!(parse_query(&among_others).ok(), Some(parsed));
}

/// Bytes as a muxer writes them, after one byte that says how many samples the part has; also as codec data and access
/// units, which come from upstream as they are.
pub fn muxed(data: &[u8]) {
    let Some((&count, bytes)) = data.split_first() else {
        return;
    };
    if let Ok(found) = top_boxes(bytes) {
        let ends = found.iter().map(|found| found.whole.end);
        assert!(ends.max().unwrap_or(0) <= bytes.len());
    }
    if let Ok(init) = init(bytes) {
        let kinds: Vec<[u8; 4]> = kinds(&init.bytes);
        assert_eq!(kinds, [*b"ftyp", *b"moov"]);
    }
    if let Ok(part) = part(bytes, &cut(count), u64::from(count)) {
        assert_eq!(kinds(&part), [*b"moof", *b"mdat"]);
        let most = bytes.len() + 1024 + 64 * usize::from(count);
        assert!(part.len() <= most, "{} of {}", part.len(), bytes.len());
    }
    for coding in [Coding::H264, Coding::H265] {
        let size = length_size(coding, bytes).unwrap_or(usize::from(count));
        is_sync(coding, size, bytes);
    }
}

fn kinds(boxes: &[u8]) -> Vec<[u8; 4]> {
    top_boxes(boxes)
        .expect("what is written can be read")
        .iter()
        .map(|found| found.kind.into())
        .collect()
}

fn cut(count: u8) -> Cut {
    let timescale = Timescale::new(90_000).expect("not zero");
    let samples = (0..count).map(|nth| Sample {
        duration: 3000,
        composition_offset: 0,
        is_sync: nth == 0,
    });
    Cut {
        decode: 0,
        duration: MediaTime {
            ticks: 3000 * i64::from(count),
            timescale,
        },
        samples: samples.collect(),
        captured: RunningTime(0),
        date: RunningTime(0),
        zero: RunningTime(0),
        is_discontinuity: false,
    }
}

/// An origin as it may be when a request comes.
struct Site {
    name: &'static str,
    origin: Origin,
    routes: Routes,
}

static SITES: LazyLock<[Site; 4]> = LazyLock::new(|| {
    let video = || RenditionSettings::new(RenditionKind::Video, "video");
    let audio = || RenditionSettings::new(RenditionKind::Audio, "audio");
    let mut over = Site::new("over", vec![video(), audio()], 12);
    over.publish(Publication::EndOfStream);
    [
        Site::new("new", vec![video()], 0),
        Site::new("one", vec![video()], 12),
        Site::new("two", vec![video(), audio()], 12),
        over,
    ]
});

impl Site {
    /// Segments of five parts of 200 ms, and two parts of the next: the window has begun to move.
    fn new(name: &'static str, renditions: Vec<RenditionSettings>, segments: u64) -> Self {
        let count = renditions.len();
        let renditions = Renditions::new(renditions).expect("two names");
        let run = RunId::new("run").expect("a plain name");
        let window = WindowSettings {
            playlist_length: 10,
            max_files: 10,
        };
        let mut site = Self {
            name,
            routes: Routes::new("live.m3u8".to_owned(), run.clone(), &renditions),
            origin: Origin::new(run, &renditions, window),
        };
        for id in (0..count).map(RenditionId) {
            site.publish(Publication::Init(id, init_section(id)));
        }
        for segment in 0..segments {
            for id in (0..count).map(RenditionId) {
                for _ in 0..5 {
                    site.publish(Publication::Part(id, new_part()));
                }
                let constants = (segment == 0).then_some(CONSTANTS);
                site.publish(Publication::SegmentEnd(id, constants));
            }
        }
        for id in (0..count).map(RenditionId) {
            site.publish(Publication::Part(id, new_part()));
            site.publish(Publication::Part(id, new_part()));
        }
        site
    }

    fn publish(&mut self, publication: Publication) {
        self.origin.publish(publication, UnixTime(0));
    }
}

const PART: MediaTime = MediaTime {
    ticks: 18_000,
    timescale: Timescale::new(90_000).expect("not zero"),
};

const CONSTANTS: Constants = Constants {
    target_duration: 1,
    part_target: PART,
    first_segment_has_parts: true,
};

fn init_section(id: RenditionId) -> InitSection {
    let is_video = id == RenditionId::MAIN;
    InitSection {
        bytes: Bytes::from_static(b"init"),
        codec: if is_video { "avc1.64001f" } else { "mp4a.40.2" }.to_owned(),
        resolution: is_video.then_some((1280, 720)),
        frame_rate: is_video.then_some((30, 1)),
        channels: (!is_video).then_some(2),
    }
}

fn new_part() -> NewPart {
    NewPart {
        bytes: Bytes::from_static(b"part"),
        duration: PART,
        is_independent: true,
        captured: UnixTime(0),
        program_date_time: UnixTime(0),
        is_discontinuity: false,
    }
}
