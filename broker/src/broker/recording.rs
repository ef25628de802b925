//! The records that the broker writes: the changes since the last records, or everything at a checkpoint.
//!
//! `durability` decides when to record, and [`crate::pipe`] decides what a record says about a pipe.

use std::sync::Arc;

use super::Broker;
use super::budget::shares::Shares;
use super::pipes::Directory;
use super::streams::Streams;
use super::subscriptions::Subscriptions;
use crate::pipe::Changed;
use crate::store::record::{Owner, Record};
use crate::store::{Store, StreamKey, WriteError};

impl<S: Store> Broker<S> {
    /// Records all decisions before any reply that depends on them is sent. Returns whether that was
    /// possible.
    pub(super) fn record(&mut self) -> bool {
        if self.base.out.has_failed() {
            return false;
        }
        if !self.base.durability.is_durable() || !self.base.durability.is_behind() {
            return true;
        }
        if let Err(error) = self.write_records() {
            self.streams.not_written(&mut self.base, error);
        }
        let flushed = self.base.durability.flush(self.base.pipes.store_mut());
        if let Err(error) = flushed {
            self.streams.not_written(&mut self.base, error);
            return false;
        }
        self.streams.go_on_syncing(&mut self.base);
        let base = &mut self.base;
        base.durability.sync_later(base.pipes.store(), base.now);
        true
    }

    /// Passes records of everything that changed to the store, or of everything if the store begins again.
    fn write_records(&mut self) -> Result<(), WriteError> {
        let changed = self.base.durability.take_changed();
        let (pipes, store) = self.base.pipes.split();
        let known = Known {
            pipes,
            streams: &self.streams,
            subscriptions: &self.subscriptions,
            shares: &self.base.shares,
        };
        for record in changed.into_iter().filter_map(|it| known.record_of(it)) {
            store.put(&record);
        }
        if !store.wants_checkpoint() {
            return Ok(());
        }
        // Records are made one at a time, because all together may exceed the memory budget.
        let mut records = known.all().filter_map(|it| known.record_of(it));
        store.checkpoint(&mut records)
    }
}

/// The sources of records.
#[derive(Clone, Copy)]
struct Known<'a> {
    pipes: Directory<'a>,
    streams: &'a Streams,
    subscriptions: &'a Subscriptions,
    shares: &'a Shares,
}

impl<'a> Known<'a> {
    /// Everything that has a record.
    fn all(self) -> impl Iterator<Item = Changed> + 'a {
        let streams = self.pipes.streams().map(Changed::Stream);
        let writers = self.streams.ids().map(Changed::Writer);
        let parts = self.pipes.all().flat_map(crate::pipe::Pipe::parts);
        streams
            .chain(writers)
            .chain(self.subscriptions.changes())
            .chain(parts)
    }

    /// The record of a changed thing. A thing that no longer exists has a record that says so.
    fn record_of(self, changed: Changed) -> Option<Record> {
        let mut record = self.record_without_owner(changed)?;
        let owner = match &mut record {
            Record::Stream(stream) => {
                let owner = self.shares.owner_of_stream(StreamKey(stream.key));
                Some((&mut stream.owner, owner))
            }
            Record::Writer(writer) => {
                let owner = self.shares.owner_of(writer.stream);
                Some((&mut writer.owner, owner))
            }
            Record::Listener(listener) => {
                let owner = self.shares.owner_of(listener.id);
                Some((&mut listener.owner, owner))
            }
            _ => None,
        };
        if let Some((place, owner)) = owner {
            *place = owner.and_then(Owner::of);
        }
        Some(record)
    }

    fn record_without_owner(self, changed: Changed) -> Option<Record> {
        match changed {
            Changed::Stream(key) => {
                let record = self.pipes.place(key).and_then(|place| {
                    let pipe = self.pipes.get(&place.pipe)?;
                    pipe.stream_record(key, place.stream, &place.pipe)
                });
                Some(record.unwrap_or(Record::Gone { key: key.0 }))
            }
            Changed::Progress(key) => {
                let place = self.pipes.place(key)?;
                self.pipes.get(&place.pipe)?.progress_record(key)
            }
            Changed::Writer(stream) => Some(match self.streams.record(stream) {
                Some(record) => Record::Writer(record),
                None => Record::WriterGone { stream },
            }),
            Changed::Listener(key) => {
                let of_pipe = |id, client, name: &Arc<str>| {
                    let pipe = self.pipes.get(name)?;
                    pipe.listener_record(key, id, client, name)
                };
                let record = self.subscriptions.record(key, of_pipe);
                Some(record.unwrap_or(Record::ListenerGone { key: key.0 }))
            }
            Changed::Part(listener, stream) => {
                let of_pipe = |name: &str| self.pipes.get(name)?.part_record(listener, stream);
                let record = self.subscriptions.part_record(listener, stream, of_pipe);
                Some(record.unwrap_or(Record::PartGone {
                    listener: listener.0,
                    stream: stream.0,
                }))
            }
        }
    }
}
