//! One pipe: its streams, its listeners, and the rules by which the ones reach the others.
//!
//! Rules 2–10 and 13 of the README's "What a skypipe does" live here and in the files below, and
//! only there. They know streams and listeners by keys; connections, credit and time-outs are [`crate::broker`]'s,
//! bytes the store's.
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
//! `Queued` (a `--one` without a stream) → `Draining` once it has one. A default listener that finds
//! a finished stream is `Draining` from the start; every other is `Live`, gets each stream that
//! opens, and becomes `Draining` by its last finish (default, tap) or an `--eof`. When the last item
//! of the last feed has been sent it is `Done`; the confirmation of that ends it.

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

use bytes::Bytes;
use uuid::Uuid;

pub use self::away::{Away, Return, Taken};
use self::listener::Listener;
pub use self::reading::Reads;
pub use self::recording::Changed;
use self::stream::Stream;
pub use self::writing::{Opening, Reopened};
use crate::broker::Now;
use crate::protocol::{How, Outcome, PipeInfo};
use crate::store::{Damaged, StreamKey};

/// A listener's name inside the satellite: its place in the order in which listeners joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey(pub u64);

/// What a pipe works with, and what it tells of its work.
pub struct Context<'a, S> {
    /// The time.
    pub now: Now,
    /// Where the bytes lie.
    pub store: &'a mut S,
    /// What came of it.
    pub effects: &'a mut Effects,
}

/// What came of work on pipes, for the broker to act on.
#[derive(Debug, Default)]
pub struct Effects {
    /// How many chunks and finishes have arrived at this satellite.
    pub arrivals: u64,
    /// The cost of chunks that the store has let go.
    pub freed: u64,
    /// How many parts listeners have in streams.
    pub feeds: usize,
    /// The cost of what taps hold.
    pub taps: u64,
    /// What taps may hold.
    pub taps_limit: u64,
    /// Streams that are over, with what became of them.
    pub gone: Vec<(StreamKey, Outcome)>,
    /// Listeners that may have something to be sent.
    pub awake: Vec<ListenerKey>,
    /// Listeners that confirmed their end.
    pub ended: Vec<ListenerKey>,
    /// Whether it is to be noted what has changed.
    pub is_recorded: bool,
    /// What was read back from disk and is on its way.
    pub reads: Reads,
    /// Whether something could not be read back just now.
    pub is_short: bool,
    /// Streams that cannot be read back from some place on, and why.
    pub damaged: Vec<(StreamKey, u64, Damaged)>,
    /// What is to be recorded.
    pub changed: Vec<Changed>,
    /// Streams of which bytes were let go, and up to where.
    pub released: Vec<(StreamKey, u64)>,
}

impl Effects {
    fn change(&mut self, changed: Changed) {
        if self.is_recorded {
            self.changed.push(changed);
        }
    }
}

/// How a stream finished, as a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The stream.
    pub stream: Uuid,
    /// Payload bytes before its finish.
    pub at: u64,
    /// How.
    pub how: How,
    /// Who wrote it.
    pub label: String,
    /// Bytes that others had before this listener began, if it had finished then.
    pub before: u64,
    /// Bytes that a tap missed right before the finish.
    pub missed: u64,
}

/// Something to send to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A chunk.
    Chunk {
        /// Its stream.
        stream: Uuid,
        /// Payload bytes of the stream before it.
        at: u64,
        /// Bytes that a tap missed right before it.
        missed: u64,
        /// Its bytes.
        payload: Bytes,
    },
    /// A stream's finish.
    Ended(Ended),
    /// The listener's end.
    Done {
        /// Bytes that a tap missed and has not been told of.
        missed: u64,
        /// The order of the `--eof` that ended it, if one did.
        eof: Option<Bytes>,
    },
}

/// What comes next for a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This, in this turn.
    Item(u64, Item),
    /// Nothing before this time, unless something happens.
    Wait(Now),
    /// Nothing, unless something happens.
    Nothing,
}

/// A listener was resumed at a turn that it cannot be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTurn;

/// The streams and listeners of one name.
#[derive(Debug, Default)]
pub struct Pipe {
    /// In boxes, as are the listeners: a map of a single entry makes room for eleven.
    streams: BTreeMap<StreamKey, Box<Stream>>,
    /// Streams that have not finished.
    open: BTreeSet<StreamKey>,
    /// Streams that have finished and that nobody takes.
    free: BTreeSet<StreamKey>,
    listeners: BTreeMap<ListenerKey, Box<Listener>>,
    /// `--one` listeners without a stream, the one that has waited longest first.
    queue: BTreeSet<ListenerKey>,
    /// Streams that listeners get only once they have ended (`--whole`), and that have not.
    hidden: BTreeSet<StreamKey>,
    /// Payload bytes of all streams that are kept.
    kept: u64,
    /// Credit that its writers have and have not used; the broker keeps account of it here.
    pub granted: u64,
}

/// What can be asked of a pipe.
impl Pipe {
    /// Whether an `--eof` finds a listener, and so need not wait (rule 6).
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.listeners
            .values()
            .any(|listener| listener.is_accepting() && !listener.is_tap())
    }

    /// The payload bytes that are kept, whoever they wait for.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// How many streams are open or wait.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The payload bytes of one stream that are kept.
    #[must_use]
    pub fn kept_of(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|stream| stream.kept())
    }

    /// How many streams are open: one listener more has a part in each of them.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// How many listeners there are: each has a part in one stream more.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Whether nothing waits and nobody uses it, so that it is gone (rule 1).
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.listeners.is_empty()
    }

    /// How many streams have something that nobody has confirmed, and how many bytes that is.
    #[must_use]
    pub fn waiting(&self) -> (u64, u64) {
        let seen = self.streams.iter();
        let seen = seen.filter(|(key, stream)| stream.waits() && !self.hidden.contains(*key));
        seen.fold((0, 0), |(streams, bytes), (_, stream)| {
            (streams + 1, bytes + stream.untaken())
        })
    }

    /// What a listing says of it. The broker knows whether it is full.
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

    /// The listeners of a stream if all of them have confirmed all that they were sent, and it has
    /// any: then it deserves a small window of its own when room is used up (rule 12).
    #[must_use]
    pub fn starving_takers(&self, key: StreamKey) -> Option<Vec<ListenerKey>> {
        let stream = self.streams.get(&key)?;
        let takers = stream.takers();
        let starves = |listener: &ListenerKey| {
            self.listeners
                .get(listener)
                .is_some_and(|one| one.is_starving())
        };
        (!takers.is_empty() && takers.iter().all(starves)).then_some(takers)
    }

    /// How many turns of a listener have been confirmed.
    #[must_use]
    pub fn confirmed_turns(&self, key: ListenerKey) -> u64 {
        self.listeners
            .get(&key)
            .map_or(0, |listener| listener.confirmed_turns)
    }

    /// Whether nobody gets a stream, taps aside.
    #[must_use]
    pub fn is_free(&self, key: StreamKey) -> bool {
        self.streams.get(&key).is_none_or(|stream| stream.is_free())
    }

    /// How many bytes a stream has, if it has finished.
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

    /// What has been taken in of a stream.
    #[must_use]
    pub fn end(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|stream| stream.next)
    }
}
