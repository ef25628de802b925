//! How much of the disk may be used, which follows what others leave free.
//!
//! Owns the numbers and the look at the filesystem. What is done about them is `upkeep`'s.

use std::fmt;
use std::fs::File;
use std::io;

/// Tells how many bytes are free on the filesystem of a directory; tests put in one of their own.
pub type FreeSpace = Box<dyn Fn(&File) -> io::Result<u64> + Send>;

/// What may be used, in percent, where nobody said how much.
const SHARE: u64 = 90;

/// The budget, as of the last [look](Self::look).
pub struct Budget {
    /// What was said.
    said: Option<u64>,
    free_space: FreeSpace,
    payloads: u64,
    everything: u64,
}

impl Budget {
    /// A budget of `said` bytes, or of a share of what there is. Nothing, before the first look.
    #[must_use]
    pub fn new(said: Option<u64>, free_space: FreeSpace) -> Self {
        Self {
            said,
            free_space,
            payloads: 0,
            everything: 0,
        }
    }

    /// Looks how much is free beside `stored` bytes of our own. If that cannot be told, an error, and
    /// the budget stays as it was.
    pub fn look(&mut self, directory: &File, stored: u64) -> io::Result<()> {
        let there = stored.saturating_add((self.free_space)(directory)?);
        self.everything = self.said.map_or(there, |said| said.min(there));
        self.payloads = match self.said {
            Some(_) => self.everything,
            None => there / 100 * SHARE,
        };
        Ok(())
    }

    /// What all files may come to when a payload is saved, in bytes.
    #[must_use]
    pub fn payloads(&self) -> u64 {
        self.payloads
    }

    /// What all files may come to with what must not wait for room, in bytes.
    #[must_use]
    pub fn everything(&self) -> u64 {
        self.everything
    }

    /// What was said, if that is what limits.
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

/// What the filesystem says is free for this user.
pub fn free_space(directory: &File) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
