//! The connection: a DEALER socket, its monitor, and the search for the way to the satellite.
//!
//! Owns the sockets. Each connection has a pair of new ones, so that nothing of an old connection
//! can reach the session. The search runs on a thread of its own, because to look a name up or to
//! start a satellite may take seconds; what is sent meanwhile is kept and sent then.
//!
//! ```text
//!          connect            found                 the monitor says so
//!   Idle ----------> Finding -------> Up (whole) ----------------------> Up (broken)
//!     ^                 |  not found                                         |
//!     +-----------------+            connect, from any of them: Finding  <---+
//! ```

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use bytes::Bytes;
use skypipe_broker::frame;
use zmq::{Context, Socket, SocketEvent};

use super::route::{Route, Way};
use super::wake::Waker;

/// How long what was sent last has to leave at the exit, in milliseconds: long enough for a goodbye
/// over a slow network, short enough for someone who pressed Ctrl-C.
const LINGER: i32 = 250;

/// How long a host may take to accept a connection, and its program to greet as `ZeroMQ` does, in
/// milliseconds each: a little less than the session gives an attempt, so that it learns the reason.
const PATIENCE: i32 = 2500;

/// After what time `ZeroMQ` would connect again by itself, in milliseconds: never, as the session
/// asks for a new connection long before. (Its own "never" throws away what was received last.)
const RECONNECT: i32 = 3_600_000;

/// No message has more frames; what lies behind is dropped.
const MAX_FRAMES: usize = 4;

/// What the monitor is asked to tell.
const EVENTS: [SocketEvent; 6] = [
    SocketEvent::HANDSHAKE_SUCCEEDED,
    SocketEvent::DISCONNECTED,
    SocketEvent::CONNECT_RETRIED,
    SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
    SocketEvent::HANDSHAKE_FAILED_AUTH,
];

/// The connection of one session, or rather one after another.
pub struct Connection {
    context: Context,
    route: Arc<dyn Route>,
    waker: Waker,
    state: State,
    /// How many there have been; each monitor needs an address of its own.
    count: u64,
    /// Why the newest connection is broken or could not be made, until that is told.
    broken: Option<String>,
}

enum State {
    Idle,
    Finding {
        found: Receiver<Result<Way, String>>,
        unsent: Vec<Vec<Bytes>>,
    },
    Up(Up),
}

/// A socket that is connected, or about to be.
struct Up {
    socket: Socket,
    monitor: Socket,
    phase: Phase,
    _directory: Option<File>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has answered yet.
    Connecting,
    /// A program that speaks `ZeroMQ` is at the other end.
    Whole,
    /// It is over, and that has been noted.
    Broken,
}

impl Connection {
    /// No connection yet.
    pub fn new(route: Arc<dyn Route>, waker: Waker) -> Self {
        let context = Context::new();
        Self {
            context,
            route,
            waker,
            state: State::Idle,
            count: 0,
            broken: None,
        }
    }

    /// Gives the connection up, if there is one, with all that is under way on it, and begins to
    /// make a new one.
    pub fn connect(&mut self) {
        self.broken = None;
        if let State::Finding { unsent, .. } = &mut self.state {
            // The search that runs serves the new connection as well as the old one. Another thread
            // would wait for the same name server, or for the same lock.
            unsent.clear();
            return;
        }
        self.state = State::Idle;
        match self.route.known() {
            Some(way) => self.go(way, Vec::new()),
            None => self.find(),
        }
    }

    fn find(&mut self) {
        let (sender, found) = channel();
        let (route, waker) = (Arc::clone(&self.route), self.waker.clone());
        let search = move || {
            let _ = sender.send(route.find());
            waker.wake();
        };
        match thread::Builder::new()
            .name("route".to_owned())
            .spawn(search)
        {
            Ok(_) => {
                self.state = State::Finding {
                    found,
                    unsent: Vec::new(),
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn go(&mut self, way: Way, unsent: Vec<Vec<Bytes>>) {
        self.count += 1;
        match Up::new(&self.context, self.count, way) {
            Ok(up) => self.state = State::Up(up),
            Err(error) => {
                self.state = State::Idle;
                self.fail(&error);
            }
        }
        for frames in unsent {
            self.send(frames);
        }
    }

    /// Sends a message, or keeps it until there is a socket to send it on. On a broken connection
    /// it is lost, like all that was under way.
    pub fn send(&mut self, frames: Vec<Bytes>) {
        match &mut self.state {
            State::Idle => {}
            State::Finding { unsent, .. } => unsent.push(frames),
            State::Up(up) => {
                if let Err(error) = frame::send(&mut up.socket, None, &frames) {
                    up.phase = Phase::Broken;
                    self.fail(&error);
                }
            }
        }
    }

    /// Notes what the system refused, and makes the loop look at once.
    fn fail(&mut self, error: &dyn std::error::Error) {
        self.broken = Some(error.to_string());
        self.waker.wake();
    }

    /// Looks how the search and the connection fare. To be called before [`Connection::receive`]:
    /// what was received before the connection broke is then there when the breach is noted.
    pub fn look(&mut self) {
        match &mut self.state {
            State::Idle => {}
            State::Finding { found, unsent } => match found.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(Ok(way)) => {
                    let unsent = std::mem::take(unsent);
                    self.go(way, unsent);
                }
                Ok(Err(why)) => {
                    self.state = State::Idle;
                    self.broken = Some(why);
                }
                Err(TryRecvError::Disconnected) => {
                    self.state = State::Idle;
                    self.broken = Some("the way to it could not be found".to_owned());
                }
            },
            State::Up(up) => {
                if let Some(why) = up.look() {
                    self.broken = Some(why.to_owned());
                }
            }
        }
    }

    /// The next message that came in.
    pub fn receive(&mut self) -> Option<Vec<Bytes>> {
        let State::Up(up) = &mut self.state else {
            return None;
        };
        match frame::receive(&up.socket, MAX_FRAMES) {
            Ok(frames) => frames,
            Err(error) => {
                up.phase = Phase::Broken;
                self.fail(&error);
                None
            }
        }
    }

    /// Why there is no connection any more; told once for each.
    pub fn broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// What to wait for.
    pub fn sockets(&self) -> impl Iterator<Item = &Socket> {
        let up = match &self.state {
            State::Up(up) => Some(up),
            State::Idle | State::Finding { .. } => None,
        };
        up.into_iter().flat_map(|up| [&up.socket, &up.monitor])
    }

    /// Gives what was sent last a moment to leave: the end of the context waits for it.
    pub fn finish(self) {
        if let State::Up(up) = &self.state {
            let _ = up.socket.set_linger(LINGER);
        }
    }
}

impl Up {
    /// Sockets and monitor for the connection of this `number`.
    ///
    /// Neither direction has a high-water mark: what is under way is bounded by credit and windows,
    /// and a mark would only be a second limit, kept by silence.
    fn new(context: &Context, number: u64, way: Way) -> zmq::Result<Self> {
        let socket = context.socket(zmq::DEALER)?;
        socket.set_linger(0)?;
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        socket.set_ipv6(way.ipv6)?;
        socket.set_reconnect_ivl(RECONNECT)?;
        socket.set_connect_timeout(PATIENCE)?;
        socket.set_handshake_ivl(PATIENCE)?;
        // The monitor's other end comes before the connection, or its first news would be missed.
        let address = format!("inproc://monitor-{number}");
        socket.monitor(
            &address,
            EVENTS.map(|event| i32::from(event.to_raw())).iter().sum(),
        )?;
        let monitor = context.socket(zmq::PAIR)?;
        monitor.set_linger(0)?;
        monitor.connect(&address)?;
        socket.connect(&way.endpoint)?;
        Ok(Self {
            socket,
            monitor,
            phase: Phase::Connecting,
            _directory: way.directory,
        })
    }

    /// Takes all that the monitor says, since one that is not listened to stops its connection.
    /// Returns why the connection is broken when it has just become so.
    fn look(&mut self) -> Option<&'static str> {
        let mut news = None;
        while let Ok(Some(frames)) = frame::receive(&self.monitor, 1) {
            let event = frames
                .first()
                .and_then(|frame| frame.first_chunk().copied());
            let Some(event) = event.map(u16::from_ne_bytes) else {
                continue;
            };
            if event == SocketEvent::HANDSHAKE_SUCCEEDED.to_raw() {
                self.phase = Phase::Whole;
            } else if self.phase != Phase::Broken {
                news = Some(reason(event, self.phase));
                self.phase = Phase::Broken;
            }
        }
        news
    }
}

/// What it means that `event` ended a connection in this `phase`.
fn reason(event: u16, phase: Phase) -> &'static str {
    if phase == Phase::Whole {
        "the connection broke"
    } else if event == SocketEvent::CONNECT_RETRIED.to_raw() {
        "nobody answers there"
    } else {
        "what is there does not answer as a satellite does"
    }
}

#[cfg(test)]
mod tests;
