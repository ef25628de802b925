//! What a satellite in the background, where nobody watches it, has to know about itself.

use std::path::PathBuf;
use std::time::Duration;

/// How long a satellite in the background waits for the data directory: the satellite before it may
/// still be shutting down. The process that started it waits a little longer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// What a satellite in the background has in addition to its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Background {
    /// The log file, to which stderr goes. The satellite limits the size of this file.
    pub log: PathBuf,
    /// Files by which clients find the satellite. They exist once the satellite listens. If one is
    /// removed, the satellite stops.
    pub found_by: Vec<PathBuf>,
    /// Resources that the satellite inherited from the process that started it and could not give
    /// up, as one sentence each.
    pub inherited: Vec<String>,
}
