//! A store that holds everything in memory and loses it with the process.

use std::collections::{HashMap, VecDeque};

use super::{Chunk, Damaged, DiskUse, Mark, Record, Store, StreamKey, WriteError};
use crate::protocol::cost;

/// Chunks in memory.
#[derive(Debug, Default)]
pub struct Memory {
    streams: HashMap<StreamKey, Kept>,
}

/// What is held of one stream.
#[derive(Debug, Default)]
struct Kept {
    chunks: VecDeque<Chunk>,
}

impl Kept {
    /// The chunk that contains the byte at `at`.
    fn get(&self, at: u64) -> Option<&Chunk> {
        let index = self.chunks.partition_point(|chunk| chunk.mark.end() <= at);
        self.chunks.get(index).filter(|chunk| chunk.mark.at <= at)
    }

    fn release(&mut self, at: u64) -> u64 {
        let mut freed = 0;
        while let Some(chunk) = self.chunks.front().filter(|chunk| chunk.mark.end() <= at) {
            freed += cost(chunk.payload.len());
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            // A stream that once had a long backlog must not keep its long list allocated for ever.
            self.chunks.shrink_to(16);
        }
        freed
    }
}

/// The rest of a chunk from the byte at `at` on.
pub(super) fn from(chunk: &Chunk, at: u64) -> Chunk {
    let mark = chunk.mark.from(at);
    let payload = chunk.payload.slice(chunk.payload.len() - mark.len..);
    Chunk { payload, mark }
}

impl Store for Memory {
    fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        self.streams
            .entry(stream)
            .or_default()
            .chunks
            .push_back(chunk);
    }

    fn mark(&self, stream: StreamKey, at: u64) -> Option<Mark> {
        let chunk = self.streams.get(&stream)?.get(at)?;
        Some(chunk.mark.from(at))
    }

    fn chunk(&self, stream: StreamKey, at: u64) -> Result<Option<Chunk>, Damaged> {
        let kept = self.streams.get(&stream);
        let chunk = kept.and_then(|kept| kept.get(at));
        Ok(chunk.map(|chunk| from(chunk, at)))
    }

    fn release(&mut self, stream: StreamKey, at: u64) -> u64 {
        self.streams
            .get_mut(&stream)
            .map_or(0, |kept| kept.release(at))
    }

    fn remove(&mut self, stream: StreamKey) -> u64 {
        self.streams
            .remove(&stream)
            .map_or(0, |mut kept| kept.release(u64::MAX))
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn save(&mut self, _: StreamKey) -> Result<u64, WriteError> {
        Ok(0)
    }

    fn saved(&self, stream: StreamKey) -> Option<u64> {
        let first = self.streams.get(&stream)?.chunks.front()?;
        Some(first.mark.at)
    }

    fn put(&mut self, _: &Record) {}

    fn flush(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    fn written(&self) -> u64 {
        0
    }

    fn synced(&self) -> u64 {
        0
    }

    fn sync(&mut self) {}

    fn wants_checkpoint(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: &mut dyn Iterator<Item = Record>) -> Result<(), WriteError> {
        Ok(())
    }

    fn disk(&self) -> Option<DiskUse> {
        None
    }

    fn kept(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(at: u64, text: &'static str) -> Chunk {
        let mark = Mark {
            tail: 0,
            arrival: 0,
            at,
            len: text.len(),
        };
        Chunk {
            payload: Bytes::from_static(text.as_bytes()),
            mark,
        }
    }

    #[test]
    fn chunks_are_found_by_any_of_their_bytes_while_earlier_ones_go() {
        let (mut store, stream) = (Memory::default(), StreamKey(1));
        for (at, text) in [(0, "a"), (1, "bb"), (3, "ccc")] {
            store.append(stream, chunk(at, text));
        }
        assert_eq!(store.release(stream, 4), cost(1) + cost(2));
        assert_eq!(store.chunk(stream, 2), Ok(None));
        assert_eq!(store.chunk(stream, 3), Ok(Some(chunk(3, "ccc"))));
        assert_eq!(store.chunk(stream, 5), Ok(Some(chunk(5, "c"))));
        assert_eq!(store.chunk(stream, 6), Ok(None));
        assert_eq!(store.remove(stream), cost(3));
        assert_eq!(store.mark(stream, 3), None);
    }
}
