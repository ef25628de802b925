//! What a satellite has to know of itself that runs in the background, where nobody watches it.

use std::path::PathBuf;
use std::time::Duration;

/// How long it waits for the data directory: the satellite before may be at its end. Whoever started it waits
/// for a little longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a satellite in the background has beside its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Background {
    /// The file that its stderr goes to, which it keeps from growing without an end.
    pub log: PathBuf,
    /// Files without which nobody finds it. They are there once it listens.
    pub found_by: Vec<PathBuf>,
    /// What it has from whoever started it and could not put off, a sentence each.
    pub inherited: Vec<String>,
}
