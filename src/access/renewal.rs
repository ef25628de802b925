//! A new reading key for every remaining member.
//!
//! This module decides who gets the new key, and in which order. It decides by the managers' attestations
//! and this machine's clock, never by the satellite's word: the satellite keeps the list of keys, and may
//! side with a revoked member.
//!
//! This machine's own sealed keyring comes first and begins the generation, so that later invitations
//! include the new key. Then come managers, so that as many as possible can continue if this machine is
//! lost on the way. Readers follow, and writers come last: whatever is sealed with a key can then be read.

use skypipe_protocol::seed::Pair;
use skypipe_protocol::text::normal;
use skypipe_protocol::{KeyInfo, OwnKey, Phrase, Reply};
use skypipe_satellite::randomness;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Listed, Member, new_keyring, seal_for_phrase};
use crate::crypto::Keyring;
use crate::crypto::attestation::Claim;
use crate::exit::Failure;
use crate::prompt::confirm;
use crate::report::notice;
use crate::session::Question;
use crate::system::{random, unix_time};

/// By how many generations the satellite may be ahead of this machine. Each one is an interrupted renewal.
/// A number far away would use up the numbers for later renewals.
const MOST_AHEAD: u32 = 1000;

/// A renewal after one key was revoked.
pub(crate) struct Renewal<'a> {
    pub member: &'a Member,
    pub keyring: &'a Keyring,
    pub managing: &'a Pair,
    /// This machine's own key.
    pub own: &'a OwnKey,
    /// The name of the revoked key.
    pub revoked: &'a str,
    /// Do not ask (`--yes`): take over a renewal that another machine began, and give no new keys to those
    /// whom the last renewal did not reach.
    pub yes: bool,
}

/// What an attestation says of a key or the phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A manager attested it in the present generation of keys or later.
    Present,
    /// A manager attested it in an earlier generation: either it was revoked, or the renewal broke off
    /// before it.
    LeftOut,
    /// No manager attests what the satellite says.
    Unattested,
}

impl Renewal<'_> {
    /// Makes the new keys and stores a sealed keyring for each member.
    ///
    /// # Errors
    ///
    /// When the satellite refuses, another machine is renewing, or the user must be asked and cannot be.
    pub fn carry_out(&self) -> Result<(), Failure> {
        let Listed { keys, epoch } = self.member.keys()?;
        let newest = self.keyring.newest().number;
        if epoch > newest {
            self.take_over(epoch - newest)?;
        }
        let gives_to_all = self.gives_to_those_left_out(&keys, epoch)?;
        let is_meant = |standing| match standing {
            Standing::Present => true,
            Standing::LeftOut => gives_to_all,
            Standing::Unattested => false,
        };
        let mut fresh = Zeroizing::new([0; 64]);
        let (psk, reading) = fresh.split_at_mut(32);
        psk.copy_from_slice(random().as_bytes());
        reading.copy_from_slice(random().as_bytes());
        let renewed = self.keyring.renewed_beyond(epoch, &fresh);
        let renewed = renewed.ok_or_else(|| {
            Failure::failed(
                "the reading key has been renewed too many \
                                                   times",
            )
        })?;
        let renewal = randomness::uuid();
        self.give(&self.member.claim(self.own), &renewed, renewal)?;
        // The list is read only now: a member invited before now has an older keyring, and is on the list.
        for key in in_order(self.member.keys()?.keys) {
            if self.is_to_have(&key, &is_meant, epoch) {
                self.give(&Claim::of(&key), &renewed, renewal)?;
            }
        }
        self.keep_phrase(&renewed, &is_meant, epoch)
    }

    /// Asks whether to go on although another machine began a generation that this machine has no keys of.
    /// That machine may still be at work, or lost.
    fn take_over(&self, ahead: u32) -> Result<(), Failure> {
        if ahead > MOST_AHEAD {
            return Err(Failure::failed(
                "the satellite reported a reading key that cannot exist yet",
            ));
        }
        let begun = "another machine started to make a new reading key and has not finished: data \
                     written with that key can be read only by machines that already have it";
        if self.yes {
            return Ok(());
        }
        match confirm(&format!("{begun}. Should this machine take over?")) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::failed(
                "another machine is already making a new reading \
                                                key",
            )),
            None => Err(Failure::failed(format!(
                "{begun}; if that machine is lost, take over with --yes"
            ))),
        }
    }

    /// Whether those whom the last renewal did not reach get the new keys, too. Either that renewal broke
    /// off, or the satellite goes on showing what was revoked. Only a person can know, so `--yes` counts as
    /// a no: they get nothing then.
    fn gives_to_those_left_out(&self, keys: &[KeyInfo], epoch: u32) -> Result<bool, Failure> {
        let is_left_out = |key: &&KeyInfo| {
            self.is_others(key)
                && !has_expired(key)
                && self.standing(&Claim::of(key), key.attestation.as_deref(), epoch)
                    == Standing::LeftOut
        };
        let mut names: Vec<_> = keys
            .iter()
            .filter(is_left_out)
            .map(|key| &*key.name)
            .collect();
        if let Some(kept) = self.phrase()? {
            let claim = Claim::of_phrase(kept.encryption);
            if self.standing(&claim, Some(&kept.attestation), epoch) == Standing::LeftOut {
                names.push("the phrase");
            }
        }
        if names.is_empty() || self.yes {
            return Ok(names.is_empty());
        }
        let names = names.join(", ");
        let left_out = format!(
            "the last renewal did not reach {names}: it was interrupted, or the satellite still \
             shows revoked keys"
        );
        let asked = confirm(&format!("{left_out}. Give them the new reading key?"));
        asked.ok_or_else(|| {
            Failure::failed(format!(
                "{left_out}; run this on a terminal to decide, or with --yes to give them no new \
                 reading key"
            ))
        })
    }

    fn standing(&self, claim: &Claim<'_>, attestation: Option<&[u8]>, epoch: u32) -> Standing {
        let attestation = attestation.unwrap_or_default();
        let is_of = |epoch| claim.is_attested(self.managing, epoch, attestation);
        let newest = self.keyring.newest().number;
        let oldest = self.keyring.epochs()[0].number;
        if (newest..=epoch.max(newest)).any(is_of) {
            Standing::Present
        } else if (oldest.max(newest.saturating_sub(MOST_AHEAD))..newest).any(is_of) {
            Standing::LeftOut
        } else {
            Standing::Unattested
        }
    }

    /// Whether this is another member's key that stays. The satellite may go on showing what was revoked.
    fn is_others(&self, key: &KeyInfo) -> bool {
        let name = normal(&key.name);
        name != normal(&self.own.name) && name != normal(self.revoked)
    }

    /// Whether the holder of a key gets the new keys. Says why not, unless the reason is obvious.
    fn is_to_have(&self, key: &KeyInfo, is_meant: &dyn Fn(Standing) -> bool, epoch: u32) -> bool {
        if !self.is_others(key) {
            return false;
        }
        let standing = self.standing(&Claim::of(key), key.attestation.as_deref(), epoch);
        let why = match standing {
            // A key that opens no pipe has no sealed keyring either.
            Standing::Unattested if !key.has_keyring => return false,
            Standing::Unattested => "no manager attests it",
            _ if has_expired(key) => "it has expired",
            _ if !is_meant(standing) => "the last renewal did not reach it",
            _ => return true,
        };
        notice(&format!(
            "the key {} gets no new reading key: {why}",
            key.name
        ));
        false
    }

    fn give(&self, claim: &Claim<'_>, renewed: &Keyring, renewal: Uuid) -> Result<(), Failure> {
        let new = new_keyring(claim, renewed, self.managing, Some(renewal))?;
        self.member.put(Question::Keyring(new))?;
        Ok(())
    }

    /// What the satellite stores for the phrase, if there is one.
    fn phrase(&self) -> Result<Option<Phrase>, Failure> {
        let answers = self.member.put(Question::Phrase)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            Reply::Phrase(phrase) => phrase,
            _ => None,
        }))
    }

    /// Seals the new keys for those who know the phrase, if there is one.
    fn keep_phrase(
        &self,
        renewed: &Keyring,
        is_meant: &dyn Fn(Standing) -> bool,
        epoch: u32,
    ) -> Result<(), Failure> {
        let Some(kept) = self.phrase()? else {
            return Ok(());
        };
        let claim = Claim::of_phrase(kept.encryption);
        if !is_meant(self.standing(&claim, Some(&kept.attestation), epoch)) {
            notice("the phrase gets no new reading key: no manager attests it");
            return Ok(());
        }
        let kept = seal_for_phrase(renewed, self.managing, kept.wrapped, kept.encryption)?;
        self.member
            .put(Question::SetPhrase(renewed.newest().number, Some(kept)))?;
        Ok(())
    }
}

/// Whether a key has expired, by this machine's clock.
fn has_expired(key: &KeyInfo) -> bool {
    key.expires.is_some_and(|end| end <= unix_time())
}

/// Managers first, then readers, then writers.
fn in_order(mut keys: Vec<KeyInfo>) -> Vec<KeyInfo> {
    keys.sort_by_key(|key| (!key.rights.manage, !key.rights.read));
    keys
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::{Holds, PublicKey, Rights};

    use super::*;

    #[test]
    fn who_can_go_on_with_it_comes_first_and_writers_last() {
        let key = |name: &str, read, manage| KeyInfo {
            name: name.to_owned(),
            encryption: PublicKey([0; 32]),
            rights: Rights {
                read,
                write: true,
                manage,
            },
            pipes: Vec::new(),
            expires: None,
            quota: None,
            holds: Holds::default(),
            made: 0,
            used: None,
            is_connected: false,
            has_keyring: true,
            attestation: None,
        };
        let keys = vec![
            key("a writer", false, false),
            key("b reader", true, false),
            key("c manager", false, true),
            key("d manager", true, true),
        ];
        let names: Vec<_> = in_order(keys).into_iter().map(|key| key.name).collect();
        assert_eq!(names, ["d manager", "c manager", "b reader", "a writer"]);
    }
}
