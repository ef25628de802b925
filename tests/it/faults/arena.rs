//! One user, a satellite with a data directory, and programs that come and go and are killed.

mod players;
mod settling;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::wait::holds_within;
use crate::faults::ledger::Mode;
use crate::faults::rng::Rng;

use self::players::Player;

/// The satellite's flags: a data directory, and short timeouts for rule 16.
const FLAGS: &str = "--data data --lost-writer 1s --lost-listener 1s";

/// Further flags, used in turn: room is sometimes short.
const ROOM: [&str; 4] = [
    "",
    "--memory 4MiB",
    "--memory 4MiB --pipe-limit 2MiB",
    "--disk 16MiB",
];

/// The pipes: one read by all kinds of listeners, one by listeners that get everything, one by workers.
const PIPES: [&str; 3] = ["mixed", "live", "queue"];

/// The longest time between a round's start and its kill, in microseconds.
const MOMENT: u64 = 150_000;

/// The shortest time between two kills of a satellite. Clients that find none look again after longer and
/// longer pauses; after a few kills in a row the pause would exceed the timeout after which clients are
/// lost.
const BETWEEN: Duration = Duration::from_millis(400);

/// The state of a history.
pub struct Arena {
    sky: Environment,
    flags: Vec<&'static str>,
    rng: Rng,
    players: Vec<Player>,
    clock: u64,
    satellite_since: Instant,
    /// A log of events with their times, printed when a history failed.
    story: (Instant, String),
    /// How many satellites and how many other programs were killed while they ran.
    pub killed: (usize, usize),
}

impl Arena {
    /// A new history, which must end within `deadline`.
    pub fn new(seed: u64, deadline: Duration) -> Self {
        let mut rng = Rng::new(seed);
        let room = rng.pick(&ROOM);
        let flags: Vec<_> = [FLAGS, room]
            .into_iter()
            .flat_map(str::split_whitespace)
            .collect();
        Self {
            sky: Environment::sky_within(&flags, deadline),
            flags,
            rng,
            players: Vec::new(),
            clock: 0,
            satellite_since: Instant::now(),
            story: (Instant::now(), String::new()),
            killed: (0, 0),
        }
    }

    /// One round: some programs start, some continue, and one is killed.
    pub fn round(&mut self) {
        self.look();
        for _ in 0..self.rng.between(1, 4) {
            let pipe = self.rng.pick(&PIPES);
            self.writer(pipe);
        }
        for pipe in PIPES {
            let wanted = self.rng.index(3) + usize::from(pipe == "queue");
            if self.running(|it| it.pipe == pipe && !it.is_writer()) < wanted {
                let mode = self.mode(pipe);
                self.listener(pipe, mode);
            }
        }
        self.go_on();
        let moment = self.rng.micros(0, MOMENT);
        match self.rng.index(3) {
            0 => {}
            1 => {
                holds_within(moment, || false);
            }
            _ => {
                // Waits until one more has ended.
                let running = self.running(|_| true);
                holds_within(moment, || {
                    self.look();
                    self.running(|_| true) < running
                });
            }
        }
        self.kill_somebody();
    }

    fn kill_somebody(&mut self) {
        let is_time = self.satellite_since.elapsed() > BETWEEN;
        if is_time && self.rng.chance(60) {
            self.note("the satellite is killed");
            let last = self.sky.kill_and_restart_sky(&self.flags);
            self.note(&format!(
                "another one is there; the last said {}",
                last.stderr
            ));
            self.satellite_since = Instant::now();
            self.killed.0 += 1;
            return;
        }
        let is_writer = self.rng.chance(50);
        let running = self.places(|it| it.is_writer() == is_writer);
        if !running.is_empty() {
            let victim = self.rng.pick(&running);
            self.end(victim, Signal::KILL);
            self.killed.1 += 1;
        }
    }

    fn mode(&mut self, pipe: &str) -> Mode {
        match (pipe, self.rng.index(10)) {
            ("queue", _) | ("mixed", 0..3) => Mode::One,
            ("live", 0..5) | (_, 3) => Mode::Follow,
            (_, 8..) => Mode::Tap,
            _ => Mode::Default,
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.sky.put("story", &self.story.1);
            eprintln!("the story is in {}", self.sky.home().display());
        }
    }
}
