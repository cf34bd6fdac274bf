//! What the user set: the properties, their documentation, their defaults.
//!
//! Belongs here: one struct and its ParamSpecs. Does not: what is true while running (`life`).

use std::time::Duration;

use gst::{glib, prelude::*};

use crate::delivery::{
    access::AccessToken, carry::CarriedNames, cors::Cors, hosts::AllowedHosts,
    playlist::PlaylistStyle,
};
use crate::{http::Engine, time::Nanos, watch::Manner};

pub(super) const DEFAULT_HOST: &str = "0.0.0.0";
/// Where tiny_http listens by default.
#[cfg(feature = "tiny-http")]
const LOOPBACK: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_PLAYLIST_NAME: &str = "live.m3u8";
const DEFAULT_SEGMENT_DURATION: u32 = 1000;
const DEFAULT_PART_DURATION: u32 = 200;
const DEFAULT_PART_HOLD_BACK: f64 = PlaylistStyle::USUAL.part_hold_back;
const DEFAULT_START_OFFSET: f64 = PlaylistStyle::USUAL.start_offset;
const DEFAULT_PLAYLIST_LENGTH: u32 = 6;
const DEFAULT_MAX_FILES: u32 = 20;
/// Milliseconds.
const DEFAULT_TRACK_TIMEOUT: u32 = 3000;
/// As many target durations from the end the playlist lists parts (rule PL-36).
const LISTED_TARGET_DURATIONS: u32 = 3;
/// Milliseconds.
const DEFAULT_POLL_INTERVAL: u32 = 100;
const DEFAULT_CORS_ORIGIN: &str = "*";

/// What carries plain HTTP.
#[cfg(feature = "tiny-http")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLlHlsSinkHttpEngine")]
pub(super) enum HttpEngine {
    /// What the element is made for.
    #[default]
    #[enum_value(name = "Hyper: for any network", nick = "hyper")]
    Hyper,
    /// For networks that are trusted.
    #[enum_value(name = "TinyHttp: for trusted networks only", nick = "tiny-http")]
    TinyHttp,
}

/// Where players get media from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLlHlsSinkMode")]
pub(super) enum Mode {
    /// From the frames at the pads, part by part, in memory.
    #[default]
    #[enum_value(
        name = "BufferFlow: parts are cut from the frames at the pads",
        nick = "buffer-flow"
    )]
    BufferFlow,
    /// From files, as inotify reports them finished.
    #[enum_value(
        name = "Inotify: segments are files in location, published as inotify reports them closed",
        nick = "inotify"
    )]
    Inotify,
    /// From files, found by looking.
    #[enum_value(
        name = "Poll: segments are files in location, found by looking every poll-interval",
        nick = "poll"
    )]
    Poll,
}

/// What a run after READY, or NULL, makes of what the one before left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstLlHlsSinkOnRestart")]
pub(super) enum OnRestart {
    /// The old presentation ends, and another begins at the same URL.
    #[default]
    #[enum_value(
        name = "NewPresentation: the old one ends, another begins at the same URL",
        nick = "new-presentation"
    )]
    NewPresentation,
    /// The presentation goes on behind a discontinuity.
    #[enum_value(
        name = "Continue: the playlist goes on behind EXT-X-DISCONTINUITY",
        nick = "continue"
    )]
    Continue,
}

/// The writable properties.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) location: Option<String>,
    /// Milliseconds.
    poll_interval: u32,
    /// `None`: nobody said.
    host: Option<String>,
    #[cfg(feature = "tiny-http")]
    http_engine: HttpEngine,
    pub(super) port: u16,
    /// 0: no HTTPS; -1: a free port.
    tls_port: i32,
    pub(super) tls_certificate: Option<String>,
    pub(super) tls_private_key: Option<String>,
    pub(super) playlist_name: String,
    /// Milliseconds.
    segment_duration: u32,
    /// Milliseconds.
    part_duration: u32,
    pub(super) part_hold_back: f64,
    pub(super) start_offset: f64,
    pub(super) playlist_length: u32,
    pub(super) max_files: u32,
    pub(super) send_keyframe_requests: bool,
    pub(super) sync: bool,
    /// Milliseconds.
    track_timeout: u32,
    pub(super) public_url: Option<String>,
    pub(super) cors_origin: String,
    pub(super) allowed_hosts: String,
    pub(super) access_token: Option<AccessToken>,
    pub(super) carry_query: String,
    /// 0: as many as the descriptor limit allows.
    pub(super) max_connections: u32,
    /// 0: half of them, and no limit on loopback.
    pub(super) max_connections_per_address: u32,
    /// 0: eight for each connection there may be.
    pub(super) max_parked: u32,
    pub(super) post_part_messages: bool,
    pub(super) on_restart: OnRestart,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::BufferFlow,
            location: None,
            poll_interval: DEFAULT_POLL_INTERVAL,
            host: None,
            #[cfg(feature = "tiny-http")]
            http_engine: HttpEngine::default(),
            port: DEFAULT_PORT,
            tls_port: 0,
            tls_certificate: None,
            tls_private_key: None,
            playlist_name: DEFAULT_PLAYLIST_NAME.to_owned(),
            segment_duration: DEFAULT_SEGMENT_DURATION,
            part_duration: DEFAULT_PART_DURATION,
            part_hold_back: DEFAULT_PART_HOLD_BACK,
            start_offset: DEFAULT_START_OFFSET,
            playlist_length: DEFAULT_PLAYLIST_LENGTH,
            max_files: DEFAULT_MAX_FILES,
            send_keyframe_requests: true,
            sync: false,
            track_timeout: DEFAULT_TRACK_TIMEOUT,
            public_url: None,
            cors_origin: DEFAULT_CORS_ORIGIN.to_owned(),
            allowed_hosts: String::new(),
            access_token: None,
            carry_query: String::new(),
            max_connections: 0,
            max_connections_per_address: 0,
            max_parked: 0,
            post_part_messages: false,
            on_restart: OnRestart::default(),
        }
    }
}

impl Settings {
    /// Where to listen. tiny_http is for this host alone unless somebody says otherwise.
    pub(super) fn host(&self) -> &str {
        match (&self.host, self.engine()) {
            (Some(host), _) => host,
            (None, Engine::Hyper) => DEFAULT_HOST,
            #[cfg(feature = "tiny-http")]
            (None, Engine::TinyHttp) => LOOPBACK,
        }
    }

    /// What carries plain HTTP.
    pub(super) fn engine(&self) -> Engine {
        #[cfg(feature = "tiny-http")]
        if self.http_engine == HttpEngine::TinyHttp {
            return Engine::TinyHttp;
        }
        Engine::Hyper
    }

    /// The port to ask for to serve HTTPS; 0 for a free one, `None` when it is off.
    pub(super) fn tls_listen_port(&self) -> Option<u16> {
        match self.tls_port {
            0 => None,
            port => Some(u16::try_from(port).unwrap_or(0)),
        }
    }

    pub(super) fn segment_duration(&self) -> Nanos {
        Nanos::from_millis(i64::from(self.segment_duration))
    }

    pub(super) fn part_duration(&self) -> Nanos {
        Nanos::from_millis(i64::from(self.part_duration))
    }

    pub(super) fn track_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.track_timeout))
    }

    /// What a run makes of what the one before left. Files another program writes are another presentation each time:
    /// nothing says how they follow those of the last run.
    pub(super) fn on_restart(&self) -> OnRestart {
        match self.mode {
            Mode::BufferFlow => self.on_restart,
            Mode::Inotify | Mode::Poll => OnRestart::NewPresentation,
        }
    }

    pub(super) fn poll_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.poll_interval))
    }

    /// How files are noticed; `None` when they are not where media comes from.
    pub(super) fn manner(&self) -> Option<Manner> {
        match self.mode {
            Mode::BufferFlow => None,
            Mode::Inotify => Some(Manner::Inotify),
            Mode::Poll => Some(Manner::Poll),
        }
    }

    /// Whether playlists made with these settings go on with those made with the others: same URLs, same constants.
    pub(super) fn presents_like(&self, other: &Self) -> bool {
        self.mode == other.mode
            && self.playlist_name == other.playlist_name
            && self.public_url == other.public_url
            && self.segment_duration == other.segment_duration
            && self.part_duration == other.part_duration
            && self.part_hold_back == other.part_hold_back
            && self.start_offset == other.start_offset
            && self.playlist_length == other.playlist_length
            && self.max_files == other.max_files
    }

    /// What of the settings makes no sense, in a sentence for the user.
    pub(super) fn mistake(&self) -> Option<String> {
        let name = &self.playlist_name;
        let is_plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_plain || name.starts_with('.') || !name.ends_with(".m3u8") {
            return Some(format!(
                "playlist-name '{name}' has to be a plain file name that ends in .m3u8 (letters, digits, '-', '_', '.')"
            ));
        }
        if self.mode != Mode::BufferFlow && self.location.is_none() {
            return Some(
                "mode=inotify and mode=poll take media from files: location has to name their folder"
                    .to_owned(),
            );
        }
        if let Some(base) = &self.public_url {
            let host = base
                .strip_prefix("http://")
                .or_else(|| base.strip_prefix("https://"));
            let is_http = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
            let is_clean = base
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\?#".contains(&byte));
            if !is_http || !is_clean {
                return Some(format!(
                    "public-url '{base}' has to be an absolute http or https URL without query, fragment, quotes or blanks"
                ));
            }
        }
        if self.engine() != Engine::Hyper && self.tls_port != 0 {
            return Some(
                "http-engine=tiny-http has no HTTPS: set tls-port=0, or http-engine=hyper"
                    .to_owned(),
            );
        }
        if self.tls_private_key.is_some() && self.tls_certificate.is_none() {
            return Some(
                "tls-private-key is set without tls-certificate, the file with its certificate"
                    .to_owned(),
            );
        }
        let mistakes = [
            Cors::new(&self.cors_origin).err(),
            AllowedHosts::new(&self.allowed_hosts).err(),
            CarriedNames::new(&self.carry_query).err(),
        ];
        if let Some(mistake) = mistakes.into_iter().flatten().next() {
            return Some(mistake);
        }
        if let Some(mistake) = self.access_token.as_ref().and_then(AccessToken::mistake) {
            return Some(mistake.to_owned());
        }
        if self.part_duration > self.segment_duration {
            return Some(format!(
                "part-duration {} ms is longer than segment-duration {} ms",
                self.part_duration, self.segment_duration
            ));
        }
        let hold_back = self.part_hold_back * f64::from(self.part_duration);
        // Half a second rounds up, and 1 is the least.
        let target_duration = ((self.segment_duration + 500) / 1000).max(1);
        let listed = target_duration * LISTED_TARGET_DURATIONS * 1000;
        if hold_back > f64::from(listed) {
            return Some(format!(
                "part-hold-back {} with part-duration {} ms keeps players {hold_back} ms behind, but the playlist has parts for {listed} ms only",
                self.part_hold_back, self.part_duration
            ));
        }
        if self.max_files < self.playlist_length {
            return Some(format!(
                "max-files {} is less than playlist-length {}: what the playlist lists has to be kept",
                self.max_files, self.playlist_length
            ));
        }
        None
    }

    /// The value of a writable property; `None` when it is none of them.
    pub(super) fn value(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "mode" => self.mode.to_value(),
            "location" => self.location.to_value(),
            "poll-interval" => self.poll_interval.to_value(),
            "host" => self.host.as_deref().unwrap_or(DEFAULT_HOST).to_value(),
            #[cfg(feature = "tiny-http")]
            "http-engine" => self.http_engine.to_value(),
            "port" => u32::from(self.port).to_value(),
            "tls-port" => self.tls_port.to_value(),
            "tls-certificate" => self.tls_certificate.to_value(),
            "tls-private-key" => self.tls_private_key.to_value(),
            "playlist-name" => self.playlist_name.to_value(),
            "segment-duration" => self.segment_duration.to_value(),
            "part-duration" => self.part_duration.to_value(),
            "part-hold-back" => self.part_hold_back.to_value(),
            "start-offset" => self.start_offset.to_value(),
            "playlist-length" => self.playlist_length.to_value(),
            "max-files" => self.max_files.to_value(),
            "send-keyframe-requests" => self.send_keyframe_requests.to_value(),
            "sync" => self.sync.to_value(),
            "track-timeout" => self.track_timeout.to_value(),
            "public-url" => self.public_url.to_value(),
            "cors-origin" => self.cors_origin.to_value(),
            "allowed-hosts" => self.allowed_hosts.to_value(),
            "carry-query" => self.carry_query.to_value(),
            "max-connections" => self.max_connections.to_value(),
            "max-connections-per-address" => self.max_connections_per_address.to_value(),
            "max-parked" => self.max_parked.to_value(),
            "post-part-messages" => self.post_part_messages.to_value(),
            "on-restart" => self.on_restart.to_value(),
            _ => return None,
        })
    }

    /// Sets a property. GObject has checked type and range against the ParamSpec before this is called.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        let text = || value.get::<Option<String>>().expect(CHECKED);
        let number = || value.get::<u32>().expect(CHECKED);
        let claim = || value.get::<bool>().expect(CHECKED);
        match name {
            "mode" => self.mode = value.get().expect(CHECKED),
            "location" => self.location = text().filter(|folder| !folder.is_empty()),
            "poll-interval" => self.poll_interval = number(),
            "host" => self.host = text(),
            #[cfg(feature = "tiny-http")]
            "http-engine" => self.http_engine = value.get().expect(CHECKED),
            "port" => self.port = u16::try_from(number()).expect(CHECKED),
            "tls-port" => self.tls_port = value.get().expect(CHECKED),
            "tls-certificate" => self.tls_certificate = text().filter(|path| !path.is_empty()),
            "tls-private-key" => self.tls_private_key = text().filter(|path| !path.is_empty()),
            "playlist-name" => {
                self.playlist_name = text().unwrap_or_else(|| DEFAULT_PLAYLIST_NAME.to_owned());
            }
            "segment-duration" => self.segment_duration = number(),
            "part-duration" => self.part_duration = number(),
            "part-hold-back" => self.part_hold_back = value.get().expect(CHECKED),
            "start-offset" => self.start_offset = value.get().expect(CHECKED),
            "playlist-length" => self.playlist_length = number(),
            "max-files" => self.max_files = number(),
            "send-keyframe-requests" => self.send_keyframe_requests = claim(),
            "sync" => self.sync = claim(),
            "track-timeout" => self.track_timeout = number(),
            "public-url" => self.public_url = text().filter(|base| !base.is_empty()),
            "cors-origin" => self.cors_origin = text().unwrap_or_default(),
            "allowed-hosts" => self.allowed_hosts = text().unwrap_or_default(),
            "access-token" => {
                self.access_token = text()
                    .filter(|token| !token.is_empty())
                    .map(AccessToken::new);
            }
            "carry-query" => self.carry_query = text().unwrap_or_default(),
            "max-connections" => self.max_connections = number(),
            "max-connections-per-address" => self.max_connections_per_address = number(),
            "max-parked" => self.max_parked = number(),
            "post-part-messages" => self.post_part_messages = claim(),
            "on-restart" => self.on_restart = value.get().expect(CHECKED),
            _ => {}
        }
    }
}

/// Whether a `host` means every address of this host.
pub(super) fn is_any_address(host: &str) -> bool {
    [DEFAULT_HOST, "", "::", "[::]"].contains(&host)
}

const CHECKED: &str = "GObject checks type and range against the ParamSpec";

/// Every property of the element, for `gst-inspect-1.0`.
pub(super) fn properties() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("host")
            .nick("Host")
            .blurb("Address or name the HTTP server listens on; 0.0.0.0 and :: mean every address of this host; read when leaving NULL")
            .default_value(DEFAULT_HOST)
            .build(),
        #[cfg(feature = "tiny-http")]
        glib::ParamSpecEnum::builder_with_default("http-engine", HttpEngine::default())
            .nick("HTTP engine")
            .blurb("What carries plain HTTP; tiny-http knows neither time-outs nor limits nor HTTPS, is for trusted networks only, and listens on 127.0.0.1 unless host is set; read when leaving NULL")
            .build(),
        glib::ParamSpecUInt::builder("port")
            .nick("Port")
            .blurb("TCP port of plain HTTP; 0 picks a free one, see current-port; read when leaving NULL")
            .maximum(u32::from(u16::MAX))
            .default_value(u32::from(DEFAULT_PORT))
            .build(),
        glib::ParamSpecUInt::builder("current-port")
            .nick("Current port")
            .blurb("TCP port in use; 0 in NULL")
            .maximum(u32::from(u16::MAX))
            .read_only()
            .build(),
        glib::ParamSpecString::builder("uri")
            .nick("URI")
            .blurb("URL of the playlist: under public-url if set, else on this host and current-port; none in NULL")
            .read_only()
            .build(),
        glib::ParamSpecInt::builder("tls-port")
            .nick("TLS port")
            .blurb("TCP port of HTTPS with HTTP/2; 0 for none, -1 picks a free one, see current-tls-port; read when leaving NULL")
            .minimum(-1)
            .maximum(i32::from(u16::MAX))
            .default_value(0)
            .build(),
        glib::ParamSpecString::builder("tls-certificate")
            .nick("TLS certificate")
            .blurb("PEM file with the certificate for HTTPS and those that lead to its root, read again when it changes; unset: a self-signed one is made; read when leaving NULL")
            .build(),
        glib::ParamSpecString::builder("tls-private-key")
            .nick("TLS private key")
            .blurb("PEM file with the private key of tls-certificate, without passphrase; unset: it is in the file of tls-certificate; read when leaving NULL")
            .build(),
        glib::ParamSpecUInt::builder("current-tls-port")
            .nick("Current TLS port")
            .blurb("TCP port in use for HTTPS; 0 in NULL and without HTTPS")
            .maximum(u32::from(u16::MAX))
            .read_only()
            .build(),
        glib::ParamSpecString::builder("tls-uri")
            .nick("TLS URI")
            .blurb("URL of the playlist over HTTPS on this host and current-tls-port; none in NULL and without HTTPS")
            .read_only()
            .build(),
        glib::ParamSpecString::builder("tls-fingerprint")
            .nick("TLS fingerprint")
            .blurb("SHA-256 of the certificate in use, as browsers show it; notified when the files were renewed; none in NULL and without HTTPS")
            .read_only()
            .build(),
        glib::ParamSpecString::builder("playlist-name")
            .nick("Playlist name")
            .blurb("File name of the playlist, the entry URL is /<playlist-name>; letters, digits, '-', '_', '.', ends in .m3u8; read when leaving NULL")
            .default_value(DEFAULT_PLAYLIST_NAME)
            .build(),
        glib::ParamSpecUInt::builder("segment-duration")
            .nick("Segment duration")
            .blurb("Wanted length of a segment in milliseconds; segments start at key frames, so the encoder's may win; read when leaving READY")
            .minimum(100)
            .maximum(60_000)
            .default_value(DEFAULT_SEGMENT_DURATION)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("part-duration")
            .nick("Part duration")
            .blurb("Wanted length of a part in milliseconds; PART-TARGET is the whole number of frames nearest to it; read when leaving READY")
            .minimum(10)
            .maximum(10_000)
            .default_value(DEFAULT_PART_DURATION)
            .mutable_ready()
            .build(),
        glib::ParamSpecDouble::builder("part-hold-back")
            .nick("Part hold back")
            .blurb("PART-HOLD-BACK, how far behind live players shall play, as a multiple of PART-TARGET; read when leaving NULL")
            .minimum(2.0)
            .maximum(20.0)
            .default_value(DEFAULT_PART_HOLD_BACK)
            .build(),
        glib::ParamSpecDouble::builder("start-offset")
            .nick("Start offset")
            .blurb("EXT-X-START, how far before the end of the playlist players shall begin, as a multiple of PART-TARGET; what they take to start is added to it, so less than part-hold-back makes up for that, at the risk of a stall; 0: left to them; read when leaving NULL")
            .minimum(0.0)
            .maximum(100.0)
            .default_value(DEFAULT_START_OFFSET)
            .build(),
        glib::ParamSpecUInt::builder("playlist-length")
            .nick("Playlist length")
            .blurb("Number of complete segments in the playlist; more are shown while fewer would be less than three target durations; read when leaving NULL")
            .minimum(3)
            .maximum(10_000)
            .default_value(DEFAULT_PLAYLIST_LENGTH)
            .build(),
        glib::ParamSpecUInt::builder("max-files")
            .nick("Maximum files")
            .blurb("Number of segments kept in memory and in timestamps.json; at least twice playlist-length are kept, so that nothing named a moment ago is gone; read when leaving NULL")
            .minimum(1)
            .maximum(100_000)
            .default_value(DEFAULT_MAX_FILES)
            .build(),
        glib::ParamSpecEnum::builder_with_default("mode", Mode::BufferFlow)
            .nick("Mode")
            .blurb("Where players get media from: the frames at the pads (buffer-flow), or files in location, noticed by inotify or by looking (poll); with pads the element writes the files itself, without another program does; read when leaving READY")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("location")
            .nick("Location")
            .blurb("Folder of the files of mode inotify and poll; in mode buffer-flow a recording is kept there; unset: none; made if it is not there; read when leaving READY")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("poll-interval")
            .nick("Poll interval")
            .blurb("How often the folder is looked at in mode poll, and where inotify cannot be had, in milliseconds; read when leaving READY")
            .minimum(5)
            .maximum(60_000)
            .default_value(DEFAULT_POLL_INTERVAL)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("send-keyframe-requests")
            .nick("Send keyframe requests")
            .blurb("Ask the encoder for a key frame at each segment boundary (force-key-unit events); read when leaving READY")
            .default_value(true)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("sync")
            .nick("Sync")
            .blurb("Pace the input by the pipeline clock; for timestamped files, not for live sources; read when leaving READY")
            .default_value(false)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("track-timeout")
            .nick("Track timeout")
            .blurb("How long the others wait for a linked track that stays silent, in milliseconds, at the start and later (then a second at least); then they go on without it; read when leaving READY")
            .maximum(600_000)
            .default_value(DEFAULT_TRACK_TIMEOUT)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("public-url")
            .nick("Public URL")
            .blurb("Absolute base put before the URIs in playlists, for an origin behind a proxy; unset: relative URIs; read when leaving NULL")
            .build(),
        glib::ParamSpecString::builder("cors-origin")
            .nick("CORS origin")
            .blurb("Whose pages may read the answers: '*', origins such as https://example.com between commas, or empty for none; read when leaving NULL")
            .default_value(DEFAULT_CORS_ORIGIN)
            .build(),
        glib::ParamSpecString::builder("allowed-hosts")
            .nick("Allowed hosts")
            .blurb("What requests may call this server (Host), against DNS rebinding: names or addresses between commas, with or without a port; empty for anything; read when leaving NULL")
            .default_value("")
            .build(),
        glib::ParamSpecString::builder("access-token")
            .nick("Access token")
            .blurb("What whoever may watch has to show, 8 to 256 letters, digits, '-', '.', '_' or '~': in the path as /t/<token>/, in the query as token=, or as Authorization: Bearer; empty for everybody; cannot be read back; read when leaving NULL")
            .write_only()
            .build(),
        glib::ParamSpecString::builder("carry-query")
            .nick("Carry query")
            .blurb("Query parameters that go on from a playlist to the URIs in it, such as the session token of a CDN: names between commas; read when leaving NULL")
            .default_value("")
            .build(),
        glib::ParamSpecUInt::builder("max-connections")
            .nick("Maximum connections")
            .blurb("Number of connections served at a time; 0: three quarters of the soft descriptor limit; read when leaving NULL")
            .default_value(0)
            .build(),
        glib::ParamSpecUInt::builder("max-connections-per-address")
            .nick("Maximum connections per address")
            .blurb("Number of connections served at a time from one client address (of IPv6, one /64 network); a proxy is one address; 0: half of max-connections, and no limit for this host itself; read when leaving NULL")
            .default_value(0)
            .build(),
        glib::ParamSpecUInt::builder("max-parked")
            .nick("Maximum parked requests")
            .blurb("Number of requests that wait at a time for a part, all clients together; 0: eight for each of max-connections, so that every connection may always have four; read when leaving NULL")
            .default_value(0)
            .build(),
        glib::ParamSpecBoolean::builder("post-part-messages")
            .nick("Post part messages")
            .blurb("Post an llhls-part message for each part; only for applications that read their bus")
            .default_value(false)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("on-restart", OnRestart::default())
            .nick("On restart")
            .blurb("What a run after READY or NULL does: 'new-presentation' ends the old one and begins another, 'continue' goes on with it behind EXT-X-DISCONTINUITY, unless pads, URLs or durations differ or it came to its end; read when leaving READY and PAUSED")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("pdt-source")
            .nick("PDT source")
            .blurb("What PROGRAM-DATE-TIME is taken from: 'reference-timestamp' on the frames (NTP or Unix), 'pipeline-clock', or 'arrival' of the first frame when there is no clock; none before the first part")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Frames, live edge, clients, bytes, refusals and delays (ns) at this moment")
            .read_only()
            .build(),
    ]
}
