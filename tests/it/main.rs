//! Every test that runs the built programs, in one test binary: it is linked once. One module a story.
//!
//! `cargo test --test it keys::hoarding` runs the tests of one file. The harness runs as many tests at once
//! as there are processors, in the order of their names, so that one story's tests run together.

mod common;
mod docker;
mod doors;
mod enemies;
mod faults;
mod fly;
mod fly_api;
mod heavy;
mod image;
mod keys;
mod local;
mod names;
mod peers;
mod ssh;
mod stories;
mod tidy;
