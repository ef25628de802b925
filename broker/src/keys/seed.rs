//! All keys of a machine, from 32 random bytes.
//!
//! Owns the derivation of key pairs. A machine keeps its seed and nothing else; a satellite, whose
//! own identity derives from 32 bytes of its own in the same way, keeps public halves of
//! others alone. The module never makes randomness and never says who may have which key.
//!
//! Every pair for X25519 is `DeriveKeyPair(ikm)` of RFC 9180, section 7.1.3, for DHKEM(X25519, HKDF-SHA256),
//! where `ikm` is the seed followed by a label that names the purpose. The seed's length is fixed,
//! so no two purposes share an `ikm`, and HKDF makes the pairs independent: from one of them nobody
//! learns anything of another, or of the seed. An identity, which signs, is a pair for Ed25519 (RFC 8032) whose
//! secret half is the secret half of such a pair, which is used for nothing else.

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::secret::{LENGTH, Secret};

const IDENTITY: &[u8] = b"skypipe 1 identity";
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
    /// The public half is what every X25519 computes (RFC 7748, section 6.1):
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

/// A key pair for Ed25519, by which a machine or a satellite is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningPair {
    /// The half that may be told.
    pub public: [u8; LENGTH],
    /// The half that may not.
    pub secret: Secret,
}

impl SigningPair {
    /// The identity that `label` names, from 32 random bytes.
    #[must_use]
    pub fn derive(random: &Secret, label: &[u8]) -> Self {
        Self::of(Pair::derive(random, label).secret)
    }

    /// The identity of a secret half that is known already.
    ///
    /// # Panics
    ///
    /// Never: any 32 bytes are a secret half.
    #[must_use]
    pub fn of(secret: Secret) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(secret.as_bytes());
        let pair = pair.expect("any 32 bytes are a secret half");
        let mut public = [0; LENGTH];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { public, secret }
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

    /// By what a satellite knows this machine.
    #[must_use]
    pub fn identity(&self) -> SigningPair {
        SigningPair::derive(&self.0, IDENTITY)
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
