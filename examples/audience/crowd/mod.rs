//! Viewers by the thousand, on one thread.
//!
//! Each follows a media playlist as a low-latency player does: blocking reloads, every part, and if wanted the hinted part
//! on a connection of its own. A part that is missing, short or different from what others got is a fault of its viewer,
//! and so is any answer but 200.
//!
//! Belongs here: who comes when, when they leave, and what they saw together. Does not: how a figure is shown, or whether
//! it is good.

mod body;
mod exchange;
mod playlist;
mod report;
mod server_cpu;
mod tally;
mod viewer;

use std::{fmt, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep, timeout_at},
};

pub(crate) use exchange::Place;
use exchange::Scratch;
pub(crate) use report::Report;
#[allow(unused_imports, reason = "the bench asks for it by itself")]
pub(crate) use server_cpu::spent as server_cpu;
use tally::Tally;

/// Viewers that tune in at a time: more would overflow the queue of the listener and wait for a retransmission.
const TUNING_IN_AT_A_TIME: usize = 200;
/// For all to tune in, and for all to leave.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the crowd looks at itself.
const PACE: Duration = Duration::from_millis(5);

/// What went wrong for a viewer, in words.
#[derive(Debug)]
pub(crate) struct Fault(String);

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What each viewer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The playlist only.
    Reloads,
    /// Each part, once the playlist lists it.
    Parts,
    /// Each part, as the playlist before it hints it.
    HintedParts,
}

/// A crowd to be.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) viewers: usize,
    pub(crate) place: Place,
    /// The path of the media playlist.
    pub(crate) entry: String,
    pub(crate) takes: Takes,
    /// How long they watch, from the moment the last one has tuned in.
    pub(crate) span: Duration,
    /// The origin, when `place` is a cache before it: somebody watches there, so that it is known when it answered.
    pub(crate) origin: Option<SocketAddr>,
    /// The process of the server, if its processor time is wanted.
    pub(crate) server: Option<u32>,
}

impl Crowd {
    /// Watches to the end. Fails when the system has no resources; what happens to viewers is in the report.
    pub(crate) fn watch(&self) -> io::Result<Report> {
        raise_descriptor_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        LocalSet::new().block_on(&runtime, self.watch_together())
    }

    async fn watch_together(&self) -> io::Result<Report> {
        let start = Instant::now().into_std();
        let scratch = Scratch::new();
        let witness = Rc::new(Tally::since(start));
        let witnesses = match &self.origin {
            Some(address) => {
                let place = Place { address: *address };
                self.admit(1, &place, &witness, &scratch)
            }
            None => Vec::new(),
        };
        let tally = Rc::new(Tally::since(start));
        let viewers = self.admit(self.viewers, &self.place, &tally, &scratch);

        let deadline = Instant::now() + PATIENCE;
        let are_there = || {
            let at_home = viewers.iter().filter(|viewer| viewer.is_finished()).count();
            tally.count_tuned_in() + at_home >= self.viewers
        };
        while !are_there() && Instant::now() < deadline {
            sleep(PACE).await;
        }

        let cpu = || self.server.map(server_cpu::spent).transpose();
        let (from, cpu_before, answers_before) = (tally.now(), cpu()?, tally.count_answers());
        let mut timers = Vec::new();
        let end = Instant::now() + self.span;
        while Instant::now() < end {
            let asked = tally.now();
            sleep(PACE).await;
            timers.push(tally.now() - asked - PACE.as_nanos() as i64);
        }
        let (to, cpu_after, answers_after) = (tally.now(), cpu()?, tally.count_answers());

        tally.call_it_a_day();
        let mut faults = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        for viewer in viewers {
            match timeout_at(deadline, viewer).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(fault))) => faults.push(fault.to_string()),
                Ok(Err(panic)) => faults.push(panic.to_string()),
                Err(_) => faults.push("did not get the last part in time".to_owned()),
            }
        }
        for witness in witnesses {
            witness.abort();
        }
        Ok(Report::new(
            report::Observed {
                viewers: self.viewers,
                faults,
                window: (from, to),
                requests: answers_after - answers_before,
                cpu: cpu_after
                    .zip(cpu_before)
                    .map(|(after, before)| after - before),
                timers,
            },
            &tally,
            &witness,
        ))
    }

    /// Starts viewers; a few at a time tune in.
    fn admit(
        &self,
        count: usize,
        place: &Place,
        tally: &Rc<Tally>,
        scratch: &Scratch,
    ) -> Vec<JoinHandle<Result<(), Fault>>> {
        let doors = Arc::new(Semaphore::new(TUNING_IN_AT_A_TIME));
        (0..count)
            .map(|_| {
                let (doors, tally, scratch) =
                    (Arc::clone(&doors), Rc::clone(tally), scratch.clone());
                let (place, entry, takes) = (place.clone(), self.entry.clone(), self.takes);
                tokio::task::spawn_local(async move {
                    let viewer = viewer::tune_in(&tally, &place, &entry, takes, &scratch);
                    let door = doors.acquire_owned().await;
                    let viewer = viewer.await?;
                    drop(door);
                    viewer.watch().await
                })
            })
            .collect()
    }
}

/// Each connection is a descriptor, and soft limits are often 1,024. Where the hard limit is too low as well, opening one
/// says so.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}
