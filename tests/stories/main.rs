//! Stories: what people do with the real programs, and what the rules of the README promise them.
//!
//! The logic is the simulation's business; these hold the wiring: programs, pipes, terminals, signals
//! and sockets. Tests are named after the rule that they hold.

#[path = "../common/mod.rs"]
mod common;

mod command;
mod descriptors;
mod direction;
mod ending;
mod lines;
mod live;
mod lost;
mod names;
mod network;
mod proxy;
mod python;
mod queue;
mod readme;
mod room;
mod seed;
mod signals;
mod tap;
mod usage;
mod waiting;

use std::io::Write;

/// Lines of text without a pattern that a mistake could hide in, about this many bytes.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 32);
    let mut state = 1_u64;
    while text.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let length = text.len();
        writeln!(text, "{length:x} {state:x}").expect("a vector takes it");
    }
    text
}
