//! An application of one's own that streams: the sink in its pipeline, the messages and the figures it gives.
//!
//!     cargo run --example application -- [PORT]
//!
//! Belongs here: what somebody who writes such an application wants to copy. Does not: devices and switches, which the
//! streamer has.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::cell::Cell;
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use rustix::process::Signal;

/// Whatever the application has; here something that is always there.
const PICTURE: &str = "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 ! queue ! videoconvert \
                       ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 ! h264parse";
const SOUND: &str = "audiotestsrc is-live=true volume=0.1 ! audioconvert ! avenc_aac ! aacparse";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let port: u32 = env::args().nth(1).map_or(Ok(8080), |port| port.parse())?;
    gst::init()?;
    // The element is linked in; an installed plugin would be found without this.
    gstllhlssink::plugin_register_static()?;

    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("llhlssink")
        .property("port", port)
        .property("part-duration", 200_u32)
        .build()?;
    pipeline.add(&sink)?;
    for (line, pad) in [(PICTURE, "video"), (SOUND, "audio")] {
        let source = gst::parse::bin_from_description(line, true)?;
        pipeline.add(&source)?;
        source.link_pads(Some("src"), &sink, Some(pad))?;
    }

    let main_loop = glib::MainLoop::new(None, false);
    let has_failed = Rc::new(Cell::new(false));
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    let _watch = bus.add_watch_local({
        let main_loop = main_loop.clone();
        let has_failed = Rc::clone(&has_failed);
        move |_, message| {
            match message.view() {
                gst::MessageView::Element(element) => {
                    if let Some(details) = element.structure() {
                        tell(details);
                    }
                }
                gst::MessageView::Warning(warning) => eprintln!("warning: {}", warning.error()),
                gst::MessageView::Error(error) => {
                    eprintln!("error: {}", error.error());
                    has_failed.set(true);
                    main_loop.quit();
                }
                // Everything is published, the playlist says so.
                gst::MessageView::Eos(_) => main_loop.quit(),
                _ => {}
            }
            glib::ControlFlow::Continue
        }
    })?;

    // Where the pipeline does not start, the error is on the bus.
    if pipeline.set_state(gst::State::Playing).is_ok() {
        println!("playlist {}", sink.property::<String>("uri"));
        let sink = sink.clone();
        glib::timeout_add_local(Duration::from_secs(2), move || {
            print_figures(&sink);
            glib::ControlFlow::Continue
        });
    }
    let _signal = glib_unix::unix_signal_add_local(Signal::INT.as_raw(), {
        let pipeline = pipeline.clone();
        move || {
            pipeline.send_event(gst::event::Eos::new());
            glib::ControlFlow::Continue
        }
    });
    main_loop.run();
    pipeline.set_state(gst::State::Null)?;
    Ok(ExitCode::from(u8::from(has_failed.get())))
}

/// What the sink says about the stream. Times are nanoseconds, `published` and `captured` since 1970.
fn tell(details: &gst::StructureRef) {
    match details.name().as_str() {
        "llhls-segment" => {
            let rendition: String = details.get("rendition").unwrap_or_default();
            let name: String = details.get("name").unwrap_or_default();
            let duration: u64 = details.get("duration").unwrap_or_default();
            let size: u64 = details.get("size").unwrap_or_default();
            let seconds = duration as f64 / 1e9;
            println!("segment {rendition} {name} {seconds:.3} s {size} bytes");
        }
        "llhls-discontinuity" => println!("discontinuity {details}"),
        _ => {}
    }
}

fn print_figures(sink: &gst::Element) {
    let stats = sink.property::<gst::Structure>("stats");
    let clients: u32 = stats.get("clients").unwrap_or_default();
    let sent: u64 = stats.get("bytes-sent").unwrap_or_default();
    let taken = |pad: &str| {
        let figures = stats.get::<gst::Structure>(pad).ok();
        figures
            .and_then(|figures| figures.get::<u64>("taken").ok())
            .unwrap_or_default()
    };
    println!(
        "figures {clients} clients, {sent} bytes sent, {} pictures and {} frames of sound taken",
        taken("video"),
        taken("audio")
    );
}
