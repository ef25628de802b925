//! How much disk a store may use.

/// How much disk a store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of disk it may use.
    pub budget: u64,
    /// Bytes after which a new segment begins.
    pub segment: u64,
}

impl Settings {
    /// For a budget: segments short enough that a full disk has some to give, and long enough that a
    /// large one has few.
    ///
    /// ```
    /// use skypipe_broker::store::disk::Settings;
    /// assert_eq!(Settings::new(1 << 30).segment, 16 << 20);
    /// ```
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            segment: (budget / 16).clamp(1 << 20, 16 << 20),
        }
    }
}
