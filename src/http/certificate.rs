//! Who this server says it is under TLS: a certificate chain and its private key.
//!
//! Belongs here: PEM files read and found good or wanting, a certificate of our own making. Does not: when files are read
//! again, and what is spoken with them (`tls`).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use ring::digest::{Digest, SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, Validity, X509Certificate};

use crate::time::UnixTime;

/// Bytes of a file; chains have a few thousand.
const MOST_FILE_BYTES: u64 = 1 << 20;

/// How long a certificate of our own making is good. Apple's systems take none that is good for more than 825 days.
const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(800 * 24 * 60 * 60);

/// How much earlier than now it begins: clocks of clients may be slow.
const SELF_SIGNED_HEAD_START: Duration = Duration::from_secs(24 * 60 * 60);

/// The PEM files an identity comes from.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The server's certificate, then those that lead from it to a root.
    pub certificate: PathBuf,
    /// The private key (PKCS #8, PKCS #1 or SEC 1, not encrypted); may be the same file.
    pub private_key: PathBuf,
}

/// Why TLS cannot be had. Its text names the file, if there is one, and the reason.
#[derive(Debug)]
pub struct CertificateError {
    file: Option<PathBuf>,
    reason: String,
}

impl CertificateError {
    fn of(file: &Path, reason: impl fmt::Display) -> Self {
        Self {
            file: Some(file.to_owned()),
            reason: reason.to_string(),
        }
    }

    pub(super) fn no_thread(error: io::Error) -> Self {
        Self {
            file: None,
            reason: format!("nobody can look after the certificate files: {error}"),
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}: {}", file.display(), self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for CertificateError {}

/// A certificate chain with its key, ready to use.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// SHA-256 of the server's certificate as browsers and openssl show it: `4F:0A:...`.
    pub(super) fingerprint: String,
    /// The first moment at which the certificate is good no more.
    pub(super) expiry: UnixTime,
}

/// What was in the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl CertificateFiles {
    pub(super) fn read(&self) -> Result<Contents, CertificateError> {
        let read = |file: &Path| read(file).map_err(|error| CertificateError::of(file, error));
        Ok(Contents {
            certificate: read(&self.certificate)?,
            private_key: read(&self.private_key)?,
        })
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a FIFO would wait for a writer.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MOST_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_FILE_BYTES {
        return Err(io::Error::other("too large for a PEM file"));
    }
    Ok(bytes)
}

impl Contents {
    /// What tells these contents from others, without keeping the key around.
    pub(super) fn digest(&self) -> Vec<u8> {
        let digests = [&self.certificate, &self.private_key].map(|bytes| digest(&SHA256, bytes));
        digests.iter().flat_map(Digest::as_ref).copied().collect()
    }

    /// Fails unless the files, which are named in errors, hold a certificate that is good `now` and its key.
    pub(super) fn identity(
        &self,
        files: &CertificateFiles,
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<Identity, CertificateError> {
        let of_certificate = |reason: String| CertificateError::of(&files.certificate, reason);
        let of_key = |reason: String| CertificateError::of(&files.private_key, reason);
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_certificate(format!("no PEM file: {error}")))?;
        let Some(first) = chain.first() else {
            return Err(of_certificate("no certificate in it".to_owned()));
        };
        let expiry = check_validity(first, now).map_err(of_certificate)?;
        let fingerprint = fingerprint(first);
        let private_key = PrivateKeyDer::from_pem_slice(&self.private_key).map_err(|error| {
            of_key(match error {
                pem::Error::NoItemsFound => {
                    "no private key in it, or one with a passphrase".to_owned()
                }
                error => format!("no PEM file: {error}"),
            })
        })?;
        let signing_key = provider
            .key_provider
            .load_private_key(private_key)
            .map_err(|error| of_key(format!("the private key cannot be used: {error}")))?;
        let key = CertifiedKey::new(chain, signing_key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                let certificate = files.certificate.display();
                return Err(of_key(format!(
                    "the private key is not that of the certificate in {certificate}"
                )));
            }
            Err(error) => return Err(of_certificate(error.to_string())),
        }
        Ok(Identity {
            key: Arc::new(key),
            fingerprint,
            expiry,
        })
    }
}

/// The expiry of a certificate that is good `now`; otherwise what is wrong with it.
fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<UnixTime, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let Validity {
        not_before,
        not_after,
    } = parsed.validity();
    let unix = |seconds: i64| UnixTime(seconds.saturating_mul(1_000_000_000));
    // The last second counts (RFC 5280 4.1.2.5).
    let expiry = unix(not_after.timestamp().saturating_add(1));
    if now >= expiry {
        return Err(format!("the certificate expired: {not_after}"));
    }
    if now < unix(not_before.timestamp()) {
        return Err(format!("the certificate is not valid before {not_before}"));
    }
    Ok(expiry)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = digest(&SHA256, certificate);
    let bytes: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}

/// A new certificate for these host names and addresses, signed by itself.
pub(super) fn self_signed(
    names: &[String],
    now: SystemTime,
    provider: &CryptoProvider,
) -> Result<Identity, CertificateError> {
    let failed = |reason: String| CertificateError {
        file: None,
        reason: format!("no certificate can be made: {reason}"),
    };
    let mut params =
        CertificateParams::new(names.to_vec()).map_err(|error| failed(error.to_string()))?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "llhlssink, self-signed");
    params.not_before = (now - SELF_SIGNED_HEAD_START).into();
    params.not_after = (now + SELF_SIGNED_VALIDITY).into();
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
    let pair = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = params
        .self_signed(&pair)
        .map_err(|error| failed(error.to_string()))?;
    let signing_key = provider
        .key_provider
        .load_private_key(PrivatePkcs8KeyDer::from(pair.serialize_der()).into())
        .map_err(|error| failed(error.to_string()))?;
    let certificate = certificate.der().clone();
    let fingerprint = fingerprint(&certificate);
    let expiry = check_validity(&certificate, UnixTime::from_system(now)).map_err(failed)?;
    Ok(Identity {
        key: Arc::new(CertifiedKey::new(vec![certificate], signing_key)),
        fingerprint,
        expiry,
    })
}
