//! Where the element listens: the ports, what HTTPS takes, the URLs that lead there.
//!
//! Belongs here: settings become sockets and a certificate. Does not: who is served on them (`http/`).

use std::{fmt, net::TcpListener, path::PathBuf, sync::Arc};

use gst::glib;

use super::settings::{self, Settings};
use crate::http::{
    BindError, CertificateError, CertificateFiles, Listeners, PlainSocket, Report, Tls, bind,
};

/// Names of this host that a certificate of our own making is for, whatever else it is called.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What is open from READY on.
#[derive(Debug)]
pub(super) struct Listening {
    listeners: Listeners,
    port: u16,
    /// `None` without HTTPS.
    tls_port: Option<u16>,
}

/// Why the element cannot listen.
#[derive(Debug)]
pub(super) enum ListenError {
    /// A port cannot be had.
    Bind(BindError),
    /// There is no certificate to serve HTTPS with.
    Certificate(CertificateError),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Certificate(error) => write!(f, "cannot serve HTTPS: {error}"),
        }
    }
}

impl Listening {
    /// Takes the ports. `report` hears about the certificate as long as they are open.
    pub(super) fn open(
        settings: &Settings,
        report: Box<dyn Fn(Report) + Send>,
    ) -> Result<Self, ListenError> {
        // The certificate first: a file that is no good is the likelier mistake, and no port is taken for nothing.
        let tls = match settings.tls_listen_port() {
            Some(port) => Some((
                port,
                tls(settings, report).map_err(ListenError::Certificate)?,
            )),
            None => None,
        };
        let bind = |port| bind(settings.host(), port).map_err(ListenError::Bind);
        let plain = PlainSocket::new(bind(settings.port)?, settings.engine());
        let secure = match tls {
            Some((port, tls)) => Some((bind(port)?, Arc::new(tls))),
            None => None,
        };
        Ok(Self {
            port: plain.port().unwrap_or(settings.port),
            tls_port: secure.as_ref().map(|(listener, _)| port(listener)),
            listeners: Listeners { plain, secure },
        })
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// SHA-256 of the certificate in use; `None` without HTTPS.
    pub(super) fn fingerprint(&self) -> Option<String> {
        let (_, tls) = self.listeners.secure.as_ref()?;
        Some(tls.fingerprint())
    }

    /// The URL of the playlist: where the world finds it, else over plain HTTP.
    pub(super) fn uri(&self, settings: &Settings) -> String {
        match &settings.public_url {
            Some(base) => {
                let base = base.trim_end_matches('/');
                format!("{base}/{}", settings.playlist_name)
            }
            None => local_uri("http", settings, self.port),
        }
    }

    /// The URL of the playlist over HTTPS; `None` without.
    pub(super) fn tls_uri(&self, settings: &Settings) -> Option<String> {
        Some(local_uri("https", settings, self.tls_port?))
    }
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(0, |address| address.port())
}

fn tls(settings: &Settings, report: Box<dyn Fn(Report) + Send>) -> Result<Tls, CertificateError> {
    let Some(certificate) = &settings.tls_certificate else {
        return Tls::self_signed(&names(settings));
    };
    let private_key = settings.tls_private_key.as_ref().unwrap_or(certificate);
    let files = CertificateFiles {
        certificate: PathBuf::from(certificate),
        private_key: PathBuf::from(private_key),
    };
    Tls::from_files(files, report)
}

/// What players may call this host.
fn names(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = LOCAL_NAMES.map(ToOwned::to_owned).to_vec();
    let name = glib::host_name();
    if is_host_name(&name) {
        names.push(name.to_string());
        if !name.contains('.') {
            // As it is found without a name server (RFC 6762).
            names.push(format!("{name}.local"));
        }
    }
    if !settings::is_any_address(settings.host()) {
        let host = settings.host().trim_matches(['[', ']']);
        names.push(host.to_owned());
    }
    let public = settings.public_url.as_deref().and_then(host_of);
    names.extend(public.map(ToOwned::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a certificate can be for it.
fn is_host_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// The host in an absolute URL.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    is_host_name(host).then_some(host)
}

fn local_uri(scheme: &str, settings: &Settings, port: u16) -> String {
    let host = match settings.host() {
        // Every address of this host: the one that is always there.
        settings::DEFAULT_HOST | "" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("{scheme}://{host}:{port}/{}", settings.playlist_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::prelude::*;

    #[test]
    fn the_host_of_a_url() {
        for (url, host) in [
            ("https://cdn.example.com/live", Some("cdn.example.com")),
            ("https://cdn.example.com:8443", Some("cdn.example.com")),
            ("http://192.0.2.1:8080/a/b", Some("192.0.2.1")),
            ("http://[2001:db8::1]:8080/", None),
            ("nonsense", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn a_certificate_is_for_every_name_there_is_once() {
        let mut settings = Settings::default();
        settings.set("host", &"localhost".to_value());
        settings.set("public-url", &"https://live.example.com/a".to_value());
        let names = names(&settings);
        for name in ["localhost", "127.0.0.1", "::1", "live.example.com"] {
            assert_eq!(
                names.iter().filter(|other| *other == name).count(),
                1,
                "{name}"
            );
        }
    }
}
