//! The client's side of the conversation, without a socket (interface draft).
//!
//! Contract: `handle(now, Input)`; then drain `poll() -> Output` until `None`; then wait until
//! `deadline()` or until something happens. `wants_input()` says whether stdin may be read further.

use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::protocol::{Mode, Reply};
use uuid::Uuid;

/// Time since the program started; the loop around supplies it.
pub type Now = Duration;

/// What the program was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Stdin goes into a pipe.
    Write {
        /// The pipe.
        pipe: String,
        /// Whether success waits until listeners have confirmed everything.
        wait: bool,
        /// Whether nobody said `-w`: then a stdin without a byte sends nothing.
        inferred: bool,
        /// Who writes, for people.
        label: String,
    },
    /// A pipe goes to stdout.
    Listen {
        /// The pipe.
        pipe: String,
        /// How.
        mode: Mode,
    },
    /// One question, and its answer as [`Output::Answer`].
    Ask(Question),
}

/// What can be asked of a satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Finish the listeners of a pipe.
    Eof(String),
    /// Which pipes there are; pages arrive as several answers.
    List,
    /// Drop what waits in a pipe.
    Discard(String),
    /// How it is.
    Status,
    /// Stop; `true` even if something waits.
    Stop(bool),
}

/// What a session is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program's UUID.
    pub client: Uuid,
    /// The UUID of its stream or listener.
    pub id: Uuid,
    /// What it is for.
    pub job: Job,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// Program and version, such as `skypipe 1.0.0`.
    pub program: String,
    /// Where the satellite is, for messages.
    pub endpoint: String,
}

/// The signals that end a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// What happened to the loop around the session.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message came in on the current connection.
    Received(Vec<Bytes>),
    /// The current connection is broken, or could not be made; with the reason if one is known.
    Disconnected(Option<String>),
    /// Stdin gave these bytes (never none), at most `MAX_CHUNK`, cut at a line end if possible.
    Read(Bytes),
    /// Stdin is at its end.
    ReadEnd,
    /// Stdin could not be read.
    ReadFailed(String),
    /// The oldest [`Output::Write`] not yet reported has been written, whole.
    Written,
    /// Stdout is closed (EPIPE): nothing more can be written.
    OutputClosed,
    /// Stdout could not be written.
    OutputFailed(String),
    /// A signal came.
    Signal(Signal),
    /// The deadline has come.
    Timeout,
}

/// What the loop around the session has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Give the connection up, if there is one, with all that is under way on it, and make a new one.
    Connect,
    /// Send a message on the current connection.
    Send(Vec<Bytes>),
    /// Write these bytes to stdout, in order, and report [`Input::Written`].
    Write(Bytes),
    /// Tell the person on stderr.
    Notice(String),
    /// Tell the person, if stderr is a terminal.
    Hint(String),
    /// An answer to [`Job::Ask`], to be shown.
    Answer(Reply),
    /// The end: what was sent before gets a moment to leave, then the program exits with this code.
    Exit(u8),
}

/// One client's conversation with its satellite.
#[derive(Debug)]
pub struct Session {
    config: Config,
}

impl Session {
    /// A session that has not begun; its first output is [`Output::Connect`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
    /// Takes in what happened.
    pub fn handle(&mut self, _now: Now, _input: Input) {}
    /// What to do next; nothing when all is done for now.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }
    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        None
    }
    /// Whether it takes another [`Input::Read`].
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.config.timeout.is_some()
    }
}
