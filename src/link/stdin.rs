//! The thread that reads stdin, or the output of a command in its place.
//!
//! Owns where the bytes come from, and the time that a partial line is held. Reads ahead by two chunks and no further:
//! then it stops until the loop takes one, and whoever writes to us stops too.
//!
//! Chunks are as large as what is there: whatever can be read at once is read before it is cut,
//! because each chunk has its price however small it is. Nothing is waited for, except that a
//! partial line waits for its rest, and that for no longer than [`HOLD`].

use std::io::{self, PipeReader, PipeWriter};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::stdio::stdin;

use super::chunker::Chunker;
use super::program::{self, Running};
use super::stdout::widen;
use super::wake::Waker;
use crate::session::{CommandEnd, Plain, Signal};
use crate::tell::words;

/// How long a line's beginning waits for its rest (rule 14).
const HOLD: Duration = Duration::from_millis(100);

/// How long a signal waits for what had been read from stdin. The thread answers at once unless the
/// satellite takes nothing; the session has a time of its own for that.
const FLUSH: Duration = Duration::from_millis(250);

/// How long it waits for a command to end and for what it writes until then.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// What so much has come in at once that a larger pipe will make fewer steps of it: the size of a
/// pipe that nobody has widened.
const MUCH: usize = 64 << 10;

/// What stdin gave.
#[derive(Debug)]
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
    /// What had been read when [`Reader::stop`] was called has all been given.
    Stopped,
}

/// The loop's end of the thread.
#[derive(Debug)]
pub struct Reader {
    chunks: Receiver<FromStdin>,
    /// Closing it is how the thread is told to stop.
    stop: Option<PipeWriter>,
    /// The command whose output is read.
    command: Option<Pid>,
}

impl Reader {
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
            chunker: Chunker::new(),
            held: None,
            wide: false,
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
    chunker: Chunker,
    /// Since when the chunker holds a partial line.
    held: Option<Instant>,
    /// Whether stdin, if it is a pipe, has been widened.
    wide: bool,
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
        let patience = self
            .held
            .map(|since| (since + HOLD).saturating_duration_since(Instant::now()));
        match self.wait(patience) {
            Event::Readable => {}
            Event::Waited => {
                self.held = None;
                let rest = self.chunker.cut_all();
                return self.give(rest);
            }
            Event::Stop => {
                let rest = self.chunker.cut_all();
                self.give(rest)?;
                return ControlFlow::Break(());
            }
        }
        if let Some(last) = self.fill() {
            let rest = self.chunker.cut_all();
            self.give(rest)?;
            self.send(last)?;
            return ControlFlow::Break(());
        }
        let lines = self.chunker.cut_lines();
        if self.chunker.is_empty() {
            self.held = None;
        } else if lines.is_some() || self.held.is_none() {
            self.held = Some(Instant::now());
        }
        self.give(lines)
    }

    /// Reads all that can be read at once. Returns the last thing to say if there is no more.
    fn fill(&mut self) -> Option<FromStdin> {
        let before = self.chunker.room().len();
        while !self.chunker.is_full() {
            let from = from(self.command.as_ref());
            match rustix::io::read(from, spare_capacity(self.chunker.room())) {
                Ok(0) => return Some(self.end()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                // Somebody else reads from the same terminal or pipe, and was faster.
                Err(Errno::AGAIN) => break,
                Err(error) => return Some(FromStdin::Failed(words(&error.into()))),
            }
            if self.wait(Some(Duration::ZERO)) != Event::Readable {
                break;
            }
        }
        if !self.wide && self.chunker.room().len() >= before + MUCH {
            self.wide = true;
            widen(from(self.command.as_ref()));
        }
        None
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

    /// Waits until stdin can be read without blocking. A descriptor that cannot be waited for is
    /// readable: the read then says what is wrong with it, or works.
    fn wait(&self, patience: Option<Duration>) -> Event {
        let mut fds = [
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::from_borrowed_fd(from(self.command.as_ref()), PollFlags::IN),
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

/// Where the bytes come from.
fn from(command: Option<&Running>) -> BorrowedFd<'_> {
    match command {
        Some(command) => command.output.as_fd(),
        None => stdin(),
    }
}
