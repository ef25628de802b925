//! What a client knows of the keys that streams are sealed with.
//!
//! Owns epochs, what of them goes to whom, and their form in bytes. The module seals nothing and
//! stores nothing.
//!
//! An *epoch* is a shared secret (`psk`), which proves that a stream was written by a member, and a
//! reading pair, to whose public half streams are sealed. Who leaves makes a new epoch necessary;
//! old ones are kept, because what was written under them may still wait to be read.
//!
//! | who | holds |
//! | --- | --- |
//! | a writer | `psk` and public half of the newest epoch |
//! | a reader | that and the secret half, of all epochs |
//! | a manager | what a reader holds, and the managing key |
//!
//! There is no other keyring than these three: [`Keyring::decode`] refuses whatever mixes them.

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use skypipe_broker::keys::secret::{LENGTH, Secret};
use skypipe_broker::keys::seed::{Pair, Seed};
use zeroize::Zeroizing;

/// The most epochs that are kept. A renewal beyond drops the oldest, and what was sealed under it
/// can be read no more. Without a limit, boxes would grow for as long as people come and go; with
/// this one, a stream would have to wait in a pipe through 64 departures to be lost.
pub const MAX_EPOCHS: usize = 64;

/// The longest [`Keyring::encode`] gives, in bytes. An array of two, in it an array of epochs, each
/// an array of a number and three keys; then the managing key.
pub const MAX_ENCODED: usize = 1 + 3 + MAX_EPOCHS * (1 + 5 + 3 * BIN) + BIN;

/// A key in MessagePack: two bytes that say how long it is, and the key.
const BIN: usize = 2 + LENGTH;

/// The label of the reading pairs of later epochs; that of epoch 0 derives from the founder's seed.
const READING: &[u8] = b"skypipe 1 reading";

/// One generation of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its place among all epochs there ever were, from 0.
    pub number: u32,
    /// What all writers share.
    pub psk: Secret,
    /// The public half of the reading pair.
    pub public: [u8; LENGTH],
    /// Its secret half, unless the owner may only write.
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
    /// At least one and at most [`MAX_EPOCHS`], in the order of their numbers.
    epochs: Vec<Epoch>,
    managing: Option<Secret>,
}

impl Keyring {
    /// The keyring of the founder, a manager like any other, with epoch 0.
    #[must_use]
    pub fn founder(seed: &Seed) -> Self {
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
    /// Never: there is an epoch.
    #[must_use]
    pub fn newest(&self) -> &Epoch {
        self.epochs.last().expect("no keyring is without an epoch")
    }

    /// The managing key, if this is a manager's keyring.
    #[must_use]
    pub fn managing(&self) -> Option<Pair> {
        self.managing.clone().map(Pair::of)
    }

    /// What of it goes into the box of a machine that may only write.
    #[must_use]
    pub fn for_writer(&self) -> Self {
        Self {
            epochs: vec![self.newest().without_secret()],
            managing: None,
        }
    }

    /// What of it goes into the box of a machine that may also read.
    #[must_use]
    pub fn for_reader(&self) -> Self {
        Self {
            epochs: self.epochs.clone(),
            managing: None,
        }
    }

    /// What of it goes into the box of a machine that may also let others in.
    #[must_use]
    pub fn for_manager(&self) -> Self {
        self.clone()
    }

    /// This keyring with a new epoch, from 64 random bytes that are used nowhere else.
    ///
    /// None if this is no manager's keyring: nobody would accept a box with the new epoch. (Nor is
    /// there one after four thousand million others.)
    #[must_use]
    pub fn renewed(&self, random: &[u8; 2 * LENGTH]) -> Option<Self> {
        self.renewed_beyond(0, random)
    }

    /// The same, with a number that is also greater than `taken`: another renewal, which was broken off, has given
    /// that one to keys that are not known here.
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

    /// The keyring in bytes: MessagePack `[[[number, psk, public, secret or nil], …], managing or
    /// nil]`, keys as `bin`, each number in its shortest form. The buffer is made at its full
    /// length, so that no copy is left behind.
    ///
    /// # Panics
    ///
    /// Never: there is nothing in a keyring that MessagePack cannot say.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.encode_with_room(0)
    }

    /// Like [`Keyring::encode`], with room for `more` bytes behind it in the buffer.
    pub(super) fn encode_with_room(&self, more: usize) -> Zeroizing<Vec<u8>> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(MAX_ENCODED + more));
        let epochs = self.epochs.iter().map(WireEpoch::from).collect();
        let managing = self.managing.as_ref().map(|key| Bin(key.as_bytes()));
        rmp_serde::encode::write(&mut *buffer, &Wire(epochs, managing))
            .expect("MessagePack has words for all of it");
        buffer
    }

    /// Reads what [`Keyring::encode`] wrote. None for anything else: there is one way to write a
    /// keyring, and its pairs are pairs.
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

/// A [`Keyring`] as MessagePack has it, without copies of its keys.
#[derive(Serialize, Deserialize)]
struct Wire<'a>(
    #[serde(borrow)] Vec<WireEpoch<'a>>,
    #[serde(borrow)] Option<Bin<'a>>,
);

/// An [`Epoch`]: number, psk, public half, secret half.
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

/// A key where it lies, as MessagePack `bin`.
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
