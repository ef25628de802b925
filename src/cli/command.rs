//! The commands that a command line can ask for.
//!
//! This module has the types only. [`super::parse`] decides which flags make which command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::{Mode, Rights};
use skypipe_satellite::{Listen, Public, Settings};

use super::deploy::Deploy;
use crate::output::Form;
use crate::progress::Wanted;
use crate::session::{Compression, Timeouts};

/// One parsed command.
#[derive(Debug)]
pub enum Command {
    /// Move bytes into or out of a pipe.
    Pipe(Pipe),
    /// `--list`: show the pipes in use.
    List(Timeouts, Option<PathBuf>, Form),
    /// `--discard`: drop the unread data of this pipe.
    Discard(String, Timeouts, Option<PathBuf>),
    /// `--eof`: end the readers of this pipe.
    Eof(String, Timeouts, Option<PathBuf>),
    /// `--check`: report how the satellite is, without starting one.
    Check(Timeouts, Option<PathBuf>, Form),
    /// `--reset`: destroy the deployed satellite, or stop the one of this machine.
    Reset(Reset),
    /// `--invite`: create a key and print an invitation.
    Invite(Invite),
    /// `--join`: use the satellite of an invitation.
    Join,
    /// `--leave`: forget the joined satellite and revoke this machine's key.
    Leave,
    /// `--keys`: list the authorized keys.
    Keys(Option<PathBuf>, Form),
    /// `--keys --for`: report whether the machine with these public keys is enrolled.
    IsEnrolled(PublicKeys, Option<PathBuf>),
    /// `--revoke`: revoke a key for good.
    Revoke(Revoke),
    /// `--phrase` (`true`) makes a new phrase; `--no-phrase` (`false`) removes it.
    Phrase(bool),
    /// `--setup`: deploy a satellite.
    Setup(Setup),
    /// `--satellite`: run a satellite at this address and port.
    Satellite(Listen, Settings),
    /// `--completions`: print completions for this shell.
    Completions(Shell),
    /// `--man`: print the manual page.
    Manual,
    /// `--pipe-names`: print names for completions.
    PipeNames,
    /// `--local-satellite`: run this machine's own satellite.
    LocalSatellite(Settings),
}

/// A shell for which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// The key that `--invite` creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The name of the key. If it is empty, skypipe chooses one.
    pub name: String,
    /// What the key allows: reading, writing, managing.
    pub rights: Rights,
    /// The patterns of pipes that the key is valid for. None means every pipe.
    pub pipes: Vec<String>,
    /// The lifetime of the key. `None` means that it does not expire.
    pub expires: Option<Duration>,
    /// How many bytes written by the key may wait. `None` means the key's fair share.
    pub quota: Option<u64>,
    /// The machine's public keys, if the machine made its own seed.
    pub public_keys: Option<PublicKeys>,
    /// The data directory of the satellite, if it is on this machine.
    pub data: Option<PathBuf>,
}

/// The arguments of `--revoke`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The name of the key.
    pub name: String,
    /// Revoke without asking (`--yes`).
    pub yes: bool,
    /// Also drop the unread data that the key wrote.
    pub discard: bool,
    /// The data directory of the satellite, if it is on this machine.
    pub data: Option<PathBuf>,
}

/// The arguments of `--reset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The platform, if it was given.
    pub target: Option<String>,
    /// Do it without asking (`--yes`).
    pub yes: bool,
    /// `--app`, `--org` and `--json`.
    pub deploy: Deploy,
}

/// The arguments of `--setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The platform. The user is asked if it is `None`.
    pub target: Option<String>,
    /// The other flags of a deployment.
    pub deploy: Deploy,
    /// The host, perhaps with a port, at which other machines reach the satellite.
    pub public: Option<Public>,
}

/// A transfer between a pipe and stdin or stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// The pipe's normalized name.
    pub name: String,
    /// The direction.
    pub way: Way,
    /// `--timeout` and `--connect-timeout`.
    pub timeouts: Timeouts,
    /// `--progress` and `--no-progress`.
    pub progress: Wanted,
    /// The command whose output is written, with its arguments. If it is empty, stdin is written.
    pub command: Vec<OsString>,
}

/// The direction of the bytes, as far as the flags determine it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// No flag says; the kind of stdin decides.
    Unsaid,
    /// Read from the pipe.
    Read(Mode),
    /// Write into the pipe.
    Write {
        /// Whether `-w` itself was given. Then an empty stdin makes an empty stream.
        said: bool,
        /// Whether exit 0 waits for listeners to confirm everything.
        wait: bool,
        /// Whether listeners get the stream only once it has ended.
        whole: bool,
        /// Whether and how the stream is compressed.
        compress: Compression,
    },
}

/// Why parsing returned no [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or the version was asked for: the text for stdout.
    Show(String),
    /// The flags are invalid: a sentence for stderr.
    Usage(String),
}
