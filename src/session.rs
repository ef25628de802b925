//! The client's side of the protocol, as a pure state machine: one writer, one listener or one question.
//!
//! This module owns the connection's life (hello, heartbeats, reconnecting), retransmission, confirmations,
//! messages for the user and the exit code. It holds no socket, thread, clock or file: the loop in `link`
//! reports events and carries out the session's actions.
//!
//! # The contract
//!
//! 1. Call `handle(now, input)` for each event; `now` never goes back.
//! 2. Call `poll()` until it returns nothing, and carry out each output. [`Output::Exit`] is the last.
//! 3. Wait for an event, or until `deadline()`, then hand in [`Input::Timeout`]. [`Session::wants_input`]
//!    says whether stdin may be read meanwhile.
//!
//! # The life of a connection
//!
//! ```text
//!   Connect, Hello ──> Joining ── Welcome ──> Up ── broken, or silent ──> Apart ── backoff ──┐
//!        ^               │ 8 s without any Welcome: exit 4                                   │
//!        └───────────────┴───────────────────────────────────────────────────────────────────┘
//! ```

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod asking;
mod compressing;
mod interface;
mod listening;
mod outbox;
mod plain;
mod room;
#[cfg(test)]
mod tests;
mod waiting;
mod writing;

use std::collections::VecDeque;
use std::time::Duration;

use crate::crypto::Keyring;
use bytes::Bytes;
use skypipe_protocol::{
    Code, Hello, Limits, MAGIC, MAX_CHUNK, MIN_SEND, OwnKey, REVISION, Reply, Request, decode,
    encode,
};

use self::asking::Asker;
use self::listening::Listener;
use self::waiting::{Wait, Waiting};
use self::writing::Writer;

pub use self::compressing::Compression;
pub use self::interface::{
    CommandEnd, Config, Input, Job, Moved, Output, Question, Signal, Timeouts,
};
pub use self::plain::Plain;

/// Time since the program started. The loop supplies it; the session reads no clock.
pub type Now = Duration;

/// How long a client looks for a satellite at its start, unless `--connect-timeout` says otherwise.
const FIRST_CONTACT: Duration = Duration::from_secs(8);

/// How long one last attempt may take after that time, for a satellite that came up since the previous
/// attempt.
const LAST_ATTEMPT: Duration = Duration::from_millis(1500);

/// The longest wait between two attempts until the first satellite is found.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The shortest and the longest wait between two attempts.
const BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// After how many heartbeats of silence a connection is given up: normally, and while a large message may
/// still be arriving over a slow line.
const QUIET_BEATS: u32 = 3;
const BUSY_BEATS: u32 = 12;

/// From this many bytes on, a message is large. Smaller ones pass even a slow line within a heartbeat or
/// two.
const LARGE: usize = 64 << 10;

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A connection has been in the making since this time, and `Hello` has been sent.
    Joining(Now),
    /// The satellite has answered.
    Up,
    /// There is no connection; the next attempt is at this time.
    Apart(Now),
    /// The session has ended.
    Over,
}

/// State that all jobs share: the connection and the queued outputs.
#[derive(Debug)]
struct Common {
    config: Config,
    now: Now,
    stage: Stage,
    out: VecDeque<Output>,
    limits: Option<Limits>,
    /// When a message last arrived.
    heard: Now,
    next_ping: Now,
    /// Connection attempts since the last progress.
    attempts: u32,
    /// Whether the last attempt after [`FIRST_CONTACT`] has begun.
    is_last_attempt: bool,
    /// When something last moved, as `--timeout` counts it.
    moved: Now,
    /// Why the previous satellite shut down because of a fault. Cleared by the next progress.
    failed: Option<String>,
    /// Why the last connection failed.
    reason: Option<String>,
    /// What the session waits for, as far as the user is told.
    wait: Wait,
    /// The keys that seal and open, at a satellite with keys. Set once the satellite has answered.
    keyring: Option<Keyring>,
    /// The name of the client's own key there.
    name: String,
}

#[derive(Debug)]
enum Role {
    Write(Box<Writer>),
    Listen(Box<Listener>),
    Ask(Box<Asker>),
}

/// One client's conversation with its satellite.
#[derive(Debug)]
pub struct Session {
    common: Common,
    role: Role,
}

impl Session {
    /// Creates a session. Its first output is [`Output::Connect`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let role = match config.job.clone() {
            Job::Write {
                pipe,
                wait,
                whole,
                compress,
                inferred,
                label,
            } => {
                let seals = config.identity.is_some().then_some(compress);
                let writer = Writer::new(pipe, (wait, whole), inferred, label, seals);
                Role::Write(Box::new(writer))
            }
            Job::Listen { pipe, mode } => Role::Listen(Box::new(Listener::new(pipe, mode))),
            Job::Ask(question) => Role::Ask(Box::new(Asker::new(question))),
        };
        let is_in_vain = config.identity.is_none()
            && matches!(
                &config.job,
                Job::Write {
                    compress: Compression::Level(_),
                    ..
                }
            );
        let common = Common {
            config,
            now: Now::ZERO,
            stage: Stage::Apart(Now::ZERO),
            out: VecDeque::new(),
            limits: None,
            heard: Now::ZERO,
            next_ping: Now::ZERO,
            attempts: 0,
            is_last_attempt: false,
            moved: Now::ZERO,
            failed: None,
            reason: None,
            wait: Wait::default(),
            keyring: None,
            name: String::new(),
        };
        let mut session = Self { common, role };
        if is_in_vain {
            let notice = "--compress has no effect: this satellite has no keys, and only sealed \
                          data is compressed";
            let notice = Output::Notice(notice.to_owned());
            session.common.out.push_back(notice);
        }
        session.connect();
        session.note_waiting();
        session
    }

    /// Handles one event. `now` must never go back.
    pub fn handle(&mut self, now: Now, input: Input) {
        let common = &mut self.common;
        common.now = common.now.max(now);
        if common.stage == Stage::Over {
            return;
        }
        match input {
            // The message may arrive late, on a connection that was given up for its silence.
            Input::Received(_) if matches!(common.stage, Stage::Apart(_)) => {}
            Input::Received(frames) => self.received(&frames),
            Input::Disconnected(reason) => {
                common.reason = reason.or(common.reason.take());
                self.part();
            }
            Input::Refused(why) => {
                let code = if common.limits.is_none() { 4 } else { 1 };
                common.fail(code, &why);
            }
            Input::Timeout => self.timeout(),
            Input::Signal(signal) => self.signal(signal),
            other => match &mut self.role {
                Role::Write(writer) => writer.happened(common, other),
                Role::Listen(listener) => listener.happened(common, other),
                Role::Ask(_) => {}
            },
        }
        self.advance();
        self.note_waiting();
    }

    /// The next action. `None` when there is nothing more to do for now.
    pub fn poll(&mut self) -> Option<Output> {
        self.common.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        let common = &self.common;
        let connection = match common.stage {
            Stage::Over => return None,
            Stage::Joining(since) => since + ATTEMPT,
            Stage::Up => common.next_ping.min(self.quiet_until()),
            Stage::Apart(until) => until,
        };
        let first = common.first_contact_until();
        let timeout = common.config.timeout.map(|time| common.moved + time);
        let role = match &self.role {
            Role::Write(writer) => writer.deadline(),
            Role::Listen(listener) => listener.deadline(common),
            Role::Ask(_) => None,
        };
        [
            Some(connection),
            first,
            timeout,
            role,
            common.wait.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether the satellite has opened the stream. Only then is a command started.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.role {
            Role::Write(writer) => self.common.stage != Stage::Over && writer.is_open(),
            _ => false,
        }
    }

    /// How far the transfer is.
    #[must_use]
    pub fn moved(&self) -> Moved {
        match &self.role {
            Role::Write(writer) => writer.moved(),
            Role::Listen(listener) => listener.moved(),
            Role::Ask(_) => Moved::default(),
        }
    }

    /// Whether the session accepts another [`Input::Read`].
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match &self.role {
            Role::Write(writer) => self.common.stage != Stage::Over && writer.wants_input(),
            _ => false,
        }
    }
}

impl Session {
    fn connect(&mut self) {
        let common = &mut self.common;
        common.stage = Stage::Joining(common.now);
        common.out.push_back(Output::Connect);
        let hello = Request::Hello(Hello {
            client: common.config.client,
            revision: REVISION,
            program: common.config.program.clone(),
        });
        common.send(&hello, None);
        // Nothing need wait for the answer, except a question: it must not be asked twice.
        match &mut self.role {
            Role::Write(writer) => writer.attach(common),
            Role::Listen(listener) => listener.attach(common),
            Role::Ask(_) => {}
        }
    }

    /// Handles the loss of the connection.
    fn part(&mut self) {
        let common = &mut self.common;
        if !matches!(common.stage, Stage::Joining(_) | Stage::Up) {
            return;
        }
        common.attempts += 1;
        common.stage = Stage::Apart(common.now + common.backoff());
        match &mut self.role {
            Role::Write(writer) => writer.detach(),
            Role::Listen(listener) => listener.detach(),
            Role::Ask(asker) => asker.detach(common),
        }
    }

    fn received(&mut self, frames: &[Bytes]) {
        let (command, payload) = match frames {
            [magic, command] if magic == MAGIC => (command, None),
            [magic, command, payload] if magic == MAGIC => (command, Some(payload.clone())),
            _ => return,
        };
        let Ok(reply) = decode::<Reply>(command) else {
            let message = "the satellite sent a message that this version does not understand";
            return self.common.fail(1, message);
        };
        let common = &mut self.common;
        common.heard = common.now;
        match reply {
            Reply::Welcome {
                program,
                limits,
                key,
                satellite,
                revision,
            } => {
                self.take_keys(key.as_ref(), limits);
                self.welcome(&program, limits);
                if let Role::Ask(asker) = &mut self.role {
                    let welcome = Reply::Welcome {
                        satellite,
                        revision,
                        program,
                        limits,
                        key,
                    };
                    asker.welcomed(&mut self.common, welcome);
                }
            }
            Reply::Keyring { sealed_keyring } => self.take_keyring(&sealed_keyring),
            Reply::Pong => common.attempts = 0,
            Reply::Error {
                code: Code::Stranger,
                ..
            } => self.part(),
            // The next connection reaches the satellite that is started in its place.
            Reply::Error {
                code: Code::Failed,
                message,
                ..
            } if !matches!(self.role, Role::Ask(_)) => {
                let notice = format!("the satellite stopped, waiting for it to return: {message}");
                if common.failed.replace(message).is_none() {
                    common.out.push_back(Output::Notice(notice));
                }
                self.part();
            }
            Reply::Error {
                code: Code::Revision,
                message,
                ..
            } => common.fail(1, &message),
            Reply::Error {
                code: Code::Name,
                message,
                ..
            } => common.fail(2, &message),
            reply => match &mut self.role {
                Role::Write(writer) => writer.received(common, reply),
                Role::Listen(_)
                    if common.awaits_keys() && !matches!(reply, Reply::Error { .. }) =>
                {
                    common.fail(
                        1,
                        "data from the satellite cannot be trusted: it came before the satellite \
                         identified itself",
                    );
                }
                Role::Listen(listener) => listener.received(common, reply, payload),
                Role::Ask(asker) => asker.received(common, reply),
            },
        }
    }

    fn welcome(&mut self, program: &str, limits: Limits) {
        let common = &mut self.common;
        if common.stage == Stage::Over {
            return;
        }
        let is_first = common.limits.replace(limits).is_none();
        common.stage = Stage::Up;
        common.next_ping = common.now + common.beat();
        if is_first {
            common.moved = common.now;
        }
        if is_first && is_older(program, &common.config.program) {
            let hint = format!(
                "the satellite is {program}, older than this {}: to restart one on this machine, \
                 stop the process that skypipe --check shows (kill PID); upgrade any other where \
                 it runs",
                common.config.program
            );
            common.out.push_back(Output::Hint(hint));
        }
    }

    /// Handles the satellite's answer with this client's key and its sealed keyring.
    fn take_keys(&mut self, key: Option<&OwnKey>, limits: Limits) {
        let common = &mut self.common;
        let Some(identity) = &common.config.identity else {
            return;
        };
        let Some(own) = key else {
            return common.fail(
                1,
                "the satellite has no keys, but your invitation is for one that does",
            );
        };
        common.name.clone_from(&own.name);
        match identity.keyring(own.sealed_keyring.as_deref()) {
            Ok(_) if limits.chunk < MIN_SEND => {
                common.fail(
                    1,
                    "the satellite's chunks are too short for a sealed record",
                );
            }
            Ok(keyring) => self.renew(keyring),
            // A question needs no keys, and may be the way to get them.
            Err(_) if matches!(self.role, Role::Ask(_)) => {}
            Err(fault) => common.fail(1, &fault.to_string()),
        }
    }

    /// Handles a new sealed keyring, sent after somebody's key was revoked.
    fn take_keyring(&mut self, sealed_keyring: &[u8]) {
        let Some(identity) = &self.common.config.identity else {
            return;
        };
        match identity.keyring(Some(sealed_keyring)) {
            Ok(keyring) => self.renew(keyring),
            Err(fault) => self.common.fail(1, &fault.to_string()),
        }
    }

    /// Installs a newer keyring. An older one is ignored.
    fn renew(&mut self, keyring: Keyring) {
        let common = &mut self.common;
        let known = common.keyring.as_ref().map(|known| known.newest().number);
        if known.is_some_and(|known| known > keyring.newest().number) {
            return;
        }
        if let Role::Write(writer) = &mut self.role {
            writer.renew(common, &keyring);
        }
        common.keyring = Some(keyring);
    }

    fn timeout(&mut self) {
        let now = self.common.now;
        let first = self.common.first_contact_until();
        if first.is_some_and(|until| now >= until) {
            match self.common.stage {
                Stage::Apart(_) if !self.common.is_last_attempt => {
                    self.common.is_last_attempt = true;
                    return self.connect();
                }
                _ => return self.nobody_there(),
            }
        }
        match self.common.stage {
            Stage::Joining(since) if now >= since + ATTEMPT => self.part(),
            Stage::Up if now >= self.quiet_until() => self.part(),
            Stage::Up if now >= self.common.next_ping => {
                self.common.next_ping = now + self.common.beat();
                self.common.send(&Request::Ping, None);
            }
            Stage::Apart(until) if now >= until => self.connect(),
            _ => {}
        }
        let common = &self.common;
        if let Some(time) = common.config.timeout
            && now >= common.moved + time
        {
            if common.limits.is_none() {
                return self.nobody_there();
            }
            let message = format!("timed out: {} for {time:?}", self.waits_for());
            self.leave();
            return self.common.fail(124, &message);
        }
        let common = &mut self.common;
        match &mut self.role {
            Role::Write(writer) => writer.timeout(common),
            Role::Listen(listener) => listener.timeout(common),
            Role::Ask(_) => {}
        }
    }

    /// Tells the user, if it is time, what the session waits for.
    fn note_waiting(&mut self) {
        let waiting = self.waiting();
        let common = &mut self.common;
        if common.stage == Stage::Over {
            return;
        }
        let (pipe, endpoint) = match &self.role {
            Role::Write(writer) => (writer.pipe(), &common.config.endpoint),
            Role::Listen(listener) => (listener.pipe(), &common.config.endpoint),
            Role::Ask(_) => ("", &common.config.endpoint),
        };
        let back = common.wait.note(common.now, waiting);
        let told = common.wait.tell(common.now, pipe, endpoint);
        common
            .out
            .extend(back.into_iter().chain(told).map(Output::Hint));
    }

    /// What the session waits for, if that is worth a word.
    fn waiting(&self) -> Option<Waiting> {
        match (self.common.stage, &self.role) {
            // The answer to a question says it all.
            (Stage::Over, _) | (_, Role::Ask(_)) => None,
            (Stage::Joining(_) | Stage::Apart(_), _) if self.common.limits.is_none() => {
                Some(Waiting::Satellite)
            }
            (Stage::Joining(_) | Stage::Apart(_), _) => Some(Waiting::Connection),
            (Stage::Up, Role::Write(writer)) => writer.waiting(),
            (Stage::Up, Role::Listen(listener)) => listener.waiting(),
        }
    }

    fn nobody_there(&mut self) {
        let mut message = format!("no satellite answers at {}", self.common.config.endpoint);
        if let Some(reason) = self.common.reason.take() {
            message = format!("{message} ({reason})");
        }
        self.common.fail(4, &message);
    }

    fn signal(&mut self, signal: Signal) {
        let common = &mut self.common;
        match &mut self.role {
            Role::Write(writer) if common.limits.is_some() => writer.interrupt(common, signal),
            _ => {
                self.leave();
                self.common.exit(signal.exit_code());
            }
        }
    }

    /// What the session was waiting for, for the message of a timeout.
    fn waits_for(&self) -> String {
        let common = &self.common;
        match &self.role {
            _ if !common.is_up() => format!("no connection to {}", common.config.endpoint),
            Role::Write(writer) => writer.waits_for(common),
            Role::Listen(listener) => listener.waits_for(common),
            Role::Ask(_) => format!("no answer from {}", common.config.endpoint),
        }
    }

    /// Sends the goodbye of a session that ends early.
    fn leave(&mut self) {
        let common = &mut self.common;
        if let Role::Listen(listener) = &mut self.role {
            listener.leave(common);
        }
        common.send(&Request::Bye, None);
    }

    /// Sends what can be sent now.
    fn advance(&mut self) {
        let common = &mut self.common;
        if common.stage == Stage::Over {
            return;
        }
        match &mut self.role {
            Role::Write(writer) => writer.advance(common),
            Role::Listen(listener) => listener.advance(common),
            Role::Ask(_) => {}
        }
    }

    /// When the connection is given up if nothing more arrives.
    fn quiet_until(&self) -> Now {
        let heard = self.common.heard;
        let last_word = match &self.role {
            Role::Listen(listener) => listener.gives_up(heard),
            Role::Write(_) | Role::Ask(_) => None,
        };
        let usual = heard + self.patience();
        last_word.map_or(usual, |until| until.min(usual))
    }

    /// The silence after which the connection is given up. It doubles, once, after an attempt that brought
    /// nothing but half of a large message: even a very slow line must get such a message through some
    /// time.
    fn patience(&self) -> Duration {
        let is_busy = match &self.role {
            Role::Write(writer) => writer.is_busy(),
            Role::Listen(listener) => listener.is_busy(),
            Role::Ask(_) => false,
        };
        let beats = match (is_busy, self.common.attempts) {
            (false, _) => QUIET_BEATS,
            (true, 0) => BUSY_BEATS,
            (true, _) => 2 * BUSY_BEATS,
        };
        self.common.beat() * beats
    }
}

impl Common {
    fn send(&mut self, request: &Request, payload: Option<Bytes>) {
        let mut frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(request))];
        frames.extend(payload);
        self.out.push_back(Output::Send(frames));
    }

    /// Whether `Welcome` has arrived and the connection is not known to be broken.
    fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether this client has an invitation and no keys yet. A stream that is not sealed cannot be trusted
    /// then.
    fn awaits_keys(&self) -> bool {
        self.config.identity.is_some() && self.keyring.is_none()
    }

    /// Records progress: `--timeout` starts again, and the connection counts as good.
    fn progress(&mut self) {
        self.moved = self.now;
        self.attempts = 0;
        self.failed = None;
    }

    fn beat(&self) -> Duration {
        let ms = self
            .limits
            .map_or(2_500, |limits| limits.heartbeat_ms.clamp(10, 60_000));
        Duration::from_millis(ms)
    }

    /// The wait before the next attempt. It doubles with each attempt, plus a random part of up to half of
    /// it, so that a restarted satellite does not meet all its clients at once. The randomness comes from
    /// the client's UUID.
    fn backoff(&self) -> Duration {
        let doubled = BACKOFF * (1 << self.attempts.min(10));
        let (_, chance) = self.config.client.as_u64_pair();
        let spread = (chance.rotate_left(self.attempts) % 512) as u32;
        let longest = if self.limits.is_none() {
            FIRST_BACKOFF
        } else {
            LONGEST_BACKOFF
        };
        let wait = doubled.min(longest);
        wait + wait * spread / 1024
    }

    /// When the search for the first satellite ends, or its last attempt is due. An attempt in progress
    /// then gets [`LAST_ATTEMPT`] more.
    fn first_contact_until(&self) -> Option<Now> {
        let until = self.config.connect_timeout.unwrap_or(FIRST_CONTACT);
        match (self.limits, self.stage) {
            (Some(_), _) => None,
            (None, Stage::Apart(_)) => Some(until),
            (None, _) => Some(until.saturating_add(LAST_ATTEMPT)),
        }
    }

    /// Prints the message, then ends the session with this code.
    fn fail(&mut self, code: u8, message: &str) {
        self.out.push_back(Output::Failure(message.to_owned()));
        self.exit(code);
    }

    fn exit(&mut self, code: u8) {
        self.stage = Stage::Over;
        self.out.push_back(Output::Exit(code));
    }

    /// Handles an error about the client's stream or listener.
    fn refused(&mut self, code: Code, message: &str) {
        let exit = match code {
            Code::Unknown | Code::Lost => 3,
            Code::Name => 2,
            _ => 1,
        };
        self.fail(exit, message);
    }
}

/// Whether version `theirs` is older than `ours`. Both have the form `name 1.2.3`.
fn is_older(theirs: &str, ours: &str) -> bool {
    let version = |program: &str| -> Option<Vec<u64>> {
        let (_, number) = program.rsplit_once(' ')?;
        number.split('.').map(|part| part.parse().ok()).collect()
    };
    version(theirs)
        .zip(version(ours))
        .is_some_and(|(theirs, ours)| theirs < ours)
}

/// The most payload bytes that the satellite accepts in one chunk.
fn chunk_limit(common: &Common) -> usize {
    let limit = common
        .limits
        .map_or(MAX_CHUNK as u64, |limits| limits.chunk);
    usize::try_from(limit)
        .unwrap_or(MAX_CHUNK)
        .clamp(1, MAX_CHUNK)
}
