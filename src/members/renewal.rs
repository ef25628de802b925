//! A new reading key for everybody who is left.
//!
//! Owns who gets it, and in which order. What decides is what managers vouched for and this machine's clock, never
//! what the satellite says: it keeps the list of keys, and may side with somebody who was revoked.
//!
//! This machine's own box comes first and begins the generation, so that whoever is invited from then on gets it,
//! too. Then come managers, so that as many as possible can go on should this machine be lost on the way, then
//! readers, and writers last: what is sealed with a key can then be read.

use skypipe_broker::keys::seed::Pair;
use skypipe_broker::protocol::{KeyInfo, OwnKey, Reply};
use skypipe_broker::text::normal;
use skypipe_satellite::randomness;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::phrase::seal;
use super::prompt::confirm;
use super::{Member, new_box, random, wall};
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
    /// Whether one that another machine has begun is taken over without a question.
    pub yes: bool,
}

impl Renewal<'_> {
    /// Makes the new keys and has the satellite keep them for each machine.
    ///
    /// # Errors
    ///
    /// When the satellite refuses, or another machine is at it.
    pub fn carry_out(&self) -> Result<(), Failure> {
        let epoch = self.member.keys()?.epoch;
        let newest = self.keyring.newest().number;
        if epoch > newest {
            self.take_over(epoch - newest)?;
        }
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
            self.give_to(&key, &renewed, renewal)?;
        }
        self.keep_phrase(&renewed)
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

    /// Gives the new keys to the holder of a key, if that one is still to have them.
    fn give_to(&self, key: &KeyInfo, renewed: &Keyring, renewal: Uuid) -> Result<(), Failure> {
        // The satellite may go on showing what was revoked.
        if [self.own.name.as_str(), self.revoked]
            .map(normal)
            .contains(&normal(&key.name))
        {
            return Ok(());
        }
        let claim = Claim::of(key);
        let voucher = key.voucher.as_deref().unwrap_or_default();
        if !claim.is_vouched(self.managing, voucher) {
            if key.has_box {
                notice(&format!(
                    "no manager vouches for the key {}, so it gets no new reading key",
                    key.name
                ));
            }
            return Ok(());
        }
        if key.expires.is_some_and(|end| end <= wall()) {
            notice(&format!(
                "the key {} has expired, so it gets no new reading key",
                key.name
            ));
            return Ok(());
        }
        self.give(&claim, renewed, renewal)
    }

    fn give(&self, claim: &Claim<'_>, renewed: &Keyring, renewal: Uuid) -> Result<(), Failure> {
        let new = new_box(claim, renewed, self.managing, Some(renewal))?;
        self.member.put(Question::Box(new))?;
        Ok(())
    }

    /// Seals the new keys for those who know the phrase, if there is one.
    fn keep_phrase(&self, renewed: &Keyring) -> Result<(), Failure> {
        let answers = self.member.put(Question::Phrase)?;
        let kept = answers.into_iter().find_map(|answer| match answer {
            Reply::Phrase(phrase) => phrase,
            _ => None,
        });
        let Some(kept) = kept else {
            return Ok(());
        };
        if !Claim::of_phrase(kept.boxing).is_vouched(self.managing, &kept.voucher) {
            notice("no manager vouches for the phrase, so it gets no new reading key");
            return Ok(());
        }
        let kept = seal(renewed, self.managing, kept.wrapped, kept.boxing)?;
        self.member
            .put(Question::SetPhrase(renewed.newest().number, Some(kept)))?;
        Ok(())
    }
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
