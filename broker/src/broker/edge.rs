//! The edge to the original protocol: its peers as clients, and what they ask as requests.
//!
//! The parts of the broker know such a client only by what is different about it: it is bound to its
//! connection, because it sends no heartbeats, and it sends without credit.

use bytes::Bytes;
use uuid::Uuid;

use super::peers::Sender;
use super::{Broker, OLD_IDS, Peer, is_reserved};
use crate::pipe::ListenerKey;
use crate::protocol::Request;
use crate::store::Store;
use crate::v01::{self, Step, V01};

impl<S: Store> Broker<S> {
    pub(super) fn v01_message(&mut self, peer: &Peer, frames: &[Bytes]) {
        if let Some(command) = V01::command(frames)
            && self.v01_client(peer).is_some()
        {
            let id = self.new_id();
            let payload = frames.last().cloned().unwrap_or_default();
            self.v01.obey(peer, command, payload, id);
        }
    }

    pub(super) fn v01_oversent(&mut self, peer: &Peer, frames: &[Bytes]) {
        if let Some(v01::Command::Data { pipe }) = V01::command(frames)
            && self.v01_client(peer).is_some()
        {
            self.v01.oversent(peer, pipe);
        }
    }

    /// The client that stands for a v0.1 peer. It is created at the peer's first message. None if there is no
    /// room for the peer, or it speaks SKYPIPE/1. (A satellite with keys has no such peers: the protocol has
    /// neither permissions nor encryption.)
    fn v01_client(&mut self, peer: &Peer) -> Option<Uuid> {
        if let Some(client) = self.base.peers.heard(peer, self.base.now) {
            return self.v01.knows(peer).then_some(client);
        }
        let is_full = self.base.peers.present() >= self.base.settings.clients;
        if is_full || !self.v01.has_room() {
            return None;
        }
        let id = self.new_id();
        self.base.peers.connect(id, peer, self.base.now);
        self.base.peers.bind_to_connection(id);
        self.base.inflow.let_all_in(peer);
        self.base.out.keep_replies_of(peer);
        self.v01.add(peer);
        Some(id)
    }

    /// Forgets a connection that may be that of a v0.1 peer.
    pub(super) fn forget_v01(&mut self, peer: &Peer) {
        self.base.out.forget(peer);
        self.v01.forget(peer);
    }

    /// Whether a listener gets nothing now, because its v0.1 peer has not taken what another of its listeners
    /// was sent. It is awake again when the peer has.
    pub(super) fn is_put_off(&mut self, listener: ListenerKey) -> bool {
        let Some((id, client)) = self.subscriptions.name_of(listener) else {
            return false;
        };
        let peer = is_reserved(id)
            .then(|| self.base.peers.peer(client))
            .flatten();
        peer.is_some_and(|peer| self.v01.puts_off(peer, id))
    }

    /// Does what v0.1 peers ask.
    pub(super) fn obey_v01(&mut self) {
        while let Some((peer, step)) = self.v01.next_step() {
            let Some(client) = self.base.peers.at(&peer) else {
                continue;
            };
            let from = Sender {
                peer: &peer,
                client,
                key: None,
            };
            match step {
                Step::Ask(Request::Open(open)) => {
                    let stream = open.stream;
                    self.open(from, open);
                    // Its protocol has no credit.
                    self.streams.disconnect(&mut self.base, stream);
                }
                Step::Ask(request) => self.obey(from, request, None),
                Step::Serve(listener) => self.subscriptions.wake_id(listener),
                Step::Push { stream, payload } => {
                    let len = payload.len();
                    if !self.streams.push(&mut self.base, stream, payload) {
                        self.v01.is_full(&peer, stream, len);
                    }
                }
            }
        }
    }

    /// A UUID that nobody has used.
    fn new_id(&mut self) -> Uuid {
        Uuid::from_u64_pair(OLD_IDS, self.base.pipes.new_key())
    }
}
