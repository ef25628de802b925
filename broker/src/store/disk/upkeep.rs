//! What is done now and then: deleting what nobody needs, and seeing to it that there is room.
//!
//! Owns the accounting of the budget. A payload is saved only while the reserve is there and beside
//! it; everything else may use the reserve.

use std::fs;

use super::Disk;
use crate::store::Full;
use crate::text::count;

impl Disk {
    /// Bytes of all files, with what waits in the buffer.
    pub(super) fn used(&self) -> u64 {
        self.segments.size() + self.log.end() + self.state.1 + self.reserve.held()
    }

    /// Whether a payload that takes `size` bytes may be saved.
    pub(super) fn room(&mut self, size: u64) -> Result<(), Full> {
        if let Some(failed) = &self.syncer.progress().failed {
            return Err(Full(failed.clone()));
        }
        let others = self.used() - self.reserve.held();
        if others + self.reserve.size() + size > self.settings.budget {
            return Err(Full(format!(
                "its disk budget of {} is used up",
                count(self.settings.budget, "byte")
            )));
        }
        if !self.reserve.is_there() {
            let path = self.directory.path().display();
            let made = self.reserve.make();
            made.map_err(|error| Full(format!("no room is left in {path}: {error}")))?;
        }
        Ok(())
    }

    /// Whether a copy that takes `size` bytes may be written; gives the reserve up if it must.
    pub(super) fn make_room(&mut self, size: u64) -> bool {
        if self.used() + size > self.settings.budget {
            self.reserve.give_up();
        }
        self.used() + size <= self.settings.budget
    }

    pub(super) fn restore_reserve(&mut self) {
        let is_fitting = self.used() + self.reserve.size() <= self.settings.budget;
        if !self.reserve.is_there() && is_fitting {
            // Should there be no room, saving says so.
            let _ = self.reserve.make();
        }
    }

    /// Does what is to be done now and then: takes note of what the sync thread did, deletes what
    /// nobody needs, and makes the log smaller.
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
                Err(_) => self.retry_at = self.log.end() + self.settings.segment / 4,
            }
        }
        if has_failed {
            return;
        }
        let end = self.state.0.min(self.log.segment());
        // A file that cannot be deleted now is tried again at the next call.
        let _ = self.segments.sweep(end, self.log.data(), synced);
        if self.log.buffered() == 0 {
            self.compact();
        }
        self.restore_reserve();
        if let Some(place) = self.log.markable(synced) {
            self.put_mark(place);
        }
    }

    /// Takes note that a state file is safe, so that older ones may go.
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
