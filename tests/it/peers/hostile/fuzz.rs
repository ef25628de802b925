//! Fuzzing: mutated greetings, handshakes and messages on real sockets, in the open and inside TLS. Many
//! peers send them to a satellite, and a fake satellite sends them to clients.
//!
//! `SKYPIPE_ROUNDS` sets the number of rounds of each test ([`AT_SATELLITE`] and [`AT_CLIENTS`] by default;
//! 100000 is a long run), `SKYPIPE_SEED` the seed. A seed determines every byte that is sent; the timing
//! depends on the machine.
//!
//! This module owns the number of rounds, who sends what, and the invariants during and after them.
//! [`words`] makes valid messages, and [`change`] mutates them. Everything that is sent is drawn from the
//! seed.

mod at_clients;
mod at_satellite;
mod change;
mod line;
pub mod words;

use std::env;

/// The default number of rounds, at a satellite and at clients.
const AT_SATELLITE: u64 = 3000;
const AT_CLIENTS: u64 = 60;

/// The default seed.
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// The number of rounds, and the seed.
fn rounds(unless_told: u64) -> (u64, u64) {
    let rounds = number("SKYPIPE_ROUNDS").unwrap_or(unless_told);
    let seed = number("SKYPIPE_SEED").unwrap_or(SEED);
    println!("SKYPIPE_SEED={seed} SKYPIPE_ROUNDS={rounds}");
    (seed, rounds)
}
