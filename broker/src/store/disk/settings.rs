//! How much disk a store may use.

/// How much disk a store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The disk budget in bytes. None: a share of the free space, which is checked continually.
    pub budget: Option<u64>,
    /// The size after which a new segment begins, in bytes. None: a size derived from the budget at the
    /// start.
    pub segment: Option<u64>,
}

impl Settings {
    /// Settings for a budget, with the default segment size.
    #[must_use]
    pub fn new(budget: Option<u64>) -> Self {
        Self {
            budget,
            segment: None,
        }
    }
}

/// The segment size for a budget. Segments are small enough that a full disk can delete some, and large
/// enough that a large budget has few of them.
#[must_use]
pub fn segment_for(budget: u64) -> u64 {
    (budget / 16).clamp(1 << 20, 16 << 20)
}
