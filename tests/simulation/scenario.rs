//! A whole history: failures for a while, then none, then everything is drained.

use std::fmt;
use std::time::Duration;

use skypipe::session::{Job, Question, Signal};
use skypipe_protocol::{Mode, Reply};

use super::check::Verdict;
use super::client::Role;
use super::coverage::Coverage;
use super::network::Weather;
use super::plan::{Actor, Fault, Flavour, Plan};
use super::plant::Kind;
use super::rng::Rng;
use super::world::World;

/// The most listeners that may be needed to empty the pipes.
const MOST_ROUNDS: usize = 80;

/// How long things take once nothing fails any more, in virtual time.
const SPELL: Duration = Duration::from_secs(6);

/// The listeners that come at the end to read everything.
const MODES: [Mode; 6] = [
    Mode::Default,
    Mode::Default,
    Mode::Default,
    Mode::Default,
    Mode::One,
    Mode::Follow,
];

/// Without a chunk, an item or a confirmation for this long, nothing counts as moving any more.
const REST: Duration = Duration::from_secs(3);

/// How often that time may pass before everything must be still.
const MOST_WAITS: usize = 1_000;

/// The pipes of all histories.
const PIPES: [&str; 2] = ["p", ""];

/// A history that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// The seed of the history.
    pub seed: u64,
    /// The virtual time of the failure.
    pub at: Duration,
    /// A sentence about what was wrong.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, why } = self;
        write!(f, "SKYPIPE_SEED={seed} after {at:?}: {why}")
    }
}

/// What successful histories came through.
#[derive(Debug, Default)]
pub struct Stats {
    /// The situations that came up.
    pub coverage: Coverage,
    /// What went in and out of the satellite, as one number.
    pub digest: u64,
    /// Whether the planted fault had its occasion.
    pub planted: bool,
}

/// Runs the history of this seed, with the planted fault `plant`.
///
/// # Errors
///
/// When something happened that the rules do not allow.
pub fn run(seed: u64, plant: Option<Kind>, stats: &mut Stats) -> Result<(), Failure> {
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(Flavour::of(seed), &mut rng);
    let chaos = plan.chaos;
    let settle = plan.writer_lost.max(plan.listener_lost) * 3 / 2 + Duration::from_secs(20);
    let mut world = World::new(plan, plant, rng);
    let verdict = world.history(chaos, settle);
    stats.planted = world.plant.done;
    stats.coverage.add(&world.check.coverage);
    stats.digest = world.digest();
    if let Err(why) = &verdict {
        world.shrink(why);
    }
    verdict.map_err(|why| Failure {
        seed,
        at: world.now,
        why,
    })
}

impl World {
    fn history(&mut self, chaos: Duration, settle: Duration) -> Verdict {
        self.run_until(chaos)?;
        self.calm();
        self.run_for(settle)?;
        self.check.coverage.hit("settled");
        for client in self.clients.iter_mut().filter(|client| !client.ends) {
            client.ends = true;
            client.stdin_due = self.now;
        }
        self.run_for(SPELL)?;
        self.drain_pipes(&MODES)?;
        self.end_listeners()?;
        self.finale()
    }

    /// Stops all failures and delays.
    pub fn calm(&mut self) {
        self.rough = false;
        self.weather = Weather {
            low: 100,
            high: 2_000,
            late: 0,
        };
        for client in &mut self.clients {
            client.cut_off = self.now;
            client.stalled = self.now;
            client.pace = 20;
            client.write_due = client.write_due.min(self.now);
            client.stdin_due = client.stdin_due.min(self.now + Duration::from_millis(2));
            for (pause, _) in &mut client.stdin {
                *pause = (*pause).min(Duration::from_millis(2));
            }
        }
    }

    /// Runs the world. Then everything that can be read must have been.
    fn run_for(&mut self, span: Duration) -> Verdict {
        self.run_until(self.now + span)?;
        // With no room left and long lines, data moves slowly, a second at a time.
        for _ in 0..MOST_WAITS {
            if self.check.facts.moved + REST <= self.satellites_time() {
                break;
            }
            self.run_until(self.now + REST)?;
        }
        self.check
            .still()
            .map_err(|why| format!("when all is still: {why}"))
    }

    /// Listeners come until no data waits.
    fn drain_pipes(&mut self, modes: &[Mode]) -> Verdict {
        for _ in 0..MOST_ROUNDS {
            let Some(pipe) = PIPES.iter().find(|pipe| self.check.waits(pipe)) else {
                return Ok(());
            };
            let mode = self.rng.pick(modes);
            self.comes(Job::Listen {
                pipe: (*pipe).to_owned(),
                mode,
            });
            self.run_for(SPELL)?;
        }
        Err("the pipes do not become empty".to_owned())
    }

    /// Ends the listeners, and with a signal those that are queued for a stream of their own.
    fn end_listeners(&mut self) -> Verdict {
        self.end_live()?;
        for place in 0..self.clients.len() {
            if self.clients[place].role == (Role::Listen { mode: Mode::One }) {
                self.fail(Fault::Signal(place, Signal::Interrupt))?;
            }
        }
        self.run_for(SPELL)?;
        self.drain_pipes(&[Mode::Default])?;
        // Where it was unknown whether there was still unread data, a listener came for nothing.
        self.end_live()?;
        self.drain_pipes(&[Mode::Default])
    }

    /// An `--eof` ends the listeners that are not queued.
    fn end_live(&mut self) -> Verdict {
        for pipe in PIPES {
            if self.check.listened_to(pipe) {
                self.comes(Job::Ask(Question::Eof(pipe.to_owned())));
            }
        }
        self.run_for(SPELL)
    }

    /// Checks that everyone has ended, no data is left, and no line was broken.
    fn finale(&mut self) -> Verdict {
        if let Some(place) = (0..self.clients.len()).find(|place| self.clients[*place].runs()) {
            return Err(format!("{} does not come to its end", self.name(place)));
        }
        self.check.empty()?;
        for client in &self.clients {
            self.check.written(client)?;
        }
        self.check.lines()?;
        if self.used() > 0 {
            return Err(format!("{} bytes used with nothing kept", self.used()));
        }
        self.comes(Job::Ask(Question::List));
        self.run_for(SPELL)?;
        match self.clients.last().map(|client| &client.answers[..]) {
            Some([Reply::Pipes { pipes, more: false }]) if pipes.is_empty() => Ok(()),
            other => Err(format!("a listing of nothing is {other:?}")),
        }
    }

    /// Starts a program that does one thing.
    pub fn comes(&mut self, job: Job) {
        self.enter(Actor {
            at: self.now,
            job,
            timeout: None,
            stdin: Vec::new(),
            ends: true,
            pace: 20,
            head: None,
        });
    }
}
