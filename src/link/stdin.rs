//! Reading stdin, or the output of a command instead.
//!
//! This module chooses the reader. A [pipe](direct) is read by the loop itself, without blocking, so that a
//! line wakes no other thread. Everything else is read by a [thread](threaded). At most two chunks are read
//! ahead. Then nothing is read until the loop takes one, and the program that writes to our stdin has to
//! wait.

mod direct;
mod lines;
mod threaded;

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use self::direct::Direct;
use self::threaded::Threaded;
use super::program::Running;
use super::wake::Waker;
use crate::session::{CommandEnd, Plain, Signal};

/// How long a signal waits for the rest of what was read from stdin. The reader answers at once unless the
/// satellite takes nothing; for that case the session has its own timeout.
const FLUSH: Duration = Duration::from_millis(250);

/// An event of stdin.
#[derive(Debug, PartialEq, Eq)]
pub enum FromStdin {
    /// There is nothing at the moment.
    Nothing,
    /// Data: at least one byte and at most a chunk.
    Chunk(Plain),
    /// The end of stdin.
    End,
    /// The end of a command's output, and how the command ended.
    Ended(CommandEnd),
    /// Reading failed.
    Failed(String),
    /// Everything that had been read when [`Reader::interrupt`] was called has been returned.
    Stopped,
}

/// The reader of stdin.
#[derive(Debug)]
pub enum Reader {
    /// The loop reads.
    Direct(Direct),
    /// A thread reads.
    Threaded(Threaded),
}

impl Reader {
    /// Starts to read stdin, or the output of `command`.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor.
    pub fn start(waker: Waker, command: Option<Running>) -> io::Result<Self> {
        // A command's output is read by a thread, because that thread waits for the command's end as well.
        match Direct::stdin().filter(|_| command.is_none()) {
            Some(direct) => Ok(Self::Direct(direct)),
            None => Threaded::start(waker, command).map(Self::Threaded),
        }
    }

    /// The next event.
    pub fn next(&mut self) -> FromStdin {
        match self {
            Self::Direct(direct) => direct.next(Instant::now()),
            Self::Threaded(threaded) => threaded.next(),
        }
    }

    /// The descriptor to poll while input is wanted. `None` if the reader wakes the loop by itself.
    pub fn watched(&self) -> Option<RawFd> {
        match self {
            Self::Direct(direct) => Some(direct.watched()),
            Self::Threaded(_) => None,
        }
    }

    /// Records that the polled descriptor is readable.
    pub fn is_readable(&mut self) {
        if let Self::Direct(direct) = self {
            direct.is_readable();
        }
    }

    /// While input is wanted: when [`Reader::next`] has something even if nothing arrives.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Direct(direct) => direct.deadline(),
            Self::Threaded(_) => None,
        }
    }

    /// Handles a signal. Stdin is no longer read, but what has been read is still returned. A command is
    /// told to end, and the rest of its output is still read. Returns how long that may take.
    pub fn interrupt(&mut self, signal: Signal) -> Duration {
        match self {
            Self::Direct(direct) => {
                direct.stop();
                FLUSH
            }
            Self::Threaded(threaded) => threaded.interrupt(signal),
        }
    }
}
