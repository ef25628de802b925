//! What goes into the broker and what comes out of it.
//!
//! This module owns the types of the broker's interface. It never decides anything.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::keys::KeyId;

/// A connection, identified by the routing id that ZeroMQ gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub Bytes);

/// An event that the event loop passes to the broker.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message arrived. `frames` excludes the routing id. Of a message with more than four frames, the loop
    /// passes in at most the first five.
    Received {
        /// The sender.
        peer: Peer,
        /// The key that authenticated the connection. Always none at a satellite without keys.
        key: Option<KeyId>,
        /// The message's frames.
        frames: Vec<Bytes>,
    },
    /// Like `Received`, but at least one frame is empty because the connection lacked the credit for it
    /// ([`Output::Credit`]).
    Oversent {
        /// The sender.
        peer: Peer,
        /// The key that authenticated the connection.
        key: Option<KeyId>,
        /// The message's frames.
        frames: Vec<Bytes>,
    },
    /// A connection has ended, or a send found no such connection.
    Disconnected {
        /// The connection.
        peer: Peer,
    },
    /// A send failed because the connection's queue is full.
    Congested {
        /// The connection.
        peer: Peer,
    },
    /// The connection's queue accepted a send that had `report` set.
    Taken {
        /// The connection.
        peer: Peer,
    },
    /// The result of [`Output::SaveKeys`]: the keys are on disk, or the reason why not.
    KeysSaved(Result<(), String>),
    /// A sync of the store has finished.
    Synced,
    /// `deadline()` has passed, and all messages that had arrived have been passed in.
    Timeout,
    /// The satellite was asked to stop, by a signal.
    Stop,
}

/// An action that the event loop carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message: the routing id, then these frames.
    Send {
        /// The recipient.
        peer: Peer,
        /// The message's frames.
        frames: Vec<Bytes>,
        /// Whether to report success as [`Input::Taken`]. Failures are always reported.
        report: bool,
    },
    /// Write the keys to disk and sync them, replacing the old file atomically. Report [`Input::KeysSaved`]
    /// before any other event.
    SaveKeys(Bytes),
    /// Change the number of bytes that a connection may send in frames of more than
    /// [`crate::protocol::FREE_FRAME`] bytes. A negative amount takes credit back. Each frame costs
    /// [`crate::protocol::cost`]. The loop passes in a frame beyond the credit as an empty frame. Ignored for
    /// a connection that is gone.
    Credit {
        /// The connection.
        peer: Peer,
        /// The change, in bytes.
        amount: i64,
    },
    /// Write a line to the log.
    Log(String),
    /// End the event loop.
    Stop,
    /// End the event loop and the process, because the store has failed for this reason. A supervisor is
    /// expected to restart the process.
    Fail(String),
}

/// The configuration of a satellite. It does not change while the satellite runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The UUID of this run of the satellite.
    pub satellite: Uuid,
    /// Program and version, for example `skypipe 1.0.0`.
    pub program: String,
    /// Start time, in seconds since 1970 (UTC).
    pub since: u64,
    /// The satellite's process id.
    pub pid: u32,
    /// The memory budget for payloads, in bytes.
    pub memory: u64,
    /// The maximum number of payload bytes that one pipe may hold, including credit that its writers have not
    /// used yet.
    pub quota: u64,
    /// A writer that is silent for this long has timed out.
    pub writer_lost: Duration,
    /// A listener that is silent for this long has timed out.
    pub listener_lost: Duration,
    /// Whether all clients run on this machine. If so, a closed connection means that its program has ended.
    pub is_local: bool,
    /// The satellite stops after this time without clients and without waiting data. None: it never stops by
    /// itself.
    pub idle: Option<Duration>,
    /// Whether a client may stop the satellite.
    pub stoppable: bool,
    /// The maximum number of clients at once.
    pub clients: usize,
}
