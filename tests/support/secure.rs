//! Clients that speak TLS: HTTP/1.1 or HTTP/2 as chosen in the handshake, many requests on one connection if need be; and
//! certificates for servers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{PATIENCE, http::Answer};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub const HTTP1: &str = "http/1.1";
pub const HTTP2: &str = "h2";

/// TLS with the server on a port of this host. Any certificate will do; which it is can be asked afterwards.
pub async fn shake_hands(
    port: u16,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    shake_hands_with(port, trusting_anybody(versions, protocols), "localhost").await
}

/// What a client needs to know that takes any certificate.
pub fn trusting_anybody(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    config
}

/// TLS with a server that has to be `name` by the certificate that is trusted.
pub async fn shake_hands_trusting(
    port: u16,
    certificate: CertificateDer<'static>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    shake_hands_with(port, config, name).await
}

async fn shake_hands_with(
    port: u16,
    config: ClientConfig,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name).unwrap();
    in_time(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// Who the server said it is.
pub fn certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone()
}

/// The SHA-256 fingerprint, as browsers show it.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let bytes: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}

/// Fails when it takes longer than anything here does.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("an answer in time")
}

/// HTTP/2 on one connection. Clones share it.
#[derive(Clone)]
pub struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
}

impl Http2 {
    pub async fn connect(port: u16) -> Self {
        Self::with_stream_window(port, 1 << 20).await
    }

    /// With room for `window` bytes that are not read yet on each stream.
    pub async fn with_stream_window(port: u16, window: u32) -> Self {
        let stream = shake_hands(port, rustls::ALL_VERSIONS, &[HTTP2])
            .await
            .unwrap();
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// The head of the answer to GET; the body comes as it is read.
    pub async fn begin(&self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send("GET", path).await
    }

    pub async fn send(&self, method: &str, path: &str) -> hyper::Result<Response<Incoming>> {
        let request = request(method, &format!("https://localhost{path}"));
        self.send_request(request).await
    }

    async fn send_request(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        in_time(async move {
            sender.ready().await?;
            sender.send_request(request).await
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.begin(path).await;
        whole(answer.unwrap_or_else(|error| panic!("{path}: {error}"))).await
    }

    /// GET by a page of that origin.
    pub async fn get_for_page(&self, origin: &str, path: &str) -> Answer {
        self.get_with("origin", origin, &format!("https://localhost{path}"))
            .await
    }

    /// GET of a whole URL, whose host becomes `:authority`, with one header more.
    pub async fn get_with(&self, name: &'static str, value: &str, url: &str) -> Answer {
        let mut request = request("GET", url);
        let value = value.parse().unwrap();
        request.headers_mut().insert(name, value);
        whole(self.send_request(request).await.unwrap()).await
    }

    /// GET on a task of its own.
    pub fn get_later(&self, path: &str) -> tokio::task::JoinHandle<Answer> {
        let (this, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move { this.get(&path).await })
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// One request over HTTP/1.1 on a secured connection.
pub async fn get_http1(stream: TlsStream<TcpStream>, path: &str) -> Answer {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = request("GET", path);
    let host = hyper::header::HeaderValue::from_static("localhost");
    request.headers_mut().insert("host", host);
    whole(in_time(sender.send_request(request)).await.unwrap()).await
}

fn request(method: &str, uri: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(Empty::new())
        .unwrap()
}

pub async fn whole(answer: Response<Incoming>) -> Answer {
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body = in_time(answer.into_body().collect()).await.unwrap();
    Answer {
        status,
        headers,
        body: body.to_bytes().to_vec(),
    }
}

/// Takes everybody for the right server, if only it has the key of its certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate and its key, in files that go when it is dropped.
pub struct Pair {
    folder: tempfile::TempDir,
    pub der: CertificateDer<'static>,
}

impl Pair {
    /// Good for localhost, from a day ago until tomorrow.
    pub fn new() -> Self {
        let now = SystemTime::now();
        Self::valid(now - DAY, now + DAY)
    }

    pub fn expired() -> Self {
        let now = SystemTime::now();
        Self::valid(now - 2 * DAY, now - DAY)
    }

    pub fn of_tomorrow() -> Self {
        let now = SystemTime::now();
        Self::valid(now + DAY, now + 2 * DAY)
    }

    fn valid(from: SystemTime, until: SystemTime) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = from.into();
        params.not_after = until.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self {
            folder,
            der: certificate.der().clone(),
        }
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn private_key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// A file beside them.
    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Properties that make the element use these files.
    pub fn properties(&self) -> String {
        properties(&self.certificate(), &self.private_key())
    }
}

/// Properties that make the element serve HTTPS with these files, on a free port.
pub fn properties(certificate: &Path, private_key: &Path) -> String {
    format!(
        "tls-port=-1 tls-certificate={} tls-private-key={}",
        certificate.display(),
        private_key.display()
    )
}
