//! Glass to glass: how old a picture is when a browser shows it.
//!
//! Belongs here: a live stream whose pictures carry the time of their capture, and the rows of the table. What reads the
//! pictures is `web/test/glass.mjs`, in Chromium, on the same machine and so by the same clock.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use gst::prelude::*;
use gst_video::prelude::*;

use crate::{
    Outcome,
    process::{self, Running, unix_now},
    table::Table,
};

/// Width and height of a field in pixels: large enough to survive any encoder.
const FIELD: usize = 40;
/// Bits of Unix milliseconds: four and a half hours, then it begins anew.
const BITS: usize = 24;

/// Luma of video range.
const WHITE: u8 = 235;
const BLACK: u8 = 16;

/// The player as `glass.mjs` calls it, the stream's `start-offset`, and what the row calls both.
const ROWS: [(&str, &str, &str); 4] = [
    ("hlsjs", "0", "hls.js, default settings"),
    ("hlsjs", "1.5", "hls.js, default settings, start-offset=1.5"),
    ("hlsjs-catch-up", "0", "hls.js with catch-up"),
    ("shaka", "0", "Shaka, low latency mode"),
];

/// Part duration in milliseconds, and the bar for every player, in seconds.
const PARTS: [(u32, f64); 2] = [(200, 0.8), (100, 0.5)];

/// Starts whose median counts, and how long each is watched, in seconds.
const STARTS: usize = 5;
const SECONDS: u32 = 60;

/// Pictures whose age has to be known for a start to count: half of what the camera took. A player may drop some.
const LEAST_READ: u64 = SECONDS as u64 * 30 / 2;

/// What `glass.mjs` says of one start. Times are in milliseconds, and no numbers where there was no picture.
struct Start {
    /// Why it says nothing of sixty seconds.
    fault: Option<String>,
    p50: f64,
    p95: f64,
    first_frame: f64,
    stalls: u64,
    /// How long the picture stood still, over what three frames take.
    frozen: f64,
    unread: u64,
}

/// Watches every player at both part durations: about forty minutes.
pub(crate) fn measure(table: &mut Table) -> Outcome<()> {
    for (part, bar) in PARTS {
        for (player, start_offset, title) in ROWS {
            let mut stream = Stream::start(part, start_offset)?;
            let starts = watch(&stream.playlist, player)?;
            let median = |of: fn(&Start) -> f64| {
                let mut values: Vec<f64> = starts.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let what = format!("glass to glass, {title}, {part} ms parts");
            // Sixty seconds that were not watched to their end had no stall in them that anybody knows of.
            let is_whole = starts.iter().all(|start| start.fault.is_none());
            let judged = |figure: f64| if is_whole { figure } else { f64::NAN };
            table.bar(
                format!("{what}: p50, median of {STARTS} starts"),
                judged(median(|start| start.p50) / 1000.0),
                bar,
                "s",
            );
            let of_each: Vec<String> = starts
                .iter()
                .map(|start| format!("{:.2}", start.p50 / 1000.0))
                .collect();
            table.note(
                "the same: p95; each start's p50; time to first frame",
                format!(
                    "{:.2} s; {} s; {:.2} s",
                    median(|start| start.p95) / 1000.0,
                    of_each.join(" "),
                    median(|start| start.first_frame) / 1000.0
                ),
            );
            let stalls: u64 = starts.iter().map(|start| start.stalls).sum();
            table.bar(
                format!("the same: stalls in {STARTS} x {SECONDS} s"),
                judged(stalls as f64),
                0.0,
                "",
            );
            for (number, start) in (1..).zip(&starts) {
                if let Some(fault) = &start.fault {
                    table.note(format!("the same: start {number} does not count"), fault);
                }
            }
            let frozen: f64 = starts.iter().map(|start| start.frozen).sum();
            table.note(
                "the same: the picture stood still for, in all",
                format!("{:.2} s", frozen / 1000.0),
            );
            let unread: u64 = starts.iter().map(|start| start.unread).sum();
            if unread > 0 {
                table.note(
                    "the same: pictures whose time code could not be read",
                    unread.to_string(),
                );
            }
            stream.stop()?;
        }
    }
    Ok(())
}

/// The stream in a process of its own.
struct Stream {
    child: Child,
    playlist: String,
}

impl Stream {
    fn start(part: u32, start_offset: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["glass-stream", &part.to_string(), start_offset])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let port: u16 = line
            .trim()
            .parse()
            .map_err(|_| format!("the stream printed {line:?} in place of its port"))?;
        Ok(Self {
            child,
            playlist: format!("http://127.0.0.1:{port}/live.m3u8"),
        })
    }

    /// It ends with its input.
    fn stop(&mut self) -> Outcome<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(playlist: &str, player: &str) -> Outcome<Vec<Start>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/test/glass.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([playlist, "--player", player])
        .args(["--starts", &STARTS.to_string()])
        .args(["--seconds", &SECONDS.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{player} could not be watched").into());
    }
    let starts: Vec<Start> = String::from_utf8(output.stdout)?
        .lines()
        .map(Start::read)
        .collect::<Outcome<_>>()?;
    if starts.len() != STARTS {
        return Err(format!("{player} was started {} times", starts.len()).into());
    }
    Ok(starts)
}

impl Start {
    /// From the line of `glass.mjs`.
    fn read(line: &str) -> Outcome<Self> {
        let said: serde_json::Value = serde_json::from_str(line)?;
        let count = |key: &str| {
            said[key]
                .as_u64()
                .ok_or_else(|| format!("no {key} in {line}"))
        };
        let read = count("frames")?;
        let fault = match said["error"].as_str() {
            Some(error) => Some(format!("{error}, after {read} pictures")),
            None if read < LEAST_READ => Some(format!("{read} pictures read, not {LEAST_READ}")),
            None => None,
        };
        let number = |key: &str| match said[key].as_f64() {
            Some(number) => Ok(number),
            None if fault.is_some() => Ok(f64::NAN),
            None => Err(format!("no {key} in {line}")),
        };
        Ok(Self {
            p50: number("p50")?,
            p95: number("p95")?,
            first_frame: number("startMs")?,
            stalls: count("stalls")?,
            frozen: number("frozenMs")?,
            unread: count("unread")?,
            fault,
        })
    }
}

/// The child: 720p30 at 2.5 Mbit/s with the time of capture in each picture, until its input ends.
pub(crate) fn stream(part: &str, start_offset: &str) -> Outcome<()> {
    process::init()?;
    let running = Running::start(&format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1 \
         ! identity name=capture ! queue ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=60 \
         ! h264parse ! llhlssink name=sink host=127.0.0.1 port=0 part-duration={part} \
         start-offset={start_offset}"
    ))?;
    let capture = running
        .0
        .by_name("capture")
        .and_then(|identity| identity.static_pad("src"))
        .ok_or("the identity has a source pad")?;
    capture.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let caps = pad.current_caps();
        let format = caps.and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        if let (Some(format), Some(buffer)) = (format, info.buffer_mut()) {
            draw(buffer.make_mut(), &format);
        }
        gst::PadProbeReturn::Ok
    });
    let sink = running.0.by_name("sink").ok_or("llhlssink is there")?;
    println!("{}", sink.property::<u32>("current-port"));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// White, black, the bits of now, their parity.
fn draw(buffer: &mut gst::BufferRef, format: &gst_video::VideoInfo) {
    let Ok(mut frame) = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, format) else {
        return;
    };
    let now = unix_now() / 1_000_000;
    let bits: Vec<bool> = (0..BITS).rev().map(|bit| now >> bit & 1 == 1).collect();
    let parity = bits.iter().filter(|bit| **bit).count() % 2 == 1;
    let fields: Vec<bool> = [true, false]
        .into_iter()
        .chain(bits)
        .chain([parity])
        .collect();
    let strides: Vec<usize> = frame
        .plane_stride()
        .iter()
        .map(|stride| usize::try_from(*stride).unwrap_or(0))
        .collect();
    // Without colour, in the planes after the first.
    for (plane, stride) in strides.into_iter().enumerate() {
        let size = if plane == 0 { FIELD } else { FIELD / 2 };
        let Ok(data) = frame.plane_data_mut(plane as u32) else {
            return;
        };
        for row in data.chunks_mut(stride.max(1)).take(size) {
            for (field, pixels) in fields.iter().zip(row.chunks_mut(size)) {
                pixels.fill(match (plane, field) {
                    (0, true) => WHITE,
                    (0, false) => BLACK,
                    _ => 128,
                });
            }
        }
    }
}
