//! A file that reserves disk space for what must never wait for room: records, checkpoints and compaction.
//!
//! On a full disk, the file is deleted to make room for them, and it is created again once there is room. No
//! payload is saved while it is missing. This module owns that one file and touches no other.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::directory::create;

/// The maximum size, unless a segment is longer.
const MOST: u64 = 16 << 20;

/// The reserve. Both the loop and the sync thread delete it when they need room.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    size: AtomicU64,
    is_there: AtomicBool,
}

impl Reserve {
    /// The reserve for a budget. It is not created yet, and an existing file is deleted.
    #[must_use]
    pub fn new(path: PathBuf, budget: u64, segment: u64) -> Self {
        let _ = fs::remove_file(&path);
        Self {
            path,
            size: AtomicU64::new(size_for(budget, segment)),
            is_there: AtomicBool::new(false),
        }
    }

    /// Adapts the size to another budget. A reserve that is much too small is deleted, to be created again.
    pub fn fit(&self, budget: u64, segment: u64) {
        let size = size_for(budget, segment);
        if size / 2 > self.size() {
            self.give_up();
        }
        if !self.is_there() {
            self.size.store(size, Ordering::Release);
        }
    }

    /// The size of the complete reserve.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The space that is reserved now.
    #[must_use]
    pub fn held(&self) -> u64 {
        if self.is_there() { self.size() } else { 0 }
    }

    /// Whether the reserve exists.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Deletes the reserve. Returns whether that made room.
    pub fn give_up(&self) -> bool {
        if !self.is_there.swap(false, Ordering::AcqRel) {
            return false;
        }
        fs::remove_file(&self.path).is_ok()
    }

    /// Creates the reserve. An incomplete file is deleted again.
    pub fn make(&self) -> io::Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let _ = fs::remove_file(&self.path);
        let made = self.fill();
        if made.is_ok() {
            self.is_there.store(true, Ordering::Release);
        } else {
            let _ = fs::remove_file(&self.path);
        }
        made
    }

    fn fill(&self) -> io::Result<()> {
        let file = create(&self.path)?;
        let size = self.size();
        if size == 0 {
            return Ok(());
        }
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            // A filesystem that cannot preallocate gets zeros, which take the space.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                io::copy(&mut io::Read::take(io::repeat(0), size), &mut &file)?;
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

fn size_for(budget: u64, segment: u64) -> u64 {
    // Compaction must be able to copy the live part of a whole segment before it deletes the segment.
    let least = segment.saturating_add(segment / 8);
    MOST.min(budget / 8).max(least).min(budget / 4)
}
