//! One listener as its pipe sees it: which streams it gets, and what it has been sent and has confirmed.
//!
//! This module never reads the store and decides nothing about other listeners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use uuid::Uuid;

use super::{Ended, Item};
use crate::protocol::{MAX_UNCONFIRMED, Mode};
use crate::store::record::ListenerRecord;
use crate::store::{Chunk, StreamKey};

/// The longest line, in bytes, that is kept whole where streams are merged (rule 13).
const LINE_KEPT_WHOLE: u64 = 1 << 20;

/// The phase of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A `--one` without a stream.
    Queued,
    /// The listener gets every stream that opens.
    Live,
    /// The listener gets the rest of its streams, then ends.
    Draining,
    /// The end was sent and is not confirmed.
    Done,
}

impl Phase {
    /// The phase of a restored listener. A listener that had been sent its end is sent the end again.
    pub fn restored(record: &ListenerRecord) -> Self {
        match (record.is_queued, record.is_accepting) {
            (true, _) => Self::Queued,
            (false, true) => Self::Live,
            (false, false) => Self::Draining,
        }
    }
}

/// The order in which a listener's items are sent: first the backlog by the age of its stream, then
/// everything else in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// An item of a stream that existed when the listener joined, by the stream's key.
    Backlog(u64),
    /// An item by its arrival number.
    Live(u64),
}

/// What a tap has still to be sent of one stream. The stream may be gone before the tap has received
/// everything.
#[derive(Debug)]
pub(super) struct TapQueue {
    /// The stream's UUID.
    pub id: Uuid,
    /// Chunks, each with the number of bytes skipped directly before it.
    pub chunks: VecDeque<(Chunk, u64)>,
    /// Bytes skipped since the last chunk.
    pub missed: u64,
    /// The finish, with its arrival number.
    pub ended: Option<(u64, Ended)>,
}

impl TapQueue {
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            chunks: VecDeque::new(),
            missed: 0,
            ended: None,
        }
    }
}

/// A listener's cursor in one stream. Offsets are in payload bytes.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The offset at which the cursor began.
    pub from: u64,
    /// The next byte to send.
    pub sent: u64,
    /// The first byte that this listener has not confirmed.
    pub confirmed: u64,
    /// Bytes below this offset existed when the cursor was created.
    pub backlog: u64,
    /// The offset at which the cursor stops without a finish, if an `--eof` came.
    pub limit: Option<u64>,
    /// If the stream had finished before the cursor began: how many of its bytes others had read.
    pub before: u64,
    /// Whether the last item has been sent.
    pub complete: bool,
    /// The cursor's rank in `ready`. None if there is nothing to send.
    pub rank: Option<Rank>,
    /// The tap's own copy of what it has to be sent.
    pub tap: Option<Box<TapQueue>>,
}

/// An item that was sent and has not been confirmed.
#[derive(Debug)]
pub(super) struct Sent {
    pub what: SentWhat,
    /// The item's cost in the listener's window.
    pub cost: u64,
}

#[derive(Debug)]
pub(super) enum SentWhat {
    /// A chunk. A tap's bytes are included, because nobody else keeps them.
    Chunk {
        stream: StreamKey,
        id: Uuid,
        at: u64,
        len: usize,
        missed: u64,
        own: Option<Bytes>,
    },
    /// A stream's finish, as it was sent.
    Ended { stream: StreamKey, ended: Ended },
    /// The end, with the bytes that a tap missed and was not told of, and the order of the `--eof` that
    /// caused the end.
    Done { missed: u64, eof: Option<Bytes> },
}

/// An unfinished line at the end of a listener's output.
#[derive(Debug)]
pub(super) struct InLine {
    /// The line's stream.
    pub stream: StreamKey,
    /// The offset in the stream up to which the output has it. A listener that came back may be sent earlier
    /// bytes again.
    pub at: u64,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub mode: Mode,
    pub phase: Phase,
    /// Streams with a key below this one existed when the listener joined.
    pub joined: StreamKey,
    /// Whether one of the listener's streams has finished.
    pub has_had: bool,
    /// Set by an `--eof`: finishes with this arrival number or a later one are not for this listener.
    pub until: Option<u64>,
    /// The signed order of that `--eof`.
    pub eof: Option<Bytes>,
    pub cursors: BTreeMap<StreamKey, Cursor>,
    /// Cursors that have something to send, in the order of their ranks.
    pub ready: BTreeSet<(Rank, StreamKey)>,
    /// The unfinished line that the listener's output ends with.
    pub in_line: Option<InLine>,
    /// Items that were sent and have not been confirmed, oldest first.
    pub unconfirmed: VecDeque<Sent>,
    /// The sequence number of the oldest unconfirmed item.
    pub confirmed_items: u64,
    /// The index into `unconfirmed` of the next item to send again. Equal to its length if there is none.
    pub resend: usize,
    /// The total cost of everything sent, from sequence number 0 on.
    pub spent: u64,
    /// The maximum for `spent`.
    pub window: u64,
    /// The cost of everything that a tap holds, sent or not. It is maintained incrementally, because a slow
    /// tap holds thousands of chunks and is offered each new one.
    pub held: u64,
}

impl Listener {
    pub fn new(mode: Mode, joined: StreamKey, window: u64) -> Self {
        Self {
            mode,
            phase: if mode == Mode::One {
                Phase::Queued
            } else {
                Phase::Live
            },
            joined,
            has_had: false,
            until: None,
            eof: None,
            cursors: BTreeMap::new(),
            ready: BTreeSet::new(),
            in_line: None,
            unconfirmed: VecDeque::new(),
            confirmed_items: 0,
            resend: 0,
            spent: 0,
            window,
            held: 0,
        }
    }

    pub fn is_tap(&self) -> bool {
        self.mode == Mode::Tap
    }

    /// Whether the listener also gets streams that open or come back.
    pub fn is_accepting(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The sequence number of the next new item.
    pub fn next_seq(&self) -> u64 {
        self.confirmed_items + self.unconfirmed.len() as u64
    }

    /// Whether the listener may be sent a new item of this cost.
    pub fn has_room(&self, cost: u64) -> bool {
        self.unconfirmed.len() < MAX_UNCONFIRMED && self.spent + cost <= self.window
    }

    /// Whether the listener has confirmed everything it was sent and has nothing more to be sent.
    pub fn is_starving(&self) -> bool {
        self.unconfirmed.is_empty() && self.ready.is_empty()
    }

    /// Sets a cursor's rank, and moves the cursor in `ready`.
    pub fn set_rank(&mut self, stream: StreamKey, rank: Option<Rank>) {
        let Some(cursor) = self.cursors.get_mut(&stream) else {
            return;
        };
        if cursor.rank == rank {
            return;
        }
        if let Some(old) = cursor.rank {
            self.ready.remove(&(old, stream));
        }
        cursor.rank = rank;
        if let Some(new) = rank {
            self.ready.insert((new, stream));
        }
    }

    /// Sends a stream's finish, if there is room. What is sent counts in no window.
    pub fn send_ended(&mut self, stream: StreamKey, ended: Ended) -> Option<(Sent, Item)> {
        if !self.has_room(0) {
            return None;
        }
        self.cursors.get_mut(&stream)?.complete = true;
        self.in_line = None;
        let what = SentWhat::Ended {
            stream,
            ended: ended.clone(),
        };
        Some((Sent { what, cost: 0 }, Item::Ended(ended)))
    }

    /// Notes whether the output ends inside a line, now that it was sent this stream up to `end`. The last
    /// `tail` bytes of that are an unfinished line.
    pub fn note_line(&mut self, stream: StreamKey, end: u64, tail: u64) {
        let is_repeat = |line: &InLine| line.stream == stream && end < line.at;
        if !self.in_line.as_ref().is_some_and(is_repeat) {
            let is_kept_whole = (1..=LINE_KEPT_WHOLE).contains(&tail);
            self.in_line = is_kept_whole.then_some(InLine { stream, at: end });
        }
    }

    pub fn drop_cursor(&mut self, stream: StreamKey) -> Option<Cursor> {
        self.set_rank(stream, None);
        if self
            .in_line
            .as_ref()
            .is_some_and(|line| line.stream == stream)
        {
            self.in_line = None;
        }
        self.cursors.remove(&stream)
    }
}
