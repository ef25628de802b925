//! The satellite's event loop, which moves messages between one ROUTER socket and the [`Broker`].
//!
//! This module owns the socket, the socket's options and the clock. It looks at nothing in a message but the
//! number of frames, and never decides anything about a pipe. Each round of the loop does this:
//!
//! 1. Read the [clock](RunningClock). At a satellite with keys, also read the wall-clock time.
//! 2. Receive messages and pass each to the broker, until none is left (the socket is *drained*) or a batch
//!    is full. An empty message is libzmq's notification that its peer has gone.
//! 3. If drained, ask once a second about peers whose [notification](Departures) may have been lost.
//! 4. If the satellite was asked to stop, tell the broker once.
//! 5. If the broker's deadline has passed, tell the broker, but only once the socket is drained: a peer whose
//!    message is still unread is not silent. A satellite too busy for that does it after so many batches that
//!    every peer had its turn.
//! 6. If a sync of the store has finished, tell the broker.
//! 7. At a satellite with keys, tell [TLS](Admission) who may connect, if that has changed.
//! 8. Carry out the broker's outputs: send without waiting, report what the socket refused, save the keys,
//!    log. End if the broker says so.
//! 9. Let libzmq send and receive. Wait for a message, a stop request, the end of a sync or the deadline.
//!    After a full batch, only look without waiting.
//!
//! libzmq's own I/O thread sleeps as long as the loop [has little to do](sharing). One thread that [does all
//! the work](crate::borrowing) is faster than two that wake each other, even in bulk.
//!
//! A satellite with an identity speaks only [TLS](crate::tls), and only to peers whose keys the broker knows.
//! Each message then comes with the id of the key that its connection proved. A message without one is
//! dropped, because nobody could have sent it. A satellite without an identity speaks to everybody, and pays
//! nothing for this.

mod authentication;
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

use self::authentication::Admission;
use self::clock::RunningClock;
use self::departures::Departures;
use self::outbox::Outbox;
use self::sharing::Sharing;
use crate::borrowing::BorrowedIo;
use crate::broker::{Broker, FREE_FRAME, Input, Now, Output, Peer};
use crate::frame::{self, Sent};
use crate::keys::KeyId;
use crate::protocol::seed::SigningPair;
use crate::protocol::{MAX_CHUNK, MAX_UNCONFIRMED};
use crate::store::Store;

/// The number of messages handled before anything is sent. Many, so that sends are grouped; few, so that a
/// peer's answer does not wait long for others.
const BATCH: usize = 128;

/// After this many full batches, a deadline no longer waits until the socket is drained. libzmq receives from
/// its connections in turn, so by then even ten thousand connections (the maximum) have each been heard if
/// they had something to say.
const OVERDUE_BATCHES: usize = 80;

/// How many frames of a message the broker is shown, after the routing id. It is one more than any valid
/// message has, so that the broker can tell.
const FRAMES_SHOWN: usize = 5;

/// The longest wait while something is due. A satellite that is halted during a wait cannot tell the halt
/// from the wait, so the clock may then be wrong by this much.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The wait when nothing is due. Any time would do.
const IDLE_PAUSE: Duration = Duration::from_secs(3600);

/// The maximum number of messages queued for one connection. It exceeds the number of unconfirmed items, with
/// room for answers, so a SKYPIPE/1 client never reaches it. Each message is a reference to bytes that the
/// broker counts.
const SEND_QUEUE: usize = 2 * MAX_UNCONFIRMED;

/// The maximum number of messages received from one connection and not yet passed to the broker. Beyond it,
/// TCP makes the client wait, which loses nothing, so a few are enough. These bytes are outside the memory
/// budget.
const RECEIVE_QUEUE: i32 = 64;

/// How much longer than a chunk a frame may be, in bytes: room for what sealing adds. libzmq closes a
/// connection that sends a longer frame before the frame takes memory.
const FRAME_SLACK: usize = 4 << 10;

/// How long sent data may take to leave after the loop has ended, in milliseconds.
const LINGER_MS: i32 = 1000;

/// How often libzmq itself pings a quiet connection, and (`HEARTBEAT_TIMEOUT_MS`) how long it waits for an
/// answer before it closes the connection, in milliseconds. This is how a v0.1 client whose machine has
/// vanished is noticed: that protocol has no heartbeat that its clients survive.
const HEARTBEAT_MS: i32 = 5000;
const HEARTBEAT_TIMEOUT_MS: i32 = 15_000;

/// How long a new connection may take to speak ZeroMQ and prove its key, in milliseconds. A port scanner or a
/// browser must not hold a file descriptor for long. It is twice as long as a client of this version waits.
const HANDSHAKE_MS: i32 = 5_000;

/// How many connections may wait to be accepted. A thousand clients that all reconnect after a restart are
/// not turned away. (The system may allow fewer.)
const BACKLOG: i32 = 1024;

/// What the program around the loop does for it.
pub struct Edge<'a> {
    /// Writes a line to the log.
    pub log: &'a mut dyn FnMut(&str),
    /// Replaces the saved keys. On success, the new keys survive a power loss. On failure, returns the
    /// reason.
    pub save_keys: &'a mut dyn FnMut(&[u8]) -> Result<(), String>,
}

/// Why a satellite ended without being asked to.
#[derive(Debug)]
pub enum ServeError {
    /// The socket has failed.
    Socket(io::Error),
    /// The store has failed, for this reason. The last messages tell all connected clients.
    Store(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the satellite's socket failed: {error}"),
            Self::Store(why) => write!(
                f,
                "{why}: the satellite stops, because it can no longer keep data safe; once \
                 restarted, it continues with the data that is safe"
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

/// A bound socket that is not served yet. Dropping it closes the socket.
pub struct Server {
    context: Context,
    socket: Socket,
    admission: Option<Admission>,
    /// The endpoints where the socket is bound, at least one.
    endpoints: Vec<String>,
    synced: Option<PipeReader>,
}

impl Server {
    /// Binds `endpoint`. It is either `tcp://ADDRESS:PORT`, where port 0 lets the system choose and an IPv6
    /// address is in brackets, or `ipc://PATH`, which replaces an existing socket file and leaves its own
    /// behind.
    ///
    /// With an `identity`, only clients whose keys the broker admits may connect. Without one, everybody may.
    ///
    /// # Errors
    ///
    /// If the system refuses the address or the path, or libzmq cannot parse the endpoint.
    pub fn bind(endpoint: &str, identity: Option<&SigningPair>) -> io::Result<Self> {
        let context = Context::new();
        let mut socket = context.socket(zmq::ROUTER)?;
        configure(&mut socket)?;
        let admission = identity.map(Admission::new).transpose()?;
        if let Some(admission) = &admission {
            admission.guard(&mut socket)?;
        }
        // For an ipc connection, the system itself reports when the other end is gone.
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

    /// Binds one more `endpoint`, for clients on other machines. Clients of an `ipc` endpoint come through a
    /// relay. Returns the endpoint with the port that the system chose.
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

    /// Makes each byte in this pipe signal that a sync of the store has finished.
    #[must_use]
    pub fn woken_by(self, synced: PipeReader) -> Self {
        Self {
            synced: Some(synced),
            ..self
        }
    }

    /// The first endpoint, with the port that the system chose.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoints[0]
    }

    /// All endpoints, with the ports that the system chose.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Serves until the broker ends the loop. The broker is asked to once `stop` is readable or closed at its
    /// other end. When this returns, the last messages have left or a second has passed.
    ///
    /// # Errors
    ///
    /// If the socket fails in a way that no peer can cause, or if the store has failed.
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
            // Before a key's holder is told of a new key, and again after the round in which a key was
            // revoked.
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
    // Undeliverable messages are reported, never dropped silently.
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

/// Enables libzmq's heartbeats for all endpoints bound from here on.
fn ask_for_signs_of_life(socket: &Socket) -> io::Result<()> {
    socket.set_heartbeat_ivl(HEARTBEAT_MS)?;
    socket.set_heartbeat_timeout(HEARTBEAT_TIMEOUT_MS)?;
    Ok(())
}

/// The state of the loop.
struct Rounds<'a, S> {
    /// The work of libzmq's I/O thread, while the loop does it. It is given back before the socket is closed,
    /// so that the last messages leave by themselves.
    io: Option<BorrowedIo>,
    sharing: Sharing,
    socket: Socket,
    context: Context,
    admission: Option<Admission>,
    /// Where the store signals the end of a sync.
    synced: Option<PipeReader>,
    /// Whether a signal has arrived.
    is_synced: bool,
    broker: &'a mut Broker<S>,
    edge: Edge<'a>,
    departures: Departures,
    outbox: Outbox,
    now: Now,
    /// The descriptor that asks the satellite to stop. None once it has been readable.
    stop: Option<BorrowedFd<'a>>,
    /// Whether a stop was requested and the broker has not been told.
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

    /// Receives and handles one batch. Returns whether the socket is drained.
    fn receive_batch(&mut self) -> io::Result<bool> {
        for _ in 0..BATCH {
            match frame::receive(&mut self.socket, 1 + FRAMES_SHOWN)? {
                Some(received) => self.take_in(received),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Handles one message. At a satellite with keys it comes with the id of its connection's key.
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

    /// Tells the broker the wall-clock time, by which keys expire.
    fn tell_time(&mut self) {
        if self.admission.is_some() {
            let time = SystemTime::now().duration_since(UNIX_EPOCH);
            self.broker.tell_time(time.unwrap_or_default().as_secs());
        }
    }

    fn renew_admission(&mut self) {
        if let Some(admission) = &mut self.admission
            && let Some((registry, share)) = self.broker.changed_registry()
        {
            admission.renew(registry, share);
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
            // At least one byte is there. A byte that comes later signals again.
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

    /// Carries out the broker's outputs. Returns whether the loop has to end.
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
            // The broker counts a payload until its listener has confirmed it.
            [_, _, _, ..] => frame::send(&mut self.socket, Some(&peer.0), frames)?,
            _ => self.send_reply(&peer, frames)?,
        };
        match sent {
            Sent::Taken if report => self.tell(Input::Taken { peer }),
            Sent::Taken => {}
            Sent::Full => self.tell(Input::Congested { peer }),
            Sent::Unreachable => self.gone(peer),
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

    /// Sends and receives without waiting, if this is the loop's work. Returns when there is work again even
    /// if nothing arrives.
    fn turn(&mut self) -> io::Result<Option<Duration>> {
        match &mut self.io {
            Some(io) => Ok(io.turn(&[&self.socket])?),
            None => Ok(None),
        }
    }

    /// Takes over the work of libzmq's I/O thread, or gives it back.
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
