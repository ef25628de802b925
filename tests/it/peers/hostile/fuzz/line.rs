//! A connection of a peer to a satellite, or of a client to a fake satellite, in the open or inside TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{default_provider, sign::any_eddsa_type};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};
use skypipe_protocol::seed::SigningPair;

use crate::common::wait::PATIENCE;

/// The prefixes of a public and a secret Ed25519 key (RFC 8410).
const PUBLIC: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const SECRET: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// How to connect to a satellite.
pub struct Way {
    pub address: String,
    /// The TLS settings with the client's keys, if the satellite has keys.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A byte stream, with or without TLS.
pub enum Line {
    Open(TcpStream),
    Private(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// TLS from the satellite's side.
    Satellite(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    pub fn over(way: &Way) -> Self {
        let stream = TcpStream::connect(&way.address).expect("it listens");
        set_up(&stream);
        let Some(config) = &way.tls else {
            return Self::Open(stream);
        };
        let name = ServerName::try_from("satellite.skypipe").expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("good keys");
        Self::Private(Box::new(StreamOwned::new(tls, stream)))
    }

    /// An accepted connection of a client, with these keys if the satellite has keys.
    pub fn of(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        set_up(&stream);
        let Some(config) = tls else {
            return Self::Open(stream);
        };
        let tls = ServerConnection::new(Arc::clone(config)).expect("good keys");
        Self::Satellite(Box::new(StreamOwned::new(tls, stream)))
    }

    /// Sends bytes, and ignores errors: the other end may have closed the connection.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.write(bytes);
    }

    /// The same. Fails when the other end is gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(stream) => stream.write_all(bytes),
            Self::Private(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::Satellite(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Open(stream) => stream.read(bytes),
            Self::Private(stream) => stream.read(bytes),
            Self::Satellite(stream) => stream.read(bytes),
        }
    }

    /// Sends bytes below TLS, if there is TLS.
    pub fn write_below(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream();
        stream.write_all(bytes)
    }

    /// Closes the sending direction, and goes on receiving.
    pub fn close(&self) {
        // The other end may have closed it already.
        let _ = self.stream().shutdown(Shutdown::Write);
    }

    /// Reads until this has arrived.
    pub fn hears(&mut self, answer: &[u8]) -> bool {
        let mut heard: Vec<u8> = Vec::new();
        let mut bytes = [0; 4096];
        while !heard.windows(answer.len()).any(|part| part == answer) {
            match self.read(&mut bytes) {
                Ok(0) | Err(_) => return false,
                Ok(count) => heard.extend(&bytes[..count]),
            }
        }
        true
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Self::Open(stream) => stream,
            Self::Private(stream) => &stream.sock,
            Self::Satellite(stream) => &stream.sock,
        }
    }

    /// Resets the connection, so that the other end gets an error.
    pub fn break_off(self) {
        // The port can then be reused at once. A long run needs more ports than a machine has.
        let _ = set_socket_linger(self.stream(), Some(Duration::ZERO));
    }
}

fn set_up(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time");
    stream.set_nodelay(true).expect("an option of TCP");
}

/// An identity in rustls's form.
fn certified(identity: &SigningPair) -> Arc<CertifiedKey> {
    let secret = [&SECRET[..], identity.secret.as_bytes()].concat();
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(secret)).expect("a key");
    let public = CertificateDer::from([&PUBLIC[..], &identity.public].concat());
    Arc::new(CertifiedKey::new(vec![public], key))
}

/// The settings of a satellite with these keys that admits any client.
pub fn satellite_tls_with(identity: &SigningPair) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let keys = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(identity));
    let mut config = builder
        .expect("there is TLS 1.3")
        .with_client_cert_verifier(Arc::new(Anybody))
        .with_cert_resolver(Arc::new(keys));
    config.alpn_protocols = vec![b"skypipe/1".to_vec()];
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// The settings of a client with these keys that trusts any satellite.
pub fn tls_with(identity: &SigningPair) -> Arc<ClientConfig> {
    let provider = Arc::new(default_provider());
    let keys = certified(identity);
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder
        .expect("there is TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(Arc::new(
            rustls::client::AlwaysResolvesClientRawPublicKeys::new(keys),
        ));
    config.alpn_protocols = vec![b"skypipe/1".to_vec()];
    config.enable_sni = false;
    Arc::new(config)
}

/// Trusts any satellite, and any client.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
