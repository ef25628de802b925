//! How much each connection may send in large frames before the broker has seen them.
//!
//! A frame takes up memory when it arrives, long before anybody knows what it is. So the loop has libzmq take in
//! a frame of more than [`FREE_FRAME`] bytes only where its connection has *frame credit* for it, and else reads
//! past it and hands in an empty one ([`Output::Credit`](super::Output::Credit)). Frame credit is what the
//! writers on a connection may still send, so that the memory budget has paid for all of it.
//!
//! Owns what each connection is still to be told. Never decides how much a writer may send.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Broker, Peer};
use crate::keys::KeyId;
use crate::protocol::{MAX_BOX, cost, v01};
use crate::store::Store;

/// Frames of up to so many bytes need no credit: every command fits, the longest of which carries a box.
pub const FREE_FRAME: usize = MAX_BOX + (1 << 10);

/// Less than this is not taken back at once: a writer of lines gets and uses up its credit line by line.
const LAZY: i64 = 64 << 10;

/// What a connection of the original protocol has, which knows no credit.
const UNLIMITED: i64 = i64::MAX / 2;

/// What connections are to be told.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    /// How much more each may send than it was told, or less.
    untold: HashMap<Peer, i64>,
    /// Those who are to be told now.
    due: Vec<Peer>,
    /// Whether the message under way was taken by a stream that had credit for it.
    is_taken: bool,
}

impl Inflow {
    /// A connection may send so much more.
    pub fn give(&mut self, peer: &Peer, amount: u64) {
        self.change(peer, i64::try_from(amount).unwrap_or(UNLIMITED));
    }

    /// A connection may send so much less.
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

    /// A connection that is to be told now, and how much.
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

    /// A connection is no more.
    pub fn forget(&mut self, peer: &Peer) {
        self.untold.remove(peer);
    }

    /// How much more a connection may send than it was told.
    #[cfg(test)]
    pub fn untold(&self, peer: &Peer) -> i64 {
        self.untold.get(peer).copied().unwrap_or(0)
    }

    /// A stream took a payload that came over a connection, for credit that it had.
    pub fn took(&mut self, peer: &Peer, payload: &Bytes) {
        if payload.len() > FREE_FRAME {
            self.is_taken = true;
        } else {
            // It came without frame credit, and what it was given remains.
            self.take_back(peer, cost(payload.len()));
        }
    }
}

impl<S: Store> Broker<S> {
    /// What a message used of frame credit is given back, unless a stream has paid for it.
    pub(super) fn settle_frames(&mut self, peer: &Peer, frames: &[Bytes]) {
        if std::mem::take(&mut self.inflow.is_taken) {
            return;
        }
        let large = frames
            .iter()
            .map(Bytes::len)
            .filter(|len| *len > FREE_FRAME);
        self.inflow.give(peer, large.map(cost).sum());
    }

    /// A message came whose connection had no credit for all of it. A chunk without its payload is refused like one
    /// that never had any.
    pub(super) fn oversent(&mut self, peer: &Peer, key: Option<KeyId>, frames: &[Bytes]) {
        match frames {
            [magic, rest @ ..] if magic == v01::MAGIC && self.roll.is_none() => {
                self.old_oversent(peer, rest);
            }
            _ => self.received(peer, key, frames),
        }
        self.settle_frames(peer, frames);
    }

    /// A connection of the original protocol may send what it likes.
    pub(super) fn let_all_in(&mut self, peer: &Peer) {
        self.inflow.change(peer, UNLIMITED);
    }
}
