//! Clients by their UUID: the connection that each of them uses, what it owns, and when it counts as lost.
//!
//! This module never looks at pipes. `timeouts` decides what happens to the streams of a lost client.

mod silence;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use crate::interface::{Peer, Settings};
use crate::keys::KeyId;
use crate::pipe::Now;

/// Who sent a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The connection.
    pub peer: &'a Peer,
    /// The client at the other end.
    pub client: Uuid,
    /// The key that authenticated the connection.
    pub key: Option<KeyId>,
}

/// What a client has at the satellite.
#[derive(Debug, Clone, Default)]
pub(super) struct Belongings {
    /// Streams. A stream is removed when its writer has confirmed its answer.
    pub streams: BTreeSet<Uuid>,
    pub listeners: BTreeSet<Uuid>,
    /// Streams and listeners that timed out and may come back.
    pub absent: BTreeSet<Uuid>,
}

impl Belongings {
    /// Whether the client has nothing but what it may come back for.
    fn is_over(&self) -> bool {
        self.streams.is_empty() && self.listeners.is_empty()
    }
}

/// Whether a client can be reached.
#[derive(Debug)]
enum Presence {
    /// The client was last heard on this connection.
    Connected(Peer),
    /// The client is between two connections. `closed` says when its last connection was closed, where that
    /// means that the program has ended.
    Between { closed: Option<Now> },
}

/// How a client is found to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The client sends heartbeats, and may come back on another connection.
    Heartbeats,
    /// The client may be silent for ever, and is gone when its connection is (SKYPIPE/0.1).
    Connection,
}

/// A client, which may be between two connections.
#[derive(Debug)]
struct Client {
    presence: Presence,
    life: Life,
    /// When a message last came from the client.
    heard: Now,
    /// The order in which clients came.
    order: u64,
    belongings: Belongings,
    /// The key that authenticated the client. None at a satellite without keys, or until the client
    /// reconnects after the satellite restarted.
    key: Option<KeyId>,
    /// When the client is next checked for a timeout.
    check: Option<Now>,
}

impl Client {
    fn peer(&self) -> Option<&Peer> {
        match &self.presence {
            Presence::Connected(peer) => Some(peer),
            Presence::Between { .. } => None,
        }
    }

    fn closed(&self) -> Option<Now> {
        match self.presence {
            Presence::Connected(_) => None,
            Presence::Between { closed } => closed,
        }
    }
}

/// All clients.
#[derive(Debug)]
pub(super) struct Peers {
    by_id: HashMap<Uuid, Client>,
    by_peer: HashMap<Peer, Uuid>,
    /// When to check each client for a timeout. Clients with the same time are checked in the order in which
    /// they came.
    checks: BTreeSet<(Now, u64, Uuid)>,
    came: u64,
    /// Clients without a connection that only have streams and listeners to come back for.
    away: HashSet<Uuid>,
    /// The number of present clients for each key.
    with_keys: HashMap<KeyId, usize>,
    /// The timeouts. They never change.
    writer_lost: Duration,
    listener_lost: Duration,
    /// Whether a closed connection means that its program has ended. It never changes.
    is_local: bool,
}

impl Peers {
    pub fn new(settings: &Settings) -> Self {
        Self {
            by_id: HashMap::new(),
            by_peer: HashMap::new(),
            checks: BTreeSet::new(),
            came: 0,
            away: HashSet::new(),
            with_keys: HashMap::new(),
            writer_lost: settings.writer_lost,
            listener_lost: settings.listener_lost,
            is_local: settings.is_local,
        }
    }

    /// The number of clients that are not away. A client that lost its connection a moment ago still counts.
    pub fn present(&self) -> usize {
        self.by_id.len() - self.away.len()
    }

    /// Whether a client is known and not away.
    pub fn is_present(&self, id: Uuid) -> bool {
        self.by_id.contains_key(&id) && !self.away.contains(&id)
    }

    /// The number of present clients that use a key.
    pub fn present_with(&self, key: KeyId) -> usize {
        self.with_keys.get(&key).copied().unwrap_or(0)
    }

    /// Sets the key of a present client.
    pub fn set_key(&mut self, id: Uuid, key: Option<KeyId>) {
        let Some(client) = self.by_id.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut client.key, key);
        self.one_less(before);
        self.one_more(key);
    }

    /// The key of a client. None until the client has connected in this run of the satellite.
    pub fn key_of(&self, id: Uuid) -> Option<KeyId> {
        self.by_id.get(&id)?.key
    }

    /// Whether a client may use this key: a client always keeps its first key. A client from before a restart
    /// has not yet shown its key and may use any.
    pub fn is_its_key(&self, id: Uuid, key: Option<KeyId>) -> bool {
        let known = self.key_of(id);
        known.is_none() || known == key
    }

    fn one_more(&mut self, key: Option<KeyId>) {
        if let Some(key) = key {
            *self.with_keys.entry(key).or_default() += 1;
        }
    }

    fn one_less(&mut self, key: Option<KeyId>) {
        if let Some(key) = key
            && let Some(count) = self.with_keys.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.with_keys.remove(&key);
            }
        }
    }

    /// The number of clients with a connection.
    pub fn connected(&self) -> usize {
        self.by_peer.len()
    }

    pub fn knows(&self, client: Uuid) -> bool {
        self.by_id.contains_key(&client)
    }

    /// Clients that use a key, in the order in which they came.
    pub fn with_key(&self, key: KeyId) -> Vec<Uuid> {
        let has_it = |(_, client): &(&Uuid, &Client)| client.key == Some(key);
        let mut found: Vec<_> = self.by_id.iter().filter(has_it).collect();
        found.sort_unstable_by_key(|(_, client)| client.order);
        found.into_iter().map(|(id, _)| *id).collect()
    }

    /// Whether a connected client uses a key.
    pub fn has_key(&self, key: KeyId) -> bool {
        let mut clients = self.by_id.values();
        clients.any(|client| client.key == Some(key) && client.peer().is_some())
    }

    /// The connections of all clients that send heartbeats, each with its key, in the order in which the
    /// clients came.
    pub fn connections(&self) -> Vec<(Peer, Option<KeyId>)> {
        let is_its = |client: &&Client| client.life == Life::Heartbeats;
        let mut clients: Vec<_> = self.by_id.values().filter(is_its).collect();
        clients.sort_unstable_by_key(|client| client.order);
        let connections = clients
            .into_iter()
            .filter_map(|it| Some((it.peer()?.clone(), it.key)));
        connections.collect()
    }

    /// All clients, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = Uuid> {
        self.by_id.keys().copied()
    }

    /// What a client has, if the client is known.
    pub fn belongings(&self, client: Uuid) -> Option<&Belongings> {
        Some(&self.by_id.get(&client)?.belongings)
    }

    pub fn peer(&self, client: Uuid) -> Option<&Peer> {
        self.by_id.get(&client)?.peer()
    }

    pub fn at(&self, peer: &Peer) -> Option<Uuid> {
        self.by_peer.get(peer).copied()
    }

    /// Whether a client is gone when its connection is.
    pub fn is_bound_to_connection(&self, client: Uuid) -> bool {
        self.by_id
            .get(&client)
            .is_some_and(|client| client.life == Life::Connection)
    }

    /// Binds a client to its connection: it may be silent for ever.
    pub fn bind_to_connection(&mut self, client: Uuid) {
        if let Some(client) = self.by_id.get_mut(&client) {
            client.life = Life::Connection;
        }
    }

    /// Notes that a message came from a connection. Returns the connection's client.
    pub fn heard(&mut self, peer: &Peer, now: Now) -> Option<Uuid> {
        let id = self.at(peer)?;
        if let Some(client) = self.by_id.get_mut(&id) {
            client.heard = now;
        }
        Some(id)
    }

    fn make(&mut self, id: Uuid, now: Now) -> &mut Client {
        let came = &mut self.came;
        self.by_id.entry(id).or_insert_with(|| {
            *came += 1;
            Client {
                presence: Presence::Between { closed: None },
                life: Life::Heartbeats,
                heard: now,
                order: *came,
                belongings: Belongings::default(),
                key: None,
                check: None,
            }
        })
    }

    /// Adds the client of an earlier run, which has no connection yet.
    pub fn restore(&mut self, id: Uuid, now: Now) {
        self.make(id, now);
    }

    /// Moves a client to a connection. A new client is added. If another client used this connection before,
    /// that client is disconnected and returned.
    pub fn connect(&mut self, id: Uuid, peer: &Peer, now: Now) -> Option<Uuid> {
        let earlier = self.at(peer).filter(|other| *other != id);
        if let Some(other) = earlier {
            self.disconnect(other);
        }
        if self.away.remove(&id) {
            let key = self.key_of(id);
            self.one_more(key);
        }
        let client = self.make(id, now);
        client.heard = now;
        let connected = Presence::Connected(peer.clone());
        if let Presence::Connected(before) = std::mem::replace(&mut client.presence, connected) {
            self.by_peer.remove(&before);
        }
        self.by_peer.insert(peer.clone(), id);
        earlier
    }

    pub fn disconnect(&mut self, id: Uuid) {
        let Some(client) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Presence::Connected(peer) = &client.presence {
            self.by_peer.remove(peer);
            client.presence = Presence::Between { closed: None };
        }
    }

    /// Notes when a client's connection was closed, where that means that its program has ended.
    pub fn note_closed(&mut self, id: Uuid, now: Now) {
        if let Some(client) = self.by_id.get_mut(&id)
            && self.is_local
            && client.peer().is_none()
        {
            client.presence = Presence::Between { closed: Some(now) };
            self.schedule_check(id);
        }
    }

    pub fn remove(&mut self, id: Uuid) {
        self.disconnect(id);
        let Some(client) = self.by_id.remove(&id) else {
            return;
        };
        if !self.away.remove(&id) {
            self.one_less(client.key);
        }
        if let Some(due) = client.check {
            self.checks.remove(&(due, client.order, id));
        }
    }

    /// Forgets a client without a connection and without streams or listeners. If such a client still has
    /// absent ones, it is kept but no longer counts as present.
    pub fn forget_if_over(&mut self, id: Uuid) {
        let Some(client) = self.by_id.get(&id) else {
            return;
        };
        if client.peer().is_some() || !client.belongings.is_over() {
            return;
        }
        if client.belongings.absent.is_empty() {
            self.remove(id);
        } else {
            let key = client.key;
            if self.away.insert(id) {
                self.one_less(key);
            }
            self.schedule_check(id);
        }
    }
}

/// What clients have.
impl Peers {
    pub fn add_stream(&mut self, client: Uuid, stream: Uuid) {
        if let Some(owner) = self.by_id.get_mut(&client) {
            owner.belongings.absent.remove(&stream);
            owner.belongings.streams.insert(stream);
        }
        self.schedule_check(client);
    }

    pub fn add_listener(&mut self, client: Uuid, listener: Uuid) {
        if let Some(owner) = self.by_id.get_mut(&client) {
            owner.belongings.absent.remove(&listener);
            owner.belongings.listeners.insert(listener);
        }
        self.schedule_check(client);
    }

    /// Notes that a stream or a listener of a client has timed out and may come back.
    pub fn set_absent(&mut self, client: Uuid, id: Uuid) {
        if let Some(client) = self.by_id.get_mut(&client) {
            client.belongings.listeners.remove(&id);
            client.belongings.streams.remove(&id);
            client.belongings.absent.insert(id);
        }
    }

    /// Forgets a stream of a client.
    pub fn drop_stream(&mut self, client: Uuid, stream: Uuid) {
        if let Some(client) = self.by_id.get_mut(&client) {
            client.belongings.streams.remove(&stream);
            client.belongings.absent.remove(&stream);
        }
    }

    /// Forgets a listener of a client.
    pub fn drop_listener(&mut self, client: Uuid, listener: Uuid) {
        if let Some(client) = self.by_id.get_mut(&client) {
            client.belongings.listeners.remove(&listener);
            client.belongings.absent.remove(&listener);
        }
    }
}
