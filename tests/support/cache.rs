//! A cache before the origin, as `examples/cdn/run.sh` starts it.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// Ports `run.sh` listens on, plain and TLS. Everything ends when this is dropped.
#[derive(Debug)]
pub struct Cache {
    pub port: u16,
    pub tls_port: u16,
    script: Child,
}

impl Cache {
    /// Varnish and hitch before an origin on this machine.
    pub fn before(origin: u16) -> Self {
        Self::of("varnish", origin)
    }

    /// What `--cache` names, before an origin on this machine.
    pub fn of(kind: &str, origin: u16) -> Self {
        // Somebody may take a port before the cache does.
        (0..3)
            .find_map(|_| Self::on_free_ports(kind, origin))
            .expect("the cache runs; ./setup.sh --tests installs what it needs")
    }

    fn on_free_ports(kind: &str, origin: u16) -> Option<Self> {
        let (port, tls_port) = (free_port(), free_port());
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cdn/run.sh"))
            .args(["--cache", kind])
            .args(["--origin", &format!("127.0.0.1:{origin}")])
            .args(["--port", &port.to_string()])
            .args(["--tls-port", &tls_port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(script.stdout.take().unwrap());
        let is_ready = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("ready"));
        let cache = Self {
            port,
            tls_port,
            script,
        };
        is_ready.then_some(cache)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // The end of its input is how it is told.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Nobody has it now.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
