//! How long after its file is finished a segment is in a client's hands, and what a recording costs the live road.

#![expect(
    clippy::disallowed_methods,
    reason = "a writer with a pace is what is measured"
)]

use std::{fs, io::Write, path::Path, thread, time::Duration};

use gst::prelude::*;

use crate::{
    Outcome,
    footage::Footage,
    latency,
    process::{self, Running, now},
    table::{Sorted, Table},
};

/// Pictures and sound of 0.4 s in two fragments, so two parts of video a file.
const FILE: &[u8] = include_bytes!("../../tests/data/ffmpeg-two-tracks.mp4");
const PARTS_A_FILE: i64 = 2;

const FILES: usize = 60;
/// Segments of a second, and the usual parts of 200 ms in each.
const OWN_FILES: usize = 40;
const PARTS_A_SEGMENT: i64 = 5;
/// Between two files.
const PACE: Duration = Duration::from_millis(230);

const POLL_INTERVAL: u32 = 50;
/// Bars in milliseconds.
const INOTIFY_BAR: f64 = 3.0;
const POLL_BAR: f64 = POLL_INTERVAL as f64 + 5.0;

pub(crate) fn measure(footage: &Footage, table: &mut Table) -> Outcome<()> {
    measure_mode("inotify", Ending::Moved, INOTIFY_BAR, table)?;
    measure_mode("inotify", Ending::Closed, INOTIFY_BAR, table)?;
    measure_mode("poll", Ending::Moved, POLL_BAR, table)?;
    measure_own_files(footage, table)?;
    let folder = tempfile::tempdir()?;
    let recording = format!("location={}", folder.path().display());
    latency::measure_with("recording: ", &recording, footage, table)
}

/// How another program finishes a file.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Written under another name and moved in: MOVED_TO.
    Moved,
    /// Written where it stays, half of it early: CLOSE_WRITE.
    Closed,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::Moved => "file moved in",
            Self::Closed => "file closed",
        }
    }

    /// Writes a file for as long as the pace says, and tells when it was finished.
    fn write(self, file: &Path) -> Outcome<i64> {
        let draft = file.with_extension("tmp");
        let mut writing = fs::File::create(match self {
            Self::Moved => &draft,
            Self::Closed => file,
        })?;
        let (early, late) = FILE.split_at(FILE.len() / 2);
        writing.write_all(early)?;
        thread::sleep(PACE);
        writing.write_all(late)?;
        match self {
            Self::Moved => {
                drop(writing);
                let finished = now();
                fs::rename(draft, file)?;
                Ok(finished)
            }
            // The end of this closes it.
            Self::Closed => Ok(now()),
        }
    }
}

fn measure_mode(mode: &str, ending: Ending, bar: f64, table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let sink = gst::ElementFactory::make("llhlssink")
        .property("host", "127.0.0.1")
        .property("port", 0_u32)
        .property_from_str("mode", mode)
        .property("location", folder.path().to_str())
        .property("poll-interval", POLL_INTERVAL)
        .property("segment-duration", 400_u32)
        .build()?;
    let pipeline = gst::Pipeline::new();
    pipeline.add(&sink)?;
    let running = Running(pipeline);
    running.0.set_state(gst::State::Playing)?;

    let mut finished = Vec::new();
    let mut write = || -> Outcome<()> {
        let file = folder.path().join(format!("f_{:05}.m4s", finished.len()));
        finished.push(ending.write(&file)?);
        Ok(())
    };
    let edge = || {
        let stats = sink.property::<gst::Structure>("stats");
        stats.get::<u64>("edge-msn").ok()
    };
    for _ in 0..20 {
        write()?;
        if edge() >= Some(1) {
            break;
        }
    }
    let port = sink.property::<u32>("current-port").to_string();
    let count = FILES.to_string();
    let client = process::start(&["client-reload", &port, &count, "/live_video.m3u8"])?;
    // Some more: the client opens its connection meanwhile.
    for _ in 0..FILES + 10 {
        write()?;
    }
    let answers = process::finish(client)?;
    let mut delays = Vec::new();
    let mut asked_late = 0;
    for answer in answers {
        let [part, asked, answered] = answer[..] else {
            return Err("a client printed something else".into());
        };
        let file = usize::try_from(part / PARTS_A_FILE)?;
        let closed = *finished.get(file).ok_or("a part of no file was served")?;
        if asked < closed {
            delays.push(answered - closed);
        } else {
            asked_late += 1;
        }
    }
    let what = format!("{mode}: {} -> blocked reload read", ending.text());
    show(&what, &Sorted::new(delays), asked_late, bar, table);
    Ok(())
}

/// The element's own files: from the key frame that ends a segment, which then has to be written and closed.
fn measure_own_files(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let location = folder.path().display();
    let live = latency::Live::start(&format!("mode=inotify location={location}"), footage)?;
    let client = live.start_client("client-reload", OWN_FILES)?;
    let mut answers = process::finish(client)?;
    // Now and then an answer goes out between two parts of a segment; how late that is says nothing of files.
    answers.retain(|answer| (answer[0] + 1) % PARTS_A_SEGMENT == 0);
    let (delays, asked_late) = live.seen()?.delays(&answers, 1)?;
    let what = "inotify, with pads: key frame after a segment in -> blocked reload read";
    show(what, &delays, asked_late, INOTIFY_BAR, table);
    Ok(())
}

fn show(what: &str, delays: &Sorted, asked_late: usize, bar: f64, table: &mut Table) {
    let count = delays.len();
    table.bar(
        format!("{what}, p50 of {count}"),
        delays.percentile_ms(50),
        bar,
        "ms",
    );
    table.note(
        format!("{what}, p99"),
        format!("{:.2} ms", delays.percentile_ms(99)),
    );
    if asked_late > 0 {
        table.note(
            format!("{what}, not counted: asked after the file was finished"),
            asked_late.to_string(),
        );
    }
}
