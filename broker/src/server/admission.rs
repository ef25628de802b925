//! Who may connect to a satellite that has keys.
//!
//! Owns what TLS asks on libzmq's threads: a copy of the broker's roll, made anew whenever that changes, so that
//! a handshake never waits for the loop. Never decides who is let in: that is the roll's to say.
//!
//! A key that was taken off while its connection stands is refused by the broker, message for message.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use zmq::Socket;

use crate::keys::Roll;
use crate::keys::seed::SigningPair;
use crate::tls::Layer;

/// What a satellite's handshakes go by.
pub(super) struct Admission {
    layer: Layer,
    roll: Arc<RwLock<Roll>>,
    /// Whether anybody has been let in yet.
    is_open: bool,
}

impl Admission {
    /// That of a satellite with this identity. Until there is a roll, connections end at once, so that
    /// whoever comes early comes again.
    pub(super) fn new(identity: &SigningPair) -> io::Result<Self> {
        let roll = Arc::new(RwLock::new(Roll::default()));
        let known = Arc::clone(&roll);
        let admit = move |public: &[u8; 32]| {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            known.admit(public, now())
        };
        Ok(Self {
            layer: Layer::satellite(identity, Arc::new(admit))?,
            roll,
            is_open: false,
        })
    }

    /// Has `socket` let in nobody else.
    pub(super) fn guard(&self, socket: &mut Socket) -> io::Result<()> {
        self.layer.cover(socket)
    }

    /// Lets in those on this roll, and nobody else from here on.
    pub(super) fn renew(&mut self, roll: &Roll) {
        let mut known = self.roll.write().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(roll);
        drop(known);
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
