//! Clients by their UUID, and the connection that each client uses.
//!
//! This module never looks at pipes. `losing` decides what happens to the streams of a lost client.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::v01_peers::V01Peer;
use super::{Now, Peer};
use crate::keys::KeyId;

/// A client, which may be between two connections.
#[derive(Debug)]
pub(super) struct Client {
    /// The connection on which the client was last heard. None while it is disconnected.
    pub peer: Option<Peer>,
    /// When a message last came from the client.
    pub heard: Now,
    /// The order in which clients came.
    pub order: u64,
    /// UUIDs of the client's streams. A stream is removed when its writer has confirmed its answer.
    pub streams: BTreeSet<Uuid>,
    /// UUIDs of the client's listeners.
    pub listeners: BTreeSet<Uuid>,
    /// UUIDs of the client's streams and listeners that timed out and may come back.
    pub absent: BTreeSet<Uuid>,
    /// When the client's last connection was closed. Set only where a closed connection means that the
    /// program has ended.
    pub gone: Option<Now>,
    /// The key that authenticated the client. None at a satellite without keys, or until the client
    /// reconnects after the satellite restarted.
    pub key: Option<KeyId>,
    /// State of a v0.1 peer.
    pub old: Option<V01Peer>,
    /// When the client is next checked for a timeout.
    check: Option<Now>,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
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
    /// The number of v0.1 peers.
    old: usize,
}

impl Clients {
    /// The number of clients that are not away. A client that lost its connection a moment ago still counts.
    pub fn present(&self) -> usize {
        self.by_id.len() - self.away.len()
    }

    /// Marks a client as away: it has no connection, and only streams and listeners to come back for.
    pub fn set_away(&mut self, id: Uuid) {
        if let Some(client) = self.by_id.get(&id)
            && self.away.insert(id)
        {
            let key = client.key;
            self.one_less(key);
        }
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
        self.get(id)?.key
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

    /// Whether a client is a v0.1 peer.
    pub fn is_v01(&self, client: Uuid) -> bool {
        self.get(client).is_some_and(|client| client.old.is_some())
    }

    /// Marks a client as a v0.1 peer.
    pub fn set_v01(&mut self, id: Uuid) {
        if let Some(client) = self.by_id.get_mut(&id)
            && client.old.replace(V01Peer::default()).is_none()
        {
            self.old += 1;
        }
    }

    /// The number of v0.1 peers.
    pub fn old(&self) -> usize {
        self.old
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
        clients.any(|client| client.key == Some(key) && client.peer.is_some())
    }

    /// The connections of all clients except v0.1 peers, each with its key, in the order in which the clients
    /// came.
    pub fn on_connections(&self) -> Vec<(Peer, Option<KeyId>)> {
        let mut new: Vec<_> = self.by_id.values().filter(|it| it.old.is_none()).collect();
        new.sort_unstable_by_key(|client| client.order);
        let connections = new
            .into_iter()
            .filter_map(|it| Some((it.peer.clone()?, it.key)));
        connections.collect()
    }

    /// All clients, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = Uuid> {
        self.by_id.keys().copied()
    }

    pub fn get(&self, client: Uuid) -> Option<&Client> {
        self.by_id.get(&client)
    }

    pub fn get_mut(&mut self, client: Uuid) -> Option<&mut Client> {
        self.by_id.get_mut(&client)
    }

    pub fn peer(&self, client: Uuid) -> Option<&Peer> {
        self.by_id.get(&client)?.peer.as_ref()
    }

    pub fn at(&self, peer: &Peer) -> Option<Uuid> {
        self.by_peer.get(peer).copied()
    }

    /// Notes that a message came from a connection. Returns the connection's client.
    pub fn heard(&mut self, peer: &Peer, now: Now) -> Option<Uuid> {
        let id = self.at(peer)?;
        if let Some(client) = self.by_id.get_mut(&id) {
            client.heard = now;
        }
        Some(id)
    }

    /// Returns the client with this UUID. A new client starts without a connection.
    pub fn make(&mut self, id: Uuid, now: Now) -> &mut Client {
        let came = &mut self.came;
        self.by_id.entry(id).or_insert_with(|| {
            *came += 1;
            Client {
                peer: None,
                heard: now,
                order: *came,
                streams: BTreeSet::new(),
                listeners: BTreeSet::new(),
                absent: BTreeSet::new(),
                gone: None,
                key: None,
                old: None,
                check: None,
            }
        })
    }

    /// Moves a client to a connection. If another client used this connection before, that client is
    /// disconnected and returned.
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
        client.gone = None;
        if let Some(before) = client.peer.replace(peer.clone()) {
            self.by_peer.remove(&before);
        }
        self.by_peer.insert(peer.clone(), id);
        earlier
    }

    pub fn disconnect(&mut self, id: Uuid) {
        if let Some(peer) = self
            .by_id
            .get_mut(&id)
            .and_then(|client| client.peer.take())
        {
            self.by_peer.remove(&peer);
        }
    }

    pub fn remove(&mut self, id: Uuid) -> Option<Client> {
        self.disconnect(id);
        let client = self.by_id.remove(&id)?;
        self.old -= usize::from(client.old.is_some());
        if !self.away.remove(&id) {
            self.one_less(client.key);
        }
        if let Some(due) = client.check {
            self.checks.remove(&(due, client.order, id));
        }
        Some(client)
    }

    /// Schedules the next timeout check of a client. None: the client is not checked.
    pub fn check_at(&mut self, id: Uuid, due: Option<Now>) {
        let Some(client) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(before) = client.check {
            self.checks.remove(&(before, client.order, id));
        }
        client.check = due;
        if let Some(due) = due {
            self.checks.insert((due, client.order, id));
        }
    }

    /// The time of the next timeout check.
    pub fn next_check(&self) -> Option<Now> {
        self.checks.first().map(|(due, _, _)| *due)
    }

    /// The next client whose timeout check is due.
    pub fn due(&self, now: Now) -> Option<Uuid> {
        self.checks
            .first()
            .filter(|(due, _, _)| *due <= now)
            .map(|(_, _, id)| *id)
    }
}
