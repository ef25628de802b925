//! Mutated peers at a satellite that serves others meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use skypipe_protocol::token::Token;

use super::change::change;
use super::line::{Line, Way, tls_with};
use super::words::{Said, VERSIONS, Version, greeting, handshake};
use super::{AT_SATELLITE, rounds};
use crate::common::Environment;
use crate::common::chance::Chance;
use crate::common::satellite::Satellite;
use crate::common::wait::holds_within;
use crate::peers::hostile::watch::Watch;

/// The number of simultaneous peers.
const PEERS: u64 = 4;

/// The number of earlier connections that each of them keeps open.
const KEPT: usize = 8;

/// The timeout of a test: a fixed part, and a part for each thousand rounds.
const BASE: Duration = Duration::from_secs(120);
const PER_THOUSAND: Duration = Duration::from_secs(10);

/// The memory that a round may leave behind in the second half of a run, in bytes, and the memory that all
/// rounds may leave: less than the smallest object that could be forgotten, and what the allocator does not
/// give back.
const LEAK: u64 = 64;
const SLACK: u64 = 8 << 20;

/// The most messages in a round.
const MESSAGES: usize = 8;

#[test]
fn whatever_peers_say_a_satellite_serves_the_others_at_its_former_memory() {
    let (seed, rounds) = rounds(AT_SATELLITE);
    let environment = Environment::sky_within(&["--data", "data"], patience(rounds));
    let address = address_of(environment.on_port());
    let watch = Watch::by_itself_over(&environment);
    let way = Way { address, tls: None };
    let rest = attack(&environment, &way, seed, rounds);
    settle(&environment, &rest);
    watch.all_is_well();
}

#[test]
fn whatever_peers_say_inside_tls_a_satellite_serves_the_others_at_its_former_memory() {
    let (seed, rounds) = rounds(AT_SATELLITE);
    let mut environment = Environment::here_within(patience(rounds));
    let satellite = environment.satellite(&["--data", "data", "--private"]);
    satellite.process().shows("\n");
    let invitation = String::from_utf8(satellite.process().shown()).expect("it is text");
    environment.lead(satellite);
    environment.leads_to(invitation.trim_end());
    let guest = ["--invite", "guest", "--read", "--write", "--pipe", "fuzz"];
    let guest = environment.skypipe(&guest).done();
    assert_eq!(guest.code, Some(0), "{guest}");
    let guest = String::from_utf8(guest.stdout).expect("it is text");
    let token = Token::parse(guest.trim_end()).expect("it is an invitation");
    let watch = Watch::by_itself_over(&environment);
    let way = Way {
        address: address_of(environment.on_port()),
        tls: Some(tls_with(&token.seed.identity())),
    };
    let rest = attack(&environment, &way, seed, rounds);
    settle(&environment, &rest);
    watch.all_is_well();
}

fn patience(rounds: u64) -> Duration {
    let thousands = u32::try_from(rounds.div_ceil(1000)).expect("nobody is so patient");
    BASE + PER_THOUSAND * thousands
}

fn address_of(satellite: &Satellite) -> String {
    satellite.endpoint().trim_start_matches("tcp://").to_owned()
}

/// The satellite's memory after half of the rounds, and how many rounds followed.
struct Half {
    memory: u64,
    rounds: u64,
}

/// Runs all rounds, while our own program is used.
fn attack(environment: &Environment, way: &Way, seed: u64, rounds: u64) -> Half {
    let start = Instant::now();
    let (is_over, times) = (AtomicBool::new(false), AtomicU64::new(0));
    let half = thread::scope(|scope| {
        scope.spawn(|| serve_ordinary(environment, &is_over, &times));
        let first = rounds / 2;
        say_all(way, seed, 0..first);
        let half = Half {
            memory: environment.on_port().memory(),
            rounds: rounds - first,
        };
        say_all(way, seed, first..rounds);
        // An ordinary transfer finishes even while the attack is at its peak.
        is_over.store(true, Ordering::Relaxed);
        half
    });
    let (took, times) = (start.elapsed(), times.load(Ordering::Relaxed));
    assert!(times > 0, "our own program was used meanwhile");
    println!("{rounds} rounds in {took:?}; our own program served {times} times meanwhile");
    half
}

fn say_all(way: &Way, seed: u64, rounds: std::ops::Range<u64>) {
    thread::scope(|scope| {
        for peer in 0..PEERS {
            let rounds = rounds.clone();
            scope.spawn(move || {
                let mut kept = VecDeque::new();
                for round in rounds.filter(|round| round % PEERS == peer) {
                    kept.push_back(say(way, &mut Chance::of(seed, round)));
                    if kept.len() > KEPT {
                        let oldest: Option<Line> = kept.pop_front();
                        oldest.into_iter().for_each(Line::break_off);
                    }
                }
                kept.into_iter().for_each(Line::break_off);
            });
        }
    });
}

/// Writes and reads with our own program until the attack is over, at least once.
fn serve_ordinary(environment: &Environment, is_over: &AtomicBool, times: &AtomicU64) {
    loop {
        let writer = environment.skypipe(&["-w", "ordinary"]);
        writer.fed("hello sky\n").printed("");
        let listener = environment.skypipe(&["-r", "ordinary"]);
        listener.done().printed("hello sky\n");
        times.fetch_add(1, Ordering::Relaxed);
        if is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Sends one random sequence, and leaves the connection open.
fn say(way: &Way, chance: &mut Chance) -> Line {
    let mut line = Line::over(way);
    let version = chance.of_these(&VERSIONS);
    let mut greeting = greeting(version);
    let mut handshake = handshake(chance, version, b"DEALER");
    let rest = |chance: &mut Chance| messages(chance, version);
    match chance.below(4) {
        0 => {
            change(chance, &mut greeting);
            let rest = rest(chance);
            in_strokes(&mut line, chance, &[greeting, handshake, rest].concat());
        }
        1 => {
            line.say(&greeting);
            change(chance, &mut handshake);
            let rest = rest(chance);
            in_strokes(&mut line, chance, &[handshake, rest].concat());
        }
        _ => {
            line.say(&[greeting, handshake].concat());
            if version.answers() {
                assert!(line.hears(b"\x05READY"), "a good handshake is answered");
            }
            let rest = rest(chance);
            in_strokes(&mut line, chance, &rest);
        }
    }
    line
}

/// Some messages. Either parts are mutated before framing, or everything afterwards.
fn messages(chance: &mut Chance, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=chance.below(MESSAGES) {
        let mut said = Said::by_a_client(chance);
        if chance.below(3) == 0 {
            let mut parts = said.parts();
            let place = chance.below(parts.len());
            change(chance, parts[place]);
        }
        bytes.extend(said.framed(version));
    }
    if chance.below(2) == 0 {
        change(chance, &mut bytes);
    }
    bytes
}

/// Sends the bytes at once or in two parts.
fn in_strokes(line: &mut Line, chance: &mut Chance, bytes: &[u8]) {
    let (first, second) = bytes.split_at(chance.below(bytes.len() + 1));
    line.say(first);
    line.say(second);
}

/// Checks that nothing of the attack stays: no more memory than in its middle.
fn settle(environment: &Environment, half: &Half) {
    // Discards what was written into the attackers' pipe.
    let _ = environment.skypipe(&["--discard", "fuzz"]).done();
    let (allowed, mut memory) = (half.memory + half.rounds * LEAK + SLACK, 0);
    let is_level = holds_within(crate::common::wait::PATIENCE, || {
        memory = environment.on_port().memory();
        memory <= allowed
    });
    println!("memory: {} bytes halfway, {memory} in the end", half.memory);
    assert!(is_level, "{} bytes halfway, now {memory}", half.memory);
}
