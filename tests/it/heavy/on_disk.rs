//! A satellite that stores gigabytes on disk, which are removed after the test.

use std::fs;
use std::ops::{Deref, DerefMut};

use crate::common::Environment;
use crate::heavy::DEADLINE;

/// The flags with which a satellite stores unread data on disk, in the test's own directory.
const DATA: [&str; 2] = ["--data", "data"];

/// An environment whose satellite stores unread data on disk.
pub struct OnDisk(Environment);

impl OnDisk {
    pub fn sky() -> Self {
        Self::sky_with(&DATA)
    }

    /// Starts a satellite with flags that begin like those of [`OnDisk::sky`].
    pub fn sky_with(flags: &[&str]) -> Self {
        Self(Environment::sky_within(flags, DEADLINE))
    }
}

impl Deref for OnDisk {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.0
    }
}

impl DerefMut for OnDisk {
    fn deref_mut(&mut self) -> &mut Environment {
        &mut self.0
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        self.0.end_sky();
        // Otherwise the directory of a failed test would stay, for somebody to look at.
        let _ = fs::remove_dir_all(self.0.home().join(DATA[1]));
    }
}
