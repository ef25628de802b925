//! The data types of the pipe model.

use std::collections::BTreeMap;
use std::time::Duration;

use skypipe_protocol::Mode;
use uuid::Uuid;

use crate::simulation::facts::Item;

/// An event in the life of a pipe.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream was opened.
    Open(Uuid),
    /// A chunk of the stream was received.
    Data(Uuid),
    /// The stream finished; `true` if it was cut.
    Finish(Uuid, bool),
    /// The writer of a stream that was cut for its silence came back.
    Reopen(Uuid),
    /// A listener joined.
    Join(Uuid, Mode),
    /// A listener confirmed an item.
    Confirm(Uuid, Item),
    /// A listener left.
    Leave(Uuid),
    /// A listener was lost for its silence.
    Lose(Uuid),
    /// A lost listener came back.
    Return(Uuid, Said),
    /// `--eof`.
    Eof,
    /// `--discard`.
    Discard,
}

/// What a lost listener reports when it comes back.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// For each stream that it remembers: how many chunks its output has taken, and whether the end.
    pub printed: BTreeMap<Uuid, (u64, bool)>,
    /// Whether it has had the end of a stream that an `--eof` left. All of these have the same UUID.
    pub has_marker: bool,
    /// Whether any item had arrived.
    pub has_items: bool,
}

/// A stream, from the pipe's point of view.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Stream {
    /// Its UUID. `None` for the empty stream that an `--eof` left.
    pub id: Option<Uuid>,
    /// How many chunks were received.
    pub len: u64,
    /// Its first chunk: above 0 if it is the remainder of a stream that was cut.
    pub base: u64,
    /// Whether it has finished.
    pub finished: bool,
    /// Whether it was cut.
    pub cut: bool,
    /// Whether all of it stays until a listener has confirmed its finish.
    pub kept: bool,
    /// Whether anybody was told how it finished.
    pub end_told: bool,
    /// The first chunk that nobody has confirmed.
    pub taken: u64,
    /// The listener that holds it exclusively.
    pub claim: Option<usize>,
    /// Since when it is claimed.
    pub claimed: Duration,
    /// Whether a listener has confirmed its finish.
    pub told: bool,
    /// Whether nothing of it is left in the pipe.
    pub gone: bool,
    /// Whether some of it was discarded.
    pub discarded: bool,
}

/// The part of one stream that one listener gets.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Feed {
    /// The index of the stream.
    pub stream: usize,
    /// The first chunk.
    pub from: u64,
    /// The first chunk not sent yet.
    pub sent: u64,
    /// The first chunk not confirmed yet.
    pub confirmed: u64,
    /// Where the part stops, short of the stream's finish. An `--eof` sets it.
    pub limit: Option<u64>,
    /// Whether the stream had already finished when this began.
    pub late: bool,
    /// Whether the finish was sent.
    pub end_sent: bool,
    /// Whether the finish was confirmed.
    pub end_confirmed: bool,
    /// Whether this listener held the stream exclusively.
    pub claim: bool,
    /// For a tap: a `--one` held the stream meanwhile. The rules do not say how much of it the tap gets.
    pub loose: bool,
}

impl Feed {
    /// A part that begins with chunk `from`, of which nothing was sent.
    pub fn new(stream: usize, from: u64, late: bool, loose: bool) -> Self {
        Self {
            stream,
            from,
            sent: from,
            confirmed: from,
            limit: None,
            late,
            end_sent: false,
            end_confirmed: false,
            claim: false,
            loose,
        }
    }

    /// Whether everything that the listener must get was sent.
    pub fn is_sent(&self) -> bool {
        self.end_sent || self.limit.is_some_and(|limit| self.sent >= limit)
    }

    /// Whether the listener has confirmed everything that it must get.
    pub fn is_complete(&self) -> bool {
        self.end_confirmed || self.limit.is_some_and(|limit| self.confirmed >= limit)
    }
}

/// A listener, from the pipe's point of view.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Listener {
    /// Its UUID.
    pub id: Uuid,
    /// Default, `--one`, `--follow` or `--tap`.
    pub mode: Mode,
    /// Whether it is still there.
    pub here: bool,
    /// Whether it gets newly opened streams.
    pub accepting: bool,
    /// Whether it is a `--one` without a stream.
    pub waits: bool,
    /// The parts that it gets.
    pub feeds: Vec<Feed>,
    /// For a `--follow`: the finished streams that it found, and whether another listener had one
    /// meanwhile.
    pub backlog: Vec<(usize, bool)>,
    /// What was there when it joined, to be sent in this order: a stream and its length then.
    pub order: Vec<(usize, u64)>,
    /// Whether its last item was sent.
    pub done: bool,
    /// Whether it was sent anything.
    pub turned: bool,
    /// Whether a stream that it was getting has finished.
    pub had: bool,
    /// Whether an `--eof` ended it.
    pub eof: bool,
    /// Its state when it was lost, if it was.
    pub was: Option<Box<Listener>>,
    /// The number of streams whose rest it missed while it was away, if the rules determine the number.
    pub missed: Option<u64>,
}

impl Stream {
    /// A stream without a chunk. Without an id it is what an `--eof` leaves.
    pub fn new(id: Option<Uuid>) -> Self {
        Self {
            id,
            len: 0,
            base: 0,
            finished: id.is_none(),
            cut: false,
            kept: false,
            end_told: false,
            taken: 0,
            claim: None,
            claimed: Duration::ZERO,
            told: false,
            gone: false,
            discarded: false,
        }
    }

    /// Whether it has finished and all of it was confirmed.
    pub fn is_spent(&self) -> bool {
        self.finished && (self.told || (self.len > 0 && self.taken == self.len))
    }
}

impl Listener {
    /// A listener that gets nothing yet.
    pub fn new(id: Uuid, mode: Mode) -> Self {
        Self {
            id,
            mode,
            here: true,
            accepting: false,
            waits: false,
            feeds: Vec::new(),
            backlog: Vec::new(),
            order: Vec::new(),
            done: false,
            turned: false,
            had: false,
            eof: false,
            was: None,
            missed: None,
        }
    }
}
