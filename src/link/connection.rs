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
//!
//! A connection that ends before it was whole may be one that will never be whole: because the
//! satellite lets in others only, or because it is another satellite. The person is told that at once
//! ([`Breach::Refused`]), and not left to wait while the same is tried again. Where libzmq's events
//! ([`ending`]) leave it open, a probe ([`diagnose`]) looks, on another thread; the breach is told
//! after it.

mod diagnose;
mod ending;
mod up;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use bytes::Bytes;
use skypipe_broker::frame;
use zmq::{Context, Socket};

use self::diagnose::Mechanism;
use self::ending::Ending;
use self::up::Up;
use super::route::{Route, Way};
use super::wake::Waker;

/// How long what was sent last has to leave at the exit, in milliseconds: long enough for a goodbye
/// over a slow network, short enough for someone who pressed Ctrl-C.
const LINGER: i32 = 250;

/// No message has more frames; what lies behind is dropped.
const MAX_FRAMES: usize = 4;

/// After so many connections in a row on which a CURVE satellite hung up in the handshake, it is taken
/// for another than ours. One that is killed there is seldom back at once, to be killed there again.
const HUNG_UP_LIMIT: u32 = 2;

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
    context: Context,
    route: Arc<dyn Route>,
    waker: Waker,
    state: State,
    /// How many there have been; each monitor needs an address of its own.
    count: u64,
    /// Why the newest connection is broken or could not be made, until that is told.
    breach: Option<Breach>,
    /// What the probe finds out about the newest connection, which is broken.
    probe: Option<Receiver<Option<Mechanism>>>,
    /// How many connections there were in a row on which a CURVE satellite hung up.
    hung_up: u32,
}

enum State {
    Idle,
    Finding {
        found: Receiver<Result<Way, String>>,
        unsent: Vec<Vec<Bytes>>,
    },
    Up(Up),
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
            breach: None,
            probe: None,
            hung_up: 0,
        }
    }

    /// Gives the connection up, if there is one, with all that is under way on it, and begins to
    /// make a new one.
    pub fn connect(&mut self) {
        self.breach = None;
        self.probe = None;
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

    /// Looks how the search and the connection fare. To be called before [`Connection::receive`]:
    /// what was received before the connection broke is then there when the breach is noted.
    pub fn look(&mut self) {
        match &mut self.state {
            State::Idle => {}
            State::Finding { .. } => self.look_at_search(),
            State::Up(up) => {
                if let Some(ending) = up.look() {
                    self.ended(ending);
                }
                self.look_at_probe();
            }
        }
    }

    fn look_at_search(&mut self) {
        let State::Finding { found, unsent } = &mut self.state else {
            return;
        };
        let why = match found.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(Ok(way)) => {
                let unsent = std::mem::take(unsent);
                return self.go(way, unsent);
            }
            Ok(Err(why)) => why,
            Err(TryRecvError::Disconnected) => "the way to it could not be found".to_owned(),
        };
        self.state = State::Idle;
        self.breach = Some(Breach::Broken(why));
    }

    fn ended(&mut self, ending: Ending) {
        if ending == Ending::HungUp
            && let State::Up(up) = &self.state
            && let Some(address) = up.address
        {
            return self.begin_probe(address);
        }
        self.hung_up = 0;
        self.breach_by(ending);
    }

    fn begin_probe(&mut self, address: SocketAddr) {
        let (sender, found) = channel();
        let waker = self.waker.clone();
        let probe = move || {
            let _ = sender.send(diagnose::mechanism(address));
            waker.wake();
        };
        match thread::Builder::new().name("probe".to_owned()).spawn(probe) {
            Ok(_) => self.probe = Some(found),
            Err(_) => self.breach_by(Ending::HungUp),
        }
    }

    fn look_at_probe(&mut self) {
        let Some(found) = &self.probe else {
            return;
        };
        let mechanism = match found.try_recv() {
            Err(TryRecvError::Empty) => return,
            Ok(mechanism) => mechanism,
            Err(TryRecvError::Disconnected) => None,
        };
        self.probe = None;
        let is_private = matches!(&self.state, State::Up(up) if up.is_private);
        let counted = self.hung_up + 1;
        self.hung_up = 0;
        let ending = match (mechanism, is_private) {
            (Some(Mechanism::Curve), true) if counted >= HUNG_UP_LIMIT => Ending::Impostor,
            (Some(Mechanism::Curve), true) => {
                self.hung_up = counted;
                Ending::HungUp
            }
            (Some(Mechanism::Curve), false) | (Some(Mechanism::Null), true) => Ending::Mismatch,
            (Some(Mechanism::Null), false) | (None, _) => Ending::HungUp,
        };
        self.breach_by(ending);
    }

    fn breach_by(&mut self, ending: Ending) {
        if let State::Up(up) = &self.state {
            self.breach = Some(up.breach(ending));
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

#[cfg(test)]
mod tests;
