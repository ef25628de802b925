//! The store that keeps what waits in a directory, so that it outlives the process and the machine.
//!
//! Owns the directory and everything in it. It decides where bytes lie and when files go, never what
//! is needed or safe to promise: that is told to it.
//!
//! # One log
//!
//! Records and payloads of all streams lie in one log in the order in which they came, so that one
//! sync makes everything safe up to a point, and many streams that end together share it. The log is
//! cut into segments, `log-…`, of which only the last is written. Nothing in it is ever changed.
//!
//! A checkpoint begins a segment and writes `state-…`, all records that are valid at its beginning.
//! Records before it are not needed any more, so earlier segments go as soon as no chunk in them is
//! needed. Where few are, these are [copied](compaction) to the log's end.
//!
//! # A crash
//!
//! Entries have [checksums](frame), and marks in the log say up to where it had been synced. Without
//! them, bytes that a loss of power left behind a hole could not be told from a hole that the disk
//! made later in what had been safe: the first must not count, the second must.
//! See [`recovery`].
//!
//! # A full disk
//!
//! Payloads are refused when the [budget], which follows what others leave free, has no room left
//! beside the [reserve]; records, checkpoints and compaction go on, so that what waits can always be
//! taken out, and taking it out makes room.
//!
//! # A disk that fails
//!
//! After any other error in writing or syncing, nobody knows what of it is on the disk. Then the store
//! writes nothing more and says so for good ([`WriteError::Failed`]); the process ends, and the next one
//! finds out what is really there.

mod budget;
mod compaction;
mod directory;
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
pub use self::error::OpenError;
pub use self::index::INDEX_COST;
pub use self::presence::Presence;
pub use self::settings::Settings;

use self::budget::{Budget, FreeSpace, free_space};
use self::compaction::Plan;
use self::directory::Directory;
use self::frame::{Header, Kind, Meta, Place};
use self::index::{Index, Lying};
use self::log::{BUFFER, Log};
use self::reading::Unread;
use self::reserve::Reserve;
use self::segments::Segments;
use self::settings::segment_for;
use self::syncer::{SyncFile, Syncer};
use super::{Chunk, Damaged, DiskUse, Mark, Record, Recovered, Store, StreamKey, WriteError};

/// What the store asks of the system; tests put in what fails.
struct Edges {
    sync_file: SyncFile,
    free_space: FreeSpace,
}

/// Chunks and records on disk.
#[derive(Debug)]
pub struct Disk {
    budget: Budget,
    /// Bytes that were saved since the free space was looked at.
    unlooked: u64,
    /// Bytes after which a new segment begins.
    segment: u64,
    directory: Arc<Directory>,
    reserve: Arc<Reserve>,
    index: Index,
    segments: Segments,
    log: Log,
    syncer: Syncer,
    /// The number and length of the state file that holds.
    state: (u32, u64),
    /// Whether a state file is being written, and which.
    pending: Option<u32>,
    /// The length that the segment being written must have before another state file is tried,
    /// once one could not be written.
    retry_at: u64,
    /// Whether the last payload was refused for want of room.
    is_refusing: bool,
    /// Whether the state file that holds is damaged.
    is_partial: bool,
    plan: Plan,
}

impl Disk {
    /// Opens or makes a store in `directory`. `wake` is called from another thread whenever a sync
    /// has come to its end.
    ///
    /// # Errors
    ///
    /// When the directory is in use, was written by a later program, or cannot be used at all.
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
        // Recovery ended with a sync of all that was found.
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

    /// What must stay where it is for this to be kept.
    ///
    /// # Errors
    ///
    /// When it is not there any more.
    pub fn presence(&self) -> io::Result<Presence> {
        self.directory.presence()
    }

    /// Says in the log that all of it is synced.
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
    /// Makes everything safe that was put and saved, as far as that can be done.
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
            // It only proves what is so anyway.
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
            Lying::Saved(entry) => entry.mark().from(at),
            Lying::Memory(chunk) => chunk.mark.from(at),
        })
    }

    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged> {
        let (whole, payload) = match self.index.find(stream, at) {
            None => return Ok(None),
            Some(Lying::Saved(entry)) => match self.payload(stream, entry) {
                Ok(payload) => (entry.mark(), payload),
                Err(Unread::NotNow) => return Ok(None),
                Err(Unread::Damaged(damaged)) => return Err(damaged),
            },
            Some(Lying::Memory(chunk)) => (chunk.mark, chunk.payload.clone()),
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
            // Should it fail, the next `flush` tells.
            let _ = self.log.flush();
        }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.check_failure()?;
        // Where there is no room, what is tidied away may make some.
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
        // A long list of records is not written anew for every few bytes of log, unless these are
        // much of what may be used.
        let list = self
            .state
            .1
            .saturating_mul(4)
            .min(self.budget.payloads() / 4);
        let bar = self.segment.max(list);
        // Nothing of the segment that is being written can go. Where room is wanted, it must not keep
        // what is dead in it for long.
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
