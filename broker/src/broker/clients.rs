//! Who is there: clients by their UUID, and the connection each of them is on.
//!
//! It knows nothing of pipes; what becomes of a lost client's streams is decided in `losing`.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::old::OldPeer;
use super::{Now, Peer};
use crate::keys::KeyId;

/// One client, on a connection or between two.
#[derive(Debug)]
pub(super) struct Client {
    /// The connection it was last heard on; none while it has none.
    pub peer: Option<Peer>,
    /// When it was last heard of.
    pub heard: Now,
    /// Its place in the order of coming.
    pub order: u64,
    /// The UUIDs of its streams, until it has its answers.
    pub streams: BTreeSet<Uuid>,
    /// The UUIDs of its listeners.
    pub listeners: BTreeSet<Uuid>,
    /// The UUIDs of its streams and listeners that were given up and that it may come back for.
    pub absent: BTreeSet<Uuid>,
    /// Since when its last connection has been closed, where that says that its program has ended.
    pub gone: Option<Now>,
    /// The key with which it connected; none where there are no keys, or before it has come back
    /// after a restart.
    pub key: Option<KeyId>,
    /// What belongs to a peer of the original protocol.
    pub old: Option<OldPeer>,
    /// When it is looked at next.
    check: Option<Now>,
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    by_id: HashMap<Uuid, Client>,
    by_peer: HashMap<Peer, Uuid>,
    /// When to look whether a client has gone silent, by order of coming where times are equal.
    checks: BTreeSet<(Now, u64, Uuid)>,
    came: u64,
    /// Those that have no connection, and nothing but what they may come back for.
    away: HashSet<Uuid>,
    /// How many of the others have each key.
    with_keys: HashMap<KeyId, usize>,
    /// How many are peers of the original protocol.
    old: usize,
}

impl Clients {
    /// Clients that are here, or were a moment ago.
    pub fn present(&self) -> usize {
        self.by_id.len() - self.away.len()
    }

    /// A client has no connection, and nothing but what it may come back for.
    pub fn set_away(&mut self, id: Uuid) {
        if let Some(client) = self.by_id.get(&id)
            && self.away.insert(id)
        {
            let key = client.key;
            self.one_less(key);
        }
    }

    /// Whether a client is here, or was a moment ago.
    pub fn is_present(&self, id: Uuid) -> bool {
        self.by_id.contains_key(&id) && !self.away.contains(&id)
    }

    /// How many clients are here with a key, or were a moment ago.
    pub fn present_with(&self, key: KeyId) -> usize {
        self.with_keys.get(&key).copied().unwrap_or(0)
    }

    /// A client that is here has this key.
    pub fn set_key(&mut self, id: Uuid, key: Option<KeyId>) {
        let Some(client) = self.by_id.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut client.key, key);
        self.one_less(before);
        self.one_more(key);
    }

    /// The key of a client, if it has said it in this run of the satellite.
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

    /// Clients that are on a connection.
    pub fn connected(&self) -> usize {
        self.by_peer.len()
    }

    pub fn knows(&self, client: Uuid) -> bool {
        self.by_id.contains_key(&client)
    }

    /// Whether a client is a peer of the original protocol.
    pub fn is_old(&self, client: Uuid) -> bool {
        self.get(client).is_some_and(|client| client.old.is_some())
    }

    /// A client is a peer of the original protocol.
    pub fn set_old(&mut self, id: Uuid) {
        if let Some(client) = self.by_id.get_mut(&id)
            && client.old.replace(OldPeer::default()).is_none()
        {
            self.old += 1;
        }
    }

    /// How many are peers of the original protocol.
    pub fn old(&self) -> usize {
        self.old
    }

    /// Those who connected with a key, the first to come first.
    pub fn with_key(&self, key: KeyId) -> Vec<Uuid> {
        let has_it = |(_, client): &(&Uuid, &Client)| client.key == Some(key);
        let mut found: Vec<_> = self.by_id.iter().filter(has_it).collect();
        found.sort_unstable_by_key(|(_, client)| client.order);
        found.into_iter().map(|(id, _)| *id).collect()
    }

    /// Whether somebody is connected with a key.
    pub fn has_key(&self, key: KeyId) -> bool {
        let mut clients = self.by_id.values();
        clients.any(|client| client.key == Some(key) && client.peer.is_some())
    }

    /// The connections of those who speak this protocol, with the keys on them, the first to come first.
    pub fn on_connections(&self) -> Vec<(Peer, Option<KeyId>)> {
        let mut new: Vec<_> = self.by_id.values().filter(|it| it.old.is_none()).collect();
        new.sort_unstable_by_key(|client| client.order);
        let connections = new
            .into_iter()
            .filter_map(|it| Some((it.peer.clone()?, it.key)));
        connections.collect()
    }

    /// All of them, in no order.
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

    /// Notes that something came from a connection; returns whose it is.
    pub fn heard(&mut self, peer: &Peer, now: Now) -> Option<Uuid> {
        let id = self.at(peer)?;
        if let Some(client) = self.by_id.get_mut(&id) {
            client.heard = now;
        }
        Some(id)
    }

    /// A client of this UUID, on no connection if it is new.
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

    /// Puts a client on a connection, a new one or its next. Returns another client that was on
    /// this connection before; it is on none now.
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

    /// Takes a client off its connection.
    pub fn disconnect(&mut self, id: Uuid) {
        if let Some(peer) = self
            .by_id
            .get_mut(&id)
            .and_then(|client| client.peer.take())
        {
            self.by_peer.remove(&peer);
        }
    }

    /// Forgets a client.
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

    /// Looks at a client again at `due`, or not at all.
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

    /// When somebody is to be looked at.
    pub fn next_check(&self) -> Option<Now> {
        self.checks.first().map(|(due, _, _)| *due)
    }

    /// The next client whose time to be looked at has come.
    pub fn due(&self, now: Now) -> Option<Uuid> {
        self.checks
            .first()
            .filter(|(due, _, _)| *due <= now)
            .map(|(_, _, id)| *id)
    }
}
