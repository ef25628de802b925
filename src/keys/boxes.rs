//! A keyring on its way to one machine, by way of a satellite that can neither read nor make it.
//!
//! Owns the form of boxes. The module knows nothing of who gets what ([`super::keyring`] does), nor
//! of how a box travels.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the version: 1 |
//! | 32 | what HPKE encapsulated, from the managing key to the machine's boxing key |
//! | the rest | the keyring, sealed with AES-256-GCM; its last 16 bytes are the tag |
//!
//! The key is what HPKE in Auth mode exports for `skypipe box key`. It is made from fresh entropy
//! for each box and used for this box alone, which is why the nonce can be zero. The first 33 bytes
//! are authenticated with the rest.
//!
//! Who opens a box knows the public half of the managing key from its invitation, so that a box
//! made by anyone else does not open. There are two limits to that. Who has the machine's own
//! secret can make boxes for it that look genuine, but is then that machine already. And a
//! satellite can hand out an older box instead of the newest one: a client never goes back while it
//! runs, but cannot know what was before it started.

use std::error::Error;
use std::fmt;

use skypipe_broker::keys::secret::{LENGTH, Secret};
use skypipe_broker::keys::seed::Pair;
use zeroize::Zeroizing;

use super::aead;
use super::keyring::{Keyring, MAX_ENCODED};
use crate::seal::kem::{self, Proof, Purpose};

const VERSION: u8 = 1;

/// The bytes before what is sealed.
const HEADER: usize = 1 + LENGTH;

/// The longest box, in bytes: a manager's, with all the epochs there can be. Far below the 16 KiB
/// that a satellite takes.
pub const MAX_BOX: usize = HEADER + MAX_ENCODED + aead::TAG;

const _: () = assert!(MAX_BOX < 16 << 10);

const PURPOSE: Purpose<'_> = Purpose {
    info: b"skypipe box 1",
    export: b"skypipe box key",
};

/// Why a box cannot be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The public half it should be for or from is none.
    Key,
    /// It is of another version of this program.
    Version,
    /// It is for someone else, from someone else, or was changed.
    Seal,
    /// It is genuine, but holds what no manager of this version puts into one.
    Content,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "the machine's public key is no such key",
            Self::Version => "the box is of another version of skypipe",
            Self::Seal => {
                "the box is not from this machine's manager, not for this machine, or damaged"
            }
            Self::Content => "what is in the box makes no sense",
        })
    }
}

impl Error for Fault {}

/// Puts `content` into a box for the machine whose boxing key has the public half `to`. `entropy`
/// is 32 random bytes that are used nowhere else.
///
/// # Errors
///
/// [`Fault::Key`] if `to` is no public half of anything.
pub fn seal(
    content: &Keyring,
    to: &[u8; LENGTH],
    managing: &Pair,
    entropy: &Secret,
) -> Result<Vec<u8>, Fault> {
    let (encapsulated, key) = kem::send(to, &Proof::Sender(&managing.secret), PURPOSE, entropy)
        .map_err(|_| Fault::Key)?;
    let mut sealed = content.encode_with_room(aead::TAG);
    let mut boxed = Vec::with_capacity(HEADER + sealed.len() + aead::TAG);
    boxed.push(VERSION);
    boxed.extend(encapsulated);
    aead::seal(&key, &boxed, &mut sealed);
    boxed.extend_from_slice(&sealed);
    Ok(boxed)
}

/// Opens a box for the machine that has the boxing pair `own`. `managing` is the public half of the
/// managing key, as its invitation names it.
///
/// # Errors
///
/// Why it does not open.
pub fn open(boxed: &[u8], own: &Pair, managing: &[u8; LENGTH]) -> Result<Keyring, Fault> {
    let (header, sealed) = boxed.split_at_checked(HEADER).ok_or(Fault::Seal)?;
    let (version, encapsulated) = header.split_first_chunk().ok_or(Fault::Seal)?;
    let encapsulated = encapsulated.try_into().map_err(|_| Fault::Seal)?;
    if *version != [VERSION] {
        return Err(Fault::Version);
    }
    if boxed.len() > MAX_BOX {
        return Err(Fault::Seal);
    }
    let key = kem::receive(&own.secret, encapsulated, &Proof::Sender(managing), PURPOSE)
        .map_err(|_| Fault::Seal)?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let clear = aead::open(&key, header, &mut buffer).ok_or(Fault::Seal)?;
    let keyring = Keyring::decode(clear).ok_or(Fault::Content)?;
    let same = |key: Pair| key.public == *managing;
    let fits = keyring.managing().is_none_or(same);
    fits.then_some(keyring).ok_or(Fault::Content)
}

#[cfg(test)]
mod tests;
