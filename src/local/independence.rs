//! Frees this machine's satellite from what it inherits from its starter.
//!
//! The satellite serves for days. Its first user may have been a cron job with a limit, a shell with `umask
//! 0`, or a program that ignores signals. This module lists what a process inherits, and resets each item
//! to that of a fresh process. What the system does not allow to be lifted is reported in `--check`.
//!
//! [`mod@super::start`] chooses the environment and the working directory.

mod limits;
mod priority;
mod signals;

use crate::descriptors;
use rustix::fs::Mode;
use rustix::process::{setsid, umask};

/// Makes this process independent of its starter. Returns a sentence without a full stop for each thing
/// that could not be lifted. Call it only at the very beginning of the program, before it has opened
/// anything or has a second thread.
#[must_use]
pub fn begin() -> Vec<String> {
    descriptors::close_inherited();
    signals::forget_inherited();
    // A session of its own, so that the satellite outlives the starter's terminal. It fails only for a
    // group leader, as a satellite is that a user started by hand.
    let _ = setsid();
    // The satellite's files are for its user alone.
    umask(Mode::RWXG | Mode::RWXO);
    let mut remaining = limits::lift();
    remaining.extend(priority::reset());
    remaining
}
