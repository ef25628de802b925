//! Counts how often the histories came through each situation.

use std::collections::BTreeMap;
use std::fmt;

/// How often each situation came up.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Counts one occurrence.
    pub fn hit(&mut self, situation: &'static str) {
        *self.0.entry(situation).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (situation, count) in &other.0 {
            *self.0.entry(situation).or_default() += count;
        }
    }

    /// The situations in `wanted` that never came up.
    pub fn missing(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        wanted
            .iter()
            .copied()
            .filter(|situation| !self.0.contains_key(situation))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (situation, count) in &self.0 {
            write!(f, "{}{situation} {count}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}
