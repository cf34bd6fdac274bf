//! Processor time of a server, read from outside.

use std::{fs, io};

/// The thread that serves in a process of ours.
const THREAD: &str = "llhls-http";

/// Nanoseconds of processor time the server has spent so far: its thread's, or in a process without that thread the whole
/// process's.
pub(crate) fn spent(process: u32) -> io::Result<i64> {
    let mut all = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        let spent = fs::read_to_string(task.join("schedstat"))?
            .split(' ')
            .next()
            .and_then(|first| first.parse::<i64>().ok())
            .ok_or_else(|| io::Error::other("schedstat has another form"))?;
        if fs::read_to_string(task.join("comm"))?.trim() == THREAD {
            return Ok(spent);
        }
        all += spent;
    }
    Ok(all)
}
