//! The in-memory index of every chunk: the position of saved chunks, and the chunks that are not saved yet.
//!
//! This module owns the cost of each chunk, so that everything charged by [`append`](Index::append) is freed
//! exactly once. It never reads or writes a file.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};

use super::entry::Entry;
use super::frame::Place;
use super::segments::Segments;
use crate::protocol::{PIECE, cost};
use crate::store::{Chunk, Mark, StreamKey};

/// Chunks shorter than this, in bytes, are worth merging.
pub const SMALL: usize = 4 << 10;

/// The number of consecutive small chunks that are merged. Fewer are merged if they fill a [`PIECE`].
pub const RUN: usize = 256;

/// The location of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'a> {
    /// In the log.
    Saved(Entry),
    /// In memory.
    Memory(&'a Chunk),
}

/// The chunks of one stream.
#[derive(Debug, Default)]
struct Kept {
    saved: VecDeque<Entry>,
    memory: VecDeque<Chunk>,
    /// Bytes below this offset were released, or were never here.
    floor: u64,
    /// The number of small chunks at the end of `saved`, and (`run_bytes`) their total length.
    run: u32,
    run_bytes: u32,
}

#[derive(Debug, Default)]
pub struct Index {
    streams: HashMap<StreamKey, Kept>,
}

impl Kept {
    fn push(&mut self, entry: Entry) {
        if self.saved.len() == self.saved.capacity() {
            // Doubling would leave up to half of a long list empty, and nobody pays for that.
            self.saved.reserve_exact((self.saved.len() / 2).max(1));
        }
        let is_small = entry.mark().len < SMALL;
        if is_small {
            self.run += 1;
            let len = u32::try_from(entry.mark().len).unwrap_or(u32::MAX);
            self.run_bytes = self.run_bytes.saturating_add(len);
        } else {
            (self.run, self.run_bytes) = (0, 0);
        }
        self.saved.push_back(entry);
    }

    fn saved_end(&self) -> u64 {
        self.saved.back().map_or(self.floor, Entry::end)
    }

    fn release(&mut self, at: u64, segments: &mut Segments) -> u64 {
        let mut freed = 0;
        while let Some(entry) = self.saved.front().filter(|entry| entry.end() <= at) {
            freed += entry.charge();
            self.floor = self.floor.max(entry.end());
            segments.release(entry);
            self.saved.pop_front();
        }
        while self.saved.is_empty()
            && let Some(chunk) = self.memory.front().filter(|chunk| chunk.mark.end() <= at)
        {
            freed += cost(chunk.payload.len());
            self.floor = self.floor.max(chunk.mark.end());
            self.memory.pop_front();
        }
        // A stream that once had a long backlog must not keep its long lists allocated for ever.
        if self.saved.len() < self.saved.capacity() / 4 {
            self.saved.shrink_to(self.saved.len() * 2);
        }
        if self.memory.is_empty() {
            self.memory.shrink_to(4);
        }
        freed
    }
}

impl Index {
    /// Adds a chunk in memory.
    pub fn append(&mut self, stream: StreamKey, chunk: Chunk) {
        let kept = match self.streams.entry(stream) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(Kept {
                floor: chunk.mark.at,
                ..Kept::default()
            }),
        };
        kept.memory.push_back(chunk);
    }

    /// The location of the chunk that contains the byte at `at`.
    #[must_use]
    pub fn find(&self, stream: StreamKey, at: u64) -> Option<Location<'_>> {
        let kept = self.streams.get(&stream)?;
        if at < kept.saved_end() {
            let after = kept.saved.partition_point(|entry| entry.at() <= at);
            let entry = kept.saved.get(after.checked_sub(1)?)?;
            (at < entry.end()).then_some(Location::Saved(*entry))
        } else {
            let after = kept.memory.partition_point(|chunk| chunk.mark.at <= at);
            let chunk = kept.memory.get(after.checked_sub(1)?)?;
            (at < chunk.mark.end()).then_some(Location::Memory(chunk))
        }
    }

    /// Releases everything below `at`. Returns the freed cost.
    pub fn release(&mut self, stream: StreamKey, at: u64, segments: &mut Segments) -> u64 {
        let kept = self.streams.get_mut(&stream);
        kept.map_or(0, |kept| kept.release(at, segments))
    }

    /// Removes a stream. Returns the freed cost.
    pub fn remove(&mut self, stream: StreamKey, segments: &mut Segments) -> u64 {
        let kept = self.streams.remove(&stream);
        kept.map_or(0, |mut kept| kept.release(u64::MAX, segments))
    }

    /// The offset below which a stream's bytes are saved or released.
    #[must_use]
    pub fn saved(&self, stream: StreamKey) -> Option<u64> {
        let kept = self.streams.get(&stream)?;
        let first = kept.memory.front().map(|chunk| chunk.mark.at);
        Some(first.unwrap_or_else(|| kept.saved_end()))
    }

    /// The oldest chunk that a stream has in memory.
    #[must_use]
    pub fn oldest(&self, stream: StreamKey) -> Option<&Chunk> {
        self.streams.get(&stream)?.memory.front()
    }

    /// Notes that the oldest chunk in memory was saved at `place`. Returns the freed cost.
    pub fn move_oldest(&mut self, stream: StreamKey, place: Place, segments: &mut Segments) -> u64 {
        let Some(kept) = self.streams.get_mut(&stream) else {
            return 0;
        };
        let Some(chunk) = kept.memory.pop_front() else {
            return 0;
        };
        let entry = Entry::new(chunk.mark, place, true);
        segments.keep(&entry);
        kept.push(entry);
        if kept.memory.is_empty() {
            kept.memory.shrink_to(0);
        }
        cost(chunk.payload.len()).saturating_sub(entry.charge())
    }

    /// The last saved chunks of a stream, if they are many and small.
    pub fn take_run(&mut self, stream: StreamKey) -> Option<Vec<Entry>> {
        let kept = self.streams.get_mut(&stream)?;
        let run = kept.saved.len().min(kept.run as usize);
        if run < RUN && (kept.run_bytes as usize) + SMALL <= PIECE {
            return None;
        }
        // The count starts again even if the chunks cannot be merged, so that not every chunk causes an
        // attempt.
        (kept.run, kept.run_bytes) = (0, 0);
        // At most one piece, so that it is never cut where no chunk ended.
        let mut room = PIECE;
        let fits = |entry: &&Entry| {
            let len = entry.mark().len;
            room.checked_sub(len).inspect(|left| room = *left).is_some()
        };
        let last = kept.saved.iter().rev().take(run);
        let run = last.take_while(fits).count();
        if run < 2 {
            return None;
        }
        let entries: Vec<_> = kept
            .saved
            .range(kept.saved.len() - run..)
            .copied()
            .collect();
        let is_whole = entries.windows(2).all(|two| two[0].end() == two[1].at());
        is_whole.then_some(entries)
    }

    /// Replaces the last `count` entries by one. Returns the freed cost.
    pub fn merge(
        &mut self,
        stream: StreamKey,
        count: usize,
        mark: Mark,
        place: Place,
        segments: &mut Segments,
    ) -> u64 {
        let Some(kept) = self.streams.get_mut(&stream) else {
            return 0;
        };
        let from = kept.saved.len().saturating_sub(count);
        let mut charged = 0;
        for entry in kept.saved.drain(from..) {
            charged += entry.charge();
            segments.release(&entry);
        }
        let entry = Entry::new(mark, place, charged > 0);
        segments.keep(&entry);
        kept.push(entry);
        charged - entry.charge()
    }

    /// Notes that a chunk moved. Does nothing if the chunk was not at `from`.
    pub fn relocate(
        &mut self,
        stream: StreamKey,
        at: u64,
        from: Place,
        to: Place,
        segments: &mut Segments,
    ) {
        let Some(entry) = self.exact(stream, at, from) else {
            return;
        };
        segments.release(entry);
        entry.move_to(to);
        segments.keep(entry);
    }

    /// The metadata of the chunk that begins at `at`, if that chunk is the one at `place`.
    #[must_use]
    pub fn lies_at(&mut self, stream: StreamKey, at: u64, place: Place) -> Option<Mark> {
        self.exact(stream, at, place).map(|entry| entry.mark())
    }

    fn exact(&mut self, stream: StreamKey, at: u64, place: Place) -> Option<&mut Entry> {
        let kept = self.streams.get_mut(&stream)?;
        let index = kept.saved.binary_search_by_key(&at, Entry::at).ok()?;
        let entry = kept.saved.get_mut(index)?;
        (entry.place() == place).then_some(entry)
    }

    /// Adds a chunk found in the log. It replaces all earlier chunks that it covers.
    pub fn find_again(&mut self, stream: StreamKey, entry: Entry) {
        let kept = self.streams.entry(stream).or_default();
        if kept.saved_end() <= entry.at() {
            kept.push(entry);
            return;
        }
        let from = kept.saved.partition_point(|old| old.at() < entry.at());
        let to = kept.saved.partition_point(|old| old.at() < entry.end());
        let before = from.checked_sub(1).and_then(|index| kept.saved.get(index));
        if before.is_some_and(|before| before.end() >= entry.end()) {
            // An earlier chunk contains all of this one, and a stream's bytes never change.
            return;
        }
        kept.saved.drain(from..to);
        kept.saved.insert(from, entry);
    }

    /// Forgets a stream that was found in the log.
    pub fn forget(&mut self, stream: StreamKey) {
        self.streams.remove(&stream);
    }

    /// The streams of which chunks were found.
    #[must_use]
    pub fn found(&self) -> Vec<StreamKey> {
        let mut found: Vec<_> = self.streams.keys().copied().collect();
        found.sort_unstable();
        found
    }

    /// Reduces a recovered stream to its bytes from `needed` up to the first gap. Returns the offset of that
    /// gap or end, and the offset at which bytes continue after a gap.
    pub fn settle(
        &mut self,
        stream: StreamKey,
        needed: u64,
        segments: &mut Segments,
    ) -> (u64, Option<u64>) {
        let Some(kept) = self.streams.get_mut(&stream) else {
            return (needed, None);
        };
        kept.saved.retain(|entry| entry.end() > needed);
        kept.floor = needed;
        let mut end = needed;
        let mut whole = 0;
        for entry in &kept.saved {
            if entry.at() > end {
                break;
            }
            end = entry.end();
            whole += 1;
        }
        let behind = kept.saved.get(whole).map(Entry::at);
        kept.saved.truncate(whole);
        kept.saved.shrink_to_fit();
        for entry in &kept.saved {
            segments.keep(entry);
        }
        (kept.run, kept.run_bytes) = (0, 0);
        if kept.saved.is_empty() {
            self.streams.remove(&stream);
        }
        (end, behind)
    }

    /// The approximate memory use in bytes, without payloads.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let slots = self.streams.capacity() * (size_of::<(StreamKey, Kept)>() + 1) * 8 / 7;
        let lists = self.streams.values().map(|kept| {
            kept.saved.capacity() * size_of::<Entry>() + kept.memory.capacity() * size_of::<Chunk>()
        });
        slots + lists.sum::<usize>()
    }
}
