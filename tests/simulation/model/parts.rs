//! The data types of the pipe model.

use std::collections::BTreeMap;
use std::time::Duration;

use skypipe_broker::protocol::Mode;
use uuid::Uuid;

use crate::simulation::facts::Turn;

/// What happens to a pipe.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream was opened.
    Open(Uuid),
    /// A chunk of it was taken in.
    Data(Uuid),
    /// It finished: whether it was cut.
    Finish(Uuid, bool),
    /// The writer of one that was cut for its silence is there again.
    Reopen(Uuid),
    /// A listener came.
    Join(Uuid, Mode),
    /// It confirmed a turn.
    Confirm(Uuid, Turn),
    /// It went.
    Leave(Uuid),
    /// It was given up for its silence.
    Lose(Uuid),
    /// It is there again.
    Return(Uuid, Said),
    /// `--eof`.
    Eof,
    /// `--discard`.
    Discard,
}

/// What a listener says that was given up and is there again.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// For each stream that it remembers: how many chunks its output has taken, and whether the end.
    pub printed: BTreeMap<Uuid, (u64, bool)>,
    /// Whether any turn had arrived.
    pub has_turns: bool,
}

/// A stream, as the pipe sees it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Stream {
    /// Its name; none for what an `--eof` left.
    pub id: Option<Uuid>,
    /// How many chunks were taken in.
    pub len: u64,
    /// Its first chunk: beyond 0 if it is the rest of a stream that was cut.
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
    /// The one listener that has it for itself.
    pub claim: Option<usize>,
    /// Since when.
    pub claimed: Duration,
    /// Whether a listener has confirmed its finish.
    pub told: bool,
    /// Whether nothing of it is left in the pipe.
    pub gone: bool,
    /// Whether something of it was discarded.
    pub discarded: bool,
}

/// What one listener gets of one stream.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Feed {
    /// The stream.
    pub stream: usize,
    /// The first chunk.
    pub from: u64,
    /// The first chunk not sent yet.
    pub sent: u64,
    /// The first chunk not confirmed yet.
    pub confirmed: u64,
    /// Where it stops short of the stream's finish, which it does not get: what `--eof` set.
    pub limit: Option<u64>,
    /// Whether the stream had finished when this began.
    pub late: bool,
    /// Whether the finish was sent.
    pub end_sent: bool,
    /// Whether the finish was confirmed.
    pub end_confirmed: bool,
    /// Whether this listener had the stream for itself.
    pub claim: bool,
    /// Of a tap: a `--one` had the stream meanwhile, so what the tap gets of it is not said.
    pub loose: bool,
}

impl Feed {
    /// A feed of the stream from this chunk on, of which nothing was sent.
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

    /// Whether all that the listener is to get was sent.
    pub fn is_sent(&self) -> bool {
        self.end_sent || self.limit.is_some_and(|limit| self.sent >= limit)
    }

    /// Whether the listener has confirmed all it is to get.
    pub fn is_complete(&self) -> bool {
        self.end_confirmed || self.limit.is_some_and(|limit| self.confirmed >= limit)
    }
}

/// A listener, as the pipe sees it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Listener {
    /// Its name.
    pub id: Uuid,
    /// How it listens.
    pub mode: Mode,
    /// Whether it is still there.
    pub here: bool,
    /// Whether it gets streams that open.
    pub accepting: bool,
    /// Whether it is a `--one` without a stream.
    pub waits: bool,
    /// What it gets.
    pub feeds: Vec<Feed>,
    /// Of a `--follow`: the finished streams it found, and whether another had one meanwhile.
    pub backlog: Vec<(usize, bool)>,
    /// What was there when it joined, to be sent in this order: a stream and its length then.
    pub order: Vec<(usize, u64)>,
    /// Whether its last turn was sent.
    pub done: bool,
    /// Whether it was sent anything.
    pub turned: bool,
    /// Whether a stream that it was getting has finished.
    pub had: bool,
    /// Whether an `--eof` came for it.
    pub eof: bool,
    /// How it was when it was given up, if it was.
    pub was: Option<Box<Listener>>,
    /// Of how many streams it missed the rest when it came back, if that is sure.
    pub missed: Option<u64>,
}

impl Stream {
    /// A stream without a chunk; one without a name is what an `--eof` leaves.
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
