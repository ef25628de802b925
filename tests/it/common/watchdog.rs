//! The deadline of each test, and the killing of everything that a test over its deadline has started.
//!
//! A hang is the likeliest bug of a pipe. If a test hangs in spite of the deadlines of its waits, its name
//! is printed and the whole run is aborted.

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

/// Everything to kill before the run is aborted: processes that lead their own group, and homes in which a
/// satellite may have started by itself.
static RUNNING: LazyLock<Mutex<Running>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Running {
    leaders: HashMap<u32, String>,
    homes: Vec<PathBuf>,
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that the process `pid`, a process group leader, was started.
pub fn started(pid: u32, name: &str) {
    running().leaders.insert(pid, name.to_owned());
}

/// Records that the process `pid` was reaped.
pub fn reaped(pid: u32) {
    running().leaders.remove(&pid);
}

/// Watches one test until it is dropped. Then it removes the test's directory, unless the test has failed
/// and somebody may want to look.
pub struct Watchdog {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: PathBuf,
    home: PathBuf,
}

impl Watchdog {
    /// Sets this deadline for the calling test.
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

/// Prints straight to stderr, because a test's prints are held back until its end.
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

/// Sends a signal to the process group of `pid`.
pub fn signal_group(pid: u32, signal: Signal) {
    let _ = kill_process_group(number(pid), signal);
}

/// Kills the satellite that started by itself in `home`, if there is one. The lock's content and the
/// process's command line identify it, because pids are reused.
pub fn kill_local(home: &Path) {
    let written = fs::read_to_string(home.join(".local/state/skypipe/satellite.lock"));
    let pid = written.ok().and_then(|text| text.trim().parse().ok());
    if let Some(pid) = pid.filter(|pid| is_local_satellite(*pid)) {
        let _ = kill_process(number(pid), Signal::KILL);
    }
}

/// Whether the process `pid` is a satellite that started by itself.
pub fn is_local_satellite(pid: u32) -> bool {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split('\0')
        .any(|argument| argument == "--local-satellite")
}

/// A process id for system calls.
pub fn number(pid: u32) -> Pid {
    let pid = i32::try_from(pid).expect("a process has a small number");
    Pid::from_raw(pid).expect("a process has a number")
}
