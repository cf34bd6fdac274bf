//! How late a low-latency stream is, part by part: from capture to the origin, and from the origin to here.
//!
//! Belongs here: arguments, the loop, ending in good order. Does not: following (`follow`), figures (`report`).
//!
//! Works with every origin that has parts and blocking reloads; what llhlssink says in `/timestamps.json` makes its figures
//! exact and tells the two ways apart.

#![expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for a terminal, that measures"
)]

mod follow;
mod playlist;
mod report;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use url::Url;

use crate::follow::{Follower, Step};
use crate::report::{Form, Measured, Mishaps, Offset};

/// How long to stay away from an origin that has just said 503.
const PAUSE_AFTER_STALL: Duration = Duration::from_millis(500);

#[derive(Parser)]
#[command(
    version,
    about = "Follows a Low-Latency HLS stream and says how late each part is"
)]
struct Arguments {
    /// URL of the playlist, such as http://localhost:8080/live.m3u8
    url: Url,

    /// Stop after so many parts
    #[arg(long, value_name = "COUNT")]
    parts: Option<usize>,

    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// Of several renditions, the one with this in its URI, such as audio; the first variant otherwise
    #[arg(long, value_name = "PIECE")]
    rendition: Option<String>,

    /// A JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Comma-separated values, and the percentiles on standard error
    #[arg(long)]
    csv: bool,

    /// Take any certificate, such as the one llhlssink makes for itself
    #[arg(long)]
    insecure: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("llhls-latency: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let form = match (arguments.json, arguments.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first ends in good order, after the reload under way; the second at once.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_over))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&is_over)))
            .map_err(|error| format!("signals cannot be caught: {error}"))?;
    }
    let mut follower = Follower::open(
        &arguments.url,
        arguments.rendition.as_deref(),
        arguments.insecure,
    )?;
    eprintln!("following {}", follower.playlist());
    eprintln!("{}", Offset::describe(follower.offset()));
    say(follower.take_notes());
    if let Some(head) = report::head(form) {
        print_line(&head)?;
    }
    let started = Instant::now();
    let mut parts: Vec<Measured> = Vec::new();
    let mut mishaps = Mishaps::default();
    let shows_progress = stderr().is_terminal() && !stdout().is_terminal();
    let outcome = loop {
        let has_enough = arguments.parts.is_some_and(|most| parts.len() >= most);
        let is_late = arguments
            .seconds
            .is_some_and(|most| started.elapsed() >= Duration::from_secs(most));
        if has_enough || is_late || is_over.load(Ordering::Relaxed) {
            break Ok(());
        }
        let step = follower.step();
        say(follower.take_notes());
        let (new, is_end) = match step {
            Ok(Step::Parts(new)) => (new, false),
            Ok(Step::Ended(new)) => (new, true),
            Ok(Step::Stalled) => {
                mishaps.stalls += 1;
                eprintln!("the stream stands still: 503");
                std::thread::sleep(PAUSE_AFTER_STALL);
                continue;
            }
            Err(reason) => break Err(reason),
        };
        mishaps.bunched += new.len().saturating_sub(1);
        for part in new {
            print_line(&report::row(form, &part))?;
            parts.push(part);
        }
        if shows_progress {
            let latest = parts.last().and_then(|part| part.capture_to_received);
            let latest = latest.map_or(0.0, |span| span as f64 / 1e6);
            eprint!("\r{} parts, {latest:.1} ms behind capture ", parts.len());
        }
        if is_end {
            eprintln!("the stream has ended");
            break Ok(());
        }
    };
    if shows_progress {
        eprintln!();
    }
    // What was measured counts, whatever ended it.
    let summary = report::summary(form, &parts, mishaps, follower.offset());
    if form == Form::Csv {
        eprintln!("{summary}");
    } else {
        print_line(&summary)?;
    }
    outcome
}

fn say(notes: Vec<String>) {
    for note in notes {
        eprintln!("{note}");
    }
}

/// Fails when nobody reads any more, as behind `head`.
fn print_line(text: &str) -> Result<(), String> {
    writeln!(stdout(), "{text}").map_err(|error| format!("cannot write: {error}"))
}
