//! Stories: typical uses of the real programs, checked against the rules of `docs/semantics.md`.
//!
//! The simulation tests the logic. These tests cover the wiring: programs, pipes, terminals, signals and
//! sockets. Tests are named after the rule that they check.

mod command;
mod descriptors;
mod direction;
mod ending;
mod json;
mod lines;
mod live;
mod lost;
mod names;
mod network;
mod python;
mod queue;
mod readme;
mod room;
mod seed;
mod shell;
mod signals;
mod speaking;
mod tap;
mod usage;
mod waiting;

use std::io::Write;

/// Random-looking lines, about this many bytes in all, so that no mistake can hide in a pattern.
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
