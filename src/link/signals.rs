//! SIGHUP, SIGINT and SIGTERM as a descriptor to poll.
//!
//! This module owns the handlers. It never decides what a signal means, with one exception: a second signal
//! ends the program at once.

use std::fs;
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::session::Signal;

/// The handlers' shared state.
#[derive(Debug)]
pub struct Signals {
    pipe: PipeReader,
    /// The number of the signal that arrived. 0 if there is none, or it was taken.
    came: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers, except for signals that were ignored at the start: `nohup` ignores SIGHUP,
    /// and a shell ignores SIGINT for background jobs.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler or a descriptor.
    pub fn watch() -> io::Result<Self> {
        let (pipe, rope) = io::pipe()?;
        let came = Arc::new(AtomicUsize::new(0));
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            if is_ignored(signal) {
                continue;
            }
            // The handlers run in this order, so that the second signal exits and the first does not.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&once))?;
            flag::register(signal, Arc::clone(&once))?;
            flag::register_usize(signal, Arc::clone(&came), signal.cast_unsigned() as usize)?;
            low_level::pipe::register(signal, rope.try_clone()?)?;
        }
        Ok(Self { pipe, came })
    }

    /// The descriptor to poll.
    pub fn fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Takes the signal that arrived. There is at most one: a second signal ends the program.
    pub fn take(&self) -> Option<Signal> {
        let signal = match i32::try_from(self.came.swap(0, Ordering::SeqCst)) {
            Ok(SIGHUP) => Signal::Hangup,
            Ok(SIGINT) => Signal::Interrupt,
            Ok(SIGTERM) => Signal::Terminate,
            _ => return None,
        };
        Some(signal)
    }
}

/// Whether `signal` was ignored when the program began. Only Linux reports that without an unsafe call; on
/// other systems every signal is handled.
fn is_ignored(signal: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_found_in_the_mask() {
        let status = "Name:\tskypipe\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(!ignores("", SIGHUP));
    }
}
