//! HPKE (RFC 9180), as far as skypipe needs it: key agreement.
//!
//! This module owns every call into the crate `hpke`: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and the
//! export-only AEAD. It never seals anything and never draws randomness: the caller passes entropy in.

use std::convert::Infallible;
use std::fmt;

use hpke::aead::ExportOnlyAead;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{
    Deserializable, HpkeError, Kem, OpModeR, OpModeS, PskBundle, Serializable, setup_receiver,
    setup_sender_with_rng,
};
use zeroize::Zeroizing;

use skypipe_protocol::secret::Secret;

/// The longest accepted `info`. `hpke` may panic at some 64 KiB together with the other inputs; a pipe's
/// name has at most 255 bytes.
const MOST_INFO: usize = 32 << 10;

/// An X25519 public key.
pub type Public = [u8; 32];

/// How the receiver authenticates the sender. `Key` is what a side has of the sender's key pair: the secret
/// key at the sender, the public key at the receiver.
#[derive(Debug)]
pub enum Proof<'a, Key> {
    /// Both sides have this secret (mode PSK). The id says which secret it is, and is never empty.
    Shared {
        /// The pre-shared secret.
        psk: &'a Secret,
        /// The id of the secret.
        id: &'a [u8],
    },
    /// The sender has this key pair (mode Auth).
    Sender(&'a Key),
}

/// The purpose of a key. Sender and receiver must agree on it, or they get different keys.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// What the HPKE context belongs to.
    pub info: &'a [u8],
    /// What this one exported key of the context is for.
    pub export: &'a [u8],
}

/// This public key is unusable: all of its shared secrets would be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this public key cannot be used for sealing")
    }
}

impl std::error::Error for BadKey {}

impl From<HpkeError> for BadKey {
    fn from(_: HpkeError) -> Self {
        Self
    }
}

/// The key pair derived from a seed of 32 random bytes: HPKE's `DeriveKeyPair`.
#[must_use]
pub fn key_pair(seed: &Secret) -> (Secret, Public) {
    let (secret, public) = X25519HkdfSha256::derive_keypair(seed.as_bytes());
    (
        Secret::new(secret.to_bytes().into()),
        public.to_bytes().into(),
    )
}

/// Makes a key for the holder of a public key. Returns the encapsulated key, which is sent, and the key.
/// `entropy` must be 32 bytes that were never used before; the same bytes give the same key.
///
/// # Errors
///
/// When a public key is unusable or the purpose too long.
pub fn send(
    to: &Public,
    proof: &Proof<'_, Secret>,
    purpose: Purpose<'_>,
    entropy: &Secret,
) -> Result<(Public, Secret), BadKey> {
    let mode = match proof {
        Proof::Shared { psk, id } => OpModeS::Psk(PskBundle::new(psk.as_bytes(), id)?),
        Proof::Sender(secret) => {
            let secret = Deserializable::from_bytes(secret.as_bytes())?;
            let public = X25519HkdfSha256::sk_to_pk(&secret);
            OpModeS::Auth((secret, public))
        }
    };
    check_info(purpose.info)?;
    let to = Deserializable::from_bytes(to)?;
    let mut entropy = Given::new(entropy);
    let (encapsulated, context) = setup_sender_with_rng::<
        ExportOnlyAead,
        HkdfSha256,
        X25519HkdfSha256,
    >(&mode, &to, purpose.info, &mut entropy)?;
    entropy.check_used_up()?;
    let key = exported(|bytes| context.export(purpose.export, bytes))?;
    Ok((encapsulated.to_bytes().into(), key))
}

/// The key that [`send`] made for the holder of `secret`. A wrong proof or purpose is no error here: it
/// gives a key that opens nothing.
///
/// # Errors
///
/// When a public key is unusable or the purpose too long.
pub fn receive(
    secret: &Secret,
    encapsulated: &Public,
    proof: &Proof<'_, Public>,
    purpose: Purpose<'_>,
) -> Result<Secret, BadKey> {
    let mode = match proof {
        Proof::Shared { psk, id } => OpModeR::Psk(PskBundle::new(psk.as_bytes(), id)?),
        Proof::Sender(public) => OpModeR::Auth(Deserializable::from_bytes(public.as_slice())?),
    };
    check_info(purpose.info)?;
    let secret = Deserializable::from_bytes(secret.as_bytes())?;
    let encapsulated = Deserializable::from_bytes(encapsulated)?;
    let context = setup_receiver::<ExportOnlyAead, HkdfSha256, X25519HkdfSha256>(
        &mode,
        &secret,
        &encapsulated,
        purpose.info,
    )?;
    exported(|bytes| context.export(purpose.export, bytes))
}

fn check_info(info: &[u8]) -> Result<(), BadKey> {
    if info.len() <= MOST_INFO {
        Ok(())
    } else {
        Err(BadKey)
    }
}

fn exported(export: impl FnOnce(&mut [u8]) -> Result<(), HpkeError>) -> Result<Secret, BadKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    export(bytes.as_mut_slice())?;
    Ok(Secret::new(*bytes))
}

/// A random number generator that returns exactly the given bytes. `hpke` offers no other way to pass
/// entropy in.
struct Given<'a> {
    left: &'a [u8],
    is_overdrawn: bool,
}

impl<'a> Given<'a> {
    fn new(entropy: &'a Secret) -> Self {
        Self {
            left: entropy.as_bytes(),
            is_overdrawn: false,
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A generator cannot fail, so a request for too many bytes is recorded instead. [`send`] then returns
    /// nothing that was made of the zeros.
    fn fill(&mut self, bytes: &mut [u8]) {
        if let Some((taken, left)) = self.left.split_at_checked(bytes.len()) {
            bytes.copy_from_slice(taken);
            self.left = left;
        } else {
            bytes.fill(0);
            self.is_overdrawn = true;
        }
    }

    fn check_used_up(&self) -> Result<(), BadKey> {
        if self.left.is_empty() && !self.is_overdrawn {
            Ok(())
        } else {
            Err(BadKey)
        }
    }
}

impl TryRng for Given<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Given<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_used_exactly_once() {
        let entropy = Secret::new(std::array::from_fn(|i| i.to_le_bytes()[0]));
        let mut given = Given::new(&entropy);
        assert_eq!(given.check_used_up(), Err(BadKey));
        assert_eq!(given.try_next_u32(), Ok(0x0302_0100));
        assert_eq!(given.try_next_u64(), Ok(0x0b0a_0908_0706_0504));
        let mut rest = [0; 20];
        assert_eq!(given.try_fill_bytes(&mut rest), Ok(()));
        assert_eq!(rest, entropy.as_bytes()[12..]);
        assert_eq!(given.check_used_up(), Ok(()));
        assert_eq!(given.try_next_u32(), Ok(0));
        assert_eq!(given.check_used_up(), Err(BadKey));
    }
}
