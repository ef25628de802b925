//! Restores a broker from the records of the previous run (rule 16).
//!
//! All clients start as disconnected but not timed out, and their timeouts start again. v0.1 peers cannot
//! come back, so their streams and listeners end.

use std::sync::Arc;

use uuid::Uuid;

use super::streams::{Stage, Writer};
use super::subscriptions::Subscription;
use super::{Broker, Output, Settings, is_reserved};
use crate::pipe::{Away, Changed, ListenerKey, Pipe};
use crate::protocol::{How, Outcome};
use crate::store::record::{AwayRecord, ListenerRecord, Owner, PartRecord, WriterRecord};
use crate::store::{Recovered, Store, StreamKey};
use crate::text::{self, count};

impl<S: Store> Broker<S> {
    /// A broker that continues where the previous run on this store stopped.
    pub fn restore(settings: Settings, store: S, recovered: Recovered) -> Self {
        let mut broker = Self::new(settings, store);
        broker.effects.arrivals = recovered.arrivals;
        broker.next_key = recovered.keys;
        for note in &recovered.notes {
            broker.out.push_back(Output::Log(note.clone()));
        }
        let (ends, damaged) = (recovered.ends, recovered.damaged);
        for (key, record) in recovered.streams {
            let name: Arc<str> = Arc::from(text::normal(&record.pipe));
            broker
                .streams
                .insert(StreamKey(key), (record.id, name.clone()));
            let owner = record.owner.map(Owner::key);
            broker.shares.stream_comes(StreamKey(key), owner);
            let end = ends.get(&key).copied().unwrap_or(0);
            broker.restore_pipe(&name).restore_stream(record, end);
        }
        for (key, record) in &recovered.listeners {
            broker.restore_listener(*key, record);
        }
        for part in recovered.parts.values() {
            if let Some(away) = &part.away {
                broker.restore_away(part, away);
                continue;
            }
            let known = broker.streams.get(&StreamKey(part.stream)).cloned();
            let is_known =
                known.is_some_and(|(_, name)| broker.restore_pipe(&name).restore_part(part));
            broker.effects.cursors += usize::from(is_known);
        }
        for writer in recovered.writers.into_values() {
            broker.restore_writer(&writer);
        }
        for name in broker.pipes.names().cloned().collect::<Vec<_>>() {
            broker.with_pipe(&name, Pipe::settle_all);
        }
        for (key, why) in damaged {
            let end = ends.get(&key).copied().unwrap_or(0);
            broker.cut_damaged(StreamKey(key), end, &why);
        }
        broker.end_what_stays_away();
        for stream in broker.shares.streams() {
            broker.recount(stream);
        }
        broker
    }

    fn restore_pipe(&mut self, name: &Arc<str>) -> &mut Pipe {
        self.pipes.get_or_make(name)
    }

    fn restore_listener(&mut self, key: u64, record: &ListenerRecord) {
        let name: Arc<str> = Arc::from(text::normal(&record.pipe));
        if !record.is_away {
            self.restore_pipe(&name).restore_listener(record);
        }
        let key = ListenerKey(key);
        let subscription = Subscription {
            client: record.client,
            pipe: name,
            key,
            peer: None,
            is_of_this_run: false,
            away: record.is_away.then(|| Away::restored(record)),
            was_lost: false,
            missed: 0,
            promised: None,
        };
        self.subscriptions.insert(record.id, subscription);
        self.shares
            .listener_comes(record.id, record.owner.map(Owner::key));
        self.listeners.insert(key, record.id);
        self.clients
            .make(record.client, self.now)
            .listeners
            .insert(record.id);
        if record.is_away {
            self.remember_absent(record.id);
            self.forget_if_over(record.client);
        }
        self.schedule_check(record.client);
    }

    fn restore_away(&mut self, part: &PartRecord, away: &AwayRecord) {
        let id = self.listeners.get(&ListenerKey(part.listener));
        let subscription = id.and_then(|id| self.subscriptions.get_mut(id));
        if let Some(kept) = subscription.and_then(|subscription| subscription.away.as_mut()) {
            kept.restore_part(part, away);
            self.effects.cursors += 1;
        }
    }

    fn restore_writer(&mut self, record: &WriterRecord) {
        let key = StreamKey(record.key);
        let name: Arc<str> = Arc::from(text::normal(&record.pipe));
        let is_its = self
            .streams
            .get(&key)
            .is_some_and(|(id, _)| *id == record.stream);
        let pipe = self.pipes.get(&name).filter(|_| is_its);
        let len = pipe.and_then(|pipe| pipe.len(key)).or(record.len);
        let end = pipe.and_then(|pipe| pipe.end(key));
        // All bytes of a stream that is gone had arrived.
        let next = end.or(record.lost_at).or(len).unwrap_or(record.begins);
        // The stream was cut, but not by its writer. The last record is that of the loss or of the writer's
        // return.
        let is_cut = pipe.is_some_and(|pipe| pipe.is_cut(key)) && record.len.is_none();
        let stage = match (record.outcome, len, end) {
            _ if record.lost_at.is_some() || is_cut => Stage::Lost,
            (Some(outcome), ..) => Stage::Answered(outcome),
            (None, Some(_), Some(_)) => Stage::Finished,
            (None, None, Some(_)) => Stage::Open,
            // The last record says that the stream is gone.
            (None, Some(_), None) => Stage::Answered(Outcome::Taken),
            (None, None, None) if record.begins > 0 => Stage::Lost,
            (None, None, None) => return self.note_changed(Changed::Writer(record.stream)),
        };
        let mut writer = Writer::new(record.client, name, key, record.wait, stage, next, len);
        // Everything that a store recovers is synced.
        (writer.safe, writer.is_finish_safe) = (next, len.is_some());
        writer.is_restored = true;
        writer.begins = record.begins;
        let earlier = record.earlier.iter().map(|key| StreamKey(*key));
        writer.earlier = earlier
            .filter(|key| self.streams.contains_key(key))
            .collect();
        if stage == Stage::Lost {
            writer.len = None;
        }
        self.writers.insert(record.stream, writer);
        self.shares
            .writer_comes(record.stream, record.owner.map(Owner::key));
        self.clients
            .make(record.client, self.now)
            .streams
            .insert(record.stream);
        if stage == Stage::Lost {
            self.remember_absent(record.stream);
            self.forget_if_over(record.client);
        }
        self.schedule_check(record.client);
    }

    /// Answers writers whose data is safe, and ends what cannot come back.
    fn end_what_stays_away(&mut self) {
        for stream in self.writers.keys().copied().collect::<Vec<_>>() {
            self.answer_if_safe(stream);
        }
        let why = "the satellite was restarted, and its protocol (0.1) cannot reconnect";
        let old: Vec<_> = self
            .writers
            .keys()
            .copied()
            .filter(|id| is_reserved(*id))
            .collect();
        for stream in old {
            self.cut(stream, why);
        }
        let old: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|(id, _)| is_reserved(**id))
            .map(|(id, subscription)| (subscription.client, *id))
            .collect();
        for (client, listener) in old {
            self.leave(client, listener);
            self.clients.remove(client);
        }
        self.cut_the_orphaned();
    }

    /// Cuts open streams without a writer. The previous run ended while it was cutting them.
    fn cut_the_orphaned(&mut self) {
        let is_orphan = |(key, (id, name)): (&StreamKey, &(Uuid, Arc<str>))| {
            let is_open = self
                .pipes
                .get(name)
                .is_some_and(|pipe| pipe.len(*key).is_none());
            let writer = self.writers.get(id).filter(|writer| writer.key == *key);
            let has_writer = writer.is_some_and(|writer| writer.stage != Stage::Lost);
            (is_open && !has_writer).then(|| (*key, name.clone()))
        };
        let orphans: Vec<_> = self.streams.iter().filter_map(is_orphan).collect();
        for (key, name) in orphans {
            let how = How::Cut("its writer was lost".to_owned());
            self.with_pipe(&name, |pipe, ctx| pipe.finish(key, how, ctx));
        }
        let is_short = |(key, (id, name)): (&StreamKey, &(Uuid, Arc<str>))| {
            let pipe = self.pipes.get(name)?;
            let is_short = pipe.len(*key)? > pipe.end(*key)?;
            let writer = self.writers.get(id).filter(|writer| writer.key == *key);
            let comes_back = writer.is_some_and(Writer::is_awaited);
            (is_short && !comes_back).then(|| (*key, writer.is_some(), name.clone()))
        };
        let short: Vec<_> = self.streams.iter().filter_map(is_short).collect();
        for (key, is_answered, name) in short {
            self.with_pipe(&name, |pipe, ctx| pipe.end_short(key, is_answered, ctx));
        }
    }

    /// Ends a stream where its damage begins.
    pub(super) fn cut_damaged(&mut self, key: StreamKey, at: u64, why: &str) {
        let Some((id, name)) = self.streams.get(&key).cloned() else {
            return;
        };
        self.out.push_back(Output::Log(format!(
            "a stream of {} is cut after its first {}: {why}",
            text::pipe(&name),
            count(at, "byte")
        )));
        let why = "the satellite's disk could not be read";
        if self
            .writers
            .get(&id)
            .is_some_and(|writer| writer.key == key)
        {
            self.cut(id, why);
        }
        self.with_pipe(&name, |pipe, ctx| pipe.cut_short(key, at, why, ctx));
    }
}
