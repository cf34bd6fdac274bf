//! 500 viewers behind a cache: what the origin sees of them, and how much later than the origin they are answered.

use std::{path::Path, process::Command, time::Duration};

use crate::{
    Outcome,
    audience::{Audience, Takes, report_health},
    daemon::{Daemon, free_port},
    machine,
    origin::{Feed, Origin},
    table::{Sorted, Table},
};

const VIEWERS: usize = 500;
const SPAN: Duration = Duration::from_secs(15);
/// Requests at the origin for each URL.
const REQUESTS_BAR: f64 = 1.05;
/// After the origin's own answer, in milliseconds.
const LATENESS_BAR: f64 = 50.0;

/// The reference, and nginx beside it, of which nothing is asked.
pub(crate) fn measure(table: &mut Table) -> Outcome<()> {
    let origin = Origin::fed(Feed {
        part_bytes: 25_000,
        part: Duration::from_millis(200),
    })?;
    machine::rest(Duration::from_secs(3));
    for cache in ["varnish", "nginx"] {
        let what = format!("{VIEWERS} viewers behind {cache}");
        let port = free_port()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cdn/run.sh");
        let daemon = Daemon::start(
            Command::new(script)
                .args(["--cache", cache])
                .args(["--origin", &format!("127.0.0.1:{}", origin.port)])
                .args(["--port", &port.to_string()]),
            port,
        )?;
        let before = origin.requests()?;
        let audience = Audience {
            viewers: VIEWERS,
            port,
            takes: Takes::Parts,
            span: SPAN,
            origin: Some(origin.port),
            server: None,
        };
        let (report, _) = audience.watch()?;
        // The first of these two is one itself.
        let requests = origin.requests()? - before - report.witnessed - 1;
        drop(daemon);
        let requests = requests as f64 / report.distinct as f64;
        let lateness = Sorted::new(report.lateness.clone());
        let late = format!("{what}: reload answered after the origin's own answer");
        let (p50, p99) = (lateness.percentile_ms(50), lateness.percentile_ms(99));
        report_health(&what, &report, table);
        if cache == "varnish" {
            table.bar(
                format!("{what}: requests at the origin for each URL"),
                requests,
                REQUESTS_BAR,
                "",
            );
            table.bar(format!("{late}, p99"), p99, LATENESS_BAR, "ms");
            table.note(format!("{late}, p50"), format!("{p50:.2} ms"));
        } else {
            table.note(
                format!("{what}: requests at the origin for each URL"),
                format!("{requests:.2}"),
            );
            table.note(
                format!("{late}, p50 and p99"),
                format!("{p50:.2} and {p99:.2} ms"),
            );
        }
    }
    Ok(())
}
