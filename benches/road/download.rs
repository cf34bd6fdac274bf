//! Bytes per processor second, against nginx with the same file: how well the server moves what it has.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    Outcome,
    audience::server_cpu,
    client,
    daemon::{Daemon, Folder, free_port},
    machine,
    origin::{Feed, Origin},
    table::Table,
};

const CONNECTIONS: [u32; 2] = [16, 256];
const SECONDS: u32 = 5;
/// Ours to nginx's without sendfile, whose bytes come from memory too.
const PLAIN_BAR: f64 = 0.9;

/// The same over TLS and HTTP/2.
const SECURE_BAR: f64 = 1.2;

/// wrk over plain HTTP.
pub(crate) fn measure(table: &mut Table) -> Outcome<()> {
    let site = Site::new()?;
    for connections in CONNECTIONS {
        let what = format!("500 kB segments, wrk with {connections} connections");
        // Segments go out of the window: each run takes a new one.
        let (path, size) = site.newest_segment()?;
        let ours = site.origin.port;
        let ours = moved(site.origin.process(), || {
            wrk(connections, ours, &path, size)
        })?;
        let (plain, sendfile) = (&site.plain, &site.sendfile);
        let nginx = |daemon: &Daemon, port| {
            moved(daemon.process(), || {
                wrk(connections, port, "/segment.m4s", site.size)
            })
        };
        let plain = nginx(&plain.0, plain.1)?;
        let sendfile = nginx(&sendfile.0, sendfile.1)?;
        table.bar_at_least(
            format!("{what}: bytes per server CPU second, to nginx without sendfile"),
            ours / plain,
            PLAIN_BAR,
            "x",
        );
        table.note(
            format!("{what}: ours, nginx without sendfile, with it"),
            format!(
                "{:.2}, {:.2}, {:.2} GB",
                ours / 1e9,
                plain / 1e9,
                sendfile / 1e9
            ),
        );
    }
    Ok(())
}

/// h2load over HTTPS with HTTP/2.
pub(crate) fn measure_secure(table: &mut Table) -> Outcome<()> {
    let site = Site::new()?;
    for connections in CONNECTIONS {
        let what =
            format!("500 kB segments over TLS and HTTP/2, h2load with {connections} connections");
        let (path, size) = site.newest_segment()?;
        let ours = site.origin.tls_port;
        let ours = moved(site.origin.process(), || {
            h2load(connections, ours, &path, size)
        })?;
        let (daemon, port) = &site.secure;
        let nginx = moved(daemon.process(), || {
            h2load(connections, *port, "/segment.m4s", site.size)
        })?;
        table.bar_at_least(
            format!("{what}: bytes per server CPU second, to nginx"),
            ours / nginx,
            SECURE_BAR,
            "x",
        );
        table.note(
            format!("{what}: ours, nginx"),
            format!("{:.2}, {:.2} GB", ours / 1e9, nginx / 1e9),
        );
    }
    Ok(())
}

/// The element with segments of 500 kB, and nginx with one of them, in three ways.
struct Site {
    origin: Origin,
    plain: (Daemon, u16),
    sendfile: (Daemon, u16),
    secure: (Daemon, u16),
    size: u64,
    /// Goes away after the servers.
    _folder: Folder,
}

impl Site {
    fn new() -> Outcome<Self> {
        let origin = Origin::fed(Feed {
            part_bytes: 100_000,
            part: Duration::from_millis(200),
        })?;
        machine::rest(Duration::from_secs(3));
        let folder = Folder::new("download")?;
        let segment = newest_segment(&origin)?;
        let bytes = client::fetch(origin.port, &segment)?;
        fs::create_dir(folder.path().join("root"))?;
        fs::write(folder.path().join("root/segment.m4s"), &bytes)?;
        make_certificate(&folder)?;
        Ok(Self {
            plain: nginx(&folder, "plain", "", "sendfile off;")?,
            sendfile: nginx(&folder, "sendfile", "", "sendfile on;")?,
            secure: nginx(
                &folder,
                "secure",
                "ssl http2",
                "sendfile off; ssl_protocols TLSv1.3; ssl_certificate site.pem; ssl_certificate_key site.key;",
            )?,
            size: bytes.len() as u64,
            origin,
            _folder: folder,
        })
    }

    fn newest_segment(&self) -> Outcome<(String, u64)> {
        let path = newest_segment(&self.origin)?;
        let size = client::fetch(self.origin.port, &path)?.len() as u64;
        Ok((path, size))
    }
}

fn newest_segment(origin: &Origin) -> Outcome<String> {
    let playlist = String::from_utf8(client::fetch(origin.port, client::PLAYLIST)?)?;
    let segment = playlist
        .lines()
        .rfind(|line| line.ends_with(".m4s"))
        .ok_or("the playlist has no segment")?;
    Ok(format!("/{segment}"))
}

/// One process that serves the folder `root`.
fn nginx(folder: &Folder, name: &str, protocol: &str, settings: &str) -> Outcome<(Daemon, u16)> {
    let port = free_port()?;
    let configuration: PathBuf = folder.path().join(format!("{name}.conf"));
    let root = folder.path().display();
    fs::write(
        &configuration,
        format!(
            "daemon off;\nmaster_process off;\npid {root}/{name}.pid;\nerror_log stderr warn;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off; tcp_nopush on; keepalive_requests 1000000000; {settings}\n\
             server {{ listen 127.0.0.1:{port} {protocol} backlog=4096; root {root}/root; }}\n}}\n"
        ),
    )?;
    let daemon = Daemon::start(
        Command::new("nginx")
            .args(["-e", "stderr", "-c"])
            .arg(&configuration),
        port,
    )?;
    Ok((daemon, port))
}

/// Bytes per second of the server's processor time, while `load` moves what it answers.
fn moved(server: u32, load: impl FnOnce() -> Outcome<u64>) -> Outcome<f64> {
    let before = server_cpu(server)?;
    let bytes = load()?;
    let spent = server_cpu(server)? - before;
    Ok(bytes as f64 * 1e9 / spent as f64)
}

/// Bytes of the bodies wrk was given.
fn wrk(connections: u32, port: u16, path: &str, size: u64) -> Outcome<u64> {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{SECONDS}s")])
        .arg(format!("http://127.0.0.1:{port}{path}"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk had no good run: {text}").into());
    }
    let requests: u64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .ok_or_else(|| format!("wrk printed something else: {text}"))?;
    Ok(requests * size)
}

/// Of the same kind as the element makes for itself.
fn make_certificate(folder: &Folder) -> Outcome<()> {
    let output = Command::new("openssl")
        .current_dir(folder.path())
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args([
            "-subj",
            "/CN=localhost",
            "-keyout",
            "site.key",
            "-out",
            "site.pem",
        ])
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

/// Bytes of the bodies h2load was given.
fn h2load(connections: u32, port: u16, path: &str, size: u64) -> Outcome<u64> {
    let output = Command::new("h2load")
        .args([
            "-t1",
            &format!("-c{connections}"),
            "-m1",
            &format!("-D{SECONDS}"),
        ])
        .arg(format!("https://127.0.0.1:{port}{path}"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let succeeded = text.lines().find_map(|line| {
        let (before, _) = line.strip_prefix("requests: ")?.split_once(" succeeded")?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    });
    match succeeded {
        Some(requests) if output.status.success() && text.contains(", 0 failed, 0 errored") => {
            Ok(requests * size)
        }
        _ => Err(format!("h2load had no good run: {text}").into()),
    }
}
