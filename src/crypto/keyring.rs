//! Keyrings: the keys that seal and open streams.
//!
//! This module owns epochs, decides which part of a keyring goes to whom, and owns the form in bytes. It
//! seals nothing and stores nothing.
//!
//! An *epoch* is one generation of keys. It has a shared secret (`psk`), which proves that a member wrote a
//! stream, and a reading key pair, to whose public key streams are sealed. A new epoch is made when a key
//! is revoked. Old epochs are kept, because data written under them may still wait to be read.
//!
//! | who | holds |
//! | --- | --- |
//! | a writer | `psk` and public reading key of the newest epoch |
//! | a reader | the same and the secret reading key, for all epochs |
//! | a manager | what a reader holds, and the managing key |
//!
//! There are no other keyrings: [`Keyring::decode`] refuses any mixture.

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use skypipe_protocol::secret::{LENGTH, Secret};
use skypipe_protocol::seed::{Pair, Seed};
use zeroize::Zeroizing;

/// The most epochs that are kept. A renewal beyond the limit drops the oldest, and data sealed under it can
/// no longer be read. Without a limit, sealed keyrings would grow with every revocation. With this one,
/// only a stream that waits through 64 revocations is lost.
pub const MAX_EPOCHS: usize = 64;

/// The most bytes that [`Keyring::encode`] returns: an array of two. The first element is an array of
/// epochs, each an array of a number and three keys; the second is the managing key.
pub const MAX_ENCODED: usize = 1 + 3 + MAX_EPOCHS * (1 + 5 + 3 * BIN) + BIN;

/// The length of a key in MessagePack: two bytes of header, and the key.
const BIN: usize = 2 + LENGTH;

/// The label of the reading keys of later epochs. Those of epoch 0 derive from the owner's seed.
const READING: &[u8] = b"skypipe 1 reading";

/// One generation of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The number of the epoch, counted from 0 and never reused.
    pub number: u32,
    /// The secret that all writers share.
    pub psk: Secret,
    /// The public reading key.
    pub public: [u8; LENGTH],
    /// The secret reading key. `None` if the owner of the keyring may only write.
    pub secret: Option<Secret>,
}

impl Epoch {
    fn new(number: u32, psk: Secret, reading: Pair) -> Self {
        Self {
            number,
            psk,
            public: reading.public,
            secret: Some(reading.secret),
        }
    }

    fn without_secret(&self) -> Self {
        Self {
            secret: None,
            ..self.clone()
        }
    }
}

/// The epochs that a machine knows, and the managing key if it is a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// At least one and at most [`MAX_EPOCHS`], in ascending order of their numbers.
    epochs: Vec<Epoch>,
    managing: Option<Secret>,
}

impl Keyring {
    /// The keyring of the owner, a manager like any other, with epoch 0.
    #[must_use]
    pub fn owner(seed: &Seed) -> Self {
        Self {
            epochs: vec![Epoch::new(0, seed.first_psk(), seed.first_reading())],
            managing: Some(seed.managing().secret),
        }
    }

    /// All epochs, the oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The epoch to write under.
    ///
    /// # Panics
    ///
    /// Never: a keyring has at least one epoch.
    #[must_use]
    pub fn newest(&self) -> &Epoch {
        self.epochs.last().expect("no keyring is without an epoch")
    }

    /// The managing key. `None` unless this is a manager's keyring.
    #[must_use]
    pub fn managing(&self) -> Option<Pair> {
        self.managing.clone().map(Pair::of)
    }

    /// The part for a machine that may only write.
    #[must_use]
    pub fn for_writer(&self) -> Self {
        Self {
            epochs: vec![self.newest().without_secret()],
            managing: None,
        }
    }

    /// The part for a machine that may also read.
    #[must_use]
    pub fn for_reader(&self) -> Self {
        Self {
            epochs: self.epochs.clone(),
            managing: None,
        }
    }

    /// The part for a machine that may also manage keys.
    #[must_use]
    pub fn for_manager(&self) -> Self {
        self.clone()
    }

    /// This keyring with a new epoch, made from 64 random bytes that must be used nowhere else.
    ///
    /// `None` if this is no manager's keyring, because nobody would accept a new epoch from it. (Also
    /// `None` after four thousand million epochs.)
    #[must_use]
    pub fn renewed(&self, random: &[u8; 2 * LENGTH]) -> Option<Self> {
        self.renewed_beyond(0, random)
    }

    /// Like [`Keyring::renewed`], with a number that is also greater than `taken`. An interrupted renewal
    /// has given that number to keys that are unknown here.
    #[must_use]
    pub fn renewed_beyond(&self, taken: u32, random: &[u8; 2 * LENGTH]) -> Option<Self> {
        self.managing.as_ref()?;
        let (psk, reading) = random.split_first_chunk()?;
        let reading = Secret::copy_of(reading.try_into().ok()?);
        let reading = Pair::derive(&reading, READING);
        let number = self.newest().number.max(taken).checked_add(1)?;
        let dropped = (self.epochs.len() + 1).saturating_sub(MAX_EPOCHS);
        let mut epochs = self.epochs[dropped..].to_vec();
        epochs.push(Epoch::new(number, Secret::copy_of(psk), reading));
        let managing = self.managing.clone();
        Some(Self { epochs, managing })
    }

    /// Encodes the keyring as MessagePack `[[[number, psk, public, secret or nil], …], managing or nil]`.
    /// Keys are `bin`, and each number is in its shortest form. The buffer is allocated at its full length,
    /// so that no copy stays behind.
    ///
    /// # Panics
    ///
    /// Never: MessagePack can express every keyring.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.encode_with_room(0)
    }

    /// Like [`Keyring::encode`], with spare capacity for `more` bytes in the buffer.
    pub(super) fn encode_with_room(&self, more: usize) -> Zeroizing<Vec<u8>> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(MAX_ENCODED + more));
        let epochs = self.epochs.iter().map(WireEpoch::from).collect();
        let managing = self.managing.as_ref().map(|key| Bin(key.as_bytes()));
        rmp_serde::encode::write(&mut *buffer, &Wire(epochs, managing))
            .expect("MessagePack has words for all of it");
        buffer
    }

    /// Decodes what [`Keyring::encode`] returned. `None` for anything else: each keyring has one encoding,
    /// and its key pairs must match.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_ENCODED {
            return None;
        }
        let Wire(epochs, managing) = rmp_serde::from_slice(bytes).ok()?;
        let keyring = Self {
            epochs: epochs.into_iter().map(Epoch::from).collect(),
            managing: managing.map(|Bin(key)| Secret::copy_of(key)),
        };
        let fine = keyring.is_sound() && *keyring.encode() == bytes;
        fine.then_some(keyring)
    }

    fn is_sound(&self) -> bool {
        let ascending = |pair: &[Epoch]| pair[0].number < pair[1].number;
        let reader = self.epochs.iter().all(|epoch| epoch.secret.is_some());
        let writer = matches!(&*self.epochs, [Epoch { secret: None, .. }]);
        (1..=MAX_EPOCHS).contains(&self.epochs.len())
            && self.epochs.windows(2).all(ascending)
            && (reader || (writer && self.managing.is_none()))
            && self.epochs.iter().all(Epoch::is_sound)
    }
}

impl Epoch {
    fn is_sound(&self) -> bool {
        let public = |secret: &Secret| Pair::of(secret.clone()).public;
        self.secret
            .as_ref()
            .is_none_or(|secret| public(secret) == self.public)
    }
}

/// A [`Keyring`] for MessagePack, without copies of its keys.
#[derive(Serialize, Deserialize)]
struct Wire<'a>(
    #[serde(borrow)] Vec<WireEpoch<'a>>,
    #[serde(borrow)] Option<Bin<'a>>,
);

/// An [`Epoch`]: number, psk, public key, secret key.
#[derive(Serialize, Deserialize)]
struct WireEpoch<'a>(
    u32,
    #[serde(borrow)] Bin<'a>,
    #[serde(borrow)] Bin<'a>,
    #[serde(borrow)] Option<Bin<'a>>,
);

impl<'a> From<&'a Epoch> for WireEpoch<'a> {
    fn from(epoch: &'a Epoch) -> Self {
        let secret = epoch.secret.as_ref().map(|key| Bin(key.as_bytes()));
        Self(
            epoch.number,
            Bin(epoch.psk.as_bytes()),
            Bin(&epoch.public),
            secret,
        )
    }
}

impl From<WireEpoch<'_>> for Epoch {
    fn from(WireEpoch(number, psk, public, secret): WireEpoch<'_>) -> Self {
        Self {
            number,
            psk: Secret::copy_of(psk.0),
            public: *public.0,
            secret: secret.map(|Bin(key)| Secret::copy_of(key)),
        }
    }
}

/// A borrowed key, as MessagePack `bin`.
struct Bin<'a>(&'a [u8; LENGTH]);

impl Serialize for Bin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bin<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::invalid_length(bytes.len(), &"32 bytes");
        bytes.try_into().map(Self).map_err(wrong)
    }
}

#[cfg(test)]
mod tests;
