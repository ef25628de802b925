//! How listeners and streams end: what a confirmation does, what can be released, and what happens to streams
//! without listeners (rules 5, 6, 10 and 12).

use bytes::Bytes;

use super::listener::{Cursor, Phase, SentWhat};
use super::{Changed, Context, Effect, ListenerKey, Pipe};
use crate::protocol::{Mode, Outcome};
use crate::store::{Store, StreamKey};

impl Pipe {
    /// Ends a default listener or a tap if all its streams have finished (rule 5).
    pub(super) fn end_if_over<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let ends = matches!(listener.mode, Mode::Default | Mode::Tap)
            && listener.is_accepting()
            && listener.has_had;
        if ends
            && !listener
                .cursors
                .keys()
                .any(|stream| self.open.contains(stream))
        {
            listener.phase = Phase::Draining;
            ctx.change(Changed::Listener(key));
        }
    }

    /// Notes that a listener has had a finished stream, if this stream has finished.
    pub(super) fn note_had<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        if !self.open.contains(&stream)
            && let Some(listener) = self.listeners.get_mut(&key)
            && !std::mem::replace(&mut listener.has_had, true)
        {
            ctx.change(Changed::Listener(key));
        }
    }

    /// Makes a live listener stop at the current end of each unfinished stream (`--eof`).
    pub(super) fn limit_cursors<S: Store>(
        &mut self,
        key: ListenerKey,
        order: &Bytes,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        listener.phase = Phase::Draining;
        listener.until = Some(ctx.totals.arrivals);
        listener.eof = Some(order.clone());
        ctx.change(Changed::Listener(key));
        for (stream, cursor) in &mut listener.cursors {
            if self.open.contains(stream) {
                let next = self.streams[stream].next;
                cursor.limit = Some(next);
                ctx.change(Changed::Part(key, *stream));
                cursor.complete = match &cursor.tap {
                    Some(tap) => tap.chunks.is_empty(),
                    None => cursor.sent >= next,
                };
            }
        }
    }

    /// Removes cursors that are confirmed up to their limit.
    pub(super) fn close_limited<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get(&key) else {
            return;
        };
        let is_over =
            |cursor: &Cursor| cursor.tap.is_none() && cursor.limit == Some(cursor.confirmed);
        let over: Vec<_> = listener
            .cursors
            .iter()
            .filter(|(_, cursor)| is_over(cursor))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in over {
            self.give_up(key, stream, ctx);
        }
    }

    /// Processes one confirmed item.
    pub(super) fn confirm_one<S: Store>(
        &mut self,
        key: ListenerKey,
        what: &SentWhat,
        ctx: &mut Context<'_, S>,
    ) {
        match what {
            SentWhat::Chunk {
                stream, at, len, ..
            } => self.confirm_chunk(key, *stream, at + *len as u64, ctx),
            SentWhat::Ended { stream: key_of, .. } => {
                let key_of = *key_of;
                let is_tap = self.listeners.get(&key).is_some_and(|one| one.is_tap());
                if let Some(stream) = self.streams.get_mut(&key_of)
                    && !is_tap
                {
                    stream.finish_taken = true;
                    ctx.change(Changed::Stream(key_of));
                    let next = stream.next;
                    self.take(key_of, next);
                }
                self.give_up(key, key_of, ctx);
            }
            SentWhat::Done { .. } => {
                self.leave(key, ctx);
                ctx.effects.push(Effect::Ended(key));
            }
        }
    }

    pub(super) fn confirm_chunk<S: Store>(
        &mut self,
        key: ListenerKey,
        stream_key: StreamKey,
        end: u64,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(cursor) = self
            .listeners
            .get_mut(&key)
            .and_then(|listener| listener.cursors.get_mut(&stream_key))
        else {
            return;
        };
        let before = cursor.confirmed;
        cursor.confirmed = before.max(end);
        let confirmed = cursor.confirmed;
        let (is_tap, is_over) = (cursor.tap.is_some(), cursor.limit == Some(cursor.confirmed));
        if is_tap {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&stream_key)
            && !stream.is_claimed()
        {
            stream.move_taker(before, confirmed);
            if !stream.is_kept_whole {
                self.take(stream_key, end);
            }
            self.trim(stream_key, ctx);
        }
        if is_over {
            self.give_up(key, stream_key, ctx);
        }
    }

    /// Notes that a listener has confirmed all bytes of a stream below `at`.
    pub(super) fn take(&mut self, key: StreamKey, at: u64) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.taken = stream.taken.max(at);
        }
    }

    /// Releases chunks that nobody needs any more.
    pub(super) fn trim<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let needed = stream.needed();
        ctx.change(Changed::Progress(key));
        if needed > stream.released {
            let kept = stream.kept();
            stream.released = needed;
            self.kept -= kept - stream.kept();
            let freed = ctx.store.release(key, needed);
            ctx.effects.push(Effect::Freed(freed));
            ctx.effects.push(Effect::Released(key, needed));
        }
    }

    /// Removes a listener's cursor in a stream, for whatever reason.
    pub(super) fn give_up<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        let listener = self.listeners.get_mut(&key);
        if let Some(cursor) = listener.and_then(|listener| listener.drop_cursor(stream)) {
            self.end_part(key, stream, &cursor, ctx);
        }
    }

    pub(super) fn end_part<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        cursor: &Cursor,
        ctx: &mut Context<'_, S>,
    ) {
        ctx.totals.cursors -= 1;
        ctx.change(Changed::Part(key, stream));
        if let Some(left) = self.streams.get_mut(&stream) {
            if left.is_claimed() {
                ctx.change(Changed::Stream(stream));
            }
            left.taps.remove(&key);
            left.drop_taker(key, cursor.confirmed);
        }
        self.trim(stream, ctx);
        self.settle(stream, ctx);
    }

    /// Checks a stream that may have lost its last listener. The stream is removed if nothing of it waits,
    /// and offered again otherwise.
    pub(super) fn settle<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        if !stream.is_free() {
            return;
        }
        if stream.is_spent() {
            let outcome = if stream.discarded {
                Outcome::Discarded
            } else {
                Outcome::Taken
            };
            self.remove(key, outcome, ctx);
        } else if !self.free.contains(&key) {
            self.offer(key, ctx);
        }
    }

    /// Removes a stream. Taps hold their own copy of everything that they are still to be sent, including the
    /// finish. After a restart, bytes of the stream may not have arrived again; these never will.
    pub(super) fn remove<S: Store>(
        &mut self,
        key: StreamKey,
        outcome: Outcome,
        ctx: &mut Context<'_, S>,
    ) {
        self.tell_end_to_taps(key);
        let taps = self.streams.get(&key).map(|stream| stream.taps.clone());
        for tap in taps.unwrap_or_default() {
            self.refresh(tap, key, ctx);
        }
        let freed = ctx.store.remove(key);
        ctx.effects.push(Effect::Freed(freed));
        ctx.effects.push(Effect::Gone(key, outcome));
        ctx.change(Changed::Stream(key));
        self.open.remove(&key);
        self.free.remove(&key);
        self.hidden.remove(&key);
        let gone = self.streams.remove(&key);
        self.kept -= gone.map_or(0, |stream| stream.kept());
    }
}
