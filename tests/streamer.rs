//! The program `llhls-streamer`, and the wrapper that stands where the script `streamer.py` stood.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use rustix::process::Signal;
use support::{
    http::{Client, Pending},
    playlist::Playlist,
    program::{Program, example, scratch},
    secure::{Http2, Pair},
};

static STREAMER: LazyLock<PathBuf> = LazyLock::new(|| example("streamer"));

/// A picture small enough for many streams at a time.
const SMALL: [&str; 5] = [
    "--test-src",
    "--http-port=0",
    "--resolution=160x120",
    "--framerate=15",
    "--bitrate=200",
];

fn streamer(switches: &[&str]) -> Command {
    let mut command = Command::new(&*STREAMER);
    command.args(switches);
    command
}

fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/streamer.py")
}

/// The playlist once there are two segments, and its version.
fn playlist(client: &mut Client) -> (Playlist, u64) {
    support::wait_for("two segments", || {
        let answer = client.get("/live.m3u8");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let version = answer.header("x-llhls-version").unwrap().parse().unwrap();
        let playlist = Playlist::read(answer.text());
        (playlist.segments.len() >= 2).then_some((playlist, version))
    })
}

#[test]
fn an_old_command_line_streams_at_the_old_urls() {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(wrapper()).env("LLHLS_STREAMER", &*STREAMER);
    let line = "--device /dev/video0 --http-port 0 --resolution 320x240 --framerate 25 --bitrate 300 \
                --segment-duration 1.0 --part-duration 0.2 --playlist-length 4 --max-files 9 --test-src \
                --public-url http://127.0.0.1:1";
    let mut program = Program::start(command.args(line.split_whitespace()));
    let port = program.wait_for_port();
    let mut client = Client::new(port);

    let (playlist, version) = playlist(&mut client);
    assert_eq!(playlist.target_duration, 1, "--segment-duration");
    assert_eq!(playlist.part_target, 200_000_000, "--part-duration");
    for uri in playlist.uris() {
        assert!(
            uri.starts_with("http://127.0.0.1:1/"),
            "--public-url: {uri}"
        );
    }

    // The blocking reload of the script: newer than what one has, or half a second later.
    let answer = client.get(&format!("/live.m3u8?wait=30000&version={version}"));
    let newer: u64 = answer.header("x-llhls-version").unwrap().parse().unwrap();
    assert!(newer > version);
    let far = u32::MAX;
    let (answer, waited) =
        support::timed(|| client.get(&format!("/live.m3u8?wait=500&version={far}")));
    assert_eq!(answer.status, 200);
    assert!(waited.as_millis() >= 500, "{waited:?}");

    let timestamps = client.get("/timestamps.json").json();
    let segment = playlist.segments[0].uri.rsplit('/').next().unwrap();
    assert!(timestamps["segments"][segment].is_i64(), "{timestamps}");
    assert!(timestamps["version"].as_u64().unwrap() >= newer);
    assert!(timestamps["timestamp"].is_i64());

    let stats = client.get("/stats.json").json();
    assert_eq!(stats["tracks"][0]["width"], 320);
    assert_eq!(stats["tracks"][0]["height"], 240);
}

#[test]
fn a_signal_ends_the_stream_for_those_who_wait() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut program = Program::start(&mut streamer(&SMALL));
        let port = program.wait_for_port();
        let mut client = Client::new(port);
        let (playlist, _) = playlist(&mut client);
        let next = playlist.next_part().0 + 1;
        let waiting = Pending::get(port, &format!("/live.m3u8?_HLS_msn={next}"));
        support::wait_until("a parked request", || {
            client.get("/stats.json").json()["clients"]["parked"] == 1
        });
        program.send(signal);
        let answer = waiting.wait();
        assert!(
            answer.text().contains("#EXT-X-ENDLIST"),
            "{}",
            answer.text()
        );
        // Who only asks now and then can still learn of it.
        assert!(client.get("/live.m3u8").text().contains("#EXT-X-ENDLIST"));
        let (status, complaints) = program.wait();
        assert_eq!(status.code(), Some(0), "{complaints}");
        assert_eq!(complaints, "");
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let mut program = Program::start(&mut streamer(&SMALL));
    let mut client = Client::new(program.wait_for_port());
    // With a viewer it does not end by itself at once.
    playlist(&mut client);
    program.send(Signal::INT);
    program.wait_for_line("word of the end", |line| {
        line.starts_with("ending").then_some(())
    });
    program.send(Signal::INT);
    let (status, _) = program.wait();
    assert_eq!(status.code(), Some(130));
}

/// Without a terminal: the log of a service.
#[test]
fn the_status_is_a_line() {
    let mut program = Program::start(&mut streamer(&SMALL));
    let line = program.wait_for_line("status", |line| {
        line.starts_with("viewers ").then(|| line.to_owned())
    });
    for word in ["edge ", "delay ", "kbit/s", "dropped 0"] {
        assert!(line.contains(word), "{line}");
    }
    let said = program.said();
    assert!(!said.contains('\x1b'), "{said}");
    assert!(said.contains("  clock "), "{said}");
}

/// On a terminal, where Ctrl-C is a key.
#[test]
fn the_status_is_renewed_in_place() {
    // The shell gives way: one that stays would be ended by the key itself.
    let line = format!("exec {} {}", STREAMER.display(), SMALL.join(" "));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut program = Program::start(&mut command);
    program.wait_for_port();
    // Twice: the first one is written over.
    for _ in 0..2 {
        program.wait_for_line("status", |line| {
            line.starts_with("\x1b[Kviewers 0 | edge ").then_some(())
        });
    }
    program.write(b"\x03");
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
}

#[test]
fn sound_is_a_rendition_of_its_own() {
    let mut command = streamer(&SMALL);
    let mut program = Program::start(command.arg("--audio"));
    let mut client = Client::new(program.wait_for_port());
    let text = String::from_utf8(client.body("/live.m3u8")).unwrap();
    assert!(text.contains("TYPE=AUDIO"), "{text}");
    client.body("/live_audio.m3u8");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_stands_beside_http() {
    let pair = Pair::new();
    let mut command = streamer(&SMALL);
    command.args(["--tls-port", "-1", "--tls-cert"]);
    command.arg(pair.certificate()).arg("--tls-key");
    let mut program = Program::start(command.arg(pair.private_key()));
    let port = program.wait_for_line("URL of HTTPS", |line| {
        let (_, url) = line.split_once("https://localhost:")?;
        url.split('/').next()?.parse().ok()
    });
    let answer = Http2::connect(port).await.get("/live.m3u8").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_cannot_work_is_said() {
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (switches, code, expected) in [
        (
            &["--device", "/dev/no-such-camera"][..],
            1,
            &["no camera at /dev/no-such-camera", "--test-src"][..],
        ),
        // Is there, and is no camera.
        (
            &["--device", "/dev/null"],
            1,
            &["cannot open /dev/null", "--test-src"],
        ),
        (
            &["--test-src", "--http-port", &port],
            1,
            &[port.as_str(), "in use"],
        ),
        (
            &["--clip", "/no/such/file.mp4"],
            1,
            &["/no/such/file.mp4: no such file"],
        ),
        (
            &["--test-src", "--public-url", "ftp://host"],
            1,
            &["public-url 'ftp://host'"],
        ),
        (
            &[
                "--test-src",
                "--http-port=0",
                "--tls-port=-1",
                "--tls-cert=/no/such.pem",
            ],
            1,
            &["/no/such.pem"],
        ),
        (&["--resolution", "720p"], 2, &["--resolution", "1280x720"]),
        (&["--volume", "11"], 2, &["--volume"]),
    ] {
        let (status, complaints) = Program::start(&mut streamer(switches)).wait();
        assert_eq!(status.code(), Some(code), "{switches:?}: {complaints}");
        for word in expected {
            assert!(complaints.contains(word), "{switches:?}: {complaints}");
        }
    }
}

/// A copy of the wrapper in a folder of its own, with nothing built beside it.
fn wrapper_alone(name: &str) -> (PathBuf, Command) {
    let folder = scratch(name);
    fs::create_dir(folder.join("examples")).unwrap();
    let copy = folder.join("examples/streamer.py");
    fs::copy(wrapper(), &copy).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(copy)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("LLHLS_STREAMER");
    (folder, command)
}

/// Says its arguments and ends in a way of its own.
const ECHO: &str = "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\nexit 7\n";

#[test]
fn the_wrapper_finds_the_installed_program() {
    let (folder, mut command) = wrapper_alone("installed");
    let program = folder.join("llhls-streamer");
    fs::write(&program, ECHO).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    let output = command
        .args(["--device", "/dev/a b", "--test-src"])
        .output();
    let output = output.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "<--device></dev/a b><--test-src>\n"
    );
    assert_eq!(output.status.code(), Some(7));
    assert!(output.stderr.is_empty());
}

#[test]
fn the_wrapper_builds_a_program_that_is_not_there() {
    let (folder, mut command) = wrapper_alone("unbuilt");
    fs::write(folder.join("echo"), ECHO).unwrap();
    fs::write(
        folder.join("Makefile"),
        "build:\n\tinstall -D -m 755 echo target/release/examples/streamer\n",
    )
    .unwrap();
    command.env("PATH", "/usr/bin:/bin");
    let output = command.arg("--help").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<--help>\n");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("building it"), "{complaints}");

    // Where it cannot be built, what helps is said.
    fs::remove_dir_all(folder.join("target")).unwrap();
    fs::remove_file(folder.join("Makefile")).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("./setup.sh"), "{complaints}");
}

/// A file system of its own, so small that it is soon full. Where nobody may mount one there is nothing to be seen.
#[test]
fn a_full_disk_costs_the_recording_and_not_the_stream() {
    let alone = ["--user", "--map-root-user", "--mount"];
    let mut trial = Command::new("unshare");
    trial
        .args(alone)
        .args("mount -t tmpfs none /mnt".split(' '));
    if !trial.output().is_ok_and(|output| output.status.success()) {
        eprintln!("nobody may mount a file system here: not tried");
        return;
    }
    let place = scratch("full");
    let mut command = Command::new("unshare");
    command
        .args(alone)
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=64k none \"$0\" && exec \"$@\"",
        ])
        .arg(&place)
        .arg(&*STREAMER)
        .args(SMALL)
        .args(["--segment-duration=0.5", "--location"])
        .arg(&place);
    let mut program = Program::start(&mut command);
    let mut client = Client::new(program.wait_for_port());
    // Each takes a page at least, and there are sixteen.
    support::wait_for("the stream to go on", || {
        let text = String::from_utf8(client.body("/live.m3u8")).unwrap();
        let newest = Playlist::read(&text).segments.last()?.msn;
        (newest >= 25).then_some(())
    });
    program.send(Signal::INT);
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert!(
        complaints.contains("No space left on device"),
        "{complaints}"
    );
}
