//! Commands that manage the satellite's authorized keys.
//!
//! No command is answered before the keys are saved. One save covers all commands that came meanwhile. If a
//! save fails, the keys revert to their state before the commands, except that revoked keys stay out as long
//! as this satellite runs.

use bytes::Bytes;

use super::{Broker, Output, Peer};
use crate::keys::{Fault, KeyId, KeyRegistry};
use crate::protocol::{Code, MAX_KEYS_PAGE, NewKey, NewKeyring, Phrase, Reply};
use crate::store::Store;

/// The minimum time between two saves that only record when keys were last used, in seconds. A satellite also
/// saves these times when it stops.
const USE_KEPT_EVERY: u64 = 60;

/// Changes to the authorized keys since they were saved.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// The keys to revert to if the save fails. None if nothing has changed.
    before: Option<KeyRegistry>,
    /// The answers to send once the keys are saved.
    answers: Vec<(Peer, Reply)>,
    /// New sealed keyrings among the changes: who stored each, and for which key.
    boxes: Vec<(Peer, KeyId, Bytes)>,
}

impl<S: Store> Broker<S> {
    pub(super) fn invite(&mut self, peer: &Peer, new: NewKey) {
        let unix_time = self.unix_time;
        self.change_registry(peer, |registry| {
            let name = registry.invite(new, unix_time)?;
            Ok(Reply::Invited { name })
        });
    }

    pub(super) fn store_keyring(&mut self, peer: &Peer, key: Option<KeyId>, new: NewKeyring) {
        let Some(by) = key else {
            return self.refuse_keyless(peer);
        };
        let sealed_keyring = new.sealed_keyring.clone();
        let mut holder = None;
        self.change_registry(peer, |registry| {
            holder = Some(registry.store_keyring(new, by)?.id());
            Ok(Reply::Kept)
        });
        // The holder is told when the keyring is saved.
        if let Some(holder) = holder {
            self.unsaved
                .boxes
                .push((peer.clone(), holder, sealed_keyring));
        }
    }

    pub(super) fn set_phrase(&mut self, peer: &Peer, epoch: u32, phrase: Option<Phrase>) {
        self.change_registry(peer, |registry| {
            registry.keep_phrase(epoch, phrase)?;
            Ok(Reply::Kept)
        });
    }

    pub(super) fn phrase(&mut self, peer: &Peer) {
        let phrase = self
            .registry
            .as_ref()
            .and_then(KeyRegistry::phrase)
            .cloned();
        self.reply(peer, &Reply::Phrase(phrase));
    }

    pub(super) fn keys(&mut self, peer: &Peer, after: Option<&str>) {
        let Some(registry) = &self.registry else {
            return self.refuse_keyless(peer);
        };
        let (keys, more) = registry.page(after, MAX_KEYS_PAGE);
        let info = |key: &&crate::keys::Key| {
            key.info(self.clients.has_key(key.id()), self.holds(key.id()))
        };
        let keys = keys.iter().map(info).collect();
        let epoch = registry.epoch();
        self.reply(peer, &Reply::Keys { keys, more, epoch });
    }

    pub(super) fn revoke(&mut self, peer: &Peer, name: &str, discard: bool) {
        let mut ended = None;
        self.change_registry(peer, |registry| {
            ended = Some(registry.revoke(name)?);
            Ok(Reply::Revoked)
        });
        let Some((key, is_new)) = ended else {
            return;
        };
        if is_new {
            self.out
                .push_back(Output::Log(format!("the key {name} is revoked")));
            self.expel(key, "its key was revoked", Some(peer));
        }
        self.let_go_of(key, discard);
    }

    /// Forgets everything that the clients of a revoked key could come back for. With `discard`, also drops
    /// streams written with the key that nobody takes.
    fn let_go_of(&mut self, key: KeyId, discard: bool) {
        for id in self.shares.things_of(key) {
            let subscription = self
                .subscriptions
                .get(&id)
                .map(|subscription| subscription.client);
            match subscription {
                Some(client) => self.leave(client, id),
                None => self.cut(id, "its key was revoked"),
            }
        }
        let written = if discard {
            self.shares.written_by(key)
        } else {
            Vec::new()
        };
        for stream in written {
            if let Some((_, name)) = self.streams.get(&stream).cloned() {
                self.with_pipe(&name, |pipe, ctx| pipe.discard_one(stream, ctx));
            }
        }
    }

    /// Notes that a client with this key has connected.
    pub(super) fn note_use(&mut self, key: Option<KeyId>) {
        let unix_time = self.unix_time;
        let (Some(registry), Some(key)) = (&mut self.registry, key) else {
            return;
        };
        registry.note_use(key, unix_time);
        let is_kept = |saved| saved + USE_KEPT_EVERY > unix_time;
        if !self.registry_saved.is_some_and(is_kept) {
            self.save_registry();
        }
    }

    fn change_registry(
        &mut self,
        peer: &Peer,
        change: impl FnOnce(&mut KeyRegistry) -> Result<Reply, Fault>,
    ) {
        let Some(registry) = &mut self.registry else {
            return self.refuse_keyless(peer);
        };
        let before = registry.clone();
        match change(registry) {
            Ok(reply) => {
                self.unsaved.before.get_or_insert(before);
                self.has_registry_changed = true;
                self.unsaved.answers.push((peer.clone(), reply));
            }
            Err(fault) => self.refuse_for(peer, &fault),
        }
    }

    /// Schedules a save of the unchanged keys, to record when they were last used.
    pub(super) fn save_registry(&mut self) {
        if self.unsaved.before.is_none() {
            self.unsaved.before.clone_from(&self.registry);
        }
    }

    /// The encoded keys, if they have to be saved now.
    pub(super) fn registry_to_save(&mut self) -> Option<Bytes> {
        let registry = self
            .registry
            .as_ref()
            .filter(|_| self.unsaved.before.is_some())?;
        self.registry_saved = Some(self.unix_time);
        Some(registry.encode().into())
    }

    /// Handles the result of a save.
    pub(super) fn keys_saved(&mut self, saved: Result<(), String>) {
        let Unsaved {
            before,
            answers,
            boxes,
        } = std::mem::take(&mut self.unsaved);
        let Err(why) = saved else {
            for (from, holder, sealed_keyring) in boxes {
                self.tell_holders(&from, holder, sealed_keyring);
            }
            for (peer, reply) in answers {
                self.reply(&peer, &reply);
            }
            return;
        };
        self.out
            .push_back(Output::Log(format!("cannot save the keys: {why}")));
        self.has_registry_changed = true;
        if let (Some(before), Some(now)) = (before, &mut self.registry) {
            *now = before.without_those_revoked(now);
        }
        let message = format!("the satellite cannot save its keys: {why}");
        for (peer, _) in answers {
            self.refuse(&peer, Code::Disk, &message, None);
        }
    }

    /// Sends a key's new sealed keyring to the clients of that key, except to the one that made it.
    fn tell_holders(&mut self, from: &Peer, holder: KeyId, sealed_keyring: Bytes) {
        let news = Reply::Keyring { sealed_keyring };
        for client in self.clients.with_key(holder) {
            if self.clients.peer(client) != Some(from) {
                self.tell(client, &news, None);
            }
        }
    }

    fn refuse_for(&mut self, peer: &Peer, fault: &Fault) {
        let code = match fault {
            Fault::Malformed(_) => Code::Malformed,
            Fault::TooMany => Code::Limit,
            Fault::Unknown => Code::Unknown,
            Fault::Taken | Fault::Old | Fault::Last => Code::Denied,
        };
        self.refuse(peer, code, &fault.to_string(), None);
    }

    fn refuse_keyless(&mut self, peer: &Peer) {
        let message = "this satellite has no keys: whoever can reach it can use it";
        self.refuse(peer, Code::Denied, message, None);
    }
}
