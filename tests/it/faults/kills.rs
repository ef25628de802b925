//! `kill -9` of satellite, writers and listeners at random moments, two hundred times (rule 16).
//!
//! `SKYPIPE_ROUNDS` changes the number of rounds, `SKYPIPE_SEED` the seed. A seed determines who does what.
//! How far a program gets before it is killed depends on the machine.

use std::env;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::faults::arena::Arena;
use crate::faults::ledger::Summary;

/// The default number of rounds.
const ROUNDS: u64 = 200;

/// The number of parallel histories, each with its own satellite.
const ARENAS: u64 = 4;

/// The timeout of each history: a fixed part, and a part for each round.
const BASE: Duration = Duration::from_secs(120);
const PER_ROUND: Duration = Duration::from_secs(5);

/// How many in a thousand programs that were not killed may be lost for their silence. On a busy machine
/// the one-second timeout of this test is short.
const GIVEN_UP: usize = 20;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

#[test]
fn rule_16_nothing_is_lost_or_doubled_whoever_is_killed() {
    let rounds = number("SKYPIPE_ROUNDS").unwrap_or(ROUNDS).div_ceil(ARENAS);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let by_chance = u64::from(now.expect("it is later than 1970").subsec_nanos());
    let seed = number("SKYPIPE_SEED").unwrap_or(by_chance);
    println!("SKYPIPE_SEED={seed}");
    let play = |arena: u64| {
        let deadline = BASE + PER_ROUND * u32::try_from(rounds).expect("nobody is so patient");
        let mut arena = Arena::new(seed + arena, deadline);
        (0..rounds).for_each(|_| arena.round());
        let (summary, players) = arena.settle();
        let (satellites, others) = arena.killed;
        println!("killed: {satellites} satellites, {others} of {players} programs; {summary:?}");
        (summary, players)
    };
    let ends: Vec<(Summary, usize)> = thread::scope(|scope| {
        let arenas: Vec<_> = (0..ARENAS)
            .map(|arena| {
                let name = format!("kills, seed {}", seed + arena);
                let play = &play;
                let thread = thread::Builder::new().name(name);
                thread
                    .spawn_scoped(scope, move || play(arena))
                    .expect("there is room")
            })
            .collect();
        let joined = arenas.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|summary| summary.expect("all is well"))
            .collect()
    });
    let given_up: usize = ends.iter().map(|(summary, _)| summary.given_up).sum();
    let players: usize = ends.iter().map(|(_, players)| players).sum();
    assert!(
        given_up * 1000 <= players * GIVEN_UP,
        "{given_up} of {players} were given up"
    );
}
