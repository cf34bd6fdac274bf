//! What is played: encoded once, so that the encoder's own work blurs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use gst::prelude::*;

use crate::{Outcome, process::Running};

/// Seconds that are encoded.
const LOOP_SECONDS: u64 = 10;
/// How often they are repeated in the file.
const LOOPS: u64 = 60;
const FRAMES_PER_SECOND: u64 = 30;
/// Samples a second, and a frame of AAC.
const SOUND_RATE: u64 = 44_100;
const SOUND_FRAME: u64 = 1024;
const COUNT: u64 = LOOP_SECONDS * FRAMES_PER_SECOND;

/// A long 720p30 file of about 2.5 Mbit/s with a key frame a second, in a folder that goes away with this.
pub(crate) struct Footage {
    folder: PathBuf,
    file: PathBuf,
}

impl Footage {
    pub(crate) const SECONDS: u64 = LOOP_SECONDS * LOOPS;

    pub(crate) fn make() -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("llhlssink-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("footage.mp4");
        let footage = Self { folder, file };
        // A moving zone plate has enough detail to need the bit rate.
        let (caps, frames) = encode(&format!(
            "videotestsrc num-buffers={COUNT} pattern=zone-plate kx2=20 ky2=20 kt=1 \
             ! video/x-raw,format=I420,width=1280,height=720,framerate={FRAMES_PER_SECOND}/1 \
             ! x264enc bitrate=2500 speed-preset=superfast tune=zerolatency key-int-max={FRAMES_PER_SECOND}"
        ))?;
        if frames.len() as u64 != COUNT {
            return Err(format!("{} frames were encoded", frames.len()).into());
        }
        write_looped(&footage.file, &caps, &frames)?;
        Ok(footage)
    }

    /// The front of a pipeline that reads it.
    pub(crate) fn source(&self) -> String {
        format!(
            "filesrc location={} ! qtdemux ! h264parse",
            self.file.display()
        )
    }

    /// The front of a pipeline that reads sound of the same length, which is encoded when it is first asked for.
    pub(crate) fn sound_source(&self) -> Outcome<String> {
        let file = self.folder.join("sound.mp4");
        if !file.exists() {
            let frames = Self::SECONDS * SOUND_RATE / SOUND_FRAME;
            let pipeline = gst::parse::launch(&format!(
                "audiotestsrc num-buffers={frames} samplesperbuffer={SOUND_FRAME} \
                 ! audio/x-raw,rate={SOUND_RATE},channels=2 ! avenc_aac ! aacparse ! mp4mux ! filesink location={}",
                file.display()
            ))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "the description is no pipeline")?;
            let running = Running(pipeline);
            running.0.set_state(gst::State::Playing)?;
            running.wait()?;
        }
        Ok(format!(
            "filesrc location={} ! qtdemux ! aacparse",
            file.display()
        ))
    }

    /// The same at the speed of a camera.
    pub(crate) fn live_source(&self) -> String {
        format!("{} ! identity sync=true", self.source())
    }
}

impl Drop for Footage {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory is not worth an error.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// All frames of a pipeline that ends in H.264.
pub(crate) fn encode(source: &str) -> Outcome<(gst::Caps, Vec<gst::Buffer>)> {
    let description = format!(
        "{source} ! h264parse ! video/x-h264,stream-format=avc,alignment=au ! fakesink name=end"
    );
    let frames = Arc::new(Mutex::new(Vec::new()));
    let pipeline = gst::parse::launch(&description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "the description is no pipeline")?;
    let running = Running(pipeline);
    let pad = running
        .0
        .by_name("end")
        .and_then(|end| end.static_pad("sink"))
        .ok_or("fakesink has a pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, {
        let frames = Arc::clone(&frames);
        move |_pad, info| {
            if let Some(buffer) = info.buffer() {
                let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
                frames.push(buffer.copy());
            }
            gst::PadProbeReturn::Ok
        }
    });
    running.0.set_state(gst::State::Playing)?;
    running.wait()?;
    let caps = pad.current_caps().ok_or("no caps were set")?;
    let frames = std::mem::take(&mut *frames.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((caps, frames))
}

fn write_looped(file: &Path, caps: &gst::Caps, frames: &[gst::Buffer]) -> Outcome<()> {
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=frames format=time max-bytes=0 ! h264parse ! mp4mux ! filesink location={}",
        file.display()
    ))?
    .downcast::<gst::Pipeline>()
    .map_err(|_| "the description is no pipeline")?;
    let running = Running(pipeline);
    let source = running.0.by_name("frames").ok_or("appsrc is there")?;
    source.set_property("caps", caps);
    running.0.set_state(gst::State::Playing)?;
    let repeated = (0..LOOPS).flat_map(|_| frames);
    for (number, frame) in (0_u64..).zip(repeated) {
        let mut frame = frame.copy();
        let at =
            |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / FRAMES_PER_SECOND);
        let timed = frame.make_mut();
        timed.set_pts(at(number));
        timed.set_dts(at(number));
        timed.set_duration(at(number + 1) - at(number));
        let pushed: gst::FlowReturn = source.emit_by_name("push-buffer", &[&frame]);
        pushed.into_result()?;
    }
    let ended: gst::FlowReturn = source.emit_by_name("end-of-stream", &[]);
    ended.into_result()?;
    running.wait()
}
