//! The records that a satellite writes of its decisions: the state of each stream, writer and listener.
//!
//! Each record replaces the previous record of the same thing. The latest record of each thing, in any order,
//! is thus the complete state. This module owns the format. [`crate::broker`] owns the meaning.

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::KeyId;
use crate::protocol::{How, Mode, Outcome};

/// The key that something was created with. It is small because a hundred thousand records may contain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(NonZeroU32);

impl Owner {
    /// The owner with this key. None for a key id beyond all that a satellite ever assigns.
    #[must_use]
    pub fn of(key: KeyId) -> Option<Self> {
        let next = u32::try_from(key.0).ok()?.checked_add(1)?;
        NonZeroU32::new(next).map(Self)
    }

    /// The key.
    #[must_use]
    pub fn key(self) -> KeyId {
        KeyId(u64::from(self.0.get() - 1))
    }
}

/// One record. Stream and listener keys share one counter, in the order of opening and joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A stream.
    Stream(Box<StreamRecord>),
    /// How much of a stream was taken. This updates the stream's record.
    Progress {
        /// The stream's key.
        key: u64,
        /// Bytes below this offset were confirmed by a listener.
        taken: u64,
        /// Bytes below this offset are no longer needed by anybody.
        needed: u64,
    },
    /// A stream that is gone.
    Gone {
        /// The stream's key.
        key: u64,
    },
    /// A writer that has not closed its stream.
    Writer(WriterRecord),
    /// A writer that is gone.
    WriterGone {
        /// The UUID of the writer's stream.
        stream: Uuid,
    },
    /// A listener.
    Listener(ListenerRecord),
    /// A listener that is gone, with all its cursors.
    ListenerGone {
        /// The listener's key.
        key: u64,
    },
    /// A listener's cursor in a stream.
    Part(PartRecord),
    /// A listener's cursor in a stream that is gone.
    PartGone {
        /// The listener's key.
        listener: u64,
        /// The stream's key.
        stream: u64,
    },
}

/// The state of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// The stream's key.
    pub key: u64,
    /// The UUID given by the writer.
    pub id: Uuid,
    /// The stream's pipe.
    pub pipe: String,
    /// The name of the writer.
    pub label: String,
    /// The key that the stream was written with. None at a satellite without keys.
    pub owner: Option<Owner>,
    /// Whether the stream is a waiting `--eof`.
    pub marker: bool,
    /// Bytes below this offset were confirmed by a listener.
    pub taken: u64,
    /// Bytes below this offset are no longer needed by anybody.
    pub needed: u64,
    /// Whether some of the stream was discarded.
    pub discarded: bool,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream.
    pub begins: u64,
    /// Whether listeners get the stream only after its end (`--whole`).
    pub is_hidden: bool,
    /// How the stream finished. None while it is open.
    pub finish: Option<FinishRecord>,
    /// The key of the listener that has the stream alone, if any.
    pub claimed: Option<u64>,
}

/// How a stream finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishRecord {
    /// How the stream finished.
    pub how: How,
    /// The arrival number of the finish.
    pub arrival: u64,
    /// The length of the stream.
    pub len: u64,
    /// Whether a listener has confirmed the finish.
    pub taken: bool,
}

/// The state of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterRecord {
    /// The UUID of the writer's stream.
    pub stream: Uuid,
    /// The key of the writer's stream.
    pub key: u64,
    /// The UUID of the writer's client.
    pub client: Uuid,
    /// The writer's key. None at a satellite without keys.
    pub owner: Option<Owner>,
    /// The writer's pipe.
    pub pipe: String,
    /// Whether the answer waits until listeners have confirmed everything (`--wait`).
    pub wait: bool,
    /// The writer's answer, if it has one.
    pub outcome: Option<Outcome>,
    /// The number of bytes written. None until the writer has finished.
    pub len: Option<u64>,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream.
    pub begins: u64,
    /// Earlier, cut parts of the writer's data, by their streams' keys.
    pub earlier: Vec<u64>,
    /// If the writer timed out and its stream was cut: the length of the cut stream.
    pub lost_at: Option<u64>,
}

/// The state of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of it is independent of one another"
)]
pub struct ListenerRecord {
    /// The listener's key.
    pub key: u64,
    /// The listener's UUID.
    pub id: Uuid,
    /// The UUID of the listener's client.
    pub client: Uuid,
    /// The key that the listener's client used. None at a satellite without keys.
    pub owner: Option<Owner>,
    /// The listener's pipe.
    pub pipe: String,
    /// The listener's mode.
    pub mode: Mode,
    /// Whether the listener also gets streams that open.
    pub is_accepting: bool,
    /// Whether the listener waits for a stream of its own (`--one`).
    pub is_queued: bool,
    /// Streams with a key below this one existed when the listener joined.
    pub joined: u64,
    /// The arrival number at which an `--eof` came. None if none came.
    pub until: Option<u64>,
    /// The signed order of that `--eof`.
    pub eof: Option<Bytes>,
    /// Whether one of the listener's streams has finished.
    pub has_had: bool,
    /// Whether the listener timed out and may come back.
    pub is_away: bool,
}

/// The state of a listener's cursor in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The listener's key.
    pub listener: u64,
    /// The stream's key.
    pub stream: u64,
    /// Bytes below this offset existed when the cursor was created.
    pub backlog: u64,
    /// The offset at which the cursor stops without a finish, if an `--eof` came.
    pub limit: Option<u64>,
    /// If the stream had finished before the cursor began: how many of its bytes others had read.
    pub before: u64,
    /// The offset at which the cursor began.
    pub from: u64,
    /// More state, for the cursor of a listener that timed out.
    pub away: Option<AwayRecord>,
}

/// The additional state of a cursor whose listener timed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayRecord {
    /// The stream's UUID. The stream may be gone when the listener comes back.
    pub id: Uuid,
    /// Bytes below this offset were confirmed by the listener.
    pub confirmed: u64,
    /// Whether the listener had claimed the stream.
    pub is_claim: bool,
}
