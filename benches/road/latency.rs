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
/// Bars in milliseconds.
const P50_BAR: f64 = 3.0;
const P99_BAR: f64 = 10.0;

pub(crate) fn measure(footage: &Footage, table: &mut Table) -> Outcome<()> {
    measure_with("", "", footage, table)
}

/// The same with other properties of the element; `label` goes before every row.
pub(crate) fn measure_with(
    label: &str,
    properties: &str,
    footage: &Footage,
    table: &mut Table,
) -> Outcome<()> {
    let live = Live::start(properties, footage)?;
    let reload = live.start_client("client-reload", PARTS)?;
    let hint = live.start_client("client-hint", PARTS)?;
    let (reload, hint) = (process::finish(reload)?, process::finish(hint)?);
    let seen = live.seen()?;
    for (what, answers) in [
        ("last frame in -> blocked reload read", reload),
        ("last frame in -> last byte of the hinted part", hint),
    ] {
        let (delays, asked_late) = seen.delays(&answers[WARM_UP..], 0)?;
        let count = delays.len();
        table.bar(
            format!("{label}{what}, p50 of {count} parts"),
            delays.percentile_ms(50),
            P50_BAR,
            "ms",
        );
        table.bar(
            format!("{label}{what}, p99"),
            delays.percentile_ms(99),
            P99_BAR,
            "ms",
        );
        table.note(
            format!("{label}{what}, max"),
            format!("{:.2} ms", delays.max_ms()),
        );
        if asked_late > 0 {
            table.note(
                format!("{label}{what}, not counted: asked after the frame"),
                asked_late.to_string(),
            );
        }
    }
    Ok(())
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
        let running = Running::start(&format!(
            "{} ! llhlssink name=sink host=127.0.0.1 port=0 send-keyframe-requests=false post-part-messages=true {properties}",
            footage.live_source()
        ))?;
        let sink = running.0.by_name("sink").ok_or("llhlssink is there")?;
        Ok(Self {
            entries: record_entries(&sink)?,
            port: sink.property::<u32>("current-port").to_string(),
            running,
        })
    }

    /// A client that waits for so many answers.
    pub(crate) fn start_client(&self, what: &str, count: usize) -> Outcome<Child> {
        process::start(&[what, &self.port, &count.to_string(), client::PLAYLIST])
    }

    /// What has come and gone so far.
    pub(crate) fn seen(&self) -> Outcome<Seen> {
        let entries = self.entries.lock();
        Ok(Seen {
            last_frames: last_frames(&self.running)?,
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
    /// From the last frame of what was answered, or so many after it, to the answer, and how many were asked for only after that.
    pub(crate) fn delays(
        &self,
        answers: &[Vec<i64>],
        frames_after: usize,
    ) -> Outcome<(Sorted, usize)> {
        let complete = |part: i64| -> Option<i64> {
            let last = *self.last_frames.get(usize::try_from(part).ok()?)?;
            self.entries.get(last + frames_after).copied()
        };
        let mut delays = Vec::new();
        let mut asked_late = 0;
        for answer in answers {
            let [part, asked, answered] = answer[..] else {
                return Err("a client printed something else".into());
            };
            let complete = complete(part).ok_or("a part was served that was not announced")?;
            if asked < complete {
                delays.push(answered - complete);
            } else {
                asked_late += 1;
            }
        }
        Ok((Sorted::new(delays), asked_late))
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

/// Which frame is the last of each part: parts follow one another without a hole, so their durations count frames.
fn last_frames(running: &Running) -> Outcome<Vec<usize>> {
    let bus = running.0.bus().ok_or("a pipeline has a bus")?;
    let mut elapsed = 0;
    let mut last = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
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
