//! What differs between platforms.
//!
//! Owns the interface to them. Each platform is one module and implements [`Host`]; the order of the
//! steps is in [`super::launch`]. No platform knows what a pipe is.

use super::console::Console;
use super::image::Architecture;
use super::plan::{Existing, Program, Settings};
use crate::exit::Failure;

/// A deployed satellite, or one whose launch is unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The satellite's name on its platform: the name of an app or a container, or a directory.
    /// People see it, and this machine's record keeps it.
    pub name: String,
    /// The version in the satellite's label; `None` while there is no label.
    pub version: Option<String>,
    /// The owner in the satellite's metadata; `None` while there is none.
    pub owner: Option<String>,
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

/// Why a satellite does not run as planned.
#[derive(Debug)]
pub enum RunError {
    /// Nothing was changed, or nobody knows: there is nothing to put back.
    Refused(Failure),
    /// The satellite was changed, and does not work.
    Broken(Failure),
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// A platform on which a satellite can be deployed: an account, a machine, an engine. Creating one
/// sends nothing; each call then sends what it needs.
///
/// Every call can be repeated. If a call fails half-way, the next one finds what is left and
/// continues or cleans up. Only [`Host::remove`] deletes data.
pub trait Host {
    /// Finds the satellite by its metadata, whichever machine deployed it. It also finds a
    /// satellite that has stopped, and one whose launch did not finish.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, with the platform's own words. "There is no satellite"
    /// is no error.
    fn find(&mut self, console: &mut dyn Console) -> Result<Option<Found>, Failure>;

    /// Reports what a launch has to keep. Changes nothing: the satellite may be another's.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried.
    fn inspect(&mut self, found: Option<&Found>) -> Result<Existing, Failure>;

    /// The processor for which the program has to be built.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, or has another one than satellites are built for.
    fn architecture(&mut self) -> Result<Architecture, Failure>;

    /// Repairs what an interrupted launch left behind, asks the person what is left open, makes what
    /// a satellite needs before its program, such as a volume, and returns the satellite's name. What
    /// exists already is used.
    ///
    /// # Errors
    ///
    /// When these settings cannot be had here, or something cannot be made.
    fn prepare(
        &mut self,
        settings: &Settings,
        console: &mut dyn Console,
    ) -> Result<String, Failure>;

    /// Stores a program, and returns its name for [`Settings::program`]. What runs is not touched.
    ///
    /// # Errors
    ///
    /// When the program cannot be stored.
    fn put(
        &mut self,
        program: &Program,
        version: &str,
        console: &mut dyn Console,
    ) -> Result<String, Failure>;

    /// Makes the satellite run with these settings, and waits until it works. A satellite that runs
    /// with them already is unchanged. Afterwards, nothing of a replaced program is left.
    ///
    /// # Errors
    ///
    /// When the satellite does not get to work. If it was changed, the former one can be restored.
    fn run(&mut self, settings: &Settings, console: &mut dyn Console) -> Result<(), RunError>;

    /// Puts back the satellite that [`Host::inspect`] saw, after `run` broke it.
    ///
    /// # Errors
    ///
    /// When the former satellite does not work either.
    fn restore(&mut self, console: &mut dyn Console) -> Result<(), Failure>;

    /// The address at which this machine reaches the satellite, as the platform reports it now:
    /// `host:port`, an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, or does not know the address.
    fn endpoint(&mut self, found: &Found) -> Result<String, Failure>;

    /// Runs `skypipe ARGUMENTS` next to the satellite and returns its stdout. `--data` and the
    /// satellite's data directory are appended to the arguments. The command is never run twice.
    ///
    /// # Errors
    ///
    /// When the command cannot be run, or exits with another code than 0. The error quotes its
    /// stderr.
    fn exec(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure>;

    /// Removes the satellite and everything that was made for it: program, data, addresses. This
    /// checks that nothing is left. A part that is gone already is no error.
    ///
    /// # Errors
    ///
    /// When something is left. The error says what.
    fn remove(&mut self, found: &Found, console: &mut dyn Console) -> Result<(), Failure>;
}
