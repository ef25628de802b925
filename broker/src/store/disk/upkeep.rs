//! Regular work: deleting what nobody needs, and keeping room free.
//!
//! This module owns the accounting of the budget. A payload is saved only if the reserve exists and the
//! payload fits beside it. Everything else may use the reserve and the space that others leave.

use std::fs;

use super::Disk;
use super::error::write_error;
use crate::store::WriteError;
use crate::text::count;

/// The number of saved bytes after which the free space is checked again. It is a fraction of the reserve,
/// which covers what others take in the meantime.
const LOOK_EVERY: u64 = 256 << 10;

impl Disk {
    /// The total size of all files, including the buffer.
    pub(super) fn used(&self) -> u64 {
        self.segments.size() + self.log.end() + self.state.1 + self.reserve.held()
    }

    /// Whether a payload of `size` bytes may be saved. If not, returns the reason.
    pub(super) fn room(&mut self, size: u64) -> Result<(), WriteError> {
        self.check_failure()?;
        // Others may have taken or freed space.
        self.unlooked += size;
        if self.unlooked >= LOOK_EVERY || !self.has_room(size) {
            self.look();
        }
        if !self.has_room(size) {
            return Err(WriteError::Full(self.why_full()));
        }
        let made = self.reserve.make();
        made.map_err(|error| write_error(self.directory.path(), &error))
    }

    fn has_room(&self, size: u64) -> bool {
        let others = self.used() - self.reserve.held();
        others + self.reserve.size() + size <= self.budget.payloads()
    }

    fn why_full(&self) -> String {
        match self.budget.said() {
            Some(said) => format!("its disk budget of {} is used up", count(said, "byte")),
            None => format!("no space is left in {}", self.directory.path().display()),
        }
    }

    /// Returns an error if the disk has failed.
    pub(super) fn check_failure(&self) -> Result<(), WriteError> {
        match &self.syncer.progress().failed {
            Some(failed) => Err(WriteError::Failed(failed.clone())),
            None => Ok(()),
        }
    }

    /// Checks how much of the disk is free.
    pub(super) fn look(&mut self) {
        self.unlooked = 0;
        let stored = self.used() - self.log.buffered() as u64;
        // If the free space is unknown, the last known value is still the best estimate.
        let _ = self.budget.look(self.directory.handle(), stored);
        self.reserve.fit(self.budget.payloads(), self.segment);
    }

    /// Whether a copy of `size` bytes may be written. Deletes the reserve if needed.
    pub(super) fn make_room(&mut self, size: u64) -> bool {
        if self.used() + size > self.budget.everything() {
            self.reserve.give_up();
            self.look();
        }
        self.used() + size <= self.budget.everything()
    }

    pub(super) fn restore_reserve(&mut self) {
        let is_fitting = self.used() + self.reserve.size() <= self.budget.everything();
        if !self.reserve.is_there() && is_fitting {
            // If there is no room, saving reports it.
            let _ = self.reserve.make();
        }
    }

    /// Does the regular work: handles the sync thread's results, deletes what nobody needs, and shrinks the
    /// log.
    pub(super) fn tidy(&mut self) {
        let (synced, told, has_failed) = {
            let mut progress = self.syncer.progress();
            (
                progress.synced,
                progress.state.take(),
                progress.failed.is_some(),
            )
        };
        if let Some((number, result)) = told {
            self.pending = None;
            match result {
                Ok(size) => self.rely_on(number, size),
                Err(_) => self.retry_at = self.log.end() + self.segment / 4,
            }
        }
        if has_failed {
            return;
        }
        if !self.reserve.is_there() {
            self.look();
        }
        let end = self.state.0.min(self.log.segment());
        // If a file cannot be deleted now, the next call tries again.
        let _ = self.segments.sweep(end, self.log.data(), synced);
        if self.log.buffered() == 0 {
            self.compact();
        }
        self.restore_reserve();
        if let Some(place) = self.log.markable(synced) {
            self.put_mark(place);
        }
    }

    /// Notes that a state file is safe, so that older ones may be deleted.
    fn rely_on(&mut self, number: u32, size: u64) {
        if let Ok(listing) = self.directory.list() {
            for old in listing.states.iter().filter(|old| **old < number) {
                let path = self.directory.state(*old);
                let _ = if self.is_partial {
                    self.directory.set_aside(&path)
                } else {
                    fs::remove_file(path)
                };
            }
        }
        if std::mem::take(&mut self.is_partial) {
            self.segments.add_aside(self.state.1);
        }
        self.state = (number, size);
        self.retry_at = 0;
    }
}
