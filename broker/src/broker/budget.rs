//! The memory budget, and the credit given out of it (rule 12).
//!
//! The budget covers held payloads and unused credit. A reserve lies beyond the budget. Only writers whose
//! listeners have nothing left to receive get a small window from the reserve, so that a full pipe can always
//! be drained. This module keeps the sums: which writer is given credit is decided in
//! `streams::credit`, and whether one more stream fits in `room`.

pub(super) mod inflow;
pub(super) mod shares;
pub(super) mod upkeep;

use crate::protocol::{MAX_CHUNK, cost};

/// The reserve beyond the budget, in bytes, for streams that are being drained.
const RESERVE: u64 = 16 << 20;

/// The window from the reserve for one stream, in bytes. It is smaller (`OWN_WINDOW_OF_MANY`) where there are
/// `MANY` listeners or more.
const OWN_WINDOW: u64 = 64 << 10;
const OWN_WINDOW_OF_MANY: u64 = 8 << 10;
const MANY: usize = 100;

/// How many waiting writers `grant` looks at in one call. The number exceeds the messages handled between two
/// calls, so that new writers do not arrive faster than they are served.
pub(in crate::broker) const ASKED_AT_ONCE: usize = 256;

/// How much all taps together may hold beyond the budget, in bytes. A small budget lowers this limit, but
/// there is always room for the chunk being sent and the next one.
const TAPS: u64 = 8 << 20;

/// The memory budget.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    budget: u64,
    /// Budget used for anything but payloads, in bytes.
    upkeep: u64,
    /// The cost of all held payloads.
    held: u64,
    /// Credit that was given and has not been used.
    granted: u64,
    /// Whether room was freed or credit was requested since the last grants.
    changed: bool,
    /// How many of the waiting writers have not been looked at since then.
    unasked: usize,
    /// How often a waiting writer was looked at.
    #[cfg(test)]
    looks: usize,
}

impl MemoryBudget {
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            upkeep: 0,
            held: 0,
            granted: 0,
            changed: false,
            unasked: 0,
            #[cfg(test)]
            looks: 0,
        }
    }

    pub fn used(&self) -> u64 {
        self.held + self.granted
    }

    pub fn taps(&self) -> u64 {
        TAPS.min(self.budget / 8).max(2 * cost(MAX_CHUNK))
    }

    /// How much credit may still be given to anyone.
    pub fn left(&self) -> u64 {
        (self.budget - self.upkeep).saturating_sub(self.used())
    }

    /// Sets the budget used for anything but payloads.
    pub fn note_upkeep(&mut self, bytes: u64) {
        self.upkeep = bytes.min(self.budget);
    }

    /// Whether less than half of the budget for payloads is left.
    pub fn is_short(&self) -> bool {
        self.left() < (self.budget - self.upkeep) / 2
    }

    /// How much credit may still be given to writers whose streams are being drained.
    pub fn left_in_reserve(&self) -> u64 {
        let most = self.budget - self.upkeep + RESERVE.min(self.budget / 4);
        most.saturating_sub(self.used())
    }

    /// The size of one stream's window from the reserve, where there are this many listeners.
    pub fn own_window(&self, listeners: usize) -> u64 {
        let window = if listeners < MANY {
            OWN_WINDOW
        } else {
            OWN_WINDOW_OF_MANY
        };
        window.min(self.budget / 16)
    }

    pub fn grant(&mut self, amount: u64) {
        self.granted += amount;
    }

    /// Takes back unused credit.
    pub fn withdraw(&mut self, amount: u64) {
        self.granted = self.granted.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// Counts a chunk that arrived. `granted` says whether the writer had credit for it.
    pub fn hold(&mut self, amount: u64, granted: bool) {
        self.held += amount;
        if granted {
            self.granted = self.granted.saturating_sub(amount);
        }
    }

    /// Counts chunks that were released.
    pub fn free(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// Whether some waiting writers still have to be looked at.
    pub fn is_to_be_given(&self) -> bool {
        self.unasked > 0
    }

    /// Makes the next `grant` look at all waiting writers again.
    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// Starts to look at the waiting writers, of whom there are so many. Returns how many are to be looked at
    /// in this round.
    pub fn start_round(&mut self, waiting: usize) -> usize {
        if std::mem::take(&mut self.changed) {
            self.unasked = waiting;
        }
        ASKED_AT_ONCE.min(self.unasked)
    }

    /// Notes that a waiting writer is looked at.
    pub fn note_look(&mut self) {
        self.unasked -= 1;
        #[cfg(test)]
        {
            self.looks += 1;
        }
    }

    /// How often a waiting writer was looked at.
    #[cfg(test)]
    pub fn looks(&self) -> usize {
        self.looks
    }
}
