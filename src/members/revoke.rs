//! `--revoke`: ends a key, and renews the reading key if its holder could read.
//!
//! The key is ended first, so that whatever fails later its holder is out. Readers get the new reading
//! key before writers do, so that what is sealed with it can be read. Should the renewal break off,
//! the same command goes on with it: a key that was revoked can be revoked again.

use std::path::Path;

use skypipe_broker::keys::seed::Pair;
use skypipe_broker::protocol::{KeyInfo, OwnKey, PublicKey, Reply, Rights};
use skypipe_broker::text::normal;
use skypipe_satellite::randomness;
use zeroize::Zeroizing;

use super::phrase::seal;
use super::{Member, new_box, random};
use crate::exit::{DONE, Failure};
use crate::keys::{Keyring, voucher};
use crate::session::Question;
use crate::tell::notice;

/// Ends the key `name`, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be asked.
pub fn revoke(name: &str, data: Option<&Path>) -> Result<u8, Failure> {
    let member = Member::here(data)?;
    let own = member.own_key()?;
    if normal(&own.name) == normal(name) {
        return Err(Failure::usage(
            "that is the key of this machine itself: revoke it from another one",
        ));
    }
    // Before anything is done: whoever manages has a box and a voucher by now.
    let manager = member.manages(&own);
    let answers = member.put(Question::Revoke(name.to_owned()))?;
    let could_read = answers
        .iter()
        .any(|answer| matches!(answer, Reply::Revoked { could_read: true }));
    if !could_read {
        notice(&format!("the key {name} is revoked"));
        return Ok(DONE);
    }
    let renewed = manager.and_then(|(keyring, managing)| renew(&member, &own, &keyring, &managing));
    match renewed {
        Ok(()) => {
            notice(&format!(
                "the key {name} is revoked; what is written from now on is sealed with a new \
                 reading key"
            ));
            Ok(DONE)
        }
        Err(fault) => Err(Failure::failed(format!(
            "the key {name} is revoked, but the reading key is not renewed ({fault}): say it again, \
             or on a machine that can invite others"
        ))),
    }
}

/// Gives everybody who is left a new reading key: this machine first, which begins the generation, so
/// that whoever is invited from then on gets it too.
fn renew(member: &Member, own: &OwnKey, keyring: &Keyring, managing: &Pair) -> Result<(), Failure> {
    let mut fresh = Zeroizing::new([0; 64]);
    let (psk, reading) = fresh.split_at_mut(32);
    psk.copy_from_slice(random().as_bytes());
    reading.copy_from_slice(random().as_bytes());
    let renewed = keyring
        .renewed(&fresh)
        .ok_or_else(|| Failure::failed("there have been too many renewals"))?;
    let renewal = Some(randomness::uuid());
    let boxing = PublicKey(member.identity.boxing().public);
    let new = new_box(&own.name, boxing, &renewed, own.rights, managing, renewal)?;
    member.put(Question::Box(new))?;
    for key in readers_first(member.put(Question::Keys)?) {
        let vouched = key
            .voucher
            .as_ref()
            .is_some_and(|voucher| voucher::is_vouched(managing, key.boxing, key.rights, voucher));
        if vouched && key.name != own.name {
            let new = new_box(
                &key.name, key.boxing, &renewed, key.rights, managing, renewal,
            )?;
            member.put(Question::Box(new))?;
        } else if !vouched && key.has_box {
            notice(&format!(
                "no manager vouches for the key {}, so it gets no new reading key",
                key.name
            ));
        }
    }
    let answers = member.put(Question::Phrase)?;
    let kept = answers.into_iter().find_map(|answer| match answer {
        Reply::Phrase(phrase) => phrase,
        _ => None,
    });
    let Some(kept) = kept else {
        return Ok(());
    };
    if !voucher::is_vouched(managing, kept.boxing, Rights::ALL, &kept.voucher) {
        notice("no manager vouches for the phrase, so it gets no new reading key");
        return Ok(());
    }
    let kept = seal(&renewed, managing, kept.wrapped, kept.boxing)?;
    member.put(Question::SetPhrase(renewed.newest().number, Some(kept)))?;
    Ok(())
}

fn readers_first(answers: Vec<Reply>) -> Vec<KeyInfo> {
    let keys = answers.into_iter().flat_map(|answer| match answer {
        Reply::Keys { keys, .. } => keys,
        _ => Vec::new(),
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(|key| !(key.rights.read || key.rights.manage));
    keys
}
