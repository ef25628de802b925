//! What goes into a session and what comes out of it.
//!
//! This module owns the types of a session's interface. It never decides anything.

use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{Mode, NewKey, NewKeyring, Phrase, Reply};
use uuid::Uuid;

use super::{Compression, Plain};
use crate::crypto::Identity;

/// What the session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Write stdin into a pipe.
    Write {
        /// The pipe's name.
        pipe: String,
        /// Whether success waits until listeners have confirmed everything.
        wait: bool,
        /// Whether listeners get the stream only once it has ended.
        whole: bool,
        /// How the stream is compressed. Used only at a satellite with keys.
        compress: Compression,
        /// Whether the direction was inferred, without `-w`. Then an empty stdin sends nothing.
        inferred: bool,
        /// The writer's description for people: `user@host pid N`.
        label: String,
    },
    /// Write a pipe's bytes to stdout.
    Listen {
        /// The pipe's name.
        pipe: String,
        /// Default, `--one`, `--follow` or `--tap`.
        mode: Mode,
    },
    /// Send one request and return its answer as [`Output::Answer`].
    Ask(Question),
}

/// The requests that a client can make without a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `--eof`: finish the listeners of a pipe.
    Eof(String),
    /// List the pipes. Each page arrives as one answer.
    List,
    /// Drop the unread data of a pipe.
    Discard(String),
    /// The satellite's status.
    Status,
    /// Stop the satellite; `true` stops it even if unread data would be lost.
    Stop(bool),
    /// The client's own key. The answer is [`Reply::Welcome`].
    Own,
    /// Create a key.
    Invite(NewKey),
    /// List the authorized keys. Each page arrives as one answer.
    Keys,
    /// Revoke the key of this name; `true` also drops the unread data that it wrote.
    Revoke(String, bool),
    /// Store a sealed keyring for the holder of a key.
    Keyring(NewKeyring),
    /// Get what the satellite stores for the phrase.
    Phrase,
    /// Store what the phrase opens, with keys up to this generation; `None` removes it.
    SetPhrase(u32, Option<Phrase>),
}

/// The timeouts that the user set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// `--timeout`: give up when nothing has moved for this long.
    pub idle: Option<Duration>,
    /// `--connect-timeout`: give up looking for a satellite at the start after this long.
    pub connect: Option<Duration>,
}

/// The parameters of a session.
#[derive(Debug, Clone)]
pub struct Config {
    /// The UUID of this client process.
    pub client: Uuid,
    /// The UUID of the client's stream or listener.
    pub id: Uuid,
    /// What the session does.
    pub job: Job,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// Program and version, such as `skypipe 1.0.0`.
    pub program: String,
    /// The satellite's endpoint, for messages.
    pub endpoint: String,
    /// The client's identity at a satellite with keys, where streams are sealed.
    pub identity: Option<Identity>,
    /// The wall-clock time at the start, in seconds since 1970 (UTC).
    pub unix_time: u64,
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

impl Signal {
    /// The exit code of a program that this signal ended: 128 plus its number.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// How the command ended whose output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEnd {
    /// The command exited with this code.
    Exited(u8),
    /// A signal of this number killed the command.
    Killed(u8),
}

/// Events that the loop reports to the session.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message arrived on the current connection.
    Received(Vec<Bytes>),
    /// The current connection broke, or could not be made. The reason is given if it is known.
    Disconnected(Option<String>),
    /// The satellite will never accept this client. The text says why, and what to do.
    Refused(String),
    /// Bytes from stdin: never empty, at most `MAX_CHUNK`, cut at a line end if possible.
    Read(Plain),
    /// Stdin is at its end.
    ReadEnd,
    /// Stdin could not be read.
    ReadFailed(String),
    /// The command whose output is read has ended. All of its output was handed in before.
    CommandEnded(CommandEnd),
    /// The command could not be started; the text says why. Nothing was handed in.
    NotStarted(String),
    /// The oldest [`Output::Write`] that was not yet reported has been written in full.
    Written,
    /// Stdout is closed (EPIPE): nothing more can be written.
    OutputClosed,
    /// Writing to stdout failed.
    OutputFailed(String),
    /// A signal arrived.
    Signal(Signal),
    /// [`Session::deadline`](super::Session::deadline) has passed.
    Timeout,
}

/// How far a transfer is, in bytes as they were read or are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// What a writer has sent, or stdout has taken.
    pub bytes: u64,
    /// What the satellite has confirmed of it. None for a reader.
    pub confirmed: Option<u64>,
}

/// Actions that the session asks of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop the current connection, if any, with everything in flight on it, and make a new one.
    Connect,
    /// Send a message on the current connection.
    Send(Vec<Bytes>),
    /// Write these bytes to stdout, in order, and report [`Input::Written`].
    Write(Bytes),
    /// Print on stderr why the session fails, now or at its end.
    Failure(String),
    /// Print a message on stderr.
    Notice(String),
    /// Print a message if stderr is a terminal, or if the user wants to hear everything.
    Hint(String),
    /// Show an answer to [`Job::Ask`].
    Answer(Reply),
    /// Exit with this code. Messages sent before get a moment to leave.
    Exit(u8),
}
