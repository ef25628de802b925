//! Who may connect to a satellite that has keys.
//!
//! Owns what TLS is told of them on libzmq's threads: which public halves are let in, with the number of each
//! key and when it ends. It is a copy of what the broker's roll says, made anew whenever that changes: a
//! handshake never waits for the loop. Never decides who is on the roll.
//!
//! A key that was taken off while its connection stands is refused by the broker, message for message.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use zmq::Socket;

use crate::keys::seed::SigningPair;
use crate::keys::{KeyId, Roll};
use crate::tls::Layer;

/// Those who are let in, by their public halves, and when that ends.
type Admitted = HashMap<[u8; 32], (KeyId, Option<u64>)>;

/// What a satellite's handshakes go by.
pub(super) struct Admission {
    layer: Layer,
    admitted: Arc<RwLock<Admitted>>,
    /// Whether anybody has been let in yet.
    is_open: bool,
}

impl Admission {
    /// That of a satellite with this identity. Until there is a roll, connections end at once, so that
    /// whoever comes early comes again.
    pub(super) fn new(identity: &SigningPair) -> io::Result<Self> {
        let admitted = Arc::new(RwLock::new(Admitted::new()));
        let known = Arc::clone(&admitted);
        let admit = move |public: &[u8; 32]| {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            let (id, expires) = known.get(public)?;
            expires.is_none_or(|end| now() < end).then_some(*id)
        };
        Ok(Self {
            layer: Layer::satellite(identity, Arc::new(admit))?,
            admitted,
            is_open: false,
        })
    }

    /// Has `socket` let in nobody else.
    pub(super) fn guard(&self, socket: &mut Socket) -> io::Result<()> {
        self.layer.cover(socket)
    }

    /// Lets in those on this roll, and nobody else from here on.
    pub(super) fn renew(&mut self, roll: &Roll) {
        let admitted = roll.admitted().collect();
        *self
            .admitted
            .write()
            .unwrap_or_else(PoisonError::into_inner) = admitted;
        if !std::mem::replace(&mut self.is_open, true) {
            self.layer.open();
        }
    }
}

/// Seconds since 1970 (UTC), by which keys end.
fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs()
}
