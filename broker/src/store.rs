//! Storage for waiting bytes and for what must survive a killed satellite: the interface between the rules
//! and the memory or disk below.
//!
//! A store holds the chunks of streams, addressed by their offset in the stream, and the [records](Record) of
//! decisions. [`crate::pipe`] and [`crate::broker`] decide which bytes are needed, by whom, and when they are
//! saved. A store never does.
//!
//! # The bytes of a stream
//!
//! ```text
//!   0 ─── released ───┬── saved: on disk ──┬── in memory ──┐ end
//! ```
//!
//! [`Store::append`] adds bytes at the end, in memory. [`Store::save`] moves the oldest bytes in memory to
//! the log. [`Store::release`] forgets bytes from the beginning. Any of the three parts may be empty.
//!
//! # Durability
//!
//! The log is one sequence of records and saved bytes. [Flushed](Store::flush) data survives the process.
//! Data below [`Store::synced`] survives the machine. A crash leaves a prefix of the sequence, never a later
//! part without an earlier one.

pub mod disk;
mod memory;
pub mod record;
mod recovered;

use std::fmt;

use bytes::Bytes;

pub use self::memory::Memory;
pub use self::record::Record;
pub use self::recovered::Recovered;

/// Identifies a stream inside the satellite. Streams that opened later have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// One chunk of a stream, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk's bytes, shared by all who get them.
    pub payload: Bytes,
    /// The chunk's metadata.
    pub mark: Mark,
}

/// The metadata of a chunk, known without reading its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The length of the unfinished line at the chunk's end, counted from the beginning of that line.
    pub tail: u64,
    /// The chunk's arrival number. All chunks and finishes of the satellite share one counter.
    pub arrival: u64,
    /// The chunk's offset in the stream.
    pub at: u64,
    /// The number of payload bytes in the chunk.
    pub len: usize,
}

impl Mark {
    /// The offset just after the chunk.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at + self.len as u64
    }

    /// The metadata of the chunk's first bytes, at most `most` of them. Where lines begin inside a chunk is
    /// unknown, so a piece counts as the beginning of a line.
    #[must_use]
    pub fn first(self, most: usize) -> Self {
        if most >= self.len {
            return self;
        }
        Self {
            tail: 1,
            len: most,
            ..self
        }
    }

    /// The metadata of the rest of the chunk from the offset `at`, which lies in the chunk.
    #[must_use]
    pub fn from(self, at: u64) -> Self {
        let skipped = at.saturating_sub(self.at);
        Self {
            at: self.at + skipped,
            len: self.len - usize::try_from(skipped).unwrap_or(self.len),
            ..self
        }
    }
}

/// Saved bytes cannot be read, or are not the bytes that were saved. The text says what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(pub String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// Why a write failed. The text is meant for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// There is no room now. Nothing is lost, and the write can be tried again later.
    Full(String),
    /// The disk failed. Nothing that this process writes is reliable any more. Only a restart finds out what
    /// is really on the disk.
    Failed(String),
}

/// A store's use of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// The size of all files, in bytes.
    pub used: u64,
    /// The maximum for `used`, in bytes.
    pub budget: u64,
}

/// Holds the chunks of streams and the records of decisions.
pub trait Store {
    /// Adds the next chunk of a stream, in memory. `chunk.mark.at` must be the stream's current end; the
    /// first chunk may begin anywhere. The chunk costs [`crate::protocol::cost`] of its length.
    fn append(&mut self, stream: StreamKey, chunk: Chunk);

    /// The metadata of the chunk that contains the byte at `at`, from that byte on. None if the byte is not
    /// held.
    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark>;

    /// The chunk that contains the byte at `at`, from that byte on. None if the byte is not held, or cannot
    /// be read now because the system is short of a resource.
    ///
    /// # Errors
    ///
    /// If the chunk is on disk and the disk does not return it.
    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged>;

    /// Releases the bytes of a stream below `at`. Returns the freed cost. A chunk that extends beyond `at`
    /// may stay whole.
    fn release(&mut self, stream: StreamKey, at: u64) -> u64;

    /// Removes a stream. Returns the remaining cost of its chunks.
    fn remove(&mut self, stream: StreamKey) -> u64;

    /// Whether saved bytes and records survive the process. If not, `save`, `put`, `flush` and `sync` do
    /// nothing.
    fn is_durable(&self) -> bool;

    /// Moves the oldest in-memory chunk of a stream to the log. Returns the freed cost, or 0 if no chunk was
    /// in memory.
    ///
    /// # Errors
    ///
    /// If the disk or its budget is full, or the disk has failed. The chunk stays in memory.
    fn save(&mut self, stream: StreamKey) -> Result<u64, WriteError>;

    /// The offset below which a stream's bytes are saved or released. It is the stream's end if nothing is in
    /// memory. None if nothing of the stream is held.
    fn saved(&self, stream: StreamKey) -> Option<u64>;

    /// Adds a record to the log.
    fn put(&mut self, record: &Record);

    /// Passes everything that was put and saved to the operating system.
    ///
    /// # Errors
    ///
    /// If the disk is full (the next call continues), or if the disk has failed, possibly in an earlier sync.
    fn flush(&mut self) -> Result<(), WriteError>;

    /// The log's length, in the store's own unit. Everything put or saved so far lies below it.
    fn written(&self) -> u64;

    /// The length of the part of the log that survives a power loss.
    fn synced(&self) -> u64;

    /// Starts a sync in the background, unless one is running: flushed data is made to survive a power loss.
    /// When it has finished, a durable store writes a byte to the pipe that the loop watches
    /// (`Server::woken_by`); [`Store::synced`] then tells the progress.
    fn sync(&mut self);

    /// Whether [`Store::checkpoint`] is due.
    fn wants_checkpoint(&self) -> bool;

    /// Starts a new part of the log with all currently valid records, so that earlier parts are no longer
    /// needed.
    ///
    /// # Errors
    ///
    /// If a checkpoint is not possible now, in which case the log continues unchanged; or if the disk has
    /// failed.
    fn checkpoint(&mut self, records: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError>;

    /// The use of the store's disk. None if the store has no disk.
    fn disk(&self) -> Option<DiskUse>;

    /// Where the bytes are stored, in a few words, for `--check`.
    fn kept(&self) -> String;
}
