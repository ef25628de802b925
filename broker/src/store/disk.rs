//! The store that holds waiting data in a directory, where it survives the process and the machine.
//!
//! This module owns the directory and everything in it. It decides where bytes are stored and when files are
//! deleted. It never decides what is needed or what may be promised to clients.
//!
//! # One log
//!
//! Records and payloads of all streams are in one log, in order of arrival. One sync makes everything up to a
//! position safe, and many streams that end together share that sync. The log consists of segments, `log-…`.
//! Only the last segment is written to, and nothing in the log is ever changed.
//!
//! A checkpoint starts a segment and writes `state-…`: all records that are valid at the start of that
//! segment. Earlier records are not needed any more, so an earlier segment is deleted as soon as no chunk in
//! it is needed. If only a few are needed, they are [copied](compaction) to the end of the log.
//!
//! # A crash
//!
//! Entries have [checksums](frame), and marks in the log say up to where it had been synced. Without marks,
//! two kinds of holes would look alike: a hole that a power loss left before later bytes, where those bytes
//! must not count, and a hole that the disk made later in safe data, where the later bytes must count. See
//! [`recovery`].
//!
//! # A full disk
//!
//! Payloads are refused when the [budget] has no room left besides the [reserve]. The budget follows the free
//! space that others leave. Records, checkpoints and compaction continue, so waiting data can always be taken
//! out, which makes room.
//!
//! # A disk that fails
//!
//! After any other error in a write or sync, nobody knows what is on the disk. The store then writes nothing
//! more and reports the failure from then on ([`WriteError::Failed`]). The process ends, and the next process
//! finds out what is really there.

mod budget;
mod compaction;
mod directory;
mod entry;
mod error;
mod frame;
mod index;
mod log;
mod pass;
mod presence;
mod reading;
mod recovery;
mod reserve;
mod scan;
mod segments;
mod settings;
mod state;
mod syncer;
mod upkeep;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use self::directory::has_logs;
pub use self::entry::INDEX_COST;
pub use self::error::OpenError;
pub use self::presence::Presence;
pub use self::settings::Settings;

use self::budget::{Budget, FreeSpace, free_space};
use self::compaction::Plan;
use self::directory::Directory;
use self::frame::{Header, Kind, Meta, Place};
use self::index::{Index, Location};
use self::log::{BUFFER, Log};
use self::reading::Unread;
use self::reserve::Reserve;
use self::segments::Segments;
use self::settings::segment_for;
use self::syncer::{SyncFile, Syncer};
use super::{Chunk, Damaged, DiskUse, Mark, Record, Recovered, Store, StreamKey, WriteError};

/// What the store asks of the operating system. Tests inject failures here.
struct Edges {
    sync_file: SyncFile,
    free_space: FreeSpace,
}

/// Chunks and records on disk.
#[derive(Debug)]
pub struct Disk {
    budget: Budget,
    /// Bytes saved since the free space was last checked.
    unlooked: u64,
    /// The size, in bytes, after which a new segment begins.
    segment: u64,
    directory: Arc<Directory>,
    reserve: Arc<Reserve>,
    index: Index,
    segments: Segments,
    log: Log,
    syncer: Syncer,
    /// The number and length of the current state file.
    state: (u32, u64),
    /// The number of the state file that is being written, if any.
    pending: Option<u32>,
    /// After a failed attempt to write a state file: the length that the current segment must reach before
    /// the next attempt.
    retry_at: u64,
    /// Whether the last payload was refused because room was short.
    is_refusing: bool,
    /// Whether the current state file is damaged.
    is_partial: bool,
    plan: Plan,
}

impl Disk {
    /// Opens or creates a store in `directory`. Another thread calls `wake` whenever a sync has finished.
    ///
    /// # Errors
    ///
    /// If the directory is in use, was written by a later program, or cannot be used at all.
    pub fn open(
        directory: &Path,
        settings: Settings,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<(Self, Recovered), OpenError> {
        let edges = Edges {
            sync_file: fs::File::sync_data,
            free_space: Box::new(free_space),
        };
        Self::open_with(directory, settings, wake, edges)
    }

    fn open_with(
        directory: &Path,
        settings: Settings,
        wake: Box<dyn Fn() + Send>,
        edges: Edges,
    ) -> Result<(Self, Recovered), OpenError> {
        let directory = Arc::new(Directory::open(directory)?);
        let found = recovery::recover(&directory)?;
        let (current, len) = found.current;
        let mut budget = Budget::new(settings.budget, edges.free_space);
        let stored = found.segments.size() + len + found.state.1;
        budget.look(directory.handle(), stored)?;
        let segment = settings.segment;
        let segment = segment.unwrap_or_else(|| segment_for(budget.payloads()));
        let reserve = Reserve::new(directory.reserve(), budget.payloads(), segment);
        let reserve = Arc::new(reserve);
        let log = Log::go_on(Arc::clone(&directory), Arc::clone(&reserve), current, len)?;
        let syncer = Syncer::start(
            Arc::clone(&directory),
            Arc::clone(&reserve),
            edges.sync_file,
            wake,
        )?;
        // Recovery ended with a sync of everything that was found.
        syncer.progress().synced = log.total();
        let mut disk = Self {
            budget,
            unlooked: 0,
            segment,
            directory,
            reserve,
            index: found.index,
            segments: found.segments,
            log,
            syncer,
            state: found.state,
            pending: None,
            retry_at: 0,
            is_refusing: false,
            is_partial: found.is_partial,
            plan: Plan::default(),
        };
        disk.mark_all_synced();
        disk.restore_reserve();
        Ok((disk, found.recovered))
    }

    /// The files that must stay in place for the data to survive.
    ///
    /// # Errors
    ///
    /// If they are gone already.
    pub fn presence(&self) -> io::Result<Presence> {
        self.directory.presence()
    }

    /// Writes a mark which says that the whole log is synced.
    fn mark_all_synced(&mut self) {
        let place = Place {
            segment: self.log.segment(),
            position: self.log.end(),
        };
        self.put_mark(place);
    }

    fn put_mark(&mut self, place: Place) {
        let body = place.to_bytes();
        if let Some(header) = Header::new(Kind::Mark, &body) {
            self.log.put(&header, &body);
        }
    }
}

impl Drop for Disk {
    /// Makes everything that was put and saved safe, if possible.
    fn drop(&mut self) {
        if self.log.flush().is_err() {
            return;
        }
        if let Some(job) = self.log.job() {
            self.syncer.send(job);
        }
        self.syncer.finish();
        let synced = self.syncer.progress().synced;
        if let Some(place) = self.log.markable(synced) {
            self.put_mark(place);
            // A failure loses nothing: the mark only confirms what is true anyway.
            let _ = self.log.flush();
        }
    }
}

impl Store for Disk {
    fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        self.index.append(stream, chunk);
    }

    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark> {
        Some(match self.index.find(stream, at)? {
            Location::Saved(entry) => entry.mark().from(at),
            Location::Memory(chunk) => chunk.mark.from(at),
        })
    }

    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged> {
        let (whole, payload) = match self.index.find(stream, at) {
            None => return Ok(None),
            Some(Location::Saved(entry)) => match self.payload(stream, entry) {
                Ok(payload) => (entry.mark(), payload),
                Err(Unread::NotNow) => return Ok(None),
                Err(Unread::Damaged(damaged)) => return Err(damaged),
            },
            Some(Location::Memory(chunk)) => (chunk.mark, chunk.payload.clone()),
        };
        let mark = whole.from(at);
        Ok(Some(Chunk {
            payload: payload.slice(whole.len - mark.len..),
            mark,
        }))
    }

    fn release(&mut self, stream: StreamKey, at: u64) -> u64 {
        self.index.release(stream, at, &mut self.segments)
    }

    fn remove(&mut self, stream: StreamKey) -> u64 {
        self.index.remove(stream, &mut self.segments)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn save(&mut self, stream: StreamKey) -> Result<u64, WriteError> {
        let Some(chunk) = self.index.oldest(stream).cloned() else {
            return Ok(0);
        };
        let meta = Meta::of(stream, chunk.mark);
        let header = Header::new(Kind::Chunk(meta), &chunk.payload);
        let header =
            header.ok_or_else(|| WriteError::Full("the chunk is too long to be saved".into()))?;
        self.is_refusing = true;
        self.room(header.entry_size())?;
        let place = self.write(&header, &chunk.payload)?;
        self.is_refusing = false;
        let freed = self.index.move_oldest(stream, place, &mut self.segments);
        Ok(freed + self.merge(stream))
    }

    fn saved(&self, stream: StreamKey) -> Option<u64> {
        self.index.saved(stream)
    }

    fn put(&mut self, record: &Record) {
        let body = state::encode_record(record);
        if let Some(header) = Header::new(Kind::Record, &body) {
            self.log.put(&header, &body);
        }
        if self.log.buffered() >= BUFFER {
            // If this fails, the next `flush` reports it.
            let _ = self.log.flush();
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.check_failure()?;
        // If there is no room, tidying up may make some.
        let _ = self.log.flush();
        self.tidy();
        self.log.flush()
    }

    fn written(&self) -> u64 {
        self.log.data()
    }

    fn synced(&self) -> u64 {
        self.syncer.progress().synced
    }

    fn sync(&mut self) {
        if self.syncer.progress().running > 0 {
            return;
        }
        if let Some(job) = self.log.job() {
            self.syncer.send(job);
        }
    }

    fn wants_checkpoint(&self) -> bool {
        // A long list of records is not rewritten for every few bytes of log, unless the list takes much of
        // the budget.
        let list = self
            .state
            .1
            .saturating_mul(4)
            .min(self.budget.payloads() / 4);
        let bar = self.segment.max(list);
        // Nothing in the segment being written can be deleted. When room is short, dead entries must not stay
        // in it for long.
        let size = self.log.end();
        let live = self
            .segments
            .get(self.log.segment())
            .map_or(0, |it| it.live);
        let is_waste = size.saturating_sub(live) > (2 * self.state.1).max(self.segment / 16);
        let is_due = self.is_partial || (self.is_refusing && is_waste);
        let bar = if is_due { 0 } else { bar }.max(self.retry_at);
        self.pending.is_none() && self.log.end() >= bar
    }

    fn checkpoint(&mut self, records: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError> {
        if self.pending.is_some() {
            let sentence = "the checkpoint before is still being written";
            return Err(WriteError::Full(sentence.into()));
        }
        self.flush()?;
        let (before, len) = self.log.begin()?;
        self.segments.close(before, len);
        let number = self.log.segment();
        self.segments.add(number, 0);
        self.pending = Some(number);
        if let Some(mut job) = self.log.job() {
            job.state = Some((number, state::encode(number, records)));
            self.syncer.send(job);
        }
        Ok(())
    }

    fn disk(&self) -> Option<DiskUse> {
        Some(DiskUse {
            used: self.used(),
            budget: self.budget.payloads(),
        })
    }

    fn kept(&self) -> String {
        format!("disk ({})", self.directory.path().display())
    }
}
