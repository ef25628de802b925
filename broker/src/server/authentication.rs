//! Authentication: which keys may connect to a satellite with keys.
//!
//! This module owns what TLS asks on libzmq's threads. That is a copy of the broker's authorized keys,
//! renewed whenever they change, so that a handshake never waits for the loop; and the number of connections
//! of each key, so that one key cannot have them all. It never decides who is admitted: the authorized keys
//! do.
//!
//! The broker refuses every message of a connection whose key was revoked later.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use zmq::Socket;

use crate::keys::{KeyId, KeyRegistry};
use crate::protocol::seed::SigningPair;
use crate::tls::{Admit, Door, Layer};

/// How many connections one key may have beyond its share of clients. Some of them were refused and are being
/// told why, and some are about to close.
const SPARE: usize = 64;

/// The authentication of a satellite's connections.
pub(super) struct Admission {
    layer: Layer,
    known: Arc<Known>,
    /// Whether authorized keys were set, so that anybody can be admitted.
    is_open: bool,
}

/// The data used on libzmq's threads.
#[derive(Default)]
struct Known {
    registry: RwLock<KeyRegistry>,
    /// The number of connections of each key.
    standing: Mutex<HashMap<KeyId, usize>>,
    /// The maximum number of connections of a key that may not manage.
    most: AtomicUsize,
}

impl Door for Known {
    fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.admit(public, now())
    }

    fn enter(&self, key: KeyId) -> bool {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let manages = registry.get(key).is_some_and(|key| key.rights.manage);
        drop(registry);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let count = standing.entry(key).or_default();
        let may = manages || *count < self.most.load(Ordering::Relaxed);
        *count += usize::from(may);
        may
    }

    fn leave(&self, key: KeyId) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = standing.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                standing.remove(&key);
            }
        }
    }
}

impl Admission {
    /// Authentication for a satellite with this identity. Until the first `renew`, connections end at once,
    /// and early clients try again.
    pub(super) fn new(identity: &SigningPair) -> io::Result<Self> {
        let known = Arc::new(Known::default());
        Ok(Self {
            layer: Layer::satellite(identity, Arc::clone(&known) as Admit)?,
            known,
            is_open: false,
        })
    }

    /// Makes `socket` admit only authenticated peers.
    pub(super) fn guard(&self, socket: &mut Socket) -> io::Result<()> {
        self.layer.cover(socket)
    }

    /// Replaces the authorized keys. `share` is the maximum number of clients of one key.
    pub(super) fn renew(&mut self, registry: &KeyRegistry, share: usize) {
        self.known.most.store(share + SPARE, Ordering::Relaxed);
        let mut known = self
            .known
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.clone_from(registry);
        drop(known);
        if !std::mem::replace(&mut self.is_open, true) {
            self.layer.open();
        }
    }
}

/// The wall-clock time in seconds since 1970 (UTC), by which keys expire.
fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{NewKey, PublicKey, Rights};

    #[test]
    fn one_key_has_its_share_of_connections_and_who_manages_has_what_there_is() {
        let mut registry = KeyRegistry::default();
        for (number, manage) in [(1, true), (2, false)] {
            let new = NewKey {
                name: String::new(),
                public: PublicKey([number; 32]),
                encryption: PublicKey([number; 32]),
                rights: Rights {
                    manage,
                    ..Rights::ALL
                },
                pipes: Vec::new(),
                expires: None,
                quota: None,
                epoch: 0,
                sealed_keyring: None,
                attestation: None,
            };
            registry.invite(new, 0).expect("it is good");
        }
        let known = Known {
            registry: RwLock::new(registry),
            most: AtomicUsize::new(3),
            ..Known::default()
        };
        let key = |number| known.admit(&[number; 32]).expect("it is known");
        let (owner, host) = (key(1), key(2));
        assert!((0..3).all(|_| known.enter(host)));
        assert!(!known.enter(host) && (0..9).all(|_| known.enter(owner)));
        known.leave(host);
        assert!(known.enter(host) && !known.enter(host));
        (0..3).for_each(|_| known.leave(host));
        (0..9).for_each(|_| known.leave(owner));
        assert!(known.standing.lock().expect("nobody panicked").is_empty());
    }
}
