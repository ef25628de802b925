//! The programs at both ends of a channel, and their time limits.
//!
//! All running programs are recorded, so that a measure that takes too long can be ended: once they
//! are killed, whoever reads from one sees its end, and whoever writes to one fails.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long nothing may arrive before the rest counts as lost.
pub const SILENCE: Duration = Duration::from_secs(4);

/// The time limit of a measure.
const LIMIT: Duration = Duration::from_secs(60);

/// The line that wakes a reader before anything else is sent.
pub const WAKE: &[u8] = b"-\n";

/// The process ids of all clients that run and have not been waited for.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `what`, and kills all clients if it takes too long. A panic counts as an error.
pub fn attempt<T>(what: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || {
            let is_late = wait.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                running().iter().for_each(|pid| kill(*pid));
            }
            is_late
        });
        let result = panic::catch_unwind(AssertUnwindSafe(what));
        drop(done);
        if watchdog.join().unwrap_or(true) {
            return Err(format!("not done within {} s", LIMIT.as_secs()));
        }
        result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it panicked").to_owned())
        })
    })
}

fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}

/// A running program, which is killed when this is dropped.
pub struct Client(Child);

impl Client {
    /// Starts a program.
    pub fn spawn(mut command: Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn().expect("it was found on PATH");
        running().insert(child.id());
        Self(child)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The program's stdin. It can be taken once.
    pub fn input(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("its stdin is piped")
    }

    /// The program's stdout. It can be taken once.
    pub fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("its stdout is piped")
    }

    /// Kills the program without waiting for it.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
    }

    /// Waits until the program exits by itself.
    pub fn wait(mut self) {
        // The process id is not reused until the value is dropped.
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let pid = Pid::from_child(&self.0);
        let _ = waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        self.kill();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        running().remove(&self.0.id());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes short lines until something arrives: some tools lose what is written while nobody reads.
pub fn wake(input: &mut ChildStdin, output: &ChildStdout) -> Result<(), String> {
    let end = Instant::now() + 4 * SILENCE;
    loop {
        input.write_all(WAKE).map_err(|error| error.to_string())?;
        input.flush().map_err(|error| error.to_string())?;
        if is_readable_within(output, Duration::from_millis(20)) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err("nothing arrives".to_owned());
        }
    }
}

/// Waits until data, or the end, can be read.
pub fn is_readable_within(output: &ChildStdout, patience: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    let patience = Timespec::try_from(patience).expect("it is short");
    poll(&mut fds, Some(&patience)).is_ok_and(|count| count > 0)
}

/// An output that counts as ended when nothing arrives for too long: data that a tool dropped never
/// arrives.
pub struct Patient<'a>(pub &'a mut ChildStdout);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !is_readable_within(self.0, SILENCE) {
            return Ok(0);
        }
        self.0.read(buffer)
    }
}
