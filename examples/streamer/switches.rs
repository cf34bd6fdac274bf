//! The command line, with the names, meanings and defaults of the script `streamer.py` and a few switches more.
//!
//! Belongs here: reading and checking what was typed. Does not: anything that needs a device or GStreamer running.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};

/// Streams a camera as Low-Latency HLS, with a web server of its own.
#[derive(Debug, Parser)]
// Python's argparse takes `--res` for `--resolution`, so old command lines may say it. `--m` and `--t` were one switch each.
// Of a switch that comes twice it took the last.
#[command(
    name = "llhls-streamer",
    version,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Switches {
    /// The camera
    #[arg(long, value_name = "/dev/videoN", default_value = "/dev/video0")]
    pub(crate) device: PathBuf,

    /// The TCP port of the web server; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) http_port: u16,

    /// The size of the picture
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720")]
    pub(crate) resolution: Resolution,

    /// Pictures a second, a whole number or a fraction such as 30000/1001
    #[arg(long, value_name = "FPS", default_value = "30")]
    pub(crate) framerate: FrameRate,

    /// The bit rate of the picture, in kbit/s
    #[arg(long, value_name = "KBIT/S", default_value_t = 2500,
          value_parser = clap::value_parser!(u32).range(10..=200_000))]
    pub(crate) bitrate: u32,

    /// The length of a segment, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1.0", value_parser = segment_duration)]
    pub(crate) segment_duration: Millis,

    /// The length of a part, in seconds: the shorter, the nearer to live
    #[arg(long, value_name = "SECONDS", default_value = "0.333", value_parser = part_duration)]
    pub(crate) part_duration: Millis,

    /// Complete segments in the playlist
    #[arg(long, value_name = "SEGMENTS", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) playlist_length: u32,

    /// Segments that are kept, and listed in /timestamps.json
    #[arg(long, alias = "m", value_name = "SEGMENTS", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_files: u32,

    /// A moving test picture with a clock instead of a camera
    #[arg(long, alias = "t")]
    pub(crate) test_src: bool,

    /// The URL that viewers use, when it is another one: put before every URI in the playlists
    #[arg(long, value_name = "http://ip:8080")]
    pub(crate) public_url: Option<String>,

    /// Sound as well: the microphone, or beside the test picture a tone
    #[arg(long, value_name = "SOURCE", num_args = 0..=1, default_missing_value = "auto", conflicts_with = "clip")]
    pub(crate) audio: Option<Sound>,

    /// A video file in a loop instead of a camera, as it is when it is H.264, else encoded anew; with its sound when that is AAC
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "test_src"])]
    pub(crate) clip: Option<PathBuf>,

    /// How media gets to the web server
    #[arg(long, value_name = "MODE", default_value = "buffer-flow")]
    pub(crate) mode: Mode,

    /// The folder of the files of --mode inotify and poll; with buffer-flow a recording is kept there
    #[arg(long, value_name = "FOLDER", required_if_eq_any = [("mode", "inotify"), ("mode", "poll")])]
    pub(crate) location: Option<PathBuf>,

    /// The certificate for HTTPS with HTTP/2, a PEM file; with --tls-port alone a self-signed one is made
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate, a PEM file, when it is not in the same file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// The TCP port of HTTPS; -1 picks a free one, 0 is none [default: 8443 with --tls-cert, else none]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1..=65_535))]
    pub(crate) tls_port: Option<i32>,

    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub(crate) host: String,

    /// Open the player page in a browser
    #[arg(long)]
    pub(crate) open: bool,
}

impl Switches {
    /// What was typed, made fit, and what had to be. Ends the program with a message when it makes no sense.
    pub(crate) fn read() -> (Self, Vec<String>) {
        Self::parse().made_fit()
    }

    /// What the script took and a playlist of parts does not is brought as near as may be, so that old command lines go on
    /// working: it had one part a segment, and playlists of any length.
    fn made_fit(mut self) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        if self.part_duration > self.segment_duration {
            self.part_duration = self.segment_duration;
            notes.push(format!(
                "Parts are no longer than segments: --part-duration {} it is",
                self.part_duration
            ));
        }
        let length = self
            .playlist_length
            .min(self.max_files)
            .max(SHORTEST_PLAYLIST);
        if length != self.playlist_length {
            self.playlist_length = length;
            notes.push(format!(
                "Of {} files and {SHORTEST_PLAYLIST} segments at least: --playlist-length {length} it is",
                self.max_files
            ));
        }
        self.max_files = self.max_files.max(length);
        (self, notes)
    }

    /// As the sink wants it: 0 is none.
    pub(crate) fn tls_port(&self) -> i32 {
        let usual = if self.tls_cert.is_some() { 8443 } else { 0 };
        self.tls_port.unwrap_or(usual)
    }

    /// The picture as it was asked for.
    pub(crate) fn picture(&self) -> Picture {
        Picture {
            size: self.resolution,
            rate: self.framerate,
        }
    }
}

/// Three target durations have to be listed (RFC 8216bis 6.2.2).
const SHORTEST_PLAYLIST: u32 = 3;

/// Where sound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sound {
    /// The microphone beside a camera, a tone beside the test picture
    Auto,
    /// The microphone the system records from
    Microphone,
    /// A soft test tone
    Tone,
}

/// How media gets from the encoder to the web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Straight away, in memory
    BufferFlow,
    /// By files, as the script did: a segment counts once inotify reports its file closed
    Inotify,
    /// By files, looked for again and again
    Poll,
}

impl Mode {
    /// As the sink spells it.
    pub(crate) fn nick(self) -> &'static str {
        match self {
            Self::BufferFlow => "buffer-flow",
            Self::Inotify => "inotify",
            Self::Poll => "poll",
        }
    }
}

/// Size and rate of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) size: Resolution,
    pub(crate) rate: FrameRate,
}

/// In pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) width: i32,
    pub(crate) height: i32,
}

impl Resolution {
    pub(crate) fn pixels(self) -> i64 {
        i64::from(self.width) * i64::from(self.height)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Resolution {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (width, height) = text
            .split_once(['x', 'X'])
            .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
            .ok_or("it takes two whole numbers with an x between them, such as 1280x720")?;
        if !(16..=8192).contains(&width) || !(16..=8192).contains(&height) {
            return Err("width and height have to be between 16 and 8192");
        }
        // One sample of colour covers two by two pixels.
        if width % 2 == 1 || height % 2 == 1 {
            return Err("width and height have to be even numbers");
        }
        Ok(Self { width, height })
    }
}

/// Pictures a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRate(pub(crate) gst::Fraction);

impl FrameRate {
    pub(crate) fn per_second(self) -> f64 {
        f64::from(self.0.numer()) / f64::from(self.0.denom())
    }

    /// The same to the viewer: 30 and 30000/1001 are.
    pub(crate) fn is_like(self, other: Self) -> bool {
        (self.per_second() / other.per_second() - 1.0).abs() < 0.01
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.per_second() * 100.0).round() / 100.0;
        write!(f, "{hundredths}")
    }
}

impl FromStr for FrameRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let rate = numerator
            .parse::<i32>()
            .ok()
            .zip(denominator.parse::<i32>().ok())
            .filter(|(numerator, denominator)| *numerator > 0 && *denominator > 0)
            .map(|(numerator, denominator)| Self(gst::Fraction::new(numerator, denominator)))
            .ok_or("it takes a whole number or a fraction, such as 30 or 30000/1001")?;
        if !(1.0..=240.0).contains(&rate.per_second()) {
            return Err("it has to be between 1 and 240");
        }
        Ok(rate)
    }
}

/// A length of time, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u32);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

fn segment_duration(text: &str) -> Result<Millis, String> {
    seconds(text, 100, 60_000)
}

fn part_duration(text: &str) -> Result<Millis, String> {
    seconds(text, 10, 10_000)
}

/// Seconds with a decimal point as milliseconds between `least` and `most`.
fn seconds(text: &str, least: u32, most: u32) -> Result<Millis, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "it takes seconds, such as 0.5".to_owned())?;
    let millis = (seconds * 1000.0).round();
    if !(f64::from(least)..=f64::from(most)).contains(&millis) {
        return Err(format!(
            "it has to be between {} and {} seconds",
            Millis(least),
            Millis(most)
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the bounds"
    )]
    Ok(Millis(millis as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Switches, String> {
        let words = std::iter::once("streamer").chain(line.split_whitespace());
        let switches = Switches::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(switches.made_fit().0)
    }

    #[test]
    fn the_script_said_the_same_by_default() {
        let switches = read("").unwrap();
        assert_eq!(switches.device, PathBuf::from("/dev/video0"));
        assert_eq!(switches.http_port, 8080);
        assert_eq!(switches.resolution.to_string(), "1280x720");
        assert_eq!(switches.framerate.0, gst::Fraction::new(30, 1));
        assert_eq!(switches.bitrate, 2500);
        assert_eq!(switches.segment_duration, Millis(1000));
        assert_eq!(switches.part_duration, Millis(333));
        assert_eq!(switches.playlist_length, 6);
        assert_eq!(switches.max_files, 20);
        assert!(!switches.test_src);
        assert_eq!(switches.public_url, None);
        assert_eq!(switches.audio, None);
    }

    #[test]
    fn every_switch_of_the_script_is_taken() {
        let switches = read(
            "--device /dev/video2 --http-port 9000 --resolution 640x480 --framerate 25 --bitrate 1200 \
             --segment-duration 2.0 --part-duration 0.5 --playlist-length 8 --max-files 30 --test-src \
             --public-url http://192.168.1.5:9000",
        )
        .unwrap();
        assert_eq!(switches.device, PathBuf::from("/dev/video2"));
        assert_eq!(switches.http_port, 9000);
        assert_eq!(switches.resolution.to_string(), "640x480");
        assert_eq!(switches.framerate.to_string(), "25");
        assert_eq!(switches.bitrate, 1200);
        assert_eq!(switches.segment_duration, Millis(2000));
        assert_eq!(switches.part_duration, Millis(500));
        assert_eq!(switches.playlist_length, 8);
        assert_eq!(switches.max_files, 30);
        assert!(switches.test_src);
        assert_eq!(
            switches.public_url.as_deref(),
            Some("http://192.168.1.5:9000")
        );
    }

    #[test]
    fn what_the_script_took_is_made_fit() {
        for (line, expected, notes) in [
            ("", (333, 6, 20), 0),
            ("--segment-duration 0.25", (250, 6, 20), 1),
            ("--segment-duration 1 --part-duration 1.5", (1000, 6, 20), 1),
            ("--max-files 5", (333, 5, 5), 1),
            ("--max-files 1", (333, 3, 3), 1),
            ("--playlist-length 2", (333, 3, 20), 1),
            ("--playlist-length 2 --max-files 2", (333, 3, 3), 1),
        ] {
            let words = std::iter::once("streamer").chain(line.split_whitespace());
            let (switches, said) = Switches::try_parse_from(words).unwrap().made_fit();
            let found = (
                switches.part_duration.0,
                switches.playlist_length,
                switches.max_files,
            );
            assert_eq!((found, said.len()), (expected, notes), "{line}: {said:?}");
        }
    }

    #[test]
    fn argparse_was_lenient_and_so_are_we() {
        let switches = read("--m 30 --t").unwrap();
        assert_eq!(switches.max_files, 30);
        assert!(switches.test_src);
        let switches = read("--bitrate 2500 --test-src --bitrate 1000 --test-src").unwrap();
        assert_eq!(switches.bitrate, 1000);
        assert!(switches.test_src);
        let switches = read("--res=320x240 --frame 15 --http 0 --test").unwrap();
        assert_eq!(switches.resolution.to_string(), "320x240");
        assert_eq!(switches.framerate.to_string(), "15");
        assert_eq!(switches.http_port, 0);
        assert!(switches.test_src);
    }

    #[test]
    fn sound_needs_no_value_and_takes_one() {
        assert_eq!(read("--audio").unwrap().audio, Some(Sound::Auto));
        assert_eq!(read("--audio tone").unwrap().audio, Some(Sound::Tone));
        let switches = read("--audio --test-src").unwrap();
        assert_eq!(switches.audio, Some(Sound::Auto));
        assert!(switches.test_src);
    }

    #[test]
    fn a_certificate_is_enough_for_https() {
        assert_eq!(read("").unwrap().tls_port(), 0);
        assert_eq!(
            read("--tls-cert a.pem --tls-key b.pem").unwrap().tls_port(),
            8443
        );
        assert_eq!(
            read("--tls-cert a.pem --tls-port -1").unwrap().tls_port(),
            -1
        );
        assert_eq!(read("--tls-port 443").unwrap().tls_port(), 443);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, expected) in [
            ("--resolution 1280", "such as 1280x720"),
            ("--resolution 0x0", "between 16 and 8192"),
            ("--resolution 641x480", "even numbers"),
            ("--framerate 0", "such as 30 or 30000/1001"),
            ("--framerate 1000", "between 1 and 240"),
            ("--bitrate 0", "10..=200000"),
            ("--bitrate fast", "invalid digit"),
            ("--segment-duration nan", "between 0.1 and 60 seconds"),
            ("--segment-duration 1,5", "takes seconds"),
            ("--part-duration 0", "between 0.01 and 10 seconds"),
            ("--playlist-length 0", "1..=10000"),
            ("--http-port 70000", "0..=65535"),
            ("--audio guitar", "possible values"),
            ("--tls-port 70000", "-1..=65535"),
            ("--tls-key a.pem", "--tls-cert"),
            ("--mode inotify", "--location"),
            ("--mode files", "possible values"),
            ("--clip a.mp4 --test-src", "cannot be used with"),
            ("--volume 3", "unexpected argument '--volume'"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn rates_that_look_alike() {
        let rate = |text: &str| text.parse::<FrameRate>().unwrap();
        assert!(rate("30").is_like(rate("30000/1001")));
        assert!(!rate("30").is_like(rate("25")));
        assert_eq!(rate("30000/1001").to_string(), "29.97");
    }
}
