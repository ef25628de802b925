//! Streams that open, writers that come back to theirs, and the writers of an earlier run.

use std::sync::Arc;

use uuid::Uuid;

use super::super::base::Base;
use super::super::peers::Sender;
use super::writer::{Finished, Origin, Promise, Stage, Writer};
use super::{Streams, answer_if_safe, name_of, withdraw};
use crate::interface::Peer;
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
    /// Resumes a writer, perhaps on another connection. Where a stream has to begin, a new one or the rest of a
    /// cut one, this checks it and returns its pipe, for [`Self::begin`] or [`Self::begin_rest`]. `is_used` says
    /// that the UUID may not be used for a new stream.
    pub fn open<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        open: &Open,
        is_used: bool,
    ) -> Option<Arc<str>> {
        match self.stage(open.stream) {
            None => check_new(base, from.peer, open, is_used),
            Some(_) if !self.owns(base, from, open.stream) => None,
            Some(Stage::Lost) => self.come_back(base, from, open),
            Some(_) => {
                self.reopen(base, from, open.stream, open.from);
                None
            }
        }
    }

    /// Begins a new stream that was checked, and for which there is room.
    pub fn begin<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        open: Open,
        pipe: Arc<str>,
    ) {
        let stream = open.stream;
        let opening = pipe::Opening {
            id: stream,
            label: open.label,
            begins: 0,
            is_hidden: open.whole,
        };
        self.create(
            base,
            Opening {
                client: from.client,
                pipe,
                stream: opening,
                wait: open.wait,
            },
        );
        self.opened(base, from, stream, 0);
    }

    /// Creates a stream and its writer.
    fn create<S: Store>(&mut self, base: &mut Base<S>, opening: Opening) {
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

    /// Answers `Open` with the first credit. `begins` is the first byte that the writer can still send.
    fn opened<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        stream: Uuid,
        begins: u64,
    ) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        if begins < writer.safe {
            self.queues.owe(writer);
        }
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
        self.opened(base, sender, stream, from);
    }

    /// Resumes a writer that had timed out (rule 16). If nobody was told of the cut, the stream continues.
    /// Otherwise, what the writer still has becomes the rest of the stream, for which this returns the pipe.
    fn come_back<S: Store>(
        &mut self,
        base: &mut Base<S>,
        sender: Sender<'_>,
        open: &Open,
    ) -> Option<Arc<str>> {
        let writer = self.writers.get(&open.stream)?;
        let ((pipe, key), end) = (writer.place(), writer.next);
        if open.from > end || (open.whole && end > 0) {
            let message =
                "the satellite lost contact with the writer for too long and dropped its stream";
            let about = Some(open.stream);
            base.out.refuse(sender.peer, Code::Unknown, message, about);
            return None;
        }
        match base.run(&pipe, |pipe, ctx| pipe.reopen(key, ctx)) {
            Reopened::GoesOn => {
                self.is_back(base, sender, open.stream, open.from);
                None
            }
            _ => Some(pipe),
        }
    }

    /// Begins the rest of a cut stream, whose writer came back. If there is no room for one more stream, the
    /// writer stays absent.
    pub fn begin_rest<S: Store>(
        &mut self,
        base: &mut Base<S>,
        sender: Sender<'_>,
        open: Open,
        has_room: bool,
    ) {
        let stream = open.stream;
        let Some(writer) = self.writers.get(&stream) else {
            return;
        };
        let ((pipe, key), begins) = (writer.place(), writer.next);
        if !has_room || !self.save_earlier(base, key) {
            base.set_absent(sender.client, stream);
            let message = "this satellite has no room for the rest of the stream";
            return base
                .out
                .refuse(sender.peer, Code::Limit, message, Some(stream));
        }
        let opening = pipe::Opening {
            id: stream,
            label: open.label,
            begins,
            is_hidden: open.whole,
        };
        self.go_on_with_rest(base, sender.client, &pipe, opening);
        self.is_back(base, sender, stream, open.from);
    }

    /// Answers a writer that is no longer absent. `begins` is the first byte that it can still send.
    fn is_back<S: Store>(
        &mut self,
        base: &mut Base<S>,
        sender: Sender<'_>,
        stream: Uuid,
        begins: u64,
    ) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let known = base.pipes.get(&writer.origin.pipe);
        let there = known.and_then(|pipe| pipe.end(writer.origin.key));
        (writer.stage, writer.finished) = (Stage::Open, None);
        writer.next = there.unwrap_or(writer.next);
        base.durability.note_changed(Changed::Writer(stream));
        base.absent.remove(|absent| absent == stream);
        base.peers.add_stream(sender.client, stream);
        self.opened(base, sender, stream, begins);
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
        self.create(base, opening);
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

/// Checks a new stream, and refuses a malformed one. Returns its pipe.
fn check_new<S: Store>(
    base: &mut Base<S>,
    peer: &Peer,
    open: &Open,
    is_used: bool,
) -> Option<Arc<str>> {
    let about = Some(open.stream);
    if open.resume || open.from > 0 {
        let message =
            "this satellite does not know the stream: it was restarted and lost the stream's data";
        base.out.refuse(peer, Code::Unknown, message, about);
        return None;
    }
    let pipe = base.name(peer, &open.pipe, about)?;
    if open.label.len() > MAX_LABEL || is_used {
        let message = "a label has at most 255 bytes, and a UUID can only be used once";
        base.out.refuse(peer, Code::Malformed, message, about);
        return None;
    }
    Some(pipe)
}
