//! Writers and listeners that timed out and may come back (rule 16).
//!
//! A timeout is not an error: others get the data at once, and the position of the lost client is kept until
//! it returns. There is room for [`ABSENT_KEPT`] entries. When the room is used up, the key with the most
//! entries loses its oldest one, so that one key cannot displace the entries of another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use super::streams::Stage;
use super::{ABSENT_KEPT, Broker};
use crate::keys::KeyId;
use crate::pipe::Changed;
use crate::protocol::How;
use crate::store::{Store, StreamKey};

/// Absent writers and listeners by their key. For each key, the most recent is last.
#[derive(Debug, Default)]
pub(super) struct Absent {
    by_owner: BTreeMap<Option<KeyId>, VecDeque<(u64, Uuid)>>,
    /// A counter of all timeouts so far. It orders entries of different keys by age.
    came: u64,
    len: usize,
}

impl Absent {
    pub fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, owner: Option<KeyId>, id: Uuid) {
        self.came += 1;
        self.len += 1;
        let its = self.by_owner.entry(owner).or_default();
        its.push_back((self.came, id));
    }

    /// Removes all entries for which `is_it` holds.
    pub fn remove(&mut self, is_it: impl Fn(Uuid) -> bool) {
        self.by_owner.retain(|_, its| {
            its.retain(|(_, id)| !is_it(*id));
            !its.is_empty()
        });
        self.len = self.by_owner.values().map(VecDeque::len).sum();
    }

    /// Removes the oldest entry of the key with the most entries. If several keys have the most, removes the
    /// oldest entry among theirs.
    fn pop(&mut self) -> Option<Uuid> {
        let oldest = |its: &VecDeque<(u64, Uuid)>| its.front().map(|(came, _)| Reverse(*came));
        let most = self
            .by_owner
            .iter()
            .max_by_key(|(_, its)| (its.len(), oldest(its)));
        let owner = *most?.0;
        let its = self.by_owner.get_mut(&owner)?;
        let (_, id) = its.pop_front()?;
        self.len -= 1;
        if its.is_empty() {
            self.by_owner.remove(&owner);
        }
        Some(id)
    }
}

impl<S: Store> Broker<S> {
    /// Gives up a writer that timed out: cuts its stream and keeps its position. A writer whose stream has
    /// finished still waits for its answer, and nothing changes for it.
    pub(super) fn lose_writer(&mut self, stream: Uuid, why: &str) {
        let Some(writer) = self.writers.get(&stream) else {
            return;
        };
        let (pipe, key, next) = (writer.pipe.clone(), writer.key, writer.next);
        let (is_open, is_awaited) = (writer.stage == Stage::Open, writer.is_awaited());
        if is_awaited {
            self.withdraw(stream);
            if let Some(writer) = self.writers.get_mut(&stream) {
                (writer.stage, writer.len) = (Stage::Lost, None);
            }
            self.note_changed(Changed::Writer(stream));
        }
        if is_open {
            self.with_pipe(&pipe, |pipe, ctx| {
                pipe.finish(key, How::Cut(why.to_owned()), ctx);
            });
        } else if is_awaited {
            // A satellite that was restarted may lack the stream's last bytes.
            self.with_pipe(&pipe, |pipe, ctx| pipe.cut_short(key, next, why, ctx));
        }
        self.remember_absent(stream);
    }

    /// Adds a writer or listener to the absent ones.
    pub(super) fn remember_absent(&mut self, id: Uuid) {
        let client = self
            .subscriptions
            .get(&id)
            .map(|subscription| subscription.client);
        let client = client.or_else(|| self.writers.get(&id).map(|writer| writer.client));
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            client.listeners.remove(&id);
            client.streams.remove(&id);
            client.absent.insert(id);
        }
        let owner = self.shares.owner_of(id);
        self.absent.push(owner, id);
        if self.absent.len() > ABSENT_KEPT {
            self.forget_one_absent();
        }
    }

    /// Removes a writer or listener from the absent ones, because its client is back.
    pub(super) fn is_back(&mut self, client: Uuid, id: Uuid) {
        self.absent.remove(|absent| absent == id);
        let is_listener = self.subscriptions.contains_key(&id);
        if let Some(client) = self.clients.get_mut(client) {
            client.absent.remove(&id);
            let present = if is_listener {
                &mut client.listeners
            } else {
                &mut client.streams
            };
            present.insert(id);
        }
        self.schedule_check(client);
    }

    /// Forgets the absent entry that is first in line to go. Returns false if there was none.
    pub(super) fn forget_one_absent(&mut self) -> bool {
        let Some(id) = self.absent.pop() else {
            return false;
        };
        let subscription = self
            .subscriptions
            .get(&id)
            .map(|subscription| subscription.client);
        let client = subscription.or_else(|| self.writers.get(&id).map(|writer| writer.client));
        match subscription {
            Some(client) => self.leave(client, id),
            None => self.forget_writer(id),
        }
        if let Some(client) = client {
            self.forget_if_over(client);
        }
        true
    }

    /// Forgets a client without a connection and without streams or listeners. If such a client still has
    /// absent entries, it is kept but no longer counts as present.
    pub(super) fn forget_if_over(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        if client.peer.is_some() || !client.streams.is_empty() || !client.listeners.is_empty() {
            return;
        }
        if client.absent.is_empty() {
            self.clients.remove(id);
        } else {
            self.clients.set_away(id);
            self.schedule_check(id);
        }
    }

    /// The number of cursors kept for absent listeners.
    #[cfg(test)]
    pub(super) fn kept_parts(&self) -> usize {
        let away = self
            .subscriptions
            .values()
            .filter_map(|subscription| subscription.away.as_ref());
        away.map(crate::pipe::Away::breadth).sum()
    }

    /// Saves the earlier parts of a cut stream, so that the rest is reported safe only together with them.
    /// Returns whether the disk had room.
    pub(super) fn save_earlier(&mut self, key: StreamKey) -> bool {
        !self.store.is_durable() || !self.streams.contains_key(&key) || self.save(key)
    }
}
