//! The deadline of each test, and the end of all that a test that missed it has started.
//!
//! A hang is a pipe's likeliest bug. A test that hangs in spite of the deadlines of its waits is
//! ended with the whole run, after its name was said.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// All that runs, to be ended before the run is given up: processes that lead a group of their
/// own, and homes in which a satellite may have started by itself.
static RUNNING: LazyLock<Mutex<Running>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Running {
    leaders: HashMap<u32, String>,
    homes: Vec<PathBuf>,
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that the process `pid`, the leader of a group of its own, has been started.
pub fn started(pid: u32, name: &str) {
    running().leaders.insert(pid, name.to_owned());
}

/// Notes that the process `pid` has been reaped.
pub fn reaped(pid: u32) {
    running().leaders.remove(&pid);
}

/// Watches one test until it is dropped, and removes the test's directory then, unless the test has
/// failed and somebody may want to look.
pub struct Watchdog {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: PathBuf,
    home: PathBuf,
}

impl Watchdog {
    /// Gives the test that calls this so much time.
    pub fn start(directory: PathBuf, home: PathBuf, deadline: Duration) -> Self {
        running().homes.push(home.clone());
        let test = thread::current()
            .name()
            .unwrap_or("a test without a name")
            .to_owned();
        let (over, ended) = channel();
        let watch = move || {
            if ended.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                give_up(&test, deadline);
            }
        };
        Self {
            over: Some(over),
            thread: Some(thread::spawn(watch)),
            directory,
            home,
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        running().homes.retain(|home| *home != self.home);
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Says so straight to stderr, since what a test prints is kept back until its end.
fn give_up(test: &str, deadline: Duration) -> ! {
    let running = running();
    let mut said = format!("{test} has not ended after {deadline:?}; what runs at present:\n");
    for (pid, name) in &running.leaders {
        let _ = writeln!(said, "  {pid}: {name}");
        signal_group(*pid, Signal::KILL);
    }
    let _ = io::stderr().write_all(said.as_bytes());
    for home in &running.homes {
        kill_local(home);
    }
    process::abort();
}

/// Sends a signal to the group that the process `pid` leads.
pub fn signal_group(pid: u32, signal: Signal) {
    let _ = kill_process_group(number(pid), signal);
}

/// Kills the satellite that started by itself in `home`, if there is one. Whether there is it tells
/// by its lock's content and its own command line, since numbers are used again.
pub fn kill_local(home: &Path) {
    let written = fs::read_to_string(home.join(".local/state/skypipe/satellite.lock"));
    let pid = written.ok().and_then(|text| text.trim().parse().ok());
    if let Some(pid) = pid.filter(|pid| is_local_satellite(*pid)) {
        let _ = kill_process(number(pid), Signal::KILL);
    }
}

/// Whether the process `pid` is a satellite of the kind that starts by itself.
pub fn is_local_satellite(pid: u32) -> bool {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split('\0')
        .any(|argument| argument == "--local-satellite")
}

/// A process's number as the system calls take it.
pub fn number(pid: u32) -> Pid {
    let pid = i32::try_from(pid).expect("a process has a small number");
    Pid::from_raw(pid).expect("a process has a number")
}
