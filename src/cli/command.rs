//! What a command line can ask for.
//!
//! Owns the forms alone. Which flags make which of them is [`super::parse`]'s.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skypipe_broker::keys::halves::Halves;
use skypipe_broker::protocol::{Mode, Rights};
use skypipe_satellite::{Listen, Public, Settings};

use super::deploy::Deploy;
use crate::session::{Compression, Question, Timeouts};

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Bytes in or out of a pipe.
    Pipe(Pipe),
    /// A question about the pipes.
    Ask(Question, Timeouts, Option<PathBuf>),
    /// How the satellite is.
    Check(Timeouts, Option<PathBuf>),
    /// End the satellite that was deployed, or stop this machine's.
    Reset(Reset),
    /// Let another machine in.
    Invite(Invite),
    /// Use the satellite of an invitation.
    Join,
    /// Forget it.
    Leave,
    /// Show who was invited.
    Keys(Option<PathBuf>),
    /// Whether the machine with these public halves was invited.
    IsIn(Halves, Option<PathBuf>),
    /// End a key.
    Revoke(Revoke),
    /// Make a phrase; `false` to have none any more.
    Phrase(bool),
    /// Put a satellite in the sky.
    Setup(Setup),
    /// Be a satellite at this address and port.
    Satellite(Listen, Settings),
    /// Be this machine's satellite.
    LocalSatellite(Settings),
}

/// Who is let in, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The name of the key; the satellite makes one if it is empty.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// In which pipes; none is all.
    pub pipes: Vec<String>,
    /// For how long.
    pub expires: Option<Duration>,
    /// How many bytes of what it writes may wait; none for its share.
    pub quota: Option<u64>,
    /// The machine's public halves, if it has made its seed by itself.
    pub halves: Option<Halves>,
    /// The directory of the satellite, if it is on this machine.
    pub data: Option<PathBuf>,
}

/// Which key is to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// Its name.
    pub name: String,
    /// Whether it is done without asking.
    pub yes: bool,
    /// Whether what it wrote and nobody takes is dropped, too.
    pub discard: bool,
    /// The directory of the satellite, if it is on this machine.
    pub data: Option<PathBuf>,
}

/// Which satellite is to be ended, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The platform, if it was said.
    pub target: Option<String>,
    /// Whether it is done without asking.
    pub yes: bool,
    /// `--app`, `--org` and `--json`.
    pub deploy: Deploy,
}

/// Where a satellite is to be deployed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The platform; asked for if it was not said.
    pub target: Option<String>,
    /// The rest of the flags.
    pub deploy: Deploy,
    /// Under which host, and perhaps port, others reach the satellite.
    pub public: Option<Public>,
}

/// Bytes in or out of a pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// Its name.
    pub name: String,
    /// Which way.
    pub way: Way,
    /// How long it waits.
    pub timeouts: Timeouts,
    /// The command whose output is written, with its arguments; none is stdin.
    pub command: Vec<OsString>,
}

/// Which way the bytes go, as far as the flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Stdin decides.
    Unsaid,
    /// Out of the pipe.
    Read(Mode),
    /// Into the pipe.
    Write {
        /// Whether `-w` itself was said, so that an empty stream is meant.
        said: bool,
        /// Whether success waits for the readers.
        wait: bool,
        /// Whether readers have the stream only once it has ended.
        whole: bool,
        /// Whether it is compressed on its way.
        compress: Compression,
    },
}

/// Why there is no [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or the version was asked for: text for stdout.
    Show(String),
    /// The flags make no sense: a sentence.
    Usage(String),
}
