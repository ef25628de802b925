//! Tries several addresses of one satellite until the handshake succeeds on one of them.
//!
//! This module owns the order of attempts: the next one starts as soon as all earlier ones have ended or
//! have had a head start. The first successful handshake wins, and the other attempts are closed. Nothing
//! is sent before. An address may belong to somebody else, so a failure is reported only when all attempts
//! have failed.

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

/// How long an attempt has for its handshake before the next one starts beside it. A network that hands out
/// IPv6 addresses and does not carry IPv6 must not cost more than a moment.
const HEAD_START: Duration = Duration::from_millis(300);

/// Creates the sockets of attempts.
pub(super) struct Maker {
    context: Context,
    /// How many it has created. Each monitor needs an address of its own.
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

    /// Makes the stream for a tunnel on another thread.
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

    /// Checks on another thread whether the host speaks TLS, if `ending` leaves that open.
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

/// The attempts in progress and those that wait.
pub(super) struct Race {
    waiting: VecDeque<Way>,
    running: Vec<Runner>,
    ended: Vec<Ended>,
    /// When the next waiting attempt starts at the latest.
    next: Instant,
}

/// An attempt in progress.
enum Runner {
    /// Its stream is being made.
    Digging(Way, Receiver<Result<OwnedFd, String>>),
    /// The handshake is in progress, or has failed and a probe looks for the reason.
    Trying(Up, Option<Probe>),
}

/// The state of an attempt after a check.
enum Fate {
    Open(Runner),
    Won(Up),
    Lost(Ended),
}

/// A probe in progress.
struct Probe {
    /// How the connection ended, as far as libzmq reported it.
    ending: Ending,
    /// Whether the host speaks TLS.
    found: Receiver<bool>,
}

/// An attempt that failed.
struct Ended {
    endpoint: String,
    ending: Option<Ending>,
    breach: Breach,
    /// The reason, without the endpoint's name.
    words: String,
}

/// The state of the race.
pub(super) enum Standing {
    /// Some attempt is in progress.
    Open,
    /// The handshake has succeeded on this one.
    Won(Up),
    /// All attempts have failed.
    Lost(Breach),
}

impl Race {
    /// Starts a race between these destinations, in this order.
    pub(super) fn new(ways: Vec<Way>) -> Self {
        Self {
            waiting: ways.into(),
            running: Vec::new(),
            ended: Vec::new(),
            next: Instant::now(),
        }
    }

    /// Handles what happened, and starts the next attempt if it is time.
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

    /// When to check again even if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// The sockets to poll.
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

    /// The failure to report when every attempt failed. A refusal counts only if every address refused:
    /// otherwise the satellite may yet answer at an address other than the one that refused.
    fn verdict(&self) -> Breach {
        let is_refused = |ended: &Ended| matches!(ended.breach, Breach::Refused(_));
        let [first, others @ ..] = &self.ended[..] else {
            return Breach::Broken("there is no route to it".to_owned());
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
    /// Checks the attempt.
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

    /// Starts the handshake over a stream that stands.
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
        // For the other endings TLS itself says what is wrong.
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
    /// An attempt that failed before there was a connection.
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

    /// Whether it was the satellite itself that refused us.
    fn is_last_word(&self) -> bool {
        self.ending == Some(Ending::Unknown)
    }
}
