//! An audience for a Low-Latency HLS origin, or for a cache before it.
//!
//!     cargo run --release --example audience -- http://127.0.0.1:8080/live.m3u8 --viewers 200
//!
//! Belongs here: what is asked for on the command line. Does not: viewers (`crowd`), which benches and tests use too.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is what this program is for"
)]

mod crowd;

use std::{error::Error, net::ToSocketAddrs, process::ExitCode, time::Duration};

use clap::Parser;

use crowd::{Crowd, Place, Takes};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Watches a low-latency playlist with many viewers, and says what they got and how late.
#[derive(Parser)]
struct Args {
    /// The media playlist, such as http://127.0.0.1:8080/live.m3u8
    playlist: String,

    /// How many watch
    #[arg(long, default_value_t = 50)]
    viewers: usize,

    /// How long they watch, once all are there
    #[arg(long, default_value_t = 10)]
    seconds: u64,

    /// Ask for hinted parts, each viewer on a second connection
    #[arg(long, conflicts_with = "reloads")]
    hints: bool,

    /// Ask for the playlist only
    #[arg(long)]
    reloads: bool,

    /// Where the origin listens if `playlist` is at a cache, such as 127.0.0.1:8080: tells how late the cache is
    #[arg(long)]
    origin: Option<String>,

    /// Process of the server on this machine: tells its processor time a request
    #[arg(long)]
    server: Option<u32>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("audience: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every viewer got everything.
fn run(args: &Args) -> Outcome<bool> {
    let rest = args
        .playlist
        .strip_prefix("http://")
        .ok_or("the playlist is no http:// URL")?;
    let (host, path) = rest.split_once('/').ok_or("the URL has no path")?;
    let report = Crowd {
        viewers: args.viewers,
        place: Place {
            address: resolve(host)?,
        },
        entry: format!("/{path}"),
        takes: match (args.reloads, args.hints) {
            (true, _) => Takes::Reloads,
            (_, true) => Takes::HintedParts,
            _ => Takes::Parts,
        },
        span: Duration::from_secs(args.seconds),
        origin: args.origin.as_deref().map(resolve).transpose()?,
        server: args.server,
    }
    .watch()?;
    print!("{report}");
    Ok(report.faults.is_empty())
}

fn resolve(host: &str) -> Outcome<std::net::SocketAddr> {
    let with_port = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut addresses = with_port.to_socket_addrs()?;
    Ok(addresses.next().ok_or("the host has no address")?)
}
