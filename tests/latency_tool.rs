//! `llhls-latency` follows a live stream of the plugin, in each of its forms.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::{
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use gst::prelude::*;
use rustix::process::Signal;
use serde_json::Value;
use support::{
    origin::Origin,
    program::{self, Program},
    stream::Stream,
};

const SOURCE: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1 \
                      ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse";

fn live() -> Stream {
    let stream = Stream::new(SOURCE, "segment-duration=500 part-duration=100");
    stream.play();
    stream.playlist();
    stream
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program::example("llhls-latency"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Follows an origin that was made up for so many parts: a line a part, the summary, and what was said on standard error.
fn follow(origin: &Origin, parts: usize) -> (Vec<Value>, Value, String) {
    let url = format!("http://127.0.0.1:{}/live.m3u8", origin.port);
    let output = run(&[&url, "--parts", &parts.to_string(), "--json"]);
    let said = text(&output.stderr).to_owned();
    assert!(output.status.success(), "{said}");
    let (lines, summary) = lines(&output);
    assert_eq!(lines.len(), parts);
    (lines, summary, said)
}

/// What `--json` wrote: a line a part, and the summary.
fn lines(output: &Output) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

/// Whether it is known when each part was published.
fn are_known(lines: &[Value]) -> Vec<bool> {
    let is_known = |line: &Value| line["published_to_received_ms"].is_f64();
    lines.iter().map(is_known).collect()
}

#[test]
fn each_part_is_timed_and_summed_up() {
    let stream = live();
    let url = format!("http://127.0.0.1:{}/live.m3u8", stream.port());
    let output = run(&[&url, "--parts", "8", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(
        said.contains("clock offset: the origin's clock is"),
        "{said}"
    );
    let (lines, summary) = lines(&output);
    assert!(lines.len() >= 8, "{lines:?}");
    assert_eq!(summary["parts"], lines.len());
    let mut before = None;
    for line in &lines {
        // A part is complete a part after its first frame, and here after that. On one clock, but for half an exchange.
        let captured = line["capture_to_published_ms"].as_f64().unwrap();
        assert!(captured > 50.0, "{line}");
        let uncertainty = summary["clock_uncertainty_ms"].as_f64().unwrap();
        let received = line["published_to_received_ms"].as_f64().unwrap();
        assert!(received >= -uncertainty - 0.01, "{line}");
        assert!(line["playlist_wait_ms"].as_f64().unwrap() >= 0.0);
        assert!(line["bytes"].as_u64().unwrap() > 0);
        let place = (
            line["msn"].as_u64().unwrap(),
            line["part"].as_u64().unwrap(),
        );
        assert!(before < Some(place), "{line} after {before:?}");
        before = Some(place);
    }
    for name in [
        "capture_to_published",
        "published_to_received",
        "capture_to_received",
        "playlist_wait",
        "fetch",
    ] {
        let mut figures: Vec<f64> = lines
            .iter()
            .map(|line| line[format!("{name}_ms")].as_f64().unwrap())
            .collect();
        figures.sort_by(f64::total_cmp);
        for percent in [50, 95, 99, 100] {
            // The smallest figure that so many in a hundred do not exceed.
            let reached = |figure: &&f64| {
                let count = figures.iter().filter(|other| *other <= *figure).count();
                count * 100 >= percent * figures.len()
            };
            let expected = figures.iter().find(reached);
            let said = summary[format!("{name}_p{percent}_ms")].as_f64();
            assert_eq!(said.as_ref(), expected, "{name} p{percent} of {figures:?}");
        }
    }
}

/// Far enough apart that no stall of this machine looks like it.
const HOUR: i64 = 3_600_000_000_000;

#[test]
fn a_clock_that_is_off_is_taken_into_account() {
    for (ahead, words) in [(HOUR, "ahead of ours"), (-HOUR, "behind ours")] {
        let origin = Origin::start(ahead, |_| 200);
        let (lines, summary, said) = follow(&origin, 5);
        let figure = |of: &Value, name: &str| of[name].as_f64().unwrap();
        let uncertainty = figure(&summary, "clock_uncertainty_ms") + 0.02;
        let off = figure(&summary, "clock_offset_ms") - ahead as f64 / 1e6;
        assert!(off.abs() <= uncertainty, "{summary}");
        assert!(said.contains(words), "{said}");
        let patience = support::PATIENCE.as_secs_f64() * 1e3;
        for line in &lines {
            let received = figure(line, "published_to_received_ms");
            assert!(received.abs() < patience, "{line}");
            // Both ways by one clock, the origin's.
            let published = figure(line, "capture_to_published_ms");
            assert!((published - 200.0).abs() < 0.02, "{line}");
            let sum = figure(line, "capture_to_received_ms") - received;
            assert!((sum - published).abs() < 0.02, "{line}");
        }
    }
}

/// Any origin will do that has parts, and dates in its playlist.
#[test]
fn an_origin_without_a_record_is_followed_by_its_dates() {
    let origin = Origin::start(0, |_| 404);
    let (lines, summary, said) = follow(&origin, 5);
    assert_eq!(are_known(&lines), [false; 5]);
    for line in &lines {
        assert!(line["capture_to_published_ms"].is_null(), "{line}");
        // Dates are in milliseconds.
        let received = line["capture_to_received_ms"].as_f64().unwrap();
        assert!(received >= 199.0, "{line}");
    }
    assert!(summary["clock_offset_ms"].is_null(), "{summary}");
    assert!(summary["published_to_received_p50_ms"].is_null());
    assert!(summary["capture_to_received_p50_ms"].is_f64(), "{summary}");
    assert!(said.contains("clock offset: not known"), "{said}");
    assert!(said.contains("has no timestamps.json (404)"), "{said}");
}

/// An origin that is short of breath for a moment has a record all the same.
#[test]
fn a_refusal_costs_the_figures_of_its_parts_alone() {
    // The first part is what the ninth question is about: eight compare the clocks.
    for status in [429, 503, 404] {
        let origin = Origin::start(0, move |question| match question {
            9 | 10 => status,
            _ => 200,
        });
        let (lines, _, said) = follow(&origin, 5);
        assert_eq!(are_known(&lines), [true, false, false, true, true]);
        // Captured is in the playlist too.
        assert!(lines.iter().all(|it| it["capture_to_received_ms"].is_f64()));
        let sentence = format!("timestamps.json was answered with {status}");
        assert_eq!(said.matches(&sentence).count(), 1, "{said}");
    }
}

/// While the clocks were to be compared already.
#[test]
fn a_refusal_at_the_beginning_is_no_final_one() {
    let origin = Origin::start(0, |question| if question < 2 { 503 } else { 200 });
    let (lines, summary, said) = follow(&origin, 3);
    assert_eq!(are_known(&lines), [false, true, true], "{said}");
    assert!(summary["clock_offset_ms"].is_f64(), "{summary}");
}

/// Nor is it asked for ever.
#[test]
fn a_record_that_is_always_refused_is_given_up() {
    let questions = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(0, {
        let questions = Arc::clone(&questions);
        move |_| {
            questions.fetch_add(1, Ordering::Relaxed);
            503
        }
    });
    let (lines, _, said) = follow(&origin, 30);
    assert_eq!(are_known(&lines), [false; 30]);
    assert!(said.contains("is not asked for any more"), "{said}");
    let asked = questions.load(Ordering::Relaxed);
    assert!((2..30).contains(&asked), "{asked}");
}

#[test]
fn csv_has_a_line_of_names_and_one_a_part() {
    let stream = live();
    let url = format!("http://127.0.0.1:{}/live.m3u8", stream.port());
    let output = run(&[&url, "--parts", "3", "--csv"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines[0].starts_with("msn,part,name,bytes,capture_to_published_ms,"));
    assert!(lines.len() >= 4);
    for line in &lines {
        assert_eq!(line.split(',').count(), 9, "{line}");
    }
    // Where it is in nobody's way.
    let said = text(&output.stderr);
    let row = said
        .lines()
        .find(|line| line.starts_with("capture -> received "));
    let row = row.unwrap_or_else(|| panic!("no percentiles in {said}"));
    assert_eq!(row.split_whitespace().count(), 3 + 4, "p50, p95, p99, max");
}

#[test]
fn the_end_of_the_stream_ends_it() {
    let stream = live();
    let url = format!("http://127.0.0.1:{}/live.m3u8", stream.port());
    let child = Command::new(program::example("llhls-latency"))
        .arg(&url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parked = || stream.client().get("/stats.json").json()["clients"]["parked"].as_u64();
    support::wait_for("a reload that is held", || {
        parked().filter(|count| *count > 0)
    });
    stream.pipeline.send_event(gst::event::Eos::new());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the stream has ended"));
    assert!(text(&output.stdout).contains("capture -> received"));
}

#[test]
fn what_cannot_be_followed_is_said() {
    let output = run(&["http://127.0.0.1:9/live.m3u8"]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("http://127.0.0.1:9/live.m3u8"), "{said}");
}

/// Over HTTPS with a certificate of the origin's own making, one of several renditions.
#[test]
fn a_rendition_over_https_can_be_chosen() {
    let stream = Stream::of_branches(
        &format!(
            "{SOURCE} ! sink. audiotestsrc is-live=true samplesperbuffer=1024 ! avenc_aac ! aacparse ! sink."
        ),
        "segment-duration=500 part-duration=100 tls-port=-1",
    );
    stream.play();
    let url = format!("https://localhost:{}/live.m3u8", stream.tls_port());
    let output = run(&[&url, "--parts", "3"]);
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("certificate"),
        "{}",
        text(&output.stderr)
    );
    for (piece, playlist) in [("audio", "live_audio.m3u8"), ("video", "live_video.m3u8")] {
        let arguments = ["--parts", "3", "--json", "--insecure", "--rendition", piece];
        let output = run(&[&[url.as_str()], &arguments[..]].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("/{playlist}\n")), "{said}");
        assert!(text(&output.stdout).lines().count() >= 4);
    }
    let output = run(&[&url, "--insecure", "--rendition", "no-such"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("no-such"));
}

#[test]
fn a_signal_ends_it_with_what_was_measured() {
    for signal in [Signal::INT, Signal::TERM] {
        let stream = live();
        let url = format!("http://127.0.0.1:{}/live.m3u8", stream.port());
        let mut command = Command::new(program::example("llhls-latency"));
        let mut program = Program::start(command.args([&url, "--json"]));
        for _ in 0..3 {
            program.wait_for_line("part", |line| line.contains(".m4s").then_some(()));
        }
        program.send(signal);
        program.wait_for_line("summary", |line| {
            line.contains("capture_to_received_p50_ms").then_some(())
        });
        let (status, complaints) = program.wait();
        assert_eq!(status.code(), Some(0), "{complaints}");
        assert!(complaints.starts_with("following http://"), "{complaints}");
    }
}

/// On a terminal, when the figures go elsewhere.
#[test]
fn progress_is_shown_on_a_terminal() {
    let stream = live();
    let folder = program::scratch("progress");
    let line = format!(
        "exec {} http://127.0.0.1:{}/live.m3u8 --parts 4 --json >{}",
        program::example("llhls-latency").display(),
        stream.port(),
        folder.join("figures").display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut program = Program::start(&mut command);
    // Parts may come two at a time.
    for count in [1, 4] {
        program.wait_for_line("progress", |line| {
            let parts = line.split(" parts, ").next()?.parse::<usize>().ok()?;
            (parts >= count && line.contains(" ms behind capture")).then_some(())
        });
    }
    let (status, complaints) = program.wait();
    assert_eq!(status.code(), Some(0), "{complaints}");
    let figures = std::fs::read_to_string(folder.join("figures")).unwrap();
    assert!(figures.lines().count() >= 5, "{figures}");
}
