//! The ways to one satellite, tried until the handshake has succeeded on one of them.
//!
//! Owns which is tried when: one after another, the next as soon as those before have ended, or have had
//! a head start. The first on which the handshake succeeds is the connection, and the others are closed.
//! Nothing is sent before. What is at an address may be somebody else; so what is wrong with one way is
//! only told when all have ended.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use zmq::{Context, Socket};

use super::Breach;
use super::diagnose;
use super::ending::Ending;
use super::known::Known;
use super::up::Up;
use crate::link::route::Way;
use crate::link::tunnel::Tunnel;
use crate::link::wake::Waker;

/// How long a way has for its handshake before the next is tried beside it. A network that gives out
/// IPv6 addresses and carries none must not cost more than a moment.
const HEAD_START: Duration = Duration::from_millis(300);

/// What makes the sockets of a connection.
pub(super) struct Maker {
    context: Context,
    /// How many it has made; each monitor needs an address of its own.
    count: u64,
    waker: Waker,
}

impl Maker {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            context: Context::new(),
            count: 0,
            waker,
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    fn make(&mut self, way: Way, stream: Option<OwnedFd>) -> io::Result<Up> {
        self.count += 1;
        Up::new(&self.context, self.count, way, stream)
    }

    /// Makes on another thread the stream that a connection needs.
    fn dig(&self, tunnel: Tunnel) -> io::Result<Receiver<Result<OwnedFd, String>>> {
        let (sender, found) = channel();
        let waker = self.waker.clone();
        let dig = move || {
            let _ = sender.send(tunnel.open());
            waker.wake();
        };
        thread::Builder::new()
            .name("tunnel".to_owned())
            .spawn(dig)?;
        Ok(found)
    }

    /// Looks on another thread whether TLS is spoken there, after a connection that ended like this.
    fn probe(&self, up: &Up, ending: Ending) -> Option<Probe> {
        let address = up.address?;
        let (sender, found) = channel();
        let waker = self.waker.clone();
        let probe = move || {
            let _ = sender.send(diagnose::speaks_tls(address));
            waker.wake();
        };
        let thread = thread::Builder::new().name("probe".to_owned());
        thread.spawn(probe).ok().map(|_| Probe { ending, found })
    }
}

/// Ways that are being tried.
pub(super) struct Race {
    waiting: VecDeque<Way>,
    running: Vec<Runner>,
    ended: Vec<Ended>,
    /// When the next one that waits is tried at the latest.
    next: Instant,
}

/// A way that is being tried.
enum Runner {
    /// Its stream is being made.
    Digging(Way, Receiver<Result<OwnedFd, String>>),
    /// It shakes hands, or is over and a probe looks why.
    Trying(Up, Option<Probe>),
}

/// How it stands with a way.
enum Fate {
    Open(Runner),
    Won(Up),
    Lost(Ended),
}

/// A look at what a connection ended at.
struct Probe {
    /// How it ended, as far as was told.
    ending: Ending,
    /// Whether TLS is spoken there.
    found: Receiver<bool>,
}

/// A way that did not lead there.
struct Ended {
    endpoint: String,
    ending: Option<Ending>,
    breach: Breach,
    /// Why, without a name.
    words: String,
}

/// How it stands with all of them.
pub(super) enum Standing {
    /// It is not decided.
    Open,
    /// The handshake has succeeded on this one.
    Won(Up),
    /// It has succeeded on none.
    Lost(Breach),
}

impl Race {
    /// Between these ways, in the order in which they are to be tried.
    pub(super) fn new(ways: Vec<Way>) -> Self {
        Self {
            waiting: ways.into(),
            running: Vec::new(),
            ended: Vec::new(),
            next: Instant::now(),
        }
    }

    /// Takes in what happened, and begins with the next way if it is time.
    pub(super) fn look(&mut self, maker: &mut Maker, known: &mut Known) -> Standing {
        for runner in std::mem::take(&mut self.running) {
            match runner.look(maker, known) {
                Fate::Lost(ended) => self.ended.push(ended),
                Fate::Won(up) => return Standing::Won(up),
                Fate::Open(runner) => self.running.push(runner),
            }
        }
        if let Some(last) = self.ended.iter().find(|ended| ended.is_last_word()) {
            return Standing::Lost(last.breach.clone());
        }
        while self.is_next_due()
            && let Some(way) = self.waiting.pop_front()
        {
            self.begin(way, maker, known);
        }
        if self.running.is_empty() && self.waiting.is_empty() {
            return Standing::Lost(self.verdict());
        }
        Standing::Open
    }

    /// When there is something to do, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// What to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.running.iter().filter_map(|runner| match runner {
            Runner::Trying(up, _) => Some(&up.monitor),
            Runner::Digging(..) => None,
        })
    }

    fn is_next_due(&self) -> bool {
        let is_hoped_for = |runner: &Runner| !matches!(runner, Runner::Trying(_, Some(_)));
        !self.running.iter().any(is_hoped_for) || Instant::now() >= self.next
    }

    fn begin(&mut self, way: Way, maker: &mut Maker, known: &mut Known) {
        let endpoint = way.endpoint.clone();
        let begun = match way.tunnel.clone() {
            Some(tunnel) => maker.dig(tunnel).map(|found| Runner::Digging(way, found)),
            None => maker.make(way, None).map(|up| Runner::Trying(up, None)),
        };
        match begun {
            Ok(runner) => {
                self.next = Instant::now() + HEAD_START;
                self.running.push(runner);
            }
            Err(error) => self
                .ended
                .push(Ended::early(endpoint, error.to_string(), known)),
        }
    }

    /// What is to be said when there is no way that leads there. A refusal counts when each has refused:
    /// else the satellite may yet answer at another address than whoever refused.
    fn verdict(&self) -> Breach {
        let is_refused = |ended: &Ended| matches!(ended.breach, Breach::Refused(_));
        let [first, others @ ..] = &self.ended[..] else {
            return Breach::Broken("there is no way to it".to_owned());
        };
        if others.is_empty() || self.ended.iter().all(is_refused) {
            return first.breach.clone();
        }
        if others.iter().all(|other| other.words == first.words) {
            return Breach::Broken(first.words.clone());
        }
        let told = |ended: &Ended| {
            let place = ended.endpoint.trim_start_matches("tcp://");
            format!("{place}: {}", ended.words)
        };
        let told: Vec<_> = self.ended.iter().map(told).collect();
        Breach::Broken(told.join("; "))
    }
}

impl Runner {
    /// What has become of it.
    fn look(self, maker: &mut Maker, known: &mut Known) -> Fate {
        match self {
            Self::Digging(way, found) => match found.try_recv() {
                Err(TryRecvError::Empty) => Fate::Open(Self::Digging(way, found)),
                Ok(Ok(stream)) => Self::begin(way, stream, maker, known),
                Ok(Err(why)) => Fate::Lost(Ended::early(way.endpoint, why, known)),
                Err(TryRecvError::Disconnected) => {
                    let why = "the connection could not be made".to_owned();
                    Fate::Lost(Ended::early(way.endpoint, why, known))
                }
            },
            Self::Trying(up, Some(probe)) => match probe.found.try_recv() {
                Err(TryRecvError::Empty) => Fate::Open(Self::Trying(up, Some(probe))),
                Ok(true) => Fate::Lost(Ended::of(&up, Ending::Mismatch, known)),
                Ok(false) | Err(TryRecvError::Disconnected) => {
                    Fate::Lost(Ended::of(&up, probe.ending, known))
                }
            },
            Self::Trying(up, None) => Self::shake(up, maker, known),
        }
    }

    /// Begins to shake hands over a stream that stands.
    fn begin(way: Way, stream: OwnedFd, maker: &mut Maker, known: &mut Known) -> Fate {
        let endpoint = way.endpoint.clone();
        match maker.make(way, Some(stream)) {
            Ok(up) => Self::shake(up, maker, known),
            Err(error) => Fate::Lost(Ended::early(endpoint, error.to_string(), known)),
        }
    }

    fn shake(mut up: Up, maker: &Maker, known: &mut Known) -> Fate {
        let Some(ending) = up.look() else {
            return if up.is_whole() {
                Fate::Won(up)
            } else {
                Fate::Open(Self::Trying(up, None))
            };
        };
        // TLS itself says what is wrong with it.
        let is_open_question = matches!(ending, Ending::HungUp | Ending::Strange);
        if is_open_question
            && !up.is_private
            && let Some(probe) = maker.probe(&up, ending)
        {
            return Fate::Open(Self::Trying(up, Some(probe)));
        }
        Fate::Lost(Ended::of(&up, ending, known))
    }
}

impl Ended {
    /// One that came to nothing before there was a connection.
    fn early(endpoint: String, why: String, known: &mut Known) -> Self {
        known.failed(&endpoint);
        Self {
            endpoint,
            ending: None,
            breach: Breach::Broken(why.clone()),
            words: why,
        }
    }

    fn of(up: &Up, ending: Ending, known: &mut Known) -> Self {
        known.failed(&up.endpoint);
        Self {
            endpoint: up.endpoint.clone(),
            ending: Some(ending),
            breach: up.breach(ending),
            words: up.words(ending).to_owned(),
        }
    }

    /// Whether it is the satellite itself that refused us.
    fn is_last_word(&self) -> bool {
        self.ending == Some(Ending::Unknown)
    }
}
