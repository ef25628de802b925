//! Whether there is room for one more client, listener or stream, leaving some for others.

use uuid::Uuid;

use super::Broker;
use super::budget::shares::SHARE;
use super::budget::upkeep::{Census, KEPT, Kind, MAX_CURSORS, most_of};
use crate::keys::KeyId;
use crate::pipe::Pipe;
use crate::store::Store;

impl<S: Store> Broker<S> {
    /// Whether a client may have one more of something in a pipe. If not, the reason.
    pub(super) fn room_for(&mut self, client: Uuid, kind: Kind, pipe: &str) -> Result<(), String> {
        let owner = self.base.peers.key_of(client);
        match owner {
            Some(owner) => self.key_has_share(owner, kind)?,
            None if self.base.access.has_keys() => {}
            None => self.client_has_share(client, kind)?,
        }
        let parts = match kind {
            Kind::Clients => |_: &Pipe| 0,
            Kind::Listeners => Pipe::open_streams,
            Kind::Streams => Pipe::listeners,
        };
        let cursors = self.base.pipes.get(pipe).map_or(0, parts);
        let manages = self.base.access.manages(owner);
        // Present clients take precedence over absent ones.
        while !self.can_have(kind, cursors, manages) && self.forget_one_absent() {}
        if self.can_have(kind, cursors, manages) {
            Ok(())
        } else {
            Err(used_up(kind))
        }
    }

    /// Whether one more client with this key may connect. If not, the reason.
    pub(super) fn client_may_come(&self, owner: Option<KeyId>) -> Result<(), String> {
        if let Some(owner) = owner {
            self.key_has_share(owner, Kind::Clients)?;
        }
        let manages = self.base.access.manages(owner);
        if self.has_memory_for(Kind::Clients, 0, manages) {
            Ok(())
        } else {
            Err(used_up(Kind::Clients))
        }
    }

    /// The part of the memory for everything except payloads that the budget pays for, in bytes.
    pub(super) fn upkeep_of_budget(&self) -> u64 {
        let memory = self.base.settings.memory;
        self.census().upkeep_of_budget(memory)
    }

    fn can_have(&self, kind: Kind, cursors: usize, manages: bool) -> bool {
        self.census().number_of(kind) < most_of(kind, &self.base.settings)
            && self.base.pipes.cursors() + cursors <= MAX_CURSORS
            && self.has_memory_for(kind, cursors, manages)
    }

    fn has_memory_for(&self, kind: Kind, cursors: usize, manages: bool) -> bool {
        let memory = self.base.settings.memory;
        self.census().has_memory_for(kind, cursors, manages, memory)
    }

    fn census(&self) -> Census {
        let base = &self.base;
        Census {
            connected: base.peers.connected(),
            present: base.peers.present(),
            streams: base.pipes.streams().max(self.streams.len()),
            listeners: self.subscriptions.len(),
            cursors: base.pipes.cursors(),
            absent: base.absent.len(),
        }
    }

    fn key_has_share(&self, owner: KeyId, kind: Kind) -> Result<(), String> {
        let key = self.base.access.key(Some(owner));
        let Some(key) = key.filter(|key| !key.rights.manage) else {
            return Ok(());
        };
        let holds = self.base.holds(owner);
        let has = match kind {
            Kind::Clients => holds.clients,
            Kind::Listeners => holds.listeners,
            Kind::Streams => holds.streams.max(holds.writers),
        };
        let most = most_of(kind, &self.base.settings);
        let share = most.div_ceil(SHARE) as u64;
        if has >= share {
            let (name, what) = (&key.name, kind.name());
            return Err(format!(
                "your key, {name}, has reached its limit of {what}: {share}"
            ));
        }
        if self.census().number_of(kind) >= most - most / KEPT {
            return Err(used_up(kind));
        }
        Ok(())
    }

    fn client_has_share(&self, client: Uuid, kind: Kind) -> Result<(), String> {
        let Some(belongings) = self.base.peers.belongings(client) else {
            return Ok(());
        };
        let has = match kind {
            Kind::Clients => return Ok(()),
            Kind::Listeners => belongings.listeners.len(),
            Kind::Streams => belongings.streams.len(),
        };
        let most = most_of(kind, &self.base.settings);
        let (what, share) = (kind.name(), most.div_ceil(SHARE));
        if has < share {
            Ok(())
        } else {
            Err(format!("one client can have at most {share} {what} here"))
        }
    }
}

fn used_up(kind: Kind) -> String {
    let what = kind.name();
    format!("this satellite has reached its limit of {what}")
}
