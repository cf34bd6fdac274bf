//! A running pipeline in a process of its own, attacked from this one, and the check that follows every attack.
//!
//! In a process of its own, so that its descriptors, threads and memory are its own: the attackers' are on this side.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gst::prelude::*;

use crate::support::{
    Deadline, PATIENCE,
    http::{Answer, Client, read_answer},
    playlist::{Playlist, number},
    stream::Stream,
    timed, wait_until,
};

/// Properties of the element in the attacked process; set, it makes this binary that process.
const PROPERTIES: &str = "LLHLS_ATTACKED_PROPERTIES";

/// Its limit of descriptors, if it is to have a low one.
const DESCRIPTORS: &str = "LLHLS_ATTACKED_DESCRIPTORS";

/// The test that becomes that process.
const PROCESS: &str = "an_untouched_process_passes_the_check";

/// Noise: two hundred kilobytes a second, so that there is something to send.
const SOURCE: &str = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=160,height=120,framerate=30/1 \
    ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=1600 threads=1 ! h264parse";

/// How soon a viewer who has just come has a playlist and a part.
const FRESH_VIEWER: Duration = Duration::from_millis(100);

/// How often somebody has to be woken for that: the server and the viewer, for each of two requests.
const WAKES: u32 = 4;

/// Over what there was before the attacks. Most attacks leave 1 MiB or less, 10,000 connects a little more.
const MEMORY_MARGIN_KIB: u64 = 6 * 1024;

/// The same for a crowd that was there at once, each with buffers between which media came to lie: four in a row left 22, 27, 28
/// and 28 MiB, so the C library keeps it, and nobody else.
pub(crate) const CROWD_MARGIN_KIB: u64 = 32 * 1024;

/// GLib and GStreamer start a thread of their pools now and then.
const THREAD_MARGIN: usize = 3;

/// A listing of descriptors may meet one that is just being closed.
const DESCRIPTOR_MARGIN: usize = 2;

/// How long an attack lasts that could go on for ever.
pub(crate) fn attack_time() -> Duration {
    let seconds = env::var("LLHLS_ATTACK_SECONDS").map_or(10, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Becomes the attacked process if the parent asked for it; returns when that has to end.
pub(crate) fn is_the_attacked_process() -> bool {
    let Ok(properties) = env::var(PROPERTIES) else {
        return false;
    };
    if let Ok(most) = env::var(DESCRIPTORS) {
        let most = most.parse().unwrap();
        let limit = rustix::process::Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    }
    let mut stream = Stream::new(
        SOURCE,
        &format!(
            "host=127.0.0.1 segment-duration=500 part-duration=100 playlist-length=20 max-files=60 {properties}"
        ),
    );
    stream.play();
    stream.playlist();
    let tls_port = stream
        .sink
        .find_property("current-tls-port")
        .map_or(0, |_| stream.sink.property::<u32>("current-tls-port"));
    println!("\nserving {} {tls_port}", stream.port());
    for _ in std::io::stdin().lines() {
        stream.drain_messages();
        let (_, state, _) = stream.pipeline.state(gst::ClockTime::ZERO);
        let errors: Vec<String> = stream
            .messages
            .iter()
            .filter_map(|message| match message.view() {
                gst::MessageView::Error(error) => Some(error.error().to_string()),
                _ => None,
            })
            .collect();
        let warnings = stream.warnings().join("; ");
        println!("\nstate {state:?} {errors:?} {warnings}");
    }
    true
}

/// Crowds need more than the soft limit that is usual, here and in the process that is attacked.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
}

/// What the attacked process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    descriptors: usize,
    threads: usize,
    /// Of its own, not of files, and without the media that is kept for viewers.
    memory_kib: u64,
}

/// The attacked process, and a viewer who watches all the time.
pub(crate) struct Siege {
    pub(crate) port: u16,
    /// 0 without TLS.
    pub(crate) tls_port: u16,
    child: Child,
    orders: Option<ChildStdin>,
    replies: mpsc::Receiver<String>,
    viewer: Viewer,
    before: Figures,
    pub(crate) memory_margin_kib: u64,
}

impl Siege {
    pub(crate) fn start(properties: &str) -> Self {
        Self::start_with(properties, None)
    }

    /// With at most so many descriptors, if any are said.
    pub(crate) fn start_with(properties: &str, descriptors: Option<u64>) -> Self {
        raise_descriptor_limit();
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", PROCESS, "--nocapture"])
            .env(PROPERTIES, properties)
            // The C library keeps what was freed unless told otherwise: what is left then is kept by somebody.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(most) = descriptors {
            command.env(DESCRIPTORS, most.to_string());
        }
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, replies) = mpsc::channel();
        // Ends with the process.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let serving = reply(&replies, "serving ");
        let mut ports = serving.split(' ').map(|port| port.parse().unwrap());
        let (port, tls_port) = (ports.next().unwrap(), ports.next().unwrap());
        let mut siege = Self {
            port,
            tls_port,
            orders: child.stdin.take(),
            replies,
            viewer: Viewer::start(port),
            before: figures(&child, port),
            memory_margin_kib: MEMORY_MARGIN_KIB,
            child,
        };
        // Whatever is made once is made now.
        siege.viewer.wait_for_parts(35);
        siege.before = figures(&siege.child, port);
        siege
    }

    /// Attacks, checks, and prints a line of what was seen.
    pub(crate) fn face(&mut self, attack: &str, run: impl FnOnce(&Self) -> String) {
        let cpu_before = self.http_ticks();
        let (seen, took) = timed(|| run(self));
        let cpu = self.http_ticks() - cpu_before;
        let state = self.check(attack);
        println!(
            "| {attack} | {seen} | {:.1} s, {} ms of the server's CPU; after it {state} |",
            took.as_secs_f64(),
            cpu * 10
        );
    }

    /// What holds while an attack goes on as well as after it: the pipeline plays and publishes, the viewer who was there
    /// misses nothing, and one who comes is served in time.
    pub(crate) fn check_service(&self, attack: &str) -> Duration {
        let state = self.state();
        assert!(state.starts_with("Playing []"), "{attack}: {state}");
        self.viewer.wait_for_parts(1);
        let mut tries = Vec::new();
        let deadline = Deadline::after(PATIENCE);
        while !deadline.is_over() {
            let ((), took, lateness) = measured(|| view(self.port));
            if took <= FRESH_VIEWER + lateness * WAKES {
                return took;
            }
            tries.push((took, lateness));
        }
        panic!("{attack}: a fresh viewer waits, on a machine this late: {tries:?}");
    }

    /// The viewer who was there watches on.
    pub(crate) fn viewer_goes_on(&self) {
        self.viewer.wait_for_parts(3);
    }

    /// The check that follows every attack.
    fn check(&self, attack: &str) -> String {
        let took = self.check_service(attack);
        let deadline = Deadline::after(PATIENCE);
        let after = loop {
            let after = figures(&self.child, self.port);
            let is_back = after.descriptors <= self.before.descriptors + DESCRIPTOR_MARGIN
                && after.threads <= self.before.threads + THREAD_MARGIN
                && after.memory_kib <= self.before.memory_kib + self.memory_margin_kib;
            if is_back {
                break after;
            }
            assert!(
                !deadline.is_over(),
                "{attack}: {:?} before, {after:?} after; {}",
                self.before,
                self.stats()
            );
            thread::sleep(Duration::from_millis(10));
        };
        let stats = self.stats();
        assert_eq!(stats["clients"]["panics"], 0, "{attack}");
        assert_eq!(
            stats["violations"], 0,
            "{attack}: {}",
            stats["last_violation"]
        );
        let Figures {
            descriptors,
            threads,
            memory_kib,
        } = self.before;
        format!(
            "a viewer in {:.1} ms, descriptors {descriptors} -> {}, threads {threads} -> {}, memory {:.1} -> {:.1} MiB",
            took.as_secs_f64() * 1e3,
            after.descriptors,
            after.threads,
            memory_kib as f64 / 1024.0,
            after.memory_kib as f64 / 1024.0
        )
    }

    /// `/stats.json`.
    pub(crate) fn stats(&self) -> serde_json::Value {
        Client::new(self.port).get("/stats.json").json()
    }

    /// How often a limit was gone over so far.
    pub(crate) fn over(&self, limit: &str) -> u64 {
        self.stats()["limits"][limit].as_u64().unwrap()
    }

    /// State, errors and warnings of the pipeline.
    pub(crate) fn state(&self) -> String {
        writeln!(self.orders.as_ref().unwrap(), "state").unwrap();
        reply(&self.replies, "state ")
    }

    /// The newest playlist.
    pub(crate) fn playlist(&self) -> Playlist {
        let text = Client::new(self.port).body("/live.m3u8");
        Playlist::read(std::str::from_utf8(&text).unwrap())
    }

    /// A request that is held until its part is there.
    pub(crate) fn parking_path(&self) -> String {
        let (msn, part) = self.part_to_park_for();
        parking_path(msn, part)
    }

    /// The part a segment after the next one, so that it is not there before it is asked for; on a slow machine twice as far.
    pub(crate) fn part_to_park_for(&self) -> (u64, usize) {
        let (msn, part) = self.playlist().next_part();
        (msn + 1, part)
    }

    /// CPU time of the server's thread, in hundredths of a second.
    fn http_ticks(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
            .filter(|stat| stat.contains("(llhls-http)"))
            .map(|stat| {
                let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
                fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
            })
            .sum()
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.viewer.stop();
        // The end of its orders is its end.
        self.orders = None;
        let deadline = Deadline::after(PATIENCE);
        while self.child.try_wait().unwrap().is_none() {
            if deadline.is_over() {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The playlist once it lists that part.
pub(crate) fn parking_path(msn: u64, part: usize) -> String {
    format!("/live.m3u8?_HLS_msn={msn}&_HLS_part={part}")
}

fn reply(replies: &mpsc::Receiver<String>, start: &str) -> String {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let line = replies
            .recv_timeout(deadline.left())
            .unwrap_or_else(|error| panic!("the attacked process does not say {start}: {error}"));
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

fn figures(child: &Child, port: u16) -> Figures {
    let stats = Client::new(port).get("/stats.json").json();
    let kept = stats["bytes"]["kept"].as_u64().unwrap();
    let folder = format!("/proc/{}", child.id());
    let status = fs::read_to_string(format!("{folder}/status")).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    let memory: u64 = memory
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap();
    Figures {
        descriptors: fs::read_dir(format!("{folder}/fd")).unwrap().count(),
        threads: fs::read_dir(format!("{folder}/task")).unwrap().count(),
        memory_kib: memory.saturating_sub(kept / 1024),
    }
}

/// What a viewer needs to begin: a connection, the playlist, the newest part in it.
fn view(port: u16) {
    let mut client = Client::new(port);
    let text = client.body("/live.m3u8");
    let playlist = Playlist::read(std::str::from_utf8(&text).unwrap());
    let part = playlist.parts().last().unwrap();
    assert!(!client.body(&format!("/{}", part.uri)).is_empty());
}

/// How long `work` took, and how late this machine woke a thread that slept meanwhile.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration, Duration) {
    const NAP: Duration = Duration::from_millis(1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let mut latest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let ((), took) = timed(|| thread::sleep(NAP));
                latest = latest.max(took - NAP);
            }
            latest
        });
        let (result, took) = timed(work);
        is_over.store(true, Ordering::Relaxed);
        (result, took, sleeper.join().unwrap())
    })
}

/// Somebody who watches the whole time over one connection: reloads, fetches the part, and so on.
struct Viewer {
    is_over: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Progress {
    parts: u64,
    failure: Option<String>,
}

impl Viewer {
    fn start(port: u16) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Mutex::new(Progress::default()));
        let thread = thread::spawn({
            let (is_over, progress) = (Arc::clone(&is_over), Arc::clone(&progress));
            move || {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut connection = BufReader::new(stream);
                let mut seen = None;
                while !is_over.load(Ordering::Relaxed) {
                    match watch(&mut connection, &mut seen) {
                        Ok(parts) => progress.lock().unwrap().parts += parts,
                        Err(failure) => {
                            progress.lock().unwrap().failure = Some(failure);
                            return;
                        }
                    }
                }
            }
        });
        Self {
            is_over,
            progress,
            thread: Some(thread),
        }
    }

    /// Waits until the viewer has seen so many parts more.
    fn wait_for_parts(&self, count: u64) {
        let seen = || {
            let progress = self.progress.lock().unwrap();
            if let Some(failure) = &progress.failure {
                panic!("the viewer who was there: {failure}");
            }
            progress.parts
        };
        let before = seen();
        wait_until("parts for the viewer who was there", || {
            seen() >= before + count
        });
    }

    fn stop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What somebody who watches has seen.
struct Seen {
    /// Where the part after it will be.
    next: (u64, usize),
    /// The number of the newest part.
    newest: u64,
}

/// One reload, and every part that is new in it. None may be missing.
fn watch(connection: &mut BufReader<TcpStream>, seen: &mut Option<Seen>) -> Result<u64, String> {
    let path = match seen {
        Some(Seen { next, .. }) => format!("/live.m3u8?_HLS_msn={}&_HLS_part={}", next.0, next.1),
        None => "/live.m3u8".to_owned(),
    };
    let answer = ask(connection, &path)?;
    let playlist = Playlist::read(answer.text());
    let newest = playlist.parts().last().ok_or("no part")?;
    let newest = number(&newest.uri);
    let first = seen.as_ref().map_or(newest, |seen| seen.newest + 1);
    for wanted in first..=newest {
        let part = playlist.parts().find(|part| number(&part.uri) == wanted);
        let part = part.ok_or_else(|| format!("part {wanted} is not in the playlist after it"))?;
        if ask(connection, &format!("/{}", part.uri))?.body.is_empty() {
            return Err(format!("part {wanted} is empty"));
        }
    }
    *seen = Some(Seen {
        next: playlist.next_part(),
        newest,
    });
    Ok(newest + 1 - first)
}

fn ask(connection: &mut BufReader<TcpStream>, path: &str) -> Result<Answer, String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection
        .get_mut()
        .write_all(request.as_bytes())
        .map_err(failed)?;
    let answer = read_answer(connection, false).map_err(failed)?;
    match answer.status {
        200 => Ok(answer),
        status => Err(format!("{path}: {status} {}", answer.text())),
    }
}

/// Repeats `act` at most so many times a second while the attack lasts, once more when the machine was too busy for half of
/// that. Answers how often it was done in a second.
pub(crate) fn at_rate(per_second: u32, mut act: impl FnMut()) -> u32 {
    let deadline = Deadline::after(attack_time() * 2 + PATIENCE);
    loop {
        let (count, took) = timed(|| attack_at_rate(per_second, &mut act));
        let rate = (f64::from(count) / took.as_secs_f64()).round() as u32;
        if rate * 2 >= per_second {
            return rate;
        }
        assert!(
            !deadline.is_over(),
            "{rate} a second are no attack of {per_second}"
        );
    }
}

fn attack_at_rate(per_second: u32, mut act: impl FnMut()) -> u32 {
    let start = Instant::now();
    let end = start + attack_time();
    let mut count = 0;
    while Instant::now() < end {
        act();
        count += 1;
        let due = start + Duration::from_secs(1) * count / per_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    count
}
