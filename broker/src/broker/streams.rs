//! Writers: opening and resuming streams, taking chunks in, acknowledging and answering.
//!
//! This module owns every writer, and the queues of writers that want credit or are due an acknowledgement.
//! It never decides who gets a stream.

mod credit;
mod ending;
mod opening;
mod saving;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use self::ending::end_writing;
use self::writer::{Credit, Origin, Promise, Stage, Writer};
use super::base::Base;
use super::budget::MemoryBudget;
use super::peers::Sender;
use crate::pipe::Changed;
use crate::protocol::{
    Code, Data, Finish, How, MAX_CHUNK, MAX_LABEL, MAX_PROOF, Outcome, Reply, Shortage, cost,
};
use crate::store::record::WriterRecord;
use crate::store::{Store, StreamKey};
use crate::text;

/// All writers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Writers by the UUID of their stream. A writer is removed when it has confirmed its answer.
    writers: HashMap<Uuid, Writer>,
    queues: Queues,
}

/// Writers that wait for something.
#[derive(Debug, Default)]
struct Queues {
    /// Writers that want credit, in round-robin order. Each is in the queue at most once.
    wanting: VecDeque<Uuid>,
    /// Streams whose writers are due an acknowledgement.
    unacknowledged: Vec<Uuid>,
}

impl Queues {
    /// Notes that an acknowledgement is due. It is sent once all input is handled.
    fn owe(&mut self, writer: &mut Writer) {
        if !std::mem::replace(&mut writer.is_owed, true) {
            self.unacknowledged.push(writer.origin.stream);
        }
    }

    /// Tells a writer what resource it waits for, if that has changed.
    fn note_full(&mut self, writer: &mut Writer, full: Option<Shortage>) {
        if std::mem::replace(&mut writer.credit.full, full) != full {
            self.owe(writer);
        }
    }

    /// Notes how much credit a writer requests.
    fn note_requested(&mut self, writer: &mut Writer, requested: u64, budget: &mut MemoryBudget) {
        writer.credit.requested = requested;
        if writer.wants() > 0 {
            if !std::mem::replace(&mut writer.is_wanting, true) {
                self.wanting.push_back(writer.origin.stream);
            }
            budget.touch();
        }
    }
}

/// What others ask about writers.
impl Streams {
    /// The number of writers.
    pub fn len(&self) -> usize {
        self.writers.len()
    }

    pub fn knows(&self, stream: Uuid) -> bool {
        self.writers.contains_key(&stream)
    }

    fn stage(&self, stream: Uuid) -> Option<Stage> {
        self.writers.get(&stream).map(|writer| writer.stage)
    }

    /// The client that a writer belongs to.
    pub fn client_of(&self, stream: Uuid) -> Option<Uuid> {
        self.writers.get(&stream).map(|it| it.origin.client)
    }

    /// The stream that a writer writes now.
    pub fn key_of(&self, stream: Uuid) -> Option<StreamKey> {
        self.writers.get(&stream).map(|it| it.origin.key)
    }

    /// All writers, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.writers.keys().copied()
    }

    /// The number of writers that want credit.
    pub fn wanting(&self) -> usize {
        self.queues.wanting.len()
    }

    /// The pipes of all writers that wait for a resource.
    pub fn full_pipes(&self) -> impl Iterator<Item = &str> {
        let wanting = self.queues.wanting.iter();
        let writers = wanting.filter_map(|id| self.writers.get(id));
        writers
            .filter(|writer| writer.credit.full.is_some())
            .map(|writer| &*writer.origin.pipe)
    }

    /// Whether no acknowledgement is due.
    pub fn is_quiet(&self) -> bool {
        self.queues.unacknowledged.is_empty()
    }

    /// The record of a writer. None if the writer is gone.
    pub fn record(&self, stream: Uuid) -> Option<WriterRecord> {
        let writer = self.writers.get(&stream)?;
        Some(WriterRecord {
            stream,
            key: writer.origin.key.0,
            client: writer.origin.client,
            // `recording` fills this in.
            owner: None,
            pipe: writer.origin.pipe.to_string(),
            wait: writer.origin.promise == Promise::Taken,
            outcome: match writer.stage {
                Stage::Answered(outcome) => Some(outcome),
                Stage::Open | Stage::Finished | Stage::Lost => None,
            },
            len: writer.len(),
            begins: writer.origin.begins,
            earlier: writer.earlier.iter().map(|key| key.0).collect(),
            lost_at: (writer.stage == Stage::Lost).then_some(writer.next),
        })
    }

    /// Each connection that a writer has credit on, with the amount.
    #[cfg(test)]
    pub fn unused_credit(&self) -> impl Iterator<Item = (Option<&super::Peer>, u64)> {
        let writers = self.writers.values();
        writers.map(|it| (it.credit.connection.as_ref(), it.unused()))
    }
}

/// What writers send.
impl Streams {
    /// Takes a chunk in.
    pub fn data<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        data: &Data,
        payload: Bytes,
    ) {
        let found = self.writers.get_mut(&data.stream);
        if let Err((code, message)) = Writer::is_of(found.as_deref(), from) {
            return base.out.refuse(from.peer, code, message, Some(data.stream));
        }
        let Some(writer) = found else {
            return;
        };
        let price = cost(payload.len());
        let end = data.at.saturating_add(payload.len() as u64);
        if !writer.is_awaited() || (data.at < writer.next && end <= writer.next) {
            return self.queues.owe(writer);
        }
        if let Err((code, message)) = writer.check(data.at, payload.len(), price) {
            return base
                .out
                .refuse(from.peer, code, &message, Some(data.stream));
        }
        writer.credit.received += price;
        writer.next = end;
        let Origin { pipe, key, .. } = &writer.origin;
        base.spend_credit(from.peer, pipe, data.stream, &payload, price);
        base.run(pipe, |pipe, ctx| pipe.append(*key, payload, data.tail, ctx));
        base.recount(*key);
        note_arrived(writer, &mut self.queues, base);
        self.queues
            .note_requested(writer, data.requested, &mut base.budget);
        // After a restart, the last bytes may arrive after the finish.
        if writer.stage == Stage::Finished && !writer.is_awaited() {
            withdraw(writer, base);
            note_finished(writer, base);
        }
    }

    /// Takes in bytes for which nobody gave credit. Returns false if there is no room for them. Bytes for a
    /// stream that is gone are dropped.
    pub fn push<S: Store>(&mut self, base: &mut Base<S>, stream: Uuid, mut payload: Bytes) -> bool {
        let price = cost(payload.len());
        if base.budget.left() < price {
            self.make_room(base);
        }
        let Some(writer) = self.writers.get_mut(&stream) else {
            return true;
        };
        let Origin { pipe, key, .. } = &writer.origin;
        let (pipe, key) = (pipe.clone(), *key);
        if base.budget.left().min(base.quota_left(&pipe)) < price {
            return false;
        }
        while !payload.is_empty() {
            let chunk = payload.split_to(payload.len().min(MAX_CHUNK));
            writer.next += chunk.len() as u64;
            base.budget.hold(cost(chunk.len()), false);
            // Such a writer sends whole lines.
            base.run(&pipe, |pipe, ctx| pipe.append(key, chunk, 0, ctx));
            note_arrived(writer, &mut self.queues, base);
        }
        true
    }

    /// Takes note of the credit that a writer requests.
    pub fn request_credit<S>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        stream: Uuid,
        requested: u64,
    ) {
        if let Some(writer) = self.writers.get_mut(&stream)
            && writer.origin.client == from.client
        {
            self.queues
                .note_requested(writer, requested, &mut base.budget);
        }
    }

    /// Finishes a stream.
    pub fn finish<S: Store>(&mut self, base: &mut Base<S>, from: Sender<'_>, finish: Finish) {
        let Finish { stream, len, how } = finish;
        let found = self.writers.get_mut(&stream);
        if let Err((code, message)) = Writer::is_of(found.as_deref(), from) {
            return base.out.refuse(from.peer, code, message, Some(stream));
        }
        let Some(writer) = found else {
            return;
        };
        match writer.stage {
            Stage::Open => {}
            Stage::Finished => return answer_if_safe(writer, base),
            Stage::Answered(outcome) => {
                let finished = Reply::Finished { stream, outcome };
                return base.out.reply(from.peer, finished);
            }
            Stage::Lost => return,
        }
        if len != writer.next {
            let message = format!(
                "the stream finishes after {}, but {} arrived",
                text::count(len, "byte"),
                text::count(writer.next, "byte")
            );
            return base
                .out
                .refuse(from.peer, Code::Order, &message, Some(stream));
        }
        if is_long(&how) {
            let message = "a stream ends, with a proof of at most 64 bytes, or is cut, with a reason of at most 255 bytes";
            return base
                .out
                .refuse(from.peer, Code::Malformed, message, Some(stream));
        }
        end_writing(writer, base);
        let Origin { pipe, key, .. } = &writer.origin;
        base.run(pipe, |pipe, ctx| pipe.finish(*key, how, ctx));
        note_finished(writer, base);
    }

    /// Handles a writer that has its answer or does not want one.
    pub fn close<S: Store>(&mut self, base: &mut Base<S>, from: Sender<'_>, stream: Uuid) {
        if self.client_of(stream) == Some(from.client) {
            self.cut(base, stream, "the writer left before the end");
        }
    }
}

/// What writers are told.
impl Streams {
    /// Sends all due acknowledgements.
    pub fn acknowledge<S: Store>(&mut self, base: &mut Base<S>) {
        let mut unacknowledged = std::mem::take(&mut self.queues.unacknowledged);
        for stream in unacknowledged.drain(..) {
            let Some(writer) = self.writers.get_mut(&stream) else {
                continue;
            };
            writer.is_owed = false;
            let (limit, full) = (writer.credit.limit, writer.credit.full);
            // A writer whose bytes have all arrived may still wait for room on the disk.
            if writer.is_awaited() || (writer.stage == Stage::Finished && full.is_some()) {
                let next = writer.safe;
                let ack = Reply::Ack {
                    stream,
                    next,
                    limit,
                    full,
                };
                base.tell(writer.origin.client, ack);
            }
        }
        self.queues.unacknowledged = unacknowledged;
    }
}

/// Whether a finish says more than it may.
fn is_long(how: &How) -> bool {
    match how {
        How::End => false,
        How::Eof(_) => true,
        How::Proven(proof) => proof.len() > MAX_PROOF,
        How::Cut(why) => why.len() > MAX_LABEL,
    }
}

fn answer<S: Store>(writer: &mut Writer, base: &mut Base<S>, outcome: Outcome) {
    writer.stage = Stage::Answered(outcome);
    // After a restart, listeners may have confirmed bytes that the writer has not sent again.
    writer.next = writer.len().unwrap_or(writer.next);
    writer.safe = writer.next;
    let stream = writer.origin.stream;
    base.durability.note_changed(Changed::Writer(stream));
    let finished = Reply::Finished { stream, outcome };
    base.tell(writer.origin.client, finished);
}

/// Answers a writer if everything it waits for has happened.
fn answer_if_safe<S: Store>(writer: &mut Writer, base: &mut Base<S>) {
    if writer.is_answer_due() {
        answer(writer, base, Outcome::Kept);
    }
}

/// Takes back unused credit.
fn withdraw<S: Store>(writer: &mut Writer, base: &mut Base<S>) {
    let unused = writer.unused();
    let Credit {
        connection,
        received,
        limit,
        requested,
        ..
    } = &mut writer.credit;
    (*limit, *requested) = (*received, 0);
    let Origin { pipe, stream, .. } = &writer.origin;
    base.withdraw_credit(connection.as_ref(), pipe, *stream, unused);
}

/// Notes that bytes of a stream arrived.
fn note_arrived<S: Store>(writer: &mut Writer, queues: &mut Queues, base: &mut Base<S>) {
    if base.durability.is_durable() {
        let is_late = is_late(writer, base);
        base.durability
            .save_soon(writer.origin.key, is_late, base.now);
        return;
    }
    writer.safe = writer.next;
    queues.owe(writer);
    answer_if_safe(writer, base);
}

/// Whether a stream has no listeners, or its listeners have stopped confirming.
fn is_late<S: Store>(writer: &Writer, base: &Base<S>) -> bool {
    let Origin { pipe, key, .. } = &writer.origin;
    let pipe = base.pipes.get(pipe);
    base.durability.is_stalled(*key) || pipe.is_none_or(|pipe| pipe.is_free(*key))
}

/// Notes that a writer has finished its stream.
fn note_finished<S: Store>(writer: &mut Writer, base: &mut Base<S>) {
    if matches!(writer.stage, Stage::Answered(_)) {
        return;
    }
    if !base.durability.is_durable() {
        if let Some(finished) = &mut writer.finished {
            finished.is_safe = true;
        }
        writer.safe = writer.next;
        return answer_if_safe(writer, base);
    }
    let key = writer.origin.key;
    if base.durability.full().is_some() && !saving::has_unsaved(key, base) {
        // A finish needs no room, so it does not wait for others that do.
        base.durability.nothing_due(key);
        return saving::expect_sync(writer, key, base);
    }
    let is_late = is_late(writer, base);
    base.durability.save_last_soon(key, is_late, base.now);
}

/// The name of a pipe that a stream is in, as records spell it.
fn name_of(pipe: &str) -> Arc<str> {
    Arc::from(text::normal(pipe))
}
