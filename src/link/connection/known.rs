//! What earlier connections showed about the addresses of one satellite.
//!
//! This module owns the order of attempts: first the address where the satellite was, last those where
//! somebody else was, or nobody.

use crate::link::route::Way;

/// The record. Addresses are in ZeroMQ's notation.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where the satellite last answered.
    good: Option<String>,
    /// Where an attempt failed, the latest last.
    bad: Vec<String>,
}

impl Known {
    /// Sorts destinations into the order of attempts.
    pub(super) fn sort(&self, ways: &mut [Way]) {
        let bad = |way: &Way| self.bad.iter().position(|bad| *bad == way.endpoint);
        ways.sort_by_key(|way| {
            let is_good = self.good.as_ref() == Some(&way.endpoint);
            (!is_good, bad(way).map_or(0, |place| place + 1))
        });
    }

    /// Records that the satellite answered there.
    pub(super) fn worked(&mut self, endpoint: &str) {
        self.bad.retain(|bad| bad != endpoint);
        self.good = Some(endpoint.to_owned());
    }

    /// Records that the satellite did not answer there.
    pub(super) fn failed(&mut self, endpoint: &str) {
        self.bad.retain(|bad| bad != endpoint);
        self.bad.push(endpoint.to_owned());
        if self.good.as_deref() == Some(endpoint) {
            self.good = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(known: &Known, names: [&str; 3]) -> Vec<String> {
        let mut ways = names.map(|name| Way {
            endpoint: name.to_owned(),
            name: String::new(),
            keys: None,
            ipv6: false,
            directory: None,
            tunnel: None,
        });
        known.sort(&mut ways);
        ways.map(|way| way.endpoint).into()
    }

    #[test]
    fn what_worked_comes_first_and_what_failed_last() {
        let mut known = Known::default();
        assert_eq!(sorted(&known, ["a", "b", "c"]), ["a", "b", "c"]);
        known.failed("a");
        known.failed("b");
        assert_eq!(sorted(&known, ["a", "b", "c"]), ["c", "a", "b"]);
        known.failed("a");
        known.worked("b");
        assert_eq!(sorted(&known, ["a", "c", "b"]), ["b", "c", "a"]);
        known.failed("b");
        assert_eq!(sorted(&known, ["b", "a", "c"]), ["c", "a", "b"]);
    }
}
