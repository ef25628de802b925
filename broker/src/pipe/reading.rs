//! Reads the bytes of a stream from memory or disk, and limits the memory of bytes read from disk.
//!
//! Bytes already in memory are shared, and were counted when they arrived. Bytes read back from disk take new
//! memory until the connection has accepted them, so their total is limited. A listener that does not read
//! soon times out. Until then the others continue with small pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::protocol::PIECE;
use crate::store::{Chunk, Damaged, Store, StreamKey};

/// The maximum of bytes read back and not yet sent.
const MOST: u64 = 16 << 20;

/// The number of bytes read back and not yet sent.
#[derive(Debug, Clone, Default)]
pub struct Reads(Arc<AtomicU64>);

/// Bytes that are counted until the last reference is dropped.
struct Counted {
    bytes: Bytes,
    reads: Reads,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let len = self.bytes.len() as u64;
        self.reads.0.fetch_sub(len, Ordering::Relaxed);
    }
}

/// The result of a read.
pub(super) enum Read {
    /// A chunk, or a piece of one.
    Chunk(Chunk),
    /// The limit is reached, or the system is short of a resource.
    NotNow,
    /// The bytes can never be read again.
    Damaged(Damaged),
}

impl Reads {
    /// Whether the limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MOST
    }

    /// The maximum length of the next piece to read back. It is short once half of [`MOST`] is in use.
    pub(super) fn piece(&self) -> usize {
        if self.0.load(Ordering::Relaxed) < MOST / 2 {
            usize::MAX
        } else {
            PIECE
        }
    }

    fn count(&self, chunk: Chunk) -> Chunk {
        let Chunk { payload, mark } = chunk;
        self.0.fetch_add(payload.len() as u64, Ordering::Relaxed);
        let counted = Counted {
            bytes: payload,
            reads: self.clone(),
        };
        Chunk {
            payload: Bytes::from_owner(counted),
            mark,
        }
    }

    /// Whether the byte at `at` is only on disk.
    pub(super) fn is_read_back<S: Store>(store: &S, stream: StreamKey, at: u64) -> bool {
        store.is_durable() && store.saved(stream).is_some_and(|saved| at < saved)
    }

    /// Reads at most `most` bytes at `at`. An idle listener, which has nothing unconfirmed, gets a piece even
    /// if the limit is reached.
    pub(super) fn read<S: Store>(
        &self,
        store: &S,
        stream: StreamKey,
        at: u64,
        most: usize,
        is_idle: bool,
    ) -> Read {
        let is_read_back = Self::is_read_back(store, stream, at);
        if is_read_back && self.is_full() && !is_idle {
            return Read::NotNow;
        }
        match store.chunk(stream, at) {
            Ok(Some(mut chunk)) => {
                chunk.mark.len = chunk.mark.len.min(most);
                if is_read_back {
                    chunk = self.count(chunk);
                }
                chunk.payload.truncate(chunk.mark.len);
                Read::Chunk(chunk)
            }
            Ok(None) => Read::NotNow,
            Err(damaged) => Read::Damaged(damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::{CHUNK_OVERHEAD, MIN_SEND, RECORD};

    use super::*;

    #[test]
    fn pieces_end_where_records_do() {
        assert_eq!(RECORD as u64 + CHUNK_OVERHEAD, MIN_SEND);
        let reads = Reads::default();
        assert_eq!(reads.piece(), usize::MAX);
        reads.0.store(MOST / 2, Ordering::Relaxed);
        assert_eq!((reads.piece(), PIECE % RECORD), (PIECE, 0));
    }
}
