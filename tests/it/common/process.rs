//! A running program: its stdin, its output, and its end.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::gathered::{Gathered, lock};
use super::outcome::{Outcome, excerpt};
use super::terminal::{self, Terminal};
use super::wait::{self, PATIENCE};
use super::watchdog;

/// A program that was not started yet. Its stdin is `/dev/null` by default.
pub struct Run {
    command: Command,
    name: String,
    patience: Duration,
    is_held: bool,
    has_terminal: bool,
}

impl Run {
    /// See [`Environment::run`](super::Environment::run).
    pub fn new(mut command: Command, name: &str) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            name: name.to_owned(),
            patience: PATIENCE,
            is_held: false,
            has_terminal: false,
        }
    }

    /// Sets an environment variable.
    pub fn var(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets stdin.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Makes stdin a pipe into which the test writes.
    pub fn piped(self) -> Self {
        self.stdin(Stdio::piped())
    }

    /// Sets stdout.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Sets stderr.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Makes stdout a pipe that only the test reads.
    pub fn held(mut self) -> Self {
        self.is_held = true;
        self
    }

    /// Makes this terminal the controlling one, and stdin, stdout and stderr.
    pub fn on(mut self, terminal: &Terminal) -> Self {
        self.has_terminal = true;
        self.stdin(terminal.side())
            .stdout(terminal.side())
            .stderr(terminal.side())
    }

    /// Sets the timeout of each wait.
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the program.
    pub fn start(mut self) -> Process {
        if self.has_terminal {
            terminal::control(&mut self.command);
        } else {
            // Everything that a shell starts can then be killed together.
            self.command.process_group(0);
        }
        let started = Instant::now();
        let mut child = self.command.spawn().expect("the program is there");
        watchdog::started(child.id(), &self.name);
        let held = if self.is_held {
            child.stdout.take()
        } else {
            None
        };
        Process {
            pid: child.id(),
            name: self.name,
            patience: self.patience,
            started,
            stdin: Mutex::new(child.stdin.take()),
            held: Mutex::new(held),
            stdout: child.stdout.take().map(Gathered::from),
            stderr: child.stderr.take().map(Gathered::from),
            child: Mutex::new(child),
        }
    }

    /// Runs the program to its end.
    pub fn done(self) -> Outcome {
        self.start().outcome()
    }

    /// Runs the program to its end, with these bytes on a pipe as stdin.
    pub fn fed(self, bytes: impl AsRef<[u8]>) -> Outcome {
        let process = self.piped().start();
        let mut stdin = process.take_stdin();
        let bytes = bytes.as_ref().to_vec();
        // The program need not read everything.
        let feed = thread::spawn(move || drop(stdin.write_all(&bytes)));
        let outcome = process.outcome();
        feed.join().expect("writing does not panic");
        outcome
    }
}

/// A program that was started. Dropping it kills the program if it still runs, and reaps it.
pub struct Process {
    pid: u32,
    name: String,
    patience: Duration,
    started: Instant,
    stdin: Mutex<Option<ChildStdin>>,
    held: Mutex<Option<ChildStdout>>,
    stdout: Option<Gathered>,
    stderr: Option<Gathered>,
    child: Mutex<Child>,
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes to its stdin.
    pub fn say(&self, bytes: impl AsRef<[u8]>) {
        let mut stdin = lock(&self.stdin);
        let stdin = stdin.as_mut().expect("stdin is an open pipe");
        stdin.write_all(bytes.as_ref()).expect("somebody reads");
    }

    /// Closes its stdin.
    pub fn close_stdin(&self) {
        drop(lock(&self.stdin).take());
    }

    /// Hands the write end of its stdin to the test.
    pub fn take_stdin(&self) -> ChildStdin {
        lock(&self.stdin).take().expect("stdin is an open pipe")
    }

    /// Hands the read end of a [`Run::held`] stdout to the test.
    pub fn take_stdout(&self) -> ChildStdout {
        lock(&self.held).take().expect("stdout is held")
    }

    /// Waits until its stdout contains `text`.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.waits_for(self.stdout.as_ref(), text);
    }

    /// Waits until its stderr contains `text`.
    #[track_caller]
    pub fn complains(&self, text: &str) {
        self.waits_for(self.stderr.as_ref(), text);
    }

    #[track_caller]
    fn waits_for(&self, gathered: Option<&Gathered>, text: &str) {
        let gathered = gathered.expect("it is a pipe that is read");
        if !gathered.wait(self.patience, |bytes| contains(bytes, text)) {
            self.fault(&format!("{text:?} in vain"));
        }
    }

    /// Its stdout so far.
    pub fn shown(&self) -> Vec<u8> {
        let all = self.stdout.as_ref().map(Gathered::all);
        all.unwrap_or_default()
    }

    /// Its stderr so far.
    pub fn said(&self) -> String {
        let all = self.stderr.as_ref().map(Gathered::all).unwrap_or_default();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let sent = kill_process(watchdog::number(self.pid), signal);
        sent.expect("it is a process of ours that was not reaped");
    }

    /// Sends a signal to its process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        watchdog::signal_group(self.pid, signal);
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.status().is_none()
    }

    fn status(&self) -> Option<ExitStatus> {
        let mut child = lock(&self.child);
        let status = child.try_wait().expect("it is a child of ours");
        if status.is_some() {
            watchdog::reaped(self.pid);
        }
        status
    }

    /// Waits for its end.
    #[track_caller]
    pub fn outcome(self) -> Outcome {
        if !wait::holds_within(self.patience, || !self.runs()) {
            self.fault("its end in vain");
        }
        let took = self.started.elapsed();
        for gathered in self.stdout.iter().chain(&self.stderr) {
            // Other holders of the pipe, such as a shell's child, are waited for.
            if !gathered.wait_for_end(self.patience) {
                self.fault("the end of its stdout or stderr in vain");
            }
        }
        Outcome {
            name: self.name.clone(),
            code: self.status().and_then(code),
            stdout: self.shown(),
            stderr: self.said(),
            took,
        }
    }

    #[track_caller]
    fn fault(&self, what: &str) -> ! {
        let (stdout, stderr) = (excerpt(&self.shown()), self.said());
        let name = &self.name;
        panic!("`{name}`: waited for {what}; stdout: {stdout}\nstderr: {stderr}");
    }
}

/// The exit code in a shell's notation: 128 plus the number of the signal that killed it.
fn code(status: ExitStatus) -> Option<i32> {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
}

impl Drop for Process {
    fn drop(&mut self) {
        let status = self.status();
        if thread::panicking() {
            let (pid, name, said) = (self.pid, &self.name, self.said());
            let how = status.map_or("runs".to_owned(), |status| status.to_string());
            eprintln!("{pid} `{name}` {how}, stderr: {said}");
        }
        if status.is_none() {
            watchdog::signal_group(self.pid, Signal::KILL);
            let _ = lock(&self.child).wait();
            watchdog::reaped(self.pid);
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}
