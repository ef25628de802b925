//! How much disk a store may use.

/// How much disk a store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of disk it may use; if none, a share of what is free, which is looked at all the time.
    pub budget: Option<u64>,
    /// Bytes after which a new segment begins; if none, as many as suit the budget at the start.
    pub segment: Option<u64>,
}

impl Settings {
    /// For a budget, with segments that suit it.
    #[must_use]
    pub fn new(budget: Option<u64>) -> Self {
        Self {
            budget,
            segment: None,
        }
    }
}

/// The length of segments for a budget: short enough that a full disk has some to give, and long
/// enough that a large one has few.
#[must_use]
pub fn segment_for(budget: u64) -> u64 {
    (budget / 16).clamp(1 << 20, 16 << 20)
}
