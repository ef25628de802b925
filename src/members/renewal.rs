//! A new reading key for everybody who is left.
//!
//! Owns who gets it, and in which order. What decides is what managers vouched for and this machine's clock, never
//! what the satellite says: it keeps the list of keys, and may side with somebody who was revoked.
//!
//! This machine's own box comes first and begins the generation, so that whoever is invited from then on gets it,
//! too. Then come managers, so that as many as possible can go on should this machine be lost on the way, then
//! readers, and writers last: what is sealed with a key can then be read.

use skypipe_broker::keys::seed::Pair;
use skypipe_broker::protocol::{KeyInfo, OwnKey, Phrase, Reply};
use skypipe_broker::text::normal;
use skypipe_satellite::randomness;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::phrase::seal;
use super::prompt::confirm;
use super::{Listed, Member, new_box, random, wall};
use crate::exit::Failure;
use crate::keys::Keyring;
use crate::keys::voucher::Claim;
use crate::session::Question;
use crate::tell::notice;

/// By how many generations the satellite may be ahead of this machine. Each is one renewal that broke off; a number
/// far away would leave none for later.
const MOST_AHEAD: u32 = 1000;

/// A renewal for the sake of one key that has been revoked.
pub(super) struct Renewal<'a> {
    pub member: &'a Member,
    pub keyring: &'a Keyring,
    pub managing: &'a Pair,
    /// This machine's own key.
    pub own: &'a OwnKey,
    /// The name of the key that was revoked.
    pub revoked: &'a str,
    /// Whether it is done without a question: what another machine has begun is taken over, and whom the last renewal
    /// has not reached gets the keys, too.
    pub yes: bool,
}

/// What a voucher says of a key or the phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A manager vouched for it when the present generation of keys was made, or later.
    Present,
    /// A manager vouched for it before that: either it was revoked, or the renewal broke off before it was reached.
    LeftOut,
    /// No manager vouches for what the satellite says.
    Unvouched,
}

impl Renewal<'_> {
    /// Makes the new keys and has the satellite keep them for each machine.
    ///
    /// # Errors
    ///
    /// When the satellite refuses, another machine is at it, or somebody has to be asked.
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
            Standing::Unvouched => false,
        };
        let mut fresh = Zeroizing::new([0; 64]);
        let (psk, reading) = fresh.split_at_mut(32);
        psk.copy_from_slice(random().as_bytes());
        reading.copy_from_slice(random().as_bytes());
        let renewed = self.keyring.renewed_beyond(epoch, &fresh);
        let renewed =
            renewed.ok_or_else(|| Failure::failed("there have been too many renewals"))?;
        let renewal = randomness::uuid();
        self.give(&self.member.claim(self.own), &renewed, renewal)?;
        // Only now: who was invited before that has an older box, and is among them.
        for key in in_order(self.member.keys()?.keys) {
            if self.is_to_have(&key, &is_meant, epoch) {
                self.give(&Claim::of(&key), &renewed, renewal)?;
            }
        }
        self.keep_phrase(&renewed, &is_meant, epoch)
    }

    /// Another machine has begun a generation that this one has no keys of. It may still be at it, or be lost.
    fn take_over(&self, ahead: u32) -> Result<(), Failure> {
        if ahead > MOST_AHEAD {
            return Err(Failure::failed(
                "the satellite speaks of a reading key that cannot be there yet",
            ));
        }
        let begun = "another machine has begun to make a new reading key and is not done: what was written with \
                     that one meanwhile can be read by those alone who have it already";
        if self.yes {
            return Ok(());
        }
        match confirm(&format!(
            "{begun}. Is that machine lost, and shall this one do it?"
        )) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::failed("another machine has begun to do that")),
            None => Err(Failure::failed(format!(
                "{begun}; if that machine is lost, --yes has this one do it"
            ))),
        }
    }

    /// Whether those get the new keys, too, whom the last renewal has not reached. It may have broken off, or the
    /// satellite goes on showing what was revoked: only a person knows, and `--yes` is none. They get nothing then.
    fn gives_to_those_left_out(&self, keys: &[KeyInfo], epoch: u32) -> Result<bool, Failure> {
        let is_left_out = |key: &&KeyInfo| {
            self.is_others(key)
                && !has_expired(key)
                && self.standing(&Claim::of(key), key.voucher.as_deref(), epoch)
                    == Standing::LeftOut
        };
        let mut names: Vec<_> = keys
            .iter()
            .filter(is_left_out)
            .map(|key| &*key.name)
            .collect();
        if let Some(kept) = self.phrase()? {
            let claim = Claim::of_phrase(kept.boxing);
            if self.standing(&claim, Some(&kept.voucher), epoch) == Standing::LeftOut {
                names.push("the phrase");
            }
        }
        if names.is_empty() || self.yes {
            return Ok(names.is_empty());
        }
        let names = names.join(", ");
        let left_out = format!(
            "the last renewal has not reached {names}: it broke off, or the satellite shows what was revoked"
        );
        let asked = confirm(&format!("{left_out}. Give them the new reading key?"));
        asked.ok_or_else(|| {
            Failure::failed(format!(
                "{left_out}; you are asked about them on a terminal, and with --yes they get no new reading key"
            ))
        })
    }

    fn standing(&self, claim: &Claim<'_>, voucher: Option<&[u8]>, epoch: u32) -> Standing {
        let voucher = voucher.unwrap_or_default();
        let is_of = |epoch| claim.is_vouched(self.managing, epoch, voucher);
        let newest = self.keyring.newest().number;
        let oldest = self.keyring.epochs()[0].number;
        if (newest..=epoch.max(newest)).any(is_of) {
            Standing::Present
        } else if (oldest.max(newest.saturating_sub(MOST_AHEAD))..newest).any(is_of) {
            Standing::LeftOut
        } else {
            Standing::Unvouched
        }
    }

    /// Whether it is somebody else's key who is to stay. The satellite may go on showing what was revoked.
    fn is_others(&self, key: &KeyInfo) -> bool {
        let name = normal(&key.name);
        name != normal(&self.own.name) && name != normal(self.revoked)
    }

    /// Whether the holder of a key gets the new keys; says why not, where that is no matter of course.
    fn is_to_have(&self, key: &KeyInfo, is_meant: &dyn Fn(Standing) -> bool, epoch: u32) -> bool {
        if !self.is_others(key) {
            return false;
        }
        let standing = self.standing(&Claim::of(key), key.voucher.as_deref(), epoch);
        let why = match standing {
            // A key that opens no pipe has no box either.
            Standing::Unvouched if !key.has_box => return false,
            Standing::Unvouched => "no manager vouches for",
            _ if has_expired(key) => "its time is over for",
            _ if !is_meant(standing) => "the last renewal has not reached",
            _ => return true,
        };
        notice(&format!(
            "{why} the key {}, so it gets no new reading key",
            key.name
        ));
        false
    }

    fn give(&self, claim: &Claim<'_>, renewed: &Keyring, renewal: Uuid) -> Result<(), Failure> {
        let new = new_box(claim, renewed, self.managing, Some(renewal))?;
        self.member.put(Question::Box(new))?;
        Ok(())
    }

    /// What the satellite keeps for those who know the phrase, if there is one.
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
        let claim = Claim::of_phrase(kept.boxing);
        if !is_meant(self.standing(&claim, Some(&kept.voucher), epoch)) {
            notice("no manager vouches for the phrase, so it gets no new reading key");
            return Ok(());
        }
        let kept = seal(renewed, self.managing, kept.wrapped, kept.boxing)?;
        self.member
            .put(Question::SetPhrase(renewed.newest().number, Some(kept)))?;
        Ok(())
    }
}

/// Whether a key's time is over, by this machine's clock.
fn has_expired(key: &KeyInfo) -> bool {
    key.expires.is_some_and(|end| end <= wall())
}

/// Managers first, then readers, then writers.
fn in_order(mut keys: Vec<KeyInfo>) -> Vec<KeyInfo> {
    keys.sort_by_key(|key| (!key.rights.manage, !key.rights.read));
    keys
}

#[cfg(test)]
mod tests {
    use skypipe_broker::protocol::{Holds, PublicKey, Rights};

    use super::*;

    #[test]
    fn who_can_go_on_with_it_comes_first_and_writers_last() {
        let key = |name: &str, read, manage| KeyInfo {
            name: name.to_owned(),
            boxing: PublicKey([0; 32]),
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
            has_box: true,
            voucher: None,
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
