//! How much each connection may send in large frames before the broker has seen them.
//!
//! A frame takes memory when it arrives, before anyone knows its purpose. So libzmq accepts a frame of more
//! than [`FREE_FRAME`] bytes only if its connection has *frame credit* for it. Otherwise libzmq skips the
//! frame and the loop passes in an empty one ([`Output::Credit`](crate::broker::Output::Credit)). The frame
//! credit of a connection is what its writers may still send, so the memory budget covers all of it.
//!
//! This module owns the changes that the event loop has not been told yet. It never decides how much a writer
//! may send.

use std::collections::HashMap;

use bytes::Bytes;

use crate::interface::Peer;
use crate::protocol::{FREE_FRAME, cost};

/// Smaller amounts, in bytes, are not taken back at once: a writer of single lines gets and uses credit line
/// by line.
const LAZY: i64 = 64 << 10;

/// The frame credit of a v0.1 connection, because its protocol has no credit.
const UNLIMITED: i64 = i64::MAX / 2;

/// Changes of frame credit that the event loop has not been told yet.
#[derive(Debug, Default)]
pub(in crate::broker) struct Inflow {
    /// The untold change for each connection. It may be negative.
    untold: HashMap<Peer, i64>,
    /// Connections whose change is due to be told.
    due: Vec<Peer>,
    /// Whether a stream with credit accepted the payload of the current message.
    is_taken: bool,
}

impl Inflow {
    /// Raises the frame credit of a connection.
    pub fn give(&mut self, peer: &Peer, amount: u64) {
        self.change(peer, i64::try_from(amount).unwrap_or(UNLIMITED));
    }

    /// Lowers the frame credit of a connection.
    pub fn take_back(&mut self, peer: &Peer, amount: u64) {
        self.change(peer, i64::try_from(amount).map_or(-UNLIMITED, |it| -it));
    }

    fn change(&mut self, peer: &Peer, amount: i64) {
        if amount == 0 {
            return;
        }
        let untold = self.untold.entry(peer.clone()).or_default();
        *untold = untold.saturating_add(amount);
        if *untold > 0 || *untold <= -LAZY {
            self.due.push(peer.clone());
        }
    }

    /// The next connection to tell, with the change of its frame credit.
    pub fn next(&mut self) -> Option<(Peer, i64)> {
        while let Some(peer) = self.due.pop() {
            let untold = self.untold.get(&peer).copied().unwrap_or(0);
            if untold > 0 || untold <= -LAZY {
                self.untold.remove(&peer);
                return Some((peer, untold));
            }
        }
        None
    }

    /// Forgets a connection that is gone.
    pub fn forget(&mut self, peer: &Peer) {
        self.untold.remove(peer);
    }

    /// The untold change for a connection.
    #[cfg(test)]
    pub fn untold(&self, peer: &Peer) -> i64 {
        self.untold.get(peer).copied().unwrap_or(0)
    }

    /// Notes that a stream accepted a payload and paid for it with its credit.
    pub fn took(&mut self, peer: &Peer, payload: &Bytes) {
        if payload.len() > FREE_FRAME {
            self.is_taken = true;
        } else {
            // A small payload used no frame credit, so the connection still has the frame credit for it.
            self.take_back(peer, cost(payload.len()));
        }
    }

    /// Gives the frame credit of a message back, unless a stream paid for the message.
    pub fn settle(&mut self, peer: &Peer, frames: &[Bytes]) {
        if std::mem::take(&mut self.is_taken) {
            return;
        }
        let large = frames
            .iter()
            .map(Bytes::len)
            .filter(|len| *len > FREE_FRAME);
        self.give(peer, large.map(cost).sum());
    }

    /// Gives a connection unlimited frame credit.
    pub fn let_all_in(&mut self, peer: &Peer) {
        self.change(peer, UNLIMITED);
    }
}
