//! The segments behind the one that is being written: how long they are, what of them still lives,
//! and reading from them.
//!
//! Owns the counts; deletes a segment only when told to, and never one in which damage was found.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use super::directory::Directory;
use super::index::Entry;

/// As many segments are kept open for reading.
const OPEN: usize = 8;

/// One segment.
#[derive(Debug, Default, Clone)]
pub struct Segment {
    /// Its length; 0 for the one that is being written.
    pub size: u64,
    /// Bytes of entries in it that are still needed.
    pub live: u64,
    /// Whether something in it is damaged, so that it is kept under another name in the end.
    pub is_damaged: bool,
    /// The log's length that must be synced before it may go, once nothing in it is needed.
    pub dead_at: Option<u64>,
}

/// All segments.
#[derive(Debug)]
pub struct Segments {
    directory: Arc<Directory>,
    table: BTreeMap<u32, Segment>,
    /// Bytes of all but the one that is being written.
    closed: u64,
    live: u64,
    /// Bytes of files kept because of damage.
    aside: u64,
    /// Counts what was released, so that a search for something to do is not repeated in vain.
    released: u64,
    handles: RefCell<VecDeque<(u32, Arc<File>)>>,
    /// Segments in which damage was found while reading, which has no other access to the table.
    found_damaged: RefCell<Vec<u32>>,
}

impl Segments {
    /// None yet, beside files of `aside` bytes.
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

    /// Adds one; its length is 0 as long as it is being written.
    pub fn add(&mut self, number: u32, size: u64) {
        self.closed += size;
        self.table.entry(number).or_default().size = size;
    }

    /// Takes note of how long one became that was being written.
    pub fn close(&mut self, number: u32, size: u64) {
        self.add(number, size);
    }

    /// Takes note of a length of 0, for one that goes on being written.
    pub fn go_on(&mut self, number: u32) {
        if let Some(segment) = self.table.get_mut(&number) {
            self.closed -= segment.size;
            segment.size = 0;
        }
    }

    /// Takes note of another length, for one that was cut.
    pub fn resize(&mut self, number: u32, size: u64) {
        self.go_on(number);
        self.add(number, size);
    }

    /// Takes note that one is not there any more.
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

    /// Counts an entry as needed no longer.
    pub fn release(&mut self, entry: &Entry) {
        if let Some(segment) = self.table.get_mut(&entry.place().segment) {
            segment.live = segment.live.saturating_sub(entry.size());
        }
        self.live = self.live.saturating_sub(entry.size());
        self.released += entry.size();
    }

    /// Bytes of all files but the one that is being written.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.closed + self.aside
    }

    /// Bytes of entries that are needed.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live
    }

    /// A count that grows with what is released.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.released
    }

    /// The highest number.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.table.keys().next_back().copied()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Segment> {
        self.table.get(&number)
    }

    /// Those below a number.
    pub fn below(&self, number: u32) -> impl Iterator<Item = (u32, &Segment)> {
        self.table
            .range(..number)
            .map(|(number, segment)| (*number, segment))
    }

    /// Those from a number on.
    pub fn from(&self, number: u32) -> impl Iterator<Item = (u32, &Segment)> {
        self.table
            .range(number..)
            .map(|(number, segment)| (*number, segment))
    }

    /// Counts files that were set aside.
    pub fn add_aside(&mut self, bytes: u64) {
        self.aside += bytes;
    }

    /// Takes note of damage.
    pub fn set_damaged(&mut self, number: u32) {
        if let Some(segment) = self.table.get_mut(&number) {
            segment.is_damaged = true;
        }
    }

    /// Takes note of damage found in reading.
    pub fn note_damaged(&self, number: u32) {
        self.found_damaged.borrow_mut().push(number);
    }

    /// Deletes the segments below `end` that nobody needs, as far as that is known to the disk:
    /// `synced` is what outlives a loss of power, `written` the length of the log.
    ///
    /// The words in which a stream's bytes were given up may lie at the log's very end. Were the
    /// bytes deleted before those words are safe, a crash would make them look lost.
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
