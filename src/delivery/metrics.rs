//! `/metrics`: the figures for Prometheus, in its text exposition format 0.0.4.
//!
//! Belongs here: names, by its conventions, and spelling. Does not: counting (`stats`).
//!
//! By hand: the client libraries keep counters of their own that are registered and then written, and the figures are kept
//! already, once for all who ask; what would remain of a library is these few lines.

use std::fmt::{Display, Write as _};

use super::stats::{BUCKETS, Delay, Stats};

/// Content-Type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the document.
pub fn render(stats: &Stats) -> String {
    let mut page = Exposition::default();
    if let Some(edge) = stats.edge {
        page.gauge(
            "llhls_live_edge_msn",
            "Media Sequence Number of the newest part's segment.",
            edge.msn.0,
        );
        page.gauge(
            "llhls_live_edge_part",
            "Place of the newest part in its segment.",
            edge.part.0,
        );
    }
    page.counter(
        "llhls_playlist_changes_total",
        "Visible changes of the main media playlist.",
        stats.version,
    );
    page.gauge(
        "llhls_stream_ended",
        "1 once the stream is over.",
        u8::from(stats.is_ended),
    );

    render_renditions(&mut page, stats);
    render_clients(&mut page, stats);

    page.counter(
        "llhls_published_bytes_total",
        "Bytes of media published.",
        stats.bytes.published,
    );
    page.counter(
        "llhls_sent_bytes_total",
        "Bytes of the bodies that were begun.",
        stats.bytes.sent,
    );
    page.gauge(
        "llhls_kept_bytes",
        "Bytes of media in memory.",
        stats.bytes.kept,
    );
    page.histogram(
        "llhls_publish_delay_seconds",
        "From a part being handed over to the thread that serves having taken it in; its waiters are woken at once then.",
        &stats.delays.handover,
    );
    page.histogram(
        "llhls_capture_to_publish_seconds",
        "From the capture of a part's first frame to the part being there, its own duration included.",
        &stats.delays.capture_to_publish,
    );
    page.counter(
        "llhls_protocol_violations_total",
        "Publications that broke the protocol between sink and server.",
        stats.violations,
    );
    page.text
}

fn render_renditions(page: &mut Exposition, stats: &Stats) {
    page.head(
        "llhls_rendition_info",
        "gauge",
        "What each rendition is; always 1.",
    );
    for track in &stats.tracks {
        let resolution = track
            .resolution
            .map_or_else(String::new, |(width, height)| format!("{width}x{height}"));
        page.sample(
            "llhls_rendition_info",
            &[
                ("rendition", &track.name),
                ("kind", track.kind.as_str()),
                ("codec", track.codec.as_deref().unwrap_or_default()),
                ("resolution", &resolution),
            ],
            1,
        );
    }
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(usize) -> f64| {
        page.head(name, kind, help);
        for (place, track) in stats.tracks.iter().enumerate() {
            page.sample(name, &[("rendition", &track.name)], value(place));
        }
    };
    let tracks = &stats.tracks;
    family(
        "llhls_rendition_parts_total",
        "counter",
        "Parts published.",
        &|place| tracks[place].parts as f64,
    );
    family(
        "llhls_rendition_segments_total",
        "counter",
        "Segments published.",
        &|place| tracks[place].segments as f64,
    );
    family(
        "llhls_rendition_peak_bytes_per_second",
        "gauge",
        "The heaviest stretch so far, as BANDWIDTH has it.",
        &|place| tracks[place].peak_bandwidth as f64 / 8.0,
    );
    family(
        "llhls_rendition_average_bytes_per_second",
        "gauge",
        "The average so far.",
        &|place| tracks[place].average_bandwidth as f64 / 8.0,
    );
}

fn render_clients(page: &mut Exposition, stats: &Stats) {
    let clients = &stats.clients;
    page.gauge(
        "llhls_connections",
        "Connections open.",
        clients.connections,
    );
    page.counter(
        "llhls_connections_accepted_total",
        "Connections accepted.",
        clients.accepted,
    );
    page.counter(
        "llhls_connections_turned_away_total",
        "Connections turned away for want of room.",
        clients.turned_away,
    );
    page.counter(
        "llhls_connection_panics_total",
        "Connections whose task panicked, each a bug of the server.",
        clients.panics,
    );
    page.counter("llhls_requests_total", "Requests read.", clients.requests);
    page.gauge(
        "llhls_requests_parked",
        "Requests that wait for a part.",
        clients.parked,
    );
    page.counter(
        "llhls_requests_abandoned_total",
        "Requests whose client left while they waited.",
        clients.abandoned,
    );
    page.counter(
        "llhls_delta_updates_total",
        "Playlists sent as delta updates.",
        stats.answers.deltas,
    );
    page.counter(
        "llhls_compressed_answers_total",
        "Bodies sent in gzip.",
        stats.answers.gzipped,
    );
    page.counter(
        "llhls_range_answers_total",
        "Ranges of media sent.",
        stats.answers.ranges,
    );
    page.counter(
        "llhls_not_modified_answers_total",
        "Answers without a body because the client had it.",
        stats.answers.not_modified,
    );
    let refusals = "llhls_refusals_total";
    page.head(refusals, "counter", "Requests refused, by reason.");
    for (reason, count) in stats.refusals.by_reason() {
        page.sample(refusals, &[("reason", reason)], count);
    }
    let limits = "llhls_over_limit_total";
    page.head(
        limits,
        "counter",
        "Clients that went over a limit, by limit.",
    );
    for (limit, count) in stats.limits.iter() {
        page.sample(limits, &[("limit", limit.name())], count);
    }
}

/// A document under construction.
#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, delay: &Delay) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in BUCKETS.iter().zip(delay.at_most()) {
            let bound = (bound.0 as f64 / 1e9).to_string();
            self.sample(&bucket, &[("le", &bound)], count);
        }
        self.sample(&bucket, &[("le", "+Inf")], delay.count);
        let sum = delay.total().0 as f64 / 1e9;
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], delay.count);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("writing to memory does not fail");
    }
}

/// Label values come from caps and pad names: whatever they are, they stay in their quotes.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::fixture::{AUDIO, Presentation};
    use crate::time::Nanos;
    use std::collections::{HashMap, HashSet};

    /// Reads a document as strictly as Prometheus does: each family once, HELP and TYPE before its samples, names and labels
    /// well formed, histograms that add up. Gives the samples back.
    fn read(text: &str) -> HashMap<String, f64> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let mut samples = HashMap::new();
        let mut families = HashSet::new();
        let (mut family, mut kind, mut helped) = (String::new(), String::new(), String::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.'), "{line}");
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, what) = rest.split_once(' ').unwrap();
                assert_eq!(name, helped, "HELP comes first");
                assert!(is_name(name) && families.insert(name.to_owned()), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&what), "{line}");
                assert_eq!(name.ends_with("_total"), what == "counter", "{line}");
                name.clone_into(&mut family);
                what.clone_into(&mut kind);
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let suffix = name
                    .strip_prefix(&*family)
                    .unwrap_or_else(|| panic!("{line} in {family}"));
                let is_expected = match kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                    _ => suffix.is_empty(),
                };
                assert!(is_expected, "{line}");
                if let Some(labels) = series.strip_prefix(name).filter(|rest| !rest.is_empty()) {
                    let labels = labels
                        .strip_prefix('{')
                        .unwrap()
                        .strip_suffix("\"}")
                        .unwrap();
                    for label in labels.split("\",") {
                        let (name, _) = label.split_once("=\"").unwrap();
                        assert!(is_name(name), "{line}");
                    }
                }
                let value: f64 = value.parse().unwrap();
                assert!(
                    samples.insert(series.to_owned(), value).is_none(),
                    "twice: {line}"
                );
            }
        }
        samples
    }

    #[test]
    fn the_whole_document_reads_back() {
        let mut presentation = Presentation::of_video_and_audio().with_segments(2);
        presentation.part(AUDIO);
        let mut stats = Stats::default();
        stats.observe(&presentation.origin);
        stats.refusals.count(401);
        stats.refusals.count(401);
        for millis in [1, 3, 40, 20_000] {
            stats.delays.handover.record(Nanos::from_millis(millis));
        }
        let samples = read(&render(&stats));
        for (series, expected) in [
            ("llhls_live_edge_msn", 2.0),
            ("llhls_live_edge_part", 4.0),
            ("llhls_stream_ended", 0.0),
            ("llhls_rendition_parts_total{rendition=\"audio\"}", 13.0),
            ("llhls_rendition_segments_total{rendition=\"video\"}", 2.0),
            ("llhls_refusals_total{reason=\"unauthorized\"}", 2.0),
            ("llhls_refusals_total{reason=\"not_found\"}", 0.0),
            ("llhls_over_limit_total{limit=\"parked\"}", 0.0),
            ("llhls_publish_delay_seconds_bucket{le=\"0.001\"}", 1.0),
            ("llhls_publish_delay_seconds_bucket{le=\"0.005\"}", 2.0),
            ("llhls_publish_delay_seconds_bucket{le=\"10\"}", 3.0),
            ("llhls_publish_delay_seconds_bucket{le=\"+Inf\"}", 4.0),
            ("llhls_publish_delay_seconds_count", 4.0),
            ("llhls_publish_delay_seconds_sum", 20.044),
            (
                "llhls_rendition_info{rendition=\"video\",kind=\"video\",codec=\"avc1.64001f\",resolution=\"1280x720\"}",
                1.0,
            ),
        ] {
            assert_eq!(samples.get(series), Some(&expected), "{series}");
        }
    }

    #[test]
    fn before_anything_there_is_no_edge() {
        let samples = read(&render(&Stats::default()));
        assert!(!samples.contains_key("llhls_live_edge_msn"));
        assert_eq!(samples["llhls_requests_total"], 0.0);
    }

    #[test]
    fn label_values_stay_in_their_quotes() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
