//! The satellite as a state machine: all pipes, all connections, and all credit.
//!
//! This module owns every rule that reaches beyond one pipe: the handshake, connections and their loss (rule
//! 16), credit and the memory budget (rule 12), answers to writers (rule 11), and listings. It never touches
//! a socket, a thread, a clock or a file. An event loop around it passes in what happened (`Input`) and
//! carries out what it asks for (`Output`).
//!
//! # The contract
//!
//! 1. Call `handle(now, input)` for each event. `now` never goes backwards.
//! 2. Call `poll()` until it returns nothing. Carry out each output before polling for the next one, and pass
//!    in its result. [`Output::Stop`] and [`Output::Fail`] are the last outputs.
//! 3. Sleep until an event arrives or `deadline()` passes, then pass in [`Input::Timeout`]. Pass in all
//!    messages that have arrived before the timeout: a peer whose message is still unread has not timed out.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod absent;
mod authorization;
mod budget;
mod clients;
mod durability;
mod inflow;
mod interface;
mod key_admin;
mod pipes;
mod queries;
mod recording;
mod restoring;
mod shares;
mod streams;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timeouts;
mod upkeep;
mod v01_peers;
mod work;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use self::absent::Absent;
use self::budget::MemoryBudget;
use self::clients::Clients;
use self::durability::Saving;
use self::inflow::Inflow;
pub use self::interface::{Input, Output, Peer, Settings};
use self::key_admin::Unsaved;
use self::pipes::Pipes;
use self::shares::Shares;
use self::streams::Writer;
use self::subscriptions::Subscription;
pub use self::upkeep::most_clients;
use self::work::Work;
use crate::keys::{KeyId, KeyRegistry};
use crate::pipe::{Context, Effects, ListenerKey, Pipe};
pub use crate::protocol::FREE_FRAME;
use crate::protocol::{
    self, Code, Confirm, Data, Finish, Hello, Limits, Listen, MAGIC, MAX_CHUNK, Open, REVISION,
    Reply, Request, decode, encode,
};
use crate::store::{Store, StreamKey};
use crate::text;
use crate::v01;

/// Time since the satellite started; the loop around supplies it.
pub type Now = Duration;

/// The upper half of the UUIDs that the broker makes itself, for v0.1 peers and for a waiting `--eof`, which
/// bring no UUID. Clients may not use such UUIDs. The bytes spell "skypipe0".
const OLD_IDS: u64 = 0x736b_7970_6970_6530;

/// How many items one listener is sent before the next listener is served.
const FAIR_TURN: usize = 16;

/// The maximum number of writers and listeners that timed out and may come back. Each takes about a kibibyte.
const ABSENT_KEPT: usize = 4096;

/// The maximum number of clients, however large the memory budget. The event loop's fairness relies on this
/// limit.
const MAX_CLIENTS: usize = 10_000;

/// The maximum number of streams that are open or waiting, however large the memory budget.
const MAX_STREAMS: usize = 100_000;

/// The maximum number of listeners, however large the memory budget. It is twice the maximum number of
/// clients, and most clients have one listener.
const MAX_LISTENERS: usize = 20_000;

/// The maximum number of listener cursors, however large the memory budget. A listener has one cursor per
/// stream: a thousand listeners of two hundred writers' streams reach this limit.
const MAX_CURSORS: usize = 200_000;

/// All pipes and all clients of a satellite.
#[derive(Debug)]
pub struct Broker<S> {
    settings: Settings,
    now: Now,
    store: S,
    pipes: Pipes,
    effects: Effects,
    budget: MemoryBudget,
    inflow: Inflow,
    clients: Clients,
    shares: Shares,
    work: Work,
    /// Writers by the UUID of their stream. A writer is removed when it has confirmed its answer.
    writers: HashMap<Uuid, Writer>,
    /// The UUID and the pipe of every stream that is open or waiting.
    streams: HashMap<StreamKey, (Uuid, Arc<str>)>,
    subscriptions: HashMap<Uuid, Subscription>,
    listeners: HashMap<ListenerKey, Uuid>,
    /// Writers and listeners that timed out and may come back, oldest first.
    absent: Absent,
    /// The last number given to a stream or a listener. Both share one counter, so the numbers show who came
    /// first.
    next_key: u64,
    out: VecDeque<Output>,
    /// Writers that want credit, in round-robin order. Each is in the queue at most once.
    wanting: VecDeque<Uuid>,
    /// Streams whose writers are due an acknowledgement.
    unacknowledged: Vec<Uuid>,
    /// Listeners that may have something to receive. Each is in the queue at most once.
    awake: VecDeque<ListenerKey>,
    awake_set: HashSet<ListenerKey>,
    /// Listeners that wait for the end of a line, by the time at which they stop waiting.
    line_waits: BTreeSet<(Now, ListenerKey)>,
    /// When to resend to a v0.1 peer whose queue was full.
    retries: BTreeSet<(Now, Peer)>,
    saving: Saving,
    /// The authorized keys. None at a satellite without keys, where everybody may do everything.
    registry: Option<KeyRegistry>,
    /// Whether the authorized keys have changed since `changed_registry` was last called.
    has_registry_changed: bool,
    /// Wall-clock time, in seconds since 1970 (UTC).
    unix_time: u64,
    /// The `host:port` under which others reach the satellite, for invitations.
    address: Option<String>,
    /// When the authorized keys were last saved, in seconds since 1970 (UTC).
    registry_saved: Option<u64>,
    /// Changes to the authorized keys since the last save.
    unsaved: Unsaved,
    /// The time since which no data waits and no client is connected.
    idle_since: Option<Now>,
    /// Restrictions that the process could not drop, reported in its status.
    inherited: Vec<String>,
}

impl<S: Store> Broker<S> {
    /// A broker without pipes and without authorized keys.
    pub fn new(settings: Settings, store: S) -> Self {
        let budget = MemoryBudget::new(settings.memory);
        let effects = Effects {
            taps_limit: budget.taps(),
            is_recorded: store.is_durable(),
            ..Effects::default()
        };
        let unix_time = settings.since;
        // A new satellite is idle: perhaps no client ever comes.
        let idle_since = settings.idle.map(|_| Now::ZERO);
        Self {
            settings,
            now: Now::ZERO,
            store,
            pipes: Pipes::default(),
            effects,
            budget,
            inflow: Inflow::default(),
            clients: Clients::default(),
            shares: Shares::default(),
            work: Work::default(),
            writers: HashMap::new(),
            streams: HashMap::new(),
            subscriptions: HashMap::new(),
            listeners: HashMap::new(),
            absent: Absent::default(),
            next_key: 0,
            out: VecDeque::new(),
            wanting: VecDeque::new(),
            unacknowledged: Vec::new(),
            awake: VecDeque::new(),
            awake_set: HashSet::new(),
            line_waits: BTreeSet::new(),
            retries: BTreeSet::new(),
            saving: Saving::default(),
            registry: None,
            has_registry_changed: false,
            unix_time,
            address: None,
            registry_saved: None,
            unsaved: Unsaved::default(),
            idle_since,
            inherited: Vec::new(),
        }
    }

    /// Takes in one event. Once the disk has failed, events are ignored.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.saving.last_words.is_some() {
            return;
        }
        self.now = self.now.max(now);
        match input {
            Input::Received { peer, key, frames } => {
                self.received(&peer, key, &frames);
                self.settle_frames(&peer, &frames);
            }
            Input::Oversent { peer, key, frames } => self.oversent(&peer, key, &frames),
            Input::Disconnected { peer } => self.disconnected(&peer),
            Input::Congested { peer } => self.congested(peer),
            Input::Taken { peer } => self.taken_by_old(&peer),
            Input::KeysSaved(saved) => self.keys_saved(saved),
            Input::Synced => {
                self.saving.is_touched = true;
                self.go_on_syncing();
            }
            Input::Timeout => self.timeout(),
            Input::Stop => {
                self.save_all();
                // Saves when each key was last used.
                self.save_registry();
                self.out.push_back(Output::Log("asked to stop".to_owned()));
                self.out.push_back(Output::Stop);
            }
        }
        self.note_idle();
    }

    /// Returns the next output, or nothing when there is nothing to do for now.
    pub fn poll(&mut self) -> Option<Output> {
        if self.saving.last_words.is_none()
            && let next @ Some(_) = self.next()
        {
            return next;
        }
        // If the disk has just failed, all other pending outputs are discarded.
        self.saving.last_words.as_mut()?.pop_front()
    }

    fn next(&mut self) -> Option<Output> {
        if let Some(registry) = self.registry_to_save() {
            return Some(Output::SaveKeys(registry));
        }
        loop {
            // Credit goes to the event loop first: a client can use its credit as soon as it hears of it.
            if let Some((peer, amount)) = self.inflow.next() {
                return Some(Output::Credit { peer, amount });
            }
            // No reply leaves before the decisions behind it are recorded.
            if !self.record() {
                // Logs and shutdown do not depend on unsaved state, so they may leave first.
                let is_told = |out: &Output| matches!(out, Output::Log(_) | Output::Stop);
                let place = self.out.iter().position(is_told)?;
                return self.out.remove(place);
            }
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            self.save_due();
            self.grant();
            self.acknowledge();
            while self.out.is_empty()
                && let Some(listener) = self.awake.pop_front()
            {
                self.awake_set.remove(&listener);
                self.serve(listener);
            }
            if self.out.is_empty() && (!self.record() || self.is_quiet()) {
                return None;
            }
        }
    }

    /// Whether the last recording produced nothing to send or record.
    fn is_quiet(&self) -> bool {
        self.out.is_empty() && self.unacknowledged.is_empty() && !self.saving.is_behind()
    }

    /// The shorter of the two timeouts, which is the earliest time after which a silent peer is lost.
    pub fn shortest_time(&self) -> Duration {
        self.settings.writer_lost.min(self.settings.listener_lost)
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Now> {
        let idle = self
            .idle_since
            .zip(self.settings.idle)
            .map(|(since, span)| since + span);
        [
            self.line_waits.first().map(|(due, _)| *due),
            self.retries.first().map(|(due, _)| *due),
            self.clients.next_check(),
            self.saving.deadline(),
            self.work.deadline(),
            self.budget.is_to_be_given().then_some(self.now),
            idle,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The cost of all held payloads and all unused credit, in bytes.
    pub fn used(&self) -> u64 {
        self.budget.used() + self.effects.taps
    }

    fn timeout(&mut self) {
        while let Some((due, listener)) = self.line_waits.first().copied()
            && due <= self.now
        {
            self.line_waits.remove(&(due, listener));
            self.wake(listener);
        }
        while let Some((due, peer)) = self.retries.first().cloned()
            && due <= self.now
        {
            self.retries.remove(&(due, peer.clone()));
            self.send_piece(&peer);
        }
        self.lose_the_silent();
        self.go_on_answering();
        if let (Some(since), Some(span)) = (self.idle_since, self.settings.idle)
            && self.now >= since + span
        {
            self.out.push_back(Output::Log(
                "stopping: no unread data and no client connected".to_owned(),
            ));
            self.out.push_back(Output::Stop);
        }
    }

    fn note_idle(&mut self) {
        if self.settings.idle.is_some() {
            let is_idle = self.clients.present() == 0 && self.streams.is_empty();
            self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(self.now));
        }
    }
}

/// Messages.
impl<S: Store> Broker<S> {
    fn received(&mut self, peer: &Peer, key: Option<KeyId>, frames: &[Bytes]) {
        if !self.has_valid_key(peer, key) {
            return;
        }
        if let Some(other) = self.clients.at(peer)
            && !self.is_clients_key(other, key)
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
            // SKYPIPE/0.1 has neither permissions nor encryption.
            [magic, ..] if magic == v01::MAGIC && self.registry.is_some() => {}
            [magic, rest @ ..] if magic == v01::MAGIC => self.old_message(peer, rest),
            [magic, ..] if magic == MAGIC => {
                self.refuse(
                    peer,
                    Code::Malformed,
                    "a message has two or three frames",
                    None,
                );
            }
            _ => {}
        }
    }

    fn command(&mut self, peer: &Peer, key: Option<KeyId>, command: &[u8], payload: Option<Bytes>) {
        let request = match decode::<Request>(command) {
            Ok(request) => request,
            Err(error) => return self.refuse(peer, Code::Malformed, &error.to_string(), None),
        };
        if payload.is_some() != matches!(request, Request::Data(Data { .. })) {
            let message = "a payload belongs to Data, and to nothing else";
            return self.refuse(peer, Code::Malformed, message, None);
        }
        if let Request::Hello(Hello {
            client,
            revision,
            program,
        }) = request
        {
            return self.hello(peer, key, client, revision, &program);
        }
        let heard = self.clients.heard(peer, self.now);
        let Some(client) = heard.filter(|client| !self.clients.is_v01(*client)) else {
            return self.refuse(peer, Code::Stranger, "say Hello first", None);
        };
        if self.is_allowed(peer, key, &request) {
            self.obey(peer, key, client, request, payload);
        }
    }

    /// Carries out a request that its sender is permitted to make.
    fn obey(
        &mut self,
        peer: &Peer,
        key: Option<KeyId>,
        client: Uuid,
        request: Request,
        payload: Option<Bytes>,
    ) {
        match request {
            Request::Hello(Hello { .. }) => {}
            Request::Ping => self.reply(peer, &Reply::Pong),
            Request::Bye => self.goodbye(client),
            Request::Open(Open {
                stream,
                pipe,
                from,
                resume,
                wait,
                whole,
                label,
            }) => {
                let opening = streams::Opening {
                    stream,
                    pipe,
                    from,
                    resume,
                    wait,
                    whole,
                    label,
                };
                self.open(peer, client, opening);
            }
            Request::Data(Data {
                stream,
                at,
                tail,
                requested,
            }) => {
                let payload = payload.unwrap_or_default();
                self.data(
                    peer,
                    client,
                    streams::Arrived {
                        stream,
                        at,
                        tail,
                        requested,
                        payload,
                    },
                );
            }
            Request::Credit { stream, requested } => self.want(client, stream, requested),
            Request::Finish(Finish { stream, len, how }) => {
                self.finish(peer, client, stream, len, how)
            }
            Request::Close { stream } => self.close(client, stream),
            Request::Listen(Listen {
                listener,
                pipe,
                mode,
                window,
                resume,
            }) => {
                let joining = subscriptions::Joining {
                    listener,
                    pipe,
                    mode,
                    window,
                    resume,
                };
                self.listen(peer, client, joining);
            }
            Request::Confirm(Confirm {
                listener,
                next_seq,
                window,
            }) => {
                self.confirm(peer, client, listener, next_seq, window);
            }
            Request::Leave { listener } => self.leave(client, listener),
            Request::Eof { pipe, order } => self.eof(peer, client, &pipe, &order),
            Request::Discard { pipe } => self.discard(peer, &pipe),
            Request::List { .. } | Request::Status => self.question(peer, key, request),
            Request::Stop { force } => self.stop(peer, force),
            Request::Invite(new) => self.invite(peer, new),
            Request::Keys { after } => self.keys(peer, after.as_deref()),
            Request::Revoke { name, discard } => {
                // A client that revokes its own key, without the right to manage, must not discard data that
                // others are to get.
                let manages = self.key(key).is_some_and(|key| key.rights.manage);
                self.revoke(peer, &name, discard && manages);
            }
            Request::Keyring(new) => self.store_keyring(peer, key, new),
            Request::Phrase => self.phrase(peer),
            Request::SetPhrase { epoch, phrase } => self.set_phrase(peer, epoch, phrase),
        }
    }

    fn hello(
        &mut self,
        peer: &Peer,
        key: Option<KeyId>,
        client: Uuid,
        revision: u16,
        program: &str,
    ) {
        if revision != REVISION {
            let message = format!(
                "this satellite ({}) speaks revision {REVISION} of SKYPIPE/1 and {program} speaks \
                 {revision}: upgrade the older of the two",
                self.settings.program
            );
            return self.refuse(peer, Code::Revision, &message, None);
        }
        if is_reserved(client) {
            return self.refuse(peer, Code::Malformed, "that UUID is reserved", None);
        }
        if !self.is_clients_key(client, key) {
            let message = "that client has another key";
            return self.refuse(peer, Code::Denied, message, None);
        }
        if !self.clients.knows(client) && self.clients.present() >= self.settings.clients {
            let clients = text::count(self.settings.clients as u64, "client");
            let message = format!("this satellite is full: it serves at most {clients} at a time");
            return self.refuse(peer, Code::Limit, &message, None);
        }
        let is_new = !self.clients.is_present(client);
        if is_new && let Err(why) = self.client_may_come(key) {
            return self.refuse(peer, Code::Limit, &why, None);
        }
        if self
            .clients
            .peer(client)
            .is_some_and(|before| before != peer)
        {
            self.withdraw_from(client);
        }
        if let Some(earlier) = self.clients.connect(client, peer, self.now) {
            self.out_of_reach(earlier);
        }
        self.clients.set_key(client, key);
        self.note_use(key);
        self.schedule_check(client);
        let welcome = Reply::Welcome {
            satellite: self.settings.satellite,
            revision: REVISION,
            program: self.settings.program.clone(),
            limits: self.limits(),
            key: self.own_key(key),
        };
        self.reply(peer, &welcome);
    }

    fn limits(&self) -> Limits {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let shorter = self.settings.writer_lost.min(self.settings.listener_lost);
        Limits {
            chunk: MAX_CHUNK as u64,
            // A peer can send four heartbeats within the shorter timeout.
            heartbeat_ms: ms(shorter / 4).clamp(20, 5_000),
            writer_lost_ms: ms(self.settings.writer_lost),
            listener_lost_ms: ms(self.settings.listener_lost),
        }
    }
}

/// What the parts of the broker share.
impl<S: Store> Broker<S> {
    fn reply(&mut self, peer: &Peer, reply: &Reply) {
        self.send(peer, reply, None);
    }

    fn send(&mut self, peer: &Peer, reply: &Reply, payload: Option<Bytes>) {
        let mut frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(reply))];
        frames.extend(payload);
        self.out.push_back(Output::Send {
            peer: peer.clone(),
            frames,
            report: false,
        });
    }

    /// Sends a reply to a client if the client is connected and does not speak v0.1.
    fn tell(&mut self, client: Uuid, reply: &Reply, payload: Option<Bytes>) {
        if self.clients.is_v01(client) {
            return;
        }
        if let Some(peer) = self.clients.peer(client).cloned() {
            self.send(&peer, reply, payload);
        }
    }

    fn refuse(&mut self, peer: &Peer, code: Code, message: &str, about: Option<Uuid>) {
        self.reply(
            peer,
            &Reply::Error {
                code,
                message: message.to_owned(),
                about,
            },
        );
    }

    /// Checks a pipe name. An invalid name is refused, and the result is none.
    fn name(&mut self, peer: &Peer, name: &str, about: Option<Uuid>) -> Option<Arc<str>> {
        match protocol::name_fault(name) {
            Some(fault) => {
                self.refuse(peer, Code::Name, fault, about);
                None
            }
            None => Some(Arc::from(name)),
        }
    }

    fn new_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// Runs `work` on a pipe, which is created if needed and removed if it is unused afterwards. Then applies
    /// the effects.
    fn with_pipe<R>(
        &mut self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Pipe, &mut Context<'_, S>) -> R,
    ) -> R {
        let pipe = self.pipes.get_or_make(name);
        let mut ctx = Context {
            now: self.now,
            store: &mut self.store,
            effects: &mut self.effects,
        };
        let result = work(pipe, &mut ctx);
        if pipe.is_unused() {
            self.pipes.remove(name);
        }
        self.budget.free(std::mem::take(&mut self.effects.freed));
        self.saving.changed.extend(self.effects.changed.drain(..));
        let mut released = std::mem::take(&mut self.effects.released);
        for (key, needed) in released.drain(..) {
            self.recount(key);
            self.note_released(key, needed);
        }
        self.effects.released = released;
        for (key, at, damaged) in std::mem::take(&mut self.effects.damaged) {
            self.cut_damaged(key, at, &damaged.0);
        }
        for (key, outcome) in std::mem::take(&mut self.effects.gone) {
            self.stream_gone(key, outcome);
        }
        for listener in std::mem::take(&mut self.effects.ended) {
            self.listener_ended(listener);
        }
        let mut awake = std::mem::take(&mut self.effects.awake);
        for listener in awake.drain(..) {
            self.wake(listener);
        }
        self.effects.awake = awake;
        result
    }

    fn wake(&mut self, listener: ListenerKey) {
        if self.awake_set.insert(listener) {
            self.awake.push_back(listener);
        }
    }
}

/// Whether only the broker makes such UUIDs.
fn is_reserved(id: Uuid) -> bool {
    id.as_u64_pair().0 == OLD_IDS
}
