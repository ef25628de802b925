//! The connection: a DEALER socket, its monitor, and the search for a route to the satellite.
//!
//! This module owns the sockets. Each connection has a new pair, so that nothing of an old connection can
//! reach the session. The search runs on its own thread, because a DNS look-up or the start of a satellite
//! may take seconds. It may find several addresses, of which the [`race`] chooses one. Messages sent
//! meanwhile are queued and sent then.
//!
//! ```text
//!          connect            found             handshake         the monitor says so
//!   Idle ----------> Finding -------> Trying -------------> Up ------------------------> Up (broken)
//!     ^                 |  not found     | no way leads there                                |
//!     +-----------------+----------------+     connect, from Idle or Up: Finding  <----------+
//! ```
//!
//! A search or a race in progress also serves a newly requested connection: nothing was sent on it yet.
//!
//! A connection that ends during the handshake may never succeed: the satellite may admit others only, or
//! it may be another satellite. The user is told at once ([`Breach::Refused`]) instead of waiting through
//! useless attempts. Where libzmq's events ([`ending`]) leave the cause open, a probe ([`diagnose`]) finds
//! out on another thread, and the failure is reported after it.

mod diagnose;
mod ending;
mod known;
mod race;
mod up;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skypipe_transport::frame;
use zmq::{POLLIN, PollItem, Socket};

use self::ending::Ending;
use self::known::Known;
use self::race::{Maker, Race, Standing};
use self::up::Up;
use super::route::{Route, Way};
use super::wake::Waker;

/// How long the last messages have to leave at exit, in milliseconds: long enough for a goodbye over a slow
/// network, short enough for a user who pressed Ctrl-C.
const LINGER: i32 = 250;

/// The most frames of a valid message. Any further frames are dropped.
const MAX_FRAMES: usize = 4;

/// Why the connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// A new connection may succeed.
    Broken(String),
    /// A new connection would fail, too. The text is a sentence for the user.
    Refused(String),
}

/// The connections of one session, one after another.
pub struct Connection {
    maker: Maker,
    route: Arc<dyn Route>,
    waker: Waker,
    state: State,
    known: Known,
    /// Whether the newest connection has brought an answer.
    is_answered: bool,
    /// How long the newest connection took to be made. Cleared once it was reported.
    latency: Option<Duration>,
    /// Why the newest connection broke or could not be made. Cleared once it was reported.
    breach: Option<Breach>,
}

enum State {
    Idle,
    Finding {
        found: Receiver<Result<Vec<Way>, String>>,
        unsent: Vec<Vec<Bytes>>,
    },
    Trying {
        race: Race,
        unsent: Vec<Vec<Bytes>>,
    },
    Up(Up),
}

impl Connection {
    /// Creates the state without a connection.
    pub fn new(route: Arc<dyn Route>, waker: Waker) -> Self {
        Self {
            maker: Maker::new(waker.clone()),
            route,
            waker,
            state: State::Idle,
            known: Known::default(),
            is_answered: false,
            latency: None,
            breach: None,
        }
    }

    /// Drops the current connection, if any, with everything in flight on it, and starts to make a new one.
    pub fn connect(&mut self) {
        self.breach = None;
        match &mut self.state {
            // The running search serves the new connection as well. A second search would wait for the same
            // name server or the same lock.
            State::Finding { unsent, .. } | State::Trying { unsent, .. } => {
                unsent.clear();
                return;
            }
            // The peer completed the handshake and never answered: it is no satellite, or one that hangs.
            State::Up(up) if !self.is_answered => self.known.failed(&up.endpoint),
            State::Up(_) | State::Idle => {}
        }
        self.state = State::Idle;
        match self.route.known() {
            Some(way) => self.go(vec![way], Vec::new()),
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

    fn go(&mut self, mut ways: Vec<Way>, unsent: Vec<Vec<Bytes>>) {
        self.known.sort(&mut ways);
        let race = Race::new(ways);
        self.state = State::Trying { race, unsent };
        self.look_at_race();
        if self.breach.is_some() {
            self.waker.wake();
        }
    }

    /// Sends a message, or queues it until there is a socket. On a broken connection the message is lost,
    /// like everything in flight.
    pub fn send(&mut self, frames: Vec<Bytes>) {
        match &mut self.state {
            State::Idle => {}
            State::Finding { unsent, .. } | State::Trying { unsent, .. } => unsent.push(frames),
            State::Up(up) => {
                if let Err(error) = frame::send(&mut up.socket, None, &frames) {
                    up.give_up();
                    self.fail(&error);
                }
            }
        }
    }

    /// Records an error of the system, and wakes the loop at once.
    fn fail(&mut self, error: &dyn std::error::Error) {
        self.breach = Some(Breach::Broken(error.to_string()));
        self.waker.wake();
    }

    /// Checks the search, the race and the connection. Call it before [`Connection::receive`]: everything
    /// received before the connection broke is then available when the failure is recorded.
    pub fn look(&mut self) {
        match &mut self.state {
            State::Idle => {}
            State::Finding { .. } => self.look_at_search(),
            State::Trying { .. } => self.look_at_race(),
            State::Up(up) => {
                up.turn();
                if up.look().is_some() {
                    self.breach = Some(up.breach(Ending::Broke));
                }
            }
        }
    }

    fn look_at_search(&mut self) {
        let State::Finding { found, unsent } = &mut self.state else {
            return;
        };
        let why = match found.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(Ok(ways)) => {
                let unsent = std::mem::take(unsent);
                return self.go(ways, unsent);
            }
            Ok(Err(why)) => why,
            Err(TryRecvError::Disconnected) => "the search for a route to it failed".to_owned(),
        };
        self.state = State::Idle;
        self.breach = Some(Breach::Broken(why));
    }

    fn look_at_race(&mut self) {
        let State::Trying { race, unsent } = &mut self.state else {
            return;
        };
        match race.look(&mut self.maker, &mut self.known) {
            Standing::Open => {}
            Standing::Won(mut up) => {
                up.borrow(self.maker.context());
                let unsent = std::mem::take(unsent);
                self.latency = up.latency();
                self.is_answered = false;
                self.state = State::Up(up);
                for frames in unsent {
                    self.send(frames);
                }
            }
            Standing::Lost(breach) => {
                self.state = State::Idle;
                self.breach = Some(breach);
            }
        }
    }

    /// When to check again, even if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Trying { race, .. } => race.deadline(),
            State::Idle | State::Finding { .. } | State::Up(_) => None,
        }
    }

    /// The next message that arrived.
    pub fn receive(&mut self) -> Option<Vec<Bytes>> {
        let State::Up(up) = &mut self.state else {
            return None;
        };
        match frame::receive(&mut up.socket, MAX_FRAMES) {
            Ok(received) => {
                let frames = received.map(|it| it.frames);
                if frames.is_some() && !self.is_answered {
                    self.is_answered = true;
                    self.known.worked(&up.endpoint);
                    self.route.proved(up.name());
                }
                frames
            }
            Err(error) => {
                up.give_up();
                self.fail(&error);
                None
            }
        }
    }

    /// Why the connection failed. Reported once for each connection.
    pub fn breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    /// How long the system took to connect. Reported once for each connection through the network.
    pub fn latency(&mut self) -> Option<Duration> {
        self.latency.take()
    }

    /// Sends and receives without waiting, if this thread does the socket's I/O. Returns how soon there is
    /// something to do again even if nothing arrives.
    pub fn turn(&mut self) -> Option<Duration> {
        match &mut self.state {
            State::Up(up) => up.turn(),
            State::Idle | State::Finding { .. } | State::Trying { .. } => None,
        }
    }

    /// What the loop must poll for.
    pub fn watched(&self) -> Vec<PollItem<'_>> {
        if let State::Up(up) = &self.state
            && let Some(io) = &up.io
        {
            return vec![PollItem::from_fd(io.fd(), POLLIN)];
        }
        let sockets = self.sockets();
        sockets.map(|socket| socket.as_poll_item(POLLIN)).collect()
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        let (up, race) = match &self.state {
            State::Up(up) => (Some(up), None),
            State::Trying { race, .. } => (None, Some(race)),
            State::Idle | State::Finding { .. } => (None, None),
        };
        let up = up.into_iter().flat_map(|up| [&up.socket, &up.monitor]);
        up.chain(race.into_iter().flat_map(Race::sockets))
    }

    /// Gives the last messages a moment to leave: destroying the context waits for it.
    pub fn finish(mut self) {
        if let State::Up(up) = &mut self.state {
            up.give_back();
            let _ = up.socket.set_linger(LINGER);
        }
    }
}

#[cfg(test)]
mod tests;
