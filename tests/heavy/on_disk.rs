//! A satellite that keeps gigabytes on disk, and none of them after the test.

use std::fs;
use std::ops::{Deref, DerefMut};

use crate::DEADLINE;
use crate::common::Environment;

/// What makes a satellite keep what waits on disk, in the test's own directory.
const DATA: [&str; 2] = ["--data", "data"];

/// An environment whose satellite keeps what waits on disk.
pub struct OnDisk(Environment);

impl OnDisk {
    pub fn sky() -> Self {
        Self::sky_with(&DATA)
    }

    /// With flags that begin as those of [`OnDisk::sky`] do.
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
        // The directory of a test that has failed stays otherwise, for somebody to look at.
        let _ = fs::remove_dir_all(self.0.home().join(DATA[1]));
    }
}
