//! The records that the broker writes: the changes since the last records, or everything at a checkpoint.
//!
//! `saving` decides when to record, and [`crate::pipe`] decides what a record says about a pipe.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Broker;
use super::pipes::Pipes;
use super::shares::Shares;
use super::streams::{Stage, Writer};
use super::subscriptions::Subscription;
use crate::pipe::{Changed, ListenerKey};
use crate::store::record::{Owner, Record, WriterRecord};
use crate::store::{Store, StreamKey};

impl<S: Store> Broker<S> {
    /// Passes records of everything that changed to the store.
    pub(super) fn put_changed(&mut self) {
        let changed = std::mem::take(&mut self.saving.changed);
        let (known, store) = self.known();
        for record in changed.into_iter().filter_map(|it| known.record_of(it)) {
            store.put(&record);
        }
    }

    /// Starts a checkpoint: the store begins again with records of everything.
    pub(super) fn checkpoint(&mut self) {
        let (known, store) = self.known();
        let streams = known.streams.keys().map(|key| Changed::Stream(*key));
        let writers = known.writers.keys().map(|id| Changed::Writer(*id));
        let listeners = known.listeners.keys().map(|key| Changed::Listener(*key));
        let parts = known.pipes.iter().flat_map(|(_, pipe)| pipe.parts());
        let away = known
            .subscriptions
            .values()
            .filter_map(|subscription| Some((subscription.key, subscription.away.as_ref()?)));
        let away =
            away.flat_map(|(key, away)| away.streams().map(move |it| Changed::Part(key, it)));
        let all = streams
            .chain(writers)
            .chain(listeners)
            .chain(parts)
            .chain(away);
        // Records are made one at a time, because all together may exceed the memory budget.
        let mut records = all.filter_map(|it| known.record_of(it));
        let written = store.checkpoint(&mut records);
        drop(records);
        if let Err(error) = written {
            self.not_written(error);
        }
    }

    /// The sources of records, and the store that takes them.
    fn known(&mut self) -> (Known<'_>, &mut S) {
        let known = Known {
            pipes: &self.pipes,
            streams: &self.streams,
            writers: &self.writers,
            listeners: &self.listeners,
            subscriptions: &self.subscriptions,
            shares: &self.shares,
        };
        (known, &mut self.store)
    }
}

/// The sources of records.
struct Known<'a> {
    pipes: &'a Pipes,
    streams: &'a HashMap<StreamKey, (Uuid, Arc<str>)>,
    writers: &'a HashMap<Uuid, Writer>,
    listeners: &'a HashMap<ListenerKey, Uuid>,
    subscriptions: &'a HashMap<Uuid, Subscription>,
    shares: &'a Shares,
}

impl Known<'_> {
    /// The record of a changed thing. A thing that no longer exists has a record that says so.
    fn record_of(&self, changed: Changed) -> Option<Record> {
        let mut record = self.record_without_owner(changed)?;
        let owner = match &mut record {
            Record::Stream(stream) => Some((
                &mut stream.owner,
                self.shares.owner_of_stream(StreamKey(stream.key)),
            )),
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

    fn record_without_owner(&self, changed: Changed) -> Option<Record> {
        match changed {
            Changed::Stream(key) => {
                let known = self.streams.get(&key);
                let record = known
                    .and_then(|(id, name)| self.pipes.get(name)?.stream_record(key, *id, name));
                Some(record.unwrap_or(Record::Gone { key: key.0 }))
            }
            Changed::Progress(key) => {
                let (_, name) = self.streams.get(&key)?;
                self.pipes.get(name)?.progress_record(key)
            }
            Changed::Writer(stream) => Some(match self.writers.get(&stream) {
                Some(writer) => Record::Writer(writer_record(stream, writer)),
                None => Record::WriterGone { stream },
            }),
            Changed::Listener(key) => {
                let known = self.listeners.get(&key).and_then(|id| {
                    let subscription = self.subscriptions.get(id)?;
                    if let Some(away) = &subscription.away {
                        let (client, pipe) = (subscription.client, &subscription.pipe);
                        return Some(away.listener_record(key, *id, client, pipe));
                    }
                    let pipe = self.pipes.get(&subscription.pipe)?;
                    pipe.listener_record(key, *id, subscription.client, &subscription.pipe)
                });
                Some(known.unwrap_or(Record::ListenerGone { key: key.0 }))
            }
            Changed::Part(listener, stream) => {
                let known = self.listeners.get(&listener).and_then(|id| {
                    let subscription = self.subscriptions.get(id)?;
                    match &subscription.away {
                        Some(away) => away.part_record(listener, stream),
                        None => self
                            .pipes
                            .get(&subscription.pipe)?
                            .part_record(listener, stream),
                    }
                });
                Some(known.unwrap_or(Record::PartGone {
                    listener: listener.0,
                    stream: stream.0,
                }))
            }
        }
    }
}

fn writer_record(stream: Uuid, writer: &Writer) -> WriterRecord {
    WriterRecord {
        stream,
        key: writer.key.0,
        client: writer.client,
        owner: None,
        pipe: writer.pipe.to_string(),
        wait: writer.wait,
        outcome: match writer.stage {
            Stage::Answered(outcome) => Some(outcome),
            Stage::Open | Stage::Finished | Stage::Lost => None,
        },
        len: writer.len,
        begins: writer.begins,
        earlier: writer.earlier.iter().map(|key| key.0).collect(),
        lost_at: (writer.stage == Stage::Lost).then_some(writer.next),
    }
}
