//! The store that keeps everything in memory and loses it with the process.

use std::collections::{HashMap, VecDeque};

use super::{Chunk, Mark, Store, StreamKey};
use crate::protocol::cost;

/// Chunks in memory.
#[derive(Debug, Default)]
pub struct Memory {
    streams: HashMap<StreamKey, Kept>,
}

/// What is kept of one stream: its chunks from number `base` on.
#[derive(Debug, Default)]
struct Kept {
    base: u64,
    chunks: VecDeque<Chunk>,
}

impl Kept {
    fn get(&self, seq: u64) -> Option<&Chunk> {
        let index = usize::try_from(seq.checked_sub(self.base)?).ok()?;
        self.chunks.get(index)
    }

    fn release(&mut self, seq: u64) -> u64 {
        let mut freed = 0;
        while self.base < seq
            && let Some(chunk) = self.chunks.pop_front()
        {
            freed += cost(chunk.payload.len());
            self.base += 1;
        }
        if self.chunks.is_empty() {
            // A stream that once waited long must not hold the room of its list for ever.
            self.chunks.shrink_to(16);
        }
        freed
    }
}

impl Store for Memory {
    fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        self.streams
            .entry(stream)
            .or_default()
            .chunks
            .push_back(chunk);
    }

    fn chunk(&self, stream: StreamKey, seq: u64) -> Option<Chunk> {
        self.streams.get(&stream)?.get(seq).cloned()
    }

    fn mark(&self, stream: StreamKey, seq: u64) -> Option<Mark> {
        Some(self.streams.get(&stream)?.get(seq)?.mark)
    }

    fn release(&mut self, stream: StreamKey, seq: u64) -> u64 {
        self.streams
            .get_mut(&stream)
            .map_or(0, |kept| kept.release(seq))
    }

    fn remove(&mut self, stream: StreamKey) -> u64 {
        self.streams
            .remove(&stream)
            .map_or(0, |mut kept| kept.release(u64::MAX))
    }

    fn kept(&self) -> &'static str {
        "memory"
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(text: &'static str) -> Chunk {
        let mark = Mark {
            tail: 0,
            arrival: 0,
            offset: 0,
            len: text.len(),
        };
        Chunk {
            payload: Bytes::from_static(text.as_bytes()),
            mark,
        }
    }

    #[test]
    fn chunks_keep_their_numbers_when_earlier_ones_go() {
        let (mut store, stream) = (Memory::default(), StreamKey(1));
        for text in ["a", "bb", "ccc"] {
            store.append(stream, chunk(text));
        }
        assert_eq!(store.release(stream, 2), cost(1) + cost(2));
        assert_eq!(store.chunk(stream, 1), None);
        assert_eq!(store.chunk(stream, 2), Some(chunk("ccc")));
        assert_eq!(store.remove(stream), cost(3));
        assert_eq!(store.mark(stream, 2), None);
    }
}
