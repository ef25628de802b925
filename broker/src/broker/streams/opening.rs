//! Streams that open, and writers that come back to theirs.

use std::sync::Arc;

use uuid::Uuid;

use super::super::base::Base;
use super::super::peers::Sender;
use super::writer::{Finished, Origin, Promise, Stage, Writer};
use super::{Streams, answer_if_safe, name_of, withdraw};
use crate::pipe::{self, Changed, Reopened};
use crate::protocol::{Code, MAX_LABEL, Open, Outcome, Reply};
use crate::store::record::{Owner, WriterRecord};
use crate::store::{Store, StreamKey};

/// A stream that opens, with its pipe and its writer.
#[derive(Debug)]
struct Opening {
    client: Uuid,
    pipe: Arc<str>,
    stream: pipe::Opening,
    /// Whether the writer's answer waits until listeners have confirmed everything (`--wait`).
    wait: bool,
}

impl Streams {
    /// Opens a stream, or resumes its writer, perhaps on another connection. `is_used` says that the UUID may
    /// not be used for a new stream. `room` says whether there is room for one more stream.
    pub fn open<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        open: Open,
        is_used: bool,
        room: Result<(), String>,
    ) {
        let stream = open.stream;
        match self.stage(stream) {
            None => self.open_new(base, from, open, is_used, room),
            Some(_) if !self.owns(base, from, stream) => {}
            Some(Stage::Lost) => self.come_back(base, from, open, room.is_ok()),
            Some(_) => self.reopen(base, from, stream, open.from),
        }
    }

    fn open_new<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        open: Open,
        is_used: bool,
        room: Result<(), String>,
    ) {
        let (peer, stream) = (from.peer, open.stream);
        if open.resume || open.from > 0 {
            let message = "this satellite does not know the stream: it was restarted and lost the stream's data";
            return base.out.refuse(peer, Code::Unknown, message, Some(stream));
        }
        let Some(pipe) = base.name(peer, &open.pipe, Some(stream)) else {
            return;
        };
        if open.label.len() > MAX_LABEL || is_used {
            let message = "a label has at most 255 bytes, and a UUID can only be used once";
            return base
                .out
                .refuse(peer, Code::Malformed, message, Some(stream));
        }
        if let Err(why) = room {
            return base.out.refuse(peer, Code::Limit, &why, Some(stream));
        }
        let opening = pipe::Opening {
            id: stream,
            label: open.label,
            begins: 0,
            is_hidden: open.whole,
        };
        self.begin(
            base,
            Opening {
                client: from.client,
                pipe,
                stream: opening,
                wait: open.wait,
            },
        );
        self.opened(base, from, stream);
    }

    /// Creates a stream and its writer.
    fn begin<S: Store>(&mut self, base: &mut Base<S>, opening: Opening) {
        let Opening {
            client,
            pipe,
            stream: opening,
            wait,
        } = opening;
        let key = StreamKey(base.pipes.new_key());
        let stream = opening.id;
        base.pipes.add_stream(key, stream, &pipe);
        let owner = base.peers.key_of(client);
        base.shares.stream_comes(key, owner);
        base.shares.writer_comes(stream, owner);
        base.durability.note_changed(Changed::Writer(stream));
        base.peers.add_stream(client, stream);
        let origin = Origin {
            stream,
            client,
            pipe: pipe.clone(),
            key,
            promise: promise(wait),
            begins: opening.begins,
        };
        self.writers.insert(stream, Writer::new(origin));
        base.run(&pipe, |pipe, ctx| pipe.open(key, opening, ctx));
    }

    /// Answers `Open` with the first credit.
    fn opened<S: Store>(&mut self, base: &mut Base<S>, from: Sender<'_>, stream: Uuid) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let pipe = &writer.origin.pipe;
        let limit = if writer.is_awaited() {
            base.first_credit(pipe, stream)
        } else {
            0
        };
        base.give_credit(Some(from.peer), pipe, stream, limit);
        let credit = &mut writer.credit;
        (credit.received, credit.limit, credit.requested) = (0, limit, 0);
        credit.connection = Some(from.peer.clone());
        let reply = Reply::Opened {
            stream,
            next: writer.next,
            limit,
            rest: writer.origin.begins > 0,
        };
        base.out.reply(from.peer, reply);
    }

    /// Resumes a writer, perhaps on another connection.
    fn reopen<S: Store>(
        &mut self,
        base: &mut Base<S>,
        sender: Sender<'_>,
        stream: Uuid,
        from: u64,
    ) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        withdraw(writer, base);
        skip_to(writer, from, base);
        if from > writer.next {
            let message = "the writer no longer has the data that this satellite expects";
            return base
                .out
                .refuse(sender.peer, Code::Unknown, message, Some(stream));
        }
        if from < writer.safe {
            self.queues.owe(writer);
        }
        self.opened(base, sender, stream);
    }

    /// Resumes a writer that had timed out (rule 16). If nobody was told of the cut, the stream continues.
    /// Otherwise, what the writer still has becomes the rest of the stream.
    fn come_back<S: Store>(
        &mut self,
        base: &mut Base<S>,
        sender: Sender<'_>,
        open: Open,
        has_room: bool,
    ) {
        let (peer, stream, from) = (sender.peer, open.stream, open.from);
        let Some(writer) = self.writers.get(&stream) else {
            return;
        };
        let ((pipe, key), end) = (writer.place(), writer.next);
        if from > end || (open.whole && end > 0) {
            let message =
                "the satellite lost contact with the writer for too long and dropped its stream";
            return base.out.refuse(peer, Code::Unknown, message, Some(stream));
        }
        let goes_on = base.run(&pipe, |pipe, ctx| pipe.reopen(key, ctx)) == Reopened::GoesOn;
        if !goes_on && (!has_room || !self.save_earlier(base, key)) {
            let message = "this satellite has no room for the rest of the stream";
            return base.out.refuse(peer, Code::Limit, message, Some(stream));
        }
        if !goes_on {
            let opening = pipe::Opening {
                id: stream,
                label: open.label,
                begins: end,
                is_hidden: open.whole,
            };
            self.go_on_with_rest(base, sender.client, &pipe, opening);
        }
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let known = base.pipes.get(&pipe);
        let there = known.and_then(|pipe| pipe.end(writer.origin.key));
        (writer.stage, writer.finished) = (Stage::Open, None);
        writer.next = there.unwrap_or(writer.next);
        base.durability.note_changed(Changed::Writer(stream));
        base.absent.remove(|absent| absent == stream);
        base.peers.add_stream(sender.client, stream);
        if from < writer.safe {
            self.queues.owe(writer);
        }
        self.opened(base, sender, stream);
    }

    /// Opens the rest of a cut stream for the same writer.
    fn go_on_with_rest<S: Store>(
        &mut self,
        base: &mut Base<S>,
        client: Uuid,
        pipe: &Arc<str>,
        opening: pipe::Opening,
    ) {
        let stream = opening.id;
        let Some(before) = self.writers.remove(&stream) else {
            return;
        };
        let opening = Opening {
            client,
            pipe: pipe.clone(),
            stream: opening,
            wait: before.origin.promise == Promise::Taken,
        };
        self.begin(base, opening);
        let key = before.origin.key;
        let is_there = base.pipes.has_stream(key);
        if let Some(writer) = self.writers.get_mut(&stream) {
            // If the earlier part is gone, it was taken or discarded.
            writer.safe = if is_there { before.safe } else { before.next };
            writer.has_discarded = before.has_discarded;
            writer.earlier = before.earlier;
            writer.earlier.extend(is_there.then_some(key));
        }
    }

    /// Saves the earlier parts of a cut stream, so that the rest is reported safe only together with them.
    /// Returns whether the disk had room.
    fn save_earlier<S: Store>(&mut self, base: &mut Base<S>, key: StreamKey) -> bool {
        let is_needed = base.durability.is_durable() && base.pipes.has_stream(key);
        !is_needed || self.save(base, key)
    }

    /// Whether a stream belongs to the sender's client. If not, the client is told.
    fn owns<S>(&self, base: &mut Base<S>, from: Sender<'_>, stream: Uuid) -> bool {
        match Writer::is_of(self.writers.get(&stream), from) {
            Ok(()) => true,
            Err((code, message)) => {
                base.out.refuse(from.peer, code, message, Some(stream));
                false
            }
        }
    }
}

/// A restart.
impl Streams {
    /// Restores a writer of an earlier run.
    pub fn restore<S: Store>(&mut self, base: &mut Base<S>, record: &WriterRecord) {
        let stream = record.stream;
        let Some(mut writer) = restored(record, base) else {
            return base.durability.note_changed(Changed::Writer(stream));
        };
        let earlier = record.earlier.iter().map(|key| StreamKey(*key));
        writer.earlier = earlier.filter(|key| base.pipes.has_stream(*key)).collect();
        let is_lost = writer.stage == Stage::Lost;
        self.writers.insert(stream, writer);
        base.shares
            .writer_comes(stream, record.owner.map(Owner::key));
        base.peers.restore(record.client, base.now);
        base.peers.add_stream(record.client, stream);
        if is_lost {
            base.set_absent(record.client, stream);
            base.peers.forget_if_over(record.client);
        }
        base.peers.schedule_check(record.client);
    }

    /// Answers all writers whose data is safe.
    pub fn answer_all_safe<S: Store>(&mut self, base: &mut Base<S>) {
        for writer in self.writers.values_mut() {
            answer_if_safe(writer, base);
        }
    }

    /// Whether the writer of a stream still writes it, or comes back for its missing bytes.
    pub fn is_awaited(&self, stream: Uuid, key: StreamKey) -> bool {
        let writer = self.writers.get(&stream);
        writer.is_some_and(|writer| writer.origin.key == key && writer.is_awaited())
    }

    /// Whether a stream has a writer that is not lost.
    pub fn is_written(&self, stream: Uuid, key: StreamKey) -> bool {
        let writer = self.writers.get(&stream);
        writer.is_some_and(|writer| writer.origin.key == key && writer.stage != Stage::Lost)
    }
}

fn promise(wait: bool) -> Promise {
    if wait { Promise::Taken } else { Promise::Safe }
}

/// A writer from its record. None if the record is of a writer that is gone.
fn restored<S: Store>(record: &WriterRecord, base: &Base<S>) -> Option<Writer> {
    let key = StreamKey(record.key);
    let name = name_of(&record.pipe);
    let place = base.pipes.place(key);
    let is_its = place.is_some_and(|place| place.stream == record.stream);
    let pipe = base.pipes.get(&name).filter(|_| is_its);
    let len = pipe.and_then(|pipe| pipe.len(key)).or(record.len);
    let end = pipe.and_then(|pipe| pipe.end(key));
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
        (None, None, None) => return None,
    };
    let mut writer = Writer::new(Origin {
        stream: record.stream,
        client: record.client,
        pipe: name,
        key,
        promise: promise(record.wait),
        begins: record.begins,
    });
    writer.stage = stage;
    // All bytes of a stream that is gone had arrived.
    writer.next = end.or(record.lost_at).or(len).unwrap_or(record.begins);
    // Everything that a store recovers is synced.
    writer.safe = writer.next;
    let finished = len.map(|len| Finished { len, is_safe: true });
    writer.finished = finished.filter(|_| stage != Stage::Lost);
    writer.is_restored = true;
    Some(writer)
}

/// Skips bytes that a writer knows were safe, although a satellite that lost power does not have them.
/// Listeners had confirmed these bytes, or the log would contain them.
fn skip_to<S: Store>(writer: &mut Writer, from: u64, base: &mut Base<S>) {
    if !writer.is_restored || from <= writer.next || from > writer.most() {
        return;
    }
    (writer.next, writer.safe) = (from, from);
    let Origin { pipe, key, .. } = &writer.origin;
    base.run(pipe, |pipe, ctx| pipe.skip_to(*key, from, ctx));
}
