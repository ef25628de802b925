//! Memory limits for replies that their peers have not read.
//!
//! This module counts the replies in libzmq's queues, not payloads, for each key, or for each connection at a
//! satellite without keys. A reply counts until libzmq releases it, because it was sent or its connection
//! ended. One key or connection may have a quarter of what is free. One alone thus gets a fifth of the total,
//! many get the same share each, and together they never use everything. To the broker, exceeding the limit
//! looks like a full send queue. This module never decides what happens to such a peer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::broker::Peer;
use crate::keys::KeyId;

/// The maximum for all replies together, in bytes.
const ALL: u64 = 8 << 20;

/// What each key or connection may have even if little is free, in bytes: the answers that a transfer needs.
const FLOOR: u64 = 4 << 10;

/// The size of a reply without its bytes.
const OVERHEAD: u64 = 256;

/// The bytes of one key or connection, and of all together.
#[derive(Debug)]
struct Gauge {
    own: AtomicU64,
    all: Arc<AtomicU64>,
}

/// A reply that is counted until it is dropped.
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

/// The replies in the queues.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    all: Arc<AtomicU64>,
    of_peers: HashMap<Peer, Arc<Gauge>>,
    of_keys: HashMap<KeyId, Arc<Gauge>>,
}

impl Outbox {
    /// Notes that a connection, which has proved `key` if there are keys, was heard.
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

    /// Forgets a connection that is gone.
    pub fn forget(&mut self, peer: &Peer) {
        if self.of_peers.remove(peer).is_some() {
            self.of_keys.retain(|_, gauge| Arc::strong_count(gauge) > 1);
        }
    }

    /// Counts a reply to a peer. None if the peer has too many unread replies.
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

    /// Fills a peer's queue, and returns the replies.
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
