//! The thread that reads what the loop cannot read without waiting: a terminal, a file, a socket, and the
//! output of a command, for whose end it waits.
//!
//! Owns where the bytes come from.

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
use crate::session::{Plain, Signal};
use crate::tell::words;

/// How long it waits for a command to end and for what it writes until then.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The loop's end of the thread.
#[derive(Debug)]
pub struct Threaded {
    chunks: Receiver<FromStdin>,
    /// Closing it is how the thread is told to stop.
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

    /// What there is.
    pub fn next(&self) -> FromStdin {
        match self.chunks.try_recv() {
            Ok(item) => item,
            Err(TryRecvError::Empty) => FromStdin::Nothing,
            Err(TryRecvError::Disconnected) => FromStdin::Stopped,
        }
    }

    /// A signal came: ends the reading of stdin, of which what has been read is still given; has a
    /// command end, of which the rest of the output is still read. Returns for how long.
    pub fn interrupt(&mut self, signal: Signal) -> Duration {
        let Some(pid) = self.command else {
            self.stop = None;
            return FLUSH;
        };
        program::pass_on(pid, signal);
        LAST_OUTPUT
    }
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Readable,
    Waited,
    Stop,
}

struct Source {
    /// What is read if not stdin.
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

    /// Reads all that can be read at once. Returns the last thing to say if there is no more.
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
            // Where there is nothing any more, somebody else reads from the same terminal, and was faster.
            Filled::Enough | Filled::Dry => None,
            Filled::End => Some(self.end()),
            Filled::Failed(why) => Some(FromStdin::Failed(why)),
        }
    }

    /// The last that there is to say. A command may go on for a while after its output has ended.
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

    /// Blocks while the loop takes nothing, which is how a slow satellite slows the writer.
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

/// Waits until this can be read without blocking. A descriptor that cannot be waited for is readable: the
/// read then says what is wrong with it, or works.
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
            // A wait that a signal broke off is begun anew: no signal is handled here often.
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return Event::Readable,
        }
    }
}

/// Where the bytes come from.
fn from(command: Option<&Running>) -> BorrowedFd<'_> {
    match command {
        Some(command) => command.output.as_fd(),
        None => stdin(),
    }
}
