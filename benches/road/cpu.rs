//! What the element costs the processor, against pipelines that do less.

use std::time::Duration;

use gst::prelude::*;

use crate::{
    Outcome,
    footage::Footage,
    machine,
    process::{self, Running, cpu_time, resident},
    table::Table,
};

const REMUX_RUNS: usize = 5;
const REMUX_BAR: f64 = 2.0;

/// How long a live pipeline runs before its processor time counts.
const LIVE_WARM_UP: Duration = Duration::from_secs(2);
const LIVE: Duration = Duration::from_secs(20);
/// Per cent of a core.
const LIVE_BAR: f64 = 0.3;

pub(crate) const SINK: &str =
    "llhlssink name=sink host=127.0.0.1 port=0 send-keyframe-requests=false";

/// Processor time of whole processes that remux a file as fast as they can: the element against the bare muxer.
pub(crate) fn compare_remux(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let source = footage.source();
    let bare = format!("{source} ! mp4mux fragment-duration=200 ! fakesink");
    let sink = format!("{source} ! {SINK}");
    let spent = spent_to_end;
    // Reads the file into the page cache for both.
    spent(&bare)?;
    let mut figures = Vec::new();
    for _ in 0..REMUX_RUNS {
        figures.push((spent(&bare)?, spent(&sink)?));
    }
    let bare = median(figures.iter().map(|&(bare, _)| bare));
    let sink = median(figures.iter().map(|&(_, sink)| sink));
    let ratios = || figures.iter().map(|(bare, sink)| sink / bare);
    let seconds = Footage::SECONDS;
    table.bar(
        format!("CPU, {seconds} s remuxed unthrottled, to mp4mux fragment-duration=200 ! fakesink"),
        sink / bare,
        REMUX_BAR,
        "x",
    );
    table.note(
        format!("the same: the {REMUX_RUNS} pairs; medians"),
        format!(
            "{:.2}-{:.2} x; {sink:.3} s to {bare:.3} s",
            ratios().fold(f64::INFINITY, f64::min),
            ratios().fold(0.0, f64::max),
        ),
    );
    Ok(())
}

/// Processor seconds of a process that runs a pipeline to its end.
pub(crate) fn spent_to_end(description: &str) -> Outcome<f64> {
    let lines = process::finish(process::start(&["pipeline-to-end", description])?)?;
    match lines[..] {
        [ref line] if line.len() == 1 => Ok(line[0] as f64 / 1e9),
        _ => Err("a pipeline printed something else".into()),
    }
}

/// Processor time and memory of a process that serves nobody in real time, against one that throws the frames away.
pub(crate) fn compare_live(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let source = footage.live_source();
    let spent = |end: &str| -> Outcome<[i64; 4]> {
        let description = format!("{source} ! {end}");
        let lines = process::finish(process::start(&["pipeline-live", &description])?)?;
        match lines[..] {
            [ref line] => Ok(line[..].try_into()?),
            _ => Err("a pipeline printed something else".into()),
        }
    };
    let [nothing, ..] = spent("fakesink")?;
    let [sink, before, after, kept] = spent(SINK)?;
    let percent = |cpu: i64| cpu as f64 / LIVE.as_nanos() as f64 * 100.0;
    let seconds = LIVE.as_secs();
    table.bar(
        format!("CPU live over {seconds} s, without viewers, less the same to fakesink"),
        percent(sink - nothing),
        LIVE_BAR,
        "% of a core",
    );
    table.note(
        "the same: both processes",
        format!("{:.2} % and {:.2} %", percent(sink), percent(nothing)),
    );
    let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
    table.note(
        format!("memory live, before and after {seconds} s; media kept by then"),
        format!(
            "{:.1} and {:.1} MiB; {:.1} MiB",
            mib(before),
            mib(after),
            mib(kept)
        ),
    );
    Ok(())
}

/// Runs a pipeline to its end and prints the processor time of the process.
pub(crate) fn child_to_end(description: &str) -> Outcome<()> {
    process::init()?;
    let running = Running::start(description)?;
    running.wait()?;
    drop(running);
    println!("{}", cpu_time());
    Ok(())
}

/// Runs a pipeline for a while and prints processor time, memory before and after, and bytes of media kept.
pub(crate) fn child_live(description: &str) -> Outcome<()> {
    process::init()?;
    let running = Running::start(description)?;
    machine::rest(LIVE_WARM_UP);
    let (cpu, before) = (cpu_time(), resident()?);
    machine::rest(LIVE);
    let (cpu, after) = (cpu_time() - cpu, resident()?);
    let kept = match running.0.by_name("sink") {
        Some(sink) => sink
            .property::<gst::Structure>("stats")
            .get::<u64>("bytes-kept")?,
        None => 0,
    };
    println!("{cpu} {before} {after} {kept}");
    Ok(())
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
