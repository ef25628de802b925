//! The writer thread, for output that the loop cannot write without blocking: a terminal, a file, a socket.
//!
//! This module owns the pieces that the thread has taken and not yet written.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stdout;

use super::FromStdout;
use super::batch::{Batch, Outcome};
use super::gone::watch_socket;
use crate::link::wake::Waker;

/// The loop's handle of the thread.
#[derive(Debug)]
pub struct Threaded {
    pieces: Sender<Bytes>,
    reports: Receiver<FromStdout>,
}

impl Threaded {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn start(waker: Waker, is_socket: bool) -> io::Result<Self> {
        let (pieces, queue) = channel();
        let (sender, reports) = channel();
        if is_socket {
            watch_socket(sender.clone(), waker.clone())?;
        }
        let sink = Sink {
            queue,
            batch: Batch::default(),
            sender,
            waker,
        };
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(|| sink.run())?;
        Ok(Self { pieces, reports })
    }

    /// Queues `bytes`.
    pub fn write(&self, bytes: Bytes) {
        // The thread ends when stdout has failed, which the loop knows by then.
        let _ = self.pieces.send(bytes);
    }

    /// The next event.
    pub fn next(&self) -> Option<FromStdout> {
        self.reports.try_recv().ok()
    }
}

struct Sink {
    queue: Receiver<Bytes>,
    batch: Batch,
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

    /// Takes further queued pieces, up to about one chunk in all.
    fn gather(&mut self, first: Bytes) {
        self.batch.push(first);
        while self.batch.has_room()
            && let Ok(piece) = self.queue.try_recv()
        {
            self.batch.push(piece);
        }
    }

    fn write(&mut self) -> ControlFlow<()> {
        match self.batch.write(stdout()) {
            Outcome::Whole(count) => self.report(FromStdout::Written(count)),
            Outcome::NoRoom => {
                let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
                let _ = poll(&mut fds, None);
                ControlFlow::Continue(())
            }
            Outcome::Over(news) => {
                let _ = self.report(news);
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
