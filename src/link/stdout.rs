//! What writes stdout.
//!
//! Owns stdout while a pipe is read, and the choice of who writes. A [pipe](direct) is written by the loop
//! itself, without waiting, so that a line wakes no other thread; all else is written by a
//! [thread](threaded). Writes straight to the descriptor: Rust's own stdout would keep the beginning of a line
//! back. A write is reported when it has returned, whole; that is what "confirmed" rests on.

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

/// What became of stdout.
#[derive(Debug, PartialEq, Eq)]
pub enum FromStdout {
    /// So many of the oldest pieces have been written, whole.
    Written(usize),
    /// Nobody reads it any more.
    Closed,
    /// It cannot be written.
    Failed(String),
}

/// The loop's end of stdout.
#[derive(Debug)]
pub struct Writer {
    way: Way,
    state: State,
}

/// Who writes.
#[derive(Debug)]
enum Way {
    Direct(Direct),
    Threaded(Threaded),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is a pipe, and somebody reads it.
    Read,
    /// It is something else.
    Other,
    /// It was a pipe that somebody read, and the loop does not know yet that this is over.
    Unread,
    /// It has failed, or nobody reads it; the loop knows.
    Over,
}

impl Writer {
    /// Starts to write.
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

    /// Puts `bytes` behind all that was put here before. The loop then has to ask what becomes of them
    /// ([`Writer::next`]) before it waits.
    pub fn write(&mut self, bytes: Bytes) {
        match &mut self.way {
            Way::Direct(direct) => direct.write(bytes),
            Way::Threaded(threaded) => threaded.write(bytes),
        }
    }

    /// What has become of stdout since.
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

    /// What to wait for: that there is room again, and to learn that the reader of a pipe has gone before
    /// anything is written to it: `skypipe | head -1` ends when `head` does, not one line later.
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

    /// There is room again in what was watched.
    pub fn is_writable(&mut self) {
        if let Way::Direct(direct) = &mut self.way {
            direct.is_writable();
        }
    }

    /// The reader has gone, by what was watched.
    pub fn reader_is_gone(&mut self) {
        self.state = State::Unread;
    }
}

/// Pieces that wait to be written, the oldest first.
type Pieces = VecDeque<Bytes>;
