//! The attestation of an `--eof`: who gave it, for which pipe, and when (rule 6).
//!
//! This module owns its form. The satellite passes an attestation on and cannot make one: only holders of
//! an epoch's reading key can. Which of them it was is their own claim. A satellite can replay an old one;
//! listeners decide whether to accept it.
//!
//! # The form
//!
//! Numbers are big-endian.
//!
//! | bytes   | what                                              |
//! | ------- | ------------------------------------------------- |
//! | 0..4    | epoch: the number of the reading key              |
//! | 4..12   | when it was given, in seconds since 1970 (UTC)    |
//! | then    | the name of the key that gave it                  |
//! | last 32 | the tag                                           |
//!
//! The tag is HMAC-SHA256 of one byte with the length of the name, everything before the tag, and the
//! pipe's name. Its key is HMAC-SHA256 of `skypipe eof 1` by the epoch's reading key.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use ring::hmac;
use skypipe_protocol::MAX_ORDER;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::text;

use super::Fault;
use crate::crypto::Epoch;

/// The purpose from which the tag's key is derived.
const PURPOSE: &[u8] = b"skypipe eof 1";

/// The lengths of what comes first, an epoch's number and a time, and of the tag, in bytes.
const HEAD: usize = 4 + 8;
const TAG: usize = 32;

/// The last second that can be printed as a date: the end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// The content of the attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The name of the key that gave the `--eof`.
    pub by: String,
    /// When it was given, in seconds since 1970 (UTC).
    pub at: u64,
}

impl Order {
    /// Seals it for one pipe. `None` without the epoch's reading key: a key that may only write cannot give
    /// an `--eof`.
    #[must_use]
    pub fn seal(&self, epoch: &Epoch, pipe: &str) -> Option<Bytes> {
        let secret = epoch.secret.as_ref()?;
        let mut wire = epoch.number.to_be_bytes().to_vec();
        wire.extend(self.at.to_be_bytes());
        wire.extend(self.by.as_bytes());
        let content = content(&wire, pipe)?;
        wire.extend_from_slice(hmac::sign(&key(secret), &content).as_ref());
        (wire.len() <= MAX_ORDER).then(|| wire.into())
    }

    /// Checks an attestation for this pipe and returns its content.
    ///
    /// # Errors
    ///
    /// When no holder of a reading key made it.
    pub fn open(epochs: &[Epoch], pipe: &str, wire: &[u8]) -> Result<Self, Fault> {
        let length = wire.len().checked_sub(TAG);
        let length = length.filter(|length| *length >= HEAD && wire.len() <= MAX_ORDER);
        let (said, tag) = wire.split_at(length.ok_or(Fault::Unordered)?);
        let number = said.first_chunk().map(|it| u32::from_be_bytes(*it));
        let epoch = epochs.iter().find(|epoch| Some(epoch.number) == number);
        let secret = epoch.and_then(|epoch| epoch.secret.as_ref());
        let content = content(said, pipe).ok_or(Fault::Unordered)?;
        hmac::verify(&key(secret.ok_or(Fault::Unordered)?), &content, tag)
            .map_err(|_| Fault::Unordered)?;
        let (head, name) = said.split_at(HEAD);
        let at = head.last_chunk().map(|it| u64::from_be_bytes(*it));
        let by = std::str::from_utf8(name).ok().map(str::to_owned);
        let order = at.zip(by).map(|(at, by)| Self { by, at });
        order.ok_or(Fault::Unordered)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UNIX_EPOCH + Duration::from_secs(self.at.min(LAST_DATE));
        let time = humantime::format_rfc3339_seconds(at);
        write!(f, "an --eof by {} at {time}", text::printable(&self.by))
    }
}

fn key(secret: &Secret) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    // HPKE uses the reading key itself, so the tag gets a derived key.
    let derived = hmac::sign(&secret, PURPOSE);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

/// The bytes that the tag authenticates. `None` if the name is longer than a name can be.
fn content(said: &[u8], pipe: &str) -> Option<Vec<u8>> {
    let name = u8::try_from(said.len().checked_sub(HEAD)?).ok()?;
    Some([&[name], said, pipe.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::seed::Seed;

    use super::*;
    use crate::crypto::Keyring;

    fn keyring(byte: u8) -> Keyring {
        Keyring::owner(&Seed::new(Secret::new([byte; 32])))
    }

    fn order() -> Order {
        Order {
            by: "laptop".to_owned(),
            at: 1_795_971_600,
        }
    }

    #[test]
    fn it_says_who_gave_it_and_when() {
        let ours = keyring(1);
        let wire = order().seal(ours.newest(), "logs").expect("we may read");
        assert_eq!(Order::open(ours.epochs(), "logs", &wire), Ok(order()));
        let said = order().to_string();
        assert_eq!(said, "an --eof by laptop at 2026-11-29T17:00:00Z");
        let far = Order {
            by: "\u{1b}[2J".to_owned(),
            at: u64::MAX,
        };
        let said = far.to_string();
        assert!(
            said.contains("9999-12-31") && !said.contains('\u{1b}'),
            "{said}"
        );
    }

    #[test]
    fn it_is_of_one_pipe_and_nobody_makes_or_alters_it_without_the_reading_key() {
        let ours = keyring(1);
        let wire = order().seal(ours.newest(), "logs").expect("we may read");
        let refused = |epochs: &[Epoch], pipe: &str, wire: &[u8]| {
            assert_eq!(
                Order::open(epochs, pipe, wire),
                Err(Fault::Unordered),
                "{pipe}"
            );
        };
        refused(ours.epochs(), "other", &wire);
        refused(ours.epochs(), "plogs", &wire);
        refused(keyring(2).epochs(), "logs", &wire);
        refused(ours.for_writer().epochs(), "logs", &wire);
        assert_eq!(order().seal(ours.for_writer().newest(), "logs"), None);
        for place in 0..wire.len() {
            let mut altered = wire.to_vec();
            altered[place] ^= 1;
            refused(ours.epochs(), "logs", &altered);
            refused(ours.epochs(), "logs", &wire[..place]);
        }
        refused(ours.epochs(), "logs", &[0; MAX_ORDER + 1]);
        let long = Order {
            by: "n".repeat(MAX_ORDER),
            at: 0,
        };
        assert_eq!(long.seal(ours.newest(), "logs"), None);
    }
}
