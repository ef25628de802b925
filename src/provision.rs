//! The satellite in the sky: what it takes to deploy one, find it again and end it.
//!
//! Owns the interface to platforms ([`Provider`]) and what is the same on all of them. Each platform
//! is one file; none of them knows what a pipe is.

pub mod docker;
pub mod finding;
pub mod fly;
pub mod http;
pub mod image;
pub mod record;
pub mod reset;
pub mod setup;
pub mod ssh;
pub mod ssh_program;
pub mod talk;
pub mod target;

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::exit::Failure;

/// The port at which a satellite is reached if nothing else is said.
pub const PORT: u16 = 9000;

/// What is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version of this program, as `1.0.0`; what is launched is labelled with it.
    pub version: String,
    /// The public halves of the founder's keys, as text without white space: no secret. They go to the
    /// satellite as `--founder` and into the platform's metadata, and are kept there by upgrades.
    pub founder: String,
    /// The port at which the satellite is reached from outside, if the user said so; else the one it has,
    /// or [`PORT`].
    pub port: Option<u16>,
    /// Under which host (without a port) others reach it, if the user said so; else the provider finds out.
    pub public: Option<String>,
    /// `--satellite-binary`: an executable that is deployed instead of this program.
    pub binary: Option<PathBuf>,
    /// `--image`: an image in a registry that is deployed instead.
    pub image: Option<String>,
}

impl Plan {
    /// The command line of a satellite, without the program's name. `data` is its directory there,
    /// `listen` an address with a port such as `0.0.0.0:9000`, `public` is `host:port`.
    #[must_use]
    pub fn arguments(&self, listen: &str, data: &str, public: &str) -> Vec<String> {
        // A key may begin with a dash, and must not be taken for a flag.
        let founder = format!("--founder={}", self.founder);
        let words = [
            "--satellite",
            listen,
            "--data",
            data,
            "--public",
            public,
            &founder,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// A satellite that was deployed, or the beginnings of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What identifies it on its platform, for people and for the record this machine keeps (an app's
    /// name, a container's name, a directory).
    pub name: String,
    /// The version that its label says; none if it has none (yet).
    pub version: Option<String>,
    /// The founder that its metadata names; none if there is none (yet).
    pub founder: Option<String>,
    /// How far it is.
    pub state: State,
}

/// How far a deployed satellite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was launched, and the platform says that it runs.
    Running,
    /// It was launched, and does not run now.
    Stopped,
    /// A launch has begun and did not get to its end.
    Unfinished,
}

/// A platform on which satellites can be deployed. An implementation is made for one target (an account,
/// a host, an engine), without talking to it; each call then talks as much as it has to.
///
/// All calls can be repeated: what a call that failed half-way left behind is found, and is gone on with
/// or cleaned up by the next. No call destroys data but `destroy`.
pub trait Provider {
    /// The satellite that was deployed to this target, by whichever machine, told by its metadata; also
    /// one that runs no more, or one whose launch did not get to its end.
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked, with its own words. Never for "there is none".
    fn find(&mut self, talk: &mut dyn Talk) -> Result<Option<Found>, Failure>;

    /// Deploys a satellite; or, where `found` is one, goes on with its launch, starts it again or
    /// replaces its program, with its data, founder and address kept. Returns when the platform says that it runs.
    ///
    /// # Errors
    ///
    /// When it did not get that far; what is there is left to be gone on with, or is cleaned up.
    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure>;

    /// Where this machine reaches it, as the platform says now: `host:port`, an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked or does not know.
    fn endpoint(&mut self, found: &Found) -> Result<String, Failure>;

    /// Runs `skypipe ARGUMENTS` beside the satellite, with `--data` and its directory there appended; returns
    /// its stdout.
    ///
    /// # Errors
    ///
    /// When it cannot be run, or exits with another code than 0: with what its stderr said.
    fn beside(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure>;

    /// Ends it, with all it has: program, data, addresses, whatever `launch` made. Nothing of it is left, and
    /// that is looked at. What is gone already is no failure.
    ///
    /// # Errors
    ///
    /// When something is left, with what it is.
    fn destroy(&mut self, found: &Found, talk: &mut dyn Talk) -> Result<(), Failure>;
}

/// One answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it is called where a flag names it.
    pub name: String,
    /// A few words on what it means.
    pub about: String,
}

/// What is said to the person and asked of them meanwhile.
pub trait Talk {
    /// A step begins that may take its time: "push the image". The step before is over.
    fn begin(&mut self, step: &str);

    /// The step that was begun is over, with a detail if there is one to tell ("5.1 MB").
    fn done(&mut self, detail: &str);

    /// Something to know, a sentence without its full stop.
    fn say(&mut self, sentence: &str);

    /// Asks for one of several. Where nobody can be asked, that is a usage failure that names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn choose(&mut self, question: &str, choices: &[Choice], flag: &str) -> Result<usize, Failure>;

    /// Asks for a line of text. Where nobody can be asked, that is a usage failure that names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn text(&mut self, question: &str, flag: &str) -> Result<String, Failure>;

    /// Asks for yes or no; where nobody can be asked, `None`.
    ///
    /// # Errors
    ///
    /// When there is no answer at the terminal.
    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure>;

    /// Asks for a secret, hidden. Where nobody can be asked, a usage failure that says `instead`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn secret(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, Failure>;
}

/// A host as it is written before a colon and a port: an IPv6 address goes in brackets.
#[must_use]
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// How large something is that is sent, for people.
#[must_use]
pub fn megabytes(bytes: usize) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
