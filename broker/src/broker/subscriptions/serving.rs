//! What listeners are sent, and when: in turn, as far as their pipes and windows let them.

use uuid::Uuid;

use super::super::base::Base;
use super::{Presence, Subscriptions};
use crate::interface::Peer;
use crate::pipe::{Item, ListenerKey, Next, Now};
use crate::protocol::Reply;
use crate::store::Store;

/// How many items one listener is sent before the next listener is served.
const FAIR_TURN: usize = 16;

impl Subscriptions {
    /// Notes that a listener may have something to receive.
    pub fn wake(&mut self, listener: ListenerKey) {
        if self.awake_set.insert(listener) {
            self.awake.push_back(listener);
        }
    }

    /// The next listener that may have something to receive.
    pub fn next_awake(&mut self) -> Option<ListenerKey> {
        let listener = self.awake.pop_front()?;
        self.awake_set.remove(&listener);
        Some(listener)
    }

    /// Has a listener served that had to wait for its connection.
    pub fn wake_id(&mut self, listener: Uuid) {
        if let Some(key) = self.by_id.get(&listener).map(|it| it.key) {
            self.wake(key);
        }
    }

    /// When a listener looks again that waits for the end of a line.
    pub fn deadline(&self) -> Option<Now> {
        self.line_waits.first().map(|(due, _)| *due)
    }

    /// Wakes the listeners that have waited long enough for the end of a line.
    pub fn wake_due(&mut self, now: Now) {
        while let Some((due, listener)) = self.line_waits.first().copied()
            && due <= now
        {
            self.line_waits.remove(&(due, listener));
            self.wake(listener);
        }
    }

    /// Sends a listener what it may have now.
    pub fn serve<S: Store>(&mut self, base: &mut Base<S>, key: ListenerKey) {
        let Some(listener) = self.by_key.get(&key).copied() else {
            return;
        };
        let Some(subscription) = self.by_id.get(&listener) else {
            return;
        };
        let Presence::Here(Some(peer)) = &subscription.presence else {
            return;
        };
        if base.peers.peer(subscription.client) != Some(peer) {
            return;
        }
        for _ in 0..FAIR_TURN {
            match base.run(&subscription.pipe, |pipe, ctx| pipe.next(key, ctx)) {
                Next::Item(seq, item) => send_item(base, peer, listener, seq, item),
                Next::Wait(until) => {
                    self.line_waits.insert((until, key));
                    return;
                }
                Next::Nothing => return,
            }
        }
        self.wake(key);
    }
}

fn send_item<S>(base: &mut Base<S>, peer: &Peer, listener: Uuid, seq: u64, item: Item) {
    let (reply, payload) = match item {
        Item::Chunk {
            stream,
            at,
            missed,
            payload,
        } => {
            let chunk = Reply::Chunk {
                listener,
                seq,
                stream,
                at,
                missed,
            };
            (chunk, Some(payload))
        }
        Item::Ended(ended) => {
            let ended = Reply::Ended {
                listener,
                seq,
                stream: ended.stream,
                at: ended.at,
                how: ended.how,
                label: ended.label,
                before: ended.before,
                missed: ended.missed,
            };
            (ended, None)
        }
        Item::Done { missed, eof } => {
            let done = Reply::Done {
                listener,
                seq,
                missed,
                eof,
            };
            (done, None)
        }
    };
    base.out.send(peer, reply, payload);
}
