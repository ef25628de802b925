//! One pipe: its streams, its listeners, and the rules by which bytes get from streams to listeners.
//!
//! Rules 2–10 and 13 of "What a skypipe does" (`docs/semantics.md`) are implemented here and in the files
//! below, and nowhere else. This module knows streams and listeners by their keys. [`crate::broker`] owns
//! connections, credit and timeouts, and the store owns the bytes.
//!
//! # The life of a stream
//!
//! ```text
//!            open ──────────────┐ finish                    ┌─ claim ─> Claimed ─┐ listener gone
//!   (a --one waits: Claimed)    v                           │                    v
//!   (live listeners: Shared)  finished ── nobody takes it ─> free <──────────────┘
//!   (nobody: Shared, empty)     │                           │
//!                               └─ finish confirmed ──> gone <── all confirmed, or discarded
//! ```
//!
//! # The phases of a listener
//!
//! A `--one` without a stream is `Queued`, and becomes `Draining` once it has a stream. A default listener
//! that finds a finished stream is `Draining` from the start. Every other listener is `Live` and gets each
//! stream that opens. A live listener becomes `Draining` when its last stream finishes (default and tap only)
//! or when an `--eof` arrives. It is `Done` once the last item of its last cursor has been sent. Its
//! confirmation of that ends it.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod away;
mod ending;
mod joining;
mod listener;
mod offering;
mod reading;
mod recording;
mod restoring;
mod schedule;
mod stream;
mod tapping;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub use self::away::{Away, Return, Taken};
use self::listener::Listener;
pub use self::reading::Reads;
pub use self::recording::Changed;
use self::stream::Stream;
pub use self::writing::{Opening, Reopened};
use crate::protocol::{How, Outcome, PipeInfo};
use crate::store::{Damaged, StreamKey};

/// Time since the satellite started; the loop around supplies it.
pub type Now = Duration;

/// Identifies a listener inside the satellite. Listeners that joined later have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey(pub u64);

/// What work on a pipe needs, and where its effects go.
pub struct Context<'a, S> {
    /// The current time.
    pub now: Now,
    /// The store that holds the bytes.
    pub store: &'a mut S,
    /// What all pipes count together.
    pub totals: &'a mut Totals,
    /// The answer of the work: its effects, in order. The buffer is reused.
    pub effects: &'a mut Vec<Effect>,
}

impl<S> Context<'_, S> {
    fn change(&mut self, changed: Changed) {
        if self.totals.is_recorded {
            self.effects.push(Effect::Changed(changed));
        }
    }
}

/// What all pipes of a satellite count together.
#[derive(Debug, Default)]
pub struct Totals {
    /// The number of chunks and finishes that have arrived at this satellite.
    pub arrivals: u64,
    /// The current number of listener cursors.
    pub cursors: usize,
    /// The current cost of everything that taps hold.
    pub taps: u64,
    /// The maximum for `taps`. It never changes.
    pub taps_limit: u64,
    /// Whether changes are answered as [`Effect::Changed`]. It never changes.
    pub is_recorded: bool,
    /// The memory of bytes that were read back from disk and are still being sent.
    pub reads: Reads,
}

/// One effect of work on a pipe, for the broker to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The store has released chunks of this cost.
    Freed(u64),
    /// This has to be recorded.
    Changed(Changed),
    /// Bytes of a stream below this offset were released, because all its listeners confirmed them.
    Released(StreamKey, u64),
    /// A stream cannot be read back from this offset on, for this reason.
    Damaged(StreamKey, u64, Box<Damaged>),
    /// A stream is over.
    Gone(StreamKey, Outcome),
    /// A listener has confirmed its end.
    Ended(ListenerKey),
    /// A listener may have something to receive.
    Awake(ListenerKey),
}

/// How a stream finished, as a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The stream.
    pub stream: Uuid,
    /// The stream's length, in payload bytes.
    pub at: u64,
    /// How the stream finished.
    pub how: How,
    /// The name of the writer.
    pub label: String,
    /// If the stream had finished before this listener began: how many of its bytes others had read.
    pub before: u64,
    /// How many bytes a tap missed directly before the finish.
    pub missed: u64,
}

/// An item to send to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A chunk.
    Chunk {
        /// The chunk's stream.
        stream: Uuid,
        /// The chunk's offset in the stream.
        at: u64,
        /// How many bytes a tap missed directly before the chunk.
        missed: u64,
        /// The chunk's bytes.
        payload: Bytes,
    },
    /// A stream's finish.
    Ended(Ended),
    /// The listener's end.
    Done {
        /// How many bytes a tap missed and has not been told of.
        missed: u64,
        /// The signed order of the `--eof` that ended the listener, if one did.
        eof: Option<Bytes>,
    },
}

/// The next item for a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this item with this sequence number.
    Item(u64, Item),
    /// Send nothing before this time, unless something happens.
    Wait(Now),
    /// Send nothing, unless something happens.
    Nothing,
}

/// The error of a listener that resumes at an impossible sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSeq;

/// The streams and listeners of one name.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Boxed, as are the listeners: a map with a single entry allocates room for eleven.
    streams: BTreeMap<StreamKey, Box<Stream>>,
    /// Streams that have not finished.
    open: BTreeSet<StreamKey>,
    /// Finished streams without a listener.
    free: BTreeSet<StreamKey>,
    listeners: BTreeMap<ListenerKey, Box<Listener>>,
    /// `--one` listeners without a stream. The one that has waited longest is first.
    queue: BTreeSet<ListenerKey>,
    /// Streams that listeners get only after their end (`--whole`), and that have not ended.
    hidden: BTreeSet<StreamKey>,
    /// The number of payload bytes held, for all streams.
    kept: u64,
    /// Unused credit of the pipe's writers. The broker maintains this number.
    pub granted: u64,
}

/// Queries.
impl Pipe {
    /// Whether an `--eof` finds a listener and therefore need not wait (rule 6).
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.listeners
            .values()
            .any(|listener| listener.is_accepting() && !listener.is_tap())
    }

    /// The number of payload bytes held, for any listener.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// The number of streams that are open or waiting.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The number of payload bytes held of one stream.
    #[must_use]
    pub fn kept_of(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|stream| stream.kept())
    }

    /// The number of open streams. One more listener has a cursor in each of them.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// The number of listeners. One more stream has a cursor for each of them.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Whether the pipe has neither streams nor listeners and can be removed (rule 1).
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.listeners.is_empty()
    }

    /// The number of streams with unconfirmed data, and the number of unconfirmed bytes.
    #[must_use]
    pub fn waiting(&self) -> (u64, u64) {
        let seen = self.streams.iter();
        let seen = seen.filter(|(key, stream)| stream.waits() && !self.hidden.contains(*key));
        seen.fold((0, 0), |(streams, bytes), (_, stream)| {
            (streams + 1, bytes + stream.untaken())
        })
    }

    /// The pipe's entry in a listing. Only the broker knows whether the pipe is full, so `full` is false.
    #[must_use]
    pub fn info(&self, name: &str) -> PipeInfo {
        let (waiting, bytes) = self.waiting();
        PipeInfo {
            name: name.to_owned(),
            waiting,
            bytes,
            writers: (self.open.len() + self.hidden.len()) as u64,
            listeners: self.listeners.len() as u64,
            full: false,
        }
    }

    /// The listeners of a stream if there are any and all of them have confirmed everything that they were
    /// sent. Such a stream deserves a small window of its own when room is used up (rule 12).
    #[must_use]
    pub fn starving_takers(&self, key: StreamKey) -> Option<Vec<ListenerKey>> {
        let stream = self.streams.get(&key)?;
        let subscriptions = stream.subscriptions();
        let starves = |listener: &ListenerKey| {
            self.listeners
                .get(listener)
                .is_some_and(|one| one.is_starving())
        };
        (!subscriptions.is_empty() && subscriptions.iter().all(starves)).then_some(subscriptions)
    }

    /// Whether a stream has no listeners, not counting taps.
    #[must_use]
    pub fn is_free(&self, key: StreamKey) -> bool {
        self.streams.get(&key).is_none_or(|stream| stream.is_free())
    }

    /// The length of a finished stream, in payload bytes. None if the stream has not finished.
    #[must_use]
    pub fn len(&self, key: StreamKey) -> Option<u64> {
        let finish = self.streams.get(&key)?.finish.as_ref()?;
        Some(finish.len)
    }

    /// Whether a stream was cut.
    #[must_use]
    pub fn is_cut(&self, key: StreamKey) -> bool {
        let finish = self
            .streams
            .get(&key)
            .and_then(|stream| stream.finish.as_ref());
        finish.is_some_and(|finish| !finish.is_end())
    }

    /// The offset of the next byte of a stream to arrive.
    #[must_use]
    pub fn end(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|stream| stream.next)
    }
}
