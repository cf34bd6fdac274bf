//! Measures the road of a frame and the crowd at its end against the budgets: `cargo bench` prints a table. It takes about ten
//! minutes, and forty more for what browsers show, which comes last; `cargo bench --bench road -- latency cache` measures some
//! sections only.
//!
//! What is measured is 720p30 H.264 at 2.5 Mbit/s with 200 ms parts. Clients and pipelines whose processor time counts are
//! processes of their own: this program starts itself with another argument. Nothing is asserted: a bar that is missed says
//! so in its row, and the exit code only tells whether everything ran.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a table is what this program is for"
)]

mod audience;
mod cache;
mod client;
mod cpu;
mod daemon;
mod download;
mod folder;
mod footage;
mod glass;
mod handover;
mod latency;
mod load;
mod machine;
mod origin;
mod process;
mod renditions;
mod table;

use std::{error::Error, process::ExitCode};

use footage::Footage;
use table::Table;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What can be measured by itself.
type Section = (&'static str, fn(&Footage, &mut Table) -> Outcome<()>);
const SECTIONS: [Section; 14] = [
    ("latency", latency::measure),
    ("folder", folder::measure),
    ("remux", cpu::compare_remux),
    ("live", cpu::compare_live),
    ("renditions", renditions::measure),
    ("ladder", renditions::compare_ladder),
    ("viewers", |_, table| load::measure_viewers(table)),
    ("ordinary", load::measure_ordinary),
    ("thousand", |_, table| load::measure_thousand(table)),
    ("parked", |_, table| load::measure_parked(table)),
    ("download", |_, table| download::measure(table)),
    ("secure", |_, table| download::measure_secure(table)),
    ("cache", |_, table| cache::measure(table)),
    ("glass", |_, table| glass::measure(table)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` passes --bench.
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--bench")
        .collect();
    let outcome = match words[..] {
        ["client-reload", port, count, path] => client::reload(port, count, path),
        ["client-hint", port, count, path] => client::hint(port, count, path),
        ["pipeline-to-end", description] => cpu::child_to_end(description),
        ["pipeline-live", description] => cpu::child_live(description),
        ["glass-stream", part, start_offset] => glass::stream(part, start_offset),
        ["origin-of", description] => origin::child_of(description),
        ["origin-fed", part_bytes, part_millis] => origin::child_fed(part_bytes, part_millis),
        ["origin-served", part_bytes, part_millis] => handover::child(part_bytes, part_millis),
        ["audience", ref rest @ ..] => audience::child(rest),
        _ => run(&words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("road: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the sections of these names, or all.
fn run(names: &[&str]) -> Outcome<()> {
    let known = SECTIONS.map(|(name, _)| name);
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no section {unknown}; there are {}", known.join(", ")).into());
    }
    process::init()?;
    println!("{}\n", machine::line());
    let footage = Footage::make()?;
    let mut table = Table::default();
    let mut timers = machine::timer_lateness();
    let mut outcome = Ok(());
    for (name, measure) in SECTIONS {
        if names.is_empty() || names.contains(&name) {
            outcome =
                measure(&footage, &mut table).map_err(|error| format!("{name}: {error}").into());
            // What was measured before is shown all the same: it took its time.
            if outcome.is_err() {
                break;
            }
            timers.extend(machine::timer_lateness());
        }
    }
    let crowded = machine::report_timers(&timers, &mut table);

    println!("{table}");
    if crowded {
        println!(
            "The machine is crowded: it wakes its own timers late. The rows above carry that noise."
        );
    }
    outcome
}
