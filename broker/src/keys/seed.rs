//! All keys of a machine, from 32 random bytes.
//!
//! Owns the derivation of key pairs. A machine keeps its seed and nothing else; a satellite, whose
//! own pair for CURVE derives from 32 bytes of its own in the same way, keeps public halves of
//! others alone. The module never makes randomness and never says who may have which key.
//!
//! Every pair is `DeriveKeyPair(ikm)` of RFC 9180, section 7.1.3, for DHKEM(X25519, HKDF-SHA256),
//! where `ikm` is the seed followed by a label that names the purpose. The seed's length is fixed,
//! so no two purposes share an `ikm`, and HKDF makes the pairs independent: from one of them nobody
//! learns anything of another, or of the seed.

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use zeroize::Zeroizing;

use super::secret::{LENGTH, Secret};

const CURVE: &[u8] = b"skypipe 1 curve";
const BOXING: &[u8] = b"skypipe 1 boxing";
const MANAGING: &[u8] = b"skypipe 1 managing";
const FIRST_PSK: &[u8] = b"skypipe 1 first psk";
const FIRST_READING: &[u8] = b"skypipe 1 first reading";

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// A key pair for X25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The half that may be told.
    pub public: [u8; LENGTH],
    /// The half that may not.
    pub secret: Secret,
}

impl Pair {
    /// The pair for the purpose that `label` names, from 32 random bytes.
    #[must_use]
    pub fn derive(random: &Secret, label: &[u8]) -> Self {
        // Of the full length from the start, so that no smaller buffer is left behind unwiped.
        let mut ikm = Zeroizing::new(Vec::with_capacity(LENGTH + label.len()));
        ikm.extend_from_slice(random.as_bytes());
        ikm.extend_from_slice(label);
        let (secret, public) = X25519HkdfSha256::derive_keypair(&ikm);
        let mut bytes = Zeroizing::new([0; LENGTH]);
        secret.write_exact(&mut *bytes);
        Self {
            public: public.to_bytes().into(),
            secret: bytes.into(),
        }
    }

    /// The pair of a secret half that is known already.
    ///
    /// The public half is what libzmq and every other X25519 computes (RFC 7748, section 6.1):
    /// secret times base point. Clamping is part of that multiplication, so `secret` is kept as it
    /// came, clamped or not.
    ///
    /// # Panics
    ///
    /// Never: any 32 bytes are a secret half.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        let key =
            PrivateKey::from_bytes(secret.as_bytes()).expect("any 32 bytes are a secret half");
        Self {
            public: X25519HkdfSha256::sk_to_pk(&key).to_bytes().into(),
            secret,
        }
    }
}

/// What all keys of one machine derive from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed(Secret);

impl Seed {
    /// The seed that these random bytes are.
    #[must_use]
    pub fn new(random: Secret) -> Self {
        Self(random)
    }

    /// The bytes, for whoever stores or wraps the seed.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// The pair by which a machine and a satellite know each other: ZeroMQ's CURVE.
    #[must_use]
    pub fn curve(&self) -> Pair {
        Pair::derive(&self.0, CURVE)
    }

    /// The pair to which things are sealed for this machine alone.
    #[must_use]
    pub fn boxing(&self) -> Pair {
        Pair::derive(&self.0, BOXING)
    }

    /// The managing key, if this is the founder's seed.
    #[must_use]
    pub fn managing(&self) -> Pair {
        Pair::derive(&self.0, MANAGING)
    }

    /// What the writers of epoch 0 share, if this is the founder's seed.
    ///
    /// It is the secret half of a pair whose public half is thrown away: 32 bytes out of HKDF, five
    /// bits of which X25519 fixes. The 251 bits that are left are as much as any X25519 key has.
    #[must_use]
    pub fn first_psk(&self) -> Secret {
        Pair::derive(&self.0, FIRST_PSK).secret
    }

    /// The reading pair of epoch 0, if this is the founder's seed.
    #[must_use]
    pub fn first_reading(&self) -> Pair {
        Pair::derive(&self.0, FIRST_READING)
    }
}

#[cfg(test)]
mod tests;
