//! What a satellite writes down of what was decided: the state of each stream, writer and listener.
//!
//! Each record replaces the one before it of the same thing, so that the latest of each, in any
//! order, are all there is to know. Owns their form; what they mean is [`crate::broker`]'s.

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::KeyId;
use crate::protocol::{How, Mode, Outcome};

/// The key that something was made with. There may be a hundred thousand records with one, so it is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(NonZeroU32);

impl Owner {
    /// That of this key; none of one whose number is beyond all that a satellite ever makes.
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

/// One thing that is known. Keys are places in the order of opening and joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A stream.
    Stream(Box<StreamRecord>),
    /// How much of a stream was taken: a stream's record brought up to date.
    Progress {
        /// The stream's key.
        key: u64,
        /// Bytes below this place were confirmed by a listener.
        taken: u64,
        /// Bytes below this place are nobody's any more.
        needed: u64,
    },
    /// A stream that is no more.
    Gone {
        /// Its key.
        key: u64,
    },
    /// A writer that has not closed its stream.
    Writer(WriterRecord),
    /// A writer that is no more.
    WriterGone {
        /// Its stream's UUID.
        stream: Uuid,
    },
    /// A listener.
    Listener(ListenerRecord),
    /// A listener that is no more, nor its parts.
    ListenerGone {
        /// Its key.
        key: u64,
    },
    /// A listener's part in a stream.
    Part(PartRecord),
    /// A listener's part in a stream that is over.
    PartGone {
        /// The listener's key.
        listener: u64,
        /// The stream's key.
        stream: u64,
    },
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its key.
    pub key: u64,
    /// The UUID its writer gave it.
    pub id: Uuid,
    /// Its pipe.
    pub pipe: String,
    /// Who writes.
    pub label: String,
    /// The number of the key that it was written with, at a satellite that has keys.
    pub owner: Option<Owner>,
    /// Whether it is an `--eof` that waits.
    pub marker: bool,
    /// Bytes below this place were confirmed by a listener.
    pub taken: u64,
    /// Bytes below this place are nobody's any more.
    pub needed: u64,
    /// Whether something of it was discarded.
    pub discarded: bool,
    /// Where it begins: beyond 0 if it is the rest of a stream that was cut.
    pub begins: u64,
    /// Whether listeners get it only once it has ended.
    pub is_hidden: bool,
    /// How it finished, once it has.
    pub finish: Option<FinishRecord>,
    /// The key of the listener that has it for itself.
    pub claimed: Option<u64>,
}

/// How a stream finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishRecord {
    /// How.
    pub how: How,
    /// Its place in the order of arrival.
    pub arrival: u64,
    /// All bytes of the stream.
    pub len: u64,
    /// Whether a listener has confirmed it.
    pub taken: bool,
}

/// A writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterRecord {
    /// Its stream's UUID.
    pub stream: Uuid,
    /// Its stream's key.
    pub key: u64,
    /// Its client's UUID.
    pub client: Uuid,
    /// The number of its key, at a satellite that has keys.
    pub owner: Option<Owner>,
    /// Its pipe.
    pub pipe: String,
    /// Whether it waits until listeners have confirmed everything.
    pub wait: bool,
    /// Its answer, if it has one.
    pub outcome: Option<Outcome>,
    /// How many bytes it wrote, once it has finished.
    pub len: Option<u64>,
    /// Where its stream begins: beyond 0 if that is the rest of one that was cut.
    pub begins: u64,
    /// Earlier parts of what it wrote that were cut, by their streams' keys.
    pub earlier: Vec<u64>,
    /// If it was given up for its silence, and its stream was cut: how many bytes that had.
    pub lost_at: Option<u64>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of it is independent of one another"
)]
pub struct ListenerRecord {
    /// Its key.
    pub key: u64,
    /// Its UUID.
    pub id: Uuid,
    /// Its client's UUID.
    pub client: Uuid,
    /// The number of its key, at a satellite that has keys.
    pub owner: Option<Owner>,
    /// Its pipe.
    pub pipe: String,
    /// How it takes part.
    pub mode: Mode,
    /// Whether streams that open are for it too.
    pub is_accepting: bool,
    /// Whether it waits for a stream of its own.
    pub is_queued: bool,
    /// The place in the order of streams at which it joined.
    pub joined: u64,
    /// Once an `--eof` has come: the place in the order of arrival at which it did.
    pub until: Option<u64>,
    /// The order of that `--eof`.
    pub eof: Option<Bytes>,
    /// Whether a stream that it was getting has finished.
    pub has_had: bool,
    /// Whether it was given up for its silence, and may come back.
    pub is_away: bool,
}

/// A listener's part in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The listener's key.
    pub listener: u64,
    /// The stream's key.
    pub stream: u64,
    /// Bytes below this place lay there when the part began.
    pub backlog: u64,
    /// Where it stops without a finish, if an `--eof` came.
    pub limit: Option<u64>,
    /// If the stream had finished before: how many of its bytes others had taken.
    pub before: u64,
    /// Where it began.
    pub from: u64,
    /// What is known beside that of the part of a listener that was given up.
    pub away: Option<AwayRecord>,
}

/// What is known of the part of a listener that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayRecord {
    /// The stream's UUID, which may be gone by the time the listener is back.
    pub id: Uuid,
    /// Bytes below this place were confirmed by the listener.
    pub confirmed: u64,
    /// Whether it had the stream for itself.
    pub is_claim: bool,
}
