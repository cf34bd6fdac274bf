//! How long after its file is finished a segment is in a client's hands, and what a recording costs the live road.

#![expect(
    clippy::disallowed_methods,
    reason = "a writer with a pace is what is measured"
)]

use std::{fs, io::Write, path::Path, thread, time::Duration};

use gst::prelude::*;

use crate::{
    Outcome, client,
    cpu::median,
    footage::Footage,
    latency::{self, Delays},
    process::{self, Running, now},
    table::{Sorted, Table},
};

/// Of pictures alone: sound that is not exactly as long would move them, and add a part here and there.
const FRAMES_A_FILE: usize = 12;
const PARTS_A_FILE: i64 = 2;

const FILES: usize = 60;
/// Segments of a second, and the usual parts of 200 ms in each.
const OWN_FILES: usize = 40;
const PARTS_A_SEGMENT: i64 = 5;
/// Between two files.
const PACE: Duration = Duration::from_millis(230);

/// Runs with a recording, and as many without, and the parts of each.
const RECORDING_RUNS: usize = 5;
const RECORDING_PARTS: usize = 60;

const POLL_INTERVAL: u32 = 50;
/// Bars in milliseconds.
const INOTIFY_BAR: f64 = 3.0;
const POLL_BAR: f64 = POLL_INTERVAL as f64 + 5.0;

pub(crate) fn measure(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let content = encode_file()?;
    measure_mode("inotify", Ending::Moved, &content, INOTIFY_BAR, table)?;
    measure_mode("inotify", Ending::Closed, &content, INOTIFY_BAR, table)?;
    measure_mode("poll", Ending::Moved, &content, POLL_BAR, table)?;
    measure_mode("poll", Ending::Followed, &content, POLL_BAR, table)?;
    measure_own_files("inotify", INOTIFY_BAR, footage, table)?;
    measure_own_files("poll", POLL_BAR, footage, table)?;
    compare_recording(footage, table)
}

/// A file of 0.4 s in two fragments.
fn encode_file() -> Outcome<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file.mp4");
    Running::start(&format!(
        "videotestsrc num-buffers={FRAMES_A_FILE} ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={FRAMES_A_FILE} ! h264parse \
         ! mp4mux fragment-duration=200 ! filesink location={}",
        file.display()
    ))?
    .wait()?;
    Ok(fs::read(file)?)
}

/// How another program finishes a file.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Written under another name and moved in: MOVED_TO.
    Moved,
    /// Written where it stays, half of it early: CLOSE_WRITE.
    Closed,
    /// The same where nobody tells of closed files: the next one is begun.
    Followed,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::Moved => "file moved in",
            Self::Closed => "file closed",
            Self::Followed => "file closed and the next begun",
        }
    }

    /// Writes a file for as long as the pace says, and tells when it was begun and when it was closed or moved.
    fn write(self, file: &Path, content: &[u8]) -> Outcome<(i64, i64)> {
        let draft = file.with_extension("tmp");
        let begun = now();
        let mut writing = fs::File::create(match self {
            Self::Moved => &draft,
            Self::Closed | Self::Followed => file,
        })?;
        let (early, late) = content.split_at(content.len() / 2);
        writing.write_all(early)?;
        thread::sleep(PACE);
        writing.write_all(late)?;
        match self {
            Self::Moved => {
                drop(writing);
                let closed = now();
                fs::rename(draft, file)?;
                Ok((begun, closed))
            }
            // The end of this closes it.
            Self::Closed | Self::Followed => Ok((begun, now())),
        }
    }

    /// When files that were written one after another were finished.
    fn finished(self, written: &[(i64, i64)]) -> Vec<i64> {
        match self {
            Self::Moved | Self::Closed => written.iter().map(|&(_, closed)| closed).collect(),
            Self::Followed => written.iter().skip(1).map(|&(begun, _)| begun).collect(),
        }
    }
}

fn measure_mode(
    mode: &str,
    ending: Ending,
    content: &[u8],
    bar: f64,
    table: &mut Table,
) -> Outcome<()> {
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

    let mut written = Vec::new();
    let mut write = || -> Outcome<()> {
        let file = folder.path().join(format!("f_{:05}.m4s", written.len()));
        written.push(ending.write(&file, content)?);
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
    let client = process::start(&["client-reload", &port, &count, client::PLAYLIST])?;
    // Some more: the client opens its connection meanwhile.
    for _ in 0..FILES + 10 {
        write()?;
    }
    let answers = process::finish(client)?;
    let finished = ending.finished(&written);
    let mut delays = Delays::default();
    for answer in answers {
        let [part, asked, answered] = answer[..] else {
            return Err("a client printed something else".into());
        };
        let file = usize::try_from(part / PARTS_A_FILE)?;
        let finished = *finished.get(file).ok_or("a part of no file was served")?;
        if asked < finished {
            delays.counted.push(answered - finished);
        } else {
            delays.asked_late += 1;
        }
    }
    let what = format!("{mode}: {} -> blocked reload read", ending.text());
    show(&what, delays, bar, table);
    Ok(())
}

/// The element's own files: from the key frame that ends a segment, which then has to be written and closed.
fn measure_own_files(mode: &str, bar: f64, footage: &Footage, table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let location = folder.path().display();
    let live = latency::Live::start(
        &format!("mode={mode} location={location} poll-interval={POLL_INTERVAL}"),
        footage,
    )?;
    let client = live.start_client("client-reload", OWN_FILES)?;
    let mut answers = process::finish(client)?;
    // Now and then an answer goes out between two parts of a segment; how late that is says nothing of files.
    answers.retain(|answer| (answer[0] + 1) % PARTS_A_SEGMENT == 0);
    let delays = live.seen(&answers)?.delays(&answers, 1)?;
    let what = format!("{mode}, with pads: key frame after a segment in -> blocked reload read");
    show(&what, delays, bar, table);
    Ok(())
}

/// The live road with a recording beside it and without, by turns: what machines do to it from one minute to the next is no
/// cost of recordings.
fn compare_recording(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let p50 = |delays: &[i64]| Sorted::new(delays.to_vec()).percentile_ms(50);
    let mut with: [Delays; 2] = Default::default();
    let mut medians_with: [Vec<f64>; 2] = Default::default();
    let mut medians_without: [Vec<f64>; 2] = Default::default();
    // The first one reads the footage into the page cache, and is slower for that.
    latency::watch("", RECORDING_PARTS, footage)?;
    for _ in 0..RECORDING_RUNS {
        let without = latency::watch("", RECORDING_PARTS, footage)?;
        for (medians, delays) in medians_without.iter_mut().zip(without) {
            medians.push(p50(&delays.counted));
        }
        let folder = tempfile::tempdir()?;
        let recording = format!("location={}", folder.path().display());
        let recorded = latency::watch(&recording, RECORDING_PARTS, footage)?;
        for (road, delays) in recorded.into_iter().enumerate() {
            medians_with[road].push(p50(&delays.counted));
            with[road].counted.extend(delays.counted);
            with[road].asked_late += delays.asked_late;
        }
    }
    let roads = latency::ROADS.into_iter().zip(with);
    let medians = medians_with.iter().zip(&medians_without);
    for ((what, delays), (with, without)) in roads.zip(medians) {
        latency::show(&format!("recording: {what}"), delays, table);
        let (least, most) = without
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (value.min(least), value.max(most))
            });
        // In hundredths, as it is shown.
        let spread = ((most - least) * 100.0).ceil() / 100.0;
        table.bar(
            format!(
                "recording: {what}, median of {RECORDING_RUNS} p50 more than without; the bar is how far those without are apart"
            ),
            median(with.iter().copied()) - median(without.iter().copied()),
            spread,
            "ms",
        );
        let listed = |values: &[f64]| {
            let texts: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
            texts.join(" ")
        };
        table.note(
            "the same: each p50 with a recording, and without",
            format!("{}; {} ms", listed(with), listed(without)),
        );
    }
    Ok(())
}

fn show(what: &str, delays: Delays, bar: f64, table: &mut Table) {
    let asked_late = delays.asked_late;
    let delays = Sorted::new(delays.counted);
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
