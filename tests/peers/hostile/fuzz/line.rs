//! A peer's connection, in the open or inside TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{default_provider, sign::any_eddsa_type};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use skypipe_broker::keys::seed::SigningPair;

use crate::common::wait::PATIENCE;

/// What stands before a public and a secret key of Ed25519 (RFC 8410).
const PUBLIC: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const SECRET: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// How to get to a satellite.
pub struct Way {
    pub address: String,
    /// With whose keys, if the satellite is private.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A connection that bytes go through, whatever they are on the way.
pub enum Line {
    Open(TcpStream),
    Private(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    pub fn over(way: &Way) -> Self {
        let stream = TcpStream::connect(&way.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time");
        stream.set_nodelay(true).expect("an option of TCP");
        let Some(config) = &way.tls else {
            return Self::Open(stream);
        };
        let name = ServerName::try_from("satellite.skypipe").expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("good keys");
        Self::Private(Box::new(StreamOwned::new(tls, stream)))
    }

    /// Says something. Whoever has been turned away in the middle is not heard to the end.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::Open(stream) => stream.write_all(bytes),
            Self::Private(stream) => stream.write_all(bytes),
        };
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Open(stream) => stream.read(bytes),
            Self::Private(stream) => stream.read(bytes),
        }
    }

    /// Reads until this has come.
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
        }
    }

    /// Ends it so that the other end is told of an error.
    pub fn break_off(self) {
        // The port can then be used again at once, of which a machine has less than a long run needs.
        let _ = set_socket_linger(self.stream(), Some(Duration::ZERO));
    }
}

/// The settings of a client that has these keys and believes any satellite.
pub fn tls_with(identity: &SigningPair) -> Arc<ClientConfig> {
    let provider = Arc::new(default_provider());
    let secret = [&SECRET[..], identity.secret.as_bytes()].concat();
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(secret)).expect("a key");
    let public = CertificateDer::from([&PUBLIC[..], &identity.public].concat());
    let keys = Arc::new(CertifiedKey::new(vec![public], key));
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

/// Believes any satellite.
#[derive(Debug)]
struct Anybody;

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
