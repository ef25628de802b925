//! The reader thread, for input that the loop cannot read without blocking: a terminal, a file, a socket,
//! and the output of a command, whose end the thread waits for.
//!
//! This module chooses between stdin and the command's output.

use std::io::{self, PipeReader, PipeWriter};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::stdio::stdin;

use super::lines::{Filled, Lines};
use super::{FLUSH, FromStdin};
use crate::link::program::{self, Running};
use crate::link::wake::Waker;
use crate::report::words;
use crate::session::{Plain, Signal};

/// How long an interrupted command may still write before its output is abandoned.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The loop's handle of the thread.
#[derive(Debug)]
pub struct Threaded {
    chunks: Receiver<FromStdin>,
    /// Dropping this end of a pipe tells the thread to stop.
    stop: Option<PipeWriter>,
    /// The command whose output is read.
    command: Option<Pid>,
}

impl Threaded {
    /// Starts to read stdin, or the output of `command`.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor.
    pub fn start(waker: Waker, command: Option<Running>) -> io::Result<Self> {
        let (stop, stopper) = io::pipe()?;
        let (sender, chunks) = sync_channel(1);
        let pid = command.as_ref().map(|command| command.pid);
        let source = Source {
            command,
            lines: Lines::new(),
            stop,
            sender,
            waker,
        };
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(|| source.run())?;
        Ok(Self {
            chunks,
            stop: Some(stopper),
            command: pid,
        })
    }

    /// The next event.
    pub fn next(&self) -> FromStdin {
        match self.chunks.try_recv() {
            Ok(item) => item,
            Err(TryRecvError::Empty) => FromStdin::Nothing,
            Err(TryRecvError::Disconnected) => FromStdin::Stopped,
        }
    }

    /// Handles a signal. Stdin is no longer read, but what has been read is still returned. A command is
    /// told to end, and the rest of its output is still read. Returns how long that may take.
    pub fn interrupt(&mut self, signal: Signal) -> Duration {
        let Some(pid) = self.command else {
            self.stop = None;
            return FLUSH;
        };
        program::pass_on(pid, signal);
        LAST_OUTPUT
    }
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Readable,
    Waited,
    Stop,
}

struct Source {
    /// The command that is read. `None` means stdin.
    command: Option<Running>,
    lines: Lines,
    stop: PipeReader,
    sender: SyncSender<FromStdin>,
    waker: Waker,
}

impl Source {
    fn run(mut self) {
        while self.step().is_continue() {}
        drop(self.sender);
        self.waker.wake();
    }

    fn step(&mut self) -> ControlFlow<()> {
        let due = self.lines.deadline();
        let patience = due.map(|due| due.saturating_duration_since(Instant::now()));
        match wait(&self.stop, from(self.command.as_ref()), patience) {
            Event::Readable => {}
            Event::Waited => {
                let rest = self.lines.rest();
                return self.give(rest);
            }
            Event::Stop => {
                let rest = self.lines.rest();
                self.give(rest)?;
                return ControlFlow::Break(());
            }
        }
        if let Some(last) = self.fill() {
            let rest = self.lines.rest();
            self.give(rest)?;
            self.send(last)?;
            return ControlFlow::Break(());
        }
        let lines = self.lines.whole(Instant::now());
        self.give(lines)
    }

    /// Reads everything available. Returns the final event at the end of the input.
    fn fill(&mut self) -> Option<FromStdin> {
        let Self {
            command,
            lines,
            stop,
            ..
        } = self;
        let from = from(command.as_ref());
        let is_readable = || wait(stop, from, Some(Duration::ZERO)) == Event::Readable;
        match lines.fill(from, is_readable) {
            // If the input is dry after all, another process reads from the same terminal and was faster.
            Filled::Enough | Filled::Dry => None,
            Filled::End => Some(self.end()),
            Filled::Failed(why) => Some(FromStdin::Failed(why)),
        }
    }

    /// The final event. A command may run on for a while after it has closed its output.
    fn end(&self) -> FromStdin {
        match &self.command {
            None => FromStdin::End,
            Some(command) => match command.end() {
                Ok(end) => FromStdin::Ended(end),
                Err(error) => FromStdin::Failed(words(&error)),
            },
        }
    }

    fn give(&self, chunk: Option<Plain>) -> ControlFlow<()> {
        match chunk {
            Some(chunk) => self.send(FromStdin::Chunk(chunk)),
            None => ControlFlow::Continue(()),
        }
    }

    /// Blocks while the loop takes nothing. In this way a slow satellite slows the program that writes to
    /// us.
    fn send(&self, item: FromStdin) -> ControlFlow<()> {
        match self.sender.send(item) {
            Ok(()) => {
                self.waker.wake();
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Waits until a read would not block. A descriptor that cannot be polled counts as readable: the read then
/// works, or reports the error.
fn wait(stop: &PipeReader, from: BorrowedFd<'_>, patience: Option<Duration>) -> Event {
    let mut fds = [
        PollFd::new(stop, PollFlags::IN),
        PollFd::from_borrowed_fd(from, PollFlags::IN),
    ];
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    loop {
        match poll(&mut fds, patience.as_ref()) {
            Ok(0) => return Event::Waited,
            Ok(_) if !fds[0].revents().is_empty() => return Event::Stop,
            // A wait that a signal interrupted starts again with its full time. Signals are rare here.
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return Event::Readable,
        }
    }
}

/// The descriptor that is read.
fn from(command: Option<&Running>) -> BorrowedFd<'_> {
    match command {
        Some(command) => command.output.as_fd(),
        None => stdin(),
    }
}
