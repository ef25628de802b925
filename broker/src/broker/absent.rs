//! Writers and listeners that were given up for their silence and may come back (rule 16).
//!
//! Being lost is not being sent away: what others may have meanwhile is theirs at once, and where the
//! lost one stood is kept until it is back. There is room for the latest [`ABSENT_KEPT`] of them.

use uuid::Uuid;

use super::writing::Stage;
use super::{ABSENT_KEPT, Broker};
use crate::pipe::Changed;
use crate::protocol::How;
use crate::store::{Store, StreamKey};

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
        self.absent.push_back(id);
        if self.absent.len() > ABSENT_KEPT {
            self.forget_longest_absent();
        }
    }

    /// Somebody who was given up is there again.
    pub(super) fn is_back(&mut self, client: Uuid, id: Uuid) {
        self.absent.retain(|absent| *absent != id);
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

    /// Forgets who was given up first of all that may come back. Returns whether there was anybody.
    pub(super) fn forget_longest_absent(&mut self) -> bool {
        let Some(id) = self.absent.pop_front() else {
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
