//! What `make demo` runs: a camera, a clip or a test picture as a low-latency stream, with the URLs to open.
//!
//! Belongs here: picking a source and getting H.264 out of it, printing where to look, ending cleanly.
//! Does not: anything about HLS. That is the element's, which is linked in and needs no GST_PLUGIN_PATH.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod clip;

use std::cell::RefCell;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use gst::glib;
use gst::prelude::*;
use rustix::process::Signal;

use crate::clip::Clip;

/// Raw video to what a browser plays, with no frame held back.
const ENCODE: &str = "queue ! videoconvert ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 ! h264parse";

const TEST_PICTURE: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=30/1";

const CLOCK: &str = "timeoverlay valignment=bottom halignment=left font-desc=\"Sans 24\" \
                     ! clockoverlay valignment=bottom halignment=right font-desc=\"Sans 24\"";

/// What to ask a camera for, best first, and what turns it into raw video. A USB camera reaches 720p30 as MJPEG only; the
/// last two take whatever there is.
const CAMERA_FORMATS: [(&str, &str); 5] = [
    ("image/jpeg,width=1280,height=720,framerate=30/1", "jpegdec"),
    (
        "video/x-raw,width=1280,height=720,framerate=30/1",
        "identity",
    ),
    (
        "video/x-raw,width=640,height=480,framerate=30/1",
        "identity",
    ),
    ("image/jpeg", "jpegdec"),
    ("video/x-raw", "identity"),
];

/// Softly: it may be on for hours.
const TEST_TONE: &str = "audiotestsrc is-live=true volume=0.1 samplesperbuffer=480 \
                         ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! avenc_aac ! aacparse";

const FIRST_CAMERA: &str = "/dev/video0";

/// How long the last part may take to come out before the program ends without it.
const END_DEADLINE: Duration = Duration::from_secs(3);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Streams a camera, a clip or a test picture as Low-Latency HLS.
#[derive(Parser)]
struct Args {
    /// A video file to stream in a loop, as it is when it is H.264, else encoded anew
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    clip: Option<PathBuf>,

    /// A camera [default: /dev/video0 where there is one, else a test picture]
    #[arg(long, value_name = "/dev/videoN")]
    device: Option<PathBuf>,

    /// The test picture, even where there is a camera
    #[arg(long, conflicts_with_all = ["clip", "device"])]
    test_picture: bool,

    /// A test tone beside the camera or the test picture; a clip brings its own AAC
    #[arg(long, conflicts_with = "clip")]
    audio: bool,

    /// The TCP port; 0 picks a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// The address to listen on
    #[arg(long, default_value = "0.0.0.0")]
    host: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    gst::init()?;
    gstllhlssink::plugin_register_static()?;

    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("llhlssink")
        .property_from_str("port", &args.port.to_string())
        .property("host", &args.host)
        // A file gives its frames as fast as they are taken; live sources come in time by themselves.
        .property("sync", args.clip.is_some())
        .build()?;
    pipeline.add(&sink)?;

    let camera = args.device.as_deref().or_else(|| {
        let first = Path::new(FIRST_CAMERA);
        (first.exists() && !args.test_picture).then_some(first)
    });
    let clip = Clip::default();
    let what = if let Some(file) = &args.clip {
        clip.add(&pipeline, &sink, file)?;
        format!("{} in a loop", file.display())
    } else if let Some(device) = camera {
        add_source(&pipeline, &sink, &camera_line(device)?, "video")?;
        format!("the camera {}", device.display())
    } else {
        add_source(&pipeline, &sink, &test_picture_line(), "video")?;
        "a test picture".to_owned()
    };

    if args.audio {
        add_source(&pipeline, &sink, TEST_TONE, "audio")?;
    }

    let result = play(&pipeline, &sink, &clip, &what);
    pipeline.set_state(gst::State::Null)?;
    result
}

/// Runs the pipeline until it ends: by a signal, by itself or by an error.
fn play(pipeline: &gst::Pipeline, sink: &gst::Element, clip: &Clip, what: &str) -> Outcome<()> {
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    if pipeline.set_state(gst::State::Playing).is_err() {
        // The element has said why; a taken port, most of the time.
        let said = bus.pop_filtered(&[gst::MessageType::Error]);
        return Err(said.map_or_else(
            || "the pipeline does not start".into(),
            |message| reason(&message),
        ));
    }
    print_urls(sink, what)?;

    let main_loop = glib::MainLoop::new(None, false);
    let result = Rc::new(RefCell::new(Ok(())));

    let _watch = bus.add_watch_local({
        let (main_loop, result) = (main_loop.clone(), result.clone());
        let (pipeline, clip) = (pipeline.clone(), clip.clone());
        move |_, message| {
            match message.view() {
                gst::MessageView::Eos(_) => main_loop.quit(),
                gst::MessageView::Error(_) => {
                    *result.borrow_mut() = Err(reason(message));
                    main_loop.quit();
                }
                gst::MessageView::Warning(warning) => {
                    eprintln!("demo: {}", sentence(&warning.error(), warning.debug()));
                }
                gst::MessageView::SegmentDone(_) => clip.again(),
                gst::MessageView::StreamCollection(found)
                    if !has_video(&found.stream_collection()) =>
                {
                    *result.borrow_mut() = Err("there is no video in the file".into());
                    main_loop.quit();
                }
                gst::MessageView::Latency(_) => drop(pipeline.recalculate_latency()),
                _ => (),
            }
            glib::ControlFlow::Continue
        }
    })?;

    let ending = Rc::new(RefCell::new(false));
    let _signals = [Signal::INT, Signal::TERM].map(|signal| {
        let (main_loop, sink, ending) = (main_loop.clone(), sink.clone(), ending.clone());
        glib_unix::unix_signal_add_local(signal.as_raw(), move || {
            // A second signal does not wait for viewers to get the last part.
            if ending.replace(true) {
                main_loop.quit();
            } else {
                println!("\nending");
                end(&sink, &main_loop);
            }
            glib::ControlFlow::Continue
        })
    });

    main_loop.run();
    result.replace(Ok(()))
}

fn has_video(streams: &gst::StreamCollection) -> bool {
    streams
        .iter()
        .any(|stream| stream.stream_type().contains(gst::StreamType::VIDEO))
}

/// Lets the stream end as it should, with its last part published, but not for longer than [`END_DEADLINE`].
fn end(sink: &gst::Element, main_loop: &glib::MainLoop) {
    // Straight into the sink: a looping demuxer does not pass an end on. From another thread, because the pad may be busy.
    sink.call_async(|sink| {
        for pad in sink.sink_pads() {
            pad.send_event(gst::event::Eos::new());
        }
    });
    glib::timeout_add_local_once(END_DEADLINE, {
        let main_loop = main_loop.clone();
        move || main_loop.quit()
    });
}

/// What an error message says, as an error of ours.
fn reason(message: &gst::Message) -> Box<dyn Error> {
    match message.view() {
        gst::MessageView::Error(error) => sentence(&error.error(), error.debug()).into(),
        _ => "the pipeline failed".into(),
    }
}

/// The message for people and, when there is one, the detail that follows the place in the source in the debug text.
fn sentence(error: &glib::Error, debug: Option<glib::GString>) -> String {
    let detail = debug.as_deref().and_then(|debug| debug.split_once('\n'));
    match detail {
        Some((_place, detail)) => format!("{} {detail}", error.message()),
        None => error.message().to_owned(),
    }
}

// Where the picture comes from.

/// Adds a source written as gst-launch-1.0 takes it and links it to a pad of the sink.
fn add_source(pipeline: &gst::Pipeline, sink: &gst::Element, line: &str, pad: &str) -> Outcome<()> {
    let source = gst::parse::bin_from_description(line, true)?;
    pipeline.add(&source)?;
    source.link_pads(Some("src"), sink, Some(pad))?;
    Ok(())
}

fn test_picture_line() -> String {
    // The overlays come in a package of their own; the ball moves without them too.
    if gst::ElementFactory::find("clockoverlay").is_some() {
        format!("{TEST_PICTURE} ! {CLOCK} ! {ENCODE}")
    } else {
        format!("{TEST_PICTURE} ! {ENCODE}")
    }
}

fn camera_line(device: &Path) -> Outcome<String> {
    let camera = gst::ElementFactory::make("v4l2src")
        .property("device", device)
        .build()?;
    if camera.set_state(gst::State::Ready).is_err() {
        return Err(format!(
            "cannot open {}: is it a camera, and free?",
            device.display()
        )
        .into());
    }
    let offered = camera
        .static_pad("src")
        .map_or_else(gst::Caps::new_empty, |pad| pad.query_caps(None));
    camera.set_state(gst::State::Null)?;

    let (caps, decoder) = CAMERA_FORMATS
        .iter()
        .find(|(caps, _)| {
            caps.parse()
                .is_ok_and(|caps: gst::Caps| caps.can_intersect(&offered))
        })
        .ok_or_else(|| {
            format!(
                "{} offers neither raw video nor JPEG: {offered}",
                device.display()
            )
        })?;
    Ok(format!(
        "v4l2src device=\"{}\" ! {caps} ! {decoder} ! {ENCODE}",
        device.display()
    ))
}

// Where to look.

fn print_urls(sink: &gst::Element, what: &str) -> Outcome<()> {
    let host = sink.property::<String>("host");
    let port = sink
        .property_value("current-port")
        .transform::<u32>()?
        .get::<u32>()?;
    let uri = sink.property::<Option<String>>("uri").unwrap_or_default();
    let playlist = uri.rsplit('/').next().unwrap_or_default();

    let mut hosts = Vec::new();
    if host
        .parse()
        .is_ok_and(|host: IpAddr| !host.is_unspecified())
    {
        hosts.push(host);
    } else {
        hosts.push("localhost".to_owned());
        hosts.extend(network_address().map(|address| address.to_string()));
    }

    println!("\nllhlssink streams {what}\n");
    for (index, host) in hosts.iter().enumerate() {
        let (player, list) = if index == 0 {
            ("player", "playlist")
        } else {
            ("", "")
        };
        println!("  {player:9} http://{host}:{port}/");
        println!("  {list:9} http://{host}:{port}/{playlist}");
    }
    println!("\nCtrl-C ends it");
    Ok(())
}

/// This host's address on the network, as far as there is a way out of it.
fn network_address() -> Option<Ipv4Addr> {
    // Connecting a UDP socket sends nothing; it makes the system choose the address it would send from. The target is
    // one that documentation may use (RFC 5737).
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) if !address.ip().is_loopback() => Some(*address.ip()),
        _ => None,
    }
}
