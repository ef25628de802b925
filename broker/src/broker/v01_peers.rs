//! SKYPIPE/0.1 peers, served by the same rules as far as their protocol allows.
//!
//! A data message opens the peer's stream, and an empty message ends it. The protocol has no credit: a writer
//! is cut when room is used up. It has no acknowledgements: what a listener's connection accepts counts as
//! confirmed, one small piece at a time. A peer is gone when its connection is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::upkeep::Kind;
use super::{Broker, OLD_IDS, Output, Peer};
use crate::pipe::{Item, Next, Opening};
use crate::protocol::{How, MAX_CHUNK, Mode, cost};
use crate::store::Store;
use crate::v01::{self, Answer, Command};

/// When to retry after a full send queue. Short enough for tens of megabytes per second.
const RETRY: Duration = Duration::from_millis(5);

/// The maximum number of pipes that one peer writes or reads at a time. The original client uses one.
pub(super) const MAX_PIPES: usize = 100;

/// The maximum number of v0.1 peers at a time. Without credit, what they send takes memory at once.
const MAX_PEERS: usize = 64;

/// The state of one v0.1 peer.
#[derive(Debug, Default)]
pub(super) struct V01Peer {
    /// The peer's streams by pipe. None marks a stream that was cut and whose end has not arrived.
    streams: HashMap<Arc<str>, Option<Uuid>>,
    /// The peer's listeners by pipe.
    listeners: HashMap<Arc<str>, Uuid>,
    /// The peer's own spelling of pipe names that it listens to, for names not in NFC.
    spelled: HashMap<Arc<str>, String>,
    /// The item that is being sent to the peer.
    sending: Option<Sending>,
}

/// One item on its way to a peer, in pieces.
#[derive(Debug, Clone)]
struct Sending {
    listener: Uuid,
    seq: u64,
    pipe: Arc<str>,
    /// The bytes that the connection has not accepted, including the piece in flight.
    rest: Bytes,
    /// Whether a piece is in flight: passed to the event loop, which has not reported the result.
    is_out: bool,
}

impl<S: Store> Broker<S> {
    pub(super) fn old_message(&mut self, peer: &Peer, frames: &[Bytes]) {
        let slices: Vec<&[u8]> = frames.iter().map(AsRef::as_ref).collect();
        let Some(command) = v01::decode(&slices) else {
            return;
        };
        let Some(client) = self.old_client(peer) else {
            return;
        };
        match command {
            Command::Hello => self.send_old(peer, Answer::Hello, None, false),
            Command::Data { pipe } => {
                let payload = frames.last().cloned().unwrap_or_default();
                self.old_data(client, &Arc::from(pipe), payload);
            }
            Command::Listen { pipe, spelled } => {
                self.old_listen(client, &Arc::from(pipe), spelled);
            }
            Command::Unlisten { pipe } => self.old_unlisten(client, &pipe),
        }
    }

    /// The client that stands for a v0.1 peer. It is created at the peer's first message. None if there is no
    /// room for the peer, or it speaks SKYPIPE/1.
    fn old_client(&mut self, peer: &Peer) -> Option<Uuid> {
        if let Some(client) = self.clients.heard(peer, self.now) {
            return self.clients.is_v01(client).then_some(client);
        }
        if self.clients.present() >= self.settings.clients || self.clients.old() >= MAX_PEERS {
            return None;
        }
        let id = self.old_id();
        self.clients.connect(id, peer, self.now);
        self.clients.set_v01(id);
        self.let_all_in(peer);
        Some(id)
    }

    fn old_id(&mut self) -> Uuid {
        Uuid::from_u64_pair(OLD_IDS, self.new_key())
    }

    fn old_data(&mut self, client: Uuid, pipe: &Arc<str>, payload: Bytes) {
        let Some(old) = self.old_mut(client) else {
            return;
        };
        let stream = match old.streams.get(pipe).copied() {
            Some(Some(stream)) => stream,
            // The stream was cut. All data up to its end still belongs to it.
            Some(None) => {
                if payload.is_empty() {
                    old.streams.remove(pipe);
                }
                return;
            }
            None if old.streams.len() >= MAX_PIPES => return,
            None if self.has_room_for(client, Kind::Streams, pipe).is_err() => {
                return self.old_cut(
                    client,
                    pipe,
                    "this satellite has reached its limit of streams",
                );
            }
            None => self.old_open(client, pipe),
        };
        if payload.is_empty() {
            self.old_finish(client, pipe, stream);
            return;
        }
        let price = cost(payload.len());
        if self.budget.left() < price {
            self.make_room();
        }
        if self.budget.left().min(self.quota_left(pipe)) < price {
            self.cut(
                stream,
                "no room was left, and its protocol (0.1) cannot wait",
            );
            return self.old_cut(client, pipe, "no room is left");
        }
        self.old_append(pipe, stream, payload);
    }

    /// Handles data that exceeded what an unknown peer may send, sent before the peer was recognized as a
    /// v0.1 peer.
    pub(super) fn old_oversent(&mut self, peer: &Peer, frames: &[Bytes]) {
        let slices: Vec<&[u8]> = frames.iter().map(AsRef::as_ref).collect();
        let Some(Command::Data { pipe }) = v01::decode(&slices) else {
            return;
        };
        let Some(client) = self.old_client(peer) else {
            return;
        };
        let pipe: Arc<str> = Arc::from(pipe);
        let open = self
            .old_mut(client)
            .and_then(|old| old.streams.get(&pipe).copied());
        let why = "its first line was too long";
        if let Some(Some(stream)) = open {
            self.cut(stream, why);
        }
        self.old_cut(client, &pipe, why);
    }

    /// Cuts a peer's stream. What the peer still sends to the pipe is dropped up to the stream's end.
    fn old_cut(&mut self, client: Uuid, pipe: &Arc<str>, why: &str) {
        self.out
            .push_back(Output::Log(format!("a 0.1 writer was cut: {why}")));
        if let Some(old) = self.old_mut(client) {
            old.streams.insert(pipe.clone(), None);
        }
    }

    fn old_open(&mut self, client: Uuid, pipe: &Arc<str>) -> Uuid {
        let stream = self.old_id();
        let opening = Opening {
            id: stream,
            label: "a 0.1 client".to_owned(),
            begins: 0,
            is_hidden: false,
        };
        self.begin(client, pipe, opening, false);
        if let Some(old) = self.old_mut(client) {
            old.streams.insert(pipe.clone(), Some(stream));
        }
        stream
    }

    fn old_append(&mut self, pipe: &Arc<str>, stream: Uuid, mut payload: Bytes) {
        while !payload.is_empty() {
            let chunk = payload.split_to(payload.len().min(MAX_CHUNK));
            let Some(writer) = self.writers.get_mut(&stream) else {
                return;
            };
            writer.next += chunk.len() as u64;
            let key = writer.key;
            self.budget.hold(cost(chunk.len()), false);
            // A v0.1 client sends one line per message.
            self.with_pipe(pipe, |pipe, ctx| pipe.append(key, chunk, 0, ctx));
            self.note_unsaved(stream);
        }
    }

    fn old_finish(&mut self, client: Uuid, pipe: &Arc<str>, stream: Uuid) {
        if let Some((name, key)) = self.end_writing(stream) {
            self.with_pipe(&name, |pipe, ctx| pipe.finish(key, How::End, ctx));
        }
        self.forget_writer(stream);
        if let Some(old) = self.old_mut(client) {
            old.streams.remove(pipe);
        }
    }

    fn old_listen(&mut self, client: Uuid, pipe: &Arc<str>, spelled: String) {
        let has_enough = |old: &mut V01Peer| {
            old.listeners.contains_key(pipe) || old.listeners.len() >= MAX_PIPES
        };
        if self.old_mut(client).is_none_or(has_enough)
            || self.has_room_for(client, Kind::Listeners, pipe).is_err()
        {
            return;
        }
        let listener = self.old_id();
        if let Some(old) = self.old_mut(client) {
            old.listeners.insert(pipe.clone(), listener);
            if *spelled != **pipe {
                old.spelled.insert(pipe.clone(), spelled);
            }
        }
        self.join(client, listener, pipe, Mode::Default, u64::MAX);
    }

    fn old_unlisten(&mut self, client: Uuid, pipe: &str) {
        let Some(old) = self.old_mut(client) else {
            return;
        };
        let Some(listener) = old.listeners.remove(pipe) else {
            return;
        };
        old.spelled.remove(pipe);
        if old
            .sending
            .take_if(|sending| sending.listener == listener)
            .is_some()
            && let Some(peer) = self.clients.peer(client)
        {
            // A report about a send that has not left yet would be mistaken for one about the next send.
            self.out.retain(|output| {
                !matches!(output, Output::Send { peer: to, report: true, .. } if to == peer)
            });
        }
        self.leave(client, listener);
        self.serve_old(client);
    }

    /// Sends the next item to one of the peer's listeners, if no item is in flight.
    pub(super) fn serve_old(&mut self, client: Uuid) {
        loop {
            let Some(old) = self.old_mut(client).filter(|old| old.sending.is_none()) else {
                return;
            };
            let listeners: Vec<_> = old.listeners.iter().map(|(p, l)| (p.clone(), *l)).collect();
            let Some(sending) = listeners
                .into_iter()
                .find_map(|(pipe, listener)| self.next_for_old(&pipe, listener))
            else {
                return;
            };
            let Some(peer) = self.clients.peer(client).cloned() else {
                return;
            };
            if let Some(old) = self.old_mut(client) {
                old.sending = Some(sending);
            }
            self.send_piece(&peer);
        }
    }

    /// The next item for a v0.1 listener: bytes, or its end as an empty message.
    fn next_for_old(&mut self, pipe: &Arc<str>, listener: Uuid) -> Option<Sending> {
        let key = self.subscriptions.get(&listener)?.key;
        loop {
            let next = self.with_pipe(pipe, |pipe, ctx| pipe.next(key, ctx));
            let (seq, rest) = match next {
                Next::Item(seq, Item::Chunk { payload, .. }) => (seq, payload),
                Next::Item(seq, Item::Done { .. }) => (seq, Bytes::new()),
                Next::Item(seq, Item::Ended(_)) => {
                    self.confirm_old(pipe, listener, seq);
                    continue;
                }
                Next::Wait(until) => {
                    self.line_waits.insert((until, key));
                    return None;
                }
                Next::Nothing => return None,
            };
            return Some(Sending {
                listener,
                seq,
                pipe: pipe.clone(),
                rest,
                is_out: false,
            });
        }
    }

    /// Sends or resends the current piece, unless it is in flight.
    pub(super) fn send_piece(&mut self, peer: &Peer) {
        let Some(client) = self.clients.at(peer) else {
            return;
        };
        let Some(old) = self.old_mut(client) else {
            return;
        };
        let Some(sending) = old.sending.as_mut().filter(|sending| !sending.is_out) else {
            return;
        };
        sending.is_out = true;
        let piece = sending.rest.slice(..sending.rest.len().min(v01::MAX_PIECE));
        let spelled = old.spelled.get(&sending.pipe).cloned();
        let pipe = spelled.unwrap_or_else(|| sending.pipe.to_string());
        self.send_old(peer, Answer::Data { pipe: &pipe }, Some(piece), true);
    }

    /// Handles a piece that the connection accepted.
    pub(super) fn taken_by_old(&mut self, peer: &Peer) {
        let Some(client) = self.clients.at(peer) else {
            return;
        };
        let Some(old) = self.old_mut(client) else {
            return;
        };
        let Some(mut sending) = old.sending.take() else {
            return;
        };
        let is_end = sending.rest.is_empty();
        let piece = sending.rest.len().min(v01::MAX_PIECE);
        let _taken = sending.rest.split_to(piece);
        if !sending.rest.is_empty() {
            old.sending = Some(Sending {
                is_out: false,
                ..sending
            });
            return self.send_piece(peer);
        }
        if is_end {
            old.listeners.remove(&sending.pipe);
            old.spelled.remove(&sending.pipe);
        }
        self.confirm_old(&sending.pipe, sending.listener, sending.seq);
        self.serve_old(client);
    }

    fn confirm_old(&mut self, pipe: &Arc<str>, listener: Uuid, seq: u64) {
        let Some(key) = self
            .subscriptions
            .get(&listener)
            .map(|subscription| subscription.key)
        else {
            return;
        };
        let confirmed = self.with_pipe(pipe, |pipe, ctx| pipe.confirm(key, seq + 1, u64::MAX, ctx));
        debug_assert!(confirmed.is_ok(), "what was sent can be confirmed");
        self.budget.touch();
    }

    /// Handles a full send queue: the piece is sent again a little later.
    pub(super) fn retry_old(&mut self, client: Uuid, peer: Peer) {
        if let Some(sending) = self.old_mut(client).and_then(|old| old.sending.as_mut()) {
            sending.is_out = false;
        }
        self.retries.insert((self.now + RETRY, peer));
    }

    fn send_old(&mut self, peer: &Peer, answer: Answer<'_>, payload: Option<Bytes>, report: bool) {
        let mut frames: Vec<Bytes> = answer.frames().into_iter().map(Bytes::from).collect();
        frames.extend(payload);
        self.out.push_back(Output::Send {
            peer: peer.clone(),
            frames,
            report,
        });
    }

    fn old_mut(&mut self, client: Uuid) -> Option<&mut V01Peer> {
        self.clients.get_mut(client)?.old.as_mut()
    }
}
