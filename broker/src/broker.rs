//! The whole satellite as a state machine: all pipes, who is connected, what everybody may send.
//!
//! It owns what the rules say beyond one pipe: the handshake, connections and their loss (rule 16),
//! credit and the memory budget (rule 12), answers to writers (rule 11), listings. It holds no
//! socket, thread, clock or file: a loop around it hands in what happened and does what it asks.
//!
//! # The contract
//!
//! 1. `handle(now, input)` for each thing that happened; `now` never goes back.
//! 2. `poll()` until it returns nothing; do each output before asking for the next, and hand in what
//!    came of it.
//!    [`Output::Stop`] and [`Output::Fail`] are the last.
//! 3. Wait until something happens, or until `deadline()`, then hand in [`Input::Timeout`], but only
//!    after everything that had arrived was handed in: a peer whose message lay unread is not lost.

mod absent;
mod asking;
mod clients;
mod credit;
mod guarding;
mod inflow;
mod inviting;
mod listening;
mod losing;
mod old;
mod pipes;
mod recording;
mod restoring;
mod saving;
mod shares;
#[cfg(test)]
mod tests;
mod upkeep;
mod work;
mod writing;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use self::absent::Absent;
use self::clients::Clients;
use self::credit::Room;
pub use self::inflow::FREE_FRAME;
use self::inflow::Inflow;
use self::inviting::Unsaved;
use self::listening::Taker;
use self::pipes::Pipes;
use self::saving::Saving;
use self::shares::Shares;
pub use self::upkeep::most_clients;
use self::work::Work;
use self::writing::Writer;
use crate::keys::{KeyId, Roll};
use crate::pipe::{Context, Effects, ListenerKey, Pipe};
use crate::protocol::{
    self, Code, Limits, MAGIC, MAX_CHUNK, REVISION, Reply, Request, decode, encode, v01,
};
use crate::store::{Store, StreamKey};
use crate::text;

/// Time since the satellite started; the loop around supplies it.
pub type Now = Duration;

/// The upper half of the UUIDs that the broker makes for peers of the original protocol and for an
/// `--eof` that waits, which have none; nobody else may use it. It spells "skypipe0".
const OLD_IDS: u64 = 0x736b_7970_6970_6530;

/// How many items go to one listener before the next one is looked after.
const FAIR_TURN: usize = 16;

/// How many writers and listeners that were given up may come back: with a kibibyte or so for each.
const ABSENT_KEPT: usize = 4096;

/// The most clients, however large the budget: the loop's fairness counts on it.
const MAX_CLIENTS: usize = 10_000;

/// The most streams that are open or wait, however large the budget.
const MAX_STREAMS: usize = 100_000;

/// The most listeners, however large the budget: twice the most clients that a satellite serves, each of which
/// has one as a rule.
const MAX_LISTENERS: usize = 20_000;

/// The most parts that listeners have in streams, however large the budget: each of a thousand listeners has one
/// in each of the streams of two hundred writers.
const MAX_FEEDS: usize = 200_000;

/// A connection, by the routing id that ZeroMQ gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub Bytes);

/// What happened to the loop around the broker.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message came in: its frames without the routing id. A loop that met more than four frames
    /// hands in the first five at most.
    Received {
        /// From whom.
        peer: Peer,
        /// The key with which the connection was let in, at a satellite that has keys.
        key: Option<KeyId>,
        /// Its frames.
        frames: Vec<Bytes>,
    },
    /// The same, where at least one frame is empty because its connection had no credit for it
    /// ([`Output::Credit`]).
    Oversent {
        /// From whom.
        peer: Peer,
        /// The key with which the connection was let in.
        key: Option<KeyId>,
        /// Its frames.
        frames: Vec<Bytes>,
    },
    /// A connection has ended, or a send to it said that there is none.
    Disconnected {
        /// Whose.
        peer: Peer,
    },
    /// A send was refused because the connection's queue is full.
    Congested {
        /// Whose.
        peer: Peer,
    },
    /// A send with `report` was taken by the connection.
    Taken {
        /// Whose.
        peer: Peer,
    },
    /// The keys of [`Output::SaveKeys`] are on disk, or why not.
    KeysSaved(Result<(), String>),
    /// A sync of the store has come to its end.
    Synced,
    /// Time has passed and all that had arrived has been handed in.
    Timeout,
    /// Somebody asks the satellite to stop (a signal).
    Stop,
}

/// What the loop around the broker has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message: these frames behind the routing id.
    Send {
        /// To whom.
        peer: Peer,
        /// Its frames.
        frames: Vec<Bytes>,
        /// Whether success is to be reported as [`Input::Taken`]; failures always are.
        report: bool,
    },
    /// Put the keys on disk, whole and synced, in place of those that are there, and report
    /// [`Input::KeysSaved`] before anything else.
    SaveKeys(Bytes),
    /// Let a connection send so many more bytes in frames of more than [`FREE_FRAME`] bytes, or fewer if
    /// negative, each frame counted as [`protocol::cost`]. Beyond what it may send, such a frame is to be handed
    /// in empty. A connection that is gone needs nothing.
    Credit {
        /// Whose.
        peer: Peer,
        /// How much.
        amount: i64,
    },
    /// Worth a line in the log.
    Log(String),
    /// End the loop.
    Stop,
    /// End the loop and the process, which somebody is to start again: the store has failed, and why.
    Fail(String),
}

/// What a satellite is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This run's UUID.
    pub satellite: Uuid,
    /// Program and version, such as `skypipe 1.0.0`.
    pub program: String,
    /// When it started, in seconds since 1970 (UTC).
    pub since: u64,
    /// Its process id.
    pub pid: u32,
    /// The budget for payloads in memory, in bytes.
    pub memory: u64,
    /// The most payload bytes that one pipe may keep, and be promised.
    pub quota: u64,
    /// After how long a silent writer is lost.
    pub writer_lost: Duration,
    /// After how long a silent listener is lost.
    pub listener_lost: Duration,
    /// Whether all clients are on this machine, so that a connection which has ended means that its
    /// program has.
    pub is_local: bool,
    /// After how long with nothing waiting and no client connected it stops; never if none.
    pub idle: Option<Duration>,
    /// Whether a client may stop it.
    pub stoppable: bool,
    /// The most clients at once.
    pub clients: usize,
}

/// All pipes and peers of a satellite.
#[derive(Debug)]
pub struct Broker<S> {
    settings: Settings,
    now: Now,
    store: S,
    pipes: Pipes,
    effects: Effects,
    room: Room,
    inflow: Inflow,
    clients: Clients,
    shares: Shares,
    work: Work,
    /// Writers by the UUID of their stream, until they have their answer.
    writers: HashMap<Uuid, Writer>,
    /// The UUID and the pipe of every stream that is open or waits.
    streams: HashMap<StreamKey, (Uuid, Arc<str>)>,
    takers: HashMap<Uuid, Taker>,
    listeners: HashMap<ListenerKey, Uuid>,
    /// Writers and listeners that were given up and may come back, the latest last.
    absent: Absent,
    /// The place in the order of opening that comes next; streams and listeners share the count.
    next_key: u64,
    out: VecDeque<Output>,
    /// Writers who want credit, in turn, each once.
    wanting: VecDeque<Uuid>,
    /// Streams whose writers are owed an acknowledgement.
    unacknowledged: Vec<Uuid>,
    /// Listeners that may have something to be sent, each once.
    awake: VecDeque<ListenerKey>,
    awake_set: HashSet<ListenerKey>,
    /// Listeners that wait for the end of a line, with the time at which they stop to.
    line_waits: BTreeSet<(Now, ListenerKey)>,
    /// When to offer a congested peer of the original protocol its message again.
    retries: BTreeSet<(Now, Peer)>,
    saving: Saving,
    /// Who may do what; everybody everything, if there is none.
    roll: Option<Roll>,
    /// Whether it has changed since somebody asked.
    has_roll_changed: bool,
    /// The calendar's time, in seconds since 1970 (UTC).
    wall: u64,
    /// Where others reach the satellite, for invitations.
    address: Option<String>,
    /// When it was saved last, in seconds since 1970 (UTC).
    roll_saved: Option<u64>,
    /// What has become of it since.
    unsaved: Unsaved,
    /// Since when nothing waits and nobody is connected.
    idle_since: Option<Now>,
    /// What the process could not put off, for its status.
    inherited: Vec<String>,
}

impl<S: Store> Broker<S> {
    /// A broker without pipes.
    pub fn new(settings: Settings, store: S) -> Self {
        let room = Room::new(settings.memory);
        let effects = Effects {
            taps_limit: room.taps(),
            is_recorded: store.is_durable(),
            ..Effects::default()
        };
        let wall = settings.since;
        // Nobody is here yet, and perhaps nobody ever comes.
        let idle_since = settings.idle.map(|_| Now::ZERO);
        Self {
            settings,
            now: Now::ZERO,
            store,
            pipes: Pipes::default(),
            effects,
            room,
            inflow: Inflow::default(),
            clients: Clients::default(),
            shares: Shares::default(),
            work: Work::default(),
            writers: HashMap::new(),
            streams: HashMap::new(),
            takers: HashMap::new(),
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
            roll: None,
            has_roll_changed: false,
            wall,
            address: None,
            roll_saved: None,
            unsaved: Unsaved::default(),
            idle_since,
            inherited: Vec::new(),
        }
    }

    /// Takes in what happened.
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
                // When each key was used last.
                self.save_roll();
                self.out.push_back(Output::Log("asked to stop".to_owned()));
                self.out.push_back(Output::Stop);
            }
        }
        self.note_idle();
    }

    /// What to do next; nothing when all is done for now.
    pub fn poll(&mut self) -> Option<Output> {
        if self.saving.last_words.is_none()
            && let next @ Some(_) = self.next()
        {
            return next;
        }
        // Should the disk have failed just now, what else would have come is not done.
        self.saving.last_words.as_mut()?.pop_front()
    }

    fn next(&mut self) -> Option<Output> {
        if let Some(roll) = self.roll_to_save() {
            return Some(Output::SaveKeys(roll));
        }
        loop {
            // Whoever is told of credit can use it at once.
            if let Some((peer, amount)) = self.inflow.next() {
                return Some(Output::Credit { peer, amount });
            }
            // Nothing leaves before the decisions that it follows from are written down.
            if !self.record() {
                // But that the satellite ends, and why writers wait, follows from nothing.
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

    /// Whether nothing has come of the last recording.
    fn is_quiet(&self) -> bool {
        self.out.is_empty() && self.unacknowledged.is_empty() && !self.saving.is_behind()
    }

    /// After how long a silent peer is lost at the earliest.
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
            self.room.is_to_be_given().then_some(self.now),
            idle,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The cost of all payloads held and of all credit given and not used, in bytes.
    pub fn used(&self) -> u64 {
        self.room.used() + self.effects.taps
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
                "nothing waits and nobody is here: goodbye".to_owned(),
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
            // libzmq makes the routing ids, and may make one again: its first user has gone without notice.
            self.disconnected(peer);
        }
        match frames {
            [magic, command] if magic == MAGIC => self.command(peer, key, command, None),
            [magic, command, payload] if magic == MAGIC => {
                self.command(peer, key, command, Some(payload.clone()));
            }
            // That protocol knows neither rights nor seals.
            [magic, ..] if magic == v01::MAGIC && self.roll.is_some() => {}
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
        if payload.is_some() != matches!(request, Request::Data { .. }) {
            let message = "a payload belongs to Data, and to nothing else";
            return self.refuse(peer, Code::Malformed, message, None);
        }
        if let Request::Hello {
            client,
            revision,
            program,
        } = request
        {
            return self.hello(peer, key, client, revision, &program);
        }
        let heard = self.clients.heard(peer, self.now);
        let Some(client) = heard.filter(|client| !self.clients.is_old(*client)) else {
            return self.refuse(peer, Code::Stranger, "say Hello first", None);
        };
        if self.is_allowed(peer, key, &request) {
            self.obey(peer, key, client, request, payload);
        }
    }

    /// Does what a client says that may say so.
    fn obey(
        &mut self,
        peer: &Peer,
        key: Option<KeyId>,
        client: Uuid,
        request: Request,
        payload: Option<Bytes>,
    ) {
        match request {
            Request::Hello { .. } => {}
            Request::Ping => self.reply(peer, &Reply::Pong),
            Request::Bye => self.goodbye(client),
            Request::Open {
                stream,
                pipe,
                from,
                resume,
                wait,
                whole,
                label,
            } => {
                let opening = writing::Opening {
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
            Request::Data {
                stream,
                at,
                tail,
                want,
            } => {
                let payload = payload.unwrap_or_default();
                self.data(
                    peer,
                    client,
                    writing::Arrived {
                        stream,
                        at,
                        tail,
                        want,
                        payload,
                    },
                );
            }
            Request::Want { stream, want } => self.want(client, stream, want),
            Request::Finish { stream, len, how } => self.finish(peer, client, stream, len, how),
            Request::Close { stream } => self.close(client, stream),
            Request::Listen {
                listener,
                pipe,
                mode,
                window,
                resume,
            } => {
                let joining = listening::Joining {
                    listener,
                    pipe,
                    mode,
                    window,
                    resume,
                };
                self.listen(peer, client, joining);
            }
            Request::Confirm {
                listener,
                turns,
                window,
            } => {
                self.confirm(peer, client, listener, turns, window);
            }
            Request::Leave { listener } => self.leave(client, listener),
            Request::Eof { pipe, order } => self.eof(peer, client, &pipe, &order),
            Request::Discard { pipe } => self.discard(peer, &pipe),
            Request::List { .. } | Request::Status => self.question(peer, key, request),
            Request::Stop { force } => self.stop(peer, force),
            Request::Invite(new) => self.invite(peer, new),
            Request::Keys { after } => self.keys(peer, after.as_deref()),
            Request::Revoke { name, discard } => {
                // Who ends a key of his own drops nothing by it that others are to get.
                let manages = self.key(key).is_some_and(|key| key.rights.manage);
                self.revoke(peer, &name, discard && manages);
            }
            Request::Box(new) => self.keep_box(peer, key, new),
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
            // Four chances to be heard before the shorter time is over.
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

    /// Sends to a client if it is connected and speaks this protocol.
    fn tell(&mut self, client: Uuid, reply: &Reply, payload: Option<Bytes>) {
        if self.clients.is_old(client) {
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

    /// Refuses a name that cannot be a pipe's; returns the name to keep otherwise.
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

    /// Works on a pipe, made if need be, and acts on what came of it.
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
        self.room.free(std::mem::take(&mut self.effects.freed));
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

/// Whether a UUID is one of those that the broker makes itself.
fn is_reserved(id: Uuid) -> bool {
    id.as_u64_pair().0 == OLD_IDS
}
