//! What the phrase opens: the seed of "the phrase", a member like any machine.
//!
//! This module stretches a phrase into a key, and owns the form of what is wrapped with that key. Keyrings
//! are sealed for the encryption key of the phrase's seed, so a new epoch can be made without knowing the
//! words. This module stores nothing and never prompts.
//!
//! The satellite stores the wrapped seed and hands it to anyone who joins with the phrase:
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | the version: 1 |
//! | 4 | Argon2id's memory in KiB, big-endian |
//! | 1 | its passes over that memory |
//! | 1 | its lanes |
//! | 16 | its salt |
//! | 80 | the seed and the managing key's public key, sealed with AES-256-GCM |
//! | 4 | CRC-32 (IEEE) of all bytes before, big-endian |
//!
//! Argon2id makes the 32-byte key from the phrase and the salt. The salt is random and fresh for each
//! wrapping, so every key is used once and the nonce can be zero. The bytes before the sealed part are
//! authenticated with it. The checksum tells damage from a wrong phrase before anyone waits for the
//! stretching; it is no protection against attackers.
//!
//! A satellite can guess phrases. Each guess costs one stretching: 64 MiB filled three times over, about a
//! quarter of a second on one core of an ordinary server (measured 2026). Six words make 2^77.5
//! possibilities.

use std::error::Error;
use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use skypipe_protocol::secret::{LENGTH, Secret};
use skypipe_protocol::seed::Seed;
use zeroize::Zeroizing;

use super::aead;
use super::phrase::Phrase;

const VERSION: u8 = 1;

/// The length of a salt, in bytes.
pub const SALT: usize = 16;

/// The length of the checksum at the end, in bytes.
const CHECKSUM: usize = 4;

/// The length of the unencrypted part, in bytes.
const HEADER: usize = 1 + 4 + 1 + 1 + SALT;

/// The length of the sealed secrets and their tag, in bytes.
const SEALED: usize = 2 * LENGTH + aead::TAG;

/// The length of [`Wrapped::to_bytes`].
pub const WRAPPED: usize = HEADER + SEALED + CHECKSUM;

/// The cost of one guess at a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    /// Memory, in KiB.
    memory: u32,
    /// Passes over the memory.
    passes: u8,
    /// How many parts of the memory could be filled in parallel. (Here they are filled one after the
    /// other.)
    lanes: u8,
}

/// The cost of new phrases, and the lowest accepted cost: the second recommendation of RFC 9106, section 4.
const COST: Cost = Cost {
    memory: 64 << 10,
    passes: 3,
    lanes: 4,
};

/// The highest accepted cost. The satellite chooses what a client reads here, and could otherwise keep it
/// busy for hours or exhaust its memory. This limit allows some thirteen times the work of [`COST`].
const MOST: Cost = Cost {
    memory: 256 << 10,
    passes: 10,
    lanes: 8,
};

impl Cost {
    fn is_acceptable(self) -> bool {
        (COST.memory..=MOST.memory).contains(&self.memory)
            && (COST.passes..=MOST.passes).contains(&self.passes)
            // Fewer lanes make a guess no cheaper.
            && (1..=MOST.lanes).contains(&self.lanes)
    }
}

/// The wrapped seed of the phrase and the managing key's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    cost: Cost,
    salt: [u8; SALT],
    sealed: [u8; SEALED],
}

/// Why wrapped data cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is incomplete or was altered.
    Damaged,
    /// It belongs to another version of this program.
    Version,
    /// Its cost is lower than is safe, or higher than is sensible.
    Cost,
    /// The phrase is wrong. (Or someone altered the wrapped data and corrected the checksum.)
    Phrase,
    /// There is not enough memory to try.
    Memory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the satellite's data for the phrase is damaged",
            Self::Version => {
                "the satellite's data for the phrase is from another version of skypipe"
            }
            Self::Cost => "the satellite's data for the phrase is not safe to try",
            Self::Phrase => "the phrase is wrong",
            Self::Memory => "there is not enough memory to try the phrase",
        })
    }
}

impl Error for Fault {}

impl Wrapped {
    /// Wraps the phrase's `seed` and the managing key's public key. `salt` must be random and used nowhere
    /// else. This takes as long as one guess.
    ///
    /// # Errors
    ///
    /// Only [`Fault::Memory`].
    pub fn new(
        phrase: &Phrase,
        salt: [u8; SALT],
        seed: &Seed,
        managing: &[u8; LENGTH],
    ) -> Result<Self, Fault> {
        let sealed = [0; SEALED];
        let mut wrapped = Self {
            cost: COST,
            salt,
            sealed,
        };
        let key = wrapped.key(phrase)?;
        let mut buffer = Zeroizing::new(Vec::with_capacity(SEALED));
        buffer.extend_from_slice(seed.secret().as_bytes());
        buffer.extend_from_slice(managing);
        aead::seal(&key, &wrapped.header(), &mut buffer);
        wrapped.sealed.copy_from_slice(&buffer);
        Ok(wrapped)
    }

    /// The seed and the managing key's public key. This takes as long as one guess.
    ///
    /// # Errors
    ///
    /// [`Fault::Phrase`] or [`Fault::Memory`].
    pub fn open(&self, phrase: &Phrase) -> Result<(Seed, [u8; LENGTH]), Fault> {
        self.unseal(&self.key(phrase)?)
    }

    fn unseal(&self, key: &Secret) -> Result<(Seed, [u8; LENGTH]), Fault> {
        let mut buffer = Zeroizing::new(self.sealed);
        let clear = aead::open(key, &self.header(), &mut *buffer).ok_or(Fault::Phrase)?;
        let (seed, managing) = clear.split_first_chunk().ok_or(Fault::Phrase)?;
        let managing = managing.try_into().map_err(|_| Fault::Phrase)?;
        Ok((Seed::new(Secret::copy_of(seed)), managing))
    }

    /// Stretches the phrase. The working memory is wiped, because its last part is as good as the key.
    fn key(&self, phrase: &Phrase) -> Result<Secret, Fault> {
        let (memory, passes, lanes) = (self.cost.memory, self.cost.passes, self.cost.lanes);
        let params = Params::new(memory, passes.into(), lanes.into(), Some(LENGTH))
            .expect("these costs are far inside Argon2's own limits");
        let mut blocks = Zeroizing::new(Vec::new());
        let needed = params.block_count();
        blocks
            .try_reserve_exact(needed)
            .map_err(|_| Fault::Memory)?;
        blocks.resize(needed, Block::default());
        let mut key = Zeroizing::new([0; LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                phrase.as_str().as_bytes(),
                &self.salt,
                &mut *key,
                &mut **blocks,
            )
            .expect("phrase, salt and key are of lengths that Argon2 takes");
        Ok(key.into())
    }

    fn header(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let (costs, salt) = header.split_at_mut(HEADER - SALT);
        costs[0] = VERSION;
        costs[1..5].copy_from_slice(&self.cost.memory.to_be_bytes());
        costs[5..].copy_from_slice(&[self.cost.passes, self.cost.lanes]);
        salt.copy_from_slice(&self.salt);
        header
    }

    /// The form that the satellite stores: [`WRAPPED`] bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(WRAPPED);
        bytes.extend(self.header());
        bytes.extend(self.sealed);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    /// Parses what a satellite has stored. This is fast: nothing is stretched.
    ///
    /// # Errors
    ///
    /// Every fault but a wrong phrase.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let (rest, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Fault::Damaged)?;
        if crc32fast::hash(rest) != u32::from_be_bytes(*sum) {
            return Err(Fault::Damaged);
        }
        match rest.first() {
            Some(&VERSION) => Self::from_checked(rest),
            Some(_) => Err(Fault::Version),
            None => Err(Fault::Damaged),
        }
    }

    fn from_checked(mut rest: &[u8]) -> Result<Self, Fault> {
        let [_, memory @ .., passes, lanes] = *take::<{ HEADER - SALT }>(&mut rest)?;
        let (salt, sealed) = (*take(&mut rest)?, *take(&mut rest)?);
        let cost = Cost {
            memory: u32::from_be_bytes(memory),
            passes,
            lanes,
        };
        if !rest.is_empty() {
            return Err(Fault::Damaged);
        }
        if !cost.is_acceptable() {
            return Err(Fault::Cost);
        }
        Ok(Self { cost, salt, sealed })
    }
}

/// Takes the next `N` bytes.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Fault> {
    let (taken, left) = rest.split_first_chunk().ok_or(Fault::Damaged)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests;
