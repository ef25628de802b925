//! Writers: opening and resuming streams, taking chunks in, acknowledging and answering.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::upkeep::Kind;
use super::{Broker, Peer, is_reserved};
use crate::pipe::{self, Changed, Reopened};
use crate::protocol::{
    BASE_CREDIT, Code, How, MAX_BYTES, MAX_CHUNK, MAX_LABEL, MAX_PROOF, MIN_SEND, Outcome, Reply,
    Shortage, cost,
};
use crate::store::{Store, StreamKey};
use crate::text;

/// The state of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The writer's stream is open.
    Open,
    /// The stream has finished, but the promise that the writer asked for does not hold yet.
    Finished,
    /// This answer is due or was sent.
    Answered(Outcome),
    /// The writer timed out and its stream was cut. The writer may come back (rule 16).
    Lost,
}

/// A writer. It exists until its client has confirmed the answer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what it asked for and what is noted about it are independent of one another"
)]
pub(super) struct Writer {
    /// The client that the writer belongs to.
    pub client: Uuid,
    /// The connection that was told the writer's credit.
    pub connection: Option<Peer>,
    pub pipe: Arc<str>,
    pub key: StreamKey,
    pub stage: Stage,
    /// The offset of the next expected byte.
    pub next: u64,
    /// Bytes below this offset are known to be safe.
    pub safe: u64,
    /// The total number of bytes, once the writer has finished. After the satellite restarted, some of them
    /// may have to be sent again.
    pub len: Option<u64>,
    /// The cost of the writer's chunks since the last `Opened`.
    pub received: u64,
    /// The limit for that cost: the credit given since the last `Opened`.
    pub limit: u64,
    /// The limit that the writer requested.
    pub requested: u64,
    /// Whether the writer's answer waits until listeners have confirmed everything (`--wait`).
    pub wait: bool,
    /// Whether the writer is in the queue for credit.
    pub is_wanting: bool,
    /// The resource that the writer waits for. None if it waits for none.
    pub full: Option<Shortage>,
    /// Whether an acknowledgement is due.
    is_owed: bool,
    /// Whether the stream's finish is safe.
    pub is_finish_safe: bool,
    /// Whether the writer was restored from the log of an earlier run.
    pub is_restored: bool,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream.
    pub begins: u64,
    /// Streams that hold earlier, cut parts of the writer's data, while they exist.
    pub earlier: Vec<StreamKey>,
    /// Whether data of an earlier part was discarded.
    pub has_discarded: bool,
}

impl Writer {
    /// A writer whose stream has arrived up to `next`.
    pub fn new(
        client: Uuid,
        pipe: Arc<str>,
        key: StreamKey,
        wait: bool,
        stage: Stage,
        next: u64,
        len: Option<u64>,
    ) -> Self {
        Self {
            client,
            connection: None,
            pipe,
            key,
            stage,
            next,
            safe: 0,
            len,
            received: 0,
            limit: 0,
            requested: 0,
            wait,
            is_wanting: false,
            full: None,
            is_owed: false,
            is_finish_safe: false,
            is_restored: false,
            begins: 0,
            earlier: Vec::new(),
            has_discarded: false,
        }
    }

    /// How much more credit the writer wants: the requested credit, and enough for one line in any case.
    pub fn wants(&self) -> u64 {
        if !self.is_awaited() {
            return 0;
        }
        let line = if self.limit < self.received + BASE_CREDIT / 2 {
            self.received + BASE_CREDIT
        } else {
            0
        };
        self.requested.max(line).saturating_sub(self.limit)
    }

    /// Whether the writer has credit and, according to its last request, data to send.
    pub fn will_send(&self) -> bool {
        self.has_credit() && self.requested > self.received
    }

    /// Whether the writer has enough credit to send something.
    pub fn has_credit(&self) -> bool {
        self.is_awaited() && self.limit - self.received >= MIN_SEND
    }

    /// Whether bytes are still expected.
    pub fn is_awaited(&self) -> bool {
        match self.stage {
            Stage::Open => true,
            Stage::Finished => self.next < self.most(),
            Stage::Answered(_) | Stage::Lost => false,
        }
    }

    /// The maximum length of the stream.
    pub fn most(&self) -> u64 {
        self.len.unwrap_or(MAX_BYTES)
    }

    /// Whether everything that the writer wrote is safe, including the finish.
    pub fn is_safe(&self) -> bool {
        self.is_finish_safe && self.len.is_some_and(|len| self.safe >= len)
    }
}

/// The fields of `Open`.
pub(super) struct Opening {
    pub stream: Uuid,
    pub pipe: String,
    pub from: u64,
    pub resume: bool,
    pub wait: bool,
    pub whole: bool,
    pub label: String,
}

/// The fields of `Data`, with its payload.
pub(super) struct Arrived {
    pub stream: Uuid,
    pub at: u64,
    pub tail: u64,
    pub requested: u64,
    pub payload: Bytes,
}

impl<S: Store> Broker<S> {
    pub(super) fn open(&mut self, peer: &Peer, client: Uuid, opening: Opening) {
        let Opening {
            stream,
            pipe,
            from,
            resume,
            wait,
            whole,
            label,
        } = opening;
        if let Some(writer) = self.writers.get(&stream) {
            return match writer.stage {
                Stage::Lost => self.writer_is_back(peer, client, stream, from, (label, whole)),
                _ => self.reopen(peer, client, stream, from),
            };
        }
        if resume || from > 0 {
            let message = "this satellite does not know the stream: it was restarted and lost the \
                           stream's data";
            return self.refuse(peer, Code::Unknown, message, Some(stream));
        }
        let Some(name) = self.name(peer, &pipe, Some(stream)) else {
            return;
        };
        if label.len() > MAX_LABEL
            || is_reserved(stream)
            || self.subscriptions.contains_key(&stream)
        {
            let message = "a label has at most 255 bytes, and a UUID can only be used once";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        if let Err(why) = self.has_room_for(client, Kind::Streams, &name) {
            return self.refuse(peer, Code::Limit, &why, Some(stream));
        }
        let opening = pipe::Opening {
            id: stream,
            label,
            begins: 0,
            is_hidden: whole,
        };
        self.begin(client, &name, opening, wait);
        self.opened(peer, stream);
    }

    /// Answers `Open` with the first credit.
    fn opened(&mut self, peer: &Peer, stream: Uuid) {
        let Some(writer) = self.writers.get(&stream) else {
            return;
        };
        let (name, next, rest) = (writer.pipe.clone(), writer.next, writer.begins > 0);
        let limit = if writer.is_awaited() {
            self.first_credit(&name, stream)
        } else {
            0
        };
        if let Some(writer) = self.writers.get_mut(&stream) {
            (writer.received, writer.limit, writer.requested) = (0, limit, 0);
            writer.connection = Some(peer.clone());
            self.inflow.give(peer, limit);
        }
        let reply = Reply::Opened {
            stream,
            next,
            limit,
            rest,
        };
        self.reply(peer, &reply);
    }

    /// Creates a stream and its writer.
    pub(super) fn begin(
        &mut self,
        client: Uuid,
        name: &Arc<str>,
        opening: pipe::Opening,
        wait: bool,
    ) {
        let key = StreamKey(self.new_key());
        let (stream, begins) = (opening.id, opening.begins);
        let mut writer = Writer::new(client, name.clone(), key, wait, Stage::Open, begins, None);
        writer.begins = begins;
        self.writers.insert(stream, writer);
        self.streams.insert(key, (stream, name.clone()));
        let owner = self.clients.key_of(client);
        self.shares.stream_comes(key, owner);
        self.shares.writer_comes(stream, owner);
        self.note_changed(Changed::Writer(stream));
        if let Some(owner) = self.clients.get_mut(client) {
            owner.streams.insert(stream);
        }
        self.schedule_check(client);
        self.with_pipe(name, |pipe, ctx| pipe.open(key, opening, ctx));
    }

    /// Resumes a writer, perhaps on another connection.
    fn reopen(&mut self, peer: &Peer, client: Uuid, stream: Uuid, from: u64) {
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        self.withdraw(stream);
        self.skip_to(stream, from);
        if from > self.writers[&stream].next {
            let message = "the writer no longer has the data that this satellite expects";
            return self.refuse(peer, Code::Unknown, message, Some(stream));
        }
        if from < self.writers[&stream].safe {
            self.owe(stream);
        }
        self.opened(peer, stream);
    }

    /// Resumes a writer that had timed out (rule 16). If nobody was told of the cut, the stream continues.
    /// Otherwise, what the writer still has becomes the rest of the stream.
    fn writer_is_back(
        &mut self,
        peer: &Peer,
        client: Uuid,
        stream: Uuid,
        from: u64,
        (label, whole): (String, bool),
    ) {
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        let writer = &self.writers[&stream];
        let (name, key, end) = (writer.pipe.clone(), writer.key, writer.next);
        if from > end || (whole && end > 0) {
            let message = "the satellite lost contact with the writer for too long and dropped \
                           its stream";
            return self.refuse(peer, Code::Unknown, message, Some(stream));
        }
        let goes_on = self.with_pipe(&name, |pipe, ctx| pipe.reopen(key, ctx)) == Reopened::GoesOn;
        let room = self.has_room_for(client, Kind::Streams, &name);
        if !goes_on && (room.is_err() || !self.save_earlier(key)) {
            let message = "this satellite has no room for the rest of the stream";
            return self.refuse(peer, Code::Limit, message, Some(stream));
        }
        if !goes_on {
            let opening = pipe::Opening {
                id: stream,
                label,
                begins: end,
                is_hidden: whole,
            };
            self.go_on_with_rest(client, &name, opening);
        }
        let there = self
            .pipes
            .get(&name)
            .and_then(|pipe| pipe.end(self.writers[&stream].key));
        if let Some(writer) = self.writers.get_mut(&stream) {
            (writer.stage, writer.len) = (Stage::Open, None);
            writer.next = there.unwrap_or(writer.next);
        }
        self.note_changed(Changed::Writer(stream));
        self.is_back(client, stream);
        if from < self.writers[&stream].safe {
            self.owe(stream);
        }
        self.opened(peer, stream);
    }

    /// Opens the rest of a cut stream for the same writer.
    fn go_on_with_rest(&mut self, client: Uuid, name: &Arc<str>, opening: pipe::Opening) {
        let stream = opening.id;
        let Some(before) = self.writers.remove(&stream) else {
            return;
        };
        self.begin(client, name, opening, before.wait);
        let is_there = self.streams.contains_key(&before.key);
        if let Some(writer) = self.writers.get_mut(&stream) {
            // If the earlier part is gone, it was taken or discarded.
            writer.safe = if is_there { before.safe } else { before.next };
            writer.has_discarded = before.has_discarded;
            writer.earlier = before.earlier;
            writer.earlier.extend(is_there.then_some(before.key));
        }
    }

    /// Skips bytes that a writer knows were safe, although a satellite that lost power does not have them.
    /// Listeners had confirmed these bytes, or the log would contain them.
    fn skip_to(&mut self, stream: Uuid, from: u64) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        if !writer.is_restored || from <= writer.next || from > writer.most() {
            return;
        }
        (writer.next, writer.safe) = (from, from);
        let (name, key) = (writer.pipe.clone(), writer.key);
        self.with_pipe(&name, |pipe, ctx| pipe.skip_to(key, from, ctx));
    }

    pub(super) fn data(&mut self, peer: &Peer, client: Uuid, arrived: Arrived) {
        let Arrived {
            stream,
            at,
            tail,
            requested,
            payload,
        } = arrived;
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let price = cost(payload.len());
        let end = at.saturating_add(payload.len() as u64);
        if !writer.is_awaited() || (at < writer.next && end <= writer.next) {
            return self.owe(stream);
        }
        if payload.is_empty() || payload.len() > MAX_CHUNK {
            let message = "a chunk has 1 byte to 1 MiB, and its writer needs credit for it";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        if at != writer.next || end > writer.most() {
            let message = format!(
                "the chunk begins at byte {at}, but byte {} was expected",
                writer.next
            );
            return self.refuse(peer, Code::Order, &message, Some(stream));
        }
        if writer.received + price > writer.limit {
            let message = "the chunk exceeds the writer's credit";
            return self.refuse(peer, Code::Credit, message, Some(stream));
        }
        writer.received += price;
        writer.next = end;
        let (name, key) = (writer.pipe.clone(), writer.key);
        self.inflow.took(peer, &payload);
        self.budget.hold(price, true);
        self.settle_credit(&name, price);
        self.shares.settle(stream, price);
        self.with_pipe(&name, |pipe, ctx| pipe.append(key, payload, tail, ctx));
        self.recount(key);
        self.note_unsaved(stream);
        self.note_requested(stream, requested);
        if self
            .writers
            .get(&stream)
            .is_some_and(|writer| writer.stage == Stage::Finished && !writer.is_awaited())
        {
            self.withdraw(stream);
            self.note_finished(stream);
        }
    }

    pub(super) fn want(&mut self, client: Uuid, stream: Uuid, requested: u64) {
        if self
            .writers
            .get(&stream)
            .is_some_and(|writer| writer.client == client)
        {
            self.note_requested(stream, requested);
        }
    }

    pub(super) fn note_requested(&mut self, stream: Uuid, requested: u64) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.requested = requested;
        if writer.wants() > 0 {
            if !std::mem::replace(&mut writer.is_wanting, true) {
                self.wanting.push_back(stream);
            }
            self.budget.touch();
        }
    }

    pub(super) fn finish(&mut self, peer: &Peer, client: Uuid, stream: Uuid, len: u64, how: How) {
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        let writer = &self.writers[&stream];
        match writer.stage {
            Stage::Open => {}
            Stage::Finished => return self.answer_if_safe(stream),
            Stage::Answered(outcome) => {
                return self.reply(peer, &Reply::Finished { stream, outcome });
            }
            Stage::Lost => return,
        }
        if len != writer.next {
            let message = format!(
                "the stream finishes after {}, but {} arrived",
                text::count(len, "byte"),
                text::count(writer.next, "byte")
            );
            return self.refuse(peer, Code::Order, &message, Some(stream));
        }
        let is_long = match &how {
            How::End => false,
            How::Eof(_) => true,
            How::Proven(proof) => proof.len() > MAX_PROOF,
            How::Cut(why) => why.len() > MAX_LABEL,
        };
        if is_long {
            let message = "a stream ends, with a proof of at most 64 bytes, or is cut, with a reason of at most 255 bytes";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        if let Some((name, key)) = self.end_writing(stream) {
            self.with_pipe(&name, |pipe, ctx| pipe.finish(key, how, ctx));
        }
        self.note_finished(stream);
    }

    /// Ends the writing of an open stream: no more chunks and no more credit. Returns its pipe and key.
    pub(super) fn end_writing(&mut self, stream: Uuid) -> Option<(Arc<str>, StreamKey)> {
        let writer = self.writers.get_mut(&stream)?;
        if writer.stage != Stage::Open {
            return None;
        }
        writer.stage = Stage::Finished;
        writer.len = Some(writer.next);
        writer.full = None;
        let place = (writer.pipe.clone(), writer.key);
        self.withdraw(stream);
        Some(place)
    }

    /// Handles a writer that has its answer or does not want one.
    pub(super) fn close(&mut self, client: Uuid, stream: Uuid) {
        if self
            .writers
            .get(&stream)
            .is_some_and(|writer| writer.client == client)
        {
            self.cut(stream, "the writer left before the end");
        }
    }

    pub(super) fn forget_writer(&mut self, stream: Uuid) {
        self.withdraw(stream);
        let Some(writer) = self.writers.remove(&stream) else {
            return;
        };
        self.shares.goes(stream);
        self.note_changed(Changed::Writer(stream));
        if let Some(client) = self.clients.get_mut(writer.client) {
            client.streams.remove(&stream);
            client.absent.remove(&stream);
        }
    }

    /// Handles the end of a stream. Its writer may be waiting for that, or need not wait for the disk any
    /// more.
    pub(super) fn stream_gone(&mut self, key: StreamKey, outcome: Outcome) {
        self.saving.forget(key);
        let Some((stream, _)) = self.streams.remove(&key) else {
            return;
        };
        self.shares.stream_goes(key);
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.earlier.retain(|earlier| *earlier != key);
        let begins = writer.begins;
        let are_earlier_gone = writer.earlier.is_empty() && writer.safe < begins;
        writer.has_discarded |= outcome == Outcome::Discarded;
        let is_over = !self.streams.contains_key(&writer.key);
        if are_earlier_gone {
            self.make_safe(stream, begins);
        }
        let Some(writer) = self.writers.get(&stream) else {
            return;
        };
        if writer.stage != Stage::Finished || !is_over {
            return;
        }
        match (writer.wait, writer.has_discarded) {
            (false, _) => self.answer(stream, Outcome::Kept),
            (true, _) if !writer.earlier.is_empty() => {}
            (true, true) => self.answer(stream, Outcome::Discarded),
            (true, false) => self.answer(stream, Outcome::Taken),
        }
    }

    pub(super) fn answer(&mut self, stream: Uuid, outcome: Outcome) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.stage = Stage::Answered(outcome);
        // After a restart, listeners may have confirmed bytes that the writer has not sent again.
        writer.next = writer.len.unwrap_or(writer.next);
        writer.safe = writer.next;
        let client = writer.client;
        self.note_changed(Changed::Writer(stream));
        self.tell(client, &Reply::Finished { stream, outcome }, None);
    }

    /// Takes back unused credit.
    pub(super) fn withdraw(&mut self, stream: Uuid) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let unused = writer.limit.saturating_sub(writer.received);
        writer.limit = writer.received;
        writer.requested = 0;
        let pipe = writer.pipe.clone();
        if let Some(connection) = &writer.connection {
            self.inflow.take_back(connection, unused);
        }
        self.budget.withdraw(unused);
        self.settle_credit(&pipe, unused);
        self.shares.settle(stream, unused);
    }

    /// Notes that an acknowledgement is due. It is sent once all input is handled.
    pub(super) fn owe(&mut self, stream: Uuid) {
        if let Some(writer) = self.writers.get_mut(&stream)
            && !std::mem::replace(&mut writer.is_owed, true)
        {
            self.unacknowledged.push(stream);
        }
    }

    /// Sends all due acknowledgements.
    pub(super) fn acknowledge(&mut self) {
        for stream in std::mem::take(&mut self.unacknowledged) {
            let Some(writer) = self.writers.get_mut(&stream) else {
                continue;
            };
            writer.is_owed = false;
            let (client, next, limit, full) =
                (writer.client, writer.safe, writer.limit, writer.full);
            // A writer whose bytes have all arrived may still wait for room on the disk.
            if writer.is_awaited() || (writer.stage == Stage::Finished && full.is_some()) {
                self.tell(
                    client,
                    &Reply::Ack {
                        stream,
                        next,
                        limit,
                        full,
                    },
                    None,
                );
            }
        }
    }

    /// Whether a stream belongs to this client. If not, the client is told.
    fn owns_stream(&mut self, peer: &Peer, client: Uuid, stream: Uuid) -> bool {
        let owner = self.writers.get(&stream).map(|writer| writer.client);
        if owner == Some(client) {
            return true;
        }
        let (code, message) = match owner {
            Some(_) => (Code::Denied, "that stream is another client's"),
            None => (Code::Unknown, "this satellite does not know the stream"),
        };
        self.refuse(peer, code, message, Some(stream));
        false
    }
}
