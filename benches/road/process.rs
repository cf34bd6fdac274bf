//! What every process of the measurement needs: GStreamer with the element in it, clocks, and a way to start itself again.

use std::{
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use crate::{Outcome, audience::raise_descriptor_limit};

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Initialises GStreamer and registers the element of this build.
pub(crate) fn init() -> Outcome<()> {
    // Crowds need more descriptors than soft limits allow, where they are served as well.
    raise_descriptor_limit();
    gst::init()?;
    gstllhlssink::plugin_register_static()?;
    Ok(())
}

/// Nanoseconds of a clock that is the same in all processes of the machine.
pub(crate) fn now() -> i64 {
    nanos(ClockId::Monotonic)
}

/// Nanoseconds since 1970.
pub(crate) fn unix_now() -> i64 {
    nanos(ClockId::Realtime)
}

/// Nanoseconds of processor time, user and system, of all threads of this process since it began.
pub(crate) fn cpu_time() -> i64 {
    nanos(ClockId::ProcessCPUTime)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Resident memory in bytes.
pub(crate) fn resident() -> Outcome<u64> {
    resident_of(std::process::id())
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_of(process: u32) -> Outcome<u64> {
    Ok(status(process, "VmRSS:")? * 1024)
}

/// The most a process held at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Most {
    /// Resident memory in bytes.
    pub(crate) resident: u64,
    pub(crate) threads: u64,
}

/// What a process held at most while something was done, and what came of that.
pub(crate) fn most_while<T>(process: u32, act: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Most)> {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let looking = scope.spawn(move || -> Result<Most, String> {
            let mut most = Most::default();
            loop {
                let held = held(process).map_err(|error| error.to_string())?;
                most.resident = most.resident.max(held.resident);
                most.threads = most.threads.max(held.threads);
                if is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
                    return Ok(most);
                }
            }
        });
        let outcome = act();
        drop(done);
        let most = looking.join().map_err(|_| "the looking broke off")??;
        Ok((outcome?, most))
    })
}

fn held(process: u32) -> Outcome<Most> {
    Ok(Most {
        resident: resident_of(process)?,
        threads: status(process, "Threads:")?,
    })
}

fn status(process: u32, field: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| format!("no {field} in /proc/{process}/status"))?
        .parse()?)
}

/// Starts this program with other arguments.
pub(crate) fn start(arguments: &[&str]) -> Outcome<Child> {
    Ok(command(arguments)?.stdin(Stdio::null()).spawn()?)
}

/// This program with other arguments; its output is a pipe.
pub(crate) fn command(arguments: &[&str]) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdout(Stdio::piped());
    Ok(command)
}

/// Waits for a process and answers what it printed: lines of whole numbers.
pub(crate) fn finish(child: Child) -> Outcome<Vec<Vec<i64>>> {
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("a process of the measurement failed: {text}").into());
    }
    let numbers = |line: &str| line.split(' ').map(str::parse).collect::<Result<_, _>>();
    Ok(text.lines().map(numbers).collect::<Result<_, _>>()?)
}

/// A pipeline that is stopped when it is dropped.
pub(crate) struct Running(pub(crate) gst::Pipeline);

impl Running {
    pub(crate) fn start(description: &str) -> Outcome<Self> {
        let running = Self::prepare(description)?;
        running.play()?;
        Ok(running)
    }

    /// A pipeline that does not run yet.
    pub(crate) fn prepare(description: &str) -> Outcome<Self> {
        let pipeline = gst::parse::launch(description)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "the description is no pipeline")?;
        Ok(Self(pipeline))
    }

    pub(crate) fn play(&self) -> Outcome<()> {
        self.0.set_state(gst::State::Playing)?;
        Ok(())
    }

    /// Waits for the end of the stream.
    pub(crate) fn wait(&self) -> Outcome<()> {
        let bus = self.0.bus().ok_or("a pipeline has a bus")?;
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(120), &types)
            .ok_or("the pipeline did not end within 120 s")?;
        match message.view() {
            gst::MessageView::Error(error) => {
                Err(format!("{} {:?}", error.error(), error.debug()).into())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Going to NULL cannot fail, and there is nothing else to do about it.
        let _ = self.0.set_state(gst::State::Null);
    }
}
