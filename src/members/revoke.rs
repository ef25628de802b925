//! `--revoke`: ends a key, and renews the reading key if its holder could read.
//!
//! The key is ended first, so that whatever fails later its holder is out. Readers get the new reading
//! key before writers do, so that what is sealed with it can be read. Should the renewal break off,
//! the same command goes on with it: a key that was revoked can be revoked again.

use skypipe_broker::protocol::{KeyInfo, Reply};
use zeroize::Zeroizing;

use super::phrase::{managing, seal};
use super::{Member, random, share};
use crate::exit::{DONE, Failure};
use crate::keys::{Keyring, boxes};
use crate::session::Question;
use crate::tell::notice;

/// Ends the key `name`, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be asked.
pub fn revoke(name: &str) -> Result<u8, Failure> {
    let member = Member::here()?;
    let own = member.own_key()?;
    if own.name == name {
        return Err(Failure::usage(
            "that is the key of this machine itself: revoke it from another one",
        ));
    }
    let keyring = member.identity.keyring(own.boxed.as_deref());
    let answers = member.put(Question::Revoke(name.to_owned()))?;
    let could_read = answers
        .iter()
        .any(|answer| matches!(answer, Reply::Revoked { could_read: true }));
    if !could_read {
        notice(&format!("the key {name} is revoked"));
        return Ok(DONE);
    }
    let renewed = keyring
        .map_err(|fault| Failure::failed(fault.to_string()))
        .and_then(|keyring| renew(&member, &keyring));
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

/// Gives everybody who is left a new reading key.
fn renew(member: &Member, keyring: &Keyring) -> Result<(), Failure> {
    let managing = managing(keyring)?;
    let mut fresh = Zeroizing::new([0; 64]);
    let (psk, reading) = fresh.split_at_mut(32);
    psk.copy_from_slice(random().as_bytes());
    reading.copy_from_slice(random().as_bytes());
    let renewed = keyring
        .renewed(&fresh)
        .ok_or_else(|| Failure::failed("there have been too many renewals"))?;
    let epoch = renewed.newest().number;
    for key in readers_first(member.put(Question::Keys)?) {
        let content = share(&renewed, key.rights);
        let boxed = boxes::seal(&content, &key.boxing.0, &managing, &random())
            .map_err(|fault| Failure::failed(format!("the box for {}: {fault}", key.name)))?;
        member.put(Question::Box(key.name, epoch, boxed.into()))?;
    }
    let answers = member.put(Question::Phrase)?;
    let kept = answers.into_iter().find_map(|answer| match answer {
        Reply::Phrase(phrase) => phrase,
        _ => None,
    });
    if let Some(kept) = kept {
        let kept = seal(&renewed, &managing, kept.wrapped, kept.boxing)?;
        member.put(Question::SetPhrase(epoch, Some(kept)))?;
    }
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
