//! How long after its last frame a part is in a client's hands.

use std::{
    process::Child,
    sync::{Arc, Mutex, PoisonError},
};

use gst::prelude::*;

use crate::{
    Outcome, client,
    footage::Footage,
    process::{self, Running, now},
    table::{Sorted, Table},
};

/// Parts each client waits for.
const PARTS: usize = 160;
/// Parts at the start that are not counted: pages are touched and connections opened.
const WARM_UP: usize = 10;
const ANNOUNCED_WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// Bars in milliseconds.
const P50_BAR: f64 = 3.0;
const P99_BAR: f64 = 10.0;

/// What is waited for: a reload, and a hinted part.
pub(crate) const ROADS: [&str; 2] = [
    "last frame in -> blocked reload read",
    "last frame in -> last byte of the hinted part",
];

pub(crate) fn measure(footage: &Footage, table: &mut Table) -> Outcome<()> {
    for (what, delays) in ROADS.into_iter().zip(watch("", PARTS, footage)?) {
        show(what, delays, table);
    }
    Ok(())
}

/// Delays in nanoseconds, and how many answers are not among them because they were asked for too late.
#[derive(Default)]
pub(crate) struct Delays {
    pub(crate) counted: Vec<i64>,
    pub(crate) asked_late: usize,
}

/// What so many parts take on each of the [`ROADS`], with these properties of the element.
pub(crate) fn watch(properties: &str, parts: usize, footage: &Footage) -> Outcome<[Delays; 2]> {
    let live = Live::start(properties, footage)?;
    let reload = live.start_client("client-reload", parts)?;
    let hint = live.start_client("client-hint", parts)?;
    let (reload, hint) = (process::finish(reload)?, process::finish(hint)?);
    let seen = live.seen(reload.iter().chain(&hint))?;
    Ok([
        seen.delays(&reload[WARM_UP..], 0)?,
        seen.delays(&hint[WARM_UP..], 0)?,
    ])
}

/// The rows of one road.
pub(crate) fn show(what: &str, delays: Delays, table: &mut Table) {
    let asked_late = delays.asked_late;
    let delays = Sorted::new(delays.counted);
    let count = delays.len();
    table.bar(
        format!("{what}, p50 of {count} parts"),
        delays.percentile_ms(50),
        P50_BAR,
        "ms",
    );
    table.bar(
        format!("{what}, p99"),
        delays.percentile_ms(99),
        P99_BAR,
        "ms",
    );
    table.note(format!("{what}, max"), format!("{:.2} ms", delays.max_ms()));
    if asked_late > 0 {
        table.note(
            format!("{what}, not counted: asked after the frame"),
            asked_late.to_string(),
        );
    }
}

/// A live stream whose frames are timed as they enter the element.
pub(crate) struct Live {
    running: Running,
    entries: Arc<Mutex<Vec<i64>>>,
    port: String,
}

impl Live {
    /// With these properties of the element.
    pub(crate) fn start(properties: &str, footage: &Footage) -> Outcome<Self> {
        let running = Running::prepare(&format!(
            "{} ! llhlssink name=sink host=127.0.0.1 port=0 send-keyframe-requests=false post-part-messages=true {properties}",
            footage.live_source()
        ))?;
        let sink = running.0.by_name("sink").ok_or("llhlssink is there")?;
        // From the first frame on: which frame is the last of a part is counted.
        let entries = record_entries(&sink)?;
        running.play()?;
        Ok(Self {
            entries,
            port: sink.property::<u32>("current-port").to_string(),
            running,
        })
    }

    /// A client that waits for so many answers.
    pub(crate) fn start_client(&self, what: &str, count: usize) -> Outcome<Child> {
        process::start(&[what, &self.port, &count.to_string(), client::PLAYLIST])
    }

    /// What has come and gone by the newest of these answers.
    pub(crate) fn seen<'a>(
        &self,
        answers: impl IntoIterator<Item = &'a Vec<i64>>,
    ) -> Outcome<Seen> {
        let parts = answers.into_iter().filter_map(|answer| answer.first());
        let newest = usize::try_from(*parts.max().ok_or("nothing was answered")?)?;
        let last_frames = last_frames(&self.running, newest)?;
        let entries = self.entries.lock();
        Ok(Seen {
            last_frames,
            entries: entries.unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

/// What went into the element and what became of it.
pub(crate) struct Seen {
    entries: Vec<i64>,
    last_frames: Vec<usize>,
}

impl Seen {
    /// From the last frame of what was answered, or so many after it, to the answer.
    pub(crate) fn delays(&self, answers: &[Vec<i64>], frames_after: usize) -> Outcome<Delays> {
        let complete = |part: i64| -> Option<i64> {
            let last = *self.last_frames.get(usize::try_from(part).ok()?)?;
            self.entries.get(last + frames_after).copied()
        };
        let mut delays = Delays::default();
        for answer in answers {
            let [part, asked, answered] = answer[..] else {
                return Err("a client printed something else".into());
            };
            let complete = complete(part).ok_or("a part was served before its frames came in")?;
            if asked < complete {
                delays.counted.push(answered - complete);
            } else {
                delays.asked_late += 1;
            }
        }
        Ok(delays)
    }
}

/// When each frame enters the element.
fn record_entries(sink: &gst::Element) -> Outcome<Arc<Mutex<Vec<i64>>>> {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let pad = sink.static_pad("video").ok_or("the pad is linked")?;
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let entries = Arc::clone(&entries);
        move |_pad, _info| {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push(now());
            gst::PadProbeReturn::Ok
        }
    });
    Ok(entries)
}

/// Which frame is the last of each part, up to the newest: parts follow one another without a hole, so their durations count
/// frames. A part is announced once it is published, so a client may be ahead of that.
fn last_frames(running: &Running, newest: usize) -> Outcome<Vec<usize>> {
    let bus = running.0.bus().ok_or("a pipeline has a bus")?;
    let mut elapsed = 0;
    let mut last = Vec::new();
    while last.len() <= newest {
        let message = bus
            .timed_pop_filtered(ANNOUNCED_WITHIN, &[gst::MessageType::Element])
            .ok_or("a part was served that was not announced")?;
        let Some(details) = message
            .structure()
            .filter(|details| details.name() == "llhls-part")
        else {
            continue;
        };
        elapsed += details.get::<u64>("duration")?;
        let frames = (elapsed * 30 + 500_000_000) / 1_000_000_000;
        last.push(usize::try_from(frames)?.saturating_sub(1));
    }
    Ok(last)
}
