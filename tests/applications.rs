//! The applications in `examples/`, in three languages: each streams, tells of it, and ends its stream for its viewers.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{net::TcpListener, path::Path, process::Command};

use rustix::process::Signal;
use support::{
    http::{Client, Pending},
    program::{Program, example, scratch, with_plugin},
    tracks,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Runs an application until it has said all it can say, and ends it; and once more where it cannot start.
fn check(application: impl Fn() -> Command) {
    plays(&mut application());
    says_why_it_cannot_start(&mut application());
}

fn says_why_it_cannot_start(command: &mut Command) {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, complaints) = Program::start(command.arg(&port)).wait();
    assert!(complaints.contains(&format!("port {port}")), "{complaints}");
    assert_eq!(status.code(), Some(1), "{complaints}");
}

fn plays(command: &mut Command) {
    let mut program = Program::start(command.arg("0"));
    let port = program.wait_for_port();
    let mut client = Client::new(port);
    assert_eq!(
        tracks::named(&mut client),
        ["live_audio.m3u8", "live_video.m3u8"]
    );
    for rendition in ["video", "audio"] {
        program.wait_for_line("segment", |line| {
            let mut words = line.strip_prefix("segment ")?.split(' ');
            (words.next()? == rendition).then_some(())?;
            assert!(words.next()?.ends_with("segment_00001.m4s"), "{line}");
            // The first one may be a frame or two off.
            let seconds: f64 = words.next()?.parse().unwrap();
            assert!((0.9..1.1).contains(&seconds), "{line}");
            Some(())
        });
    }
    let figures = program.wait_for_line("figures", |line| {
        line.strip_prefix("figures ").map(str::to_owned)
    });
    assert!(figures.starts_with("1 clients, "), "{figures}");
    assert!(!figures.contains(" 0 "), "{figures}");

    let mut next = tracks::playlist(&mut client, "live_video.m3u8")
        .next_part()
        .0
        + 1;
    let park = |next: u64| Pending::get(port, &format!("/live_video.m3u8?_HLS_msn={next}"));
    let mut waiting = park(next);
    support::wait_until("a parked request", || {
        client.get("/stats.json").json()["clients"]["parked"] == 1
    });
    program.send(Signal::INT);
    // On a crowded machine the segment that is waited for may come before the end does.
    while let answer = waiting.wait()
        && !answer.text().contains("#EXT-X-ENDLIST")
    {
        assert_eq!(answer.status, 200, "{}", answer.text());
        next += 1;
        waiting = park(next);
    }
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert_eq!(complaints, "");
}

#[test]
fn rust() {
    check(|| Command::new(example("application")));
}

/// The system's Python: PyGObject belongs to it.
#[test]
fn python() {
    check(|| {
        let mut command = Command::new("/usr/bin/python3");
        with_plugin(command.arg(Path::new(EXAMPLES).join("python/application.py")));
        command
    });
}

#[test]
fn c() {
    let program = scratch("c").join("application");
    let output = Command::new("make")
        .args(["-C", &format!("{EXAMPLES}/c")])
        .arg(format!("OUTPUT={}", program.display()))
        // What cargo or another make says is not meant for this one.
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    check(|| {
        let mut command = Command::new(&program);
        with_plugin(&mut command);
        command
    });
}

/// Without the plugin, what is missing is said.
#[test]
fn a_plugin_that_is_not_found_is_named() {
    let folder = scratch("no-plugin");
    let output = Command::new("/usr/bin/python3")
        .arg(Path::new(EXAMPLES).join("python/application.py"))
        .env("GST_PLUGIN_SYSTEM_PATH", &folder)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .env_remove("GST_PLUGIN_PATH")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("GST_PLUGIN_PATH"), "{complaints}");
    assert_eq!(output.status.code(), Some(1));
}
