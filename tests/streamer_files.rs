//! The program `llhls-streamer` and its files: by the script's ways, on a disk that fills up, after a crash.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use support::{
    http::Client,
    program::{Program, scratch},
    streamer::{SMALL, STREAMER, newest, playlist, streamer},
};

/// The streamer, with files on a file system of its own that is soon full, and where that is seen from here. `None` where nobody
/// may mount one.
fn on_a_small_disk(name: &str, switches: &[&str]) -> Option<(Program, PathBuf)> {
    let alone = ["--user", "--map-root-user", "--mount"];
    let mut trial = Command::new("unshare");
    trial
        .args(alone)
        .args("mount -t tmpfs none /mnt".split(' '));
    if !trial.output().is_ok_and(|output| output.status.success()) {
        return None;
    }
    let place = scratch(name);
    let mut command = Command::new("unshare");
    command
        .args(alone)
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=512k none \"$0\" && exec \"$@\"",
        ])
        .arg(&place)
        .arg(&*STREAMER)
        .args(SMALL)
        .args(["--segment-duration=0.5", "--max-files=6"])
        .args(switches)
        .arg("--location")
        .arg(&place);
    let program = Program::start(&mut command);
    let seen = program.root().join(place.strip_prefix("/").unwrap());
    Some((program, seen))
}

/// Takes what room there is, also what has become free again since the last time.
fn fill_up(ballast: &Path) {
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(ballast)
        .unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// The disk stays full until the stream has gone on to that segment.
fn wait_on_a_full_disk(ballast: &Path, client: &mut Client, msn: u64) {
    support::wait_until("the stream to go on", || {
        fill_up(ballast);
        newest(client) >= msn
    });
}

fn ends_having_said_that_the_disk_is_full(program: Program) {
    program.send(Signal::INT);
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert!(
        complaints.contains("No space left on device"),
        "{complaints}"
    );
}

#[test]
fn a_full_disk_costs_the_recording_and_not_the_stream() {
    let Some((mut program, folder)) = on_a_small_disk("recording", &[]) else {
        eprintln!("nobody may mount a file system here: not tried");
        return;
    };
    let mut client = Client::new(program.wait_for_port());
    let recording = || fs::read_to_string(folder.join("live.m3u8")).unwrap_or_default();
    support::wait_until("a segment on the disk", || recording().contains("#EXTINF"));
    let ballast = folder.join("ballast");
    let full_at = newest(&mut client);
    wait_on_a_full_disk(&ballast, &mut client, full_at + 4);
    // And once there is room again it goes on, and says what is missing.
    fs::remove_file(ballast).unwrap();
    support::wait_until("a segment after the missing ones", || {
        let text = recording();
        let after = text.rsplit_once("#EXT-X-GAP\n").map(|(_, after)| after);
        // The missing one's own name, and that of one that is there.
        after.is_some_and(|after| after.matches(".m4s").count() >= 2)
    });
    ends_having_said_that_the_disk_is_full(program);
}

#[test]
fn a_full_disk_costs_the_files_and_not_those_who_watch() {
    for mode in ["inotify", "poll"] {
        let Some((mut program, folder)) =
            on_a_small_disk(&format!("full-{mode}"), &["--mode", mode])
        else {
            eprintln!("nobody may mount a file system here: not tried");
            return;
        };
        let mut client = Client::new(program.wait_for_port());
        let first = newest(&mut client);
        let is_there = |msn: u64| {
            let name = format!("segment_{msn:05}.m4s");
            folder.join(name).is_file()
        };
        assert!(is_there(first), "{mode}");
        let ballast = folder.join("ballast");
        wait_on_a_full_disk(&ballast, &mut client, first + 5);
        // From memory.
        let (playlist, _) = playlist(&mut client);
        for segment in &playlist.segments {
            assert!(!client.body(&format!("/{}", segment.uri)).is_empty());
        }
        fs::remove_file(ballast).unwrap();
        let next = newest(&mut client) + 1;
        support::wait_until("files again", || is_there(next) || is_there(next + 1));
        ends_having_said_that_the_disk_is_full(program);
    }
}

/// What a crash leaves is gone on from, behind a discontinuity.
#[test]
fn a_crash_leaves_files_the_next_run_goes_on_from() {
    for mode in ["buffer-flow", "inotify"] {
        let folder = scratch(&format!("crash-{mode}"));
        let start = || {
            let mut command = streamer(&SMALL);
            command.args(["--mode", mode, "--segment-duration=0.5", "--location"]);
            Program::start(command.arg(&folder))
        };
        let text = || fs::read_to_string(folder.join("live.m3u8")).unwrap_or_default();
        let numbers = || -> Vec<u64> {
            let text = text();
            let names = text.lines().filter(|line| line.ends_with(".m4s"));
            names.map(support::playlist::number).collect()
        };
        let program = start();
        support::wait_until("two segments", || numbers().len() >= 2);
        program.send(Signal::KILL);
        program.wait();
        let before = numbers();
        let program = start();
        support::wait_until("two segments more", || {
            let last = before.last().unwrap();
            numbers().iter().filter(|number| *number > last).count() >= 2
        });
        program.send(Signal::INT);
        let (status, complaints) = program.wait();
        assert_eq!((status.code(), &*complaints), (Some(0), ""), "{mode}");
        let text = text();
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
        assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
        assert!(numbers().is_sorted_by(|one, next| one < next), "{text}");
        for number in numbers() {
            assert!(folder.join(format!("segment_{number:05}.m4s")).is_file());
        }
    }
}

/// As the script did it: by files, at the same addresses.
#[test]
fn files_are_a_mode() {
    for mode in ["inotify", "poll"] {
        let folder = scratch(&format!("files-{mode}"));
        let mut command = streamer(&SMALL);
        command.args(["--mode", mode, "--max-files=6", "--playlist-length=4"]);
        command.args(["--segment-duration=1", "--location"]);
        let mut program = Program::start(command.arg(&folder));
        let mut client = Client::new(program.wait_for_port());
        let (playlist, version) = playlist(&mut client);
        let answer = client.get(&format!("/live.m3u8?wait=30000&version={version}"));
        let newer: u64 = answer.header("x-llhls-version").unwrap().parse().unwrap();
        assert!(newer > version, "{mode}");
        // The one that stays longest.
        let segment = &playlist.segments.last().unwrap().uri;
        let name = segment.rsplit('/').next().unwrap();
        // The very bytes.
        let body = client.body(&format!("/{segment}"));
        assert_eq!(body, fs::read(folder.join(name)).unwrap(), "{mode}");
        let timestamps = client.get("/timestamps.json").json();
        assert!(timestamps["segments"][name].is_i64(), "{timestamps}");
        support::wait_until("more segments than files", || newest(&mut client) > 6);
        program.send(Signal::TERM);
        let (status, complaints) = program.wait();
        assert_eq!(status.code(), Some(0), "{complaints}");
        assert_eq!(complaints, "", "{mode}");
        let left = fs::read_dir(&folder).unwrap();
        let names = left.map(|file| file.unwrap().file_name().into_string().unwrap());
        let segments = names.filter(|name| name.ends_with(".m4s")).count();
        assert!((5..=6).contains(&segments), "{mode}: {segments}");
    }
}

/// Where the system lets this user watch no more folders, they are looked at instead.
#[test]
fn without_a_watch_to_be_had_the_folder_is_looked_at() {
    let alone = ["--user", "--map-root-user", "sh", "-c"];
    let limit = "echo 0 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let mut trial = Command::new("unshare");
    trial.args(alone).args([limit, "sh", "true"]);
    if !trial.output().is_ok_and(|output| output.status.success()) {
        eprintln!("nobody may have limits of his own here: not tried");
        return;
    }
    let folder = scratch("no-watch");
    let mut command = Command::new("unshare");
    command
        .args(alone)
        .args([limit, "sh"])
        .arg(&*STREAMER)
        .args(SMALL)
        .args(["--mode=inotify", "--segment-duration=0.5", "--location"])
        .arg(&folder);
    let mut program = Program::start(&mut command);
    let mut client = Client::new(program.wait_for_port());
    let first = newest(&mut client);
    support::wait_until("more segments", || newest(&mut client) > first + 1);
    program.send(Signal::INT);
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert!(
        complaints.contains("cannot be watched with inotify"),
        "{complaints}"
    );
}
