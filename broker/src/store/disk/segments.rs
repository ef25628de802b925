//! The segments: their lengths, their live bytes, and reading from them.
//!
//! This module owns the counts. It only deletes a segment when told to, and never one with damage.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use super::directory::Directory;
use super::entry::Entry;

/// The maximum number of segments kept open for reading.
const OPEN: usize = 8;

/// One segment.
#[derive(Debug, Default, Clone)]
pub struct Segment {
    /// The segment's length. It is 0 for the segment being written.
    pub size: u64,
    /// The size of entries that are still needed, in bytes.
    pub live: u64,
    /// Whether something in the segment is damaged. Such a segment is renamed instead of deleted.
    pub is_damaged: bool,
    /// The log offset that must be synced before the segment may be deleted. Set once nothing in it is
    /// needed.
    pub dead_at: Option<u64>,
}

#[derive(Debug)]
pub struct Segments {
    directory: Arc<Directory>,
    table: BTreeMap<u32, Segment>,
    /// The total length of all segments except the one being written.
    closed: u64,
    live: u64,
    /// The total length of files kept because of damage.
    aside: u64,
    /// Counts released bytes, so that a search for work is not repeated in vain.
    released: u64,
    handles: RefCell<VecDeque<(u32, Arc<File>)>>,
    /// Segments found to be damaged during reads, which have no other access to the table.
    found_damaged: RefCell<Vec<u32>>,
}

impl Segments {
    /// An empty table. `aside` is the total length of damaged files kept.
    #[must_use]
    pub fn new(directory: Arc<Directory>, aside: u64) -> Self {
        Self {
            directory,
            table: BTreeMap::new(),
            closed: 0,
            live: 0,
            aside,
            released: 0,
            handles: RefCell::default(),
            found_damaged: RefCell::default(),
        }
    }

    /// Adds a segment. The length is 0 for the segment being written.
    pub fn add(&mut self, number: u32, size: u64) {
        self.closed += size;
        self.table.entry(number).or_default().size = size;
    }

    /// Sets the final length of the segment that was being written.
    pub fn close(&mut self, number: u32, size: u64) {
        self.add(number, size);
    }

    /// Sets the length of a segment to 0. A length of 0 marks the segment that is still being written.
    pub fn go_on(&mut self, number: u32) {
        if let Some(segment) = self.table.get_mut(&number) {
            self.closed -= segment.size;
            segment.size = 0;
        }
    }

    /// Sets the length of a segment that was cut.
    pub fn resize(&mut self, number: u32, size: u64) {
        self.go_on(number);
        self.add(number, size);
    }

    /// Removes a segment that is gone.
    pub fn forget(&mut self, number: u32) {
        self.go_on(number);
        self.table.remove(&number);
    }

    /// Counts an entry as needed.
    pub fn keep(&mut self, entry: &Entry) {
        let segment = self.table.entry(entry.place().segment).or_default();
        segment.live += entry.size();
        segment.dead_at = None;
        self.live += entry.size();
    }

    /// Counts an entry as no longer needed.
    pub fn release(&mut self, entry: &Entry) {
        if let Some(segment) = self.table.get_mut(&entry.place().segment) {
            segment.live = segment.live.saturating_sub(entry.size());
        }
        self.live = self.live.saturating_sub(entry.size());
        self.released += entry.size();
    }

    /// The total length of all files except the segment being written.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.closed + self.aside
    }

    /// The total size of needed entries.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live
    }

    /// A count that grows with every released entry.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.released
    }

    /// The highest segment number.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.table.keys().next_back().copied()
    }

    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Segment> {
        self.table.get(&number)
    }

    /// All segments with a lower number.
    pub fn below(&self, number: u32) -> impl Iterator<Item = (u32, &Segment)> {
        self.table
            .range(..number)
            .map(|(number, segment)| (*number, segment))
    }

    /// All segments with this number or a higher one.
    pub fn from(&self, number: u32) -> impl Iterator<Item = (u32, &Segment)> {
        self.table
            .range(number..)
            .map(|(number, segment)| (*number, segment))
    }

    /// Counts files that were set aside.
    pub fn add_aside(&mut self, bytes: u64) {
        self.aside += bytes;
    }

    /// Marks a segment as damaged.
    pub fn set_damaged(&mut self, number: u32) {
        if let Some(segment) = self.table.get_mut(&number) {
            segment.is_damaged = true;
        }
    }

    /// Marks a segment as damaged, from a read.
    pub fn note_damaged(&self, number: u32) {
        self.found_damaged.borrow_mut().push(number);
    }

    /// Deletes the segments below `end` that nobody needs. `synced` is the log offset below which everything
    /// survives a power loss, and `written` is the length of the log.
    ///
    /// The record that released a stream's bytes may be at the very end of the log. If the bytes were deleted
    /// before that record is safe, a crash would make them look lost.
    pub fn sweep(&mut self, end: u32, written: u64, synced: u64) -> io::Result<()> {
        for number in self.found_damaged.take() {
            self.set_damaged(number);
        }
        let mut over = Vec::new();
        for (number, segment) in self.table.range_mut(..end) {
            if segment.live == 0 && *segment.dead_at.get_or_insert(written) <= synced {
                over.push(*number);
            }
        }
        for number in over {
            self.delete(number)?;
        }
        Ok(())
    }

    fn delete(&mut self, number: u32) -> io::Result<()> {
        let path = self.directory.segment(number);
        let Some(segment) = self.table.get(&number).cloned() else {
            return Ok(());
        };
        if segment.is_damaged {
            self.directory.set_aside(&path)?;
            self.aside += segment.size;
        } else {
            fs::remove_file(&path)?;
        }
        self.closed -= segment.size;
        self.table.remove(&number);
        self.handles
            .borrow_mut()
            .retain(|(open, _)| *open != number);
        Ok(())
    }

    /// A segment, opened for reading.
    pub fn open(&self, number: u32) -> io::Result<Arc<File>> {
        let mut handles = self.handles.borrow_mut();
        let index = handles.iter().position(|(open, _)| *open == number);
        if let Some((_, file)) = index.and_then(|index| handles.remove(index)) {
            handles.push_back((number, Arc::clone(&file)));
            return Ok(file);
        }
        let file = Arc::new(File::open(self.directory.segment(number))?);
        if handles.len() >= OPEN {
            handles.pop_front();
        }
        handles.push_back((number, Arc::clone(&file)));
        Ok(file)
    }
}
