//! What a pipe writes down of its streams and listeners (rule 16).
//!
//! It decides nothing, and says no more than is needed: how far the sending had come is not in a
//! record, for what was sent and not confirmed is sent again.

use std::sync::Arc;

use uuid::Uuid;

use super::listener::Phase;
use super::stream::Takers;
use super::{ListenerKey, Pipe};
use crate::store::StreamKey;
use crate::store::record::{FinishRecord, ListenerRecord, PartRecord, Record, StreamRecord};

/// Something of which the last record is no longer true, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A writer, by its stream. A stream without one is being cut.
    Writer(Uuid),
    /// A stream.
    Stream(StreamKey),
    /// How much of a stream was taken.
    Progress(StreamKey),
    /// A listener.
    Listener(ListenerKey),
    /// A listener's part in a stream.
    Part(ListenerKey, StreamKey),
}

/// The records.
impl Pipe {
    /// What is to be known of a stream; nothing if it is gone.
    #[must_use]
    pub fn stream_record(&self, key: StreamKey, id: Uuid, pipe: &Arc<str>) -> Option<Record> {
        let stream = self.streams.get(&key)?;
        Some(Record::Stream(Box::new(StreamRecord {
            // The broker knows whose it is.
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
            claimed: match stream.takers {
                Takers::Claimed(listener) => Some(listener.0),
                Takers::Shared(_) => None,
            },
        })))
    }

    /// How much of a stream was taken.
    #[must_use]
    pub fn progress_record(&self, key: StreamKey) -> Option<Record> {
        let stream = self.streams.get(&key)?;
        Some(Record::Progress {
            key: key.0,
            taken: stream.taken,
            needed: stream.needed(),
        })
    }

    /// What is to be known of a listener; nothing if it is gone.
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
            // The broker knows whose it is.
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

    /// What is to be known of a listener's part in a stream; nothing if it is over.
    #[must_use]
    pub fn part_record(&self, listener: ListenerKey, stream: StreamKey) -> Option<Record> {
        let feed = self.listeners.get(&listener)?.feeds.get(&stream)?;
        Some(Record::Part(PartRecord {
            listener: listener.0,
            stream: stream.0,
            backlog: feed.backlog,
            limit: feed.limit,
            before: feed.before,
            from: feed.from,
            away: None,
        }))
    }

    /// All parts that listeners have in streams.
    pub fn parts(&self) -> impl Iterator<Item = Changed> {
        self.listeners.iter().flat_map(|(key, listener)| {
            let streams = listener.feeds.keys();
            streams.map(|stream| Changed::Part(*key, *stream))
        })
    }
}
