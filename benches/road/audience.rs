//! The audience in a process of its own, and what it prints for the process that started it.

#[allow(dead_code, reason = "the example shows more")]
#[path = "../../examples/audience/crowd/mod.rs"]
mod crowd;

use std::{net::SocketAddr, time::Duration};

use crate::{
    Outcome,
    process::{self, now},
    table::{Sorted, Table},
};

use crowd::{Crowd, Place};
pub(crate) use crowd::{Report, Takes, raise_descriptor_limit, server_cpu};

/// An audience to be.
#[derive(Clone, Copy)]
pub(crate) struct Audience {
    pub(crate) viewers: usize,
    pub(crate) port: u16,
    pub(crate) takes: Takes,
    pub(crate) span: Duration,
    /// Where the origin is, if `port` is a cache's.
    pub(crate) origin: Option<u16>,
    /// The process whose processor time counts.
    pub(crate) server: Option<u32>,
}

impl Audience {
    /// Starts a process that watches, and waits for its end. Also says when it watched.
    pub(crate) fn watch(&self) -> Outcome<(Report, (i64, i64))> {
        let takes = match self.takes {
            Takes::Reloads => "reloads",
            Takes::Parts => "parts",
            Takes::HintedParts => "hints",
        };
        let process = process::start(&[
            "audience",
            &self.viewers.to_string(),
            &self.port.to_string(),
            takes,
            &self.span.as_millis().to_string(),
            &self.origin.unwrap_or(0).to_string(),
            &self.server.unwrap_or(0).to_string(),
        ])?;
        let lines = process::finish(process)?;
        let end = now();
        let report = read(&lines).ok_or("the audience printed something else")?;
        Ok((report, (end - self.span.as_nanos() as i64, end)))
    }
}

/// Watches, and prints what [`read`] reads.
pub(crate) fn child(arguments: &[&str]) -> Outcome<()> {
    let [viewers, port, takes, millis, origin, server] = arguments else {
        return Err("the audience takes six arguments".into());
    };
    let address = |port: &str| -> Outcome<Option<SocketAddr>> {
        let port: u16 = port.parse()?;
        Ok((port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port))))
    };
    let report = Crowd {
        viewers: viewers.parse()?,
        place: Place {
            address: address(port)?.ok_or("an audience needs a server")?,
        },
        entry: "/live.m3u8".to_owned(),
        takes: match *takes {
            "reloads" => Takes::Reloads,
            "hints" => Takes::HintedParts,
            _ => Takes::Parts,
        },
        span: Duration::from_millis(millis.parse()?),
        origin: address(origin)?,
        server: Some(server.parse()?).filter(|process| *process != 0),
    }
    .watch()?;
    for fault in report.faults.iter().take(3) {
        eprintln!("audience: {fault}");
    }
    for line in lines(&report) {
        let words: Vec<String> = line.iter().map(i64::to_string).collect();
        println!("{}", words.join(" "));
    }
    Ok(())
}

fn lines(report: &Report) -> Vec<Vec<i64>> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = vec![
        signed(report.viewers),
        report.faults.len() as i64,
        signed(report.delivered),
        signed(report.parts),
        signed(report.part_bytes),
        signed(report.requests),
        signed(report.witnessed),
        signed(report.distinct),
        signed(report.steady_requests),
        report.server_cpu.unwrap_or(-1),
        report.steady_span,
    ];
    let counted = |times: &[i64]| [&[times.len() as i64], times].concat();
    vec![
        counts,
        counted(&report.spreads),
        counted(&report.lateness),
        counted(&report.timers),
    ]
}

/// Faults are only counted.
fn read(lines: &[Vec<i64>]) -> Option<Report> {
    let [counts, spreads, lateness, timers] = lines else {
        return None;
    };
    let &[
        viewers,
        faults,
        delivered,
        parts,
        part_bytes,
        requests,
        witnessed,
        distinct,
        steady_requests,
        server_cpu,
        steady_span,
    ] = &counts[..]
    else {
        return None;
    };
    let count = |number: i64| u64::try_from(number).ok();
    let times = |line: &[i64]| {
        let (length, times) = line.split_first()?;
        (usize::try_from(*length).ok()? == times.len()).then(|| times.to_vec())
    };
    Some(Report {
        viewers: count(viewers)?,
        faults: vec![String::new(); usize::try_from(faults).ok()?],
        delivered: count(delivered)?,
        parts: count(parts)?,
        part_bytes: count(part_bytes)?,
        requests: count(requests)?,
        witnessed: count(witnessed)?,
        distinct: count(distinct)?,
        steady_requests: count(steady_requests)?,
        server_cpu: (server_cpu >= 0).then_some(server_cpu),
        steady_span,
        spreads: times(spreads)?,
        lateness: times(lateness)?,
        timers: times(timers)?,
    })
}

/// Rows every audience has: who did not get everything, and how late the audience itself was.
pub(crate) fn report_health(what: &str, report: &Report, table: &mut Table) {
    table.bar(
        format!("{what}: viewers that missed something, or were answered with an error"),
        report.faults.len() as f64,
        0.0,
        "",
    );
    let timers = Sorted::new(report.timers.clone());
    table.note(
        format!("{what}: lateness of the audience's own timers, p50 and p99"),
        format!(
            "{:.1} and {:.1} ms",
            timers.percentile_ms(50),
            timers.percentile_ms(99)
        ),
    );
}
