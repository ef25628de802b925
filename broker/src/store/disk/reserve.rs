//! A file that holds room for what must never wait for room: records, checkpoints, compaction.
//!
//! On a full disk it is given up for them, and made again when there is room. As long as it is
//! missing no payload is saved. Owns that one file, and touches no other.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::directory::create;

/// The file's name.
pub const RESERVE: &str = "reserve";

/// The most that is held, unless a segment is longer.
const MOST: u64 = 16 << 20;

/// The reserve; the loop and the sync thread both give it up when they need it.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    size: AtomicU64,
    is_there: AtomicBool,
}

impl Reserve {
    /// For a budget; nothing is made yet, and one that was left is not counted on.
    #[must_use]
    pub fn new(path: PathBuf, budget: u64, segment: u64) -> Self {
        let _ = fs::remove_file(&path);
        Self {
            path,
            size: AtomicU64::new(size_for(budget, segment)),
            is_there: AtomicBool::new(false),
        }
    }

    /// Takes note of another budget. One that is much too small for it is given up, to be made anew.
    pub fn fit(&self, budget: u64, segment: u64) {
        let size = size_for(budget, segment);
        if size / 2 > self.size() {
            self.give_up();
        }
        if !self.is_there() {
            self.size.store(size, Ordering::Release);
        }
    }

    /// What it holds when it is whole.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// What it holds now.
    #[must_use]
    pub fn held(&self) -> u64 {
        if self.is_there() { self.size() } else { 0 }
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Gives it up; returns whether that made room.
    pub fn give_up(&self) -> bool {
        if !self.is_there.swap(false, Ordering::AcqRel) {
            return false;
        }
        fs::remove_file(&self.path).is_ok()
    }

    /// Makes it again; what could not be made wholly is not left lying about.
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
            // A filesystem that cannot promise room is given zeros, which take it.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                io::copy(&mut io::Read::take(io::repeat(0), size), &mut &file)?;
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

fn size_for(budget: u64, segment: u64) -> u64 {
    // Compaction must be able to copy what lives of a whole segment before it can delete it.
    let least = segment.saturating_add(segment / 8);
    MOST.min(budget / 8).max(least).min(budget / 4)
}
