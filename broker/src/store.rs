//! Where waiting bytes lie: the seam between the rules and the memory or disk below them.
//!
//! A store keeps the chunks of streams, by number, and nothing else: which of them are needed, and
//! for whom, is decided in [`crate::pipe`] and [`crate::broker`].

mod memory;

use bytes::Bytes;

pub use memory::Memory;

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
    pub offset: u64,
    /// Payload bytes in it.
    pub len: usize,
}

/// Keeps the chunks of streams.
///
/// The chunks of a stream are numbered from 0 in the order of [`Store::append`].
pub trait Store {
    /// Keeps the next chunk of a stream; the first one begins it.
    fn append(&mut self, stream: StreamKey, chunk: Chunk);

    /// A chunk, if it is kept.
    fn chunk(&self, stream: StreamKey, seq: u64) -> Option<Chunk>;

    /// What is known of a chunk, if it is kept.
    fn mark(&self, stream: StreamKey, seq: u64) -> Option<Mark>;

    /// Forgets the chunks of a stream below `seq`; returns what they had cost.
    fn release(&mut self, stream: StreamKey, seq: u64) -> u64;

    /// Forgets a stream; returns what its chunks had cost.
    fn remove(&mut self, stream: StreamKey) -> u64;

    /// In a word, for `--check`, where the bytes lie.
    fn kept(&self) -> &'static str;
}
