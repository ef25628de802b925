//! The thread that writes stdout.
//!
//! Owns stdout while a pipe is read. Writes straight to the descriptor: Rust's own stdout would
//! keep the beginning of a line back. A write is reported when it has returned, whole; that is
//! what "confirmed" rests on.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::{Buf, Bytes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::stdio::stdout;
use skypipe_broker::protocol::MAX_CHUNK;
use zmq::{POLLERR, PollItem};

use super::wake::Waker;
use crate::tell::words;

/// The most pieces written in one system call: enough that short lines cost little, and far below
/// what systems take.
const MAX_PIECES: usize = 64;

/// From this length on, a piece is worth a wider pipe: the size of one that nobody has widened.
const MUCH: usize = 64 << 10;

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

/// The loop's end of the thread.
#[derive(Debug)]
pub struct Writer {
    pieces: Sender<Bytes>,
    reports: Receiver<FromStdout>,
    state: State,
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
        let (pieces, queue) = channel();
        let (sender, reports) = channel();
        let kind = kind();
        if kind == FileType::Socket {
            watch_socket(sender.clone(), waker.clone())?;
        }
        let sink = Sink {
            queue,
            batch: VecDeque::new(),
            wide: false,
            sender,
            waker,
        };
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(|| sink.run())?;
        let state = if kind == FileType::Fifo {
            State::Read
        } else {
            State::Other
        };
        Ok(Self {
            pieces,
            reports,
            state,
        })
    }

    /// Puts `bytes` behind all that was put here before.
    pub fn write(&self, bytes: Bytes) {
        // The thread has ended when stdout has failed, and the loop knows.
        let _ = self.pieces.send(bytes);
    }

    /// What has become of stdout since.
    pub fn next(&mut self) -> Option<FromStdout> {
        if self.state == State::Over {
            return None;
        }
        let news = match self.reports.try_recv() {
            Ok(FromStdout::Written(count)) => return Some(FromStdout::Written(count)),
            Ok(news) => news,
            Err(_) if self.state == State::Unread => FromStdout::Closed,
            Err(_) => return None,
        };
        self.state = State::Over;
        Some(news)
    }

    /// What to wait for, to learn that the reader of a pipe has gone before anything is written to
    /// it: `skypipe | head -1` ends when `head` does, not one line later.
    pub fn watched(&self) -> Option<PollItem<'_>> {
        (self.state == State::Read).then(|| PollItem::from_fd(stdout().as_raw_fd(), POLLERR))
    }

    /// The wait for [`Writer::watched`] has come to an end.
    pub fn reader_is_gone(&mut self) {
        self.state = State::Unread;
    }
}

fn kind() -> FileType {
    fstat(stdout()).map_or(FileType::Unknown, |stat| {
        FileType::from_raw_mode(stat.st_mode)
    })
}

/// Reports that the other end of a socket has gone before anything is written to it. That takes a thread,
/// for the loop's own poll has no word for it.
///
/// A Unix socket tells when its other end is closed, and goes on if that has only finished sending, as
/// whoever has no stdin does at once. TCP tells the one like the other, and what is written to an end
/// that is closed is lost: so there it counts as gone. Nothing is lost by that.
fn watch_socket(sender: Sender<FromStdout>, waker: Waker) -> io::Result<()> {
    let socket = stdout().try_clone_to_owned().map(UnixStream::from);
    let is_unix = socket.is_ok_and(|socket| socket.local_addr().is_ok());
    let events = if is_unix {
        PollFlags::empty()
    } else {
        END_OF_SENDING
    };
    let watch = move || {
        let mut fds = [PollFd::from_borrowed_fd(stdout(), events)];
        while let Err(Errno::INTR) = poll(&mut fds, None) {}
        if sender.send(FromStdout::Closed).is_ok() {
            waker.wake();
        }
    };
    let thread = thread::Builder::new().name("socket".to_owned());
    thread.spawn(watch).map(drop)
}

/// What a poll calls it that the other end has finished sending.
#[cfg(target_os = "linux")]
const END_OF_SENDING: PollFlags = PollFlags::RDHUP;

/// Not every system has a word for it. An end that is closed is noticed by the next write there.
#[cfg(not(target_os = "linux"))]
const END_OF_SENDING: PollFlags = PollFlags::empty();

/// Gives a pipe room for a whole chunk, so that its two ends take fewer turns. Not for pipes that
/// carry little: a user has only so much memory for wide ones. Where it cannot be had, or this is
/// no pipe, things go on as they are.
#[cfg(target_os = "linux")]
pub fn widen(fd: BorrowedFd<'_>) {
    let _ = rustix::pipe::fcntl_setpipe_size(fd, MAX_CHUNK);
}

/// Only Linux has pipes that can be widened.
#[cfg(not(target_os = "linux"))]
pub fn widen(_fd: BorrowedFd<'_>) {}

struct Sink {
    queue: Receiver<Bytes>,
    /// What is being written; the first may have been written in part.
    batch: VecDeque<Bytes>,
    /// Whether stdout, if it is a pipe, has been widened.
    wide: bool,
    sender: Sender<FromStdout>,
    waker: Waker,
}

impl Sink {
    fn run(mut self) {
        while let Ok(piece) = self.queue.recv() {
            self.gather(piece);
            while !self.batch.is_empty() {
                if self.write().is_break() {
                    return;
                }
            }
        }
    }

    /// Takes what else is there, up to about a chunk in all.
    fn gather(&mut self, first: Bytes) {
        let mut length = first.len();
        self.batch.push_back(first);
        while length < MAX_CHUNK && self.batch.len() < MAX_PIECES {
            let Ok(piece) = self.queue.try_recv() else {
                break;
            };
            length += piece.len();
            self.batch.push_back(piece);
        }
        if !self.wide && length >= MUCH {
            self.wide = true;
            widen(stdout());
        }
    }

    fn write(&mut self) -> ControlFlow<()> {
        let slices: Vec<_> = self.batch.iter().map(|piece| IoSlice::new(piece)).collect();
        match rustix::io::writev(stdout(), &slices) {
            Ok(written) => {
                let whole = advance(&mut self.batch, written);
                self.report(FromStdout::Written(whole))
            }
            Err(Errno::INTR) => ControlFlow::Continue(()),
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                let _ = poll(&mut fds, None);
                ControlFlow::Continue(())
            }
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let _ = self.report(FromStdout::Closed);
                ControlFlow::Break(())
            }
            Err(error) => {
                let _ = self.report(FromStdout::Failed(words(&error.into())));
                ControlFlow::Break(())
            }
        }
    }

    fn report(&self, news: FromStdout) -> ControlFlow<()> {
        match self.sender.send(news) {
            Ok(()) => {
                self.waker.wake();
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Takes `written` bytes off the front of `batch`; returns how many pieces that completed.
fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) -> usize {
    let mut whole = 0;
    while let Some(piece) = batch.front_mut() {
        if piece.len() > written {
            piece.advance(written);
            break;
        }
        written -= piece.len();
        batch.pop_front();
        whole += 1;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted_when_they_are_whole() {
        let mut batch: VecDeque<_> = [&b"one"[..], b"two", b"three"]
            .map(Bytes::from_static)
            .into();
        assert_eq!(advance(&mut batch, 2), 0);
        assert_eq!(advance(&mut batch, 1), 1);
        assert_eq!(advance(&mut batch, 5), 1);
        assert_eq!(batch, [Bytes::from_static(b"ree")]);
        assert_eq!(advance(&mut batch, 3), 1);
        assert!(batch.is_empty());
    }
}
