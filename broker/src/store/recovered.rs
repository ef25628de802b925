//! The state that a log contains: the latest of every record, and which bytes are there.
//!
//! This module does no I/O. Whichever store reads the log passes it the records in log order.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::record::{ListenerRecord, PartRecord, Record, StreamRecord, WriterRecord};

/// Everything known after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Streams by key.
    pub streams: BTreeMap<u64, StreamRecord>,
    /// Writers by the UUID of their stream.
    pub writers: BTreeMap<Uuid, WriterRecord>,
    /// Listeners by key.
    pub listeners: BTreeMap<u64, ListenerRecord>,
    /// Cursors by the keys of listener and stream.
    pub parts: BTreeMap<(u64, u64), PartRecord>,
    /// For each stream with recovered bytes: the offset up to which its bytes are complete, counted from the
    /// first needed byte.
    pub ends: BTreeMap<u64, u64>,
    /// Streams with damaged or missing bytes, each with a sentence that says what is wrong. `ends` says where
    /// the damage begins.
    pub damaged: BTreeMap<u64, String>,
    /// A number above all recovered arrival numbers.
    pub arrivals: u64,
    /// A number above all recovered keys, including keys of things that are gone. Bytes of a gone stream may
    /// stay in the log for long, and a new stream must not get that stream's key.
    pub keys: u64,
    /// Lines for the log.
    pub notes: Vec<String>,
}

impl Recovered {
    /// Applies the next record.
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
                // Cursors in the stream, if any are left, belong to nobody.
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
                // An `--eof` came then, so everything that comes now is later.
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

    /// Notes an arrival number.
    pub fn note_arrival(&mut self, arrival: u64) {
        self.arrivals = self.arrivals.max(arrival + 1);
    }

    /// Notes a key of a stream or a listener.
    pub fn note_key(&mut self, key: u64) {
        self.keys = self.keys.max(key.saturating_add(1));
    }
}
