//! Waiting for conditions, never longer than until a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long an ordinary condition may take: far longer than it does on a busy machine, and less than
/// a test's own deadline.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition that nothing announces is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "in vain: {what}");
}

/// Waits until `condition` holds or `patience` is over; whether it holds.
pub fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if deadline <= Instant::now() {
            return false;
        }
        thread::park_timeout(LOOK);
    }
}

/// Lets time pass, where time itself is what the test is about; `why` says so. It is over early, and
/// the test fails, if `calm` does not hold all the while.
#[track_caller]
pub fn while_passes(time: Duration, why: &str, mut calm: impl FnMut() -> bool) {
    assert!(!holds_within(time, || !calm()), "not so: {why}");
}
