//! Tests of sessions alone: inputs, outputs and a simulated clock.

mod asking;
mod connection;
mod dialogue;
mod ending;
mod listening;
mod random;
mod refused;
mod sealed;
mod waiting;
mod writing;
