//! The event loop around a [`Session`]: connection, stdin, stdout, signals and clock.
//!
//! This module does all waiting. Its children own the only socket of this crate (`connection`), the reading
//! of stdin and the writing of stdout. It decides nothing about streams or listeners: it reports events and
//! carries out the session's actions. Reading, networking and writing never block one another, so a stalled
//! stdout or a silent stdin stops no heartbeat.
//!
//! One round of the loop:
//!
//! 1. Send what is queued. Wait until the session's deadline, or until the connection, its monitor, a
//!    signal, a pipe or a thread (through `wake`) has something.
//! 2. Check the connection and hand in its messages, up to a limit. Only when there are no more messages,
//!    report that the connection broke or that the satellite refuses this client.
//! 3. Write to stdout, and report what was written. Report a failed stdout or a closed one last.
//! 4. Report that the deadline has passed.
//! 5. Take a signal. It stops the reading of stdin, and is reported after what had been read. A command
//!    that is read instead is told to end, and has a moment for its last output. Start that command, if its
//!    stream has just been opened.
//! 6. Hand in what stdin gave, as long as the session wants input. Otherwise the data stays where it is,
//!    and the program that writes to our stdin has to wait. This comes last, because every other step may
//!    make the session want input.
//!
//! After each single input, all resulting actions are carried out before the next input. When the session
//! wants to exit, queued messages get a moment to leave. The threads are not joined: one may be blocked in
//! a read or a write until the process ends.

mod chunker;
mod connection;
mod pipe;
pub mod program;
pub mod route;
mod signals;
mod stdin;
mod stdout;
pub mod tunnel;
mod wake;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skypipe_protocol::Reply;
use zmq::{POLLIN, PollItem};

use self::connection::{Breach, Connection};
use self::program::Program;
use self::route::Route;
use self::signals::Signals;
use self::stdin::{FromStdin, Reader};
use self::stdout::{FromStdout, Writer};
use self::wake::Wake;
use crate::session::{Config, Input, Job, Moved, Output, Session, Signal};

/// The most messages taken from the connection in one round. Signals, stdout and the deadline get their
/// turn however fast the satellite sends.
const MESSAGES_A_ROUND: usize = 64;

/// How often it is told how far the transfer is.
const TELL_MOVED: Duration = Duration::from_millis(100);

/// What a session reports to the caller of [`run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Why the session fails, for the user.
    Failure(String),
    /// A message for the user.
    Notice(String),
    /// A message for the user if stderr is a terminal, or if the user wants to hear everything.
    Hint(String),
    /// The answer to a question.
    Answer(Reply),
    /// How long it took to connect: one round trip.
    Latency(Duration),
    /// How far the transfer is. At most every tenth of a second.
    Moved(Moved),
}

/// Runs a session to its end, over connections along `route`, and returns its exit code. A writer writes
/// the output of `program` if there is one, and stdin otherwise.
///
/// # Errors
///
/// When the system refuses a thread, a descriptor or the waiting itself.
pub fn run(
    config: Config,
    route: Arc<dyn Route>,
    program: Option<Program>,
    tell: &mut dyn FnMut(Event),
) -> io::Result<u8> {
    skypipe_satellite::allocator::reuse_large_blocks();
    let mut link = Link::new(config, route, program, tell)?;
    link.carry_out();
    loop {
        if let Some(code) = link.exit {
            link.connection.finish();
            return Ok(code);
        }
        link.wait()?;
        link.take_messages();
        link.take_from_stdout();
        link.take_time();
        link.take_signal();
        link.start_program()?;
        link.take_from_stdin();
        link.tell_moved();
    }
}

struct Link<'a> {
    session: Session,
    started: Instant,
    connection: Connection,
    reader: Option<Reader>,
    /// A command that is started once its stream is open.
    program: Option<Program>,
    writer: Option<Writer>,
    signals: Option<Signals>,
    /// A signal that waits for the rest of stdin, and until when it waits.
    signal: Option<(Signal, Instant)>,
    wake: Wake,
    tell: &'a mut dyn FnMut(Event),
    /// How far the transfer was when that was last told, and when that was.
    moved: (Moved, Instant),
    exit: Option<u8>,
}

impl<'a> Link<'a> {
    fn new(
        config: Config,
        route: Arc<dyn Route>,
        program: Option<Program>,
        tell: &'a mut dyn FnMut(Event),
    ) -> io::Result<Self> {
        let wake = Wake::new()?;
        let (mut reader, mut writer, mut signals) = (None, None, None);
        match config.job {
            Job::Write { .. } if program.is_some() => {}
            Job::Write { .. } => reader = Some(Reader::start(wake.waker(), None)?),
            Job::Listen { .. } => writer = Some(Writer::start(wake.waker())?),
            Job::Ask(_) => {}
        }
        // A question has nothing to clean up when it is interrupted, so the signal's default applies.
        if !matches!(config.job, Job::Ask(_)) {
            signals = Some(Signals::watch()?);
        }
        Ok(Self {
            session: Session::new(config),
            started: Instant::now(),
            connection: Connection::new(route, wake.waker()),
            reader,
            program,
            writer,
            signals,
            signal: None,
            wake,
            tell,
            moved: (Moved::default(), Instant::now()),
            exit: None,
        })
    }

    /// Hands in one input, and carries out all resulting actions.
    fn hand_in(&mut self, input: Input) {
        if self.exit.is_none() {
            self.session.handle(self.started.elapsed(), input);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        while self.exit.is_none()
            && let Some(output) = self.session.poll()
        {
            match output {
                Output::Connect => self.connection.connect(),
                Output::Send(frames) => self.connection.send(frames),
                Output::Write(bytes) => {
                    if let Some(writer) = &mut self.writer {
                        writer.write(bytes);
                    }
                }
                Output::Failure(sentence) => (self.tell)(Event::Failure(sentence)),
                Output::Notice(sentence) => (self.tell)(Event::Notice(sentence)),
                Output::Hint(sentence) => (self.tell)(Event::Hint(sentence)),
                Output::Answer(reply) => (self.tell)(Event::Answer(reply)),
                Output::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// Tells how far the transfer is, if that is due.
    fn tell_moved(&mut self) {
        let (before, last) = self.moved;
        if last.elapsed() < TELL_MOVED {
            return;
        }
        let moved = self.session.moved();
        if moved != before {
            self.moved = (moved, Instant::now());
            (self.tell)(Event::Moved(moved));
        }
    }

    /// Step 1: sends and waits.
    fn wait(&mut self) -> io::Result<()> {
        let sooner = self.connection.turn();
        let timeout = self.patience(sooner);
        let mut items = vec![PollItem::from_fd(self.wake.fd(), POLLIN)];
        let signals = self.signals.iter().map(Signals::fd);
        items.extend(signals.map(|fd| PollItem::from_fd(fd, POLLIN)));
        let before_stdout = items.len();
        items.extend(self.writer.iter().filter_map(Writer::watched));
        let before_stdin = items.len();
        let reader = self.reader.iter().filter(|_| self.session.wants_input());
        let stdin = reader.filter_map(Reader::watched);
        items.extend(stdin.map(|fd| PollItem::from_fd(fd, POLLIN)));
        let before_connection = items.len();
        items.extend(self.connection.watched());
        match zmq::poll(&mut items, timeout) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let rung = items[0].is_readable();
        let stdout = &items[before_stdout..before_stdin];
        let (is_writable, reader_gone) = (
            stdout.iter().any(PollItem::is_writable),
            stdout.iter().any(PollItem::is_error),
        );
        let is_readable = items[before_stdin..before_connection]
            .iter()
            .any(|item| item.is_readable() || item.is_error());
        if rung {
            self.wake.clear();
        }
        if let Some(writer) = self.writer.as_mut().filter(|_| is_writable) {
            writer.is_writable();
        }
        if let Some(writer) = self.writer.as_mut().filter(|_| reader_gone) {
            writer.reader_is_gone();
        }
        if let Some(reader) = self.reader.as_mut().filter(|_| is_readable) {
            reader.is_readable();
        }
        Ok(())
    }

    /// The longest time to wait, in milliseconds, rounded up; -1 is forever. `sooner` is the connection's
    /// own deadline.
    fn patience(&self, sooner: Option<Duration>) -> i64 {
        let now = Instant::now();
        let flush = self.signal.map(|(_, until)| until);
        let session = self.session.deadline().map(|due| self.started + due);
        let reader = self.reader.as_ref();
        let stdin = reader.filter(|_| self.session.wants_input());
        let due = flush.into_iter().chain(session);
        let due = due.chain(stdin.and_then(Reader::deadline));
        let due = due.chain(self.connection.deadline());
        let (moved, last) = self.moved;
        let due = due.chain((self.session.moved() != moved).then(|| last + TELL_MOVED));
        let left = due.map(|due| due.saturating_duration_since(now));
        left.chain(sooner).min().map_or(-1, |left| {
            let millis = left.as_nanos().div_ceil(1_000_000);
            i64::try_from(millis)
                .unwrap_or(i64::MAX)
                .min(i64::from(i32::MAX))
        })
    }

    /// Step 2: the connection.
    fn take_messages(&mut self) {
        self.connection.look();
        if let Some(latency) = self.connection.latency() {
            (self.tell)(Event::Latency(latency));
        }
        for _ in 0..MESSAGES_A_ROUND {
            if let Some(frames) = self.connection.receive() {
                self.hand_in(Input::Received(frames));
                continue;
            }
            match self.connection.breach() {
                Some(Breach::Broken(reason)) => self.hand_in(Input::Disconnected(Some(reason))),
                Some(Breach::Refused(sentence)) => self.hand_in(Input::Refused(sentence)),
                None => {}
            }
            break;
        }
    }

    /// Step 3: stdout.
    fn take_from_stdout(&mut self) {
        while let Some(news) = self.writer.as_mut().and_then(Writer::next) {
            match news {
                FromStdout::Written(count) => {
                    for _ in 0..count {
                        self.hand_in(Input::Written);
                    }
                }
                FromStdout::Closed => self.hand_in(Input::OutputClosed),
                FromStdout::Failed(why) => self.hand_in(Input::OutputFailed(why)),
            }
        }
    }

    /// Step 4: the deadline.
    fn take_time(&mut self) {
        let due = self.session.deadline();
        if due.is_some_and(|due| due <= self.started.elapsed()) {
            self.hand_in(Input::Timeout);
        }
    }

    /// Step 5: signals.
    fn take_signal(&mut self) {
        let Some(signal) = self.signals.as_ref().and_then(Signals::take) else {
            return;
        };
        let reader = self.reader.as_mut();
        let flush = reader.map_or(Duration::ZERO, |reader| reader.interrupt(signal));
        self.signal = Some((signal, Instant::now() + flush));
    }

    /// Starts the command as soon as its stream is open.
    fn start_program(&mut self) -> io::Result<()> {
        let is_time = self.signal.is_none() && self.session.is_open();
        if let Some(program) = self.program.take_if(|_| is_time) {
            match program.start() {
                Ok(command) => self.reader = Some(Reader::start(self.wake.waker(), Some(command))?),
                Err(why) => self.hand_in(Input::NotStarted(why)),
            }
        }
        Ok(())
    }

    /// Step 6: stdin. A signal often comes together with the end of stdin, because Ctrl-C ends both sides
    /// of a shell's pipe. The signal counts as first then: the stream that it interrupted did not end well.
    fn take_from_stdin(&mut self) {
        while let Some(reader) = &mut self.reader
            && self.session.wants_input()
        {
            let item = reader.next();
            if !matches!(item, FromStdin::Nothing | FromStdin::Chunk(_)) {
                self.reader = None;
                self.take_signal();
            }
            match item {
                FromStdin::Nothing => break,
                FromStdin::Chunk(plain) => self.hand_in(Input::Read(plain)),
                FromStdin::End if self.signal.is_none() => self.hand_in(Input::ReadEnd),
                FromStdin::Ended(end) if self.signal.is_none() => {
                    self.hand_in(Input::CommandEnded(end));
                }
                FromStdin::Failed(why) => self.hand_in(Input::ReadFailed(why)),
                FromStdin::End | FromStdin::Ended(_) | FromStdin::Stopped => {}
            }
        }
        let settled = self.reader.is_none() || !self.session.wants_input();
        if let Some((signal, until)) = self.signal
            && (settled || until <= Instant::now())
        {
            self.signal = None;
            self.reader = None;
            self.hand_in(Input::Signal(signal));
        }
    }
}
