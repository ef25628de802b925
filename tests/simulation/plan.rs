//! The plan of one history, drawn from its seed: who comes when, with what data, and what fails.

use std::time::Duration;

use bytes::Bytes;
use skypipe::session::{Compression, Job, Question, Signal};
use skypipe_protocol::{MAX_CHUNK, Mode};

use super::disk::End;
use super::network::Weather;
use super::rng::{Rng, mix};

/// The emphasis of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// A little of everything.
    Mixed,
    /// Budgets that are always used up.
    Tight,
    /// A bad network, and programs that die.
    Rough,
    /// A satellite that restarts and loses everything.
    Restarts,
}

impl Flavour {
    /// All flavours. A seed's flavour is the one at the seed's remainder.
    pub const ALL: [Self; 4] = [Self::Mixed, Self::Tight, Self::Rough, Self::Restarts];

    /// The flavour of a seed.
    pub fn of(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % 4).expect("it is below four")]
    }
}

/// A program to start.
#[derive(Debug)]
pub struct Actor {
    /// The start time.
    pub at: Duration,
    /// Its purpose.
    pub job: Job,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// The data on stdin, each piece with the pause before it.
    pub stdin: Vec<(Duration, Bytes)>,
    /// Whether its stdin ends after that. If not, it ends only when nothing else moves.
    pub ends: bool,
    /// The longest duration of a write to stdout, in microseconds.
    pub pace: u64,
    /// After how many bytes its stdout is closed.
    pub head: Option<usize>,
}

/// A failure. Clients are given by their index in the plan.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// A connection breaks.
    Break {
        /// The client.
        client: usize,
        /// Whether the satellite notices.
        tell_satellite: bool,
        /// Whether the client notices.
        tell_client: bool,
    },
    /// A client's network is down for a while.
    CutOff(usize, Duration),
    /// A program is suspended for a while.
    Sleep(usize, Duration),
    /// The satellite is suspended for a while.
    SatelliteSleeps(Duration),
    /// A program is killed.
    Kill(usize),
    /// A program gets a signal.
    Signal(usize, Signal),
    /// A program's stdout takes nothing for a while.
    Stall(usize, Duration),
    /// The satellite finds the queue of a connection full.
    Congest(usize),
    /// The satellite restarts and loses everything.
    Restart,
    /// This many of the next flushes fail.
    DiskRefuses(u32),
    /// Somebody's key is revoked, and the reading key renewed.
    RenewKeys,
    /// The satellite, which has a disk, ends in this way and is restarted.
    KillSatellite(End),
}

/// The plan of one history.
#[derive(Debug)]
pub struct Plan {
    /// The budget for payloads, in bytes.
    pub memory: u64,
    /// The most payload bytes of one pipe.
    pub quota: u64,
    /// The timeout for silent writers.
    pub writer_lost: Duration,
    /// The timeout for silent listeners.
    pub listener_lost: Duration,
    /// Whether all clients are on the satellite's machine.
    pub is_local: bool,
    /// The message delays.
    pub weather: Weather,
    /// The programs.
    pub actors: Vec<Actor>,
    /// The failures, with their times.
    pub faults: Vec<(Duration, Fault)>,
    /// How long failures go on.
    pub chaos: Duration,
}

impl Plan {
    /// Draws the next plan of this flavour.
    pub fn draw(flavour: Flavour, rng: &mut Rng) -> Self {
        let memory = match flavour {
            Flavour::Tight => rng.pick(&[64 << 10, 96 << 10, 128 << 10, 256 << 10]),
            _ => rng.pick(&[128 << 10, 512 << 10, 1 << 20, 4 << 20]),
        };
        let chaos = Duration::from_secs(rng.pick(&[2, 5, 10, 30]));
        let count = rng.between(3, if flavour == Flavour::Tight { 10 } else { 16 });
        let pipes = if rng.chance(75) {
            &["p"][..]
        } else {
            &["p", ""][..]
        };
        let mut actors: Vec<_> = (0..count)
            .map(|number| draw_actor(flavour, rng.pick(pipes), number, chaos, rng))
            .collect();
        if rng.chance(30) {
            // All start at once, in every order.
            for actor in &mut actors {
                actor.at = rng.micros(0, 20_000);
            }
        }
        if flavour == Flavour::Tight && rng.chance(3) {
            actors.extend(draw_flood(rng));
        }
        let faults = draw_faults(flavour, &actors, chaos, rng);
        Self {
            memory,
            quota: u64::MAX,
            writer_lost: Duration::from_secs(rng.pick(&[4, 12, 60])),
            listener_lost: Duration::from_secs(rng.pick(&[2, 4, 10])),
            is_local: rng.chance(20),
            weather: Weather {
                low: rng.pick(&[50, 500, 5_000]),
                high: rng.pick(&[6_000, 20_000, 80_000]),
                late: if flavour == Flavour::Rough {
                    3
                } else {
                    rng.pick(&[0, 0, 1])
                },
            },
            actors,
            faults,
            chaos,
        }
    }
}

/// More data than fits anywhere, for a listener that reads it and a tap that cannot keep up.
fn draw_flood(rng: &mut Rng) -> [Actor; 3] {
    let pipe = || "p".to_owned();
    let actor = |at: u64, pace, job, stdin| Actor {
        at: Duration::from_millis(at),
        job,
        timeout: None,
        stdin,
        ends: true,
        pace,
        head: None,
    };
    let listen = |mode| Job::Listen { pipe: pipe(), mode };
    let write = Job::Write {
        pipe: pipe(),
        wait: false,
        whole: false,
        compress: Compression::Off,
        inferred: false,
        label: "flood".to_owned(),
    };
    let text: Bytes = (0..6_000_000_u64)
        .map(|at| if at % 997 == 0 { b'\n' } else { b'.' })
        .collect();
    let piece = |at: usize| {
        (
            Duration::ZERO,
            text.slice(at..(at + 200_000).min(text.len())),
        )
    };
    let pieces = (0..text.len()).step_by(200_000).map(piece).collect();
    [
        actor(0, 600_000, listen(Mode::Tap), Vec::new()),
        actor(0, 10, listen(Mode::Default), Vec::new()),
        actor(rng.between(100, 400), 10, write, pieces),
    ]
}

fn draw_actor(
    flavour: Flavour,
    pipe: &'static str,
    number: u64,
    chaos: Duration,
    rng: &mut Rng,
) -> Actor {
    let pipe = pipe.to_owned();
    let latest = micros(chaos) * 4 / 5;
    let mut actor = Actor {
        at: rng.micros(0, latest),
        job: Job::Ask(Question::Status),
        timeout: rng.chance(4).then(|| rng.micros(300_000, 5_000_000)),
        stdin: Vec::new(),
        ends: true,
        pace: rng.pick(&[10, 500, 5_000, 60_000]),
        head: None,
    };
    match rng.between(0, 99) {
        0..50 => {
            actor.stdin = draw_stdin(flavour, number, rng);
            actor.ends = rng.chance(85);
            let wait = rng.chance(25);
            let inferred = rng.chance(30);
            actor.job = Job::Write {
                pipe,
                wait,
                whole: false,
                compress: Compression::Off,
                inferred,
                label: format!("writer {number}"),
            };
        }
        50..92 => {
            let mode = match rng.between(0, 99) {
                0..38 => Mode::Default,
                38..64 => Mode::One,
                64..84 => Mode::Follow,
                _ => Mode::Tap,
            };
            actor.head = rng.chance(8).then(|| rng.index(5_000));
            actor.job = Job::Listen { pipe, mode };
        }
        92..96 => actor.job = Job::Ask(Question::Eof(pipe)),
        96..98 => actor.job = Job::Ask(Question::Discard(pipe)),
        98 => actor.job = Job::Ask(Question::List),
        _ => {}
    }
    actor
}

/// Lines of letters that show their offset in the writer's data, in pieces as a program reads them.
fn draw_stdin(flavour: Flavour, number: u64, rng: &mut Rng) -> Vec<(Duration, Bytes)> {
    let mut text = Vec::new();
    let longest = match flavour {
        _ if rng.chance(1) => rng.pick(&[300_000, 300_000, 1_400_000]),
        Flavour::Tight => rng.pick(&[200, 2_000, 9_000, 40_000]),
        _ => rng.pick(&[20, 200, 2_000, 9_000]),
    };
    let lines = match rng.between(0, 9) {
        0 => 0,
        1 => 1,
        _ => rng.between(1, if longest > 2_000 { 14 } else { 40 }),
    };
    for line in 0..lines {
        for _ in 0..rng.between(0, longest) {
            let place = mix(number << 32 | text.len() as u64);
            text.push(b'a' + u8::try_from(place % 26).expect("it is a letter"));
        }
        if line + 1 < lines || rng.chance(80) {
            text.push(b'\n');
        }
    }
    let hasty = rng.chance(60);
    let broken = rng.pick(&[5, 5, 40]);
    let mut pieces = Vec::new();
    let mut rest = Bytes::from(text);
    while !rest.is_empty() {
        let most = rng.index(usize::try_from(longest).expect("lines are short") * 4) + 1;
        let most = most.min(MAX_CHUNK);
        let mut len = most.min(rest.len());
        if let Some(newline) = rest[..len].iter().rposition(|byte| *byte == b'\n')
            && !rng.chance(broken)
        {
            len = newline + 1;
        }
        let pause = match rng.between(0, 99) {
            _ if hasty => rng.micros(0, 2_000),
            0..60 => rng.micros(0, 30_000),
            60..90 => rng.micros(30_000, 400_000),
            _ => rng.micros(400_000, 3_000_000),
        };
        pieces.push((pause, rest.split_to(len)));
    }
    pieces
}

fn draw_faults(
    flavour: Flavour,
    actors: &[Actor],
    chaos: Duration,
    rng: &mut Rng,
) -> Vec<(Duration, Fault)> {
    let most = match flavour {
        Flavour::Mixed => rng.pick(&[0, 3, 6]),
        Flavour::Tight => rng.pick(&[0, 2, 4]),
        Flavour::Rough => rng.pick(&[6, 12, 24]),
        Flavour::Restarts => rng.pick(&[1, 4, 8]),
    };
    let mut faults = Vec::new();
    for _ in 0..most {
        let client = rng.index(actors.len());
        // A program is most vulnerable soon after its start.
        let soon = actors[client].at + rng.micros(0, 1_500_000);
        let any = rng.micros(0, micros(chaos));
        let at = if rng.chance(60) { soon.min(chaos) } else { any };
        let fault = draw_fault(client, chaos.saturating_sub(at), rng);
        let again = if rng.chance(20) { 3 } else { 0 };
        for _ in 0..again {
            faults.push(((at + rng.micros(0, 700_000)).min(chaos), fault));
        }
        faults.push((at, fault));
    }
    if flavour == Flavour::Restarts {
        for _ in 0..rng.between(1, 2) {
            faults.push((
                rng.micros(micros(chaos) / 10, micros(chaos)),
                Fault::Restart,
            ));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn draw_fault(client: usize, rest: Duration, rng: &mut Rng) -> Fault {
    let span = if rng.chance(50) {
        micros(rest)
    } else {
        micros(rest).min(3_000_000)
    };
    match rng.between(0, 99) {
        0..40 => Fault::Break {
            client,
            tell_satellite: rng.chance(60),
            tell_client: rng.chance(70),
        },
        40..50 => Fault::CutOff(client, rng.micros(0, span)),
        50..57 => Fault::Sleep(client, rng.micros(0, span)),
        57..59 => Fault::SatelliteSleeps(rng.micros(0, span)),
        59..67 => Fault::Kill(client),
        67..77 => {
            let signals = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];
            Fault::Signal(client, rng.pick(&signals))
        }
        77..82 => Fault::Congest(client),
        _ => Fault::Stall(client, rng.micros(0, span)),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).expect("spans are short")
}
