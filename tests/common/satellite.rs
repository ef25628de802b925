//! Satellites: those on a port, and the end of the one that starts by itself.

use std::fs;
use std::time::Duration;

use super::Environment;
use super::outcome::Outcome;
use super::process::Process;
use super::wait;
use super::watchdog;

/// How long a satellite that was told to stop may take before it is killed.
const GOODBYE: Duration = Duration::from_secs(10);

/// `skypipe --satellite 127.0.0.1:0`, listening.
pub struct Satellite {
    process: Process,
    endpoint: String,
}

impl Satellite {
    /// Starts one in `environment` and reads from its stderr where it listens.
    pub fn start(environment: &Environment, flags: &[&str]) -> Self {
        Self::start_at(environment, "127.0.0.1:0", flags)
    }

    /// The same, at this address.
    pub fn start_at(environment: &Environment, address: &str, flags: &[&str]) -> Self {
        let arguments = [&["--satellite", address], flags].concat();
        Self::listening(environment.skypipe(&arguments).start())
    }

    /// The satellite that `process` is, as soon as it listens.
    pub fn listening(process: Process) -> Self {
        process.complains("listening on tcp://");
        let said = process.said();
        let endpoint = said
            .lines()
            .find_map(|line| line.strip_prefix("listening on "));
        let endpoint = endpoint.expect("the line is there").to_owned();
        Self { process, endpoint }
    }

    /// Where it listens, as `SATELLITE` is written.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end.
    pub fn outcome(self) -> Outcome {
        self.process.outcome()
    }

    /// Ends it, and waits for its end.
    pub fn end(self) -> Outcome {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.outcome()
    }

    /// Waits until it ends by itself.
    pub fn ended(self) -> Outcome {
        self.process.outcome()
    }

    /// Kills it without a word, and waits for its end.
    pub fn kill(self) -> Outcome {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.outcome()
    }

    /// The most memory it has had in use at once, in bytes.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.process.pid())
    }

    /// The memory it has in use, in bytes.
    pub fn memory(&self) -> u64 {
        memory(self.process.pid(), "VmRSS:")
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.process.pid());
        fs::read_dir(directory).expect("the process runs").count()
    }
}

/// The most memory that the process `pid` has had in use at once, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

/// A figure of `/proc/PID/status`, in bytes.
fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = value.and_then(|kib| kib.parse().ok()).expect("Linux tells");
    kib << 10
}

/// The process of the satellite that has started by itself, if one runs.
pub fn local_pid(environment: &Environment) -> Option<u32> {
    let written = fs::read_to_string(environment.state().join("satellite.lock")).ok()?;
    let pid = written.trim().parse().ok()?;
    watchdog::is_local_satellite(pid).then_some(pid)
}

/// Ends the satellite that has started by itself: as its user would, else by force.
pub fn end_local(environment: &Environment) {
    let Some(pid) = local_pid(environment) else {
        return;
    };
    let reset = environment.skypipe(&["--reset", "--yes"]);
    // It could be stopped: a test that stops it and fails must not hang on it.
    let _ = rustix::process::kill_process(watchdog::number(pid), rustix::process::Signal::CONT);
    let asked = reset.without("SATELLITE").start();
    let gone = || !watchdog::is_local_satellite(pid);
    if !wait::holds_within(GOODBYE, gone) {
        eprintln!("the satellite {pid} did not stop: {}", asked.said());
        watchdog::kill_local(environment.home());
    }
}
