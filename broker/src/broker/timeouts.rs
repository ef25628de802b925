//! How clients leave: by goodbye or by a timeout (rule 16).
//!
//! A broken connection only takes unused credit back; it ends clients of v0.1 and those that have nothing here.
//! `peers::silence` says when the others are lost.

use uuid::Uuid;

use super::{Broker, Peer};
use crate::store::Store;

impl<S: Store> Broker<S> {
    /// Handles a connection that has ended.
    pub(super) fn disconnected(&mut self, peer: &Peer) {
        self.queries.forget(peer);
        self.forget_v01(peer);
        if let Some(client) = self.base.peers.at(peer) {
            self.base.peers.disconnect(client);
            self.out_of_reach(client);
            self.base.peers.note_closed(client, self.base.now);
        }
        self.base.inflow.forget(peer);
    }

    /// Handles a client without a connection. Its unused credit is taken back, because data in transit may be
    /// lost. A client that has nothing here, or cannot come back, is forgotten.
    pub(super) fn out_of_reach(&mut self, id: Uuid) {
        if self.base.peers.is_bound_to_connection(id) {
            return self.forget(id, "its connection was lost");
        }
        self.withdraw_from(id);
        self.base.peers.forget_if_over(id);
    }

    /// Takes credit back from all writers of a client whose connection carries no more data.
    pub(super) fn withdraw_from(&mut self, id: Uuid) {
        let streams = self
            .base
            .peers
            .belongings(id)
            .map(|its| its.streams.clone());
        for stream in streams.unwrap_or_default() {
            self.streams.disconnect(&mut self.base, stream);
        }
    }

    /// Ends everything a client has, then forgets the client. `why` becomes the reason of streams that are
    /// cut by this.
    pub(super) fn forget(&mut self, id: Uuid, why: &str) {
        self.end_all_of(id, why);
        self.base.peers.remove(id);
    }

    /// Ends everything a client has: its streams, its listeners, and its absent ones.
    pub(super) fn end_all_of(&mut self, id: Uuid, why: &str) {
        let Some(belongings) = self.base.peers.belongings(id).cloned() else {
            return;
        };
        let absent = belongings.absent;
        for listener in belongings.listeners.iter().chain(&absent) {
            self.subscriptions.leave(&mut self.base, id, *listener);
        }
        for stream in belongings.streams.iter().chain(&absent) {
            self.streams.cut(&mut self.base, *stream, why);
        }
        self.base.absent.remove(|id| absent.contains(&id));
    }

    /// Handles that time has passed.
    pub(super) fn timeout(&mut self) {
        let now = self.base.now;
        self.subscriptions.wake_due(now);
        self.v01.timeout(now);
        self.lose_the_silent();
        self.answer_queries();
        let idle = self.idle_since.zip(self.base.settings.idle);
        if idle.is_some_and(|(since, span)| now >= since + span) {
            let why = "stopping: no unread data and no client connected";
            self.base.out.stop(why);
        }
    }

    /// Gives up all streams and listeners whose clients have timed out, the client with the earliest deadline
    /// first.
    fn lose_the_silent(&mut self) {
        while let Some(lost) = self.base.peers.next_lost(self.base.now) {
            for listener in &lost.listeners {
                self.base.out.log(format!("listener {listener} is lost"));
                self.subscriptions.lose(&mut self.base, *listener);
            }
            for stream in &lost.writers {
                self.base.out.log(format!("the writer of {stream} is lost"));
                self.streams.lose(&mut self.base, *stream, &lost.why);
            }
            if lost.is_dropped {
                self.base.peers.disconnect(lost.client);
                self.base.peers.forget_if_over(lost.client);
            }
            self.base.peers.schedule_check(lost.client);
            self.settle();
        }
    }

    /// Answers the queries whose turn has come.
    fn answer_queries(&mut self) {
        let mut most = self.queries.waiting();
        while let Some(waiting) = self.queries.next_due(&mut most, self.base.now) {
            // The key may have been revoked, or the client gone, in the meantime.
            let client = self.base.peers.at(waiting.peer());
            if client.is_some() && self.has_valid_key(waiting.peer(), waiting.key()) {
                self.queries.answer(&mut self.base, &self.streams, waiting);
            }
        }
    }

    /// Forgets the absent writer or listener that is first in line to go. Returns false if there was none.
    pub(super) fn forget_one_absent(&mut self) -> bool {
        let Some(id) = self.base.absent.pop() else {
            return false;
        };
        let listening = self.subscriptions.client_of(id);
        let client = listening.or_else(|| self.streams.client_of(id));
        match listening {
            Some(client) => self.subscriptions.leave(&mut self.base, client, id),
            None => self.streams.forget(&mut self.base, id),
        }
        if let Some(client) = client {
            self.base.peers.forget_if_over(client);
        }
        true
    }
}
