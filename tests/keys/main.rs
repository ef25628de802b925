//! Satellites that let in only who was invited: what a key is good for, told as people see it and
//! asked over bare sockets.
//!
//! What the satellite decides is held by the broker's own tests, and the form of what is sealed by
//! the client's; these hold that both do so with real programs and real sockets.

#[path = "../common/mod.rs"]
mod common;

mod arena;
mod beside;
mod door;
mod hoarding;
mod joining;
mod owning;
mod phrase;
mod pipes;
mod raw;
mod refused;
mod revoking;
mod table;
mod unseen;
