//! What several renditions cost each other: delay, dates and processor time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use gst::prelude::*;

use crate::{
    Outcome,
    cpu::{self, SINK},
    footage::Footage,
    process::{self, Running, now},
    table::{Sorted, Table},
};

/// Parts each client waits for.
const PARTS: usize = 100;
/// Parts at the start that are not counted.
const WARM_UP: usize = 10;
/// Bars in milliseconds.
const P50_BAR: f64 = 3.0;
const P99_BAR: f64 = 15.0;
const CPU_BAR: f64 = 2.0;

const LADDER_RUNS: usize = 3;

/// One track of a presentation under measurement.
struct Track {
    pad: &'static str,
    /// Frames a second.
    rate: (u64, u64),
}

const VIDEO_RATE: (u64, u64) = (30, 1);
/// AAC at 44.1 kHz.
const AUDIO_RATE: (u64, u64) = (44_100, 1024);

pub(crate) fn measure(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let source = footage.live_source();
    let audio = "audiotestsrc is-live=true ! avenc_aac ! aacparse";
    let sink = format!("{SINK} post-part-messages=true");
    let pair = [
        Track {
            pad: "video",
            rate: VIDEO_RATE,
        },
        Track {
            pad: "audio",
            rate: AUDIO_RATE,
        },
    ];
    measure_delays(
        "audio and video",
        &format!("{source} ! sink.video {audio} ! sink.audio {sink}"),
        &pair,
        table,
    )?;
    let ladder = [
        Track {
            pad: "video",
            rate: VIDEO_RATE,
        },
        Track {
            pad: "video_0",
            rate: VIDEO_RATE,
        },
        Track {
            pad: "video_1",
            rate: VIDEO_RATE,
        },
        Track {
            pad: "audio",
            rate: AUDIO_RATE,
        },
    ];
    measure_delays(
        "three videos and audio",
        &format!(
            "{source} ! sink.video {source} ! sink.video_0 {source} ! sink.video_1 {audio} ! sink.audio {sink}"
        ),
        &ladder,
        table,
    )
}

/// Processor time of several tracks in one element, against as many bare muxers.
pub(crate) fn compare_ladder(footage: &Footage, table: &mut Table) -> Outcome<()> {
    let (video, audio) = (footage.source(), footage.sound_source()?);
    let bare = |source: &str| {
        cpu::spent_to_end(&format!(
            "{source} ! mp4mux fragment-duration=200 ! fakesink"
        ))
    };
    for (what, videos, audios) in [
        ("audio and video", 1, 1),
        ("three videos", 3, 0),
        ("three videos and audio", 3, 1),
    ] {
        let tracks = [video.as_str()]
            .repeat(videos)
            .into_iter()
            .chain([audio.as_str()].repeat(audios));
        let linked: Vec<String> = tracks.map(|source| format!("{source} ! sink.")).collect();
        let together = format!("{} {SINK}", linked.join(" "));
        let mut figures = Vec::new();
        for _ in 0..LADDER_RUNS {
            let mut apart = bare(&video)? * videos as f64;
            if audios > 0 {
                apart += bare(&audio)? * audios as f64;
            }
            figures.push((apart, cpu::spent_to_end(&together)?));
        }
        let apart = cpu::median(figures.iter().map(|&(apart, _)| apart));
        let sink = cpu::median(figures.iter().map(|&(_, sink)| sink));
        table.bar(
            format!("CPU, {what} remuxed unthrottled, to as many bare mp4mux"),
            sink / apart,
            CPU_BAR,
            "x",
        );
        table.note("the same: medians", format!("{sink:.3} s to {apart:.3} s"));
    }
    Ok(())
}

/// What the application and the pads saw of one rendition.
#[derive(Default)]
struct Seen {
    /// When each frame entered.
    entries: Vec<Entry>,
    /// Last frame of each part.
    last_frames: Vec<usize>,
    /// Number, date and first frame of each segment.
    segments: Vec<(u64, i64, usize)>,
}

fn measure_delays(
    what: &str,
    description: &str,
    tracks: &[Track],
    table: &mut Table,
) -> Outcome<()> {
    let running = Running::prepare(description)?;
    let sink = running.0.by_name("sink").ok_or("llhlssink is there")?;
    // From the first frame on: which frame is the last of a part is counted.
    let entries: Vec<_> = tracks
        .iter()
        .map(|track| record_entries(&sink, track.pad))
        .collect::<Outcome<_>>()?;
    running.play()?;
    let port = sink.property::<u32>("current-port").to_string();
    let count = PARTS.to_string();
    let clients = tracks
        .iter()
        .map(|track| {
            let path = format!("/live_{}.m3u8", track.pad);
            process::start(&["client-reload", &port, &count, &path])
        })
        .collect::<Outcome<Vec<_>>>()?;
    let answers = clients
        .into_iter()
        .map(process::finish)
        .collect::<Outcome<Vec<_>>>()?;
    let resident = process::resident()?;
    let messages = messages(&running)?;

    let mut starts: HashMap<u64, Vec<i64>> = HashMap::new();
    // By how much the dates of each rendition are off: what they have in common is no skew.
    let mut shifts: HashMap<u64, Vec<i64>> = HashMap::new();
    for ((track, entries), answers) in tracks.iter().zip(entries).zip(answers) {
        let mut seen = Seen::default();
        seen.read(track, &messages, left_out(&sink, track.pad)?)?;
        let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entries.clone_from(&entries);
        let mut delays = Vec::new();
        let mut not_counted = 0;
        for answer in answers.iter().skip(WARM_UP) {
            let [part, asked, answered] = answer[..] else {
                return Err("a client printed something else".into());
            };
            let last = seen.last_frames.get(usize::try_from(part)?);
            let complete = last.and_then(|&frame| seen.entries.get(frame));
            if let Some(complete) = complete
                && asked < complete.monotonic
            {
                delays.push(answered - complete.monotonic);
            } else {
                not_counted += 1;
            }
        }
        let delays = Sorted::new(delays);
        let pad = track.pad;
        table.bar(
            format!(
                "{what}: last frame in -> reload of {pad} read, p50 of {}",
                delays.len()
            ),
            delays.percentile_ms(50),
            P50_BAR,
            "ms",
        );
        table.bar(
            format!("{what}: the same of {pad}, p99"),
            delays.percentile_ms(99),
            P99_BAR,
            "ms",
        );
        if not_counted > 0 {
            table.note(
                format!("{what}: the same of {pad}, not counted: asked after the frame, or not announced"),
                not_counted.to_string(),
            );
        }
        let stats = sink
            .property::<gst::Structure>("stats")
            .get::<gst::Structure>(pad)?;
        table.note(
            format!("{what}: frames of {pad} that waited for the leading track"),
            format!(
                "{} of {}",
                stats.get::<u64>("waited-for-leader")?,
                stats.get::<u64>("taken")?
            ),
        );
        for &(number, date, _) in &seen.segments {
            starts.entry(number).or_default().push(date);
        }
        for (number, shift) in report_dates(what, pad, &seen, table) {
            shifts.entry(number).or_default().push(shift);
        }
    }
    let spread = |of: &HashMap<u64, Vec<i64>>| {
        let spreads = of
            .values()
            .filter_map(|all| Some(all.iter().max()? - all.iter().min()?));
        let spreads = Sorted::new(spreads.collect());
        format!(
            "{:.2} and {:.2} ms",
            spreads.percentile_ms(50),
            spreads.max_ms()
        )
    };
    table.note(
        format!(
            "{what}: tracks shifted against each other (A/V skew), p50 and max of the segments"
        ),
        spread(&shifts),
    );
    table.note(
        format!("{what}: starts of segments of one number apart, p50 and max"),
        spread(&starts),
    );
    table.note(
        format!("{what}: memory of the process, with sources, a rendition"),
        format!(
            "{:.1} MiB",
            resident as f64 / f64::from(1 << 20) / tracks.len() as f64
        ),
    );
    Ok(())
}

/// How far the dates of a rendition are off, by number of the segment.
fn report_dates(what: &str, pad: &str, seen: &Seen, table: &mut Table) -> Vec<(u64, i64)> {
    let first_frames = || {
        let segments = seen.segments.iter();
        segments
            .filter_map(|&(number, date, first)| Some((number, date, *seen.entries.get(first)?)))
    };
    let shifts: Vec<(u64, i64)> = first_frames()
        .map(|(number, date, first)| (number, date - first.captured))
        .collect();
    let errors = Sorted::new(shifts.iter().map(|(_, shift)| shift.abs()).collect());
    table.note(
        format!("{what}: PROGRAM-DATE-TIME off the capture time of {pad}, p50 and max"),
        format!(
            "{:.2} and {:.2} ms",
            errors.percentile_ms(50),
            errors.max_ms()
        ),
    );
    let ages = first_frames().map(|(_, date, first)| first.unix - date);
    let ages = Sorted::new(ages.collect());
    table.note(
        format!(
            "{what}: age of the first frame of a segment of {pad} when it comes in, p50 and max"
        ),
        format!("{:.2} and {:.2} ms", ages.percentile_ms(50), ages.max_ms()),
    );
    shifts
}

/// A frame that came in at a pad, in nanoseconds.
#[derive(Clone, Copy)]
struct Entry {
    monotonic: i64,
    unix: i64,
    /// What its timestamp is in Unix time by the pipeline's clock.
    captured: i64,
}

type Entries = Arc<Mutex<Vec<Entry>>>;

fn record_entries(sink: &gst::Element, pad: &str) -> Outcome<Entries> {
    let entries = Entries::default();
    let pad = sink.static_pad(pad).ok_or("the pad is linked")?;
    let sink = sink.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let entries = Arc::clone(&entries);
        move |pad, info| {
            let (monotonic, unix) = (now(), process::unix_now());
            let age = info
                .buffer()
                .and_then(|buffer| age(&sink.upgrade()?, pad, buffer));
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push(Entry {
                monotonic,
                unix,
                captured: unix - age.unwrap_or(0),
            });
            gst::PadProbeReturn::Ok
        }
    });
    Ok(entries)
}

/// How long ago a buffer was captured, in nanoseconds.
fn age(sink: &gst::Element, pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<i64> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    let captured = segment.to_running_time(buffer.pts()?)?;
    let running = sink.current_running_time()?;
    i64::try_from(running.nseconds())
        .ok()?
        .checked_sub(i64::try_from(captured.nseconds()).ok()?)
}

fn messages(running: &Running) -> Outcome<Vec<gst::Structure>> {
    let bus = running.0.bus().ok_or("a pipeline has a bus")?;
    let mut all = Vec::new();
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
        all.extend(message.structure().map(ToOwned::to_owned));
    }
    Ok(all)
}

/// Frames a track had before it joined, or before its first key frame.
fn left_out(sink: &gst::Element, pad: &str) -> Outcome<usize> {
    let stats = sink.property::<gst::Structure>("stats");
    let track = stats.get::<gst::Structure>(pad)?;
    let count = track.get::<u64>("dropped-before-joining")?
        + track.get::<u64>("dropped-before-key-frame")?;
    Ok(usize::try_from(count)?)
}

impl Seen {
    /// Parts follow one another without a hole, so their durations count frames, after those that were left out.
    fn read(&mut self, track: &Track, messages: &[gst::Structure], left_out: usize) -> Outcome<()> {
        let (numerator, denominator) = track.rate;
        let frames = |nanos: u64| -> Outcome<usize> {
            let count = (u128::from(nanos) * u128::from(numerator)
                + u128::from(denominator) * 500_000_000)
                / (u128::from(denominator) * 1_000_000_000);
            Ok(usize::try_from(count)?)
        };
        let mut elapsed = 0;
        let mut segment_start = 0;
        for message in messages {
            if message.get::<&str>("rendition") != Ok(track.pad) {
                continue;
            }
            match message.name().as_str() {
                "llhls-part" => {
                    elapsed += message.get::<u64>("duration")?;
                    self.last_frames
                        .push(left_out + frames(elapsed)?.saturating_sub(1));
                }
                "llhls-segment" => {
                    let date = i64::try_from(message.get::<u64>("program-date-time")?)?;
                    self.segments.push((
                        message.get("msn")?,
                        date,
                        left_out + frames(segment_start)?,
                    ));
                    segment_start = elapsed;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
