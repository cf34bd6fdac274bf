//! Origins to be loaded: the element in a process of its own, fed with parts of a size, or by any pipeline.

use std::{
    io::{self, BufRead, BufReader, Lines, Read},
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use gst::prelude::*;

use crate::{
    Outcome, client, footage, machine,
    process::{self, Running, now},
};

const FRAMES_PER_SECOND: u64 = 30;
/// Media kept at the end of a section is more than a player asks for, and little beside what it is measured with.
const SEGMENT: Duration = Duration::from_secs(1);

/// What a fed origin publishes.
#[derive(Clone, Copy)]
pub(crate) struct Feed {
    /// Bytes of each part, without its boxes.
    pub(crate) part_bytes: usize,
    /// A whole number of frames.
    pub(crate) part: Duration,
}

/// A running origin. Its process ends with this.
pub(crate) struct Origin {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// 0 when it serves nothing.
    pub(crate) port: u16,
    /// 0 without HTTPS.
    pub(crate) tls_port: u16,
}

/// What an origin saw itself.
pub(crate) struct Ended {
    /// When the streaming thread brought the last frame of a part, and how long it was kept.
    pub(crate) pushes: Vec<(i64, i64)>,
}

impl Origin {
    /// Parts of a size, at the speed of a camera.
    pub(crate) fn fed(feed: Feed) -> Outcome<Self> {
        let bytes = feed.part_bytes.to_string();
        let millis = feed.part.as_millis().to_string();
        Self::start(&["origin-fed", &bytes, &millis])
    }

    /// The same parts handed to a server without an element before it: `pushes` are then calls of `Server::publish` alone.
    pub(crate) fn served(feed: Feed) -> Outcome<Self> {
        let bytes = feed.part_bytes.to_string();
        let millis = feed.part.as_millis().to_string();
        Self::start(&["origin-served", &bytes, &millis])
    }

    /// A pipeline with an element named `sink`, or with nothing to serve.
    pub(crate) fn of(description: &str) -> Outcome<Self> {
        Self::start(&["origin-of", description])
    }

    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut process = process::command(arguments)?.stdin(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("its output is a pipe")?;
        let mut origin = Self {
            process,
            output: BufReader::new(output).lines(),
            port: 0,
            tls_port: 0,
        };
        let line = origin.output.next().ok_or("an origin said nothing")??;
        let (port, tls_port) = line.split_once(' ').ok_or("an origin said no ports")?;
        (origin.port, origin.tls_port) = (port.parse()?, tls_port.parse()?);
        Ok(origin)
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Requests it has read since its start, the one that asks for this included.
    pub(crate) fn requests(&self) -> Outcome<u64> {
        let stats = client::fetch(self.port, "/stats.json")?;
        let stats: serde_json::Value = serde_json::from_slice(&stats)?;
        Ok(stats["clients"]["requests"]
            .as_u64()
            .ok_or("stats.json counts no requests")?)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Outcome<Ended> {
        drop(self.process.stdin.take());
        let mut pushes = Vec::new();
        for line in self.output.by_ref() {
            let line = line?;
            let (at, took) = line
                .split_once(' ')
                .ok_or("an origin said something else")?;
            pushes.push((at.parse()?, took.parse()?));
        }
        Ok(Ended { pushes })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The end of its input is how it is told. One that does not listen any more is ended all the same.
        drop(self.process.stdin.take());
        let patience = 200;
        for _ in 0..patience {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            machine::rest(Duration::from_millis(25));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a pipeline until standard input ends.
pub(crate) fn child_of(description: &str) -> Outcome<()> {
    process::init()?;
    let running = Running::start(description)?;
    match running.0.by_name("sink") {
        Some(sink) => print_ports(&sink),
        None => println!("0 0"),
    }
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn print_ports(sink: &gst::Element) {
    let port = |name| sink.property::<u32>(name);
    println!("{} {}", port("current-port"), port("current-tls-port"));
}

/// Feeds the element until standard input ends, then prints what the streaming thread saw.
pub(crate) fn child_fed(part_bytes: &str, part_millis: &str) -> Outcome<()> {
    process::init()?;
    let (part_bytes, part_millis) = (part_bytes.parse::<usize>()?, part_millis.parse::<u64>()?);
    let frames_per_part = part_millis * FRAMES_PER_SECOND / 1000;
    // Small pictures, filled up: what the parts weigh is exact.
    let (caps, frames) = footage::encode(&format!(
        "videotestsrc num-buffers={FRAMES_PER_SECOND} pattern=ball \
         ! video/x-raw,format=I420,width=160,height=120,framerate={FRAMES_PER_SECOND}/1 \
         ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max={FRAMES_PER_SECOND}"
    ))?;
    let size = part_bytes / usize::try_from(frames_per_part)?;
    let frames: Vec<gst::Buffer> = frames
        .iter()
        .map(|frame| filled_up(frame, size))
        .collect::<Outcome<_>>()?;

    let sink = gst::ElementFactory::make("llhlssink")
        .property("host", "127.0.0.1")
        .property("port", 0_u32)
        .property("tls-port", -1)
        .property("send-keyframe-requests", false)
        .property("segment-duration", u32::try_from(SEGMENT.as_millis())?)
        .property("part-duration", u32::try_from(part_millis)?)
        .build()?;
    let running = Running(gst::Pipeline::new());
    running.0.add(&sink)?;
    let sink_pad = sink.request_pad_simple("video").ok_or("a video pad")?;
    let pad = gst::Pad::builder(gst::PadDirection::Src).build();
    pad.set_active(true)?;
    pad.link(&sink_pad)?;
    running.0.set_state(gst::State::Playing)?;
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    for event in [
        gst::event::StreamStart::new("fed"),
        gst::event::Caps::new(&caps),
        gst::event::Segment::new(&segment),
    ] {
        if !pad.push_event(event) {
            return Err("the element took no event".into());
        }
    }
    print_ports(&sink);

    let end = end_of_input();
    let start = now();
    let mut pushes = Vec::new();
    for (number, frame) in (0_u64..).zip(frames.iter().cycle()) {
        let nanos = |number: u64| number * 1_000_000_000 / FRAMES_PER_SECOND;
        let due = start + i64::try_from(nanos(number))?;
        let left = Duration::from_nanos(u64::try_from(due - now()).unwrap_or(0));
        if end.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        let mut frame = frame.copy();
        let timed = frame.make_mut();
        timed.set_pts(gst::ClockTime::from_nseconds(nanos(number)));
        timed.set_dts(gst::ClockTime::from_nseconds(nanos(number)));
        timed.set_duration(gst::ClockTime::from_nseconds(
            nanos(number + 1) - nanos(number),
        ));
        let before = now();
        pad.push(frame)?;
        if (number + 1).is_multiple_of(frames_per_part) {
            pushes.push((before, now() - before));
        }
    }
    drop(running);
    print_pushes(&pushes);
    Ok(())
}

/// Disconnected once standard input ends.
pub(crate) fn end_of_input() -> Receiver<()> {
    let (sender, end) = mpsc::channel();
    std::thread::spawn(move || {
        // However it ends, it ends.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        drop(sender);
    });
    end
}

/// For [`Origin::end`].
pub(crate) fn print_pushes(pushes: &[(i64, i64)]) {
    for (at, took) in pushes {
        println!("{at} {took}");
    }
}

/// A frame of `size` bytes: the rest is a NAL unit of filler data (H.264 7.4.2.7), which decoders skip.
fn filled_up(frame: &gst::Buffer, size: usize) -> Outcome<gst::Buffer> {
    const FILLER_DATA: u8 = 12;
    let map = frame.map_readable()?;
    let filler = size
        .checked_sub(map.len() + 4)
        .filter(|filler| *filler >= 2)
        .ok_or_else(|| format!("a frame of {} bytes is to have {size}", map.len()))?;
    let mut bytes = map.to_vec();
    bytes.extend_from_slice(&u32::try_from(filler)?.to_be_bytes());
    bytes.push(FILLER_DATA);
    bytes.resize(size - 1, 0xff);
    bytes.push(0x80);
    let mut full = gst::Buffer::from_slice(bytes);
    full.make_mut().set_flags(frame.flags());
    Ok(full)
}
