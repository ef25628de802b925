//! The satellite's loop: moves messages between one ROUTER socket and the [`Broker`].
//!
//! Owns the socket, its options and the clock. It never looks into a message beyond counting its
//! frames, and never decides anything about a pipe. Each round of the loop does this:
//!
//! 1. Read the [clock](RunningClock), and at a satellite that has keys the calendar.
//! 2. Receive messages and hand each to the broker, until none is left (the socket is *drained*) or
//!    a batch is full. An empty message is libzmq's notice that its peer has gone.
//! 3. If drained, ask about peers whose [notice](Departures) may have been lost, once a second.
//! 4. If somebody asked the satellite to stop, tell the broker, once.
//! 5. If the broker's deadline has passed, tell it: but only once drained, so that no peer is taken
//!    for silent that has spoken; a satellite too busy for that does it after so many batches that
//!    every peer had its turn.
//! 6. If a sync of the store has come to its end, tell the broker.
//! 7. At a satellite that has keys, tell [TLS](Admission) who may connect, if that has changed.
//! 8. Do what the broker wants: send without waiting, tell it what the socket refused, keep its keys,
//!    log. If it wants to end, end.
//! 9. Let libzmq send and receive. Wait for a message, the wish to stop, a sync's end or the deadline; after a
//!    full batch, only look.
//!
//! libzmq's own I/O thread sleeps for as long as the loop [has little to do](sharing): one thread that does
//! [all in turn](crate::borrowing) is faster than two that wake each other, even in bulk.
//!
//! A satellite that has an identity of its own speaks [TLS](crate::tls) and nothing else, and only to those
//! whose keys the broker knows. Each message then comes with the number of the key that its connection
//! proved; one without is dropped, as nobody could have sent it. Without an identity a satellite speaks to
//! everybody, and pays nothing for this.

mod admission;
mod clock;
mod departures;
mod outbox;
mod sharing;

use std::fmt;
use std::io::{self, PipeReader, Read as _};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use zmq::{Context, PollItem, Socket};

use self::admission::Admission;
use self::clock::RunningClock;
use self::departures::Departures;
use self::outbox::Outbox;
use self::sharing::Sharing;
use crate::borrowing::BorrowedIo;
use crate::broker::{Broker, FREE_FRAME, Input, Now, Output, Peer};
use crate::frame::{self, Sent};
use crate::keys::KeyId;
use crate::keys::seed::SigningPair;
use crate::protocol::{MAX_CHUNK, MAX_TURNS_OPEN};
use crate::store::Store;

/// The messages handled before anything is sent: enough that sending is done in strokes, few enough
/// that a peer's answer does not wait long for others.
const BATCH: usize = 128;

/// After so many full batches a deadline no longer waits for the socket to be drained. libzmq
/// receives from its connections in turn, so that with ten thousand of them (the most that a
/// satellite serves) each one that has something to say has then been heard.
const OVERDUE_BATCHES: usize = 80;

/// The frames of a message that the broker is shown, behind the routing id: one more than any message
/// has, so that it can tell.
const FRAMES_SHOWN: usize = 5;

/// The longest wait while something is due. A satellite that is halted in the middle of a wait
/// cannot tell the halt from the wait, so this is how far the clock may be wrong then.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The wait when nothing is due: any time would do.
const IDLE_PAUSE: Duration = Duration::from_secs(3600);

/// The most messages queued for one connection: more than the turns that are ever open, with room
/// for answers, so that a client of SKYPIPE/1 never meets it. Each is a reference to bytes that the
/// broker counts.
const SEND_QUEUE: usize = 2 * MAX_TURNS_OPEN;

/// The most messages taken in from one connection and not yet handed to the broker. When they are
/// used up TCP makes the client wait, which loses nothing, so few are enough; these bytes are
/// outside the memory budget.
const RECEIVE_QUEUE: i32 = 64;

/// What a frame may be longer than a chunk, in bytes: room for what sealing adds. A connection that
/// exceeds it is closed by libzmq before the frame takes up memory.
const FRAME_SLACK: usize = 4 << 10;

/// How long what has been sent may still take to leave, once the loop has ended, in milliseconds.
const LINGER_MS: i32 = 1000;

/// How often a quiet connection is asked for a sign of life by libzmq itself, and after how long
/// without one it is closed, in milliseconds. It is how a client of version 0.1 whose machine has
/// vanished is noticed, for that protocol has no heartbeat that its clients survive.
const HEARTBEAT_MS: i32 = 5000;
const HEARTBEAT_TIMEOUT_MS: i32 = 15_000;

/// How long a new connection may take to say that it speaks ZeroMQ and to prove its key, in
/// milliseconds: what does not (a port scanner, a browser) shall not hold a descriptor for long. It
/// is twice what a client of this version waits itself.
const HANDSHAKE_MS: i32 = 5_000;

/// How many connections may wait to be accepted: a thousand clients that all come back at once
/// after a restart are not turned away. (The system may allow fewer.)
const BACKLOG: i32 = 1024;

/// What the loop has done around it.
pub struct Edge<'a> {
    /// Takes a line for the log.
    pub log: &'a mut dyn FnMut(&str),
    /// Keeps the broker's keys in place of those kept before, so that they outlast a loss of power
    /// once it returns; or says why it did not.
    pub save_keys: &'a mut dyn FnMut(&[u8]) -> Result<(), String>,
}

/// Why a satellite ends that nobody asked to.
#[derive(Debug)]
pub enum ServeError {
    /// Its socket has failed.
    Socket(io::Error),
    /// Its store has, which says why. What was sent last says so to all who are connected.
    Store(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the satellite's socket failed: {error}"),
            Self::Store(why) => write!(
                f,
                "{why}: the satellite ends, for it cannot promise anything; once it is started \
                 again, it goes on with what is safe"
            ),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// A bound socket that is not served yet. Dropping it closes it.
pub struct Server {
    context: Context,
    socket: Socket,
    admission: Option<Admission>,
    /// Where it is bound, at least one.
    endpoints: Vec<String>,
    synced: Option<PipeReader>,
}

impl Server {
    /// Binds `endpoint`: `tcp://ADDRESS:PORT`, where port 0 lets the system choose and an IPv6
    /// address stands in brackets, or `ipc://PATH`, which replaces a socket that is there already and
    /// stays behind afterwards.
    ///
    /// With an `identity`, only those are let in whose keys the broker admits. Without, everybody is.
    ///
    /// # Errors
    ///
    /// When the system refuses the address or the path, or libzmq cannot make sense of it.
    pub fn bind(endpoint: &str, identity: Option<&SigningPair>) -> io::Result<Self> {
        let context = Context::new();
        let mut socket = context.socket(zmq::ROUTER)?;
        configure(&mut socket)?;
        let admission = identity.map(Admission::new).transpose()?;
        if let Some(admission) = &admission {
            admission.guard(&mut socket)?;
        }
        // The system itself tells when the other end of an ipc connection is gone.
        if !endpoint.starts_with("ipc://") {
            ask_for_signs_of_life(&socket)?;
        }
        let mut server = Self {
            context,
            socket,
            admission,
            endpoints: Vec::new(),
            synced: None,
        };
        server.bind_one(endpoint)?;
        Ok(server)
    }

    /// Binds one more `endpoint`, for clients on other machines; if it is an `ipc` one, they come to it
    /// through a relay. Returns it, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn bind_also(&mut self, endpoint: &str) -> io::Result<String> {
        ask_for_signs_of_life(&self.socket)?;
        self.bind_one(endpoint)
    }

    fn bind_one(&mut self, endpoint: &str) -> io::Result<String> {
        self.socket.set_ipv6(endpoint.starts_with("tcp://["))?;
        frame::bind(&mut self.socket, endpoint)?;
        let bound = self.socket.get_last_endpoint()?;
        let bound = bound.unwrap_or_else(|_| endpoint.to_owned());
        self.endpoints.push(bound.clone());
        Ok(bound)
    }

    /// Lets a byte in this pipe tell that a sync of the store has come to its end.
    #[must_use]
    pub fn woken_by(self, synced: PipeReader) -> Self {
        Self {
            synced: Some(synced),
            ..self
        }
    }

    /// Where it was bound first, with the port that the system chose.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoints[0]
    }

    /// Where it is bound, with the ports that the system chose.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Serves until the broker ends it, which it is asked to do once `stop` is readable or closed
    /// from its other side. What was sent last has left, or a second has passed, when this returns.
    ///
    /// # Errors
    ///
    /// When the socket fails in a way that no peer can bring about, or the store has failed.
    pub fn run<'a, S: Store>(
        self,
        broker: &'a mut Broker<S>,
        stop: BorrowedFd<'a>,
        edge: Edge<'a>,
    ) -> Result<(), ServeError> {
        let start = Instant::now();
        let mut clock = RunningClock::new(broker.shortest_time());
        let mut rounds = Rounds::new(self, broker, stop, edge);
        let mut pause = Duration::ZERO;
        loop {
            rounds.now = clock.advance(start.elapsed(), pause);
            rounds.tell_time();
            let drained = rounds.receive_batch()?;
            rounds.ask_about_departures(drained);
            rounds.pass_on_stop();
            rounds.pass_on_sync()?;
            rounds.time_out(drained);
            // Before its holder is told that there is a key, and after one was taken back.
            rounds.renew_admission();
            let is_over = rounds.work_off()?;
            rounds.renew_admission();
            if is_over {
                return Ok(());
            }
            pause = rounds.pause(drained);
            rounds.wait(pause)?;
        }
    }
}

fn configure(socket: &mut Socket) -> io::Result<()> {
    // What cannot be delivered is reported, never dropped in silence.
    socket.set_router_mandatory(true)?;
    frame::notify_disconnects(socket)?;
    socket.set_sndhwm(SEND_QUEUE.try_into().unwrap_or(i32::MAX))?;
    socket.set_rcvhwm(RECEIVE_QUEUE)?;
    frame::ask_credit(socket, FREE_FRAME)?;
    socket.set_maxmsgsize((MAX_CHUNK + FRAME_SLACK).try_into().unwrap_or(i64::MAX))?;
    socket.set_linger(LINGER_MS)?;
    socket.set_handshake_ivl(HANDSHAKE_MS)?;
    socket.set_backlog(BACKLOG)?;
    Ok(())
}

/// Has libzmq look after the connections of what is bound from here on.
fn ask_for_signs_of_life(socket: &Socket) -> io::Result<()> {
    socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
    socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)?;
    Ok(())
}

/// What the rounds of the loop share.
struct Rounds<'a, S> {
    /// The work of libzmq's I/O thread. It is given back before the socket is closed: what was sent
    /// last then leaves by itself.
    io: Option<BorrowedIo>,
    sharing: Sharing,
    socket: Socket,
    context: Context,
    admission: Option<Admission>,
    /// Where a sync's end is told.
    synced: Option<PipeReader>,
    /// Whether it was.
    is_synced: bool,
    broker: &'a mut Broker<S>,
    edge: Edge<'a>,
    departures: Departures,
    outbox: Outbox,
    now: Now,
    /// The descriptor to watch, until it has been readable.
    stop: Option<BorrowedFd<'a>>,
    /// Whether it was, and the broker has not been told.
    stop_asked: bool,
    /// How many full batches there were since the broker's deadline passed.
    overdue_batches: usize,
}

impl<'a, S: Store> Rounds<'a, S> {
    fn new(
        server: Server,
        broker: &'a mut Broker<S>,
        stop: BorrowedFd<'a>,
        edge: Edge<'a>,
    ) -> Self {
        Self {
            io: None,
            sharing: Sharing::default(),
            socket: server.socket,
            context: server.context,
            admission: server.admission,
            synced: server.synced,
            is_synced: false,
            broker,
            edge,
            departures: Departures::default(),
            outbox: Outbox::default(),
            now: Now::ZERO,
            stop: Some(stop),
            stop_asked: false,
            overdue_batches: 0,
        }
    }

    /// Whether the socket was drained.
    fn receive_batch(&mut self) -> io::Result<bool> {
        for _ in 0..BATCH {
            match frame::receive(&mut self.socket, 1 + FRAMES_SHOWN)? {
                Some(received) => self.take_in(received),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// At a satellite that has keys a message comes with the number of its connection's key.
    fn take_in(&mut self, received: frame::Received) {
        let frame::Received {
            mut frames,
            name,
            is_short,
        } = received;
        let key = name.filter(|_| self.admission.is_some()).map(KeyId);
        let peer = Peer(frames.remove(0));
        if frames.len() == 1 && frames[0].is_empty() {
            self.gone(peer);
        } else if key.is_some() || self.admission.is_none() {
            self.departures.heard(self.now, &peer);
            self.outbox.heard(&peer, key);
            self.tell(if is_short {
                Input::Oversent { peer, key, frames }
            } else {
                Input::Received { peer, key, frames }
            });
        }
    }

    fn gone(&mut self, peer: Peer) {
        self.departures.forget(&peer);
        self.outbox.forget(&peer);
        self.tell(Input::Disconnected { peer });
    }

    /// Keys expire by the calendar.
    fn tell_time(&mut self) {
        if self.admission.is_some() {
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            self.broker.tell_time(time.unwrap_or_default().as_secs());
        }
    }

    fn renew_admission(&mut self) {
        if let Some(admission) = &mut self.admission
            && let Some((roll, share)) = self.broker.changed_roll()
        {
            admission.renew(roll, share);
        }
    }

    fn ask_about_departures(&mut self, drained: bool) {
        if !drained || self.departures.due().is_none_or(|due| due > self.now) {
            return;
        }
        for peer in self.departures.quiet(self.now) {
            if !frame::is_connected(&mut self.socket, &peer.0) {
                self.gone(peer);
            }
        }
    }

    fn pass_on_stop(&mut self) {
        if mem::take(&mut self.stop_asked) {
            self.tell(Input::Stop);
        }
    }

    fn pass_on_sync(&mut self) -> io::Result<()> {
        if mem::take(&mut self.is_synced)
            && let Some(synced) = &mut self.synced
        {
            // There is at least one byte; one that comes later tells itself.
            let _ = synced.read(&mut [0; 64])?;
            self.tell(Input::Synced);
        }
        Ok(())
    }

    fn time_out(&mut self, drained: bool) {
        let passed = self
            .broker
            .deadline()
            .is_some_and(|deadline| deadline <= self.now);
        if passed && !drained && self.overdue_batches < OVERDUE_BATCHES {
            self.overdue_batches += 1;
            return;
        }
        self.overdue_batches = 0;
        if passed {
            self.tell(Input::Timeout);
        }
    }

    /// Whether the broker wants to end.
    fn work_off(&mut self) -> Result<bool, ServeError> {
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send {
                    peer,
                    frames,
                    report,
                } => self.send(peer, &frames, report)?,
                Output::SaveKeys(keys) => {
                    let saved = (self.edge.save_keys)(&keys);
                    self.tell(Input::KeysSaved(saved));
                }
                Output::Credit { peer, amount } => {
                    frame::give_credit(&mut self.socket, &peer.0, amount)?;
                }
                Output::Log(line) => (self.edge.log)(&line),
                Output::Stop => return Ok(true),
                Output::Fail(why) => return Err(ServeError::Store(why)),
            }
        }
        Ok(false)
    }

    fn send(&mut self, peer: Peer, frames: &[Bytes], report: bool) -> io::Result<()> {
        let sent = match frames {
            // A payload is counted by the broker until its listener has confirmed it.
            [_, _, _, ..] => frame::send(&mut self.socket, Some(&peer.0), frames)?,
            _ => self.send_reply(&peer, frames)?,
        };
        match sent {
            Sent::Taken if report => self.tell(Input::Taken { peer }),
            Sent::Taken => {}
            Sent::Full => self.tell(Input::Congested { peer }),
            Sent::Unreachable => self.tell(Input::Disconnected { peer }),
        }
        Ok(())
    }

    fn send_reply(&mut self, peer: &Peer, frames: &[Bytes]) -> io::Result<Sent> {
        let Some((reply, before)) = frames.split_last() else {
            return Ok(Sent::Taken);
        };
        let Some(reply) = self.outbox.take(peer, reply.clone()) else {
            return Ok(Sent::Full);
        };
        let mut frames = before.to_vec();
        frames.push(reply);
        frame::send_lent(&mut self.socket, &peer.0, &frames)
    }

    fn pause(&self, drained: bool) -> Duration {
        if !drained {
            return Duration::ZERO;
        }
        match self
            .broker
            .deadline()
            .into_iter()
            .chain(self.departures.due())
            .min()
        {
            Some(due) => due.saturating_sub(self.now).min(MAX_PAUSE),
            None => IDLE_PAUSE,
        }
    }

    /// Sends and receives what can be without waiting, if that is this thread's work. Returns how soon there
    /// is something to do again, even if nothing comes in.
    fn turn(&mut self) -> io::Result<Option<Duration>> {
        match &mut self.io {
            Some(io) => Ok(io.turn(&[&self.socket])?),
            None => Ok(None),
        }
    }

    /// Takes the work of libzmq's I/O thread, or leaves it to the thread.
    fn share(&mut self) {
        if !self.sharing.is_alone(Instant::now()) {
            self.io = None;
        } else if self.io.is_none() {
            self.io = BorrowedIo::of(&self.context, &mut self.socket);
        }
    }

    fn wait(&mut self, pause: Duration) -> io::Result<()> {
        self.share();
        let sooner = self.turn()?.unwrap_or(pause);
        // Rounded up, so that the deadline has passed when the wait is over.
        let millis = pause.min(sooner).as_micros().div_ceil(1000);
        let millis = millis.try_into().unwrap_or(i64::MAX);
        let mut items = vec![match &self.io {
            Some(io) => PollItem::from_fd(io.fd(), zmq::POLLIN),
            None => self.socket.as_poll_item(zmq::POLLIN),
        }];
        items.extend(
            self.stop
                .map(|stop| PollItem::from_fd(stop.as_raw_fd(), zmq::POLLIN)),
        );
        let synced = self.synced.as_ref().map(AsRawFd::as_raw_fd);
        items.extend(synced.map(|synced| PollItem::from_fd(synced, zmq::POLLIN)));
        match zmq::poll(&mut items, millis) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = items
            .iter()
            .skip(1)
            .map(|item| item.is_readable() || item.is_error());
        if self.stop.is_some() && ready.next() == Some(true) {
            self.stop = None;
            self.stop_asked = true;
        }
        self.is_synced = synced.is_some() && ready.next() == Some(true);
        self.sharing.begin(Instant::now());
        self.turn()?;
        Ok(())
    }

    fn tell(&mut self, input: Input) {
        self.broker.handle(self.now, input);
    }
}
