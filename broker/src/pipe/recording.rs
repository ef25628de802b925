//! The records of a pipe's streams and listeners (rule 16).
//!
//! This module decides nothing, and records only what is needed. A record does not say how far sending had
//! come, because unconfirmed items are sent again.

use std::sync::Arc;

use uuid::Uuid;

use super::listener::Phase;
use super::stream::Takers;
use super::{ListenerKey, Pipe};
use crate::store::StreamKey;
use crate::store::record::{FinishRecord, ListenerRecord, PartRecord, Record, StreamRecord};

/// Something whose last record is outdated. The variants are in the order in which they are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A writer, by its stream. A stream without a writer record is being cut.
    Writer(Uuid),
    /// A stream.
    Stream(StreamKey),
    /// How much of a stream was taken.
    Progress(StreamKey),
    /// A listener.
    Listener(ListenerKey),
    /// A listener's cursor in a stream.
    Part(ListenerKey, StreamKey),
}

/// The records.
impl Pipe {
    /// The record of a stream. None if the stream is gone.
    #[must_use]
    pub fn stream_record(&self, key: StreamKey, id: Uuid, pipe: &Arc<str>) -> Option<Record> {
        let stream = self.streams.get(&key)?;
        Some(Record::Stream(Box::new(StreamRecord {
            // The broker fills this in.
            owner: None,
            key: key.0,
            id,
            pipe: pipe.to_string(),
            label: stream.label.clone(),
            marker: stream.marker,
            taken: stream.taken,
            needed: stream.needed(),
            discarded: stream.discarded,
            begins: stream.begins,
            is_hidden: self.hidden.contains(&key),
            finish: stream.finish.as_ref().map(|finish| FinishRecord {
                how: finish.how.clone(),
                arrival: finish.arrival,
                len: finish.len,
                taken: stream.finish_taken,
            }),
            claimed: match stream.subscriptions {
                Takers::Claimed(listener) => Some(listener.0),
                Takers::Shared(_) => None,
            },
        })))
    }

    /// The record of how much of a stream was taken.
    #[must_use]
    pub fn progress_record(&self, key: StreamKey) -> Option<Record> {
        let stream = self.streams.get(&key)?;
        Some(Record::Progress {
            key: key.0,
            taken: stream.taken,
            needed: stream.needed(),
        })
    }

    /// The record of a listener. None if the listener is gone.
    #[must_use]
    pub fn listener_record(
        &self,
        key: ListenerKey,
        id: Uuid,
        client: Uuid,
        pipe: &Arc<str>,
    ) -> Option<Record> {
        let listener = self.listeners.get(&key)?;
        Some(Record::Listener(ListenerRecord {
            key: key.0,
            id,
            client,
            // The broker fills this in.
            owner: None,
            pipe: pipe.to_string(),
            mode: listener.mode,
            is_accepting: listener.is_accepting(),
            is_queued: listener.phase == Phase::Queued,
            joined: listener.joined.0,
            until: listener.until,
            eof: listener.eof.clone(),
            has_had: listener.has_had,
            is_away: false,
        }))
    }

    /// The record of a listener's cursor in a stream. None if the cursor is gone.
    #[must_use]
    pub fn part_record(&self, listener: ListenerKey, stream: StreamKey) -> Option<Record> {
        let cursor = self.listeners.get(&listener)?.cursors.get(&stream)?;
        Some(Record::Part(PartRecord {
            listener: listener.0,
            stream: stream.0,
            backlog: cursor.backlog,
            limit: cursor.limit,
            before: cursor.before,
            from: cursor.from,
            away: None,
        }))
    }

    /// All cursors of all listeners.
    pub fn parts(&self) -> impl Iterator<Item = Changed> {
        self.listeners.iter().flat_map(|(key, listener)| {
            let streams = listener.cursors.keys();
            streams.map(|stream| Changed::Part(*key, *stream))
        })
    }
}
