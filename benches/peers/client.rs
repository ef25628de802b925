//! The programs at both ends of a channel, and how long they are waited for.
//!
//! All that run are known, so that a measure that takes too long can be ended: without them, whoever reads from
//! one sees its end, and whoever writes to one fails.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long nothing may arrive before the rest counts as lost.
pub const SILENCE: Duration = Duration::from_secs(4);

/// How long a measure may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A line with which a reader is woken before anything else is sent.
pub const WAKE: &[u8] = b"-\n";

/// The numbers of all clients that run and have not been waited for.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something, and ends all clients if it takes too long. A panic is an error like others.
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

/// A program at work, which ends with this value.
pub struct Client(Child);

impl Client {
    /// Starts it.
    pub fn spawn(mut command: Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn().expect("it was found on PATH");
        running().insert(child.id());
        Self(child)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its stdin; to be taken once.
    pub fn input(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("its stdin is piped")
    }

    /// Its stdout; to be taken once.
    pub fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("its stdout is piped")
    }

    /// Kills it; it is not waited for.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) {
        // Its number stays its own until the value is dropped.
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

/// Waits until something can be read, or the end of it.
pub fn is_readable_within(output: &ChildStdout, patience: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    let patience = Timespec::try_from(patience).expect("it is short");
    poll(&mut fds, Some(&patience)).is_ok_and(|count| count > 0)
}

/// An output that counts as ended when nothing comes for too long: what some tools drop never comes.
pub struct Patient<'a>(pub &'a mut ChildStdout);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !is_readable_within(self.0, SILENCE) {
            return Ok(0);
        }
        self.0.read(buffer)
    }
}
