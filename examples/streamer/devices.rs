//! Which cameras and microphones there are, and what a camera offers.
//!
//! Belongs here: asking, and saying what is missing in words that help. Does not: choosing among formats (`camera`).

use std::path::Path;

use gst::prelude::*;

use crate::Outcome;
use crate::messages;

/// Opens a camera and asks what formats it has.
pub(crate) fn formats(device: &Path) -> Outcome<gst::Caps> {
    if !device.exists() {
        return Err(missing_camera(device).into());
    }
    let camera = gst::ElementFactory::make("v4l2src")
        .property("device", device)
        .build()?;
    let bus = gst::Bus::new();
    camera.set_bus(Some(&bus));
    let is_open = camera.set_state(gst::State::Ready).is_ok();
    let offered = camera
        .static_pad("src")
        .filter(|_| is_open)
        .map(|pad| pad.query_caps(None));
    camera.set_state(gst::State::Null)?;
    offered.ok_or_else(|| {
        let why = bus
            .pop_filtered(&[gst::MessageType::Error])
            .map_or_else(String::new, |message| {
                format!(": {}", messages::reason(&message))
            });
        format!(
            "cannot open {}{why} Is it a camera, free, and may you use it? {}",
            device.display(),
            instead()
        )
        .into()
    })
}

fn missing_camera(device: &Path) -> String {
    let cameras = found("Video/Source")
        .iter()
        .filter_map(|camera| {
            let properties = camera.properties()?;
            // The one of V4L2 itself, and the one of PipeWire.
            let path = ["device.path", "api.v4l2.path"]
                .into_iter()
                .find_map(|key| properties.get::<String>(key).ok())?;
            Some(format!("--device {path} is {}", camera.display_name()))
        })
        .collect::<Vec<_>>();
    let others = if cameras.is_empty() {
        "no camera was found on this machine".to_owned()
    } else {
        cameras.join(", ")
    };
    format!(
        "there is no camera at {}; {others}. {}",
        device.display(),
        instead()
    )
}

fn instead() -> &'static str {
    "Without a camera: --test-src streams a test picture"
}

/// Whether there is anything to record sound from.
pub(crate) fn has_microphone() -> bool {
    !found("Audio/Source").is_empty()
}

fn found(class: &str) -> Vec<gst::Device> {
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some(class), None);
    // Fails where no plugin can look for such devices; then none is known.
    if monitor.start().is_err() {
        return Vec::new();
    }
    let devices = monitor.devices().into_iter().collect();
    monitor.stop();
    devices
}
