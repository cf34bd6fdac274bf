//! What a crowd saw, summed up.

use std::{collections::HashMap, fmt};

use super::tally::{Answer, Key, Tally};

/// What the crowd noted besides answers.
pub(crate) struct Observed {
    pub(crate) viewers: usize,
    pub(crate) faults: Vec<String>,
    /// From when to when everybody watched.
    pub(crate) window: (i64, i64),
    /// Answers in the window.
    pub(crate) requests: u64,
    /// The server's processor time in the window.
    pub(crate) cpu: Option<i64>,
    pub(crate) timers: Vec<i64>,
}

/// Times are nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) viewers: u64,
    /// A line for each viewer that did not get everything.
    pub(crate) faults: Vec<String>,
    /// Parts delivered, over all viewers.
    pub(crate) delivered: u64,
    /// Parts there were, and their bytes.
    pub(crate) parts: u64,
    pub(crate) part_bytes: u64,
    /// Requests answered, tuning in included; those of the witness at the origin are not.
    pub(crate) requests: u64,
    /// Requests of the witness.
    pub(crate) witnessed: u64,
    /// URLs that were asked for.
    pub(crate) distinct: u64,
    /// Requests answered while everybody watched, and the server's processor time in that span.
    pub(crate) steady_requests: u64,
    pub(crate) server_cpu: Option<i64>,
    pub(crate) steady_span: i64,
    /// For each reload: from the first viewer's answer to the last one's.
    pub(crate) spreads: Vec<i64>,
    /// For each reload and hinted part of each viewer: how much later than the witness's it was answered.
    pub(crate) lateness: Vec<i64>,
    /// How much later than asked the crowd's own timers woke it.
    pub(crate) timers: Vec<i64>,
}

impl Report {
    pub(crate) fn new(observed: Observed, tally: &Tally, witness: &Tally) -> Self {
        let (part_bytes, parts) = tally.parts();
        let (from, to) = observed.window;
        let steady: Vec<Answer> = tally
            .answers()
            .into_iter()
            .filter(|answer| answer.answered >= from && answer.asked <= to)
            .collect();
        Self {
            viewers: observed.viewers as u64,
            faults: observed.faults,
            delivered: tally.count_delivered(),
            parts,
            part_bytes,
            requests: tally.count_answers(),
            witnessed: witness.count_answers(),
            distinct: tally.distinct(),
            steady_requests: observed.requests,
            server_cpu: observed.cpu,
            steady_span: to - from,
            spreads: spreads(&steady),
            lateness: lateness(&steady, &witness.answers()),
            timers: observed.timers,
        }
    }

    /// Microseconds of the server a request.
    pub(crate) fn cpu_per_request(&self) -> Option<f64> {
        let cpu = self.server_cpu? as f64 / 1e3;
        Some(cpu / self.steady_requests.max(1) as f64)
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            viewers,
            delivered,
            parts,
            requests,
            witnessed,
            distinct,
            ..
        } = self;
        let size = self.part_bytes as f64 / 1e3 / (*parts).max(1) as f64;
        let rate = self.steady_requests as f64 * 1e9 / self.steady_span.max(1) as f64;
        let complete = viewers.saturating_sub(self.faults.len() as u64);
        writeln!(f, "viewers that got everything  {complete} of {viewers}")?;
        writeln!(
            f,
            "parts of {size:.1} kB on average  {parts}, delivered {delivered} times"
        )?;
        writeln!(
            f,
            "requests                      {requests} for {distinct} URLs, {rate:.0} a second"
        )?;
        if *witnessed > 0 {
            writeln!(f, "requests to the origin itself {witnessed}")?;
        }
        if let Some(cpu) = self.cpu_per_request() {
            writeln!(f, "server CPU a request          {cpu:.1} us")?;
        }
        for (what, times) in [
            ("reload, first to last viewer ", &self.spreads),
            ("answered after the origin    ", &self.lateness),
            ("timers here woke late        ", &self.timers),
        ] {
            if !times.is_empty() {
                let ms = |percent| percentile(times, percent) as f64 / 1e6;
                let (p50, p99, max) = (ms(50), ms(99), ms(100));
                writeln!(f, "{what} p50 {p50:.1} p99 {p99:.1} max {max:.1} ms")?;
            }
        }
        self.faults
            .iter()
            .take(5)
            .try_for_each(|fault| writeln!(f, "fault: {fault}"))
    }
}

/// The nearest-rank percentile.
fn percentile(times: &[i64], percent: usize) -> i64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn spreads(answers: &[Answer]) -> Vec<i64> {
    let mut ends: HashMap<Key, (i64, i64)> = HashMap::new();
    for answer in answers {
        if let Key::Reload(..) = answer.key {
            let (first, last) = ends
                .entry(answer.key)
                .or_insert((answer.answered, answer.answered));
            *first = answer.answered.min(*first);
            *last = answer.answered.max(*last);
        }
    }
    ends.into_values()
        .map(|(first, last)| last - first)
        .collect()
}

/// Nobody is late with what was asked for after the origin had it: that counts from when it was asked for.
fn lateness(answers: &[Answer], witnessed: &[Answer]) -> Vec<i64> {
    let witnessed: HashMap<Key, i64> = witnessed
        .iter()
        .map(|answer| (answer.key, answer.answered))
        .collect();
    answers
        .iter()
        .filter(|answer| matches!(answer.key, Key::Reload(..) | Key::Hint(_)))
        .filter_map(|answer| {
            let at_origin = witnessed.get(&answer.key)?;
            Some(answer.answered - answer.asked.max(*at_origin))
        })
        .collect()
}
