//! The identity of a client at a satellite with keys: what the holder of an invitation knows, and what it
//! derives from that.
//!
//! It never creates randomness: a source of it is handed in.

use std::fmt;

use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::{Pair, Seed};
use skypipe_protocol::token::{Kind, Token};

use super::{Keyring, sealed_keyring};

/// A source of 32 fresh random bytes.
pub type Random = fn() -> Secret;

/// A client's identity at a satellite with keys.
#[derive(Debug, Clone)]
pub struct Identity {
    seed: Seed,
    managing: Option<[u8; 32]>,
    is_owner: bool,
    random: Random,
}

/// Why there is no keyring to seal and open with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The machine has an access key and was not given the phrase yet, or nobody has sealed a keyring for
    /// it.
    NoKeyring,
    /// The sealed keyring is invalid, or no manager sealed it for this machine.
    Keyring(sealed_keyring::Fault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyring => f.write_str(
                "this machine can reach the satellite but has no key to its pipes: run skypipe \
                 --join and enter the phrase",
            ),
            Self::Keyring(fault) => write!(
                f,
                "the satellite's keys for this machine are invalid: {fault}"
            ),
        }
    }
}

impl std::error::Error for Fault {}

impl Identity {
    /// The identity of an invitation's holder.
    #[must_use]
    pub fn new(token: &Token, random: Random) -> Self {
        Self {
            seed: token.seed.clone(),
            managing: token.managing(),
            is_owner: token.kind == Kind::Owner,
            random,
        }
    }

    /// Opens the sealed keyring that the satellite stores for this machine. The owner needs none before the
    /// first renewal.
    ///
    /// # Errors
    ///
    /// When there is no sealed keyring, or it cannot be trusted.
    pub fn keyring(&self, sealed_keyring: Option<&[u8]>) -> Result<Keyring, Fault> {
        match (sealed_keyring, &self.managing) {
            (Some(sealed_keyring), Some(managing)) => {
                sealed_keyring::open(sealed_keyring, &self.seed.encryption(), managing)
                    .map_err(Fault::Keyring)
            }
            (None, _) if self.is_owner => Ok(Keyring::owner(&self.seed)),
            _ => Err(Fault::NoKeyring),
        }
    }

    /// The encryption key pair, which opens sealed keyrings for this machine.
    #[must_use]
    pub fn encryption(&self) -> Pair {
        self.seed.encryption()
    }

    /// The source of fresh secrets.
    #[must_use]
    pub fn random(&self) -> Random {
        self.random
    }
}
