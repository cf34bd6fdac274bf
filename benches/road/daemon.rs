//! Other people's servers, started for a section and ended by their number.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Outcome, machine};

/// A running server.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until something listens on `port`. What it has to say goes to standard error.
    pub(crate) fn start(command: &mut Command, port: u16) -> Outcome<Self> {
        let path = env::var("PATH").unwrap_or_default();
        let daemon = Self(
            command
                // Where Debian has servers, and users' PATHs have not.
                .env("PATH", format!("{path}:/usr/sbin"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .map_err(|error| format!("{command:?}: {error}; ./setup.sh --bench"))?,
        );
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(daemon);
            }
            machine::rest(Duration::from_millis(25));
        }
        Err(format!("{command:?} does not listen on port {port}").into())
    }

    pub(crate) fn process(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that is gone already needs no signal.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A folder that goes away with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let name = format!("llhlssink-bench-{name}-{}", std::process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory is not worth an error.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port nobody has now.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
