//! The stream that player tests rehearse on: any mix of tracks, interrupted and resized on command.
//!
//!     cargo run --example rehearsal -- --audio aac --ladder
//!
//! It prints the address of the player page, with `--sink tls-port=-1` that over HTTPS as well, then takes one word a line on
//! standard input: `pause` (nothing comes any more), `blind` (no picture does), `resume`, `resize` (another picture size from
//! now on), `restart` (READY and back). It ends when standard input does.
//!
//! Belongs here: sources that behave as tests want them to. Does not: anything for people, who have the streamer.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests read its output"
)]

use std::{error::Error, io, process::ExitCode, thread};

use clap::{Parser, ValueEnum};
use gst::prelude::*;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Streams test pictures and tones, and misbehaves when told to.
#[derive(Parser)]
struct Args {
    /// The sound, if there shall be any; given again, the same in one language more
    #[arg(long)]
    audio: Vec<Sound>,

    /// Three sizes of the picture
    #[arg(long, conflicts_with = "no_video")]
    ladder: bool,

    /// Sound alone
    #[arg(long, requires = "audio")]
    no_video: bool,

    /// What the sink makes of a restart: its property of that name
    #[arg(long, default_value = "new-presentation")]
    on_restart: String,

    /// The access token whoever watches has to show
    #[arg(long)]
    token: Option<String>,

    /// More properties of the sink, as gst-launch takes them
    #[arg(long, value_name = "PROPERTIES", default_value = "")]
    sink: String,

    /// The TCP port; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sound {
    Aac,
    Opus,
}

/// Width, height and kbit/s, best first: the first one is what a player begins with.
const LADDER: [(u32, u32, u32); 3] = [(640, 360, 900), (426, 240, 400), (256, 144, 150)];

const PICTURE: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 \
                       ! valve name=picture ! videoscale ! capsfilter name=size";
const TONE: &str = "audiotestsrc is-live=true volume=0.2 samplesperbuffer=480 \
                    ! audio/x-raw,rate=48000,channels=2 ! valve name=tone";

/// Of several sounds, in their order.
const LANGUAGES: [&str; 3] = ["en", "de", "fr"];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rehearsal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    if args.audio.len() > LANGUAGES.len() {
        return Err(format!("at most {} sounds", LANGUAGES.len()).into());
    }
    gst::init()?;
    gstllhlssink::plugin_register_static()?;
    let pipeline = gst::parse::launch(&line(args))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "not a pipeline")?;
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    pipeline.set_state(gst::State::Playing)?;
    let sink = pipeline.by_name("sink").ok_or("the sink is gone")?;
    let path = args
        .token
        .as_ref()
        .map_or_else(String::new, |token| format!("t/{token}/"));
    for (scheme, port) in [("http", "current-port"), ("https", "current-tls-port")] {
        let port = sink.property::<u32>(port);
        if port != 0 {
            println!("  player    {scheme}://127.0.0.1:{port}/{path}");
        }
    }

    thread::spawn({
        let pipeline = pipeline.clone();
        move || {
            for command in io::stdin().lines().map_while(Result::ok) {
                obey(&pipeline, command.trim());
            }
            pipeline.send_event(gst::event::Eos::new());
        }
    });
    let mut result = Ok(());
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => {
                result = Err(error.error().into());
                break;
            }
            gst::MessageView::Warning(warning) => eprintln!("rehearsal: {}", warning.error()),
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null)?;
    result
}

fn line(args: &Args) -> String {
    let mut line = format!(
        "llhlssink name=sink host=127.0.0.1 port={} on-restart={} {}",
        args.port, args.on_restart, args.sink
    );
    if let Some(token) = &args.token {
        line += &format!(" access-token={token}");
    }
    if args.ladder {
        line += &format!(" {PICTURE} ! tee name=split");
        for (nth, (width, height, bitrate)) in LADDER.iter().enumerate() {
            line += &format!(
                " split. ! queue ! videoscale ! video/x-raw,width={width},height={height} \
                 ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={bitrate} ! h264parse ! sink.video_{nth}"
            );
        }
    } else if !args.no_video {
        line += &format!(
            " {PICTURE} ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=900 ! h264parse ! sink.video"
        );
    }
    let encoder = |sound: &Sound| match sound {
        Sound::Aac => "audioconvert ! avenc_aac ! aacparse",
        Sound::Opus => "audioconvert ! opusenc ! opusparse",
    };
    match &args.audio[..] {
        [] => {}
        [sound] => line += &format!(" {TONE} ! {} ! sink.audio", encoder(sound)),
        sounds => {
            line += &format!(" {TONE} ! tee name=tones");
            for ((nth, sound), language) in sounds.iter().enumerate().zip(LANGUAGES) {
                line += &format!(
                    " tones. ! queue ! {} ! taginject tags=language-code={language} ! sink.audio_{nth}",
                    encoder(sound)
                );
            }
        }
    }
    line
}

fn obey(pipeline: &gst::Pipeline, command: &str) {
    let drop = |valves: &[&str], is_dropping: bool| {
        for valve in valves {
            if let Some(valve) = pipeline.by_name(valve) {
                valve.set_property("drop", is_dropping);
            }
        }
    };
    match command {
        "pause" => drop(&["picture", "tone"], true),
        "blind" => drop(&["picture"], true),
        "resume" => drop(&["picture", "tone"], false),
        "resize" => {
            if let Some(filter) = pipeline.by_name("size") {
                let caps = gst::Caps::builder("video/x-raw")
                    .field("width", 480)
                    .field("height", 270)
                    .build();
                filter.set_property("caps", caps);
            }
        }
        "restart" => {
            let states = [gst::State::Ready, gst::State::Playing];
            if states
                .map(|state| pipeline.set_state(state))
                .iter()
                .any(Result::is_err)
            {
                eprintln!("rehearsal: the pipeline does not restart");
            }
        }
        other => eprintln!("rehearsal: unknown command: {other}"),
    }
}
