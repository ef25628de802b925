//! One writer: what has arrived of its stream, what of that is safe, and its credit.
//!
//! This module decides nothing about other writers and never looks at pipes.

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use super::super::peers::Sender;
use crate::interface::Peer;
use crate::protocol::{
    BASE_CREDIT, CHUNK_OVERHEAD, Code, MAX_BYTES, MAX_CHUNK, MIN_SEND, Outcome, Shortage,
};
use crate::store::StreamKey;

/// The maximum unused credit of one writer. It is enough for a gigabit per second over 120 ms, and few enough
/// chunks that a listener's memory is never far from that of its writers.
const WINDOW: u64 = 16 * (MAX_CHUNK as u64 + CHUNK_OVERHEAD);

/// The maximum number of unsafe bytes of one stream. Its writer keeps these bytes until they are safe.
const MAX_UNSAFE: u64 = 48 << 20;

/// The state of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The writer's stream is open.
    Open,
    /// The stream has finished, but the promise that the writer asked for does not hold yet.
    Finished,
    /// This answer is due or was sent.
    Answered(Outcome),
    /// The writer timed out and its stream was cut. The writer may come back (rule 16).
    Lost,
}

/// What a writer's answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Everything is safe.
    Safe,
    /// Listeners have confirmed everything (`--wait`).
    Taken,
}

/// The finish of a writer's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    /// The total number of bytes. After the satellite restarted, some of them may have to be sent again.
    pub len: u64,
    /// Whether the finish is safe.
    pub is_safe: bool,
}

/// What a writer that opens is or was.
#[derive(Debug)]
pub(super) struct Origin {
    pub stream: Uuid,
    /// The client that the writer belongs to.
    pub client: Uuid,
    pub pipe: Arc<str>,
    pub key: StreamKey,
    pub promise: Promise,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream.
    pub begins: u64,
}

/// The credit of a writer on its connection.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// The connection that was told the credit.
    pub connection: Option<Peer>,
    /// The cost of the writer's chunks since the last `Opened`.
    pub received: u64,
    /// The limit for that cost: the credit given since the last `Opened`.
    pub limit: u64,
    /// The limit that the writer requested.
    pub requested: u64,
    /// The resource that the writer waits for. None if it waits for none.
    pub full: Option<Shortage>,
}

/// A writer. It exists until its client has confirmed the answer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is noted about it is independent of one another"
)]
pub(super) struct Writer {
    pub origin: Origin,
    pub stage: Stage,
    /// The offset of the next expected byte.
    pub next: u64,
    /// Bytes below this offset are known to be safe.
    pub safe: u64,
    /// Set once the writer has finished.
    pub finished: Option<Finished>,
    pub credit: Credit,
    /// Whether the writer is in the queue for credit.
    pub is_wanting: bool,
    /// Whether an acknowledgement is due.
    pub is_owed: bool,
    /// Whether the writer was restored from the log of an earlier run.
    pub is_restored: bool,
    /// Streams that hold earlier, cut parts of the writer's data, while they exist.
    pub earlier: Vec<StreamKey>,
    /// Whether data of an earlier part was discarded.
    pub has_discarded: bool,
}

impl Writer {
    /// A writer whose stream is open, and of which nothing has arrived.
    pub fn new(origin: Origin) -> Self {
        Self {
            stage: Stage::Open,
            next: origin.begins,
            safe: 0,
            finished: None,
            credit: Credit::default(),
            is_wanting: false,
            is_owed: false,
            is_restored: false,
            earlier: Vec::new(),
            has_discarded: false,
            origin,
        }
    }

    /// The pipe and the key of the writer's stream.
    pub fn place(&self) -> (Arc<str>, StreamKey) {
        (self.origin.pipe.clone(), self.origin.key)
    }

    /// How much more credit the writer wants: the requested credit, and enough for one line in any case.
    pub fn wants(&self) -> u64 {
        if !self.is_awaited() {
            return 0;
        }
        let credit = &self.credit;
        let line = if credit.limit < credit.received + BASE_CREDIT / 2 {
            credit.received + BASE_CREDIT
        } else {
            0
        };
        credit.requested.max(line).saturating_sub(credit.limit)
    }

    /// How much of that credit the writer may have at a time.
    pub fn wants_now(&self) -> u64 {
        let most = self.credit.received + WINDOW;
        self.wants().min(most.saturating_sub(self.credit.limit))
    }

    /// How many more bytes may be taken in before the stream reaches the limit of unsafe bytes.
    pub fn may_be_unsafe(&self) -> u64 {
        let pending = self.next.saturating_sub(self.safe) + self.unused();
        MAX_UNSAFE.saturating_sub(pending)
    }

    /// The unused credit.
    pub fn unused(&self) -> u64 {
        self.credit.limit - self.credit.received
    }

    /// Whether the writer has credit and, according to its last request, data to send.
    pub fn will_send(&self) -> bool {
        self.has_credit() && self.credit.requested > self.credit.received
    }

    /// Whether the writer has enough credit to send something.
    pub fn has_credit(&self) -> bool {
        self.is_awaited() && self.unused() >= MIN_SEND
    }

    /// Whether bytes are still expected.
    pub fn is_awaited(&self) -> bool {
        match self.stage {
            Stage::Open => true,
            Stage::Finished => self.next < self.most(),
            Stage::Answered(_) | Stage::Lost => false,
        }
    }

    /// The maximum length of the stream.
    pub fn most(&self) -> u64 {
        self.len().unwrap_or(MAX_BYTES)
    }

    /// The total number of bytes, once the writer has finished.
    pub fn len(&self) -> Option<u64> {
        self.finished.map(|finished| finished.len)
    }

    /// Whether everything that the writer wrote is safe, including the finish.
    pub fn is_safe(&self) -> bool {
        let is_it = |finished: Finished| finished.is_safe && self.safe >= finished.len;
        self.finished.is_some_and(is_it)
    }

    /// Whether the writer waits for nothing but that everything is safe, and it is.
    pub fn is_answer_due(&self) -> bool {
        self.origin.promise == Promise::Safe && self.stage == Stage::Finished && self.is_safe()
    }

    /// Whether a chunk of `len` bytes at `at`, of this cost, may be taken in.
    ///
    /// # Errors
    ///
    /// What is wrong with the chunk.
    pub fn check(&self, at: u64, len: usize, price: u64) -> Result<(), (Code, Cow<'static, str>)> {
        if len == 0 || len > MAX_CHUNK {
            let message = "a chunk has 1 byte to 1 MiB, and its writer needs credit for it";
            return Err((Code::Malformed, message.into()));
        }
        if at != self.next || at.saturating_add(len as u64) > self.most() {
            let expected = self.next;
            let message =
                format!("the chunk begins at byte {at}, but byte {expected} was expected");
            return Err((Code::Order, message.into()));
        }
        if self.credit.received + price > self.credit.limit {
            return Err((Code::Credit, "the chunk exceeds the writer's credit".into()));
        }
        Ok(())
    }

    /// Whether the writer belongs to the sender's client. If not, the reason.
    pub fn is_of(writer: Option<&Self>, from: Sender<'_>) -> Result<(), (Code, &'static str)> {
        match writer {
            Some(writer) if writer.origin.client == from.client => Ok(()),
            Some(_) => Err((Code::Denied, "that stream is another client's")),
            None => Err((Code::Unknown, "this satellite does not know the stream")),
        }
    }
}
