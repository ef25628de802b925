//! Ed25519 keys in the formats of TLS.
//!
//! This module owns the few bytes of DER before a key. Both prefixes have a fixed length, so they are
//! compared and prepended, not parsed.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use skypipe_protocol::seed::SigningPair;

/// The prefix of a 32-byte public key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
const PUBLIC: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The prefix of a 32-byte secret key in PKCS #8 (RFC 8410, section 7).
const SECRET: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Encodes a public key for the wire.
pub(super) fn spki(public: &[u8; 32]) -> Vec<u8> {
    [&PUBLIC[..], public].concat()
}

/// Decodes a public key from the wire. None if it is not an Ed25519 key.
pub(super) fn public_of(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&PUBLIC)?.try_into().ok()
}

/// An identity in the form that rustls needs.
pub(super) fn certified(identity: &SigningPair) -> io::Result<Arc<CertifiedKey>> {
    let mut der = Zeroizing::new(Vec::with_capacity(SECRET.len() + 32));
    der.extend_from_slice(&SECRET);
    der.extend_from_slice(identity.secret.as_bytes());
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..])).map_err(io::Error::other)?;
    let public = CertificateDer::from(spki(&identity.public));
    Ok(Arc::new(CertifiedKey::new(vec![public], key)))
}
