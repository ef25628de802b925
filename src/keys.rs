//! What a machine that was invited knows, and what it makes of that.
//!
//! Owns who a client is ([`Identity`]) and, beside it, the keys that seal and open streams
//! ([`keyring`]), the boxes in which the satellite keeps them for each machine ([`boxes`]) and the
//! phrase that lets a machine in without another one ([`phrase`], [`wrapping`]), and what makes managers
//! sure of one another's invitations ([`voucher`]). Pure: no file, prompt or socket.

mod aead;
pub mod boxes;
pub mod keyring;
pub mod phrase;
pub mod voucher;
pub mod wrapping;

use std::fmt;

use skypipe_broker::keys::secret::Secret;
use skypipe_broker::keys::seed::{Pair, Seed};
use skypipe_broker::keys::token::{Kind, Token};

pub use self::keyring::{Epoch, Keyring};

/// Where 32 secret bytes come from that nobody has had before.
pub type Random = fn() -> Secret;

/// Who a client is at a satellite that has keys.
#[derive(Debug, Clone)]
pub struct Identity {
    seed: Seed,
    managing: Option<[u8; 32]>,
    is_founder: bool,
    random: Random,
}

/// Why there are no keys to seal and to open with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The machine has an access key and has not given the phrase yet, or nobody has sealed its box.
    NoBox,
    /// The box is none, or none that the managers sealed for this machine.
    Box(boxes::Fault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBox => f.write_str(
                "this machine has a key to the satellite, but none to what is in its pipes: \
                 skypipe --join asks for the phrase",
            ),
            Self::Box(fault) => write!(
                f,
                "the satellite keeps no good keys for this machine: {fault}"
            ),
        }
    }
}

impl std::error::Error for Fault {}

impl Identity {
    /// Who holds an invitation.
    #[must_use]
    pub fn new(token: &Token, random: Random) -> Self {
        Self {
            seed: token.seed.clone(),
            managing: token.managing(),
            is_founder: token.kind == Kind::Founder,
            random,
        }
    }

    /// The keys in the box that the satellite keeps for this machine. The founder needs none before
    /// the first renewal.
    ///
    /// # Errors
    ///
    /// When there is no box, or it cannot be trusted.
    pub fn keyring(&self, boxed: Option<&[u8]>) -> Result<Keyring, Fault> {
        match (boxed, &self.managing) {
            (Some(boxed), Some(managing)) => {
                boxes::open(boxed, &self.seed.boxing(), managing).map_err(Fault::Box)
            }
            (None, _) if self.is_founder => Ok(Keyring::founder(&self.seed)),
            _ => Err(Fault::NoBox),
        }
    }

    /// The pair with which boxes for this machine are opened.
    #[must_use]
    pub fn boxing(&self) -> Pair {
        self.seed.boxing()
    }

    /// Where its fresh secrets come from.
    #[must_use]
    pub fn random(&self) -> Random {
        self.random
    }
}
