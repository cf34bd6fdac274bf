//! The program `llhls-streamer`, and what it serves.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use super::{http::Client, playlist::Playlist, program::example};

/// Where it is.
pub static STREAMER: LazyLock<PathBuf> = LazyLock::new(|| example("streamer"));

/// A picture small enough for many streams at a time.
pub const SMALL: [&str; 5] = [
    "--test-src",
    "--http-port=0",
    "--resolution=160x120",
    "--framerate=15",
    "--bitrate=200",
];

/// The program with these switches.
pub fn streamer(switches: &[&str]) -> Command {
    let mut command = Command::new(&*STREAMER);
    command.args(switches);
    command
}

/// The playlist once there are two segments, and its version.
pub fn playlist(client: &mut Client) -> (Playlist, u64) {
    super::wait_for("two segments", || {
        let answer = client.get("/live.m3u8");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let version = answer.header("x-llhls-version").unwrap().parse().unwrap();
        let playlist = Playlist::read(answer.text());
        (playlist.segments.len() >= 2).then_some((playlist, version))
    })
}

/// The number of the newest segment.
pub fn newest(client: &mut Client) -> u64 {
    playlist(client).0.segments.last().unwrap().msn
}
