//! What a log says when it is read again: the latest of every record, and which bytes are there.
//!
//! Pure: it is fed records in the order of the log, by whichever store reads them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::record::{ListenerRecord, PartRecord, Record, StreamRecord, WriterRecord};

/// All that is known after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Streams by key.
    pub streams: BTreeMap<u64, StreamRecord>,
    /// Writers by their stream's UUID.
    pub writers: BTreeMap<Uuid, WriterRecord>,
    /// Listeners by key.
    pub listeners: BTreeMap<u64, ListenerRecord>,
    /// Parts by the keys of listener and stream.
    pub parts: BTreeMap<(u64, u64), PartRecord>,
    /// For each stream of which bytes were found: the place up to which they are there without a
    /// gap, from the first that is needed.
    pub ends: BTreeMap<u64, u64>,
    /// Streams of which bytes are damaged or missing that had been kept, with a sentence that says
    /// what is wrong. Their `ends` say where that begins.
    pub damaged: BTreeMap<u64, String>,
    /// More than every place in the order of arrival that was found.
    pub arrivals: u64,
    /// More than every key that was found, even of what is no more: bytes of such a stream may lie in
    /// the log for long, and a new stream of its key would be taken for it.
    pub keys: u64,
    /// What is worth a line in the log.
    pub notes: Vec<String>,
}

impl Recovered {
    /// Takes in the next record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Stream(stream) => {
                self.note_key(stream.key);
                if let Some(finish) = &stream.finish {
                    self.note_arrival(finish.arrival);
                }
                self.streams.insert(stream.key, *stream);
            }
            Record::Progress { key, taken, needed } => {
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.taken = taken;
                    stream.needed = needed;
                }
            }
            Record::Gone { key } => {
                // Parts in it, if any are left, are nobody's.
                self.streams.remove(&key);
            }
            Record::Writer(writer) => {
                self.note_key(writer.key);
                self.writers.insert(writer.stream, writer);
            }
            Record::WriterGone { stream } => {
                self.writers.remove(&stream);
            }
            Record::Listener(listener) => {
                self.note_key(listener.key);
                // An `--eof` came then, and what comes now is later.
                self.arrivals = self.arrivals.max(listener.until.unwrap_or(0));
                self.listeners.insert(listener.key, listener);
            }
            Record::ListenerGone { key } => {
                self.listeners.remove(&key);
                let parts = self.parts.range((key, 0)..=(key, u64::MAX));
                let over: Vec<_> = parts.map(|(place, _)| *place).collect();
                for place in over {
                    self.parts.remove(&place);
                }
            }
            Record::Part(part) => {
                self.parts.insert((part.listener, part.stream), part);
            }
            Record::PartGone { listener, stream } => {
                self.parts.remove(&(listener, stream));
            }
        }
    }

    /// Takes note of a place in the order of arrival.
    pub fn note_arrival(&mut self, arrival: u64) {
        self.arrivals = self.arrivals.max(arrival + 1);
    }

    /// Takes note of a key of a stream or a listener.
    pub fn note_key(&mut self, key: u64) {
        self.keys = self.keys.max(key.saturating_add(1));
    }
}
