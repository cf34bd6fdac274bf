//! Many viewers at once: whether all get everything, how far apart, and what that takes.

use std::time::Duration;

use crate::{
    Outcome,
    audience::{Audience, Report, Takes, report_health},
    cpu::SINK,
    footage::Footage,
    machine,
    origin::{Feed, Origin},
    process::{self, Most},
    table::{Sorted, Table},
};

const SPAN: Duration = Duration::from_secs(15);

/// Microseconds of the server's processor time for a reload and a part of 100 kB.
const RELOAD_AND_PART_BAR: f64 = 66.0;
/// The same for one request, among 1,000 viewers.
const REQUEST_BAR: f64 = 60.0;
const SPREAD_P99_BAR: f64 = 100.0;

/// Per cent of a core, for 50 viewers at 2.5 Mbit/s.
const THREAD_BAR: f64 = 7.0;
const MEMORY_BAR: f64 = 30.0;

const PARKED: usize = 5000;
/// A part of this length each: all are to be answered before the next one is there.
const PARKED_PART: Duration = Duration::from_secs(1);
const PARKED_MEMORY_BAR: f64 = 100.0;
const PARKED_THREADS_BAR: f64 = 4.0;
const PUSH_P99_BAR: f64 = 1.0;

/// 200 viewers, 100 kB every 200 ms.
pub(crate) fn measure_viewers(table: &mut Table) -> Outcome<()> {
    let what = "200 viewers, parts of 100 kB each 200 ms";
    let report = watch(
        200,
        Takes::Parts,
        Feed {
            part_bytes: 100_000,
            part: Duration::from_millis(200),
        },
    )?;
    report_health(what, &report, table);
    let per_request = report.cpu_per_request().ok_or("the server was measured")?;
    table.bar(
        format!("{what}: server CPU, reload and part"),
        2.0 * per_request,
        RELOAD_AND_PART_BAR,
        "us",
    );
    note_spread(what, &report, table);
    Ok(())
}

/// 1,000 viewers, 62 kB every 500 ms.
pub(crate) fn measure_thousand(table: &mut Table) -> Outcome<()> {
    let what = "1,000 viewers, parts of 62 kB each 500 ms";
    let report = watch(
        1000,
        Takes::Parts,
        Feed {
            part_bytes: 62_000,
            part: Duration::from_millis(500),
        },
    )?;
    report_health(what, &report, table);
    let spreads = Sorted::new(report.spreads.clone());
    table.bar(
        format!(
            "{what}: reload, first viewer to last, p99 of {}",
            spreads.len()
        ),
        spreads.percentile_ms(99),
        SPREAD_P99_BAR,
        "ms",
    );
    table.bar(
        format!("{what}: server CPU a request"),
        report.cpu_per_request().ok_or("the server was measured")?,
        REQUEST_BAR,
        "us",
    );
    Ok(())
}

/// 50 viewers of an ordinary stream.
pub(crate) fn measure_ordinary(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let what = "50 viewers at 2.5 Mbit/s";
    let source = footage.live_source();
    let bare = Origin::of(&format!("{source} ! fakesink"))?;
    let origin = Origin::of(&format!("{source} ! {SINK}"))?;
    let ((report, _), most) = process::most_while(origin.process(), || {
        audience(50, Takes::Parts, SPAN, &origin).watch()
    })?;
    let memory = mib(most.resident);
    let without = mib(process::resident_of(bare.process())?);
    report_health(what, &report, table);
    let cpu = report.server_cpu.ok_or("the server was measured")?;
    table.bar(
        format!("{what}: the HTTP thread"),
        cpu as f64 * 100.0 / report.steady_span as f64,
        THREAD_BAR,
        "% of a core",
    );
    table.bar(
        format!("{what}: memory of the process, less that of the same to fakesink"),
        memory - without,
        MEMORY_BAR,
        "MiB",
    );
    table.note(
        format!("{what}: both processes"),
        format!("{memory:.1} and {without:.1} MiB"),
    );
    Ok(())
}

/// 5,000 blocked reloads, all released by each part.
pub(crate) fn measure_parked(table: &mut Table) -> Outcome<()> {
    let what = "5,000 parked reloads, a part a second";
    let feed = Feed {
        part_bytes: 100_000,
        part: PARKED_PART,
    };
    let Watched {
        report,
        pushes,
        before,
        most,
    } = watch_with(PARKED, Takes::Reloads, feed, 2 * SPAN)?;
    // In a second run: the same audience, and nothing but the server.
    let served = Origin::served(feed)?;
    machine::rest(Duration::from_secs(3));
    let (_, (from, to)) = audience(PARKED, Takes::Reloads, 2 * SPAN, &served).watch()?;
    let calls = within(served.end()?.pushes, from, to);
    report_health(what, &report, table);
    let spreads = Sorted::new(report.spreads.clone());
    table.bar(
        format!(
            "{what}: all answered after one publish, first viewer to last, max of {}",
            spreads.len()
        ),
        spreads.max_ms(),
        PARKED_PART.as_secs_f64() * 1000.0,
        "ms",
    );
    table.bar(
        format!("{what}: memory at most, more than without"),
        mib(most.resident) - mib(before),
        PARKED_MEMORY_BAR,
        "MiB",
    );
    table.bar(
        format!("{what}: threads of the process at most"),
        most.threads as f64,
        PARKED_THREADS_BAR,
        "",
    );
    table.bar(
        format!(
            "{what}: streaming thread inside publish, p99 of {}",
            calls.len()
        ),
        calls.percentile_ms(99),
        PUSH_P99_BAR,
        "ms",
    );
    table.note(
        format!(
            "{what}: streaming thread in the frame that ends a part, with mp4mux, p50 and p99 of {}",
            pushes.len()
        ),
        format!(
            "{:.2} and {:.2} ms",
            pushes.percentile_ms(50),
            pushes.percentile_ms(99)
        ),
    );
    note_spread(what, &report, table);
    Ok(())
}

fn note_spread(what: &str, report: &Report, table: &mut Table) {
    let spreads = Sorted::new(report.spreads.clone());
    table.note(
        format!(
            "{what}: reload, first viewer to last, p50 and p99 of {}",
            spreads.len()
        ),
        format!(
            "{:.1} and {:.1} ms",
            spreads.percentile_ms(50),
            spreads.percentile_ms(99)
        ),
    );
}

fn watch(viewers: usize, takes: Takes, feed: Feed) -> Outcome<Report> {
    Ok(watch_with(viewers, takes, feed, SPAN)?.report)
}

/// An audience and what it did to the server.
struct Watched {
    report: Report,
    /// How long the streaming thread was kept meanwhile.
    pushes: Sorted,
    /// Resident memory before anybody came, in bytes.
    before: u64,
    /// While they were there.
    most: Most,
}

fn watch_with(viewers: usize, takes: Takes, feed: Feed, span: Duration) -> Outcome<Watched> {
    let origin = Origin::fed(feed)?;
    // The window fills with media, which is no cost of viewers.
    machine::rest(Duration::from_secs(8));
    let before = process::resident_of(origin.process())?;
    let ((report, (from, to)), most) = process::most_while(origin.process(), || {
        audience(viewers, takes, span, &origin).watch()
    })?;
    let pushes = within(origin.end()?.pushes, from, to);
    Ok(Watched {
        report,
        pushes,
        before,
        most,
    })
}

/// One that watches `origin` and nothing else.
fn audience(viewers: usize, takes: Takes, span: Duration, origin: &Origin) -> Audience {
    Audience {
        viewers,
        port: origin.port,
        takes,
        span,
        origin: None,
        server: Some(origin.process()),
    }
}

/// How long what began in that time took.
fn within(pushes: Vec<(i64, i64)>, from: i64, to: i64) -> Sorted {
    let pushes = pushes.into_iter();
    Sorted::new(
        pushes
            .filter(|(at, _)| (from..to).contains(at))
            .map(|(_, took)| took)
            .collect(),
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
