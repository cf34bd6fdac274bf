//! What was measured, as text: a row per part, percentiles at the end.
//!
//! Belongs here: figures and their three forms. Does not: measuring (`follow`).

use serde_json::json;

use crate::playlist::Place;

/// How the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// A JSON object a line: one per part, the last one with the percentiles.
    Json,
    /// Comma-separated values under a line of names; the percentiles are for people, and go elsewhere.
    Csv,
}

/// One part, as it travelled. Spans are nanoseconds; those between two hosts are corrected by the clock offset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) place: Place,
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// From the capture of its first frame until it could be fetched. `None` when the origin does not say.
    pub(crate) capture_to_published: Option<i64>,
    /// From then until its last byte was here.
    pub(crate) published_to_received: Option<i64>,
    /// From the capture of its first frame until its last byte was here. `None` without dates in the playlist.
    pub(crate) capture_to_received: Option<i64>,
    /// How long the reload was held that named it.
    pub(crate) playlist_wait: i64,
    /// From asking for it to its last byte.
    pub(crate) fetch: i64,
}

/// Our clock against the origin's, by the quickest exchange so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    /// Their clock minus ours, nanoseconds.
    pub(crate) ahead: i64,
    /// How wrong that may be: half the exchange.
    pub(crate) uncertainty: i64,
}

impl Offset {
    /// In a sentence.
    pub(crate) fn describe(offset: Option<Self>) -> String {
        match offset {
            None => "clock offset: not known, for want of a timestamps.json; figures between hosts assume none".to_owned(),
            Some(Self { ahead, uncertainty }) => format!(
                "clock offset: the origin's clock is {} ms {} ours, give or take {} ms; taken into account",
                millis(ahead.abs()),
                if ahead < 0 { "behind" } else { "ahead of" },
                millis(uncertainty),
            ),
        }
    }
}

/// The columns, in the order of their rows: name, heading, value.
type Column = (&'static str, &'static str, fn(&Measured) -> Option<i64>);

const COLUMNS: [Column; 5] = [
    ("capture_to_published", "capture -> published", |part| {
        part.capture_to_published
    }),
    ("published_to_received", "published -> received", |part| {
        part.published_to_received
    }),
    ("capture_to_received", "capture -> received", |part| {
        part.capture_to_received
    }),
    ("playlist_wait", "playlist wait", |part| {
        Some(part.playlist_wait)
    }),
    ("fetch", "fetch", |part| Some(part.fetch)),
];

/// The percentiles that are printed.
const PERCENTILES: [usize; 4] = [50, 95, 99, 100];

/// What stands above the rows.
pub(crate) fn head(form: Form) -> Option<String> {
    match form {
        Form::Json => None,
        Form::Csv => {
            let columns = COLUMNS.map(|(name, ..)| format!("{name}_ms")).join(",");
            Some(format!("msn,part,name,bytes,{columns}"))
        }
        Form::Table => {
            let columns = COLUMNS.map(|(_, heading, _)| heading).join("  ");
            Some(format!("{:>10}  {:>9}  {columns}  (ms)", "part", "bytes"))
        }
    }
}

/// One part.
pub(crate) fn row(form: Form, part: &Measured) -> String {
    let Measured {
        place, name, size, ..
    } = part;
    match form {
        Form::Json => {
            let mut object =
                json!({"msn": place.msn, "part": place.part, "name": name, "bytes": size});
            for (name, _, value) in COLUMNS {
                object[format!("{name}_ms")] = value(part).map(as_millis).into();
            }
            object.to_string()
        }
        Form::Csv => {
            let columns = COLUMNS.map(|(.., value)| value(part).map_or_else(String::new, millis));
            // What a foreign origin calls its files is its own affair (RFC 4180 2).
            let name = if name.contains([',', '"']) {
                format!("\"{}\"", name.replace('"', "\"\""))
            } else {
                name.clone()
            };
            format!(
                "{},{},{name},{size},{}",
                place.msn,
                place.part,
                columns.join(",")
            )
        }
        Form::Table => {
            let columns = COLUMNS.map(|(_, heading, value)| {
                let text = value(part).map_or_else(|| "-".to_owned(), millis);
                format!("{text:>width$}", width = heading.len())
            });
            format!(
                "{:>10}  {size:>9}  {}",
                place.to_string(),
                columns.join("  ")
            )
        }
    }
}

/// What went wrong on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mishaps {
    /// Parts that came together with a later one: the reload was answered too late to see them alone.
    pub(crate) bunched: usize,
    /// Reloads answered 503: the stream stood still.
    pub(crate) stalls: usize,
}

/// The percentiles of all parts.
pub(crate) fn summary(
    form: Form,
    parts: &[Measured],
    mishaps: Mishaps,
    offset: Option<Offset>,
) -> String {
    match form {
        Form::Json => {
            let mut object = json!({"summary": true, "parts": parts.len(), "bunched": mishaps.bunched, "stalls": mishaps.stalls});
            object["clock_offset_ms"] = offset.map(|offset| as_millis(offset.ahead)).into();
            object["clock_uncertainty_ms"] =
                offset.map(|offset| as_millis(offset.uncertainty)).into();
            for (name, _, value) in COLUMNS {
                let sorted = sorted(parts, value);
                for percent in PERCENTILES {
                    let key = format!("{name}_p{percent}_ms");
                    object[key] = percentile(&sorted, percent).map(as_millis).into();
                }
            }
            object.to_string()
        }
        Form::Table | Form::Csv => {
            let mut lines = vec![format!(
                "{} parts, {} of them together with a later one, {} stalls",
                parts.len(),
                mishaps.bunched,
                mishaps.stalls
            )];
            lines.push(Offset::describe(offset));
            if !parts.is_empty() {
                lines.push(format!(
                    "{:22}{}",
                    "ms",
                    PERCENTILES
                        .map(|percent| match percent {
                            100 => format!("{:>10}", "max"),
                            _ => format!("{:>10}", format!("p{percent}")),
                        })
                        .concat()
                ));
            }
            for (_, heading, value) in COLUMNS {
                let sorted = sorted(parts, value);
                if sorted.is_empty() {
                    continue;
                }
                let figures = PERCENTILES.map(|percent| {
                    let text = percentile(&sorted, percent).map_or_else(String::new, millis);
                    format!("{text:>10}")
                });
                lines.push(format!("{heading:22}{}", figures.concat()));
            }
            lines.join("\n")
        }
    }
}

fn sorted(parts: &[Measured], value: fn(&Measured) -> Option<i64>) -> Vec<i64> {
    let mut values: Vec<i64> = parts.iter().filter_map(value).collect();
    values.sort_unstable();
    values
}

/// The nearest-rank percentile.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn as_millis(nanos: i64) -> f64 {
    (nanos as f64 / 1e4).round() / 100.0
}

fn millis(nanos: i64) -> String {
    format!("{:.2}", as_millis(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, millis: i64) -> Measured {
        Measured {
            place: Place {
                msn: 1,
                part: number,
            },
            name: format!("part_{number:05}.m4s"),
            size: 1234,
            capture_to_published: Some(millis * 1_000_000),
            published_to_received: Some(1_500_000),
            capture_to_received: Some(millis * 1_000_000 + 1_500_000),
            playlist_wait: 198_000_000,
            fetch: 600_000,
        }
    }

    #[test]
    fn a_row_in_each_form() {
        let part = part(3, 201);
        assert_eq!(
            row(Form::Csv, &part),
            "1,3,part_00003.m4s,1234,201.00,1.50,202.50,198.00,0.60"
        );
        let foreign = Measured {
            name: "say \"a\", 1.m4s".to_owned(),
            ..part
        };
        let line = row(Form::Csv, &foreign);
        assert!(
            line.starts_with("1,3,\"say \"\"a\"\", 1.m4s\",1234,"),
            "{line}"
        );
        let part = self::part(3, 201);
        assert_eq!(
            row(Form::Json, &part),
            r#"{"bytes":1234,"capture_to_published_ms":201.0,"capture_to_received_ms":202.5,"fetch_ms":0.6,"msn":1,"name":"part_00003.m4s","part":3,"playlist_wait_ms":198.0,"published_to_received_ms":1.5}"#
        );
        let head = head(Form::Table).unwrap();
        let row = row(Form::Table, &part);
        assert_eq!(head.len(), row.len() + "  (ms)".len(), "{head}\n{row}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let part = Measured {
            capture_to_published: None,
            published_to_received: None,
            ..part(0, 0)
        };
        assert_eq!(
            row(Form::Csv, &part),
            "1,0,part_00000.m4s,1234,,,1.50,198.00,0.60"
        );
        let text = summary(Form::Table, &[part], Mishaps::default(), None);
        assert!(!text.contains("capture -> published"), "{text}");
    }

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let parts: Vec<Measured> = (1..=200)
            .map(|number| part(number, number as i64))
            .collect();
        let offset = Some(Offset {
            ahead: -2_000_000,
            uncertainty: 250_000,
        });
        let mishaps = Mishaps {
            bunched: 2,
            stalls: 1,
        };
        let text = summary(Form::Table, &parts, mishaps, offset);
        assert_eq!(
            text,
            "200 parts, 2 of them together with a later one, 1 stalls\n\
             clock offset: the origin's clock is 2.00 ms behind ours, give or take 0.25 ms; taken into account\n\
             ms                           p50       p95       p99       max\n\
             capture -> published      100.00    190.00    198.00    200.00\n\
             published -> received       1.50      1.50      1.50      1.50\n\
             capture -> received       101.50    191.50    199.50    201.50\n\
             playlist wait             198.00    198.00    198.00    198.00\n\
             fetch                       0.60      0.60      0.60      0.60"
        );
    }
}
