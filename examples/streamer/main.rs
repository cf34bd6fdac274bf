//! The program `llhls-streamer`: a camera, a test picture or a clip as a low-latency stream, with the switches of the script
//! `streamer.py` that it takes the place of. `make demo` runs it too.
//!
//! Belongs here: which source, what of it goes to the sink, and what is said at the start.
//! Does not: anything about HLS. That is the element's, which is linked in and needs no GST_PLUGIN_PATH.

mod camera;
mod clip;
mod clock;
mod devices;
mod left_out;
mod messages;
mod play;
mod screen;
mod status;
mod switches;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use gst::prelude::*;

use crate::clip::Clip;
use crate::screen::Screen;
use crate::switches::{Picture, Sound, Switches};

const CLOCK_OVERLAYS: &str = "timeoverlay valignment=bottom halignment=left font-desc=\"Sans 24\" \
                              ! clockoverlay valignment=bottom halignment=right font-desc=\"Sans 24\"";

/// Softly: it may be on for hours.
const TEST_TONE: &str =
    "audiotestsrc is-live=true volume=0.1 samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=2";

const MICROPHONE: &str =
    "autoaudiosrc ! queue ! audioconvert ! audioresample ! audio/x-raw,rate=48000";

const ENCODE_SOUND: &str = "audioconvert ! avenc_aac ! aacparse";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let (switches, notes) = Switches::read();
    let screen = Rc::new(Screen::new());
    for note in notes {
        screen.complain(note);
    }
    match run(&switches, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.complain(error);
            ExitCode::FAILURE
        }
    }
}

fn run(switches: &Switches, screen: &Rc<Screen>) -> Outcome<()> {
    gst::init()?;
    gstllhlssink::plugin_register_static()?;

    let pipeline = gst::Pipeline::new();
    let sink = make_sink(switches)?;
    pipeline.add(&sink)?;
    let clip = Clip::new(encoder(switches.bitrate));
    let what = add_sources(switches, &pipeline, &sink, &clip)?;

    let result = play::play(&pipeline, &sink, &clip, screen, || {
        greet(switches, &sink, &what, screen)
    });
    pipeline.set_state(gst::State::Null)?;
    result
}

fn make_sink(switches: &Switches) -> Outcome<gst::Element> {
    Ok(gst::ElementFactory::make("llhlssink")
        .property_from_str("port", &switches.http_port.to_string())
        .property("host", &switches.host)
        .property_from_str("tls-port", &switches.tls_port().to_string())
        .property("tls-certificate", text(&switches.tls_cert)?)
        .property("tls-private-key", text(&switches.tls_key)?)
        .property_from_str("mode", switches.mode.nick())
        .property("location", text(&switches.location)?)
        .property("segment-duration", switches.segment_duration.0)
        .property("part-duration", switches.part_duration.0)
        .property("playlist-length", switches.playlist_length)
        .property("max-files", switches.max_files)
        .property("public-url", &switches.public_url)
        // A file gives its frames as fast as they are taken; live sources come in time by themselves.
        .property("sync", switches.clip.is_some())
        .build()?)
}

/// A path as properties have it.
fn text(path: &Option<PathBuf>) -> Outcome<Option<&str>> {
    let Some(path) = path else { return Ok(None) };
    let text = path
        .to_str()
        .ok_or_else(|| format!("{}: only paths in UTF-8 are understood", path.display()))?;
    Ok(Some(text))
}

// Where picture and sound come from.

/// Puts the sources into the pipeline and says in words what they are.
fn add_sources(
    switches: &Switches,
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
    clip: &Clip,
) -> Outcome<String> {
    let picture = switches.picture();
    let mut what = if let Some(file) = &switches.clip {
        clip.add(pipeline, sink, file)?;
        format!("{} in a loop", file.display())
    } else if switches.test_src {
        let line = format!(
            "{} ! queue ! {}",
            test_picture(picture),
            encoder(switches.bitrate)
        );
        add_source(pipeline, sink, &line, "video")?;
        format!(
            "a test picture, {} at {} a second",
            picture.size, picture.rate
        )
    } else {
        let playable = sink
            .pad_template("video")
            .map_or_else(gst::Caps::new_any, |template| template.caps().to_owned());
        let offered = devices::formats(&switches.device)?;
        let choice = camera::choose(&offered, picture, &playable).ok_or_else(|| {
            format!(
                "{} gives neither H.264 nor raw video nor JPEG, but {offered}",
                switches.device.display()
            )
        })?;
        // A camera that encodes is told how; one that has no such control does not mind.
        let controls = format!(
            "controls,video_bitrate={},h264_i_frame_period={},repeat_sequence_header=1",
            switches.bitrate * 1000,
            (f64::from(switches.segment_duration.0) / 1000.0 * picture.rate.per_second()).round()
        );
        let line = format!(
            "v4l2src device=\"{}\" extra-controls=\"{controls}\" ! {}",
            switches.device.display(),
            choice.line(picture, &encoder(switches.bitrate))
        );
        add_source(pipeline, sink, &line, "video")?;
        format!(
            "the camera {}, {}",
            switches.device.display(),
            choice.describe(picture)
        )
    };
    if let Some(sound) = switches.audio {
        what += add_sound(sound, switches.test_src, pipeline, sink)?;
    }
    Ok(what)
}

fn add_sound(
    sound: Sound,
    is_test: bool,
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
) -> Outcome<&'static str> {
    let is_tone = sound == Sound::Tone || (sound == Sound::Auto && is_test);
    if !is_tone && !devices::has_microphone() {
        return Err("there is no microphone; --audio tone adds a test tone instead".into());
    }
    let (source, what) = if is_tone {
        (TEST_TONE, ", with a tone")
    } else {
        (MICROPHONE, ", with the microphone")
    };
    add_source(
        pipeline,
        sink,
        &format!("{source} ! {ENCODE_SOUND}"),
        "audio",
    )?;
    Ok(what)
}

/// Adds a source written as gst-launch-1.0 takes it and links it to a pad of the sink.
fn add_source(pipeline: &gst::Pipeline, sink: &gst::Element, line: &str, pad: &str) -> Outcome<()> {
    let source = gst::parse::bin_from_description(line, true).map_err(|error| {
        if error.matches(gst::ParseError::NoSuchElement) {
            format!("{error}; ./setup.sh installs what GStreamer misses")
        } else {
            error.to_string()
        }
    })?;
    pipeline.add(&source)?;
    source.link_pads(Some("src"), sink, Some(pad))?;
    Ok(())
}

/// Raw video to what a browser plays, with no frame held back.
fn encoder(bitrate: u32) -> String {
    format!(
        "videoconvert ! x264enc tune=zerolatency speed-preset=veryfast bitrate={bitrate} ! h264parse"
    )
}

fn test_picture(picture: Picture) -> String {
    let line = format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width={},height={},framerate={}/{}",
        picture.size.width,
        picture.size.height,
        picture.rate.0.numer(),
        picture.rate.0.denom()
    );
    // The overlays come in a package of their own; the ball moves without them too.
    if gst::ElementFactory::find("clockoverlay").is_some() {
        format!("{line} ! {CLOCK_OVERLAYS}")
    } else {
        line
    }
}

// What is said at the start.

fn greet(switches: &Switches, sink: &gst::Element, what: &str, screen: &Screen) {
    let bases = bases(switches, sink);
    let uri = sink.property::<Option<String>>("uri").unwrap_or_default();
    let playlist = uri.rsplit('/').next().unwrap_or_default();

    screen.say(format_args!("\nllhlssink streams {what}\n"));
    for (label, path) in [
        ("player", ""),
        ("playlist", playlist),
        ("timestamps", "timestamps.json"),
    ] {
        for (index, base) in bases.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            screen.say(format_args!("  {label:10} {base}/{path}"));
        }
    }
    let clock = clock::ask();
    screen.say(format_args!("  {:10} {clock}", "clock"));
    if let Some(advice) = clock.advice() {
        screen.say(format_args!("  {:10} {advice}", ""));
    }
    screen.say("\nCtrl-C ends it\n");
    if switches.open
        && let Some(base) = bases.first()
        && let Err(error) = open::that_detached(format!("{base}/"))
    {
        screen.complain(format_args!("no browser could be opened: {error}"));
    }
}

/// What every URL begins with, the one for this machine first.
fn bases(switches: &Switches, sink: &gst::Element) -> Vec<String> {
    let port = sink.property::<u32>("current-port");
    // A name, or an address with or without brackets.
    let bare = switches.host.trim_matches(['[', ']']);
    let mut hosts = Vec::new();
    match bare.parse() {
        Ok(IpAddr::V6(host)) if !host.is_unspecified() => hosts.push(format!("[{host}]")),
        Ok(host) if host.is_unspecified() => {
            hosts.push("localhost".to_owned());
            hosts.extend(network_address().map(|address| address.to_string()));
        }
        _ => hosts.push(bare.to_owned()),
    }
    let local = hosts.iter().map(|host| format!("http://{host}:{port}"));
    let tls_port = sink.property::<u32>("current-tls-port");
    let secure = hosts
        .iter()
        .filter(|_| tls_port != 0)
        .map(|host| format!("https://{host}:{tls_port}"));
    let public = switches.public_url.as_deref();
    local
        .chain(secure)
        .chain(public.map(|url| url.trim_end_matches('/').to_owned()))
        .collect()
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
