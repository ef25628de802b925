//! Waits for conditions, each with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// The timeout of an ordinary condition: far longer than it takes on a busy machine, and shorter than a
/// test's own deadline.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The polling interval of a condition that nothing announces.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `condition` holds, or fails the test.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "in vain: {what}");
}

/// Waits until `condition` holds or `patience` has passed. Returns whether it holds.
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

/// Lets time pass, where time itself is what the test is about; `why` says so. The test fails as soon as
/// `calm` no longer holds.
#[track_caller]
pub fn while_passes(time: Duration, why: &str, mut calm: impl FnMut() -> bool) {
    assert!(!holds_within(time, || !calm()), "not so: {why}");
}
