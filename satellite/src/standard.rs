//! Stdin and stdout as this process inherited them.
//!
//! Rust's runtime opens `/dev/null` in place of a closed stdin, stdout or stderr, so that no socket
//! ever gets one of their numbers. But then output is lost and looks as if somebody had received
//! it. So this module notes which of the three were open [before the runtime begins](before_main).
//!
//! Owns that note, and printing. It writes directly to the descriptor: Rust's own stdout holds back
//! an incomplete line, and reports success for a stdout that is not open for writing.

mod before_main;

use std::fmt;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::stdio::stdout;

/// Why bytes were not printed.
#[derive(Debug)]
pub enum NotPrinted {
    /// Stdout was closed when the program started.
    Closed,
    /// Stdout is open, but not for writing.
    ReadOnly,
    /// Stdout is a pipe or a socket whose reader has gone.
    Unread,
    /// The system refused to write.
    Failed(io::Error),
}

impl fmt::Display for NotPrinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("stdout is closed"),
            Self::ReadOnly => f.write_str("stdout is not open for writing"),
            Self::Unread => f.write_str("nobody reads stdout anymore"),
            Self::Failed(error) => write!(f, "cannot write to stdout: {error}"),
        }
    }
}

impl std::error::Error for NotPrinted {}

/// Whether stdin was closed when the program started.
#[must_use]
pub fn stdin_was_closed() -> bool {
    !before_main::was_open(0)
}

/// Checks whether stdout can be written to. Nothing is written.
///
/// # Errors
///
/// When stdout was closed at the start, or is open only for reading.
pub fn check_stdout() -> Result<(), NotPrinted> {
    if !before_main::was_open(1) {
        return Err(NotPrinted::Closed);
    }
    match fcntl_getfl(stdout()) {
        Err(Errno::BADF) => Err(NotPrinted::Closed),
        Err(error) => Err(NotPrinted::Failed(error.into())),
        Ok(flags) if flags & OFlags::ACCMODE == OFlags::RDONLY => Err(NotPrinted::ReadOnly),
        Ok(_) => Ok(()),
    }
}

/// Prints all of `bytes`.
///
/// # Errors
///
/// When stdout did not accept all of them. It may have accepted some.
pub fn print(mut bytes: &[u8]) -> Result<(), NotPrinted> {
    check_stdout()?;
    while !bytes.is_empty() {
        match rustix::io::write(stdout(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                // If polling fails, the next write reports the reason.
                let _ = poll(&mut fds, None);
            }
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(NotPrinted::Unread),
            Err(error) => return Err(NotPrinted::Failed(error.into())),
        }
    }
    Ok(())
}
