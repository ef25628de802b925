//! Writers and listeners that were given up for their silence and may come back (rule 16).
//!
//! Being lost is not being sent away: what others may have meanwhile is theirs at once, and where the
//! lost one stood is kept until it is back. There is room for [`ABSENT_KEPT`] of them; beyond that the key that
//! has most of them loses its oldest, so that one key's do not push out another's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use super::writing::Stage;
use super::{ABSENT_KEPT, Broker};
use crate::keys::KeyId;
use crate::pipe::Changed;
use crate::protocol::How;
use crate::store::{Store, StreamKey};

/// Those who may come back, by whose they are; each one's the latest last.
#[derive(Debug, Default)]
pub(super) struct Absent {
    by_owner: BTreeMap<Option<KeyId>, VecDeque<(u64, Uuid)>>,
    /// How many have been given up so far.
    came: u64,
    len: usize,
}

impl Absent {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, owner: Option<KeyId>, id: Uuid) {
        self.came += 1;
        self.len += 1;
        let its = self.by_owner.entry(owner).or_default();
        its.push_back((self.came, id));
    }

    /// Takes those out for which this holds.
    pub fn remove(&mut self, is_it: impl Fn(Uuid) -> bool) {
        self.by_owner.retain(|_, its| {
            its.retain(|(_, id)| !is_it(*id));
            !its.is_empty()
        });
        self.len = self.by_owner.values().map(VecDeque::len).sum();
    }

    /// Takes out the oldest of the key that has most; of several such keys, the oldest of all.
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
    /// Gives a writer up: its stream is cut, and how far it had come is kept. One whose stream has
    /// finished is owed its answer still, and nothing changes.
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
            // A satellite that was restarted lacks its last bytes.
            self.with_pipe(&pipe, |pipe, ctx| pipe.cut_short(key, next, why, ctx));
        }
        self.remember_absent(stream);
    }

    /// Notes that somebody was given up who may come back.
    pub(super) fn remember_absent(&mut self, id: Uuid) {
        let client = self.takers.get(&id).map(|taker| taker.client);
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

    /// Somebody who was given up is there again.
    pub(super) fn is_back(&mut self, client: Uuid, id: Uuid) {
        self.absent.remove(|absent| absent == id);
        let is_listener = self.takers.contains_key(&id);
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

    /// Forgets one that may come back, whose turn it is. Returns whether there was anybody.
    pub(super) fn forget_one_absent(&mut self) -> bool {
        let Some(id) = self.absent.pop() else {
            return false;
        };
        let taker = self.takers.get(&id).map(|taker| taker.client);
        let client = taker.or_else(|| self.writers.get(&id).map(|writer| writer.client));
        match taker {
            Some(client) => self.leave(client, id),
            None => self.forget_writer(id),
        }
        if let Some(client) = client {
            self.forget_if_over(client);
        }
        true
    }

    /// A client that has no connection and nothing here is forgotten, and one that has nothing but what
    /// it may come back for counts no more.
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

    /// How many parts in streams are kept for listeners that may come back.
    #[cfg(test)]
    pub(super) fn kept_parts(&self) -> usize {
        let away = self.takers.values().filter_map(|taker| taker.away.as_ref());
        away.map(crate::pipe::Away::breadth).sum()
    }

    /// Saves what lies in memory of the parts of a stream that were cut, so that what follows can be
    /// safe only with them. Returns whether there was room.
    pub(super) fn save_earlier(&mut self, key: StreamKey) -> bool {
        !self.store.is_durable() || !self.streams.contains_key(&key) || self.save(key)
    }
}
