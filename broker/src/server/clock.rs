//! The satellite's time, which only passes while the satellite runs.
//!
//! This module owns the arithmetic and never reads a clock itself. A halted process (Ctrl-Z, a sleeping
//! laptop, a migrating virtual machine) hears nobody. If the halt counted, every peer would time out on
//! waking.

use std::time::Duration;

use crate::broker::Now;

/// How much longer than requested a pause may take and still be counted in full. A loaded machine is seldom
/// later than that.
const LATENESS: Duration = Duration::from_secs(2);

/// Adds up the time during which the loop ran.
#[derive(Debug)]
pub(super) struct RunningClock {
    lateness: Duration,
    counted: Now,
    last: Duration,
}

impl RunningClock {
    /// A clock for peers whose shortest timeout is `time`. A halt counts as a fraction of that.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            lateness: LATENESS.min(time / 4),
            counted: Now::ZERO,
            last: Duration::ZERO,
        }
    }

    /// Returns the satellite's time. `reading` is the reading of a steady clock that began at zero together
    /// with this one. `asked` is how long the loop asked to wait since the last reading.
    pub(super) fn advance(&mut self, reading: Duration, asked: Duration) -> Now {
        let passed = reading.saturating_sub(self.last);
        self.last = reading;
        self.counted += if passed > asked.saturating_add(self.lateness) {
            self.lateness
        } else {
            passed
        };
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_and_work_count_in_full() {
        let mut clock = RunningClock::new(10 * SECOND);
        assert_eq!(clock.advance(SECOND, Duration::ZERO), SECOND);
        assert_eq!(clock.advance(100 * SECOND, 99 * SECOND), 100 * SECOND);
        assert_eq!(clock.advance(102 * SECOND, Duration::ZERO), 102 * SECOND);
    }

    #[test]
    fn rule_16_a_halt_counts_as_little() {
        let mut clock = RunningClock::new(10 * SECOND);
        assert_eq!(clock.advance(3600 * SECOND, SECOND), 2 * SECOND);
        assert_eq!(
            clock.advance(3601 * SECOND, SECOND),
            3 * SECOND,
            "and is over then"
        );
    }

    #[test]
    fn rule_16_a_halt_counts_as_a_fraction_of_the_shortest_time() {
        let mut clock = RunningClock::new(2 * SECOND);
        assert_eq!(clock.advance(4 * SECOND, 2 * SECOND), SECOND / 2);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let mut clock = RunningClock::new(10 * SECOND);
        clock.advance(SECOND, SECOND);
        assert_eq!(clock.advance(Duration::ZERO, SECOND), SECOND);
        assert_eq!(clock.advance(SECOND, Duration::MAX), 2 * SECOND);
    }
}
