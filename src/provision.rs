//! Deploying, finding and destroying a remote satellite.
//!
//! Owns the interface to platforms ([`Provider`]) and everything that is the same on all of them.
//! Each platform is one file. No platform knows what a pipe is.

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

/// The port of a satellite unless the user or the platform names another.
pub const PORT: u16 = 9000;

/// What to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version of this program, such as `1.0.0`. The satellite is labelled with it.
    pub version: String,
    /// The public keys of the founder, as text without white space. They are no secret. The
    /// satellite gets them as `--founder`. The platform's metadata holds them too, and upgrades
    /// keep them there.
    pub founder: String,
    /// The port at which others reach the satellite, if the user named one. `None` keeps the port
    /// that the satellite has; a new satellite gets [`PORT`].
    pub port: Option<u16>,
    /// The host (without a port) under which others reach the satellite, if the user named one.
    /// `None` lets the provider find out.
    pub public: Option<String>,
    /// `--satellite-binary`: an executable to deploy instead of this program.
    pub binary: Option<PathBuf>,
    /// `--image`: an image in a registry to deploy instead of this program.
    pub image: Option<String>,
}

impl Plan {
    /// The arguments of the satellite, without the program's name. `data` is the data directory on
    /// the remote machine, `listen` is an address with a port such as `0.0.0.0:9000`, and `public`
    /// is `host:port`.
    #[must_use]
    pub fn arguments(&self, listen: &str, data: &str, public: &str) -> Vec<String> {
        // A key may begin with a dash. The `=` keeps it from being read as a flag.
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

/// A deployed satellite, or one whose launch is unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The satellite's name on its platform: the name of an app or a container, or a directory.
    /// People see it, and this machine's record keeps it.
    pub name: String,
    /// The version in the satellite's label; `None` while there is no label.
    pub version: Option<String>,
    /// The founder in the satellite's metadata; `None` while there is none.
    pub founder: Option<String>,
    /// How far the launch got, and whether the satellite runs.
    pub state: State,
}

/// The state of a deployed satellite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The launch finished, and the platform reports the satellite as running.
    Running,
    /// The launch finished, and the satellite is not running now.
    Stopped,
    /// A launch began and did not finish.
    Unfinished,
}

/// A platform on which satellites can be deployed. Creating a provider for a target (an account, a
/// host, an engine) sends nothing to that target. Each call then sends what it needs.
///
/// Every call can be repeated. If a call fails half-way, the next call finds what is left and
/// continues or cleans up. Only `destroy` deletes data.
pub trait Provider {
    /// Finds the satellite of this target by its metadata, whichever machine deployed it. It also
    /// finds a satellite that has stopped, and one whose launch did not finish.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, with the platform's own words. "There is no satellite"
    /// is no error.
    fn find(&mut self, talk: &mut dyn Talk) -> Result<Option<Found>, Failure>;

    /// Deploys a satellite. Where `found` is one, this continues its launch, starts it again or
    /// replaces its program; its data, founder and address are kept. Returns when the platform
    /// reports the satellite as running.
    ///
    /// # Errors
    ///
    /// When the satellite does not get to run. What was made is left for the next launch, or is
    /// cleaned up.
    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure>;

    /// The address at which this machine reaches the satellite, as the platform reports it now:
    /// `host:port`, an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, or does not know the address.
    fn endpoint(&mut self, found: &Found) -> Result<String, Failure>;

    /// Runs `skypipe ARGUMENTS` next to the satellite and returns its stdout. `--data` and the
    /// satellite's data directory are appended to the arguments.
    ///
    /// # Errors
    ///
    /// When the command cannot be run, or exits with another code than 0. The error quotes its
    /// stderr.
    fn beside(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure>;

    /// Destroys the satellite and everything that `launch` made for it: program, data, addresses.
    /// This checks that nothing is left. A part that is gone already is no error.
    ///
    /// # Errors
    ///
    /// When something is left. The error says what.
    fn destroy(&mut self, found: &Found, talk: &mut dyn Talk) -> Result<(), Failure>;
}

/// One answer that a person can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The answer's name, as a flag takes it.
    pub name: String,
    /// A few words on what the answer means.
    pub about: String,
}

/// Shows messages to the person and asks the person questions during a deployment.
pub trait Talk {
    /// Begins a step that may take time, such as "push the image". The previous step is finished.
    fn begin(&mut self, step: &str);

    /// Finishes the current step. `detail` is shown with it unless it is empty ("5.1 MB").
    fn done(&mut self, detail: &str);

    /// Shows a message: a sentence without its full stop.
    fn say(&mut self, sentence: &str);

    /// Asks the person to choose one of several answers. If nobody can be asked, this is a usage
    /// failure that names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn choose(&mut self, question: &str, choices: &[Choice], flag: &str) -> Result<usize, Failure>;

    /// Asks the person for a line of text. If nobody can be asked, this is a usage failure that
    /// names `flag`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn text(&mut self, question: &str, flag: &str) -> Result<String, Failure>;

    /// Asks the person for yes or no. Returns `None` if nobody can be asked.
    ///
    /// # Errors
    ///
    /// When there is no answer at the terminal.
    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure>;

    /// Asks the person for a secret, without showing the input. If nobody can be asked, this is a
    /// usage failure that says `instead`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn secret(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, Failure>;
}

/// The host as it is written before a colon and a port: an IPv6 address gets brackets.
#[must_use]
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// The size of something that is sent, in megabytes, for people.
#[must_use]
pub fn megabytes(bytes: usize) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
