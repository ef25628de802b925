//! What tests with the real programs share: each test a home, an environment and processes of its own.
//!
//! An [`Environment`] is a directory that is the home of every program started through it, with
//! nothing in their environment but `HOME` and `PATH` (and `SATELLITE`, if it has one on a port). All
//! that was started is ended and reaped, by its own number, when its handle or the environment is
//! dropped, the satellite that starts by itself included. Tests wait for conditions, each with a
//! deadline ([`wait`]), and a [`watchdog`] ends the run if a test hangs all the same.

#![allow(
    dead_code,
    reason = "each test program uses another part of what is here"
)]

pub mod chance;
pub mod dealer;
pub mod deployed;
pub mod gathered;
pub mod listing;
pub mod network;
pub mod outcome;
pub mod parts;
pub mod podman;
pub mod process;
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

/// The program under test.
pub const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

/// How long an ordinary test may take before the run is given up.
const TEST_DEADLINE: Duration = Duration::from_secs(60);

/// One user on one machine.
pub struct Environment {
    home: PathBuf,
    /// The satellite on a port of loopback, if not the one that starts by itself.
    sky: Option<Satellite>,
    /// Where it is, or was before its end.
    endpoint: Option<String>,
    /// The program through which all others are started, with its arguments.
    entrance: Vec<String>,
    /// Last, so that a test that hangs while it cleans up is ended as well.
    _watchdog: Watchdog,
}

impl Environment {
    /// A new home, and the satellite that starts there by itself.
    pub fn here() -> Self {
        Self::with_home("")
    }

    /// The same, in a home that lies at `below` in the test's own directory.
    pub fn with_home(below: &str) -> Self {
        Self::with(below, TEST_DEADLINE)
    }

    /// A new home, for a test that may take longer.
    pub fn here_within(deadline: Duration) -> Self {
        Self::with("", deadline)
    }

    /// A new home, and a satellite of its own on a free port of loopback, started with `flags`.
    pub fn sky(flags: &[&str]) -> Self {
        Self::sky_within(flags, TEST_DEADLINE)
    }

    /// The same, for a test that may take longer.
    pub fn sky_within(flags: &[&str], deadline: Duration) -> Self {
        let mut environment = Self::with("", deadline);
        environment.lead(environment.satellite(flags));
        environment
    }

    /// Everything started from now on uses this satellite.
    pub fn lead(&mut self, satellite: Satellite) {
        self.endpoint = Some(satellite.endpoint().to_owned());
        self.sky = Some(satellite);
    }

    /// Everything started from now on looks for its satellite there.
    pub fn leads_to(&mut self, endpoint: &str) {
        self.endpoint = Some(endpoint.to_owned());
    }

    /// Kills the satellite on a port, if there is one.
    pub fn end_sky(&mut self) {
        drop(self.sky.take());
    }

    /// Takes the satellite on a port away, to be ended; what is started looks for it all the same.
    pub fn take_sky(&mut self) -> Satellite {
        self.sky.take().expect("the environment has one")
    }

    /// Kills the satellite on a port without a word, and starts it again where it was. Returns how
    /// the first one ended.
    pub fn kill_and_restart_sky(&mut self, flags: &[&str]) -> Outcome {
        let outcome = self.take_sky().kill();
        self.restart_sky(flags);
        outcome
    }

    /// Starts the satellite on a port again, where it was before its end.
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

    /// Another satellite, which nobody uses unless told to.
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

    /// `skypipe ARGUMENTS`, to be run.
    pub fn skypipe(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SKYPIPE);
        command.args(arguments);
        self.run(command, &format!("skypipe {}", arguments.join(" ")))
    }

    /// A script for `sh`, which finds `skypipe` on its path, to be run.
    pub fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        self.run(command, script)
    }

    /// Everything started from now on is started through this program.
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

    /// The home directory, which is the working directory as well.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the satellite that starts by itself keeps its files.
    pub fn state(&self) -> PathBuf {
        self.home.join(".local/state/skypipe")
    }

    /// Makes a file in the home directory.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.home.join(name), bytes).expect("there is room for a file");
    }

    /// The content of a file in the home directory; nothing if there is none.
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

/// A directory of this test alone, below the one that cargo keeps for tests.
fn unused_directory() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("e2e-{}-{number}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Where programs are looked for: the one under test first.
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
