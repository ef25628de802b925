//! One client program: its session, its stdin and its stdout.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use skypipe::crypto::Identity;
use skypipe::session::{Config, Job, Question, Session, Signal};
use skypipe_protocol::{Data, MIN_SEND, Mode, Reply, Request, cost};
use uuid::Uuid;

use super::check::Verdict;
use super::plan::Actor;
use super::rng::Rng;

/// The longest delay of a partial line.
const PARTIAL: Duration = Duration::from_millis(100);

/// How long a session waits for an answer on a new connection. Then it gives the connection up.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The purpose of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It writes stdin into a pipe.
    Write {
        /// `--wait`: whether it waits for listeners.
        wait: bool,
        /// Whether its direction was inferred, without `-w`.
        inferred: bool,
    },
    /// It reads a pipe to stdout.
    Listen {
        /// Default, `--one`, `--follow` or `--tap`.
        mode: Mode,
    },
    /// It sends one question.
    Ask(Box<Question>),
}

/// The state of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not been started.
    Ahead,
    /// It runs.
    Running,
    /// It has exited.
    Exited,
    /// It was killed.
    Killed,
}

/// One client program.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Client {
    /// The UUID of its stream or listener.
    pub id: Uuid,
    /// Its purpose.
    pub role: Role,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// Whether it runs.
    pub state: State,
    /// Its exit code, once it has exited.
    pub code: Option<u8>,
    /// When it was started.
    pub started: Duration,
    /// How many runs of the satellite had ended by then.
    pub runs: usize,
    /// Its session, the code under test.
    pub session: Session,
    /// Its connection, an index.
    pub conn: Option<usize>,
    /// Until when its network is down.
    pub cut_off: Duration,
    /// Until when it is suspended.
    pub asleep: Duration,
    /// Whether its network ever failed.
    pub broken: bool,
    /// When a satellite first answered it.
    pub welcomed: Option<Duration>,
    /// Whether an answer came on a connection that it had not given up.
    pub welcomed_in_time: bool,
    /// When its present connection was begun.
    pub connected: Duration,
    /// Since when nothing has moved.
    pub moved: Duration,
    /// For how long nothing had moved at the last check.
    pub still: Duration,
    /// The signal that it got.
    pub signal: Option<Signal>,
    /// The data still to come on stdin, each piece with the pause before it.
    pub stdin: VecDeque<(Duration, Bytes)>,
    /// Whether stdin ends after that.
    pub ends: bool,
    /// When the next piece, or the end, is available.
    pub stdin_due: Duration,
    /// The data that stdin has given.
    pub given: Vec<u8>,
    /// Whether stdin has given its end.
    pub end_given: bool,
    /// Whether its stream was opened on the present connection.
    pub opened: bool,
    /// Its credit limit.
    limit: u64,
    /// Since when it could have sent everything buffered.
    idle: Option<Duration>,
    /// How many bytes are safe, as far as it was told.
    acked: u64,
    /// How much of stdin it has sent, as far as the satellite may have received it.
    sent: usize,
    /// The cost of the chunks sent since its stream was last opened.
    spent: u64,
    /// What it handed to stdout.
    pub queued: Vec<u8>,
    /// The lengths of the writes that have not returned.
    pub writes: VecDeque<usize>,
    /// How many bytes stdout has taken.
    pub printed: usize,
    /// When the oldest write returns.
    pub write_due: Duration,
    /// The longest duration of a write, in microseconds.
    pub pace: u64,
    /// Until when stdout takes nothing.
    pub stalled: Duration,
    /// After how many bytes stdout is closed.
    pub head: Option<usize>,
    /// Whether stdout is closed.
    pub output_closed: bool,
    /// The number of messages on stderr.
    pub notices: usize,
    /// The answers that it showed.
    pub answers: Vec<Reply>,
    /// Whether it seals and opens.
    pub is_sealed: bool,
}

impl Client {
    /// A program that has not been started.
    pub fn new(actor: Actor, identity: Option<Identity>, rng: &mut Rng) -> Self {
        let id = rng.uuid();
        let is_sealed = identity.is_some();
        let config = Config {
            client: rng.uuid(),
            id,
            job: actor.job.clone(),
            timeout: actor.timeout,
            connect_timeout: None,
            program: "skypipe 1.0.0".to_owned(),
            endpoint: "sim://satellite".to_owned(),
            identity,
            unix_time: 0,
        };
        let role = match actor.job {
            Job::Write { wait, inferred, .. } => Role::Write { wait, inferred },
            Job::Listen { mode, .. } => Role::Listen { mode },
            Job::Ask(question) => Role::Ask(Box::new(question)),
        };
        Self {
            id,
            role,
            timeout: actor.timeout,
            state: State::Ahead,
            code: None,
            started: Duration::ZERO,
            runs: 0,
            session: Session::new(config),
            conn: None,
            cut_off: Duration::ZERO,
            asleep: Duration::ZERO,
            broken: false,
            welcomed: None,
            welcomed_in_time: false,
            connected: Duration::ZERO,
            moved: Duration::ZERO,
            still: Duration::ZERO,
            signal: None,
            stdin: actor.stdin.into(),
            ends: actor.ends,
            stdin_due: Duration::ZERO,
            given: Vec::new(),
            end_given: false,
            opened: false,
            limit: 0,
            idle: None,
            acked: 0,
            sent: 0,
            spent: 0,
            queued: Vec::new(),
            writes: VecDeque::new(),
            printed: 0,
            write_due: Duration::ZERO,
            pace: actor.pace,
            stalled: Duration::ZERO,
            head: actor.head,
            output_closed: false,
            notices: 0,
            answers: Vec::new(),
            is_sealed,
        }
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == State::Running
    }

    /// When its next own action is due, if it runs.
    pub fn due(&self) -> Option<Duration> {
        if !self.runs() {
            return None;
        }
        let session = self
            .session
            .deadline()
            .map(|deadline| self.started + deadline);
        let stdin = self.has_stdin().then_some(self.stdin_due);
        let stdout = (!self.writes.is_empty()).then(|| self.write_due.max(self.stalled));
        let due = [session, stdin, stdout].into_iter().flatten().min();
        due.map(|due| due.max(self.asleep))
    }

    /// Whether stdin has something that the session accepts.
    pub fn has_stdin(&self) -> bool {
        matches!(self.role, Role::Write { .. })
            && !self.end_given
            && (!self.stdin.is_empty() || self.ends)
            && self.session.wants_input()
    }

    /// A reply has arrived.
    pub fn notes(&mut self, now: Duration, reply: &Reply) {
        let is_welcome = matches!(reply, Reply::Welcome { .. });
        self.welcomed_in_time |= is_welcome && now < self.connected + ATTEMPT;
        match reply {
            Reply::Welcome { .. } if self.welcomed.is_none() => {
                self.moved = now;
                self.welcomed = Some(now);
            }
            Reply::Opened { next, limit, .. } => {
                self.opened = true;
                // What the satellite has not received may be split anew, and all of it costs credit again.
                self.sent = usize::try_from(*next).expect("bytes are few");
                self.spent = 0;
                self.limit = *limit;
            }
            Reply::Ack { next, limit, .. } => {
                self.limit = *limit;
                if *next > self.acked {
                    self.acked = *next;
                    self.moved = now;
                }
            }
            Reply::Finished { .. } => self.moved = now,
            _ => {}
        }
    }

    /// Checks that a chunk it sends is the next piece of its stdin.
    pub fn sends(&mut self, request: &Request, payload: Option<&Bytes>) -> Verdict {
        let Request::Data(Data { at, tail, .. }) = request else {
            return Ok(());
        };
        let payload = payload.ok_or("a chunk without its payload")?;
        if *at != self.sent as u64 {
            return Err(format!("bytes from {at} after {} bytes", self.sent));
        }
        let end = self.sent + payload.len();
        if payload.is_empty() || self.given.get(self.sent..end) != Some(payload) {
            return Err(format!("the chunk at {at} is not what stdin gave there"));
        }
        self.sent = end;
        self.spent += cost(payload.len());
        let before = &self.given[..end];
        let newline = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        if *tail == (before.len() - newline) as u64 {
            Ok(())
        } else {
            Err(format!(
                "the chunk at {at} says {tail}, not {}",
                before.len() - newline
            ))
        }
    }

    /// Rule 14: checks that data is sent at once, or after 100 ms if it ends inside a line.
    pub fn hurries(&mut self, now: Duration) -> Verdict {
        let rest = self.given.len() - self.sent;
        let price = self.spent + cost(rest) + MIN_SEND;
        if !self.runs() || !self.opened || rest == 0 || price > self.limit {
            self.idle = None;
            return Ok(());
        }
        let since = *self.idle.get_or_insert(now);
        if now > since + PARTIAL {
            return Err(format!("{rest} bytes lie there since {since:?}"));
        }
        Ok(())
    }
}
