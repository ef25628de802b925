//! The loop around a [`Session`]: its connection, stdin, stdout, signals and clock.
//!
//! Owns the only socket of this crate (in `connection`), who reads stdin and who writes stdout, and all
//! waiting. It decides nothing about streams or listeners: it
//! reports what happened, and does what the session says. Reading, talking and writing never block
//! one another, so that a stalled stdout or a silent stdin stops no heartbeat.
//!
//! One round of the loop:
//!
//! 1. Send what there is to send. Wait until the session's deadline, or until the connection, its monitor, a
//!    signal, a pipe, or one of the threads (they ring `wake`) has something.
//! 2. Look how the connection fares, hand in what came on it, a bounded number of messages, and
//!    only when there are no more of them that it broke, if it did, or that this client is not let in.
//! 3. Write to stdout, and hand in what it has taken. If it has failed or its reader is gone, say that last.
//! 4. Hand in that the deadline has come, if it has.
//! 5. Note a signal. It stops the reading of stdin, and is handed in after what had been read. A
//!    command that is read instead is told to end, and has a moment for its last output.
//!    Start that command, if its stream has been opened just now.
//! 6. Hand in what stdin gave, for as long as the session wants it; else it stays where it is, and whoever
//!    writes to us stops in turn. This comes
//!    last, because all the others may make the session want it.
//!
//! After each single input, all that the session wants is done before the next one. When it wants
//! to exit, what it had sent gets a moment to leave, and the threads are left where they are: one
//! may be waiting in a read or a write that nothing but the end of the program ends.

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

use skypipe_broker::protocol::Reply;
use zmq::{POLLIN, PollItem};

use self::connection::{Breach, Connection};
use self::program::Program;
use self::route::Route;
use self::signals::Signals;
use self::stdin::{FromStdin, Reader};
use self::stdout::{FromStdout, Writer};
use self::wake::Wake;
use crate::session::{Config, Input, Job, Output, Session, Signal};

/// The most messages taken from the connection in one round, so that signals, stdout and the
/// deadline have their turn however fast the satellite sends.
const MESSAGES_A_ROUND: usize = 64;

/// What a session has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To the person.
    Notice(String),
    /// To the person, if there is one.
    Hint(String),
    /// The answer to a question.
    Answer(Reply),
    /// How long it took to connect, one way there and back.
    Latency(Duration),
}

/// Runs a session to its end, over connections along `route`, and returns its exit code. A writer
/// writes what `program` does, if there is one, and else stdin.
///
/// # Errors
///
/// When the system refuses a thread, a descriptor or the waiting itself.
pub fn run(
    config: Config,
    route: Arc<dyn Route>,
    program: Option<Program>,
    tell: &mut dyn FnMut(Told),
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
    }
}

struct Link<'a> {
    session: Session,
    started: Instant,
    connection: Connection,
    reader: Option<Reader>,
    /// A command that is to be started once its stream is open.
    program: Option<Program>,
    writer: Option<Writer>,
    signals: Option<Signals>,
    /// A signal that waits for the rest of stdin, and until when.
    signal: Option<(Signal, Instant)>,
    wake: Wake,
    tell: &'a mut dyn FnMut(Told),
    exit: Option<u8>,
}

impl<'a> Link<'a> {
    fn new(
        config: Config,
        route: Arc<dyn Route>,
        program: Option<Program>,
        tell: &'a mut dyn FnMut(Told),
    ) -> io::Result<Self> {
        let wake = Wake::new()?;
        let (mut reader, mut writer, mut signals) = (None, None, None);
        match config.job {
            Job::Write { .. } if program.is_some() => {}
            Job::Write { .. } => reader = Some(Reader::start(wake.waker(), None)?),
            Job::Listen { .. } => writer = Some(Writer::start(wake.waker())?),
            Job::Ask(_) => {}
        }
        // A question has nothing to put in order when it is interrupted.
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
            exit: None,
        })
    }

    /// Hands one input in, and does all that the session wants thereupon.
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
                Output::Notice(sentence) => (self.tell)(Told::Notice(sentence)),
                Output::Hint(sentence) => (self.tell)(Told::Hint(sentence)),
                Output::Answer(reply) => (self.tell)(Told::Answer(reply)),
                Output::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// Step 1.
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

    /// How long there is nothing to do, in milliseconds, rounded up; -1 is for ever. The connection
    /// may have something `sooner`.
    fn patience(&self, sooner: Option<Duration>) -> i64 {
        let now = Instant::now();
        let flush = self.signal.map(|(_, until)| until);
        let session = self.session.deadline().map(|due| self.started + due);
        let reader = self.reader.as_ref();
        let stdin = reader.filter(|_| self.session.wants_input());
        let due = flush.into_iter().chain(session);
        let due = due.chain(stdin.and_then(Reader::deadline));
        let due = due.chain(self.connection.deadline());
        let left = due.map(|due| due.saturating_duration_since(now));
        left.chain(sooner).min().map_or(-1, |left| {
            let millis = left.as_nanos().div_ceil(1_000_000);
            i64::try_from(millis)
                .unwrap_or(i64::MAX)
                .min(i64::from(i32::MAX))
        })
    }

    /// Step 2.
    fn take_messages(&mut self) {
        self.connection.look();
        if let Some(latency) = self.connection.latency() {
            (self.tell)(Told::Latency(latency));
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

    /// Step 3.
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

    /// Step 4.
    fn take_time(&mut self) {
        let due = self.session.deadline();
        if due.is_some_and(|due| due <= self.started.elapsed()) {
            self.hand_in(Input::Timeout);
        }
    }

    /// Step 5.
    fn take_signal(&mut self) {
        let Some(signal) = self.signals.as_ref().and_then(Signals::take) else {
            return;
        };
        let reader = self.reader.as_mut();
        let flush = reader.map_or(Duration::ZERO, |reader| reader.interrupt(signal));
        self.signal = Some((signal, Instant::now() + flush));
    }

    /// Starts the command as soon as what it writes has somewhere to go.
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

    /// Step 6. A signal often comes together with the end of stdin, because Ctrl-C ends both sides
    /// of the shell's pipe. The signal came first then, and what it broke off did not end well.
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
