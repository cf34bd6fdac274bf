//! Measures the road of a frame against the budgets: `cargo bench`, about four minutes, prints a table.
//!
//! What is measured is 720p30 H.264 at 2.5 Mbit/s with 200 ms parts. Clients and pipelines whose processor time counts are
//! processes of their own: this program starts itself with another argument. Nothing is asserted: a bar that is missed says
//! so in its row, and the exit code only tells whether everything ran.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

mod client;
mod cpu;
mod footage;
mod glass;
mod latency;
mod machine;
mod process;
mod renditions;
mod table;

use std::{error::Error, process::ExitCode};

use footage::Footage;
use table::Table;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["client-reload", port, count, path] => client::reload(port, count, path),
        ["client-hint", port, count] => client::hint(port, count),
        ["pipeline-to-end", description] => cpu::child_to_end(description),
        ["pipeline-live", description] => cpu::child_live(description),
        ["glass-stream", part] => glass::stream(part),
        ["glass"] | ["glass", "--bench"] => run_glass(),
        // `cargo bench` passes --bench.
        [] | ["--bench"] => run(),
        _ => Err(format!("unknown arguments {words:?}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("road: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What browsers show, `cargo bench -- glass`: takes half an hour and the whole machine.
fn run_glass() -> Outcome<()> {
    process::init()?;
    println!("{}\n", machine::line());
    let mut table = Table::default();
    glass::measure(&mut table)?;
    println!("{table}");
    Ok(())
}

fn run() -> Outcome<()> {
    process::init()?;
    println!("{}\n", machine::line());
    let footage = Footage::make()?;

    let mut table = Table::default();
    let before = machine::timer_lateness();
    latency::measure(&footage, &mut table)?;
    let after = machine::timer_lateness();
    cpu::compare_remux(&footage, &mut table)?;
    cpu::compare_live(&footage, &mut table)?;
    renditions::measure(&footage, &mut table)?;
    renditions::compare_ladder(&footage, &mut table)?;
    let crowded = machine::report_timers(&before, &after, &mut table);

    println!("{table}");
    if crowded {
        println!(
            "The machine is crowded: it wakes its own timers late. The rows above carry that noise."
        );
    }
    Ok(())
}
