//! Replies that their peers have not read: how much memory they take up, and whose they are.
//!
//! Owns the count of what lies in libzmq's queues beside payloads: by key, or by connection at a satellite
//! without keys. A reply counts until libzmq lets go of it, because it has been sent or its connection has ended.
//! One key, or connection, may have a quarter of what is free: one alone has a fifth of all, many have the same each,
//! and together they never have all. Who would have more has a full queue, as far as the broker knows. Never
//! decides what becomes of him.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::broker::Peer;
use crate::keys::KeyId;

/// What all replies together may take up, in bytes.
const ALL: u64 = 8 << 20;

/// What one may have however little is free, in bytes: the answers that a transfer goes by.
const FLOOR: u64 = 4 << 10;

/// What a reply takes up beside its bytes.
const OVERHEAD: u64 = 256;

/// What one key or connection has, and everybody.
#[derive(Debug)]
struct Gauge {
    own: AtomicU64,
    all: Arc<AtomicU64>,
}

/// A reply, which is counted until it is dropped.
struct Counted {
    reply: Bytes,
    gauge: Arc<Gauge>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.reply
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let size = size(&self.reply);
        self.gauge.own.fetch_sub(size, Relaxed);
        self.gauge.all.fetch_sub(size, Relaxed);
    }
}

fn size(reply: &Bytes) -> u64 {
    reply.len() as u64 + OVERHEAD
}

/// What is in the queues.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    all: Arc<AtomicU64>,
    of_peers: HashMap<Peer, Arc<Gauge>>,
    of_keys: HashMap<KeyId, Arc<Gauge>>,
}

impl Outbox {
    /// Something came over a connection, which has proved a key if there are any.
    pub fn heard(&mut self, peer: &Peer, key: Option<KeyId>) {
        if !self.of_peers.contains_key(peer) {
            let gauge = match key {
                Some(key) => {
                    let all = &self.all;
                    let known = self.of_keys.entry(key);
                    Arc::clone(known.or_insert_with(|| Arc::new(Gauge::of(all))))
                }
                None => Arc::new(Gauge::of(&self.all)),
            };
            self.of_peers.insert(peer.clone(), gauge);
        }
    }

    /// A connection is no more.
    pub fn forget(&mut self, peer: &Peer) {
        if self.of_peers.remove(peer).is_some() {
            self.of_keys.retain(|_, gauge| Arc::strong_count(gauge) > 1);
        }
    }

    /// A reply to a peer, counted from now on; none if its peer has too many already.
    pub fn take(&mut self, peer: &Peer, reply: Bytes) -> Option<Bytes> {
        self.heard(peer, None);
        let gauge = self.of_peers.get(peer)?;
        let size = size(&reply);
        let free = ALL.saturating_sub(self.all.load(Relaxed));
        if gauge.own.load(Relaxed) + size > FLOOR.max(free / 4) {
            return None;
        }
        gauge.own.fetch_add(size, Relaxed);
        gauge.all.fetch_add(size, Relaxed);
        let gauge = Arc::clone(gauge);
        Some(Bytes::from_owner(Counted { reply, gauge }))
    }
}

impl Gauge {
    fn of(all: &Arc<AtomicU64>) -> Self {
        Self {
            own: AtomicU64::new(0),
            all: Arc::clone(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> Peer {
        Peer(Bytes::from(number.to_be_bytes().to_vec()))
    }

    /// As many replies as a peer is sent until it has too many.
    fn fill(outbox: &mut Outbox, peer: &Peer, len: usize) -> Vec<Bytes> {
        std::iter::from_fn(|| outbox.take(peer, vec![0; len].into())).collect()
    }

    #[test]
    fn one_that_reads_nothing_has_a_fifth_of_what_there_is() {
        let mut outbox = Outbox::default();
        let held = fill(&mut outbox, &peer(0), 1000);
        let size = held.len() as u64 * (1000 + OVERHEAD);
        assert!(size <= ALL / 5 && size > ALL / 6, "{size}");
        assert!(outbox.take(&peer(1), vec![0; 60_000].into()).is_some());
        drop(held);
        assert_eq!(outbox.all.load(Relaxed), 0);
    }

    #[test]
    fn many_that_read_nothing_leave_others_enough_to_go_by() {
        let mut outbox = Outbox::default();
        let held: Vec<_> = (1..2000)
            .map(|it| fill(&mut outbox, &peer(it), 100))
            .collect();
        assert!(outbox.all.load(Relaxed) <= ALL + 2000 * FLOOR);
        assert!(fill(&mut outbox, &peer(0), 100).len() > 5);
        drop(held);
        assert_eq!(outbox.all.load(Relaxed), 0);
    }

    #[test]
    fn all_connections_of_a_key_have_what_one_has() {
        let mut outbox = Outbox::default();
        for connection in 0..100 {
            outbox.heard(&peer(connection), Some(KeyId(7)));
        }
        let held: Vec<_> = (0..100)
            .map(|it| fill(&mut outbox, &peer(it), 1000))
            .collect();
        assert!(outbox.all.load(Relaxed) <= ALL / 5);
        drop(held);
        for connection in 0..100 {
            outbox.forget(&peer(connection));
        }
        assert!(outbox.of_keys.is_empty() && outbox.of_peers.is_empty());
    }
}
