//! Where waiting bytes lie, and what must be known after the satellite was killed: the seam between
//! the rules and the memory or disk below them.
//!
//! A store keeps the chunks of streams, addressed by their bytes' place in the stream, and the
//! [records](Record) of what was decided. Which bytes are needed, for whom, and when they are to be
//! saved is decided in [`crate::pipe`] and [`crate::broker`], never here.
//!
//! # The bytes of a stream
//!
//! ```text
//!   0 ─── released ───┬── saved: on disk ──┬── in memory ──┐ end
//! ```
//!
//! [`Store::append`] adds at the end, in memory; [`Store::save`] moves the oldest bytes in memory to
//! the log; [`Store::release`] forgets from the beginning. Any part may be empty.
//!
//! # How safe is what
//!
//! The log is one sequence of records and saved bytes. What has been [flushed](Store::flush) survives
//! the process; what lies below [`Store::synced`] survives the machine. A crash leaves a beginning
//! of the sequence, never a later part without an earlier one.

pub mod disk;
mod memory;
pub mod record;
mod recovered;

use std::fmt;

use bytes::Bytes;

pub use self::memory::Memory;
pub use self::record::Record;
pub use self::recovered::Recovered;

/// A stream's name inside the satellite: its place in the order in which streams were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// One chunk of a stream, as it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes, shared by all who are to get them.
    pub payload: Bytes,
    /// What stands about it beside its bytes.
    pub mark: Mark,
}

/// What is known of a chunk without reading its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Bytes of an unfinished line at its end, counted from the line's beginning.
    pub tail: u64,
    /// Its place in the order in which the satellite took chunks and finishes in.
    pub arrival: u64,
    /// Payload bytes of the stream before it.
    pub at: u64,
    /// Payload bytes in it.
    pub len: usize,
}

impl Mark {
    /// Payload bytes of the stream up to its end.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at + self.len as u64
    }

    /// The mark of its first bytes, `most` of them at most. Inside a chunk nobody knows where its
    /// lines begin, so that a piece counts as the beginning of one.
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

    /// The mark of what is left of the chunk from the place `at` on, which lies in it.
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

/// Saved bytes could not be read back, or are not those that were saved. The sentence says what is
/// wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(pub String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// Why something could not be written; the sentence says it for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// There is no room now. Nothing is lost, and it can be tried again later.
    Full(String),
    /// The disk failed. Nothing that this process writes can be relied on any more: only a restart
    /// finds out what is really there.
    Failed(String),
}

/// What a store uses of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of all its files.
    pub used: u64,
    /// What they may come to.
    pub budget: u64,
}

/// Keeps the chunks of streams and what was decided about them.
pub trait Store {
    /// Keeps the next chunk of a stream, in memory; `chunk.mark.at` is the stream's end so far, or
    /// anything for the first. It costs [`crate::protocol::cost`] of its length.
    fn append(&mut self, stream: StreamKey, chunk: Chunk);

    /// What is known of the chunk that the byte at `at` lies in, from that byte on; nothing if the
    /// byte is not kept.
    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark>;

    /// The chunk that the byte at `at` lies in, from that byte on; nothing if it is not kept, or
    /// cannot be read just now for want of something that the system has too little of.
    ///
    /// # Errors
    ///
    /// When it is kept on disk, and the disk does not give it back.
    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged>;

    /// Forgets the bytes of a stream below `at`; returns what that gives back of their cost. A chunk
    /// that goes on beyond `at` may stay whole.
    fn release(&mut self, stream: StreamKey, at: u64) -> u64;

    /// Forgets a stream; returns what is left of its chunks' cost.
    fn remove(&mut self, stream: StreamKey) -> u64;

    /// Whether saved bytes and records outlive the process. If not, `save`, `put`, `flush` and `sync`
    /// do nothing.
    fn is_durable(&self) -> bool;

    /// Moves the oldest chunk that a stream has in memory to the log; returns what that gives back
    /// of its cost, 0 if there was none.
    ///
    /// # Errors
    ///
    /// When the disk, or what may be used of it, is full, or has failed. The chunk stays in memory.
    fn save(&mut self, stream: StreamKey) -> Result<u64, WriteError>;

    /// The place below which a stream's bytes are saved or released; its end if none are in memory.
    /// Nothing if nothing of the stream is kept.
    fn saved(&self, stream: StreamKey) -> Option<u64>;

    /// Adds a record to the log.
    fn put(&mut self, record: &Record);

    /// Hands all that was put and saved to the operating system.
    ///
    /// # Errors
    ///
    /// When the disk is full, and the next call goes on with it; or when the disk has failed, in a sync,
    /// too.
    fn flush(&mut self) -> Result<(), WriteError>;

    /// The length of the log so far, in a measure of its own: what is put or saved now lies below it.
    fn written(&self) -> u64;

    /// What of the log outlives a loss of power.
    fn synced(&self) -> u64;

    /// Begins to make what has been flushed outlive a loss of power, in the background, unless that
    /// is under way already. [`Store::synced`] tells how far it came.
    fn sync(&mut self);

    /// Whether it is time for [`Store::checkpoint`].
    fn wants_checkpoint(&self) -> bool;

    /// Begins a new part of the log with all records that are valid now, so that earlier ones need
    /// not be kept.
    ///
    /// # Errors
    ///
    /// When it cannot be done now, and the log goes on as it was; or when the disk has failed.
    fn checkpoint(&mut self, records: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError>;

    /// What it uses of its disk, if it has one.
    fn disk(&self) -> Option<DiskUse>;

    /// In a few words, for `--check`, where the bytes lie.
    fn kept(&self) -> String;
}
