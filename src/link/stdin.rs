//! What reads stdin, or the output of a command in its place.
//!
//! Owns the choice of who reads. A [pipe](direct) is read by the loop itself, without waiting, so that a line
//! wakes no other thread; all else is read by a [thread](threaded). Reads ahead by two chunks and no further:
//! then nothing is read until the loop takes one, and whoever writes to us stops too.

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

/// How long a signal waits for what had been read from stdin. The reader answers at once unless the
/// satellite takes nothing; the session has a time of its own for that.
const FLUSH: Duration = Duration::from_millis(250);

/// What stdin gave.
#[derive(Debug, PartialEq, Eq)]
pub enum FromStdin {
    /// Nothing at the moment.
    Nothing,
    /// At least one byte, and at most a chunk's worth.
    Chunk(Plain),
    /// Its end.
    End,
    /// The end of a command's output, and how the command ended.
    Ended(CommandEnd),
    /// It cannot be read.
    Failed(String),
    /// What had been read when [`Reader::interrupt`] was called has all been given.
    Stopped,
}

/// Who reads.
#[derive(Debug)]
pub enum Reader {
    /// The loop.
    Direct(Direct),
    /// A thread.
    Threaded(Threaded),
}

impl Reader {
    /// Starts to read stdin, or the output of `command`.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor.
    pub fn start(waker: Waker, command: Option<Running>) -> io::Result<Self> {
        // Whoever reads a command's output waits for its end as well.
        match Direct::stdin().filter(|_| command.is_none()) {
            Some(direct) => Ok(Self::Direct(direct)),
            None => Threaded::start(waker, command).map(Self::Threaded),
        }
    }

    /// What there is.
    pub fn next(&mut self) -> FromStdin {
        match self {
            Self::Direct(direct) => direct.next(Instant::now()),
            Self::Threaded(threaded) => threaded.next(),
        }
    }

    /// What to wait for while something is wanted, if the reader does not make itself heard.
    pub fn watched(&self) -> Option<RawFd> {
        match self {
            Self::Direct(direct) => Some(direct.watched()),
            Self::Threaded(_) => None,
        }
    }

    /// What is watched can be read.
    pub fn is_readable(&mut self) {
        if let Self::Direct(direct) = self {
            direct.is_readable();
        }
    }

    /// When something is to be had, while something is wanted, even if nothing comes in.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Direct(direct) => direct.deadline(),
            Self::Threaded(_) => None,
        }
    }

    /// A signal came: ends the reading of stdin, of which what has been read is still given; has a
    /// command end, of which the rest of the output is still read. Returns for how long.
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
