//! One user, a satellite with a data directory, and programs that come and go and are killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait::holds_within;
use crate::ledger::{self, End, Listener, Mode, Summary, Writer};
use crate::lines::{content, cut};
use crate::rng::Rng;

/// The satellite: what waits lies in a directory, and rule 16's times are short.
const FLAGS: &str = "--data data --lost-writer 1s --lost-listener 1s";

/// What else satellites are told, one this and one that: room is sometimes short.
const ROOM: [&str; 4] = [
    "",
    "--memory 4MiB",
    "--memory 4MiB --pipe-limit 2MiB",
    "--disk 16MiB",
];

/// The pipes: one read by all kinds of listeners, one by those who get everything, one by workers.
const PIPES: [&str; 3] = ["mixed", "live", "queue"];

/// The most that run at once of each kind.
const MOST: usize = 12;

/// The longest moment between a round's beginnings and its kill.
const MOMENT: u64 = 150_000;

/// The shortest time between two kills of a satellite. Clients that find none look again later and
/// later; after a few in a row it would be later than the time after which they are given up.
const BETWEEN: Duration = Duration::from_millis(400);

/// How long the end of everything may take.
const SETTLING: Duration = Duration::from_secs(60);

/// A program that was started.
struct Player {
    process: Option<Process>,
    pipe: &'static str,
    role: Role,
    started: u64,
    ended: u64,
    end: Option<End>,
}

#[derive(Debug)]
enum Role {
    /// A writer of so many bytes, and if it is a slow one, what it was not told yet.
    Writes {
        length: usize,
        rest: Option<(ChildStdin, Vec<u8>)>,
    },
    /// A listener, whose output is in the file of its number.
    Listens(Mode),
}

/// A history in the making.
pub struct Arena {
    sky: Environment,
    flags: Vec<&'static str>,
    rng: Rng,
    players: Vec<Player>,
    clock: u64,
    satellite_since: Instant,
    /// What happened, and when, for whoever looks why a history failed.
    story: (Instant, String),
    /// How many satellites and other programs were killed while they ran.
    pub killed: (usize, usize),
}

impl Arena {
    /// An empty one, which is over within `deadline`.
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

    /// Some come, some go on, and somebody is killed.
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
                // Until one more has come to its end.
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

    /// Ends a program that may have come to its own end just now.
    fn end(&mut self, place: usize, signal: Signal) {
        let player = &mut self.players[place];
        if let Some(process) = player.process.take_if(|process| process.runs()) {
            process.signal(signal);
            process.outcome();
            self.clock += 1;
            player.ended = self.clock;
            player.end = Some(End::Killed);
            self.note(&format!("{place} is ended by {signal:?}"));
        }
    }

    /// Takes note of who has come to an end.
    fn look(&mut self) {
        for place in 0..self.players.len() {
            let player = &mut self.players[place];
            let Some(process) = player.process.take_if(|process| !process.runs()) else {
                continue;
            };
            let outcome = process.outcome();
            self.clock += 1;
            player.ended = self.clock;
            player.end = Some(End::Exited(outcome.code.unwrap_or(-1), outcome.stderr));
            self.note(&format!("{place} ends: {:?}", self.players[place].end));
        }
    }

    fn note(&mut self, what: &str) {
        let (begin, story) = &mut self.story;
        let _ = writeln!(story, "{:>9.3} {what}", begin.elapsed().as_secs_f64());
    }

    fn places(&self, which: impl Fn(&Player) -> bool) -> Vec<usize> {
        let runs = |it: &Player| it.process.is_some() && which(it);
        let all = 0..self.players.len();
        all.filter(|place| runs(&self.players[*place])).collect()
    }

    fn running(&self, which: impl Fn(&Player) -> bool) -> usize {
        self.places(which).len()
    }

    fn mode(&mut self, pipe: &str) -> Mode {
        match (pipe, self.rng.index(10)) {
            ("queue", _) | ("mixed", 0..3) => Mode::One,
            ("live", 0..5) | (_, 3) => Mode::Follow,
            (_, 8..) => Mode::Tap,
            _ => Mode::Default,
        }
    }

    fn writer(&mut self, pipe: &'static str) {
        if self.running(Player::is_writer) >= MOST {
            return;
        }
        let place = self.players.len();
        let length = match self.rng.index(20) {
            0 => 0,
            1..6 => self.rng.between(100_000, 2_000_000),
            _ => self.rng.between(1, 3_000),
        };
        let length = usize::try_from(length).expect("it is small");
        let bytes = content(place, length);
        let flags: &[&str] = if self.rng.chance(15) {
            &["--wait"]
        } else {
            &[]
        };
        let run = self.sky.skypipe(&[&["-w", pipe], flags].concat());
        let (process, rest) = if length < 3_000 && self.rng.chance(30) {
            let process = run.piped().start();
            let stdin = process.take_stdin();
            (process, Some((stdin, bytes)))
        } else {
            let name = format!("in-{place}");
            self.sky.put(&name, bytes);
            let file = File::open(self.sky.home().join(name)).expect("it was just made");
            (run.stdin(file).start(), None)
        };
        self.comes(process, pipe, Role::Writes { length, rest });
    }

    fn listener(&mut self, pipe: &'static str, mode: Mode) {
        if self.running(|it| !it.is_writer()) >= MOST {
            return;
        }
        let place = self.players.len();
        let flag = match mode {
            Mode::Default => "-r",
            Mode::Follow => "--follow",
            Mode::One => "--one",
            Mode::Tap => "--tap",
        };
        let path = self.sky.home().join(format!("out-{place}"));
        let file = File::create(path).expect("there is room");
        let process = self.sky.skypipe(&[flag, pipe]).stdout(file).start();
        self.comes(process, pipe, Role::Listens(mode));
    }

    fn comes(&mut self, process: Process, pipe: &'static str, role: Role) {
        self.clock += 1;
        let (place, pid) = (self.players.len(), process.pid());
        self.note(&format!("{place} comes to {pipe}, process {pid}: {role:?}"));
        self.players.push(Player {
            process: Some(process),
            pipe,
            role,
            started: self.clock,
            ended: u64::MAX,
            end: None,
        });
    }

    /// Slow writers are told some more.
    fn go_on(&mut self) {
        for player in &mut self.players {
            let Role::Writes { rest, .. } = &mut player.role else {
                continue;
            };
            let Some((stdin, bytes)) = rest else {
                continue;
            };
            let at = self.rng.index(bytes.len().min(1000) + 1);
            let some: Vec<u8> = bytes.drain(..cut(bytes, at)).collect();
            // Who was killed reads no more.
            if stdin.write_all(&some).is_err() || bytes.is_empty() {
                *rest = None;
            }
        }
    }

    /// Lets everybody come to an end, and looks whether all was as it must be. Returns how many
    /// programs there were.
    pub fn settle(&mut self) -> (Summary, usize) {
        while self.players.iter().any(Player::is_slow) {
            self.go_on();
        }
        self.drain();
        self.until("all have come to their end", |arena| {
            for place in arena.places(|it| it.is(Mode::One)) {
                arena.end(place, Signal::TERM);
            }
            for pipe in PIPES {
                if arena.running(|it| it.pipe == pipe) > 0 {
                    arena.sky.skypipe(&["--eof", pipe]).done().printed("");
                }
            }
            arena.drain();
            arena.running(|_| true) == 0 && PIPES.iter().all(|pipe| arena.sky.is_gone(pipe))
        });
        let count = self.players.len();
        let (mut writers, mut listeners) = (BTreeMap::new(), Vec::new());
        for (place, player) in self.players.drain(..).enumerate() {
            let end = player.end.expect("all have ended");
            match player.role {
                Role::Writes { length, .. } => {
                    let content = content(place, length);
                    writers.insert(place, Writer { content, end });
                }
                Role::Listens(mode) => {
                    let path = self.sky.home().join(format!("out-{place}"));
                    listeners.push(Listener {
                        mode,
                        printed: fs::read(path).expect("it was made"),
                        end,
                        started: player.started,
                        ended: player.ended,
                    });
                }
            }
        }
        let verdict = ledger::check(&writers, &listeners);
        (verdict.unwrap_or_else(|why| panic!("{why}")), count)
    }

    /// Listeners come until all writers have come to an end and nothing waits.
    fn drain(&mut self) {
        self.until("all is drained", |arena| {
            let mut is_over = arena.running(Player::is_writer) == 0;
            for pipe in PIPES {
                let waiting = arena.sky.listed(pipe).waiting;
                is_over &= waiting == 0;
                let mode = if pipe == "queue" {
                    Mode::One
                } else {
                    Mode::Default
                };
                if waiting > 0 && arena.running(|it| it.pipe == pipe && it.is(mode)) == 0 {
                    arena.listener(pipe, mode);
                }
            }
            is_over
        });
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let is_good = holds_within(SETTLING, || {
            self.look();
            condition(self)
        });
        let (table, rest) = (self.sky.skypipe(&["--list"]).done(), self.places(|_| true));
        assert!(is_good, "in vain: {what}; {rest:?} run; {table}");
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

impl Player {
    fn is_writer(&self) -> bool {
        matches!(self.role, Role::Writes { .. })
    }

    /// Whether it is a writer that is to be told more.
    fn is_slow(&self) -> bool {
        matches!(self.role, Role::Writes { rest: Some(_), .. })
    }

    fn is(&self, mode: Mode) -> bool {
        matches!(self.role, Role::Listens(its) if its == mode)
    }
}
