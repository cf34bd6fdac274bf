//! Programs of other languages, and ours as users run them: started, listened to, ended.

use std::{
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Once, mpsc},
    thread,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

use super::{Deadline, PATIENCE};

/// A program under way. It is killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What it wrote on standard output so far.
    said: Vec<String>,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut line = Vec::new();
            for byte in output.bytes().map_while(Result::ok) {
                // A line that is written over ends there too.
                if byte != b'\n' && byte != b'\r' {
                    line.push(byte);
                } else if !line.is_empty() {
                    // Nobody listens when the test is over.
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                    line.clear();
                }
            }
        });
        let mut errors = child.stderr.take().unwrap();
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self {
            child,
            lines,
            said: Vec::new(),
            complaints: Some(complaints),
        }
    }

    /// Waits for a line of standard output that `wanted` finds something in.
    pub fn wait_for_line<T>(&mut self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Deadline::after(PATIENCE);
        while let Ok(line) = self.lines.recv_timeout(deadline.left()) {
            let found = wanted(&line);
            self.said.push(line);
            if let Some(found) = found {
                return found;
            }
        }
        let _ = self.child.kill();
        let complaints = self.complaints.take().unwrap().join().unwrap();
        panic!("no {what} in {:#?}\n{complaints}", self.said);
    }

    /// The port in the first URL of this host that the program writes.
    pub fn wait_for_port(&mut self) -> u16 {
        self.wait_for_line("URL with a port", |line| {
            let (_, url) = line.split_once("http://")?;
            let (host, rest) = url.split_once(':')?;
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
            let is_here = ["localhost", "127.0.0.1"].contains(&host);
            digits.parse().ok().filter(|_| is_here)
        })
    }

    /// Where its file systems are seen from here, those that only it has included. Linux only.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.child.id()).into()
    }

    pub fn said(&self) -> String {
        self.said.join("\n")
    }

    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Types on its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// Waits until it ends: how, and what it wrote on standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = super::wait_for("the program to end", || self.child.try_wait().unwrap());
        let complaints = self.complaints.take().unwrap().join().unwrap();
        (status, complaints)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail for a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of that name in `examples/`. `cargo test --test ...` builds none of them, so that is done here.
pub fn example(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--locked",
        "--quiet",
        "--example",
        name,
    ]);
    // The same way the tests were built: nothing is compiled twice.
    if cfg!(feature = "capi") {
        cargo.arg("--all-features");
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "{cargo:?}");
    profile_folder().join("examples").join(name)
}

/// An environment in which GStreamer finds the plugin as it was built with this test, and nobody's cache is touched.
pub fn with_plugin(command: &mut Command) -> &mut Command {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = scratch("plugin");
        // Beside test binaries in that folder, GStreamer would try to load each of them.
        let library = profile_folder().join("deps/libgstllhlssink.so");
        std::os::unix::fs::symlink(library, folder.join("libgstllhlssink.so")).unwrap();
        folder
    });
    command
        .env("GST_PLUGIN_PATH", &*FOLDER)
        .env("GST_REGISTRY", FOLDER.join("registry.bin"))
}

/// An empty folder of that name for this process: two runs of a test at a time have one each.
pub fn scratch(name: &str) -> PathBuf {
    static LEFT_BEHIND: Once = Once::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    LEFT_BEHIND.call_once(|| remove_what_was_left(all));
    let folder = all.join(std::process::id().to_string()).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Removes the folders of processes that are gone.
fn remove_what_was_left(all: &Path) {
    for folder in std::fs::read_dir(all).unwrap().flatten() {
        let name = folder.file_name();
        let process = name.to_str().and_then(|name| name.parse().ok());
        if let Some(process) = process.and_then(Pid::from_raw)
            && test_kill_process(process) == Err(Errno::SRCH)
        {
            // Another test may be about it.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// `target/debug` or `target/release`: this test is in `deps` there.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}
