//! The satellite as a state machine: all pipes, all connections, and all credit.
//!
//! This module routes. It takes an input, asks the parts in one direction, and collects their outputs. It has
//! no state of its own but its parts, each of which owns its fields, and the time since which it is idle:
//!
//! ```text
//!   broker.rs ── v01 (old peers, at the edge)
//!     ├── queries, recording, restoring, timeouts, room: what takes several parts
//!     ├── streams ──> subscriptions
//!     └── base: peers, access, budget, durability, pipes, outbox
//! ```
//!
//! It never touches a socket, a thread, a clock or a file. An event loop around it passes in what happened
//! (`Input`) and carries out what it asks for (`Output`).
//!
//! # The contract
//!
//! 1. Call `handle(now, input)` for each event. `now` never goes backwards.
//! 2. Call `poll()` until it returns nothing. Carry out each output before polling for the next one, and pass
//!    in its result. [`Output::Stop`] and [`Output::Fail`] are the last outputs.
//! 3. Sleep until an event arrives or `deadline()` passes, then pass in [`Input::Timeout`]. Pass in all
//!    messages that have arrived before the timeout: a peer whose message is still unread has not timed out.
//!
//! # The order of an output
//!
//! 1. Keys are saved before anything else.
//! 2. Credit goes to the event loop before the replies that mention it.
//! 3. Every decision is recorded before a reply that depends on it leaves.
//! 4. Only when nothing waits to leave: what is due is saved, credit is granted, writers get their
//!    acknowledgements, and listeners are served.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod absent;
mod access;
mod base;
mod budget;
mod durability;
mod edge;
mod handshake;
mod outbox;
mod peers;
mod pipes;
mod queries;
mod recording;
mod restoring;
mod room;
mod streams;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timeouts;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use self::base::Base;
use self::budget::shares::SHARE;
use self::budget::upkeep::Kind;
pub use self::budget::upkeep::most_clients;
use self::outbox::Outgoing;
use self::peers::Sender;
use self::queries::Queries;
use self::streams::Streams;
use self::subscriptions::Subscriptions;
pub use crate::interface::{Input, Output, Peer, Settings};
use crate::keys::{KeyId, KeyRegistry};
pub use crate::pipe::Now;
use crate::pipe::{Effect, Pipe};
pub use crate::protocol::FREE_FRAME;
use crate::protocol::{Code, Holds, Listen, MAGIC, Open, Reply, Request, decode};
use crate::store::Store;
use crate::v01::{self, V01};

/// The upper half of the UUIDs that the broker makes itself, for v0.1 peers and for a waiting `--eof`, which
/// bring no UUID. Clients may not use such UUIDs. The bytes spell "skypipe0".
const OLD_IDS: u64 = 0x736b_7970_6970_6530;

/// All pipes and all clients of a satellite.
#[derive(Debug)]
pub struct Broker<S> {
    base: Base<S>,
    streams: Streams,
    subscriptions: Subscriptions,
    queries: Queries,
    v01: V01,
    /// The time since which no data waits and no client is connected.
    idle_since: Option<Now>,
}

impl<S: Store> Broker<S> {
    /// A broker without pipes and without authorized keys.
    pub fn new(settings: Settings, store: S) -> Self {
        // A new satellite is idle: perhaps no client ever comes.
        let idle_since = settings.idle.map(|_| Now::ZERO);
        Self {
            base: Base::new(settings, store),
            streams: Streams::default(),
            subscriptions: Subscriptions::default(),
            queries: Queries::default(),
            v01: V01::default(),
            idle_since,
        }
    }

    /// Admits only clients with an authorized key. `address` is the `host:port` under which others reach the
    /// satellite, if known.
    #[must_use]
    pub fn guarded_by(mut self, registry: KeyRegistry, address: Option<String>) -> Self {
        self.base.access.guard(registry, address);
        self
    }

    /// Sets the restrictions that the process could not drop, for its status
    /// ([`crate::protocol::Status::inherited`]).
    #[must_use]
    pub fn limited_by(mut self, inherited: Vec<String>) -> Self {
        self.queries.set_inherited(inherited);
        self
    }

    /// The authorized keys, if they have changed since the last call, and how many clients a key without the
    /// right to manage may have.
    pub fn changed_registry(&mut self) -> Option<(&KeyRegistry, usize)> {
        let share = self.base.settings.clients.div_ceil(SHARE);
        let registry = self.base.access.changed()?;
        Some((registry, share))
    }

    /// Sets the wall-clock time by which keys expire, in seconds since 1970 (UTC). The broker's own time
    /// stands still while the machine sleeps.
    pub fn tell_time(&mut self, unix_time: u64) {
        self.base.access.tell_time(unix_time);
    }

    /// The cost of all held payloads and all unused credit, in bytes.
    pub fn used(&self) -> u64 {
        self.base.budget.used() + self.base.pipes.taps()
    }

    /// What a key holds, including its connections.
    pub fn holds(&self, key: KeyId) -> Holds {
        self.base.holds(key)
    }

    /// The shorter of the two timeouts, which is the earliest time after which a silent peer is lost.
    pub fn shortest_time(&self) -> Duration {
        let settings = &self.base.settings;
        settings.writer_lost.min(settings.listener_lost)
    }
}

/// The way in.
impl<S: Store> Broker<S> {
    /// Takes in one event. Once the disk has failed, events are ignored.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.base.out.has_failed() {
            return;
        }
        self.base.now = self.base.now.max(now);
        match input {
            Input::Received { peer, key, frames } => {
                self.received(&peer, key, &frames);
                self.base.inflow.settle(&peer, &frames);
            }
            Input::Oversent { peer, key, frames } => {
                self.oversent(&peer, key, &frames);
                self.base.inflow.settle(&peer, &frames);
            }
            Input::Disconnected { peer } => self.disconnected(&peer),
            Input::Congested { peer } if self.v01.knows(&peer) => {
                self.v01.congested(peer, self.base.now);
            }
            // Credit keeps the queues of clients far from full, so a client whose queue is full does not read
            // what it asked for and counts as gone.
            Input::Congested { peer } => {
                if self.base.peers.at(&peer).is_some() {
                    self.disconnected(&peer);
                }
            }
            Input::Taken { peer } => self.v01.taken(&peer),
            Input::KeysSaved(saved) => self.keys_saved(saved),
            Input::Synced => {
                self.base.durability.note_synced();
                self.streams.go_on_syncing(&mut self.base);
            }
            Input::Timeout => self.timeout(),
            Input::Stop => {
                self.streams.save_all(&mut self.base);
                // Saves when each key was last used.
                self.base.access.save();
                self.base.out.stop("asked to stop");
            }
        }
        self.settle();
        self.note_idle();
    }

    fn received(&mut self, peer: &Peer, key: Option<KeyId>, frames: &[Bytes]) {
        if !self.has_valid_key(peer, key) {
            return;
        }
        if let Some(other) = self.base.peers.at(peer)
            && !self.base.peers.is_its_key(other, key)
        {
            // libzmq makes the routing ids and may reuse one. The earlier client then went without a
            // notification.
            self.disconnected(peer);
        }
        match frames {
            [magic, command] if magic == MAGIC => self.command(peer, key, command, None),
            [magic, command, payload] if magic == MAGIC => {
                self.command(peer, key, command, Some(payload.clone()));
            }
            [magic, ..] if magic == MAGIC => {
                let message = "a message has two or three frames";
                self.base.out.refuse(peer, Code::Malformed, message, None);
            }
            [magic, ..] if magic == v01::MAGIC && !self.base.access.has_keys() => {
                self.v01_message(peer, frames);
            }
            _ => {}
        }
    }

    /// Handles a message without enough frame credit. A chunk that lost its payload is refused like a chunk
    /// sent without one.
    fn oversent(&mut self, peer: &Peer, key: Option<KeyId>, frames: &[Bytes]) {
        match frames {
            [magic, ..] if magic == v01::MAGIC && !self.base.access.has_keys() => {
                self.v01_oversent(peer, frames);
            }
            _ => self.received(peer, key, frames),
        }
    }

    fn command(&mut self, peer: &Peer, key: Option<KeyId>, command: &[u8], payload: Option<Bytes>) {
        let request = match decode::<Request>(command) {
            Ok(request) => request,
            Err(error) => return self.refuse(peer, Code::Malformed, &error.to_string()),
        };
        if payload.is_some() != matches!(request, Request::Data(_)) {
            let message = "a payload belongs to Data, and to nothing else";
            return self.refuse(peer, Code::Malformed, message);
        }
        if let Request::Hello(hello) = request {
            return self.hello(peer, key, &hello);
        }
        let heard = self.base.peers.heard(peer, self.base.now);
        let Some(client) = heard.filter(|_| !self.v01.knows(peer)) else {
            return self.refuse(peer, Code::Stranger, "say Hello first");
        };
        if let Some((why, about)) = self.base.access.fault(key, &request) {
            return self.base.out.refuse(peer, Code::Denied, &why, about);
        }
        self.obey(Sender { peer, client, key }, request, payload);
    }

    /// Hands a request on that its sender is permitted to make.
    fn obey(&mut self, from: Sender<'_>, request: Request, payload: Option<Bytes>) {
        let (base, peer) = (&mut self.base, from.peer);
        match request {
            Request::Hello(_) => {}
            Request::Ping => base.out.reply(peer, Reply::Pong),
            Request::Bye => self.forget(from.client, "the writer left before the end"),
            Request::Open(open) => self.open(from, open),
            Request::Data(data) => {
                self.streams
                    .data(base, from, &data, payload.unwrap_or_default());
            }
            Request::Credit { stream, requested } => {
                self.streams.request_credit(base, from, stream, requested);
            }
            Request::Finish(finish) => self.streams.finish(base, from, finish),
            Request::Close { stream } => self.streams.close(base, from, stream),
            Request::Listen(listen) => self.listen(from, &listen),
            Request::Confirm(confirm) => self.subscriptions.confirm(base, from, &confirm),
            Request::Leave { listener } => self.subscriptions.leave(base, from.client, listener),
            Request::Eof { pipe, order } => self.eof(from, &pipe, &order),
            Request::Discard { pipe } => queries::discard(base, peer, &pipe),
            Request::List { .. } | Request::Status => {
                self.queries.ask(base, &self.streams, from, request);
            }
            Request::Stop { force } => self.stop(peer, force),
            Request::Invite(new) => base.access.invite(peer, new, &mut base.out),
            Request::Keys { after } => queries::keys(base, peer, after.as_deref()),
            Request::Revoke { name, discard } => self.revoke(from, &name, discard),
            Request::Keyring(new) => base.access.store_keyring(from, new, &mut base.out),
            Request::Phrase => base.out.reply(peer, Reply::Phrase(base.access.phrase())),
            Request::SetPhrase { epoch, phrase } => {
                base.access.set_phrase(peer, epoch, phrase, &mut base.out);
            }
        }
    }

    /// Making room forgets absent clients, so it comes after everything that refuses a request.
    fn open(&mut self, from: Sender<'_>, open: Open) {
        let is_used = is_reserved_from(open.stream, from) || self.subscriptions.knows(open.stream);
        let Some(pipe) = self.streams.open(&mut self.base, from, &open, is_used) else {
            return;
        };
        // A writer that comes back must not be the one who is forgotten.
        let is_back = self.streams.knows(open.stream);
        if is_back {
            self.base.absent.remove(|absent| absent == open.stream);
        }
        let room = self.room_for(from.client, Kind::Streams, &pipe);
        let (base, streams) = (&mut self.base, &mut self.streams);
        match room {
            room if is_back => streams.begin_rest(base, from, open, room.is_ok()),
            Ok(()) => streams.begin(base, from, open, pipe),
            Err(why) => base
                .out
                .refuse(from.peer, Code::Limit, &why, Some(open.stream)),
        }
    }

    fn listen(&mut self, from: Sender<'_>, listen: &Listen) {
        let listener = listen.listener;
        let is_used = is_reserved_from(listener, from) || self.streams.knows(listener);
        let base = &mut self.base;
        if let Some(pipe) = self.subscriptions.listen(base, from, listen, is_used) {
            let room = self.room_for(from.client, Kind::Listeners, &pipe);
            let (base, subscriptions) = (&mut self.base, &mut self.subscriptions);
            match room {
                Ok(()) => subscriptions.join(base, from, listen, &pipe),
                Err(why) => base
                    .out
                    .refuse(from.peer, Code::Limit, &why, Some(listener)),
            }
        }
    }

    fn eof(&mut self, from: Sender<'_>, pipe: &str, order: &Bytes) {
        let Some(pipe) = queries::eof_pipe(&mut self.base, from, pipe, order) else {
            return;
        };
        let is_live = self.base.pipes.get(&pipe).is_some_and(Pipe::is_live);
        if !is_live && let Err(why) = self.room_for(from.client, Kind::Streams, &pipe) {
            return self.refuse(from.peer, Code::Limit, &why);
        }
        queries::eof(&mut self.base, from, &pipe, order);
    }

    fn refuse(&mut self, peer: &Peer, code: Code, message: &str) {
        self.base.out.refuse(peer, code, message, None);
    }
}

/// What follows.
impl<S: Store> Broker<S> {
    /// Acts on the effects of work on pipes, and does what v0.1 peers ask, until nothing more follows.
    fn settle(&mut self) {
        self.obey_v01();
        while let Some(effect) = self.base.next_effect() {
            self.apply(effect);
        }
        for line in self.v01.take_logs() {
            self.base.out.log(line);
        }
        while self.base.absent.is_too_long() {
            self.forget_one_absent();
        }
    }

    fn apply(&mut self, effect: Effect) {
        let base = &mut self.base;
        match effect {
            // These count at once: see `Base::run`.
            Effect::Freed(_) | Effect::Changed(_) => {}
            Effect::Released(key, needed) => self.streams.released(base, key, needed),
            Effect::Damaged(key, at, why) => self.streams.cut_damaged(base, key, at, &why.0),
            Effect::Gone(key, outcome) => self.streams.gone(base, key, outcome),
            Effect::Ended(listener) => self.subscriptions.ended(base, listener),
            Effect::Awake(listener) => self.subscriptions.wake(listener),
        }
    }

    fn note_idle(&mut self) {
        if self.base.settings.idle.is_some() {
            let is_idle = self.base.peers.present() == 0 && self.base.pipes.streams() == 0;
            self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(self.base.now));
        }
    }

    fn stop(&mut self, peer: &Peer, force: bool) {
        let base = &mut self.base;
        if let Err((code, why)) = queries::may_stop(base, force) {
            return base.out.refuse(peer, code, &why, None);
        }
        if force {
            self.drop_all();
        }
        self.streams.save_all(&mut self.base);
        self.base.out.reply(peer, Reply::Stopping);
        self.base.out.stop("a client asked to stop");
    }

    /// Drops all streams and sends all clients away, so that nothing comes back at the next satellite.
    fn drop_all(&mut self) {
        for client in self.base.peers.all().collect::<Vec<_>>() {
            self.end_all_of(client, "the satellite was reset");
        }
        for name in self.base.pipes.names().cloned().collect::<Vec<_>>() {
            self.base.run(&name, Pipe::discard);
        }
        self.settle();
    }
}

/// The way out.
impl<S: Store> Broker<S> {
    /// Returns the next output, or nothing when there is nothing to do for now.
    pub fn poll(&mut self) -> Option<Output> {
        if !self.base.out.has_failed()
            && let next @ Some(_) = self.next()
        {
            return next;
        }
        // If the disk has just failed, all other pending outputs are discarded.
        self.base.out.next_last_word()
    }

    fn next(&mut self) -> Option<Output> {
        if let Some(keys) = self.base.access.next_save() {
            return Some(Output::SaveKeys(keys));
        }
        loop {
            // A client can use its credit as soon as it hears of it.
            if let Some((peer, amount)) = self.base.inflow.next() {
                return Some(Output::Credit { peer, amount });
            }
            if !self.record() {
                // Logs and shutdown do not depend on unsaved state, so they may leave first.
                return self.base.out.next_independent();
            }
            if let Some(output) = self.v01.next_output() {
                return Some(output);
            }
            match self.base.out.next() {
                Some(Outgoing::Other(output)) => return Some(output),
                Some(Outgoing::Old(reply)) if self.v01.takes(&reply.peer, &reply.reply) => {
                    self.v01.reply(&reply.peer, &reply.reply, reply.payload);
                    self.settle();
                    // What follows from that is recorded before anything else leaves.
                    continue;
                }
                Some(Outgoing::Old(reply)) => return Some(reply.encoded()),
                None => self.give(),
            }
            if self.base.out.is_empty() && (!self.record() || self.is_quiet()) {
                return None;
            }
        }
    }

    /// Saves what is due, then gives writers credit and acknowledgements, and listeners what they may have.
    fn give(&mut self) {
        self.streams.save_due(&mut self.base);
        let upkeep = self.upkeep_of_budget();
        self.base.budget.note_upkeep(upkeep);
        self.streams.grant(&mut self.base, &mut self.subscriptions);
        self.settle();
        self.streams.acknowledge(&mut self.base);
        while self.base.out.is_empty()
            && let Some(listener) = self.subscriptions.next_awake()
        {
            if !self.is_put_off(listener) {
                self.subscriptions.serve(&mut self.base, listener);
                self.settle();
            }
        }
    }

    /// Whether the last recording produced nothing to send or record.
    fn is_quiet(&self) -> bool {
        self.base.out.is_empty() && self.streams.is_quiet() && !self.base.durability.is_behind()
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Now> {
        let base = &self.base;
        let idle = self.idle_since.zip(base.settings.idle);
        [
            self.subscriptions.deadline(),
            self.v01.deadline(),
            base.peers.next_check(),
            base.durability.deadline(),
            self.queries.deadline(),
            base.budget.is_to_be_given().then_some(base.now),
            idle.map(|(since, span)| since + span),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// Whether only the broker makes such UUIDs.
fn is_reserved(id: Uuid) -> bool {
    id.as_u64_pair().0 == OLD_IDS
}

/// Whether a client may not use such a UUID. Clients with such a UUID may: the broker made both.
fn is_reserved_from(id: Uuid, from: Sender<'_>) -> bool {
    is_reserved(id) && !is_reserved(from.client)
}
