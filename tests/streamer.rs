//! The program `llhls-streamer`, and the wrapper that stands where the script `streamer.py` stood.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use gst::prelude::*;
use rustix::process::Signal;
use support::{
    Deadline,
    http::{Client, Pending},
    media::{Chunk, Init},
    program::{Program, scratch},
    secure::{Http2, Pair},
    streamer::{SMALL, STREAMER, newest, playlist, streamer},
};

fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/streamer.py")
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

/// What `--framerate`, `--bitrate`, `--playlist-length` and `--max-files` ask for is in the stream.
#[test]
fn the_switches_show_in_the_stream() {
    let mut program = Program::start(&mut streamer(&[
        "--test-src",
        "--http-port=0",
        "--resolution=320x240",
        "--framerate=20",
        "--bitrate=60",
        "--segment-duration=1",
        "--part-duration=0.2",
        "--playlist-length=4",
        "--max-files=9",
    ]));
    let mut client = Client::new(program.wait_for_port());
    // One more than are kept.
    support::wait_until("the tenth segment", || newest(&mut client) > 9);

    let (playlist, _) = playlist(&mut client);
    assert_eq!(playlist.segments.len(), 4, "{}", playlist.text);
    let timestamps = client.get("/timestamps.json").json();
    let kept = timestamps["segments"].as_object().unwrap();
    assert_eq!(kept.len(), 9, "{timestamps}");

    let segment = &playlist.segments[0];
    let init = Init::read(&client.body(&format!("/{}", segment.map)));
    let media = client.body(&format!("/{}", segment.uri));
    let chunks = init.chunks(&media);
    let frames: usize = chunks.iter().map(|chunk| chunk.samples.len()).sum();
    let duration: u64 = chunks.iter().map(Chunk::duration).sum();
    let seconds = duration as f64 / f64::from(init.timescale);
    let rate = frames as f64 / seconds;
    assert!((rate - 20.0).abs() < 0.01, "{rate} frames a second");
    let bits = media.len() as f64 * 8.0 / seconds;
    // Left alone, this picture takes more than 150 kbit/s.
    assert!((30e3..120e3).contains(&bits), "{bits} bit/s");
}

#[test]
fn a_signal_ends_the_stream_for_those_who_wait() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut program = Program::start(&mut streamer(&SMALL));
        let port = program.wait_for_port();
        let mut client = Client::new(port);
        playlist(&mut client);
        let waiting = Pending::get(port, &format!("/live.m3u8?wait=60000&version={}", u64::MAX));
        support::wait_until("a parked request", || {
            client.get("/stats.json").json()["clients"]["parked"] == 1
        });
        // The finished playlist is there for longer.
        let farewell = Deadline::after(Duration::from_secs(1));
        program.send(signal);
        let answer = waiting.wait();
        assert!(
            answer.text().contains("#EXT-X-ENDLIST"),
            "{}",
            answer.text()
        );
        // Who only asks now and then can still learn of it.
        match client.try_request("GET", "/live.m3u8") {
            Ok(answer) => assert!(answer.text().contains("#EXT-X-ENDLIST")),
            Err(error) => assert!(farewell.is_over(), "{error}"),
        }
        let (status, complaints) = program.wait();
        assert_eq!(status.code(), Some(0), "{complaints}");
        assert_eq!(complaints, "");
    }
}

/// The streamer where `chronyc` and `timedatectl` are these scripts.
fn beside(name: &str, chronyc: &str, timedatectl: &str) -> Command {
    let folder = scratch(name);
    for (program, script) in [("chronyc", chronyc), ("timedatectl", timedatectl)] {
        let path = folder.join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = streamer(&SMALL);
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    command
}

#[test]
fn the_clock_and_what_to_do_about_it_are_said() {
    let silent = "#!/bin/sh\nexit 1\n";
    let chronyc = |offset: &str| {
        format!(
            "#!/bin/sh\n[ \"$*\" = '-c -n tracking' ] && \
             echo 'A29FC87B,162.159.200.123,4,1795355567.1,{offset},0.0,0.0,-9.5,0.0,0.1,0.1,0.1,64.5,Normal'\n"
        )
    };
    let timedatectl = "#!/bin/sh\n[ \"$*\" = timesync-status ] && echo '       Offset: -2.5ms'\n";
    for (name, chronyc, timedatectl, expected) in [
        (
            "chronyd",
            &*chronyc("-0.012345678"),
            timedatectl,
            Some("synchronised, 12.346 ms off, says chronyc"),
        ),
        (
            "far-off",
            &*chronyc("0.08"),
            silent,
            Some("synchronised, 80.000 ms off, says chronyc"),
        ),
        (
            "timesyncd",
            silent,
            timedatectl,
            Some("synchronised, 2.500 ms off, says timedatectl"),
        ),
        // What then is said is the kernel's affair.
        ("nobody", silent, silent, None),
    ] {
        let mut program = Program::start(&mut beside(name, chronyc, timedatectl));
        let clock = program.wait_for_line("clock", |line| {
            line.strip_prefix("  clock      ").map(str::to_owned)
        });
        if let Some(expected) = expected {
            assert_eq!(clock, expected, "{name}");
        }
        program.wait_for_line("the end of what is said", |line| {
            line.starts_with("Ctrl-C").then_some(())
        });
        let is_advised = program.said().contains("keep the offset below 50 ms");
        let is_bad = name == "far-off" || clock == "not synchronised";
        assert_eq!(is_advised, is_bad, "{}", program.said());
    }
}

/// While it still asks about the clock, which takes as long as `chronyc` does.
#[test]
fn a_signal_is_heard_from_the_first_line_on() {
    let slow = "#!/bin/sh\nsleep 1\n";
    let mut program = Program::start(&mut beside("slow-clock", slow, slow));
    program.wait_for_port();
    program.send(Signal::INT);
    let (status, complaints) = program.wait();
    assert_eq!((status.code(), &*complaints), (Some(0), ""));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    // On a crowded machine it may have ended by itself before the second.
    let code = support::wait_for("a second signal in time", || {
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
        Some(status.code()).filter(|code| *code != Some(0))
    });
    assert_eq!(code, Some(130));
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

/// Whether sound could be recorded here, as on a workstation.
fn has_microphone() -> bool {
    gst::init().unwrap();
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Audio/Source"), None);
    let is_there = monitor.start().is_ok() && !monitor.devices().is_empty();
    monitor.stop();
    is_there
}

#[test]
fn sound_without_a_microphone_is_refused() {
    if has_microphone() {
        eprintln!("there is a microphone here: not tried");
        return;
    }
    let mut command = streamer(&SMALL);
    let (status, complaints) = Program::start(command.args(["--audio", "microphone"])).wait();
    assert_eq!(status.code(), Some(1), "{complaints}");
    for word in ["no microphone", "--audio tone"] {
        assert!(complaints.contains(word), "{complaints}");
    }
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

#[test]
fn help_names_every_switch_and_default_of_the_script() {
    let output = streamer(&["--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for (switch, default) in [
        ("--device", "/dev/video0"),
        ("--http-port", "8080"),
        ("--resolution", "1280x720"),
        ("--framerate", "30"),
        ("--bitrate", "2500"),
        ("--segment-duration", "1.0"),
        ("--part-duration", "0.333"),
        ("--playlist-length", "6"),
        ("--max-files", "20"),
    ] {
        let line = format!("{switch} <");
        let (_, said) = help
            .split_once(&line)
            .unwrap_or_else(|| panic!("{line}: {help}"));
        let said = said.split("\n      --").next().unwrap();
        let default = format!("[default: {default}]");
        assert!(said.contains(&default), "{switch}: {said}");
    }
    for switch in ["--test-src", "--public-url", "--mode", "--audio", "--open"] {
        assert!(help.contains(switch), "{switch}: {help}");
    }
}

/// A program of that name stands for the browser: what it is given is what would be opened.
#[test]
fn open_opens_the_player_page() {
    let folder = scratch("browser");
    let opened = folder.join("opened");
    let opener = folder.join("xdg-open");
    let script = format!(
        "#!/bin/sh\nprintf '%s' \"$1\" >'{0}.part' && mv '{0}.part' '{0}'\n",
        opened.display()
    );
    fs::write(&opener, script).unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = streamer(&SMALL);
    command.arg("--open");
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    let mut program = Program::start(&mut command);
    let port = program.wait_for_port();
    let url = support::wait_for("a browser", || fs::read_to_string(&opened).ok());
    assert!(
        url.starts_with("http://") && url.contains(&format!(":{port}/")),
        "{url}"
    );
}
