//! One pair of sockets: the DEALER and its monitor.
//!
//! This module owns the options of both, and the wording of failures for the user. It never decides whether
//! another connection is made.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use skypipe_protocol::MAX_CHUNK;
use skypipe_transport::borrowing::BorrowedIo;
use skypipe_transport::frame;
use skypipe_transport::tls::Layer;
use zmq::{Context, Socket};

use super::Breach;
use super::ending::{self, EVENTS, Ending, News};
use crate::link::route::{Keys, Way};

/// How long a host may take to accept a connection, and again to complete ZeroMQ's handshake, in
/// milliseconds each. It is a little less than the session allows for an attempt, so that the session
/// learns the reason.
const PATIENCE: i32 = 2500;

/// ZeroMQ's reconnect interval, in milliseconds. It is practically never, because the session asks for a
/// new connection long before. (ZeroMQ's own setting for "never" discards what was received last.)
const RECONNECT: i32 = 3_600_000;

/// A socket that is connected or connecting.
pub(super) struct Up {
    /// The socket's I/O, once this thread does it.
    pub(super) io: Option<BorrowedIo>,
    pub(super) socket: Socket,
    pub(super) monitor: Socket,
    /// The endpoint in ZeroMQ's notation.
    pub(super) endpoint: String,
    /// The address for a probe. `None` for a Unix socket.
    pub(super) address: Option<SocketAddr>,
    /// Whether the connection uses keys.
    pub(super) is_private: bool,
    phase: Phase,
    began: Instant,
    /// How long the system took to connect.
    latency: Option<Duration>,
    /// The satellite's endpoint as the user wrote it.
    name: String,
    /// The TLS layer, which must live as long as the socket.
    _layer: Option<Layer>,
    _directory: Option<File>,
}

impl Drop for Up {
    fn drop(&mut self) {
        frame::end_monitor(&mut self.socket);
    }
}

/// The longest frame that is accepted, in bytes: a chunk, or a page of a listing, with what surrounds it.
const LONGEST_FRAME: usize = MAX_CHUNK + (4 << 10);

/// The most received messages that were not yet read. An honest satellite is limited by windows. A
/// dishonest one could fill the memory with empty messages, each of which takes thirty times its size
/// there. Anything beyond waits in the system's buffers.
const RECEIVE_QUEUE: i32 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has answered yet.
    Connecting,
    /// The other end speaks ZeroMQ and, if we expect a key, has the satellite's key.
    Whole,
    /// The connection has ended, and that was recorded.
    Broken,
}

impl Up {
    /// Creates the sockets and the monitor of connection `number`. `stream` is a stream that stands
    /// already, if the destination needs one.
    ///
    /// The send queue has no high-water mark. Credit limits it, and a mark would be a second limit that
    /// drops messages silently.
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
        // The monitor is connected before the socket, or its first events would be missed.
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

    /// From here on this thread does the socket's I/O, where that is possible. Nothing else may use the
    /// context by then.
    pub(super) fn borrow(&mut self, context: &Context) {
        self.io = BorrowedIo::of(context, &mut self.socket);
    }

    /// Gives the I/O back to libzmq's thread.
    pub(super) fn give_back(&mut self) {
        self.io = None;
    }

    /// Sends and receives without waiting, if this thread does the socket's I/O. Returns how soon the next
    /// call is due: at once, if something has arrived.
    pub(super) fn turn(&mut self) -> Option<Duration> {
        let sockets = [&self.socket, &self.monitor];
        // A socket that no longer works reports its error at the next receive.
        let due = self.io.as_mut()?.turn(&sockets);
        due.unwrap_or(Some(Duration::ZERO))
    }

    /// Reads all events of the monitor: libzmq stalls all connections if a monitor is not read. Returns how
    /// the connection ended if it has just done so.
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

    /// Whether the handshake has succeeded and the connection is not known to be broken.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Phase::Whole
    }

    /// How long the system took to connect to another machine: one round trip.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.filter(|_| self.address.is_some())
    }

    /// Ignores the monitor from here on: the connection is known to be broken.
    pub(super) fn give_up(&mut self) {
        self.phase = Phase::Broken;
    }

    /// A short phrase for `ending`, without the satellite's name.
    pub(super) fn words(&self, ending: Ending) -> &'static str {
        match ending {
            Ending::Broke => "the connection broke",
            Ending::Nobody => "nobody answers there",
            Ending::HungUp | Ending::Strange => {
                "the program there does not answer like a \
                                                 satellite"
            }
            Ending::Mismatch if self.is_private => "the satellite there has no keys",
            Ending::Mismatch => "the satellite there is private",
            Ending::Unknown => "the satellite does not know this machine's key",
            Ending::Impostor => "the satellite there is not the one in your invitation",
        }
    }

    /// The satellite's endpoint as the user wrote it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What `ending` means for the session.
    pub(super) fn breach(&self, ending: Ending) -> Breach {
        let name = &self.name;
        let sentence = match ending {
            Ending::Broke | Ending::Nobody | Ending::HungUp | Ending::Strange => {
                return Breach::Broken(self.words(ending).to_owned());
            }
            Ending::Mismatch if self.is_private => format!(
                "the satellite at {name} has no keys, but your invitation is for one that does: \
                 ask whoever invited you for its address"
            ),
            Ending::Mismatch => format!(
                "the satellite at {name} is private: ask someone who uses it for an invitation \
                 (skypipe --invite), then run skypipe --join here"
            ),
            Ending::Unknown => format!(
                "the satellite at {name} does not know this machine's key: it was revoked, has \
                 expired, or is for another satellite; ask for a new invitation"
            ),
            Ending::Impostor => format!(
                "the satellite at {name} is not the one in your invitation: it has another key; \
                 if it was set up again, ask for a new invitation"
            ),
        };
        Breach::Refused(sentence)
    }
}

/// Restricts a socket to the satellite of these keys.
fn cover(socket: &mut Socket, keys: &Keys) -> io::Result<Layer> {
    let layer = Layer::client(&keys.identity, keys.satellite)?;
    layer.cover(socket)?;
    Ok(layer)
}

fn address_of(endpoint: &str) -> Option<SocketAddr> {
    endpoint.strip_prefix("tcp://")?.parse().ok()
}
