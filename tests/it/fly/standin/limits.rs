//! Rate limits.
//!
//! Owns the rates of "Working with the Machines API": one request a second per action and
//! identifier with a burst of 3, five with a burst of 10 for Get Machine, and 100 deletions of apps
//! a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::answer::Refusal;

/// All token buckets.
#[derive(Debug)]
pub struct Limits {
    second: Duration,
    buckets: HashMap<(&'static str, String), (f64, Instant)>,
    refused: u64,
}

impl Limits {
    /// Full buckets. `second` is the length of a second.
    pub fn new(second: Duration) -> Self {
        Self {
            second,
            buckets: HashMap::new(),
            refused: 0,
        }
    }

    /// Takes a token for an action on an object. Refuses if there is none.
    pub fn take(&mut self, action: &'static str, identifier: &str) -> Result<(), Refusal> {
        if action == "app_delete" {
            self.draw("app_delete_minute", "", 100.0, 100.0 / 60.0)?;
        }
        let (burst, rate) = if action == "machine_get" {
            (10.0, 5.0)
        } else {
            (3.0, 1.0)
        };
        self.draw(action, identifier, burst, rate)
    }

    fn draw(
        &mut self,
        action: &'static str,
        of: &str,
        burst: f64,
        rate: f64,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let bucket = self
            .buckets
            .entry((action, of.to_owned()))
            .or_insert((burst, now));
        let seconds = now.duration_since(bucket.1).as_secs_f64() / self.second.as_secs_f64();
        *bucket = ((bucket.0 + seconds * rate).min(burst), now);
        if bucket.0 >= 1.0 {
            bucket.0 -= 1.0;
            return Ok(());
        }
        self.refused += 1;
        let mut refusal = Refusal::new(429, "rate limit exceeded");
        // The documentation does not say whether there is a `Retry-After`. Every other answer has
        // one.
        refusal.0.retry_after = self.refused.is_multiple_of(2).then_some(1);
        Err(refusal)
    }
}
