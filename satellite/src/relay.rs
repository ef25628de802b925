//! A relay between a local socket and a stream that needs more than a socket: TLS, or a WebSocket.
//!
//! Owns the bytes on their way between the two, a bounded number. It never blocks: its owner waits
//! until one of the ends is ready, and then calls [`Relay::run`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

/// The most bytes that are moved at once, in each direction.
const BLOCK: usize = 32 << 10;

/// A stream that needs more than a socket: the bytes that it reads and writes differ from those on
/// its descriptor. No call blocks. A call that would block returns [`ErrorKind::WouldBlock`].
pub trait Outer: Read + Write + Send {
    /// The descriptor to poll before the next call.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl Outer for TcpStream {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl<S: Outer + ?Sized> Outer for Box<S> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        (**self).descriptor()
    }
}

/// A relay between an inner socket and an outer stream.
pub struct Relay {
    inner: UnixStream,
    outer: Box<dyn Outer>,
    /// Bytes on their way to the outer stream.
    outwards: Block,
    /// Bytes on their way to the inner socket.
    inwards: Block,
    /// Whether the outer stream has sent everything that it accepted.
    is_flushed: bool,
}

/// The most blocks that are moved in one run. The limit lets other relays have their turn.
const MAX_STEPS: usize = 16;

/// The state of a relay after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It can continue at once.
    More,
    /// It waits for one of its ends.
    Waiting,
    /// One end is closed, and the other has received everything that came from it.
    Over,
}

impl Relay {
    /// Creates a relay between these two. Neither of them may block.
    #[must_use]
    pub fn new(inner: UnixStream, outer: Box<dyn Outer>) -> Self {
        Self {
            inner,
            outer,
            outwards: Block::new(),
            inwards: Block::new(),
            is_flushed: true,
        }
    }

    /// Moves what can be moved without waiting, up to a bounded number of blocks.
    pub fn run(&mut self) -> Progress {
        for _ in 0..MAX_STEPS {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return self.progress(),
                Err(_) => return Progress::Over,
            }
        }
        Progress::More
    }

    /// The descriptors and events to poll for.
    pub fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        let mut inner = PollFlags::empty();
        let mut outer = PollFlags::empty();
        inner.set(
            PollFlags::IN,
            self.outwards.is_open_and_empty() && self.is_flushed,
        );
        inner.set(PollFlags::OUT, !self.inwards.is_empty());
        outer.set(PollFlags::IN, self.inwards.is_open_and_empty());
        outer.set(
            PollFlags::OUT,
            !self.outwards.is_empty() || !self.is_flushed,
        );
        let ends = [
            (self.inner.as_fd(), inner),
            (self.outer.descriptor(), outer),
        ];
        // Poll reports a hang-up even if no event is requested, so an end without events is left
        // out.
        let ends = ends.into_iter().filter(|(_, flags)| !flags.is_empty());
        ends.map(|(end, flags)| PollFd::from_borrowed_fd(end, flags))
    }

    /// Moves what can be moved once. Returns whether anything was moved.
    fn step(&mut self) -> io::Result<bool> {
        let mut moved = false;
        if !self.is_flushed {
            self.is_flushed = done(self.outer.flush())?.is_some();
            moved |= self.is_flushed;
        }
        if self.is_flushed && self.outwards.is_open_and_empty() {
            moved |= self.outwards.fill(&mut self.inner)?;
        }
        if self.is_flushed && self.outwards.drain(&mut self.outer)? {
            moved = true;
            self.is_flushed = done(self.outer.flush())?.is_some();
        }
        if self.inwards.is_open_and_empty() {
            moved |= self.inwards.fill(&mut self.outer)?;
        }
        Ok(self.inwards.drain(&mut self.inner)? || moved)
    }

    fn progress(&self) -> Progress {
        let is_out = self.outwards.is_over() && self.is_flushed;
        if is_out || self.inwards.is_over() {
            Progress::Over
        } else {
            Progress::Waiting
        }
    }
}

/// Bytes that go in one direction.
struct Block {
    bytes: Box<[u8]>,
    /// The beginning of the bytes that are still to be sent.
    begin: usize,
    end: usize,
    /// Whether the source has ended.
    is_closed: bool,
}

impl Block {
    fn new() -> Self {
        Self {
            bytes: vec![0; BLOCK].into(),
            begin: 0,
            end: 0,
            is_closed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    fn is_open_and_empty(&self) -> bool {
        self.is_empty() && !self.is_closed
    }

    fn is_over(&self) -> bool {
        self.is_empty() && self.is_closed
    }

    /// Reads bytes from `from`, or notes its end.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let Some(count) = done(from.read(&mut self.bytes))? else {
            return Ok(false);
        };
        (self.begin, self.end) = (0, count);
        self.is_closed = count == 0;
        Ok(true)
    }

    /// Writes bytes to `to`.
    fn drain(&mut self, to: &mut impl Write) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        match done(to.write(&self.bytes[self.begin..self.end]))? {
            Some(0) => Err(ErrorKind::WriteZero.into()),
            Some(count) => {
                self.begin += count;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// The result of a call, where `None` means that it would block.
fn done<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
