//! Satellites on a port, and stopping the one that starts by itself.

use std::fs;
use std::time::Duration;

use super::Environment;
use super::outcome::Outcome;
use super::process::Process;
use super::wait;
use super::watchdog;

/// The most memory that a satellite with the default budget of 64 MiB may ever have, in bytes: 64 MiB more.
pub const PEAK: u64 = 128 << 20;

/// How long a satellite may take to stop before it is killed.
const GOODBYE: Duration = Duration::from_secs(10);

/// The unit of times in `/proc/PID/stat`: Linux tells programs of 100 ticks a second.
const TICK: Duration = Duration::from_millis(10);

/// A listening `skypipe --satellite 127.0.0.1:0`.
pub struct Satellite {
    process: Process,
    endpoint: String,
}

impl Satellite {
    /// Starts a satellite in `environment` and reads its endpoint from its stderr.
    pub fn start(environment: &Environment, flags: &[&str]) -> Self {
        Self::start_at(environment, "127.0.0.1:0", flags)
    }

    /// The same, at this address.
    pub fn start_at(environment: &Environment, address: &str, flags: &[&str]) -> Self {
        let arguments = [&["--satellite", address], flags].concat();
        Self::listening(environment.skypipe(&arguments).start())
    }

    /// Waits until the satellite `process` listens.
    pub fn listening(process: Process) -> Self {
        process.complains("listening on tcp://");
        let said = process.said();
        let endpoint = said
            .lines()
            .find_map(|line| line.strip_prefix("listening on "));
        let endpoint = endpoint.expect("the line is there").to_owned();
        Self { process, endpoint }
    }

    /// The endpoint, in the form of `SATELLITE`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end.
    pub fn outcome(self) -> Outcome {
        self.process.outcome()
    }

    /// Stops it, and waits for its end.
    pub fn end(self) -> Outcome {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.outcome()
    }

    /// Waits until it ends by itself.
    pub fn ended(self) -> Outcome {
        self.process.outcome()
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub fn kill(self) -> Outcome {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.outcome()
    }

    /// Its peak resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.process.pid())
    }

    /// Its resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        memory(self.process.pid(), "VmRSS:")
    }

    /// How long it has had a processor, in all its threads.
    pub fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.pid());
        let stat = fs::read_to_string(path).expect("the process runs");
        // The first two fields are the pid and the name, which is in brackets.
        let (_, fields) = stat.rsplit_once(')').expect("Linux tells");
        let times = fields.split_whitespace().skip(14 - 3).take(2);
        TICK * times
            .map(|time| time.parse::<u32>().expect("a number"))
            .sum::<u32>()
    }

    /// The number of its open descriptors.
    pub fn open_files(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.process.pid());
        fs::read_dir(directory).expect("the process runs").count()
    }
}

/// The peak resident memory of the process `pid`, in bytes.
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

/// The pid of the satellite that started by itself, if one runs.
pub fn local_pid(environment: &Environment) -> Option<u32> {
    let written = fs::read_to_string(environment.state().join("satellite.lock")).ok()?;
    let pid = written.trim().parse().ok()?;
    watchdog::is_local_satellite(pid).then_some(pid)
}

/// Stops the satellite that started by itself, as its user would. If that fails, kills it.
pub fn end_local(environment: &Environment) {
    let Some(pid) = local_pid(environment) else {
        return;
    };
    let reset = environment.skypipe(&["--reset", "--yes"]);
    // A failed test may have left the satellite suspended; the cleanup must not hang on it.
    let _ = rustix::process::kill_process(watchdog::number(pid), rustix::process::Signal::CONT);
    let asked = reset.without("SATELLITE").start();
    let gone = || !watchdog::is_local_satellite(pid);
    if !wait::holds_within(GOODBYE, gone) {
        eprintln!("the satellite {pid} did not stop: {}", asked.said());
        watchdog::kill_local(environment.home());
    }
}
