//! What this machine's satellite must not have from whoever happened to start it.
//!
//! It serves everybody's uses for days, and its first user may have been a job of cron with a limit, a
//! shell with `umask 0`, or a program that ignores signals. Owns the list of what a process inherits,
//! and that each of it is put back to what a fresh one has. What the system does not allow to be lifted is
//! said in words, for `--check`.
//!
//! The environment and the working directory are [`mod@super::start`]'s, which chooses them.

mod limits;
mod priority;
mod signals;

use crate::descriptors;
use rustix::fs::Mode;
use rustix::process::{setsid, umask};

/// Makes this process independent of whoever started it. Returns what could not be lifted, one sentence
/// without its full stop for each. Only for a program's very beginning, before it has opened anything or has
/// a second thread.
#[must_use]
pub fn begin() -> Vec<String> {
    descriptors::close_inherited();
    signals::forget_inherited();
    // A session of its own, so that the end of the starter's terminal is not its end. Only the leader of a
    // group cannot begin one, and whoever started this by hand has made it that.
    let _ = setsid();
    // What the satellite keeps is for its user alone.
    umask(Mode::RWXG | Mode::RWXO);
    let mut remaining = limits::lift();
    remaining.extend(priority::reset());
    remaining
}
