//! Fault injection: programs killed at any moment, full disks, failing networks. Nothing is lost, and
//! nobody gets anything twice (rules 10, 11, 12 and 16).
//!
//! Tests are named after the rule that they check.

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
