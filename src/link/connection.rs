//! The connection: a DEALER socket, its monitor, and the search for the way to the satellite.
//!
//! Owns the sockets. Each connection has a pair of new ones, so that nothing of an old connection
//! can reach the session. The search runs on a thread of its own, because to look a name up or to
//! start a satellite may take seconds. It may find several ways, of which the [`race`] chooses one;
//! what is sent meanwhile is kept and sent then.
//!
//! ```text
//!          connect            found             handshake         the monitor says so
//!   Idle ----------> Finding -------> Trying -------------> Up ------------------------> Up (broken)
//!     ^                 |  not found     | no way leads there                                |
//!     +-----------------+----------------+     connect, from Idle or Up: Finding  <----------+
//! ```
//!
//! A search or a race that runs when a new connection is wanted serves that one: nothing was sent yet.
//!
//! A connection that ends before it was whole may be one that will never be whole: because the
//! satellite lets in others only, or because it is another satellite. The person is told that at once
//! ([`Breach::Refused`]), and not left to wait while the same is tried again. Where libzmq's events
//! ([`ending`]) leave it open, a probe ([`diagnose`]) looks, on another thread; the breach is told
//! after it.

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
use skypipe_broker::frame;
use zmq::{POLLIN, PollItem, Socket};

use self::ending::Ending;
use self::known::Known;
use self::race::{Maker, Race, Standing};
use self::up::Up;
use super::route::{Route, Way};
use super::wake::Waker;

/// How long what was sent last has to leave at the exit, in milliseconds: long enough for a goodbye
/// over a slow network, short enough for someone who pressed Ctrl-C.
const LINGER: i32 = 250;

/// No message has more frames; what lies behind is dropped.
const MAX_FRAMES: usize = 4;

/// Why there is no connection any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// Another one may fare better.
    Broken(String),
    /// Another one would fare no better; with a sentence for the person.
    Refused(String),
}

/// The connection of one session, or rather one after another.
pub struct Connection {
    maker: Maker,
    route: Arc<dyn Route>,
    waker: Waker,
    state: State,
    known: Known,
    /// Whether the newest connection has brought an answer.
    is_answered: bool,
    /// How long the newest connection took to come about, until that is told.
    latency: Option<Duration>,
    /// Why the newest connection is broken or could not be made, until that is told.
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
    /// No connection yet.
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

    /// Gives the connection up, if there is one, with all that is under way on it, and begins to
    /// make a new one.
    pub fn connect(&mut self) {
        self.breach = None;
        match &mut self.state {
            // It serves the new connection as well as the old one. Another search would wait for the
            // same name server, or for the same lock.
            State::Finding { unsent, .. } | State::Trying { unsent, .. } => {
                unsent.clear();
                return;
            }
            // Whoever shook hands there is no satellite, or one that hangs.
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

    /// Sends a message, or keeps it until there is a socket to send it on. On a broken connection
    /// it is lost, like all that was under way.
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

    /// Notes what the system refused, and makes the loop look at once.
    fn fail(&mut self, error: &dyn std::error::Error) {
        self.breach = Some(Breach::Broken(error.to_string()));
        self.waker.wake();
    }

    /// Looks how the search, the race and the connection fare. To be called before
    /// [`Connection::receive`]: what was received before the connection broke is then there when the
    /// breach is noted.
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
            Err(TryRecvError::Disconnected) => "the way to it could not be found".to_owned(),
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

    /// When to look again, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Trying { race, .. } => race.deadline(),
            State::Idle | State::Finding { .. } | State::Up(_) => None,
        }
    }

    /// The next message that came in.
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

    /// Why there is no connection any more; told once for each.
    pub fn breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    /// How long the system took to connect; told once for each connection through the network.
    pub fn latency(&mut self) -> Option<Duration> {
        self.latency.take()
    }

    /// Sends and receives what can be without waiting, if that is this thread's work. Returns how soon there
    /// is something to do again, even if nothing comes in.
    pub fn turn(&mut self) -> Option<Duration> {
        match &mut self.state {
            State::Up(up) => up.turn(),
            State::Idle | State::Finding { .. } | State::Trying { .. } => None,
        }
    }

    /// What to wait for.
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

    /// Gives what was sent last a moment to leave: the end of the context waits for it.
    pub fn finish(mut self) {
        if let State::Up(up) = &mut self.state {
            up.give_back();
            let _ = up.socket.set_linger(LINGER);
        }
    }
}

#[cfg(test)]
mod tests;
