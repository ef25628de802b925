//! All keys of a machine, derived from 32 random bytes.
//!
//! This module owns the derivation of key pairs. A machine stores its seed and nothing else. A satellite's
//! identity derives in the same way from 32 bytes of its own, and the satellite stores only public keys of
//! others. This module never creates randomness and never decides who may have which key.
//!
//! Every X25519 pair is `DeriveKeyPair(ikm)` of RFC 9180, section 7.1.3, for DHKEM(X25519, HKDF-SHA256). Here
//! `ikm` is the seed followed by a label that names the purpose. The seed's length is fixed, so no two
//! purposes share an `ikm`. HKDF makes the pairs independent: one pair reveals nothing of another, or of the
//! seed. An identity, which signs, is an Ed25519 pair (RFC 8032). Its secret key is the secret key of such an
//! X25519 pair, which is used for nothing else.

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::secret::{LENGTH, Secret};

const IDENTITY: &[u8] = b"skypipe 1 identity";
const ENCRYPTION: &[u8] = b"skypipe 1 boxing";
const MANAGING: &[u8] = b"skypipe 1 managing";
const FIRST_PSK: &[u8] = b"skypipe 1 first psk";
const FIRST_READING: &[u8] = b"skypipe 1 first reading";

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// An X25519 key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The public key.
    pub public: [u8; LENGTH],
    /// The secret key.
    pub secret: Secret,
}

impl Pair {
    /// Derives the pair for the purpose named by `label` from 32 random bytes.
    #[must_use]
    pub fn derive(random: &Secret, label: &[u8]) -> Self {
        // Allocated in full from the start, so that no smaller buffer is left behind without being wiped.
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

    /// The pair of a known secret key.
    ///
    /// The public key is what every X25519 computes (RFC 7748, section 6.1): secret key times base point.
    /// That multiplication includes clamping, so `secret` is stored unchanged, clamped or not.
    ///
    /// # Panics
    ///
    /// Never: any 32 bytes are a secret key.
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

/// An Ed25519 key pair, the identity of a machine or a satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningPair {
    /// The public key.
    pub public: [u8; LENGTH],
    /// The secret key.
    pub secret: Secret,
}

impl SigningPair {
    /// Derives the identity named by `label` from 32 random bytes.
    #[must_use]
    pub fn derive(random: &Secret, label: &[u8]) -> Self {
        Self::of(Pair::derive(random, label).secret)
    }

    /// The identity of a known secret key.
    ///
    /// # Panics
    ///
    /// Never: any 32 bytes are a secret key.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(secret.as_bytes());
        let pair = pair.expect("any 32 bytes are a secret half");
        let mut public = [0; LENGTH];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { public, secret }
    }
}

/// The source of all keys of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed(Secret);

impl Seed {
    /// The seed consisting of these random bytes.
    #[must_use]
    pub fn new(random: Secret) -> Self {
        Self(random)
    }

    /// The bytes, for whoever stores or wraps the seed.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// The machine's identity at a satellite.
    #[must_use]
    pub fn identity(&self) -> SigningPair {
        SigningPair::derive(&self.0, IDENTITY)
    }

    /// The pair to which data for this machine alone is sealed.
    #[must_use]
    pub fn encryption(&self) -> Pair {
        Pair::derive(&self.0, ENCRYPTION)
    }

    /// The managing key, if this is the owner's seed.
    #[must_use]
    pub fn managing(&self) -> Pair {
        Pair::derive(&self.0, MANAGING)
    }

    /// The shared secret of writers in epoch 0, if this is the owner's seed.
    ///
    /// It is the secret key of a pair whose public key is discarded: 32 bytes of HKDF output, five bits of
    /// which X25519 fixes. The remaining 251 bits are as many as any X25519 key has.
    #[must_use]
    pub fn first_psk(&self) -> Secret {
        Pair::derive(&self.0, FIRST_PSK).secret
    }

    /// The reading pair of epoch 0, if this is the owner's seed.
    #[must_use]
    pub fn first_reading(&self) -> Pair {
        Pair::derive(&self.0, FIRST_READING)
    }
}

#[cfg(test)]
mod tests;
