//! How much each key holds of every counted resource, and how much it may hold. One key at its limit harms no
//! other.
//!
//! This module owns the counts. They are updated as things come and go, so that nothing is walked. A key
//! without the right to manage may have a quarter of what the satellite has. The last eighth is kept for keys
//! that may manage. At a satellite without keys, each client has a share instead, counted while the client
//! exists. This module never decides what happens to existing things.

use std::collections::HashMap;

use uuid::Uuid;

use super::upkeep::{KEPT, Kind};
use super::{Broker, MAX_CURSORS};
use crate::keys::KeyId;
use crate::pipe::Pipe;
use crate::protocol::Holds;
use crate::store::{Store, StreamKey};

/// A key may have one part in this many of everything.
pub(super) const SHARE: usize = 4;

/// The kinds of counted things that have a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Writer,
    Listener,
}

/// What each key holds.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_key: HashMap<KeyId, Holds>,
    /// Unused credit of the writers of each key.
    granted: HashMap<KeyId, u64>,
    /// The key that wrote each stream, and the number of the stream's bytes that are held.
    streams: HashMap<StreamKey, (KeyId, u64)>,
    /// The key that each writer and listener belongs to.
    things: HashMap<Uuid, (KeyId, Thing)>,
}

impl Shares {
    /// What a key holds, except its connections.
    pub fn of(&self, key: KeyId) -> Holds {
        self.by_key.get(&key).copied().unwrap_or_default()
    }

    /// Counts credit given to a writer.
    pub fn grant(&mut self, writer: Uuid, amount: u64) {
        if let Some(owner) = self.owner_of(writer) {
            *self.granted.entry(owner).or_default() += amount;
        }
    }

    /// Counts credit that a writer used or lost.
    pub fn settle(&mut self, writer: Uuid, amount: u64) {
        if let Some(owner) = self.owner_of(writer)
            && let Some(granted) = self.granted.get_mut(&owner)
        {
            *granted = granted.saturating_sub(amount);
            if *granted == 0 {
                self.granted.remove(&owner);
            }
        }
    }

    /// The held bytes of a key's streams plus the unused credit of its writers.
    fn promised(&self, key: KeyId) -> u64 {
        self.of(key).bytes + self.granted.get(&key).copied().unwrap_or(0)
    }

    pub fn stream_comes(&mut self, stream: StreamKey, owner: Option<KeyId>) {
        let Some(owner) = owner else {
            return;
        };
        if self.streams.insert(stream, (owner, 0)).is_none() {
            self.by_key.entry(owner).or_default().streams += 1;
        }
    }

    /// Sets the number of held bytes of a stream.
    pub fn stream_keeps(&mut self, stream: StreamKey, bytes: u64) {
        if let Some((owner, kept)) = self.streams.get_mut(&stream) {
            let holds = self.by_key.entry(*owner).or_default();
            holds.bytes = holds.bytes + bytes - *kept;
            *kept = bytes;
        }
    }

    pub fn stream_goes(&mut self, stream: StreamKey) {
        if let Some((owner, kept)) = self.streams.remove(&stream) {
            self.change(owner, |holds| {
                holds.streams -= 1;
                holds.bytes -= kept;
            });
        }
    }

    pub fn writer_comes(&mut self, id: Uuid, owner: Option<KeyId>) {
        self.comes(id, owner, Thing::Writer);
    }

    pub fn listener_comes(&mut self, id: Uuid, owner: Option<KeyId>) {
        self.comes(id, owner, Thing::Listener);
    }

    fn comes(&mut self, id: Uuid, owner: Option<KeyId>, thing: Thing) {
        let Some(owner) = owner else {
            return;
        };
        if self.things.insert(id, (owner, thing)).is_none() {
            *count(self.by_key.entry(owner).or_default(), thing) += 1;
        }
    }

    /// Forgets a writer or a listener.
    pub fn goes(&mut self, id: Uuid) {
        if let Some((owner, thing)) = self.things.remove(&id) {
            self.change(owner, |holds| *count(holds, thing) -= 1);
        }
    }

    fn change(&mut self, key: KeyId, change: impl FnOnce(&mut Holds)) {
        if let Some(holds) = self.by_key.get_mut(&key) {
            change(holds);
            if *holds == Holds::default() {
                self.by_key.remove(&key);
            }
        }
    }

    pub fn owner_of_stream(&self, stream: StreamKey) -> Option<KeyId> {
        self.streams.get(&stream).map(|(owner, _)| *owner)
    }

    pub fn owner_of(&self, id: Uuid) -> Option<KeyId> {
        self.things.get(&id).map(|(owner, _)| *owner)
    }

    /// All streams written with any key.
    pub fn streams(&self) -> Vec<StreamKey> {
        self.streams.keys().copied().collect()
    }

    /// The writers and listeners of a key.
    pub fn things_of(&self, key: KeyId) -> Vec<Uuid> {
        let its = self.things.iter().filter(|(_, (owner, _))| *owner == key);
        let mut its: Vec<_> = its.map(|(id, _)| *id).collect();
        its.sort_unstable();
        its
    }

    /// The streams written with a key, oldest first.
    pub fn written_by(&self, key: KeyId) -> Vec<StreamKey> {
        let its = self.streams.iter().filter(|(_, (owner, _))| *owner == key);
        let mut its: Vec<_> = its.map(|(stream, _)| *stream).collect();
        its.sort_unstable();
        its
    }
}

fn count(holds: &mut Holds, thing: Thing) -> &mut u64 {
    match thing {
        Thing::Writer => &mut holds.writers,
        Thing::Listener => &mut holds.listeners,
    }
}

fn used_up(kind: Kind) -> String {
    let what = kind.name();
    format!("this satellite has reached its limit of {what}")
}

impl<S: Store> Broker<S> {
    /// Whether a client may have one more of something in a pipe, leaving some for others. If not, the
    /// reason.
    pub(super) fn has_room_for(
        &mut self,
        client: Uuid,
        kind: Kind,
        pipe: &str,
    ) -> Result<(), String> {
        let owner = self.clients.key_of(client);
        match owner {
            Some(owner) => self.key_has_share(owner, kind)?,
            None if self.registry.is_some() => {}
            None => self.client_has_share(client, kind)?,
        }
        let parts = match kind {
            Kind::Clients => |_: &Pipe| 0,
            Kind::Listeners => Pipe::open_streams,
            Kind::Streams => Pipe::listeners,
        };
        let cursors = self.pipes.get(pipe).map_or(0, parts);
        let manages = self.manages(owner);
        // Present clients take precedence over absent ones.
        while !self.can_have(kind, cursors, manages) && self.forget_one_absent() {}
        if self.can_have(kind, cursors, manages) {
            Ok(())
        } else {
            Err(used_up(kind))
        }
    }

    fn can_have(&self, kind: Kind, cursors: usize, manages: bool) -> bool {
        self.number_of(kind) < self.most(kind)
            && self.effects.cursors + cursors <= MAX_CURSORS
            && self.has_memory_for(kind, cursors, manages)
    }

    /// Whether a key may use the part kept for managing keys. At a satellite without keys everybody may.
    fn manages(&self, owner: Option<KeyId>) -> bool {
        self.registry.is_none() || self.key(owner).is_some_and(|key| key.rights.manage)
    }

    fn number_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Clients => self.clients.present(),
            Kind::Listeners => self.subscriptions.len(),
            Kind::Streams => self.streams.len().max(self.writers.len()),
        }
    }

    /// Whether one more client with this key may connect. If not, the reason.
    pub(super) fn client_may_come(&self, owner: Option<KeyId>) -> Result<(), String> {
        if let Some(owner) = owner {
            self.key_has_share(owner, Kind::Clients)?;
        }
        if self.has_memory_for(Kind::Clients, 0, self.manages(owner)) {
            Ok(())
        } else {
            Err(used_up(Kind::Clients))
        }
    }

    fn key_has_share(&self, owner: KeyId, kind: Kind) -> Result<(), String> {
        let Some(key) = self.key(Some(owner)).filter(|key| !key.rights.manage) else {
            return Ok(());
        };
        let holds = self.holds(owner);
        let has = match kind {
            Kind::Clients => holds.clients,
            Kind::Listeners => holds.listeners,
            Kind::Streams => holds.streams.max(holds.writers),
        };
        let most = self.most(kind);
        let share = most.div_ceil(SHARE) as u64;
        if has >= share {
            let (name, what) = (&key.name, kind.name());
            return Err(format!(
                "your key, {name}, has reached its limit of {what}: {share}"
            ));
        }
        if self.number_of(kind) >= most - most / KEPT {
            return Err(used_up(kind));
        }
        Ok(())
    }

    fn client_has_share(&self, client: Uuid, kind: Kind) -> Result<(), String> {
        let Some(client) = self.clients.get(client) else {
            return Ok(());
        };
        let has = match kind {
            Kind::Clients => return Ok(()),
            Kind::Listeners => client.listeners.len(),
            Kind::Streams => client.streams.len(),
        };
        let (what, share) = (kind.name(), self.most(kind).div_ceil(SHARE));
        if has < share {
            Ok(())
        } else {
            Err(format!("one client can have at most {share} {what} here"))
        }
    }

    /// What a key holds, including its connections.
    pub fn holds(&self, key: KeyId) -> Holds {
        Holds {
            clients: self.clients.present_with(key) as u64,
            ..self.shares.of(key)
        }
    }

    /// How many bytes a key's streams may hold: the quota of its invitation, or a quarter of the room. None
    /// for a key that may manage, unless its invitation sets a quota.
    pub(super) fn key_quota(&self, owner: KeyId) -> Option<u64> {
        let key = self.key(Some(owner))?;
        let room = match self.store.disk() {
            Some(disk) => disk.budget,
            None => self.settings.memory,
        };
        let share = (!key.rights.manage).then_some(room / SHARE as u64);
        key.quota.or(share)
    }

    /// How much more credit the key of a writer may get, and the key's quota.
    pub(super) fn key_left(&self, writer: Uuid) -> Option<(u64, u64)> {
        let owner = self.shares.owner_of(writer)?;
        let quota = self.key_quota(owner)?;
        let promised = self.shares.promised(owner);
        Some((quota.saturating_sub(promised), quota))
    }

    /// Updates the number of held bytes of a stream.
    pub(super) fn recount(&mut self, stream: StreamKey) {
        if self.shares.owner_of_stream(stream).is_none() {
            return;
        }
        let known = self.streams.get(&stream);
        let kept = known.and_then(|(_, name)| self.pipes.get(name)?.kept_of(stream));
        self.shares.stream_keeps(stream, kept.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_counted_until_it_goes_and_once() {
        let (key, id) = (KeyId(1), Uuid::from_u128(1));
        let mut shares = Shares::default();
        for _ in 0..2 {
            shares.stream_comes(StreamKey(1), Some(key));
            shares.writer_comes(id, Some(key));
            shares.listener_comes(Uuid::from_u128(2), Some(key));
            shares.listener_comes(Uuid::from_u128(3), None);
            shares.stream_comes(StreamKey(2), None);
        }
        for bytes in [10, 30, 20] {
            shares.stream_keeps(StreamKey(1), bytes);
            shares.stream_keeps(StreamKey(2), bytes);
        }
        shares.grant(id, 100);
        shares.settle(id, 40);
        assert_eq!(shares.promised(key), 80);
        shares.settle(id, 60);
        let holds = Holds {
            clients: 0,
            listeners: 1,
            writers: 1,
            streams: 1,
            bytes: 20,
        };
        assert_eq!(shares.of(key), holds);
        assert_eq!(shares.written_by(key), [StreamKey(1)]);
        for _ in 0..2 {
            shares.stream_goes(StreamKey(1));
            shares.goes(id);
            shares.goes(Uuid::from_u128(2));
        }
        assert_eq!(shares.of(key), Holds::default());
        assert!(shares.by_key.is_empty() && shares.granted.is_empty());
    }
}
