//! Ed25519 keys in the forms that TLS has for them.
//!
//! Owns the few bytes of DER that stand before a key. Both are of fixed length, so that they are compared and
//! put before, not parsed.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::keys::seed::SigningPair;

/// What stands before the 32 bytes of a public key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
const PUBLIC: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What stands before the 32 bytes of a secret key in PKCS #8 (RFC 8410, section 7).
const SECRET: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A public key as it travels.
pub(super) fn spki(public: &[u8; 32]) -> Vec<u8> {
    [&PUBLIC[..], public].concat()
}

/// The key in what travelled, if it is one of Ed25519.
pub(super) fn public_of(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&PUBLIC)?.try_into().ok()
}

/// An identity as rustls takes it.
pub(super) fn certified(identity: &SigningPair) -> io::Result<Arc<CertifiedKey>> {
    let mut der = Zeroizing::new(Vec::with_capacity(SECRET.len() + 32));
    der.extend_from_slice(&SECRET);
    der.extend_from_slice(identity.secret.as_bytes());
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..])).map_err(io::Error::other)?;
    let public = CertificateDer::from(spki(&identity.public));
    Ok(Arc::new(CertifiedKey::new(vec![public], key)))
}
