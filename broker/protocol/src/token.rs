//! An invitation: one line of text that enrolls one machine.
//!
//! This module owns the format of the text, and the errors for a wrong text. It never creates keys and knows
//! no clock (the caller checks whether an invitation has expired). It never repeats any part of an invitation
//! in an error or a log: whoever reads an invitation can use it.
//!
//! ```text
//! ADDRESS/SECRET
//! ```
//!
//! `ADDRESS` is an [`Address`] with its scheme. `SECRET` is base64url without padding (RFC 4648, section 5)
//! of these bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the version: 1 |
//! | 1 | the kind: 0, keyring at the satellite; 1, the owner's first machine; 2, joins with the phrase |
//! | 32 | the public key of the satellite's identity |
//! | 32 | the machine's seed |
//! | 32 | the public key of the managing key pair; zeros for kind 2 |
//! | 8 | when it expires: seconds since 1970 in UTC, big-endian; 0 for never |
//! | 4 | CRC-32 (IEEE) of all bytes before, big-endian |
//!
//! The checksum detects damaged pastes. Without it, such a paste would look like a satellite that does not
//! answer. The checksum excludes the address: the satellite may have another name where the invitation is
//! used, and a person may then edit it. A wrong address does no harm, because whatever answers there must
//! have the satellite's secret key.

use std::error::Error;
use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::address::{Address, NoAddress};
use super::secret::{LENGTH, Secret};
use super::seed::Seed;

/// The schemes of an [`Address`]. A text without one of them is not an invitation.
const SCHEMES: [&str; 3] = ["skypipe", "skypipe+tls", "skypipe+wss"];

const VERSION: u8 = 1;

/// The length of the checksum at the end of every version, in bytes.
const CHECKSUM: usize = 4;

/// The number of bytes after the slash.
const BINARY: usize = 1 + 1 + 3 * LENGTH + 8 + CHECKSUM;

/// The maximum length of the secret part, in characters. Later versions may have more in it.
const MAX_SECRET: usize = 1024;

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The address of the satellite.
    pub address: Address,
    /// How the machine gets its keys.
    pub kind: Kind,
    /// The public key of the satellite's identity.
    pub satellite: [u8; LENGTH],
    /// The machine's seed.
    pub seed: Seed,
    /// When the invitation expires, in seconds since 1970 (UTC), never 0. `None`: never.
    pub expires: Option<u64>,
}

/// How an invited machine gets its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The machine's sealed keyring is stored at the satellite. The managing key with this public key made
    /// it.
    Keyring {
        /// The public key of the managing key, never zeros.
        managing: [u8; LENGTH],
    },
    /// This is the owner's first machine. Everything derives from its seed.
    Owner,
    /// The machine is given the phrase, which opens everything else that it needs.
    Phrase,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Keyring { .. } => 0,
            Self::Owner => 1,
            Self::Phrase => 2,
        }
    }
}

/// What is wrong with a text that should be an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// The text is something else.
    Foreign,
    /// The text contains white space.
    Broken,
    /// The host or the port is invalid.
    Address,
    /// The secret part is incomplete or was changed.
    Mangled,
    /// The invitation is from another version of this program.
    Version,
    /// The invitation is intact, but no satellite of this version would write it.
    Content,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "it does not begin with skypipe://",
            Self::Broken => {
                "it was broken over several lines, or has a space in it: it is one line"
            }
            Self::Address => "between skypipe:// and the last slash belongs host:port",
            Self::Mangled => "part of it is missing or was changed: copy the whole line again",
            Self::Version => "it is for another version of skypipe",
            Self::Content => "its contents are inconsistent",
        })
    }
}

impl Error for TokenFault {}

impl Token {
    /// The text of the invitation.
    ///
    /// # Panics
    ///
    /// Never: the lengths are fixed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let binary = self.binary();
        let mut secret = Zeroizing::new([0; BINARY.div_ceil(3) * 4]);
        let secret =
            Base64UrlUnpadded::encode(&binary, &mut *secret).expect("the buffer is larger");
        let address = self.address.url();
        let length = address.len() + 1 + secret.len();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in [&address, "/", secret] {
            text.push_str(part);
        }
        text
    }

    /// Parses the text of an invitation. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// What is wrong with the text. The error contains no part of it.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(TokenFault::Foreign)?;
        if !SCHEMES.contains(&scheme) {
            return Err(TokenFault::Foreign);
        }
        if text.contains(char::is_whitespace) {
            return Err(TokenFault::Broken);
        }
        // Only the address of a WebSocket contains slashes of its own.
        let parts = match scheme {
            "skypipe+wss" => rest.rsplit_once('/'),
            _ => rest.split_once('/'),
        };
        let (before, secret) = parts.ok_or(TokenFault::Mangled)?;
        let address = &text[..scheme.len() + "://".len() + before.len()];
        let address = address.parse().map_err(|NoAddress| TokenFault::Address)?;
        if secret.len() > MAX_SECRET {
            return Err(TokenFault::Mangled);
        }
        let mut buffer = Zeroizing::new([0; MAX_SECRET]);
        let binary =
            Base64UrlUnpadded::decode(secret, &mut *buffer).map_err(|_| TokenFault::Mangled)?;
        Self::from_binary(address, checked(binary)?)
    }

    /// The public key of the managing key, if the invitation contains it.
    #[must_use]
    pub fn managing(&self) -> Option<[u8; LENGTH]> {
        match self.kind {
            Kind::Keyring { managing } => Some(managing),
            Kind::Owner => Some(self.seed.managing().public),
            Kind::Phrase => None,
        }
    }

    fn binary(&self) -> Zeroizing<Vec<u8>> {
        let mut binary = Zeroizing::new(Vec::with_capacity(BINARY));
        binary.extend([VERSION, self.kind.number()]);
        binary.extend_from_slice(&self.satellite);
        binary.extend_from_slice(self.seed.secret().as_bytes());
        binary.extend_from_slice(&self.managing().unwrap_or_default());
        binary.extend_from_slice(&self.expires.unwrap_or(0).to_be_bytes());
        let sum = crc32fast::hash(&binary);
        binary.extend_from_slice(&sum.to_be_bytes());
        binary
    }

    /// Decodes bytes that passed [`checked`].
    fn from_binary(address: Address, binary: &[u8]) -> Result<Self, TokenFault> {
        let mut rest = binary;
        let [VERSION] = take(&mut rest)? else {
            return Err(TokenFault::Version);
        };
        let [kind] = take(&mut rest)?;
        let satellite = *take(&mut rest)?;
        let seed = Seed::new(Secret::copy_of(take(&mut rest)?));
        let managing = *take(&mut rest)?;
        let expires = u64::from_be_bytes(*take(&mut rest)?);
        if !rest.is_empty() {
            return Err(TokenFault::Content);
        }
        Ok(Self {
            address,
            kind: parse_kind(*kind, managing, &seed)?,
            satellite,
            seed,
            expires: (expires != 0).then_some(expires),
        })
    }
}

fn parse_kind(number: u8, managing: [u8; LENGTH], seed: &Seed) -> Result<Kind, TokenFault> {
    let none = managing == [0; LENGTH];
    match number {
        0 if !none => Ok(Kind::Keyring { managing }),
        1 if managing == seed.managing().public => Ok(Kind::Owner),
        2 if none => Ok(Kind::Phrase),
        _ => Err(TokenFault::Content),
    }
}

/// The bytes without their checksum, if the checksum is right.
fn checked(binary: &[u8]) -> Result<&[u8], TokenFault> {
    let (rest, sum) = binary
        .split_last_chunk::<CHECKSUM>()
        .ok_or(TokenFault::Mangled)?;
    if crc32fast::hash(rest) == u32::from_be_bytes(*sum) {
        Ok(rest)
    } else {
        Err(TokenFault::Mangled)
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], TokenFault> {
    let (taken, left) = rest.split_first_chunk().ok_or(TokenFault::Content)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests;
