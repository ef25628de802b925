//! The authorized keys of a satellite, and what is stored for their holders.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KeyId, matches};
use crate::protocol::{
    Holds, KeyInfo, MAX_ATTESTATION, MAX_KEY_NAME, MAX_KEYRING, MAX_PATTERN, MAX_PATTERNS, NewKey,
    NewKeyring, Phrase, PublicKey, Rights,
};
use crate::text;

/// The maximum number of keys. All keys are held in memory and written as a whole: a few megabytes, with a
/// sealed keyring of the usual size for each.
const MAX_KEYS: usize = 2_000;

/// How many names of revoked keys are remembered, so that revoking one again succeeds.
const ENDED_KEPT: usize = 1_000;

/// The version of the format on disk.
const VERSION: u16 = 1;

/// An authorized key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The key's id.
    id: u64,
    /// The key's name, unique at the satellite.
    pub name: String,
    /// The public key with which the holder connects.
    public: PublicKey,
    /// The public key to which keyrings for the holder are sealed.
    encryption: PublicKey,
    /// What the key permits.
    pub rights: Rights,
    /// Patterns of the pipes that the key is for. Empty: all pipes.
    pipes: Vec<String>,
    /// When the key expires, in seconds since 1970 (UTC).
    expires: Option<u64>,
    /// How many bytes written with the key may wait. None: the key's share.
    #[serde(default)]
    pub quota: Option<u64>,
    /// When the key was created, in seconds since 1970 (UTC).
    made: u64,
    /// When the key was last used, in seconds since 1970 (UTC).
    used: Option<u64>,
    /// The sealed keyring stored for the holder.
    pub sealed_keyring: Option<Bytes>,
    /// The attestation that lets managers trust the key.
    pub attestation: Option<Bytes>,
}

impl Key {
    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(self.id)
    }

    /// Whether the key is for this pipe. A key that may manage is for all pipes.
    #[must_use]
    pub fn covers(&self, pipe: &str) -> bool {
        let is_meant = |pattern: &String| matches(pattern, pipe);
        self.is_for_all_pipes() || self.pipes.iter().any(is_meant)
    }

    /// Whether the key is for every pipe.
    #[must_use]
    pub fn is_for_all_pipes(&self) -> bool {
        self.rights.manage || self.pipes.is_empty()
    }

    /// Whether the key permits reading a pipe.
    #[must_use]
    pub fn may_read(&self, pipe: &str) -> bool {
        (self.rights.read || self.rights.manage) && self.covers(pipe)
    }

    /// Whether the key permits writing to a pipe.
    #[must_use]
    pub fn may_write(&self, pipe: &str) -> bool {
        (self.rights.write || self.rights.manage) && self.covers(pipe)
    }

    /// When the key expires, in seconds since 1970 (UTC).
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// Whether the key has expired at `unix_time`, in seconds since 1970 (UTC).
    #[must_use]
    pub fn has_expired(&self, unix_time: u64) -> bool {
        self.expires.is_some_and(|end| end <= unix_time)
    }
}

/// Why a change of the authorized keys was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request breaks a rule. The sentence says which.
    Malformed(&'static str),
    /// A key with that name or that public key exists.
    Taken,
    /// There are as many keys as there can be.
    TooMany,
    /// There is no key of that name.
    Unknown,
    /// The reading key has been renewed since.
    Old,
    /// It is the last key that may manage.
    Last,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(why) => why,
            Self::Taken => "a key already has that name: choose another, or revoke that key",
            Self::TooMany => "this satellite has reached its limit of keys: revoke some",
            Self::Unknown => "no key has that name",
            Self::Old => {
                "the reading key is being renewed: try again; if this lasts, a --revoke was \
                 interrupted: run it again there, or with --yes on any machine that can invite \
                 others"
            }
            Self::Last => {
                "this is the last key that can invite others: first invite another machine of \
                 your own, and let it join"
            }
        })
    }
}

/// The authorized keys of a satellite.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRegistry {
    /// The id of the next key.
    next: u64,
    /// The newest epoch of any sealed keyring, and (`renewal`) the renewal that created it.
    epoch: u32,
    renewal: Option<Uuid>,
    keys: BTreeMap<KeyId, Key>,
    by_public: HashMap<PublicKey, KeyId>,
    /// Names and ids of revoked keys, most recent last.
    ended: Vec<(String, u64)>,
    phrase: Option<Phrase>,
}

/// The authorized keys on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u16,
    next: u64,
    epoch: u32,
    renewal: Option<Uuid>,
    keys: Vec<Key>,
    ended: Vec<(String, u64)>,
    phrase: Option<Phrase>,
}

impl KeyRegistry {
    /// Decodes the result of [`KeyRegistry::encode`].
    ///
    /// # Errors
    ///
    /// A sentence, if the bytes are something else or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut written: Written = rmp_serde::from_slice(bytes)
            .map_err(|error| format!("the list of keys cannot be read: {error}"))?;
        if written.version != VERSION {
            return Err(format!(
                "the list of keys has version {}, but this program reads version {VERSION}",
                written.version
            ));
        }
        // The patterns may have been written before names were normalized.
        for pattern in written.keys.iter_mut().flat_map(|key| &mut key.pipes) {
            *pattern = text::normal(pattern).into_owned();
        }
        let by_public = written.keys.iter().map(|key| (key.public, key.id()));
        let by_public = by_public.collect();
        let keys = written.keys.into_iter().map(|key| (key.id(), key));
        Ok(Self {
            next: written.next,
            epoch: written.epoch,
            renewal: written.renewal,
            keys: keys.collect(),
            by_public,
            ended: written.ended,
            phrase: written.phrase,
        })
    }

    /// Encodes the keys for the disk.
    ///
    /// # Panics
    ///
    /// Never: the keys contain nothing that MessagePack cannot express.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let written = Written {
            version: VERSION,
            next: self.next,
            epoch: self.epoch,
            renewal: self.renewal,
            keys: self.keys.values().cloned().collect(),
            ended: self.ended.clone(),
            phrase: self.phrase.clone(),
        };
        rmp_serde::to_vec_named(&written).expect("a registry is expressible in MessagePack")
    }

    /// Adds a key at `unix_time`, in seconds since 1970 (UTC). Returns its name.
    ///
    /// # Errors
    ///
    /// If the key breaks a rule, or exists already.
    pub fn invite(&mut self, new: NewKey, unix_time: u64) -> Result<String, Fault> {
        self.check(&new)?;
        let id = KeyId(self.next);
        let name = if new.name.is_empty() {
            self.free_name()
        } else {
            new.name
        };
        if self.find(&name).is_some() || self.by_public.contains_key(&new.public) {
            return Err(Fault::Taken);
        }
        self.next += 1;
        self.ended.retain(|(ended, _)| *ended != name);
        self.by_public.insert(new.public, id);
        let key = Key {
            id: id.0,
            name: name.clone(),
            public: new.public,
            encryption: new.encryption,
            rights: new.rights,
            pipes: new.pipes,
            expires: new.expires,
            quota: new.quota,
            made: unix_time,
            used: None,
            sealed_keyring: new.sealed_keyring,
            attestation: new.attestation,
        };
        self.keys.insert(id, key);
        Ok(name)
    }

    fn check(&self, new: &NewKey) -> Result<(), Fault> {
        let NewKey { rights, pipes, .. } = new;
        let is_name = |name: &str| !name.chars().any(char::is_control) && text::is_normal(name);
        if new.name.len() > MAX_KEY_NAME || !is_name(&new.name) {
            let fault = "a key's name has at most 64 bytes, no control characters, and Unicode's \
                         normal form NFC";
            return Err(Fault::Malformed(fault));
        }
        if !(rights.read || rights.write || rights.manage) {
            return Err(Fault::Malformed("a key must allow something"));
        }
        if rights.manage && !pipes.is_empty() {
            let fault = "a key that may invite others must be for all pipes";
            return Err(Fault::Malformed(fault));
        }
        let is_bad = |pipe: &String| pipe.len() > MAX_PATTERN || !is_name(pipe);
        if pipes.len() > MAX_PATTERNS || pipes.iter().any(is_bad) {
            let fault = "a key is for at most eight patterns of pipes, of at most 255 bytes each, \
                         without control characters and in Unicode's normal form NFC";
            return Err(Fault::Malformed(fault));
        }
        if new
            .sealed_keyring
            .as_ref()
            .is_some_and(|sealed_keyring| sealed_keyring.len() > MAX_KEYRING)
        {
            return Err(Fault::Malformed("the sealed keyring is too large"));
        }
        check_attestation(new.attestation.as_ref())?;
        if new.sealed_keyring.is_some() && new.epoch != self.epoch {
            return Err(Fault::Old);
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(Fault::TooMany);
        }
        Ok(())
    }

    /// A name that no key has.
    fn free_name(&self) -> String {
        let mut number = self.next + 1;
        while self.find(&format!("key-{number}")).is_some() {
            number += 1;
        }
        format!("key-{number}")
    }

    /// Revokes a key. Returns its id, and whether it was not revoked before. Revoking a revoked key succeeds
    /// and changes nothing.
    ///
    /// # Errors
    ///
    /// If there never was a key of that name, or if nobody could invite anybody afterwards.
    pub fn revoke(&mut self, name: &str) -> Result<(KeyId, bool), Fault> {
        let Some(id) = self.find(name).map(Key::id) else {
            let is_it = |ended: &&(String, u64)| text::normal(&ended.0) == text::normal(name);
            let ended = self.ended.iter().find(is_it);
            return ended
                .map(|(_, id)| (KeyId(*id), false))
                .ok_or(Fault::Unknown);
        };
        // A manager without a sealed keyring has no keys to pass on.
        let can_invite =
            |key: &&Key| key.rights.manage && key.sealed_keyring.is_some() && key.id() != id;
        if self.keys[&id].rights.manage && !self.keys.values().any(|key| can_invite(&key)) {
            return Err(Fault::Last);
        }
        let Some(key) = self.keys.remove(&id) else {
            return Err(Fault::Unknown);
        };
        self.by_public.remove(&key.public);
        if self.ended.len() >= ENDED_KEPT {
            self.ended.remove(0);
        }
        self.ended.push((key.name, id.0));
        Ok((id, true))
    }

    /// Stores a sealed keyring for the holder of a key, at the request of the key `by`. Returns the holder's
    /// key.
    ///
    /// # Errors
    ///
    /// If there is no such key, if the keyring is too large or outdated, or if `by` may not store it.
    pub fn store_keyring(&mut self, new: NewKeyring, by: KeyId) -> Result<&Key, Fault> {
        if new.sealed_keyring.len() > MAX_KEYRING {
            return Err(Fault::Malformed("the sealed keyring is too large"));
        }
        check_attestation(new.attestation.as_ref())?;
        let manages = self.get(by).is_some_and(|by| by.rights.manage);
        let key = self.find(&new.name).ok_or(Fault::Unknown)?;
        let (id, is_first) = (key.id(), key.id() == by && key.sealed_keyring.is_none());
        let begins = manages && new.renewal.is_some() && new.epoch > self.epoch;
        let goes_on = manages && new.renewal.is_some() && new.renewal == self.renewal;
        if begins {
            (self.epoch, self.renewal) = (new.epoch, new.renewal);
        } else if new.epoch != self.epoch || !(goes_on || is_first) {
            return Err(Fault::Old);
        }
        let key = self.keys.get_mut(&id).ok_or(Fault::Unknown)?;
        key.sealed_keyring = Some(new.sealed_keyring);
        key.attestation = new.attestation.or(key.attestation.take());
        Ok(key)
    }

    /// Stores what the phrase opens, or removes it.
    ///
    /// # Errors
    ///
    /// If it is too large or outdated.
    pub fn keep_phrase(&mut self, epoch: u32, phrase: Option<Phrase>) -> Result<(), Fault> {
        let is_large =
            |phrase: &Phrase| phrase.wrapped.len().max(phrase.sealed_keyring.len()) > MAX_KEYRING;
        if phrase.as_ref().is_some_and(is_large) {
            return Err(Fault::Malformed("the sealed keyring is too large"));
        }
        check_attestation(phrase.as_ref().map(|phrase| &phrase.attestation))?;
        if phrase.is_some() && epoch != self.epoch {
            return Err(Fault::Old);
        }
        self.phrase = phrase;
        Ok(())
    }

    /// What the phrase opens. None if there is no phrase.
    #[must_use]
    pub fn phrase(&self) -> Option<&Phrase> {
        self.phrase.as_ref()
    }

    /// The newest epoch of any sealed keyring.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// The key with this public key, unless it has expired at `unix_time`.
    #[must_use]
    pub fn admit(&self, public: &[u8; 32], unix_time: u64) -> Option<KeyId> {
        let id = self.by_public.get(&PublicKey(*public))?;
        let key = self
            .keys
            .get(id)
            .filter(|key| !key.has_expired(unix_time))?;
        Some(key.id())
    }

    /// Notes that a key is used at `unix_time`.
    pub fn note_use(&mut self, id: KeyId, unix_time: u64) {
        if let Some(key) = self.keys.get_mut(&id) {
            key.used = Some(unix_time);
        }
    }

    /// At most `limit` keys whose names sort after `after`, sorted by name, and whether there are more.
    #[must_use]
    pub fn page(&self, after: Option<&str>, limit: usize) -> (Vec<&Key>, bool) {
        let is_behind = |key: &&Key| after.is_none_or(|after| *key.name > *after);
        let mut keys: Vec<_> = self.keys.values().filter(is_behind).collect();
        keys.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let more = keys.len() > limit;
        keys.truncate(limit);
        (keys, more)
    }

    /// Removes keys that were revoked later. `now` is the newer state.
    #[must_use]
    pub fn without_those_revoked(mut self, now: &Self) -> Self {
        self.keys.retain(|id, _| now.keys.contains_key(id));
        self.by_public.retain(|_, id| now.keys.contains_key(id));
        self.ended.clone_from(&now.ended);
        self
    }

    /// The key of a name in any spelling: stored keys may be older than the rule that names are normalized.
    fn find(&self, name: &str) -> Option<&Key> {
        let name = text::normal(name);
        self.keys
            .values()
            .find(|key| text::normal(&key.name) == name)
    }
}

fn check_attestation(attestation: Option<&Bytes>) -> Result<(), Fault> {
    if attestation.is_some_and(|attestation| attestation.len() > MAX_ATTESTATION) {
        return Err(Fault::Malformed("the attestation is too long"));
    }
    Ok(())
}

impl Key {
    /// The key's entry in a list.
    #[must_use]
    pub fn info(&self, is_connected: bool, holds: Holds) -> KeyInfo {
        KeyInfo {
            name: self.name.clone(),
            encryption: self.encryption,
            rights: self.rights,
            pipes: self.pipes.clone(),
            expires: self.expires,
            quota: self.quota,
            holds,
            made: self.made,
            used: self.used,
            is_connected,
            has_keyring: self.sealed_keyring.is_some(),
            attestation: self.attestation.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
