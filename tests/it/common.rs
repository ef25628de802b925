//! The harness for tests with the real programs. Each test has a home directory, an environment and
//! processes of its own.
//!
//! An [`Environment`] is the home directory of every program started through it. These programs get only
//! `HOME` and `PATH` from it (and `SATELLITE`, if it has a satellite on a port). When a handle or the
//! environment is dropped, its processes are killed and reaped, each by its own pid, a satellite that
//! started by itself included. Tests wait for conditions, each with a deadline ([`wait`]). A [`watchdog`]
//! ends the run if a test hangs all the same.

pub mod chance;
pub mod dealer;
pub mod deployed;
pub mod gathered;
pub mod json;
pub mod launch;
pub mod listing;
pub mod network;
pub mod outcome;
pub mod parts;
pub mod podman;
pub mod process;
pub mod relay;
pub mod satellite;
pub mod terminal;
pub mod wait;
pub mod watchdog;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use self::outcome::Outcome;
use self::process::Run;
use self::satellite::Satellite;
use self::watchdog::Watchdog;

/// The path of the program under test.
pub const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

/// How long an ordinary test may take before the run is aborted.
const TEST_DEADLINE: Duration = Duration::from_secs(60);

/// One user on one machine.
pub struct Environment {
    home: PathBuf,
    /// A satellite on a loopback port. `None` if programs use the one that starts by itself.
    sky: Option<Satellite>,
    /// The endpoint of that satellite, kept after its end.
    endpoint: Option<String>,
    /// A wrapper program with its arguments, through which all others are started.
    entrance: Vec<String>,
    /// The last field, so that a test that hangs during cleanup is aborted as well.
    _watchdog: Watchdog,
}

impl Environment {
    /// A new home, with the satellite that starts by itself.
    pub fn here() -> Self {
        Self::with_home("")
    }

    /// The same, with the home at `below` in the test's own directory.
    pub fn with_home(below: &str) -> Self {
        Self::with(below, TEST_DEADLINE)
    }

    /// A new home, for a test that may take longer.
    pub fn here_within(deadline: Duration) -> Self {
        Self::with("", deadline)
    }

    /// A new home, and a satellite on a free loopback port, started with `flags`.
    pub fn sky(flags: &[&str]) -> Self {
        Self::sky_within(flags, TEST_DEADLINE)
    }

    /// The same, for a test that may take longer.
    pub fn sky_within(flags: &[&str], deadline: Duration) -> Self {
        let mut environment = Self::with("", deadline);
        environment.lead(environment.satellite(flags));
        environment
    }

    /// Programs started from now on use this satellite.
    pub fn lead(&mut self, satellite: Satellite) {
        self.endpoint = Some(satellite.endpoint().to_owned());
        self.sky = Some(satellite);
    }

    /// Programs started from now on use this endpoint.
    pub fn leads_to(&mut self, endpoint: &str) {
        self.endpoint = Some(endpoint.to_owned());
    }

    /// Kills the satellite on a port, if there is one.
    pub fn end_sky(&mut self) {
        drop(self.sky.take());
    }

    /// Hands out the satellite on a port. Programs started from now on still use its endpoint.
    pub fn take_sky(&mut self) -> Satellite {
        self.sky.take().expect("the environment has one")
    }

    /// Kills the satellite on a port with SIGKILL, and starts it again at the same endpoint. Returns the
    /// outcome of the killed one.
    pub fn kill_and_restart_sky(&mut self, flags: &[&str]) -> Outcome {
        let outcome = self.take_sky().kill();
        self.restart_sky(flags);
        outcome
    }

    /// Starts the satellite on a port again, at its previous endpoint.
    pub fn restart_sky(&mut self, flags: &[&str]) {
        let endpoint = self.endpoint.as_deref().expect("there was one");
        let address = endpoint.trim_start_matches("tcp://");
        self.sky = Some(Satellite::start_at(self, address, flags));
    }

    fn with(below: &str, deadline: Duration) -> Self {
        let root = unused_directory();
        let home = root.join(below);
        fs::create_dir_all(&home).expect("there is room for a home");
        let watchdog = Watchdog::start(root, home.clone(), deadline);
        Self {
            home,
            sky: None,
            endpoint: None,
            entrance: Vec::new(),
            _watchdog: watchdog,
        }
    }

    /// Starts another satellite. Programs do not use it unless told to.
    pub fn satellite(&self, flags: &[&str]) -> Satellite {
        Satellite::start(self, flags)
    }

    /// The same, at this address.
    pub fn satellite_at(&self, address: &str, flags: &[&str]) -> Satellite {
        Satellite::start_at(self, address, flags)
    }

    /// The environment's satellite on a port.
    pub fn on_port(&self) -> &Satellite {
        self.sky.as_ref().expect("the environment has one")
    }

    /// `skypipe ARGUMENTS`, not yet started.
    pub fn skypipe(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SKYPIPE);
        command.args(arguments);
        self.run(command, &format!("skypipe {}", arguments.join(" ")))
    }

    /// A script for `sh`, which finds `skypipe` on its path, not yet started.
    pub fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        self.run(command, script)
    }

    /// Programs started from now on are started through this wrapper.
    pub fn enter(&mut self, entrance: Vec<String>) {
        self.entrance = entrance;
    }

    /// Any program, to be run in the environment.
    pub fn run(&self, mut command: Command, name: &str) -> Run {
        if let [program, arguments @ ..] = &*self.entrance {
            let mut entering = Command::new(program);
            entering
                .args(arguments)
                .arg(command.get_program())
                .args(command.get_args());
            command = entering;
        }
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", path())
            .current_dir(&self.home);
        if let Some(endpoint) = &self.endpoint {
            command.env("SATELLITE", endpoint);
        }
        Run::new(command, name)
    }

    /// The home directory, which is also the working directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The directory of the satellite that starts by itself.
    pub fn state(&self) -> PathBuf {
        self.home.join(".local/state/skypipe")
    }

    /// Writes a file in the home directory.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.home.join(name), bytes).expect("there is room for a file");
    }

    /// The content of a file in the home directory. Empty if there is no file.
    pub fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.home.join(name)).unwrap_or_default()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.state().join("satellite.log"));
            eprintln!("the satellite's log: {}", log.unwrap_or_default());
        }
        satellite::end_local(self);
    }
}

/// A directory for this test alone, below the one that cargo keeps for tests.
fn unused_directory() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("e2e-{}-{number}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The search path: the program under test comes first.
fn path() -> OsString {
    let mut path = Path::new(SKYPIPE)
        .parent()
        .expect("a program lies in a directory")
        .as_os_str()
        .to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    path
}
