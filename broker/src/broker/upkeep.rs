//! What memory everything takes that is no payload: connections, streams, listeners and what they have to do with
//! one another.
//!
//! Owns the prices, and what may be had of all of it together. Some megabytes of it come with the satellite; the
//! rest the memory budget pays for, up to three quarters of it, so that payloads always have a quarter. Whoever
//! would use more is refused, those that do not manage a little sooner. Never counts anything: the collections
//! know how long they are.

use super::{ABSENT_KEPT, Broker, MAX_CLIENTS, MAX_LISTENERS, MAX_STREAMS};
use crate::store::Store;

/// What comes with the satellite, in bytes.
const FREE: u64 = 8 << 20;

/// What a connection takes, in bytes (`benches/growth` measures some 35 KiB, for libzmq's queues and buffers
/// and for TLS).
const CONNECTION: u64 = 40 << 10;

/// What a stream takes, in bytes, with a pipe and a writer of its own and names of full length: a kibibyte (`cargo
/// test --test heavy` measures it), and the names.
const STREAM: u64 = 1536;

/// What a listener takes, in bytes, with a pipe of its own.
const LISTENER: u64 = 1 << 10;

/// What a listener's part in a stream takes, in bytes.
const FEED: u64 = 256;

/// What is kept of a writer or a listener that may come back, in bytes.
const ABSENT: u64 = 1 << 10;

/// What is kept for those who manage: one part in so many.
const KEPT: u64 = 8;

/// Something that takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Clients,
    Listeners,
    Streams,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Clients => "connections",
            Self::Listeners => "listeners",
            Self::Streams => "streams",
        }
    }

    fn price(self) -> u64 {
        match self {
            Self::Clients => CONNECTION,
            Self::Listeners => LISTENER,
            Self::Streams => STREAM,
        }
    }
}

/// All that may be used for what is no payload, with a budget of so many bytes.
const fn most(budget: u64) -> u64 {
    FREE + budget / 4 * 3
}

/// The most clients that a satellite with a budget of so many bytes serves, however many descriptors there are.
#[must_use]
pub fn most_clients(budget: u64) -> usize {
    at_most(budget, Kind::Clients, MAX_CLIENTS)
}

fn at_most(budget: u64, kind: Kind, most_ever: usize) -> usize {
    usize::try_from(most(budget) / kind.price()).map_or(most_ever, |most| most.min(most_ever))
}

impl<S: Store> Broker<S> {
    /// The most that there may be of something, if there is nothing else.
    pub(super) fn most(&self, kind: Kind) -> usize {
        match kind {
            Kind::Clients => self.settings.clients,
            Kind::Listeners => at_most(self.settings.memory, kind, MAX_LISTENERS),
            Kind::Streams => at_most(self.settings.memory, kind, MAX_STREAMS),
        }
    }

    /// What is used for what is no payload, in bytes.
    fn upkeep(&self) -> u64 {
        let streams = self.streams.len().max(self.writers.len()) as u64;
        self.clients.connected() as u64 * CONNECTION
            + streams * STREAM
            + self.takers.len() as u64 * LISTENER
            + self.effects.feeds as u64 * FEED
            + self.absent.len().min(ABSENT_KEPT) as u64 * ABSENT
    }

    /// What of it the budget pays for, in bytes.
    pub(super) fn upkeep_of_budget(&self) -> u64 {
        self.upkeep()
            .saturating_sub(FREE)
            .min(self.settings.memory / 4 * 3)
    }

    /// Whether there is memory for one more of something, and so many feeds with it. One that does not manage
    /// leaves some to those who do.
    pub(super) fn has_memory_for(&self, kind: Kind, feeds: usize, manages: bool) -> bool {
        let most = most(self.settings.memory);
        let most = if manages { most } else { most - most / KEPT };
        self.upkeep() + kind.price() + feeds as u64 * FEED <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_budget_is_enough_for_a_thousand_clients_and_a_large_one_for_ten_thousand() {
        assert_eq!(most_clients(64 << 20), 1433);
        assert_eq!(most_clients(1 << 30), MAX_CLIENTS);
        assert_eq!(most_clients(4 << 20), 281);
    }
}
