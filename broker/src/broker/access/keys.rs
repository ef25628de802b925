//! Commands that manage the satellite's authorized keys.
//!
//! No command is answered before the keys are saved. One save covers all commands that came meanwhile. If a
//! save fails, the keys revert to their state before the commands, except that revoked keys stay out as long
//! as this satellite runs.

use bytes::Bytes;

use super::super::outbox::Outbox;
use super::super::peers::Sender;
use super::Access;
use crate::interface::Peer;
use crate::keys::{Fault, Key, KeyId, KeyRegistry};
use crate::protocol::{Code, KeyInfo, MAX_KEYS_PAGE, NewKey, NewKeyring, Phrase, Reply};

/// The minimum time between two saves that only record when keys were last used, in seconds. A satellite also
/// saves these times when it stops.
const USE_KEPT_EVERY: u64 = 60;

/// What a client is told that asks for keys where there are none.
const KEYLESS: &str = "this satellite has no keys: whoever can reach it can use it";

/// Changes to the authorized keys since they were saved.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// The keys to revert to if the save fails. None if nothing has changed.
    before: Option<KeyRegistry>,
    /// The answers to send once the keys are saved.
    answers: Vec<(Peer, Reply)>,
    /// New sealed keyrings among the changes.
    keyrings: Vec<News>,
}

/// A new sealed keyring, of which the clients of its key are told.
#[derive(Debug)]
pub(in crate::broker) struct News {
    /// The connection that stored the keyring, which need not be told.
    pub from: Peer,
    /// The key that the keyring is for.
    pub holder: KeyId,
    pub sealed_keyring: Bytes,
}

/// A key that a client has revoked.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Revocation {
    pub key: KeyId,
    /// Whether the key had not been revoked before.
    pub is_new: bool,
}

impl Access {
    pub fn invite(&mut self, peer: &Peer, new: NewKey, out: &mut Outbox) {
        let unix_time = self.unix_time;
        self.change(peer, out, |registry| {
            let name = registry.invite(new, unix_time)?;
            Ok(Reply::Invited { name })
        });
    }

    pub fn store_keyring(&mut self, from: Sender<'_>, new: NewKeyring, out: &mut Outbox) {
        let Some(by) = from.key else {
            return refuse_keyless(from.peer, out);
        };
        let sealed_keyring = new.sealed_keyring.clone();
        let mut holder = None;
        self.change(from.peer, out, |registry| {
            holder = Some(registry.store_keyring(new, by)?.id());
            Ok(Reply::Kept)
        });
        // The holder is told when the keyring is saved.
        if let Some(holder) = holder {
            self.unsaved.keyrings.push(News {
                from: from.peer.clone(),
                holder,
                sealed_keyring,
            });
        }
    }

    pub fn set_phrase(
        &mut self,
        peer: &Peer,
        epoch: u32,
        phrase: Option<Phrase>,
        out: &mut Outbox,
    ) {
        self.change(peer, out, |registry| {
            registry.keep_phrase(epoch, phrase)?;
            Ok(Reply::Kept)
        });
    }

    pub fn phrase(&self) -> Option<Phrase> {
        self.registry.as_ref()?.phrase().cloned()
    }

    /// One page of keys. `info` describes one of them.
    ///
    /// # Errors
    ///
    /// If the satellite has no keys.
    pub fn keys(
        &self,
        after: Option<&str>,
        info: impl FnMut(&&Key) -> KeyInfo,
    ) -> Result<Reply, (Code, &'static str)> {
        let registry = self.registry.as_ref().ok_or((Code::Denied, KEYLESS))?;
        let (keys, more) = registry.page(after, MAX_KEYS_PAGE);
        let keys = keys.iter().map(info).collect();
        let epoch = registry.epoch();
        Ok(Reply::Keys { keys, more, epoch })
    }

    /// Revokes a key. Revoking a revoked key succeeds and changes nothing. None if the command is refused.
    pub fn revoke(&mut self, peer: &Peer, name: &str, out: &mut Outbox) -> Option<Revocation> {
        let mut revoked = None;
        self.change(peer, out, |registry| {
            revoked = Some(registry.revoke(name)?);
            Ok(Reply::Revoked)
        });
        let (key, is_new) = revoked?;
        if is_new {
            out.log(format!("the key {name} is revoked"));
        }
        Some(Revocation { key, is_new })
    }

    /// Notes that a client with this key has connected.
    pub fn note_use(&mut self, key: Option<KeyId>) {
        let unix_time = self.unix_time;
        let (Some(registry), Some(key)) = (&mut self.registry, key) else {
            return;
        };
        registry.note_use(key, unix_time);
        let is_kept = |saved| saved + USE_KEPT_EVERY > unix_time;
        if !self.saved_at.is_some_and(is_kept) {
            self.save();
        }
    }

    fn change(
        &mut self,
        peer: &Peer,
        out: &mut Outbox,
        change: impl FnOnce(&mut KeyRegistry) -> Result<Reply, Fault>,
    ) {
        let Some(registry) = &mut self.registry else {
            return refuse_keyless(peer, out);
        };
        let before = registry.clone();
        match change(registry) {
            Ok(reply) => {
                self.unsaved.before.get_or_insert(before);
                self.has_changed = true;
                self.unsaved.answers.push((peer.clone(), reply));
            }
            Err(fault) => out.refuse(peer, code_of(&fault), &fault.to_string(), None),
        }
    }

    /// Schedules a save of the unchanged keys, to record when they were last used.
    pub fn save(&mut self) {
        if self.unsaved.before.is_none() {
            self.unsaved.before.clone_from(&self.registry);
        }
    }

    /// The encoded keys, if they have to be saved now.
    pub fn next_save(&mut self) -> Option<Bytes> {
        let registry = self.registry.as_ref()?;
        self.unsaved.before.as_ref()?;
        self.saved_at = Some(self.unix_time);
        Some(registry.encode().into())
    }

    /// Handles a successful save. Returns the new sealed keyrings, whose holders are told now, and then the
    /// answers to the commands.
    pub fn saved(&mut self) -> (Vec<News>, Vec<(Peer, Reply)>) {
        let unsaved = std::mem::take(&mut self.unsaved);
        (unsaved.keyrings, unsaved.answers)
    }

    /// Handles a failed save: reverts the keys, and refuses the commands.
    pub fn not_saved(&mut self, why: &str, out: &mut Outbox) {
        let Unsaved {
            before, answers, ..
        } = std::mem::take(&mut self.unsaved);
        out.log(format!("cannot save the keys: {why}"));
        self.has_changed = true;
        if let (Some(before), Some(now)) = (before, &mut self.registry) {
            *now = before.without_those_revoked(now);
        }
        let message = format!("the satellite cannot save its keys: {why}");
        for (peer, _) in answers {
            out.refuse(&peer, Code::Disk, &message, None);
        }
    }
}

fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::Malformed(_) => Code::Malformed,
        Fault::TooMany => Code::Limit,
        Fault::Unknown => Code::Unknown,
        Fault::Taken | Fault::Old | Fault::Last => Code::Denied,
    }
}

fn refuse_keyless(peer: &Peer, out: &mut Outbox) {
    out.refuse(peer, Code::Denied, KEYLESS, None);
}
