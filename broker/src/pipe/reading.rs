//! Bytes of a stream, from wherever they lie, and how many of those that were read back from disk are
//! on their way to listeners.
//!
//! What lies in memory anyway is shared, and counted where it was taken in. What is read back is
//! memory of its own until the connection has taken it, so there is a bound to it: a listener that
//! does not read is soon given up, and until then the others go on in small pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::protocol::PIECE;
use crate::store::{Chunk, Damaged, Store, StreamKey};

/// The most that may be on its way, in bytes.
const MOST: u64 = 16 << 20;

/// What was read back and is on its way, in bytes.
#[derive(Debug, Clone, Default)]
pub struct Reads(Arc<AtomicU64>);

/// Bytes that are counted for as long as anybody holds them.
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

/// What came of an attempt to read.
pub(super) enum Read {
    /// A chunk, or a piece of one.
    Chunk(Chunk),
    /// Too much is on its way, or the system has no means to read just now.
    NotNow,
    /// Nothing can be read there any more.
    Damaged(Damaged),
}

impl Reads {
    /// Whether as much is on its way as may be.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MOST
    }

    /// How long the next piece may be that is read back: short ones once half of [`MOST`] is on its way.
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

    /// Whether the byte at `at` has to be read back.
    pub(super) fn is_read_back<S: Store>(store: &S, stream: StreamKey, at: u64) -> bool {
        store.is_durable() && store.saved(stream).is_some_and(|saved| at < saved)
    }

    /// The bytes at `at`, `most` of them at most. Who is idle, with nothing unconfirmed, gets a piece
    /// however much is on its way to others.
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
    use crate::protocol::{CHUNK_OVERHEAD, RECORD, SCRAP};

    use super::*;

    #[test]
    fn pieces_end_where_records_do() {
        assert_eq!(RECORD as u64 + CHUNK_OVERHEAD, SCRAP);
        let reads = Reads::default();
        assert_eq!(reads.piece(), usize::MAX);
        reads.0.store(MOST / 2, Ordering::Relaxed);
        assert_eq!((reads.piece(), PIECE % RECORD), (PIECE, 0));
    }
}
