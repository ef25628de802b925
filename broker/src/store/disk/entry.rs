//! What the index knows of one saved chunk.

use super::frame::{LONG, Place};
use crate::store::Mark;

/// The cost of a saved chunk: the size of its index entry, including spare capacity of the list.
pub const INDEX_COST: u64 = 64;

/// A saved chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    at: u64,
    tail: u64,
    arrival: u64,
    position: u64,
    segment: u32,
    /// The chunk's length. The highest bit says whether the entry's cost was charged.
    len: u32,
}

/// The bit of [`Entry::len`] that says that its room was paid for. No chunk is that long.
const PAID: u32 = 1 << 31;

impl Entry {
    /// A chunk saved at `place`. A chunk found by recovery was not charged to anybody.
    #[must_use]
    pub fn new(mark: Mark, place: Place, is_paid: bool) -> Self {
        // Bodies are at most `MAX_BODY` long.
        let len = u32::try_from(mark.len).unwrap_or(PAID - 1) & !PAID;
        Self {
            at: mark.at,
            tail: mark.tail,
            arrival: mark.arrival,
            position: place.position,
            segment: place.segment,
            len: if is_paid { len | PAID } else { len },
        }
    }

    /// The chunk's metadata.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            tail: self.tail,
            arrival: self.arrival,
            at: self.at,
            len: (self.len & !PAID) as usize,
        }
    }

    /// The position of the chunk's entry in the log.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            segment: self.segment,
            position: self.position,
        }
    }

    /// Moves the chunk's entry to another position in the log.
    pub fn move_to(&mut self, place: Place) {
        (self.segment, self.position) = (place.segment, place.position);
    }

    /// The chunk's offset in the stream.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The offset just after the chunk.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at + u64::from(self.len & !PAID)
    }

    /// The size of the chunk's entry in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        LONG as u64 + u64::from(self.len & !PAID)
    }

    /// The cost that was charged for the entry and will be freed.
    #[must_use]
    pub fn charge(&self) -> u64 {
        if self.len & PAID == 0 { 0 } else { INDEX_COST }
    }
}
