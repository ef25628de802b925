//! Decides who does the work of libzmq's I/O thread: the loop while it has little to do, the thread
//! otherwise.
//!
//! This module knows nothing of sockets. One thread for everything is fastest for a few connections. With
//! hundreds of busy connections, each would wait until the loop has handled all others' messages before it is
//! even read from. Two threads that share the work then serve it sooner.

use std::time::{Duration, Instant};

/// A round of the loop that takes longer than this has much to do.
const LONG: Duration = Duration::from_millis(10);

/// How long the work stays shared after a long round.
const CALM: Duration = Duration::from_secs(1);

/// The timing of the last rounds.
#[derive(Debug, Default)]
pub struct Sharing {
    began: Option<Instant>,
    shared_until: Option<Instant>,
}

impl Sharing {
    /// Notes that a round begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Notes that a round ends. Returns whether the loop does all the work from here on.
    pub fn is_alone(&mut self, now: Instant) -> bool {
        let is_long = self.began.is_some_and(|began| began + LONG < now);
        if is_long {
            self.shared_until = Some(now + CALM);
        }
        self.shared_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_shared_after_a_long_round_for_a_while() {
        let mut sharing = Sharing::default();
        let start = Instant::now();
        assert!(sharing.is_alone(start));
        sharing.begin(start);
        assert!(sharing.is_alone(start + LONG));
        let long = start + 2 * LONG;
        assert!(!sharing.is_alone(long));
        sharing.begin(long);
        assert!(!sharing.is_alone(long + LONG));
        sharing.begin(long + CALM);
        assert!(sharing.is_alone(long + CALM));
    }
}
