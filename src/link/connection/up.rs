//! One pair of sockets: the DEALER and its monitor.
//!
//! Owns the options of both, and the words in which the person is told of an ending. Never decides
//! whether another connection is made.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use skypipe_broker::borrowing::BorrowedIo;
use skypipe_broker::frame;
use skypipe_broker::protocol::MAX_CHUNK;
use skypipe_broker::tls::Layer;
use zmq::{Context, Socket};

use super::Breach;
use super::ending::{self, EVENTS, Ending, News};
use crate::link::route::{Keys, Way};

/// How long a host may take to accept a connection, and its program to shake hands as `ZeroMQ` does,
/// in milliseconds each: a little less than the session gives an attempt, so that it learns the reason.
const PATIENCE: i32 = 2500;

/// After what time `ZeroMQ` would connect again by itself, in milliseconds: never, as the session
/// asks for a new connection long before. (Its own "never" throws away what was received last.)
const RECONNECT: i32 = 3_600_000;

/// A socket that is connected, or about to be.
pub(super) struct Up {
    /// The work of its I/O thread, once it is this thread's.
    pub(super) io: Option<BorrowedIo>,
    pub(super) socket: Socket,
    pub(super) monitor: Socket,
    /// Where it is connected to, in the words of `ZeroMQ`.
    pub(super) endpoint: String,
    /// Where a probe would go; there is none for a socket of this machine.
    pub(super) address: Option<SocketAddr>,
    /// Whether it has keys.
    pub(super) is_private: bool,
    phase: Phase,
    began: Instant,
    /// How long the system took to connect.
    latency: Option<Duration>,
    /// The satellite in the person's words.
    name: String,
    /// What its connection goes through.
    _layer: Option<Layer>,
    _directory: Option<File>,
}

impl Drop for Up {
    fn drop(&mut self) {
        frame::end_monitor(&mut self.socket);
    }
}

/// The longest frame that is taken in, in bytes: a chunk, or a page of a listing, and what stands around it.
const LONGEST_FRAME: usize = MAX_CHUNK + (4 << 10);

/// The most messages that have come and were not yet looked at. A true satellite is bounded by windows; one that is
/// none could fill the memory with empty messages, each of which takes thirty times its bytes there. What is
/// beyond waits in the system's buffers.
const RECEIVE_QUEUE: i32 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has answered yet.
    Connecting,
    /// A program that speaks `ZeroMQ` is at the other end, and has our satellite's key if it has any.
    Whole,
    /// It is over, and that has been noted.
    Broken,
}

impl Up {
    /// Sockets and monitor for the connection of this `number`, over a `stream` that stands already if the
    /// way needs one.
    ///
    /// What is sent has no high-water mark: it is bounded by credit, and a mark would only be a second limit,
    /// kept by silence.
    pub(super) fn new(
        context: &Context,
        number: u64,
        way: Way,
        stream: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let mut socket = context.socket(zmq::DEALER)?;
        socket.set_linger(0)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(RECEIVE_QUEUE)?;
        socket.set_maxmsgsize(LONGEST_FRAME.try_into().unwrap_or(i64::MAX))?;
        socket.set_ipv6(way.ipv6)?;
        socket.set_reconnect_ivl(RECONNECT)?;
        socket.set_connect_timeout(PATIENCE)?;
        socket.set_handshake_ivl(PATIENCE)?;
        let layer = way.keys.as_ref().map(|keys| cover(&mut socket, keys));
        let layer = layer.transpose()?;
        // The monitor's other end comes before the connection, or its first news would be missed.
        let address = format!("inproc://monitor-{number}");
        socket.monitor(
            &address,
            EVENTS.map(|event| i32::from(event.to_raw())).iter().sum(),
        )?;
        let monitor = context.socket(zmq::PAIR)?;
        monitor.set_linger(0)?;
        monitor.connect(&address)?;
        let mut up = Self {
            io: None,
            socket,
            monitor,
            address: address_of(&way.endpoint).filter(|_| stream.is_none()),
            endpoint: way.endpoint,
            is_private: layer.is_some(),
            phase: Phase::Connecting,
            began: Instant::now(),
            latency: None,
            name: way.name,
            _layer: layer,
            _directory: way.directory,
        };
        match stream {
            Some(stream) => frame::connect_over(&mut up.socket, stream)?,
            None => up.socket.connect(&up.endpoint)?,
        }
        Ok(up)
    }

    /// From here on this thread sends and receives by itself, where that can be: nothing else uses the
    /// context by then.
    pub(super) fn borrow(&mut self, context: &Context) {
        self.io = BorrowedIo::of(context, &mut self.socket);
    }

    /// Leaves sending and receiving to a thread again.
    pub(super) fn give_back(&mut self) {
        self.io = None;
    }

    /// Sends and receives what can be without waiting, if that is this thread's work. Returns how soon the
    /// next turn is due: at once, if something has come in.
    pub(super) fn turn(&mut self) -> Option<Duration> {
        let sockets = [&self.socket, &self.monitor];
        // One that is no longer good says so to whoever receives from it.
        let due = self.io.as_mut()?.turn(&sockets);
        due.unwrap_or(Some(Duration::ZERO))
    }

    /// Takes all that the monitor says, since one that is not listened to stops all connections.
    /// Returns how the connection ended when it has just done so.
    pub(super) fn look(&mut self) -> Option<Ending> {
        let mut ended = None;
        let patience = Duration::from_millis(PATIENCE.unsigned_abs().into());
        while let Ok(Some(received)) = frame::receive(&mut self.monitor, 1) {
            let frame = received.frames.first();
            let news = frame.and_then(|frame| ending::read(frame, self.began, patience));
            match (news, self.phase) {
                (None, _) | (_, Phase::Broken) => {}
                (Some(News::Connected), _) => self.latency = Some(self.began.elapsed()),
                (Some(News::Whole), _) => self.phase = Phase::Whole,
                (Some(News::Over(_)), Phase::Whole) => ended = Some(Ending::Broke),
                (Some(News::Over(ending)), Phase::Connecting) => ended = Some(ending),
            }
            if ended.is_some() {
                self.phase = Phase::Broken;
            }
        }
        ended
    }

    /// Whether the handshake has succeeded, and the connection is not known to be broken.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Phase::Whole
    }

    /// How long the system took to connect to another machine: one way there and back.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.filter(|_| self.address.is_some())
    }

    /// Takes no more notice of what the monitor says: the connection is known to be broken.
    pub(super) fn give_up(&mut self) {
        self.phase = Phase::Broken;
    }

    /// What an `ending` means, in a few words and without a name.
    pub(super) fn words(&self, ending: Ending) -> &'static str {
        match ending {
            Ending::Broke => "the connection broke",
            Ending::Nobody => "nobody answers there",
            Ending::HungUp | Ending::Strange => "what is there does not answer as a satellite does",
            Ending::Mismatch if self.is_private => "the satellite there has no keys",
            Ending::Mismatch => "the satellite there is private",
            Ending::Unknown => "the satellite does not know this machine's key",
            Ending::Impostor => "what is there is not the satellite of your invitation",
        }
    }

    /// The satellite in the person's words.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What an `ending` means for whoever wants a connection.
    pub(super) fn breach(&self, ending: Ending) -> Breach {
        let name = &self.name;
        let sentence = match ending {
            Ending::Broke | Ending::Nobody | Ending::HungUp | Ending::Strange => {
                return Breach::Broken(self.words(ending).to_owned());
            }
            Ending::Mismatch if self.is_private => format!(
                "the satellite at {name} has no keys, but your invitation is to one that has: ask \
                 whoever invited you where that one is"
            ),
            Ending::Mismatch => format!(
                "the satellite at {name} is private: it lets in only who was invited: whoever \
                 has joined it makes an invitation with skypipe --invite, and skypipe --join takes it \
                 here"
            ),
            Ending::Unknown => format!(
                "the satellite at {name} does not know this machine's key: it was revoked, has \
                 expired, or is another satellite's; ask for a new invitation"
            ),
            Ending::Impostor => format!(
                "what answers at {name} is not the satellite of your invitation: it has another \
                 key; if the satellite was set up anew, ask for a new invitation"
            ),
        };
        Breach::Refused(sentence)
    }
}

/// Has a socket speak to nobody but the satellite of these keys.
fn cover(socket: &mut Socket, keys: &Keys) -> io::Result<Layer> {
    let layer = Layer::client(&keys.identity, keys.satellite)?;
    layer.cover(socket)?;
    Ok(layer)
}

fn address_of(endpoint: &str) -> Option<SocketAddr> {
    endpoint.strip_prefix("tcp://")?.parse().ok()
}
