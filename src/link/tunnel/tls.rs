//! The outer TLS around a connection, which a front end of the satellite or a proxy terminates.
//!
//! This module decides how the other end is verified. A front end is not verified: the satellite's own TLS
//! runs inside, and a stranger who terminates the outer TLS sees no more than one who watches a plain
//! connection to the satellite. So any certificate is accepted there, that of a company's firewall or a web
//! server's own. A proxy is told a password, so its certificate must be one that this machine trusts.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};
use skypipe_satellite::relay::Outer;

/// TLS with an unverified peer.
pub(super) fn unverified(
    stream: Box<dyn Outer>,
    host: &str,
    protocols: &[&[u8]],
) -> Result<Box<dyn Outer>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anybody(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    shake(config, stream, host, protocols)
}

/// TLS with a host whose certificate this machine trusts.
pub(super) fn verified(stream: Box<dyn Outer>, host: &str) -> Result<Box<dyn Outer>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    shake(config, stream, host, &[])
}

fn shake(
    mut config: ClientConfig,
    stream: Box<dyn Outer>,
    host: &str,
    protocols: &[&[u8]],
) -> Result<Box<dyn Outer>, String> {
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| "its host name is not valid for TLS".to_owned())?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|it| it.to_string())?;
    let mut outer = Tls(StreamOwned::new(connection, stream));
    while outer.0.conn.is_handshaking() {
        let done = outer.0.conn.complete_io(&mut outer.0.sock);
        done.map_err(|error| format!("TLS with the server in front of it failed: {error}"))?;
    }
    Ok(Box::new(outer))
}

/// A connection inside TLS.
struct Tls(StreamOwned<ClientConnection, Box<dyn Outer>>);

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Outer for Tls {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.sock.descriptor()
    }
}

/// Accepts any certificate, but checks that its key signs the handshake.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
