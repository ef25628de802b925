//! The disk budget, which follows the free space that others leave.
//!
//! This module owns the numbers and asks the filesystem for free space. `upkeep` acts on the numbers.

use std::fmt;
use std::fs::File;
use std::io;

/// Returns the number of free bytes on the filesystem of a directory. Tests replace it.
pub type FreeSpace = Box<dyn Fn(&File) -> io::Result<u64> + Send>;

/// The share of the available space that may be used, in percent, if no budget was configured.
const SHARE: u64 = 90;

/// The budget, as of the last [look](Self::look).
pub struct Budget {
    /// The configured budget, in bytes. None if none was configured.
    said: Option<u64>,
    free_space: FreeSpace,
    payloads: u64,
    everything: u64,
}

impl Budget {
    /// A budget of `said` bytes, or of a share of the available space. It is 0 before the first look.
    #[must_use]
    pub fn new(said: Option<u64>, free_space: FreeSpace) -> Self {
        Self {
            said,
            free_space,
            payloads: 0,
            everything: 0,
        }
    }

    /// Updates the budget from the free space and `stored`, the size of our own files in bytes. If the free
    /// space is unknown, returns an error and leaves the budget unchanged.
    pub fn look(&mut self, directory: &File, stored: u64) -> io::Result<()> {
        let there = stored.saturating_add((self.free_space)(directory)?);
        self.everything = self.said.map_or(there, |said| said.min(there));
        self.payloads = match self.said {
            Some(_) => self.everything,
            None => there / 100 * SHARE,
        };
        Ok(())
    }

    /// The maximum total size of all files when a payload is saved, in bytes.
    #[must_use]
    pub fn payloads(&self) -> u64 {
        self.payloads
    }

    /// The maximum total size of all files including data that must not wait for room, in bytes.
    #[must_use]
    pub fn everything(&self) -> u64 {
        self.everything
    }

    /// The configured budget, if it is what limits the payloads.
    #[must_use]
    pub fn said(&self) -> Option<u64> {
        self.said.filter(|said| *said == self.payloads)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("said", &self.said)
            .field("payloads", &self.payloads)
            .field("everything", &self.everything)
            .finish_non_exhaustive()
    }
}

/// The free space that the filesystem reports for this user.
pub fn free_space(directory: &File) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
