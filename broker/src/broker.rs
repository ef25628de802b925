//! The whole satellite as a state machine, without a socket (interface draft).

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::store::Store;

/// Time since the satellite started; the loop around supplies it.
pub type Now = Duration;

/// A connection, by the routing id that ZeroMQ gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub Bytes);

/// What happened to the loop around the broker.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message came in: its frames without the routing id. A loop that met more than
    /// four frames hands in the first four.
    Received {
        /// From whom.
        peer: Peer,
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
    /// Worth a line in the log.
    Log(String),
    /// End the loop.
    Stop,
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
    /// After how long a silent writer is lost.
    pub writer_lost: Duration,
    /// After how long a silent listener is lost.
    pub listener_lost: Duration,
    /// After how long with nothing waiting and no client connected it stops; never if none.
    pub idle: Option<Duration>,
    /// Whether a client may stop it.
    pub stoppable: bool,
    /// The most clients at once.
    pub clients: usize,
}

/// All pipes and peers of a satellite.
pub struct Broker<S> {
    store: S,
}

impl<S: Store> Broker<S> {
    /// A broker without pipes.
    pub fn new(_settings: Settings, store: S) -> Self {
        Self { store }
    }
    /// Takes in what happened.
    pub fn handle(&mut self, _now: Now, _input: Input) {}
    /// What to do next; nothing when all is done for now.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }
    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Now> {
        None
    }
}
