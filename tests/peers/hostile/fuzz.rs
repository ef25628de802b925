//! Mutated greetings, handshakes and messages on real sockets: many peers say them to a satellite, in the open
//! and inside TLS, and a satellite that is none says them to clients.
//!
//! `SKYPIPE_ROUNDS` says how many there are in each test instead ([`AT_SATELLITE`] and [`AT_CLIENTS`] of them
//! otherwise; 100000 is a long run), `SKYPIPE_SEED` with which seed. A seed settles what is said, word for
//! word; how it falls together with what others say is the machine's affair.
//!
//! Owns how many rounds there are, who says what in them, and what must hold while and after: what makes sense is
//! made in [`words`], and is changed in [`change`]. It never says anything that is not drawn from the seed.

mod at_clients;
mod at_satellite;
mod change;
mod line;
pub mod words;

use std::env;

/// How many rounds there are unless told otherwise, at a satellite and at clients.
const AT_SATELLITE: u64 = 3000;
const AT_CLIENTS: u64 = 60;

/// The seed unless told otherwise.
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// How many rounds, and with which seed.
fn rounds(unless_told: u64) -> (u64, u64) {
    let rounds = number("SKYPIPE_ROUNDS").unwrap_or(unless_told);
    let seed = number("SKYPIPE_SEED").unwrap_or(SEED);
    println!("SKYPIPE_SEED={seed} SKYPIPE_ROUNDS={rounds}");
    (seed, rounds)
}
