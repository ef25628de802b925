//! Histories of a satellite with a disk that is killed again and again, and of a machine that loses power.
//! At the end everything is drained, and the [ledger](super::ledger) must be right.

use std::time::Duration;

use skypipe::session::{Compression, Job, Question, Signal};
use skypipe_protocol::{Mode, Reply};

use super::check::Verdict;
use super::client::Role;
use super::disk::{Disk, End};
use super::ledger::{self, QUEUE};
use super::members::{self, Members};
use super::network::Weather;
use super::plan::{Actor, Fault, Plan};
use super::rng::Rng;
use super::scenario::{Failure, Stats};
use super::world::World;

/// The timeout for silent clients, where no failure lasts that long.
const LOST: Duration = Duration::from_secs(20);

/// The longest network failure, and suspension of a program, where nobody gets lost, in microseconds.
const LONGEST_CUT: u64 = 3_000_000;

/// The same where clients do get lost: several times the timeouts that are drawn.
const LONGEST_ABSENCE: u64 = 16_000_000;

/// How often listeners come to drain the pipes at most.
const MOST_ROUNDS: usize = 200;

/// A planted fault in the satellite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The satellite takes unsynced data for synced.
    SkipsSyncs,
    /// The satellite acknowledges bytes as soon as they arrive.
    AcknowledgesEarly,
}

impl Plant {
    /// The fault that `SKYPIPE_PLANT` names.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "skip-sync" => Some(Self::SkipsSyncs),
            "early-ack" => Some(Self::AcknowledgesEarly),
            _ => None,
        }
    }
}

/// Runs the history of this seed.
///
/// # Errors
///
/// When something was lost or came twice, or a program failed.
pub fn run(seed: u64, plant: Option<Plant>, stats: &mut Stats) -> Result<(), Failure> {
    let mut rng = Rng::new(seed ^ 0x5eed);
    // One history in three has power losses.
    let loses_power = seed % 3 == 2;
    // One in two has programs, networks and satellites that are away for longer than the timeouts.
    let has_absences = seed % 4 < 2;
    let plan = draw(loses_power, has_absences, &mut rng);
    let chaos = plan.chaos;
    let budget = rng.pick(&[300_000, 2_000_000, 1 << 40]);
    let disk = Disk::new(budget, plant == Some(Plant::SkipsSyncs));
    // Two histories in five have a satellite with keys.
    members::begin();
    let members = (seed % 5 < 2).then(Members::new);
    let mut world = World::on_disk(plan, disk, members, rng);
    world.acknowledges_early = plant == Some(Plant::AcknowledgesEarly);
    let verdict = world.restarts(chaos, loses_power, has_absences);
    stats.coverage.add(&world.check.coverage);
    stats.digest = world.digest();
    verdict.map_err(|why| Failure {
        seed,
        at: world.now,
        why,
    })
}

fn draw(loses_power: bool, has_absences: bool, rng: &mut Rng) -> Plan {
    let chaos = Duration::from_secs(rng.pick(&[3, 8, 20]));
    let count = rng.index(14) + 3;
    let actors: Vec<_> = (0..count).map(|place| actor(place, chaos, rng)).collect();
    let mut faults = Vec::new();
    for _ in 0..rng.between(1, 6) {
        let end = if loses_power && rng.chance(60) {
            End::PowerLoss(rng.between(0, 1000))
        } else {
            End::Killed
        };
        faults.push((rng.micros(0, micros(chaos)), Fault::KillSatellite(end)));
    }
    for _ in 0..rng.between(0, 10) {
        let client = rng.index(count);
        let at = rng.micros(0, micros(chaos));
        let longest = if has_absences {
            LONGEST_ABSENCE
        } else {
            LONGEST_CUT
        };
        faults.push((at, fault(client, longest, rng)));
    }
    let lost = |rng: &mut Rng| {
        if has_absences {
            Duration::from_secs(rng.pick(&[2, 4, 6]))
        } else {
            LOST
        }
    };
    let (writer_lost, listener_lost) = (lost(rng), lost(rng));
    faults.sort_by_key(|(at, _)| *at);
    Plan {
        memory: rng.pick(&[64 << 10, 256 << 10, 4 << 20]),
        quota: rng.pick(&[20_000, 200_000, u64::MAX, u64::MAX]),
        writer_lost,
        listener_lost,
        is_local: has_absences && rng.chance(20),
        weather: Weather {
            low: rng.pick(&[50, 500, 5_000]),
            high: rng.pick(&[6_000, 20_000, 80_000]),
            late: rng.pick(&[0, 0, 2]),
        },
        actors,
        faults,
        chaos,
    }
}

fn actor(place: usize, chaos: Duration, rng: &mut Rng) -> Actor {
    let queue = rng.chance(35);
    let pipe = if queue { QUEUE } else { "p" }.to_owned();
    let mut actor = Actor {
        at: rng.micros(0, micros(chaos) * 4 / 5),
        job: Job::Ask(Question::Status),
        timeout: None,
        stdin: Vec::new(),
        ends: true,
        pace: rng.pick(&[10, 500, 5_000, 60_000]),
        head: None,
    };
    if rng.chance(55) {
        let lines = rng.pick(&[0, 1, 30, 300, 2_000]);
        let pieces = ledger::stdin(place, lines, rng);
        let pause = rng.pick(&[100, 20_000, 300_000]);
        let piece = |bytes| (rng.micros(0, pause), bytes);
        actor.stdin = pieces.into_iter().map(piece).collect();
        let wait = rng.chance(20);
        let compress = rng.pick(&[Compression::Off, Compression::Auto, Compression::Level(1)]);
        // Some writers have no more data and do not end.
        actor.ends = rng.chance(85);
        actor.job = Job::Write {
            pipe,
            wait,
            whole: false,
            compress,
            inferred: false,
            label: format!("writer {place}"),
        };
    } else {
        let mode = match rng.between(0, 11) {
            _ if queue => Mode::One,
            0..5 => Mode::Default,
            5..9 => Mode::Follow,
            _ => Mode::Tap,
        };
        actor.job = Job::Listen { pipe, mode };
    }
    actor
}

fn fault(client: usize, longest: u64, rng: &mut Rng) -> Fault {
    match rng.between(0, 99) {
        0..40 => Fault::Break {
            client,
            tell_satellite: rng.chance(60),
            tell_client: rng.chance(70),
        },
        40..50 => Fault::CutOff(client, rng.micros(0, longest)),
        50..55 => Fault::Sleep(client, rng.micros(0, longest)),
        55..75 => Fault::Kill(client),
        75..80 => Fault::Signal(client, Signal::Terminate),
        80..86 => Fault::DiskRefuses(rng.pick(&[1, 2, 4])),
        86..90 => Fault::RenewKeys,
        90..93 => Fault::SatelliteSleeps(rng.micros(0, longest)),
        _ => Fault::Stall(client, rng.micros(0, longest)),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).expect("spans are short")
}

impl World {
    fn restarts(&mut self, chaos: Duration, lost_power: bool, absences: bool) -> Verdict {
        self.run_until(chaos)?;
        self.calm();
        self.run_until(self.now + LOST * 2)?;
        // Even with idle writers in front, data that can be read must not get stuck.
        self.drain_some()?;
        for client in self.clients.iter_mut().filter(|client| !client.ends) {
            client.ends = true;
            client.stdin_due = self.now;
        }
        self.drain_all()?;
        self.end_followers()?;
        self.drain_all()?;
        self.end_the_rest()?;
        if let Some(place) = (0..self.clients.len()).find(|place| self.clients[*place].runs()) {
            self.show();
            return Err(format!("{} does not come to its end", self.name(place)));
        }
        if self.used() > 0 || self.disk_used() > 0 {
            let (used, disk) = (self.used(), self.disk_used());
            return Err(format!(
                "{used} bytes of memory and {disk} of disk used for nothing"
            ));
        }
        self.check.coverage.hit("settled");
        ledger::check(&self.clients, lost_power, absences)
    }

    /// A few listeners come, one after the other.
    fn drain_some(&mut self) -> Verdict {
        for (pipe, mode) in [
            ("p", Mode::Default),
            (QUEUE, Mode::One),
            ("p", Mode::Default),
            (QUEUE, Mode::One),
        ] {
            self.comes(Job::Listen {
                pipe: pipe.to_owned(),
                mode,
            });
            self.run_until(self.now + Duration::from_secs(8))?;
        }
        Ok(())
    }

    /// Listeners come until no pipe has unread data.
    fn drain_all(&mut self) -> Verdict {
        for round in 0..MOST_ROUNDS {
            self.comes(Job::Ask(Question::List));
            self.run_until(self.now + Duration::from_secs(8))?;
            let Some(Reply::Pipes { pipes, .. }) =
                self.clients.last().and_then(|it| it.answers.first())
            else {
                return Err("nobody answers".to_owned());
            };
            let Some(pipe) = pipes.iter().find(|pipe| pipe.waiting > 0) else {
                return Ok(());
            };
            let (name, listeners) = (pipe.name.clone(), pipe.listeners);
            // A `--one` never gets a remainder, which others had a part of.
            let mode = if name == QUEUE && round % 4 > 0 {
                Mode::One
            } else {
                Mode::Default
            };
            if mode == Mode::One && listeners > 100 {
                self.show();
                return Err("the queue does not become empty".to_owned());
            }
            self.comes(Job::Listen { pipe: name, mode });
            self.run_until(self.now + Duration::from_secs(8))?;
        }
        self.show();
        Err("the pipes do not become empty".to_owned())
    }

    /// An `--eof` ends the listeners.
    fn end_followers(&mut self) -> Verdict {
        self.comes(Job::Ask(Question::Eof("p".to_owned())));
        self.run_until(self.now + LOST)
    }

    /// A signal ends those that wait at the queue.
    fn end_the_rest(&mut self) -> Verdict {
        for place in 0..self.clients.len() {
            let Role::Listen { mode } = self.clients[place].role else {
                continue;
            };
            if matches!(mode, Mode::One | Mode::Default) {
                self.fail(Fault::Signal(place, Signal::Interrupt))?;
            }
        }
        self.run_until(self.now + LOST)
    }
}
