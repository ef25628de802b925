//! One listener as its pipe sees it: which streams it gets, what it has been sent and confirmed.
//!
//! It never reads the store and decides nothing about other listeners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::{MAX_TURNS_OPEN, Mode};
use crate::store::record::ListenerRecord;
use crate::store::{Chunk, StreamKey};

/// Whether a listener still gets what opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A `--one` without a stream.
    Queued,
    /// Gets every stream that opens.
    Live,
    /// Gets the rest of what it has, then is done.
    Draining,
    /// Has been sent the end.
    Done,
}

impl Phase {
    /// The phase of a listener that was written down. One that had been sent the end is sent it again.
    pub fn restored(record: &ListenerRecord) -> Self {
        match (record.is_queued, record.is_accepting) {
            (true, _) => Self::Queued,
            (false, true) => Self::Live,
            (false, false) => Self::Draining,
        }
    }
}

/// When an item's turn comes: what lay there at joining by the age of its stream, then the rest as
/// it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Of a stream that was there, by the stream's place.
    Backlog(u64),
    /// By arrival.
    Live(u64),
}

/// What a tap is yet to be sent of one stream. The stream may be gone before the tap has it all.
#[derive(Debug)]
pub(super) struct TapQueue {
    /// The stream's UUID.
    pub id: Uuid,
    /// Chunks, each with the bytes skipped right before it.
    pub chunks: VecDeque<(Chunk, u64)>,
    /// Bytes skipped since the last of them.
    pub missed: u64,
    /// The finish, with its place in the order of arrival.
    pub ended: Option<(u64, super::Ended)>,
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

/// A listener's part in one stream. Positions are in payload bytes.
#[derive(Debug)]
pub(super) struct Feed {
    /// Where it began.
    pub from: u64,
    /// The next byte to send.
    pub sent: u64,
    /// The first byte that this listener has not confirmed.
    pub confirmed: u64,
    /// Bytes below this place lay there when the feed began.
    pub backlog: u64,
    /// Where it stops without a finish, if an `--eof` came.
    pub limit: Option<u64>,
    /// If the stream had finished before: how many of its bytes others had taken.
    pub before: u64,
    /// Whether the last item has been sent.
    pub complete: bool,
    /// Where in `ready` it stands, if there is something to send.
    pub rank: Option<Rank>,
    /// For a tap: what it holds itself.
    pub tap: Option<Box<TapQueue>>,
}

/// Something that was sent and not confirmed.
#[derive(Debug)]
pub(super) struct Sent {
    pub what: SentWhat,
    /// What it cost of the listener's window.
    pub cost: u64,
}

#[derive(Debug)]
pub(super) enum SentWhat {
    /// A chunk; a tap's own bytes with it, for nobody else keeps them.
    Chunk {
        stream: StreamKey,
        id: Uuid,
        at: u64,
        len: usize,
        missed: u64,
        own: Option<Bytes>,
    },
    /// A stream's finish, in the words in which it was sent.
    Ended {
        stream: StreamKey,
        ended: super::Ended,
    },
    /// The end, with the bytes that a tap missed and was not told of, and the `--eof` that it is.
    Done { missed: u64, eof: Option<Bytes> },
}

/// What a pipe knows of a listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub mode: Mode,
    pub phase: Phase,
    /// Streams opened before this place in the order were there when it joined.
    pub joined: StreamKey,
    /// Whether a stream that it was getting has finished.
    pub has_had: bool,
    /// Once an `--eof` has come: what finished at or after this place in the order of arrival is no
    /// longer for it.
    pub until: Option<u64>,
    /// The order of that `--eof`.
    pub eof: Option<Bytes>,
    pub feeds: BTreeMap<StreamKey, Feed>,
    /// Feeds that have something to send, in the order of their turns.
    pub ready: BTreeSet<(Rank, StreamKey)>,
    /// The stream in whose line its output stands.
    pub in_line: Option<StreamKey>,
    /// What was sent and not confirmed, oldest first.
    pub unconfirmed: VecDeque<Sent>,
    /// The turn of the oldest of them.
    pub confirmed_turns: u64,
    /// The index into `unconfirmed` of what is to be sent again next; its length if nothing.
    pub resend: usize,
    /// What all that was sent has cost, from turn 0 on.
    pub spent: u64,
    /// What it may cost.
    pub window: u64,
    /// For a tap: the cost of all that it holds itself, sent and not confirmed or not sent yet. It is
    /// counted along, for a slow tap holds thousands of chunks and is shown each new one.
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
            feeds: BTreeMap::new(),
            ready: BTreeSet::new(),
            in_line: None,
            unconfirmed: VecDeque::new(),
            confirmed_turns: 0,
            resend: 0,
            spent: 0,
            window,
            held: 0,
        }
    }

    pub fn is_tap(&self) -> bool {
        self.mode == Mode::Tap
    }

    /// Whether streams that open, or come back, are for it too.
    pub fn is_accepting(&self) -> bool {
        self.phase == Phase::Live
    }

    /// The turn of the next item that has not been sent before.
    pub fn next_turn(&self) -> u64 {
        self.confirmed_turns + self.unconfirmed.len() as u64
    }

    /// Whether it takes another new item of this cost.
    pub fn has_room(&self, cost: u64) -> bool {
        self.unconfirmed.len() < MAX_TURNS_OPEN && self.spent + cost <= self.window
    }

    /// Whether it has confirmed all it was sent and could be sent more.
    pub fn is_starving(&self) -> bool {
        self.unconfirmed.is_empty() && self.ready.is_empty()
    }

    /// Puts a feed where its rank says.
    pub fn set_rank(&mut self, stream: StreamKey, rank: Option<Rank>) {
        let Some(feed) = self.feeds.get_mut(&stream) else {
            return;
        };
        if feed.rank == rank {
            return;
        }
        if let Some(old) = feed.rank {
            self.ready.remove(&(old, stream));
        }
        feed.rank = rank;
        if let Some(new) = rank {
            self.ready.insert((new, stream));
        }
    }

    pub fn drop_feed(&mut self, stream: StreamKey) -> Option<Feed> {
        self.set_rank(stream, None);
        if self.in_line == Some(stream) {
            self.in_line = None;
        }
        self.feeds.remove(&stream)
    }
}
