//! The end of writers and streams: by their client, by a timeout, by damage, or because all is taken.

use uuid::Uuid;

use super::super::base::Base;
use super::saving::make_safe;
use super::writer::{Finished, Origin, Promise, Stage, Writer};
use super::{Streams, answer, withdraw};
use crate::pipe::Changed;
use crate::protocol::{How, Outcome};
use crate::store::{Store, StreamKey};
use crate::text;

impl Streams {
    /// Forgets a writer, and cuts its stream if the stream is open. The writer is forgotten first: its stream
    /// has not finished, so nothing that happens to the stream is an answer to the writer.
    pub fn cut<S: Store>(&mut self, base: &mut Base<S>, stream: Uuid, why: &str) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let (stage, is_awaited, end) = (writer.stage, writer.is_awaited(), writer.next);
        let (pipe, key) = writer.place();
        if stage == Stage::Open {
            end_writing(writer, base);
        }
        self.forget(base, stream);
        if stage == Stage::Finished && is_awaited {
            base.run(&pipe, |pipe, ctx| pipe.cut_short(key, end, why, ctx));
        }
        if stage == Stage::Open {
            let how = How::Cut(why.to_owned());
            base.run(&pipe, |pipe, ctx| pipe.finish(key, how, ctx));
        }
    }

    /// Forgets a writer.
    pub fn forget<S: Store>(&mut self, base: &mut Base<S>, stream: Uuid) {
        let Some(mut writer) = self.writers.remove(&stream) else {
            return;
        };
        withdraw(&mut writer, base);
        base.shares.goes(stream);
        base.durability.note_changed(Changed::Writer(stream));
        base.peers.drop_stream(writer.origin.client, stream);
    }

    /// Gives up a writer that timed out: cuts its stream and keeps its position. A writer whose stream has
    /// finished still waits for its answer, and nothing changes for it.
    pub fn lose<S: Store>(&mut self, base: &mut Base<S>, stream: Uuid, why: &str) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let Origin {
            pipe, key, client, ..
        } = &writer.origin;
        let (pipe, key, client, next) = (pipe.clone(), *key, *client, writer.next);
        let (is_open, is_awaited) = (writer.stage == Stage::Open, writer.is_awaited());
        if is_awaited {
            withdraw(writer, base);
            (writer.stage, writer.finished) = (Stage::Lost, None);
            base.durability.note_changed(Changed::Writer(stream));
        }
        if is_open {
            let how = How::Cut(why.to_owned());
            base.run(&pipe, |pipe, ctx| pipe.finish(key, how, ctx));
        } else if is_awaited {
            // A satellite that was restarted may lack the stream's last bytes.
            base.run(&pipe, |pipe, ctx| pipe.cut_short(key, next, why, ctx));
        }
        base.set_absent(client, stream);
    }

    /// Ends a stream where its damage begins.
    pub fn cut_damaged<S: Store>(
        &mut self,
        base: &mut Base<S>,
        key: StreamKey,
        at: u64,
        why: &str,
    ) {
        let Some(place) = base.pipes.place(key).cloned() else {
            return;
        };
        base.out.log(format!(
            "a stream of {} is cut after its first {}: {why}",
            text::pipe(&place.pipe),
            text::count(at, "byte")
        ));
        let why = "the satellite's disk could not be read";
        if self.key_of(place.stream) == Some(key) {
            self.cut(base, place.stream, why);
        }
        base.run(&place.pipe, |pipe, ctx| pipe.cut_short(key, at, why, ctx));
    }

    /// Takes credit back from a writer whose connection carries no more data, or whose protocol has no
    /// credit. It is given no more until it resumes.
    pub fn disconnect<S: Store>(&mut self, base: &mut Base<S>, stream: Uuid) {
        if let Some(writer) = self.writers.get_mut(&stream) {
            withdraw(writer, base);
            writer.credit.connection = None;
        }
    }

    /// Handles the end of a stream. Its writer may be waiting for that, or need not wait for the disk any
    /// more.
    pub fn gone<S: Store>(&mut self, base: &mut Base<S>, key: StreamKey, outcome: Outcome) {
        base.durability.forget(key);
        let Some(place) = base.pipes.drop_stream(key) else {
            return;
        };
        base.shares.stream_goes(key);
        let Some(writer) = self.writers.get_mut(&place.stream) else {
            return;
        };
        writer.earlier.retain(|earlier| *earlier != key);
        let begins = writer.origin.begins;
        writer.has_discarded |= outcome == Outcome::Discarded;
        if writer.earlier.is_empty() && writer.safe < begins {
            make_safe(writer, &mut self.queues, &mut base.budget, begins);
        }
        let is_over = !base.pipes.has_stream(writer.origin.key);
        if writer.stage != Stage::Finished || !is_over {
            return;
        }
        match (writer.origin.promise, writer.has_discarded) {
            (Promise::Safe, _) => answer(writer, base, Outcome::Kept),
            (Promise::Taken, _) if !writer.earlier.is_empty() => {}
            (Promise::Taken, true) => answer(writer, base, Outcome::Discarded),
            (Promise::Taken, false) => answer(writer, base, Outcome::Taken),
        }
    }
}

/// Ends the writing of an open stream: no more chunks and no more credit.
pub(super) fn end_writing<S: Store>(writer: &mut Writer, base: &mut Base<S>) {
    debug_assert_eq!(writer.stage, Stage::Open, "a stream ends once");
    writer.stage = Stage::Finished;
    writer.finished = Some(Finished {
        len: writer.next,
        is_safe: false,
    });
    writer.credit.full = None;
    withdraw(writer, base);
}
