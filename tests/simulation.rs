//! Simulation: the broker and many sessions in virtual time, over a network that delays, breaks and loses.
//! A reference model that is simpler than the code checks the behaviour.
//!
//! Each history is drawn from a seed, and a failure prints its seed. `SKYPIPE_SEED=n` replays that history
//! alone; `SKYPIPE_SEEDS=n` sets the number of histories. `SKYPIPE_PLANT=…` plants a fault
//! (`simulation/plant.rs` lists them), and the simulation must then fail. For a failure `SKYPIPE_TRACE=1`
//! prints every message, and `SKYPIPE_SHRINK=1` the few that are needed.
//!
//! The satellite's inputs are recorded in processing order (`facts`). From them a model of each pipe
//! (`model`), written from the rules alone, derives what every listener must get. The satellite's messages
//! and the sessions' output and exit codes are compared with that (`check`).

mod simulation {
    pub mod check;
    pub mod client;
    pub mod coverage;
    pub mod disk;
    pub mod facts;
    pub mod ledger;
    pub mod members;
    pub mod model;
    pub mod network;
    pub mod plan;
    pub mod plant;
    pub mod process;
    pub mod restarts;
    pub mod rng;
    pub mod scenario;
    pub mod shrink;
    pub mod world;
}

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

use simulation::coverage::Coverage;
use simulation::plan::Flavour;
use simulation::plant::Kind;
use simulation::restarts;
use simulation::scenario::{Failure, Stats, run};

/// The number of histories in an ordinary run.
const SEEDS: u64 = 4_000;

/// Situations that must come up in every flavour in an ordinary run.
const COMMON: [&str; 33] = [
    "reconnection",
    "writer lost",
    "default lost",
    "one lost",
    "follow lost",
    "tap lost",
    "default resumed",
    "one resumed",
    "follow resumed",
    "tap resumed",
    "stream resumed",
    "stream ended",
    "stream cut",
    "claim returned",
    "claim returned in part",
    "queue full",
    "told that it is full",
    "slow line divided",
    "item sent again",
    "finished remainder",
    "eof",
    "something discarded",
    "stdout closed",
    "exit by signal",
    "exit 2",
    "listener exit 0",
    "listener exit 3: cut or remainder",
    "told that all was taken",
    "asleep",
    "satellite asleep",
    "writer came back",
    "came back and goes on",
    "came back too late",
];

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")),
    )
}

/// Runs one history. A panic counts as a failure.
fn attempt(seed: u64, run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no words");
        Err(Failure {
            seed,
            at: std::time::Duration::ZERO,
            why: format!("panic: {text}"),
        })
    })
}

/// Runs all histories of a flavour.
fn histories(flavour: Flavour, wanted: &[&'static str]) {
    let plant = env::var("SKYPIPE_PLANT").ok().and_then(|name| {
        if restarts::Plant::named(&name).is_some() {
            return None;
        }
        Some(Kind::named(&name).unwrap_or_else(|| panic!("SKYPIPE_PLANT cannot be {name:?}")))
    });
    let seeds: Vec<_> = match number("SKYPIPE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SKYPIPE_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut coverage = Coverage::default();
    let mut failures = Vec::new();
    let mine: Vec<_> = seeds
        .into_iter()
        .filter(|seed| Flavour::of(*seed) == flavour)
        .collect();
    for seed in &mine {
        let mut stats = Stats::default();
        if let Err(failure) = attempt(*seed, || run(*seed, plant, &mut stats)) {
            println!("{failure}");
            failures.push(failure);
        }
        coverage.add(&stats.coverage);
    }
    println!("{flavour:?}: {} histories: {coverage}", mine.len());
    assert!(
        failures.is_empty(),
        "{} failed, first: {}",
        failures.len(),
        failures[0]
    );
    if mine.len() as u64 >= SEEDS / 4 {
        let missing = coverage.missing(wanted);
        assert!(missing.is_empty(), "{flavour:?} never came to {missing:?}");
    }
}

/// What a run of one seed came to: what went in and out of the satellite, and how it ended.
fn history(run: impl FnOnce(&mut Stats) -> Result<(), Failure>) -> (u64, String) {
    let mut stats = Stats::default();
    let ended = run(&mut stats);
    (stats.digest, format!("{ended:?}"))
}

/// How many histories are run twice.
const TWICE: u64 = 200;

/// A failure can be looked at again, word for word.
#[test]
fn one_seed_has_one_history() {
    for seed in 0..number("SKYPIPE_SEEDS").unwrap_or(TWICE) {
        let in_memory = || history(|stats| run(seed, None, stats));
        assert_eq!(in_memory(), in_memory(), "seed {seed}");
        let on_disk = || history(|stats| restarts::run(seed, None, stats));
        assert_eq!(on_disk(), on_disk(), "seed {seed} with a disk");
    }
}

#[test]
fn mixed_histories() {
    histories(Flavour::Mixed, &COMMON);
}

#[test]
fn histories_with_tight_budgets() {
    histories(
        Flavour::Tight,
        &[&COMMON[..], &["full budget", "tap missed"]].concat(),
    );
}

#[test]
fn histories_with_a_rough_network() {
    histories(Flavour::Rough, &[&COMMON[..], &["exit 4"]].concat());
}

#[test]
fn histories_with_restarts() {
    let wanted = [
        "restart",
        "unknown stream resumed",
        "unknown listener resumed",
    ];
    histories(Flavour::Restarts, &[&COMMON[..], &wanted].concat());
}

/// The number of histories of a satellite with a disk in an ordinary run.
const RESTARTS: u64 = 5_000;

/// Rules 10, 11, 12 and 16 with a disk. `SKYPIPE_SEED`, `SKYPIPE_SEEDS` and `SKYPIPE_PLANT` work as above;
/// the faults are `skip-sync` and `early-ack`.
#[test]
fn histories_of_a_satellite_that_is_killed_and_loses_power() {
    let plant = env::var("SKYPIPE_PLANT")
        .ok()
        .and_then(|name| restarts::Plant::named(&name));
    let seeds = match number("SKYPIPE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SKYPIPE_SEEDS").unwrap_or(RESTARTS),
    };
    let mut coverage = Coverage::default();
    let mut failures = Vec::new();
    for seed in seeds {
        let mut stats = Stats::default();
        if let Err(failure) = attempt(seed, || restarts::run(seed, plant, &mut stats)) {
            println!("{failure}");
            failures.push(failure);
        }
        coverage.add(&stats.coverage);
    }
    println!("with a disk: {coverage}");
    assert!(
        failures.is_empty(),
        "{} failed, first: {}",
        failures.len(),
        failures[0]
    );
}

/// The same for the faults of a satellite with a disk. If they were not found, nothing would check the
/// promise of rule 11.
#[test]
fn planted_faults_of_a_disk_are_found() {
    for kind in [
        restarts::Plant::SkipsSyncs,
        restarts::Plant::AcknowledgesEarly,
    ] {
        let failures: Vec<_> = (0..200)
            .filter_map(|seed| {
                attempt(seed, || {
                    restarts::run(seed, Some(kind), &mut Stats::default())
                })
                .err()
            })
            .collect();
        let first = failures
            .first()
            .map_or("nothing".to_owned(), ToString::to_string);
        println!("{kind:?}: {} of 200 found, first: {first}", failures.len());
        assert!(failures.len() >= 3, "{kind:?} was not found");
    }
}

/// A simulation that finds nothing proves nothing, so every planted fault must be found.
#[test]
fn planted_faults_are_found() {
    // Few lost clients come back, so it takes more histories until one does.
    let kinds = [
        (Kind::ForgetAck, 60),
        (Kind::ForgetConfirm, 60),
        (Kind::Reorder, 60),
        (Kind::DropChunk, 60),
        (Kind::DupChunk, 60),
        (Kind::ForgetReturn, 600),
        (Kind::SendAway, 600),
        (Kind::FreeEarly, 60),
    ];
    for (kind, histories) in kinds {
        let mut planted = 0;
        let mut found = Vec::new();
        for seed in 0..histories {
            let mut stats = Stats::default();
            let failure = attempt(seed, || run(seed, Some(kind), &mut stats)).err();
            planted += u32::from(stats.planted);
            found.extend(failure.filter(|_| stats.planted));
        }
        let first = found
            .first()
            .map_or("nothing".to_owned(), ToString::to_string);
        println!(
            "{kind:?}: {planted} planted, {} found, first: {first}",
            found.len()
        );
        assert!(found.len() >= 3, "{kind:?} was not found");
    }
}
