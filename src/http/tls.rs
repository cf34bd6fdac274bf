//! TLS 1.2 and 1.3 by rustls: who this server is, which protocols it offers, certificates that are renewed.
//!
//! Belongs here: the one TLS configuration of an element, which outlives its servers, and the thread that looks after the
//! certificate files. Does not: what is in the files (`certificate`), connections (`connection`).

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: certificates are good or not by the host's clock"
)]

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::certificate::{self, CertificateError, CertificateFiles, Identity};
use super::server::Report;
use crate::time::UnixTime;

/// ALPN (RFC 7301) name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// ALPN name of HTTP/1.1.
const HTTP1: &[u8] = b"http/1.1";

/// How often the certificate files are looked at. Looking and not being told: renewal swaps symbolic links, on file
/// systems that tell nobody.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The name of the thread that looks.
const THREAD_NAME: &str = "llhls-certs";

/// What it takes to serve HTTPS. Lives as long as the element serves, over all its runs: a browser that was told to trust
/// a self-signed certificate is not asked again.
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    /// Dropping it ends the thread that looks after the files; `None` without files.
    _watch: Option<mpsc::Sender<()>>,
}

impl Tls {
    /// With a certificate made now, for these host names and addresses.
    pub fn self_signed(names: &[String]) -> Result<Self, CertificateError> {
        let provider = provider();
        let identity = certificate::self_signed(names, SystemTime::now(), &provider)?;
        Ok(Self::new(Arc::new(Current::new(identity)), provider, None))
    }

    /// With the certificate and key of these files, which are read again when they change.
    ///
    /// `report` is called on a thread of its own, with [`Report::Renewed`] and [`Report::Warning`]; it must not drop the
    /// last reference to this.
    pub fn from_files(
        files: CertificateFiles,
        report: Box<dyn Fn(Report) + Send>,
    ) -> Result<Self, CertificateError> {
        let provider = provider();
        let contents = files.read()?;
        let identity = contents.identity(&files, now(), &provider)?;
        let current = Arc::new(Current::new(identity));
        let (watch, is_over) = mpsc::channel();
        let watcher = Watcher {
            looks: Looks {
                applied: Look::Contents(contents.digest()),
                candidate: None,
            },
            files,
            current: Arc::clone(&current),
            provider: Arc::clone(&provider),
            is_refused: false,
            has_told_of_expiry: false,
            report,
        };
        // Never joined: a file system that hangs must not hold up a state change. It ends by itself.
        let spawned = std::thread::Builder::new()
            .name(THREAD_NAME.to_owned())
            .spawn(move || watcher.run(&is_over));
        spawned.map_err(CertificateError::no_thread)?;
        Ok(Self::new(current, provider, Some(watch)))
    }

    fn new(
        current: Arc<Current>,
        provider: Arc<CryptoProvider>,
        watch: Option<mpsc::Sender<()>>,
    ) -> Self {
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("ring has cipher suites for both")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Self {
            config: Arc::new(config),
            current,
            _watch: watch,
        }
    }

    /// SHA-256 of the certificate in use as browsers and openssl show it: pairs of hexadecimal digits between colons.
    pub fn fingerprint(&self) -> String {
        self.current.identity().fingerprint.clone()
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

/// Passed on explicitly: the process-wide provider is the host's to choose.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// The identity handshakes begin with from now on.
#[derive(Debug)]
struct Current(RwLock<Arc<Identity>>);

impl Current {
    fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.identity().key))
    }
}

/// What the files were like at a look.
#[derive(Clone, Debug, PartialEq)]
enum Look {
    /// The digest of what was in them.
    Contents(Vec<u8>),
    /// Why they could not be read.
    Failed(String),
}

/// Tells a change from a change that is still being made: certificate and key are two files, written one after the other.
struct Looks {
    applied: Look,
    /// Differs from what was applied; applied when the next look finds the same.
    candidate: Option<Look>,
}

impl Looks {
    /// Whether there is something new that stays.
    fn has_settled(&mut self, look: Look) -> bool {
        if look == self.applied {
            self.candidate = None;
            return false;
        }
        if self.candidate.as_ref() != Some(&look) {
            self.candidate = Some(look);
            return false;
        }
        self.applied = look;
        self.candidate = None;
        true
    }
}

struct Watcher {
    files: CertificateFiles,
    looks: Looks,
    /// What is in the files now was refused, perhaps only for now: a certificate's time may be still to come.
    is_refused: bool,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    /// Of that of the certificate in use.
    has_told_of_expiry: bool,
    report: Box<dyn Fn(Report) + Send>,
}

impl Watcher {
    fn run(mut self, is_over: &mpsc::Receiver<()>) {
        while is_over.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            self.look(now());
        }
    }

    fn look(&mut self, now: UnixTime) {
        let contents = self.files.read();
        let look = match &contents {
            Ok(contents) => Look::Contents(contents.digest()),
            Err(error) => Look::Failed(error.to_string()),
        };
        let is_new = self.looks.has_settled(look);
        if is_new || (self.is_refused && self.looks.candidate.is_none()) {
            let renewed =
                contents.and_then(|contents| contents.identity(&self.files, now, &self.provider));
            match renewed {
                Ok(identity) => {
                    let fingerprint = identity.fingerprint.clone();
                    self.current.replace(identity);
                    self.has_told_of_expiry = false;
                    self.is_refused = false;
                    (self.report)(Report::Renewed { fingerprint });
                }
                Err(error) => {
                    self.is_refused = true;
                    if is_new {
                        (self.report)(Report::Warning(format!(
                            "the certificate in use is kept, for the new one is of no use: {error}"
                        )));
                    }
                }
            }
        }
        if now >= self.current.identity().expiry && !self.has_told_of_expiry {
            self.has_told_of_expiry = true;
            let file = self.files.certificate.display();
            (self.report)(Report::Warning(format!(
                "{file}: the certificate in use has expired; players refuse it"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A pair of files whose certificate is good between the first days of these years.
    fn write(files: &CertificateFiles, from: i32, until: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let made = params.self_signed(&key).unwrap();
        fs::write(&files.certificate, made.pem()).unwrap();
        fs::write(&files.private_key, key.serialize_pem()).unwrap();
    }

    fn year(year: i64) -> UnixTime {
        UnixTime((year - 1970) * 31_556_952 * 1_000_000_000 + 1_000_000_000_000_000)
    }

    /// It was installed early, or the clock is slow.
    #[test]
    fn a_certificate_whose_time_is_to_come_is_used_when_it_has() {
        let place = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: place.path().join("cert.pem"),
            private_key: place.path().join("key.pem"),
        };
        write(&files, 2020, 2030);
        let provider = provider();
        let contents = files.read().unwrap();
        let identity = contents.identity(&files, year(2026), &provider).unwrap();
        let (told, heard) = mpsc::channel();
        let mut watcher = Watcher {
            looks: Looks {
                applied: Look::Contents(contents.digest()),
                candidate: None,
            },
            is_refused: false,
            files,
            current: Arc::new(Current::new(identity)),
            provider,
            has_told_of_expiry: false,
            report: Box::new(move |report| told.send(report).unwrap()),
        };
        write(&watcher.files, 2027, 2040);
        for _ in 0..5 {
            watcher.look(year(2026));
        }
        let heard: Vec<Report> = {
            watcher.look(year(2028));
            watcher.look(year(2028));
            heard.try_iter().collect()
        };
        assert!(
            matches!(&heard[..], [Report::Warning(_), Report::Renewed { .. }]),
            "{heard:?}"
        );
    }
}
