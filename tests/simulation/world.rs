//! Virtual time, one satellite, many programs, and the network between them. Each step:
//!
//! 1. Jump to the earliest of: a message's arrival or another planned event, a program's next action, the
//!    satellite's deadline.
//! 2. Hand it in, and collect everything that follows from it at that instant.
//! 3. Ask the checker whether all of that was right.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{Broker, FREE_FRAME, Input, Output, Settings};
use skypipe_broker::keys::KeyRegistry;
use skypipe_protocol::{Finish, MAGIC, Outcome, Reply, Request, decode, encode};

use super::check::{Checker, Verdict};
use super::client::Client;
use super::disk::{Disk, End, Simulated};
use super::members::{self, Members};
use super::network::{Conn, Weather};
use super::plan::{Fault, Plan};
use super::plant::{Kind, Plant};
use super::rng::Rng;
use super::shrink::{History, shrink};

/// The maximum number of steps at one instant.
const MOST_STEPS: usize = 50_000;

/// A planned event.
#[derive(Debug)]
pub enum Event {
    /// A program starts.
    Start(usize),
    /// A message arrives at the satellite.
    Up(usize, Vec<Bytes>),
    /// A message arrives at a client.
    Down(usize, Vec<Bytes>),
    /// The satellite learns that a connection has ended, or that a message was taken.
    Satellite(usize, Input),
    /// A client learns that its connection has ended.
    ClientTold(usize),
    /// The disk has finished a sync.
    Synced,
    /// A failure.
    Fault(Fault),
}

/// The whole simulated world.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World {
    /// The virtual time.
    pub now: Duration,
    /// The source of randomness.
    pub rng: Rng,
    /// The checker.
    pub check: Checker,
    /// The programs.
    pub clients: Vec<Client>,
    /// The connections, including ended ones.
    pub conns: Vec<Conn>,
    /// The message delays.
    pub weather: Weather,
    /// Whether random failures still happen.
    pub rough: bool,
    /// Whether everything is printed (`SKYPIPE_TRACE`).
    pub trace: bool,
    /// The planted fault.
    pub plant: Plant,
    /// The satellite's inputs since its start, if they are recorded (`SKYPIPE_SHRINK`).
    pub history: Option<History>,
    /// Whether the satellite acknowledges bytes as soon as they arrive, as a planted fault.
    pub acknowledges_early: bool,
    /// A digest of everything that went in and out of the satellite so far, and when.
    digest: DefaultHasher,
    /// The keys, at a satellite with keys. Clients then seal what they write.
    pub members: Option<Members>,
    /// The satellite's disk, if it has one. Then the ledger checks the history instead of the checker.
    disk: Option<Disk>,
    /// Whether the end of a sync is planned.
    is_syncing: bool,
    broker: Broker<Simulated>,
    settings: Settings,
    booted: Duration,
    /// Until when the satellite is suspended, and for how long it has been in all. Its own time does not
    /// pass meanwhile.
    asleep: Duration,
    slept: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    planned: u64,
    steps: usize,
}

impl World {
    /// The world at the beginning of a plan.
    pub fn new(plan: Plan, plant: Option<Kind>, rng: Rng) -> Self {
        Self::with(plan, plant, None, None, rng)
    }

    /// The world of a satellite with a disk, and perhaps with keys.
    pub fn on_disk(plan: Plan, disk: Disk, members: Option<Members>, rng: Rng) -> Self {
        Self::with(plan, None, Some(disk), members, rng)
    }

    fn with(
        plan: Plan,
        plant: Option<Kind>,
        disk: Option<Disk>,
        members: Option<Members>,
        mut rng: Rng,
    ) -> Self {
        let settings = Settings {
            satellite: rng.uuid(),
            program: "skypipe 1.0.0".to_owned(),
            since: 1_790_000_000,
            pid: 1,
            memory: plan.memory,
            quota: plan.quota,
            writer_lost: plan.writer_lost,
            listener_lost: plan.listener_lost,
            is_local: plan.is_local,
            idle: None,
            stoppable: false,
            clients: 1_000,
        };
        let plant = Plant::new(plant, &mut rng);
        let mut world = Self {
            now: Duration::ZERO,
            check: Checker::new(&settings),
            clients: Vec::new(),
            conns: Vec::new(),
            weather: plan.weather,
            rough: true,
            trace: std::env::var_os("SKYPIPE_TRACE").is_some(),
            plant,
            history: std::env::var_os("SKYPIPE_SHRINK").map(|_| History::new()),
            acknowledges_early: false,
            digest: DefaultHasher::new(),
            broker: start(&settings, disk.as_ref(), members.as_ref(), End::Killed),
            members,
            disk,
            is_syncing: false,
            settings,
            booted: Duration::ZERO,
            asleep: Duration::ZERO,
            slept: Duration::ZERO,
            events: BTreeMap::new(),
            planned: 0,
            steps: 0,
            rng,
        };
        for actor in plan.actors {
            world.enter(actor);
        }
        for (at, fault) in plan.faults {
            world.plan(at, Event::Fault(fault));
        }
        world
    }

    /// Adds a program to the world. It starts at its own time.
    pub fn enter(&mut self, actor: super::plan::Actor) {
        let at = actor.at;
        let identity = self.members.as_ref().map(Members::identity);
        let client = Client::new(actor, identity, &mut self.rng);
        self.clients.push(client);
        self.plan(at, Event::Start(self.clients.len() - 1));
    }

    /// Plans an event.
    pub fn plan(&mut self, at: Duration, event: Event) {
        self.planned += 1;
        self.events.insert((at.max(self.now), self.planned), event);
    }

    /// Runs the world until `end`.
    pub fn run_until(&mut self, end: Duration) -> Verdict {
        loop {
            let next = self.next();
            if next > end {
                self.now = self.now.max(end);
                return Ok(());
            }
            self.steps = if next > self.now { 0 } else { self.steps + 1 };
            if self.steps > MOST_STEPS {
                return Err("it goes round and round without time going on".to_owned());
            }
            self.now = self.now.max(next);
            self.step()?;
        }
    }

    fn next(&self) -> Duration {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let clients = self.clients.iter().filter_map(Client::due).min();
        [event, clients, self.broker_due()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Duration::MAX)
    }

    fn broker_due(&self) -> Option<Duration> {
        self.broker
            .deadline()
            .map(|deadline| self.booted + deadline)
    }

    fn step(&mut self) -> Verdict {
        if let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            let event = entry.remove();
            return self.happen(event);
        }
        for place in 0..self.clients.len() {
            if self.clients[place].due().is_some_and(|due| due <= self.now) {
                return self.act(place);
            }
        }
        self.tell_broker(Input::Timeout)
    }

    /// An event for a suspended party happens when that party wakes up.
    fn wakes_at(&self, event: &Event) -> Option<Duration> {
        let client = |conn: usize| self.clients[self.conns[conn].client].asleep;
        let asleep = match event {
            Event::Up(..) | Event::Satellite(..) | Event::Synced => self.asleep,
            Event::Down(conn, _) | Event::ClientTold(conn) => client(*conn),
            Event::Start(_) | Event::Fault(_) => return None,
        };
        Some(asleep).filter(|asleep| *asleep > self.now)
    }

    /// The satellite's own time, apart from its restarts. It stands still while the satellite is suspended.
    pub fn satellites_time(&self) -> Duration {
        self.now.saturating_sub(self.slept)
    }

    /// Suspends the satellite for a while.
    pub fn satellite_sleeps(&mut self, span: Duration) {
        if self.asleep <= self.now {
            self.asleep = self.now + span;
            self.booted += span;
            self.slept += span;
        }
    }

    fn happen(&mut self, event: Event) -> Verdict {
        if let Some(later) = self.wakes_at(&event) {
            self.plan(later, event);
            return Ok(());
        }
        match event {
            Event::Start(client) => self.start(client),
            Event::Up(conn, frames) => {
                let Conn { up, told, peer, .. } = &self.conns[conn];
                if !up || *told {
                    return Ok(());
                }
                let peer = peer.clone();
                let key = self.members.is_some().then_some(members::KEY);
                let (frames, is_short) = self.conns[conn].takes_in(frames);
                if frames.iter().any(|frame| frame.len() > FREE_FRAME) {
                    self.check.coverage.hit("large frame");
                }
                if is_short {
                    self.check.coverage.hit("frame dropped");
                }
                self.tell_broker(if is_short {
                    Input::Oversent { peer, key, frames }
                } else {
                    Input::Received { peer, key, frames }
                })
            }
            Event::Down(conn, frames) if self.conns[conn].down => {
                self.receive(self.conns[conn].client, conn, frames)
            }
            Event::Down(..) => Ok(()),
            Event::Satellite(conn, input) => {
                if self.conns[conn].told {
                    return Ok(());
                }
                self.conns[conn].told = matches!(input, Input::Disconnected { .. });
                self.tell_broker(input)
            }
            Event::ClientTold(conn) => self.client_told(conn),
            Event::Synced => {
                self.is_syncing = false;
                if let Some(disk) = &self.disk {
                    disk.synced();
                }
                self.tell_broker(Input::Synced)
            }
            Event::Fault(fault) => self.fail(fault),
        }
    }

    /// Hands an input to the satellite and processes the outputs.
    fn tell_broker(&mut self, input: Input) -> Verdict {
        self.trace(|| format!("satellite <- {}", told(&input)));
        (self.now, told(&input)).hash(&mut self.digest);
        let now = self.now.saturating_sub(self.booted);
        if let Some(history) = &mut self.history {
            history.push((now, input.clone()));
        }
        if self.disk.is_none() {
            self.check.input(self.satellites_time(), &input)?;
        }
        let early = early_answer(&input);
        let swallowed = match &input {
            Input::Received { frames, .. } => self.plant.swallows(frames),
            _ => false,
        };
        if !swallowed {
            self.broker.handle(now, input);
        }
        let mut said = Vec::new();
        while let Some(output) = self.broker.poll() {
            if let Output::SaveKeys(registry) = &output
                && let Some(members) = &mut self.members
            {
                members.registry = KeyRegistry::decode(registry)?;
                self.broker.handle(now, Input::KeysSaved(Ok(())));
            }
            said.push(output);
        }
        if self.acknowledges_early {
            said.extend(early);
        }
        for forged in self.plant.forged(&said) {
            self.broker.handle(now, forged);
            said.extend(std::iter::from_fn(|| self.broker.poll()));
        }
        self.plan_sync();
        self.plant.tamper(&mut said, false);
        for output in &said {
            self.trace(|| format!("satellite -> {}", said_so(output)));
            said_so(output).hash(&mut self.digest);
            match output {
                Output::Send { peer, frames, .. } if self.disk.is_none() => {
                    self.check.reply(peer, frames)?;
                }
                Output::Credit { peer, amount } => {
                    let conn = self.conns.iter_mut().rfind(|conn| conn.peer == *peer);
                    if let Some(conn) = conn {
                        conn.frame_credit += amount;
                    }
                }
                Output::Send { .. } | Output::SaveKeys(_) | Output::Log(_) => {}
                Output::Stop => return Err("the satellite stops".to_owned()),
                Output::Fail(why) => return Err(format!("the satellite fails: {why}")),
            }
        }
        self.plant.tamper(&mut said, true);
        for output in said {
            if let Output::Send {
                peer,
                frames,
                report,
            } = output
            {
                self.send_down(&peer, frames, report);
            }
        }
        if self.disk.is_none() {
            self.check.step_done(self.broker.used())
        } else {
            Ok(())
        }
    }

    /// Plans the end of a sync, which takes a while.
    fn plan_sync(&mut self) {
        if !self.is_syncing && self.disk.as_ref().is_some_and(Disk::is_syncing) {
            self.is_syncing = true;
            let at = self.now + self.rng.micros(100, 60_000);
            self.plan(at, Event::Synced);
        }
    }

    /// Makes this many of the next flushes fail.
    pub fn disk_refuses(&mut self, times: u32) {
        if let Some(disk) = &self.disk {
            disk.refuse(times);
        }
    }

    /// The bytes used on the satellite's disk.
    pub fn disk_used(&self) -> u64 {
        self.disk.as_ref().map_or(0, Disk::used)
    }

    /// Whether the ledger checks the history, and not the checker.
    pub fn is_on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Prints the satellite's whole state, if tracing is on.
    pub fn show(&self) {
        self.trace(|| format!("{:#?}", self.broker));
    }

    /// Prints an event, if tracing is on.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>12?} {}", self.now, what());
        }
    }

    fn send_down(&mut self, peer: &skypipe_broker::broker::Peer, frames: Vec<Bytes>, report: bool) {
        let Some(place) = self.conns.iter().rposition(|conn| conn.peer == *peer) else {
            return;
        };
        if std::mem::take(&mut self.conns[place].congested) {
            self.check.coverage.hit("queue full");
            // The queue stays full: the client reads nothing any more.
            self.conns[place].down = false;
            self.clients[self.conns[place].client].broken = true;
            let input = Input::Congested { peer: peer.clone() };
            self.plan(self.now, Event::Satellite(place, input));
        } else if self.conns[place].down {
            if report {
                let input = Input::Taken { peer: peer.clone() };
                self.plan(self.now, Event::Satellite(place, input));
            }
            let cut_off = self.clients[self.conns[place].client].cut_off;
            let at = self.now.max(cut_off) + self.weather.delay(&mut self.rng);
            let at = self.conns[place].arrives_down(at);
            self.plan(at, Event::Down(place, frames));
        } else if self.conns[place].up {
            // The end comes after everything still in flight to the satellite.
            self.tell_of_end(place);
        } else if report || self.rng.chance(40) {
            let input = Input::Disconnected { peer: peer.clone() };
            self.plan(self.now, Event::Satellite(place, input));
        }
    }

    /// A client sends a message on its connection.
    pub fn send_up(&mut self, client: usize, frames: Vec<Bytes>) {
        let Some(place) = self.clients[client].conn else {
            return;
        };
        if self.conns[place].up {
            let cut_off = self.clients[client].cut_off;
            let at = self.now.max(cut_off) + self.weather.delay(&mut self.rng);
            let at = self.conns[place].arrives_up(at);
            self.plan(at, Event::Up(place, frames));
        }
    }

    /// The satellite will learn that a connection has ended, after everything in flight on it.
    pub fn tell_of_end(&mut self, conn: usize) {
        let at = self.now + self.weather.delay(&mut self.rng);
        let at = self.conns[conn].arrives_up(at);
        let peer = self.conns[conn].peer.clone();
        self.plan(at, Event::Satellite(conn, Input::Disconnected { peer }));
    }

    /// Restarts the satellite. Without a disk nothing survives. Every connection ends.
    pub fn restart(&mut self, end: End) {
        self.check.coverage.hit("restart");
        for place in 0..self.conns.len() {
            let up = self.conns[place].up;
            self.conns[place].breaks();
            self.conns[place].told = true;
            if up {
                self.clients[self.conns[place].client].broken = true;
                if self.rng.chance(70) {
                    let at = self.now + self.weather.delay(&mut self.rng);
                    self.plan(at, Event::ClientTold(place));
                }
            }
        }
        self.settings.satellite = self.rng.uuid();
        // A running sync does not concern the next satellite.
        self.events
            .retain(|_, event| !matches!(event, Event::Synced));
        self.is_syncing = false;
        let members = self.members.as_ref();
        self.broker = start(&self.settings, self.disk.as_ref(), members, end);
        self.slept -= self.asleep.saturating_sub(self.now);
        self.asleep = self.now;
        self.booted = self.now;
        if let Some(history) = &mut self.history {
            history.clear();
        }
        self.check.restarted();
    }

    /// Prints the shortest part of the history that still leads to the failure `why`.
    pub fn shrink(&mut self, why: &str) {
        let Some(history) = self.history.take() else {
            return;
        };
        let all = history.len();
        match shrink(&self.settings, history, why) {
            Some(short) => {
                println!("{} of {all} inputs are enough:", short.len());
                for (at, input) in short {
                    println!("{at:>12?} {}", told(&input));
                }
            }
            None => println!("the satellite alone does not do it again"),
        }
    }

    /// What went in and out of the satellite, as one number.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// The satellite's memory use, in bytes of payload.
    pub fn used(&self) -> u64 {
        self.broker.used()
    }
}

/// The planted fault's answer to a chunk or a finish: it counts as safe at once.
fn early_answer(input: &Input) -> Option<Output> {
    let Input::Received { peer, frames, .. } = input else {
        return None;
    };
    let Ok(Request::Finish(Finish { stream, .. })) = decode(frames.get(1)?) else {
        return None;
    };
    let outcome = Outcome::Kept;
    let finished = encode(&Reply::Finished { stream, outcome });
    Some(Output::Send {
        peer: peer.clone(),
        frames: vec![Bytes::from_static(MAGIC), finished.into()],
        report: false,
    })
}

/// Starts a satellite with the disk's content.
fn start(
    settings: &Settings,
    disk: Option<&Disk>,
    members: Option<&Members>,
    end: End,
) -> Broker<Simulated> {
    let broker = match disk {
        None => Broker::new(settings.clone(), Simulated::default()),
        Some(disk) => {
            let (store, recovered) = disk.restart(end);
            Broker::restore(settings.clone(), store, recovered)
        }
    };
    match members {
        None => broker,
        Some(members) => broker.guarded_by(members.registry.clone(), None),
    }
}

/// The reply in these frames, if there is one.
pub fn reply_in(frames: &[Bytes]) -> Option<Reply> {
    decode(frames.get(1)?).ok()
}

/// A one-line description of a satellite's input.
pub fn told(input: &Input) -> String {
    match input {
        Input::Received { peer, frames, .. } | Input::Oversent { peer, frames, .. } => {
            let len = frames.get(2).map_or(0, Bytes::len);
            format!("{:?} {:?} +{len}", peer.0, decode::<Request>(&frames[1]))
        }
        other => format!("{other:?}"),
    }
}

fn said_so(output: &Output) -> String {
    match output {
        Output::Send { peer, frames, .. } => {
            let len = frames.get(2).map_or(0, Bytes::len);
            format!("{:?} {:?} +{len}", peer.0, reply_in(frames))
        }
        other => format!("{other:?}"),
    }
}
