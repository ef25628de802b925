//! Attestations, by which managers verify each other's invitations.
//!
//! The satellite keeps the list of authorized keys. It could add a key of its own, call somebody a manager
//! who is none, claim that a key has not expired, or show a revoked machine under another name. So the
//! inviter attests all of that with a secret that only managers have, and a renewal gives new keys to
//! nobody without an attestation.
//!
//! An attestation is valid for one generation of reading keys, and each renewal makes new ones. A revoked
//! machine is left out of a renewal, so it has no attestation for the present generation, however long the
//! satellite goes on showing its key.

use ring::hmac;
use skypipe_protocol::seed::Pair;
use skypipe_protocol::{KeyInfo, PublicKey, Rights};

/// The purpose from which the attestation key is derived.
const PURPOSE: &[u8] = b"skypipe attestation 2";

/// What is attested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The key's name. It is empty for the phrase.
    pub name: &'a str,
    /// The public encryption key, for which keyrings are sealed.
    pub encryption: PublicKey,
    /// What the key allows.
    pub rights: Rights,
    /// When the key expires, in seconds since 1970 (UTC).
    pub expires: Option<u64>,
}

impl<'a> Claim<'a> {
    /// The claim that a satellite makes about a key.
    #[must_use]
    pub fn of(key: &'a KeyInfo) -> Self {
        Self {
            name: &key.name,
            encryption: key.encryption,
            rights: key.rights,
            expires: key.expires,
        }
    }

    /// The claim about a phrase: whoever knows it may do everything.
    #[must_use]
    pub fn of_phrase(encryption: PublicKey) -> Self {
        Self {
            name: "",
            encryption,
            rights: Rights::ALL,
            expires: None,
        }
    }

    /// Makes the attestation for a generation of keys: HMAC-SHA256, with a key derived from the managing
    /// key.
    #[must_use]
    pub fn attest(&self, managing: &Pair, epoch: u32) -> Vec<u8> {
        let tag = hmac::sign(&key(managing), &self.content(epoch));
        tag.as_ref().to_vec()
    }

    /// Whether this is a manager's attestation for this generation.
    #[must_use]
    pub fn is_attested(&self, managing: &Pair, epoch: u32, attestation: &[u8]) -> bool {
        hmac::verify(&key(managing), &self.content(epoch), attestation).is_ok()
    }

    /// The authenticated bytes. Only the name, which comes last, has a variable length.
    fn content(&self, epoch: u32) -> Vec<u8> {
        let Rights {
            read,
            write,
            manage,
        } = self.rights;
        let flags = [read, write, manage, self.expires.is_some()].map(u8::from);
        let expires = self.expires.unwrap_or_default().to_be_bytes();
        let parts = [
            &epoch.to_be_bytes()[..],
            &self.encryption.0,
            &flags,
            &expires,
            self.name.as_bytes(),
        ];
        parts.concat()
    }
}

fn key(managing: &Pair) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, managing.secret.as_bytes());
    // HPKE uses the managing key itself, so the attestation gets a derived key.
    let derived = hmac::sign(&secret, PURPOSE);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::secret::Secret;
    use skypipe_protocol::seed::Seed;

    use super::*;

    const CLAIM: Claim<'_> = Claim {
        name: "tv",
        encryption: PublicKey([7; 32]),
        rights: Rights {
            read: true,
            write: false,
            manage: false,
        },
        expires: Some(1_700_000_000),
    };

    #[test]
    fn an_attestation_is_for_one_machine_its_name_its_rights_its_time_and_one_generation() {
        let managing = |byte| Seed::new(Secret::new([byte; 32])).managing();
        let ours = managing(1);
        let attestation = CLAIM.attest(&ours, 3);
        assert!(CLAIM.is_attested(&ours, 3, &attestation));
        assert!(
            !CLAIM.is_attested(&ours, 2, &attestation)
                && !CLAIM.is_attested(&ours, 4, &attestation)
        );
        assert!(!CLAIM.is_attested(&managing(2), 3, &attestation));
        let others = [
            Claim {
                name: "tv2",
                ..CLAIM
            },
            Claim {
                encryption: PublicKey([8; 32]),
                ..CLAIM
            },
            Claim {
                rights: Rights::ALL,
                ..CLAIM
            },
            Claim {
                expires: Some(1_800_000_000),
                ..CLAIM
            },
            Claim {
                expires: None,
                ..CLAIM
            },
        ];
        for other in others {
            assert!(!other.is_attested(&ours, 3, &attestation), "{other:?}");
        }
        assert!(!CLAIM.is_attested(&ours, 3, &attestation[1..]));
        assert!(!CLAIM.is_attested(&ours, 3, b""));
    }
}
