//! Writing stdout.
//!
//! This module owns stdout while a pipe is read, and chooses the writer. A [pipe](direct) is written by the
//! loop itself, without blocking, so that a line wakes no other thread. Everything else is written by a
//! [thread](threaded). Both write straight to the descriptor, because Rust's own stdout would hold back a
//! partial line. A write is reported only after it has returned and was complete; "confirmed" relies on
//! that.

mod batch;
mod direct;
mod gone;
mod threaded;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use bytes::Bytes;
use rustix::fs::{FileType, fstat};
use rustix::stdio::stdout;
use zmq::{POLLERR, POLLOUT, PollEvents, PollItem};

use self::direct::Direct;
use self::threaded::Threaded;
use super::wake::Waker;

/// An event of stdout.
#[derive(Debug, PartialEq, Eq)]
pub enum FromStdout {
    /// This many of the oldest pieces have been written in full.
    Written(usize),
    /// Nobody reads stdout any more.
    Closed,
    /// Writing failed.
    Failed(String),
}

/// The loop's handle of stdout.
#[derive(Debug)]
pub struct Writer {
    way: Way,
    state: State,
}

/// The writer of stdout.
#[derive(Debug)]
enum Way {
    Direct(Direct),
    Threaded(Threaded),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A pipe that has a reader.
    Read,
    /// Some other kind of output.
    Other,
    /// A pipe whose reader has gone. The loop has not been told yet.
    Unread,
    /// Stdout has failed or has no reader. The loop has been told.
    Over,
}

impl Writer {
    /// Starts the writer.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn start(waker: Waker) -> io::Result<Self> {
        let kind = fstat(stdout()).map_or(FileType::Unknown, |stat| {
            FileType::from_raw_mode(stat.st_mode)
        });
        let way = match Direct::stdout() {
            Some(direct) => Way::Direct(direct),
            None => Way::Threaded(Threaded::start(waker, kind == FileType::Socket)?),
        };
        let state = if kind == FileType::Fifo {
            State::Read
        } else {
            State::Other
        };
        Ok(Self { way, state })
    }

    /// Queues `bytes`. The loop must call [`Writer::next`] before it waits again.
    pub fn write(&mut self, bytes: Bytes) {
        match &mut self.way {
            Way::Direct(direct) => direct.write(bytes),
            Way::Threaded(threaded) => threaded.write(bytes),
        }
    }

    /// The next event.
    pub fn next(&mut self) -> Option<FromStdout> {
        if self.state == State::Over {
            return None;
        }
        let news = match &mut self.way {
            Way::Direct(direct) => direct.next(),
            Way::Threaded(threaded) => threaded.next(),
        };
        let news = match news {
            Some(FromStdout::Written(count)) => return Some(FromStdout::Written(count)),
            Some(news) => news,
            None if self.state == State::Unread => FromStdout::Closed,
            None => return None,
        };
        self.state = State::Over;
        Some(news)
    }

    /// What to poll: room for more output, and the end of a pipe's reader before anything is written.
    /// `skypipe | head -1` ends when `head` does, not one line later.
    pub fn watched(&self) -> Option<PollItem<'_>> {
        if self.state != State::Read {
            return None;
        }
        let (fd, events): (RawFd, PollEvents) = match &self.way {
            Way::Direct(direct) if direct.is_waiting() => (direct.watched(), POLLERR | POLLOUT),
            Way::Direct(_) | Way::Threaded(_) => (stdout().as_raw_fd(), POLLERR),
        };
        Some(PollItem::from_fd(fd, events))
    }

    /// Records that the polled descriptor has room.
    pub fn is_writable(&mut self) {
        if let Way::Direct(direct) = &mut self.way {
            direct.is_writable();
        }
    }

    /// Records that the reader of the polled pipe has gone.
    pub fn reader_is_gone(&mut self) {
        self.state = State::Unread;
    }
}

/// Pieces that wait to be written, the oldest first.
type Pieces = VecDeque<Bytes>;
