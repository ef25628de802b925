//! Sealed keyrings: a keyring for one machine, stored by a satellite that can neither read nor
//! forge it.
//!
//! This module owns their form. [`super::keyring`] decides who gets which keys. How a sealed keyring travels
//! is not known here.
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | the version: 1 |
//! | 32 | HPKE's encapsulated key, from the managing key to the machine's encryption key |
//! | the rest | the keyring, sealed with AES-256-GCM; its last 16 bytes are the tag |
//!
//! The AES key is what HPKE in Auth mode exports for `skypipe box key`. It is made from fresh
//! entropy for each sealed keyring and used for this sealed keyring alone, so the nonce can be zero. The
//! first 33 bytes are authenticated with the rest.
//!
//! A machine knows the managing key's public key from its invitation, so a sealed keyring made by anyone else
//! does not open. There are two limits. The holder of the machine's own secret can make sealed keyrings for
//! it that look genuine, but already is that machine, in effect. And a satellite can hand out an older sealed
//! keyring instead of the newest: a running client never goes back, but cannot know what was current before
//! it started.

use std::error::Error;
use std::fmt;

use skypipe_protocol::secret::{LENGTH, Secret};
use skypipe_protocol::seed::Pair;
use zeroize::Zeroizing;

use super::aead;
use super::keyring::{Keyring, MAX_ENCODED};
use crate::crypto::seal::kem::{self, Proof, Purpose};

const VERSION: u8 = 1;

/// The length of the unencrypted part, in bytes.
const HEADER: usize = 1 + LENGTH;

/// The longest sealed keyring, in bytes: a manager's, with the maximum number of epochs. It is far below the
/// 16 KiB that a satellite accepts.
pub const MAX_KEYRING: usize = HEADER + MAX_ENCODED + aead::TAG;

const _: () = assert!(MAX_KEYRING < 16 << 10);

const PURPOSE: Purpose<'_> = Purpose {
    info: b"skypipe box 1",
    export: b"skypipe box key",
};

/// Why a sealed keyring cannot be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The public key of its recipient or sender is invalid.
    Key,
    /// It belongs to another version of this program.
    Version,
    /// It is for another machine, from another sender, or was altered.
    Seal,
    /// It is genuine, but its content is not what managers of this version seal.
    Content,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "the machine's public key is invalid",
            Self::Version => "the sealed keyring is of another version of skypipe",
            Self::Seal => {
                "the sealed keyring is not from this machine's manager, not for this machine, or damaged"
            }
            Self::Content => "the content of the sealed keyring is invalid",
        })
    }
}

impl Error for Fault {}

/// Seals `content` for the machine with the public encryption key `to`. `entropy` must be 32 random bytes
/// that are used nowhere else.
///
/// # Errors
///
/// [`Fault::Key`] if `to` is no valid public key.
pub fn seal(
    content: &Keyring,
    to: &[u8; LENGTH],
    managing: &Pair,
    entropy: &Secret,
) -> Result<Vec<u8>, Fault> {
    let (encapsulated, key) = kem::send(to, &Proof::Sender(&managing.secret), PURPOSE, entropy)
        .map_err(|_| Fault::Key)?;
    let mut sealed = content.encode_with_room(aead::TAG);
    let mut sealed_keyring = Vec::with_capacity(HEADER + sealed.len() + aead::TAG);
    sealed_keyring.push(VERSION);
    sealed_keyring.extend(encapsulated);
    aead::seal(&key, &sealed_keyring, &mut sealed);
    sealed_keyring.extend_from_slice(&sealed);
    Ok(sealed_keyring)
}

/// Opens a sealed keyring for the machine with the encryption key pair `own`. `managing` is the managing
/// key's public key, as the machine's invitation names it.
///
/// # Errors
///
/// Why it does not open.
pub fn open(sealed_keyring: &[u8], own: &Pair, managing: &[u8; LENGTH]) -> Result<Keyring, Fault> {
    let (header, sealed) = sealed_keyring.split_at_checked(HEADER).ok_or(Fault::Seal)?;
    let (version, encapsulated) = header.split_first_chunk().ok_or(Fault::Seal)?;
    let encapsulated = encapsulated.try_into().map_err(|_| Fault::Seal)?;
    if *version != [VERSION] {
        return Err(Fault::Version);
    }
    if sealed_keyring.len() > MAX_KEYRING {
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
