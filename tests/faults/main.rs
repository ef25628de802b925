//! Faults: programs killed at any moment, disks that are full, networks that fail. Nothing is lost,
//! and nobody is told anything twice (rules 10, 11, 12 and 16).
//!
//! Tests are named after the rule that they hold.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod arena;
mod away;
mod bare;
mod brim;
mod claims;
mod damage;
mod failing;
mod hosts;
mod kills;
mod ledger;
mod lines;
mod local;
mod network;
mod restart;
#[path = "../simulation/rng.rs"]
#[allow(
    dead_code,
    reason = "the simulation draws more kinds of things than are drawn here"
)]
mod rng;
mod wire;
