//! The memory used by everything except payloads: connections, streams, listeners and their cursors.
//!
//! This module owns the price of each thing and the limit for all of them together. The first megabytes come
//! with the satellite. The memory budget pays for the rest, up to three quarters of the budget, so payloads
//! always have a quarter. Requests beyond the limit are refused, a little earlier for keys that may not
//! manage. This module never counts anything: the collections know their lengths.

use crate::interface::Settings;

/// The maximum number of clients, however large the memory budget. The event loop's fairness relies on this
/// limit.
const MAX_CLIENTS: usize = 10_000;

/// The maximum number of streams that are open or waiting, however large the memory budget.
pub(in crate::broker) const MAX_STREAMS: usize = 100_000;

/// The maximum number of listeners, however large the memory budget. It is twice the maximum number of
/// clients, and most clients have one listener.
pub(in crate::broker) const MAX_LISTENERS: usize = 20_000;

/// The maximum number of listener cursors, however large the memory budget. A listener has one cursor per
/// stream: a thousand listeners of two hundred writers' streams reach this limit.
pub(in crate::broker) const MAX_CURSORS: usize = 200_000;

/// Memory that does not count against the budget, in bytes.
const FREE: u64 = 8 << 20;

/// The price of a connection, in bytes. `benches/growth` measures about 35 KiB, for the queues and buffers of
/// libzmq and for TLS.
const CONNECTION: u64 = 40 << 10;

/// The price of a stream, in bytes, with its own pipe, its own writer and names of full length: a kibibyte
/// (measured by `cargo test --test it heavy`) plus the names.
const STREAM: u64 = 1536;

/// The price of a listener with its own pipe, in bytes.
const LISTENER: u64 = 1 << 10;

/// The price of a listener's cursor in a stream, in bytes.
const CURSOR: u64 = 256;

/// The price of an absent writer or listener, in bytes.
const ABSENT: u64 = 1 << 10;

/// Keys that may manage have one part in this many to themselves.
pub(in crate::broker) const KEPT: usize = 8;

/// A kind of thing that takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Kind {
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

/// The maximum memory for everything except payloads, with a budget of this many bytes.
const fn most(budget: u64) -> u64 {
    FREE + budget / 4 * 3
}

/// The maximum number of clients with a budget of this many bytes, however many file descriptors there are.
#[must_use]
pub fn most_clients(budget: u64) -> usize {
    at_most(budget, Kind::Clients, MAX_CLIENTS)
}

fn at_most(budget: u64, kind: Kind, most_ever: usize) -> usize {
    usize::try_from(most(budget) / kind.price()).map_or(most_ever, |most| most.min(most_ever))
}

/// The numbers of all things that take memory.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Census {
    /// Connections.
    pub connected: usize,
    /// Clients that are not away.
    pub present: usize,
    /// Streams, or their writers if there are more of them.
    pub streams: usize,
    pub listeners: usize,
    pub cursors: usize,
    pub absent: usize,
}

impl Census {
    /// The number of things of one kind.
    pub fn number_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Clients => self.present,
            Kind::Listeners => self.listeners,
            Kind::Streams => self.streams,
        }
    }

    /// The memory used by all of them, in bytes.
    fn upkeep(&self) -> u64 {
        self.connected as u64 * CONNECTION
            + self.streams as u64 * STREAM
            + self.listeners as u64 * LISTENER
            + self.cursors as u64 * CURSOR
            + self.absent as u64 * ABSENT
    }

    /// The part of that memory which a budget of this many bytes pays for, in bytes.
    pub fn upkeep_of_budget(&self, budget: u64) -> u64 {
        self.upkeep().saturating_sub(FREE).min(budget / 4 * 3)
    }

    /// Whether a budget of this many bytes has memory for one more thing of this kind and this many cursors.
    /// A key that may not manage must leave the part kept for those that may.
    pub fn has_memory_for(&self, kind: Kind, cursors: usize, manages: bool, budget: u64) -> bool {
        let most = most(budget);
        let most = if manages {
            most
        } else {
            most - most / KEPT as u64
        };
        self.upkeep() + kind.price() + cursors as u64 * CURSOR <= most
    }
}

/// The maximum number of things of one kind, if there is nothing else.
pub(in crate::broker) fn most_of(kind: Kind, settings: &Settings) -> usize {
    match kind {
        Kind::Clients => settings.clients,
        Kind::Listeners => at_most(settings.memory, kind, MAX_LISTENERS),
        Kind::Streams => at_most(settings.memory, kind, MAX_STREAMS),
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
