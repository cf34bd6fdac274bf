//! The machine the figures come from: what it is, and how well it keeps time by itself.

#![expect(
    clippy::disallowed_methods,
    reason = "how late a sleep ends is what is measured"
)]

use std::{fs, thread, time::Duration};

use crate::{
    process::now,
    table::{Sorted, Table},
};

const NAP: Duration = Duration::from_millis(1);
const NAPS: usize = 2000;
/// A machine whose timers are later than this in one of a hundred cases is busy with something else.
const CROWDED_MS: f64 = 2.0;

/// Processor, cores, kernel and GStreamer, in a line.
pub(crate) fn line() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{model}, {cores} cores, Linux {}, {}, load {}",
        kernel.trim(),
        gst::version_string(),
        load.join(" ")
    )
}

/// How much later than asked the machine ends short sleeps.
pub(crate) fn timer_lateness() -> Vec<i64> {
    (0..NAPS)
        .map(|_| {
            let start = now();
            thread::sleep(NAP);
            now() - start - NAP.as_nanos() as i64
        })
        .collect()
}

/// Shows the timers' lateness and answers whether the machine is crowded.
pub(crate) fn report_timers(lateness: &[i64], table: &mut Table) -> bool {
    let lateness = Sorted::new(lateness.to_vec());
    let p99 = lateness.percentile_ms(99);
    table.note(
        "lateness of the machine's own 1 ms timers, p50 and p99",
        format!("{:.2} and {p99:.2} ms", lateness.percentile_ms(50)),
    );
    p99 > CROWDED_MS
}

/// Lets other threads work.
pub(crate) fn rest(duration: Duration) {
    thread::sleep(duration);
}
