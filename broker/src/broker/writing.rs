//! Writers: opening and resuming streams, taking chunks in, acknowledging, answering.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Broker, MAX_FEEDS, MAX_STREAMS, Peer, is_reserved};
use crate::pipe::Pipe;
use crate::protocol::{BASE_CREDIT, Code, How, MAX_CHUNK, MAX_LABEL, Outcome, Reply, SCRAP, cost};
use crate::store::{Store, StreamKey};

/// How far a writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its stream is open.
    Open,
    /// Its stream has finished; what it asked for does not hold yet.
    Finished,
    /// It is owed this answer, or has been sent it.
    Answered(Outcome),
}

/// One writer, until it has its answer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what it asked for and what is noted about it are independent of one another"
)]
pub(super) struct Writer {
    /// Whose it is.
    pub client: Uuid,
    pub pipe: Arc<str>,
    pub key: StreamKey,
    pub stage: Stage,
    /// The number of the chunk that is expected.
    pub next: u64,
    /// What its chunks have cost.
    pub received: u64,
    /// What they may cost.
    pub limit: u64,
    /// The limit that it wants.
    pub want: u64,
    /// Whether it waits until listeners have confirmed everything.
    pub wait: bool,
    /// Whether it stands in the queue for credit.
    pub is_wanting: bool,
    /// Whether it was found without room.
    pub is_full: bool,
    /// Whether it is owed an acknowledgement.
    is_owed: bool,
}

impl Writer {
    /// How much more credit it wants: what it said, and a line's worth in any case.
    pub fn wants(&self) -> u64 {
        if self.stage != Stage::Open {
            return 0;
        }
        let line = if self.limit < self.received + BASE_CREDIT / 2 {
            self.received + BASE_CREDIT
        } else {
            0
        };
        self.want.max(line).saturating_sub(self.limit)
    }

    /// Whether it may send something, and has something in hand as far as it said.
    pub fn will_send(&self) -> bool {
        self.has_credit() && self.want > self.received
    }

    /// Whether it may send something.
    pub fn has_credit(&self) -> bool {
        self.stage == Stage::Open && self.limit - self.received >= SCRAP
    }
}

/// The fields of `Open`.
pub(super) struct Opening {
    pub stream: Uuid,
    pub pipe: String,
    pub from: u64,
    pub resume: bool,
    pub wait: bool,
    pub label: String,
}

/// The fields of `Data`, with its payload.
pub(super) struct Arrived {
    pub stream: Uuid,
    pub seq: u64,
    pub tail: u64,
    pub want: u64,
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
            label,
        } = opening;
        if self.writers.contains_key(&stream) {
            return self.reopen(peer, client, stream, from);
        }
        if self.lost.contains(&stream) {
            let message = "the satellite had given this writer up, and its stream was cut";
            return self.refuse(peer, Code::Lost, message, Some(stream));
        }
        if resume || from > 0 {
            let message = "this satellite does not know the stream: it was restarted, and what it \
                           kept in memory is lost";
            return self.refuse(peer, Code::Unknown, message, Some(stream));
        }
        let Some(name) = self.name(peer, &pipe, Some(stream)) else {
            return;
        };
        if label.len() > MAX_LABEL || is_reserved(stream) || self.takers.contains_key(&stream) {
            let message = "a label has at most 255 bytes, and a UUID one use";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        if !self.has_room_for_stream(&name) {
            let message = "this satellite has all the streams that it can keep";
            return self.refuse(peer, Code::Limit, message, Some(stream));
        }
        let limit = self.first_credit();
        self.begin(client, stream, &name, label, wait);
        if let Some(writer) = self.writers.get_mut(&stream) {
            writer.limit = limit;
        }
        self.reply(
            peer,
            &Reply::Opened {
                stream,
                next: 0,
                limit,
            },
        );
    }

    /// Whether another stream may open or wait in a pipe.
    pub(super) fn has_room_for_stream(&self, pipe: &str) -> bool {
        self.streams.len().max(self.writers.len()) < MAX_STREAMS && self.has_room_for_feeds(pipe)
    }

    /// Whether another stream or listener of a pipe would not be a part in too many.
    pub(super) fn has_room_for_feeds(&self, pipe: &str) -> bool {
        let more = self.pipes.get(pipe).map_or(0, Pipe::breadth);
        self.effects.feeds + more <= MAX_FEEDS
    }

    /// Makes a stream and its writer.
    pub(super) fn begin(
        &mut self,
        client: Uuid,
        stream: Uuid,
        name: &Arc<str>,
        label: String,
        wait: bool,
    ) {
        let key = StreamKey(self.new_key());
        let writer = Writer {
            client,
            pipe: name.clone(),
            key,
            stage: Stage::Open,
            next: 0,
            received: 0,
            limit: 0,
            want: 0,
            wait,
            is_wanting: false,
            is_full: false,
            is_owed: false,
        };
        self.writers.insert(stream, writer);
        self.streams.insert(key, stream);
        if let Some(owner) = self.clients.get_mut(client) {
            owner.streams.insert(stream);
        }
        self.schedule_check(client);
        self.with_pipe(name, |pipe, ctx| pipe.open(key, stream, label, ctx));
    }

    /// A writer is there again, perhaps on another connection.
    fn reopen(&mut self, peer: &Peer, client: Uuid, stream: Uuid, from: u64) {
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        self.withdraw(stream);
        let is_open = self.writers[&stream].stage == Stage::Open;
        let credit = if is_open { self.first_credit() } else { 0 };
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.limit = writer.received + credit;
        writer.want = 0;
        let (next, limit) = (writer.next, writer.limit);
        if from > next {
            let message = "the writer no longer has what this satellite expects";
            return self.refuse(peer, Code::Unknown, message, Some(stream));
        }
        self.reply(
            peer,
            &Reply::Opened {
                stream,
                next,
                limit,
            },
        );
    }

    pub(super) fn data(&mut self, peer: &Peer, client: Uuid, arrived: Arrived) {
        let Arrived {
            stream,
            seq,
            tail,
            want,
            payload,
        } = arrived;
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let price = cost(payload.len());
        if seq < writer.next || writer.stage != Stage::Open {
            return self.owe(stream);
        }
        if seq > writer.next {
            let message = format!("chunk {seq} came where {} was expected", writer.next);
            return self.refuse(peer, Code::Order, &message, Some(stream));
        }
        if payload.is_empty() || payload.len() > MAX_CHUNK {
            let message = "a chunk has 1 byte to 1 MiB";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        if writer.received + price > writer.limit {
            let message = "the chunk exceeds the writer's credit";
            return self.refuse(peer, Code::Credit, message, Some(stream));
        }
        writer.received += price;
        writer.next += 1;
        let (name, key) = (writer.pipe.clone(), writer.key);
        self.room.hold(price, true);
        self.with_pipe(&name, |pipe, ctx| pipe.append(key, payload, tail, ctx));
        self.owe(stream);
        self.note_want(stream, want);
    }

    pub(super) fn want(&mut self, client: Uuid, stream: Uuid, want: u64) {
        if self
            .writers
            .get(&stream)
            .is_some_and(|writer| writer.client == client)
        {
            self.note_want(stream, want);
        }
    }

    fn note_want(&mut self, stream: Uuid, want: u64) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.want = want;
        if writer.wants() > 0 {
            if !std::mem::replace(&mut writer.is_wanting, true) {
                self.wanting.push_back(stream);
            }
            self.room.touch();
        }
    }

    pub(super) fn finish(&mut self, peer: &Peer, client: Uuid, stream: Uuid, seq: u64, how: How) {
        if !self.owns_stream(peer, client, stream) {
            return;
        }
        let writer = &self.writers[&stream];
        match writer.stage {
            Stage::Open => {}
            Stage::Finished => return,
            Stage::Answered(outcome) => {
                return self.reply(peer, &Reply::Finished { stream, outcome });
            }
        }
        if seq != writer.next {
            let message = format!(
                "a finish after {seq} chunks, where there are {}",
                writer.next
            );
            return self.refuse(peer, Code::Order, &message, Some(stream));
        }
        if matches!(&how, How::Cut(why) if why.len() > MAX_LABEL) {
            let message = "the reason of a cut has at most 255 bytes";
            return self.refuse(peer, Code::Malformed, message, Some(stream));
        }
        let wait = writer.wait;
        if let Some((name, key)) = self.end_writing(stream) {
            self.with_pipe(&name, |pipe, ctx| pipe.finish(key, how, ctx));
        }
        if !wait {
            self.answer(stream, Outcome::Kept);
        }
    }

    /// Ends the writing of an open stream: no more chunks, no more credit. Returns where it is.
    pub(super) fn end_writing(&mut self, stream: Uuid) -> Option<(Arc<str>, StreamKey)> {
        let writer = self.writers.get_mut(&stream)?;
        if writer.stage != Stage::Open {
            return None;
        }
        writer.stage = Stage::Finished;
        writer.is_full = false;
        let place = (writer.pipe.clone(), writer.key);
        self.withdraw(stream);
        Some(place)
    }

    /// The writer has its answer, or does not want it.
    pub(super) fn close(&mut self, client: Uuid, stream: Uuid) {
        if self
            .writers
            .get(&stream)
            .is_some_and(|writer| writer.client == client)
        {
            self.cut(stream, "it left before its end");
        }
    }

    pub(super) fn forget_writer(&mut self, stream: Uuid) {
        if let Some(writer) = self.writers.remove(&stream)
            && let Some(client) = self.clients.get_mut(writer.client)
        {
            client.streams.remove(&stream);
        }
    }

    /// A stream is over: its writer may have waited for that.
    pub(super) fn stream_gone(&mut self, key: StreamKey, outcome: Outcome) {
        let Some(stream) = self.streams.remove(&key) else {
            return;
        };
        if self.writers.get(&stream).is_some_and(|writer| writer.wait) {
            self.answer(stream, outcome);
        }
    }

    fn answer(&mut self, stream: Uuid, outcome: Outcome) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        writer.stage = Stage::Answered(outcome);
        let client = writer.client;
        self.tell(client, &Reply::Finished { stream, outcome }, None);
    }

    /// Takes back credit that was not used.
    pub(super) fn withdraw(&mut self, stream: Uuid) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        self.room
            .withdraw(writer.limit.saturating_sub(writer.received));
        writer.limit = writer.received;
        writer.want = 0;
    }

    /// Notes that a writer is owed an acknowledgement; it goes out when all input is handled.
    pub(super) fn owe(&mut self, stream: Uuid) {
        if let Some(writer) = self.writers.get_mut(&stream)
            && !std::mem::replace(&mut writer.is_owed, true)
        {
            self.unacknowledged.push(stream);
        }
    }

    /// Sends the acknowledgements that are owed.
    pub(super) fn acknowledge(&mut self) {
        for stream in std::mem::take(&mut self.unacknowledged) {
            let Some(writer) = self.writers.get_mut(&stream) else {
                continue;
            };
            writer.is_owed = false;
            let (client, next, limit, full) =
                (writer.client, writer.next, writer.limit, writer.is_full);
            if writer.stage == Stage::Open {
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

    /// Whether a stream is known and this client's; tells it otherwise.
    fn owns_stream(&mut self, peer: &Peer, client: Uuid, stream: Uuid) -> bool {
        let owner = self.writers.get(&stream).map(|writer| writer.client);
        if owner == Some(client) {
            return true;
        }
        let (code, message) = match owner {
            Some(_) => (Code::Denied, "that stream is another client's"),
            None if self.lost.contains(&stream) => (
                Code::Lost,
                "the satellite had given this writer up, and its stream was cut",
            ),
            None => (Code::Unknown, "this satellite does not know the stream"),
        };
        self.refuse(peer, code, message, Some(stream));
        false
    }
}
