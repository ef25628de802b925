//! Restores a pipe from its records, and continues or ends its streams and listeners (rule 16).
//!
//! This module only sees records of its own pipe. [`crate::broker`] hands them out.

use super::listener::{Cursor, Listener, Phase, TapQueue};
use super::stream::{Finish, Stream, Takers};
use super::{Changed, Context, Effect, ListenerKey, Pipe};
use crate::protocol::{How, MAX_BYTES, OpenLine, Outcome};
use crate::store::record::{ListenerRecord, PartRecord, StreamRecord};
use crate::store::{Store, StreamKey};

/// After a restart: restore all streams first, then all listeners, then all cursors, then call
/// [`Pipe::settle_all`].
impl Pipe {
    /// Restores a stream whose bytes up to `end` are in the store.
    pub fn restore_stream(&mut self, record: StreamRecord, end: u64) {
        let key = StreamKey(record.key);
        let mut stream = Stream::new(record.id, record.label);
        stream.marker = record.marker;
        stream.next = end.max(record.needed);
        stream.taken = record.taken;
        stream.released = record.needed;
        stream.discarded = record.discarded;
        stream.begins = record.begins;
        stream.is_restored = true;
        // A finished stream of which nobody has confirmed a byte stays whole (rule 10).
        stream.is_kept_whole = record.finish.is_some() && record.taken == 0 && !record.marker;
        stream.finish = record.finish.map(|finish| {
            stream.finish_taken = finish.taken;
            Finish {
                how: finish.how,
                arrival: finish.arrival,
                len: finish.len,
            }
        });
        self.kept += stream.kept();
        if record.is_hidden {
            self.hidden.insert(key);
        } else if stream.finish.is_none() {
            self.open.insert(key);
        }
        if let Some(listener) = record.claimed {
            stream.subscriptions = Takers::Claimed(ListenerKey(listener));
        }
        self.streams.insert(key, Box::new(stream));
    }

    /// Restores a listener.
    pub fn restore_listener(&mut self, record: &ListenerRecord) {
        let key = ListenerKey(record.key);
        let mut listener = Listener::new(record.mode, StreamKey(record.joined), 0);
        listener.until = record.until;
        listener.eof.clone_from(&record.eof);
        listener.has_had = record.has_had;
        listener.phase = Phase::restored(record);
        if record.is_queued {
            self.queue.insert(key);
        }
        self.listeners.insert(key, Box::new(listener));
    }

    /// Restores a listener's cursor. Returns whether its listener and its stream exist.
    pub fn restore_part(&mut self, record: &PartRecord) -> bool {
        let (key, stream_key) = (ListenerKey(record.listener), StreamKey(record.stream));
        let Some(stream) = self.streams.get_mut(&stream_key) else {
            return false;
        };
        let Some(listener) = self.listeners.get_mut(&key) else {
            return false;
        };
        let from = if listener.is_tap() {
            stream.taps.insert(key);
            stream.next
        } else {
            stream.return_taker(key, record.from)
        };
        let cursor = Cursor {
            from: record.from,
            sent: from,
            confirmed: from,
            backlog: record.backlog,
            limit: record.limit,
            before: record.before,
            complete: record.limit.is_some_and(|limit| limit <= from),
            rank: None,
            tap: listener
                .is_tap()
                .then(|| Box::new(TapQueue::new(stream.id))),
        };
        listener.cursors.insert(stream_key, cursor).is_none()
    }

    /// Completes what the previous run left half done, and offers streams without listeners.
    pub fn settle_all<S: Store>(&mut self, ctx: &mut Context<'_, S>) {
        for (key, stream) in &mut self.streams {
            if let Takers::Claimed(listener) = stream.subscriptions
                && self
                    .listeners
                    .get(&listener)
                    .is_none_or(|one| !one.cursors.contains_key(key))
            {
                stream.drop_taker(listener, 0);
            }
        }
        let shared: Vec<_> = self.streams.keys().copied().collect();
        for key in shared {
            self.trim(key, ctx);
            self.end_taps(key);
            let stream = &self.streams[&key];
            if stream.is_free() && stream.finish.is_some() {
                self.settle(key, ctx);
            } else if stream.is_free() {
                // The records may not include the listeners that are to get the stream.
                self.offer(key, ctx);
            }
            let Some(stream) = self.streams.get(&key) else {
                continue;
            };
            let taps = stream.taps.iter().copied();
            for listener in stream
                .subscriptions()
                .into_iter()
                .chain(taps)
                .collect::<Vec<_>>()
            {
                self.refresh(listener, key, ctx);
            }
        }
        let over: Vec<_> = self.listeners.keys().copied().collect();
        for key in over {
            self.close_limited(key, ctx);
        }
    }

    /// Resumes a listener from before the restart. It expects sequence number `next_seq`, and was sent chunks
    /// costing `cost`. What it has not confirmed is sent again.
    pub fn rejoin<S: Store>(
        &mut self,
        key: ListenerKey,
        next_seq: u64,
        cost: u64,
        window: u64,
        line: Option<OpenLine>,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        // No honest peer gets this far. The limit keeps later additions from overflowing.
        let (next_seq, cost) = (next_seq.min(MAX_BYTES), cost.min(MAX_BYTES));
        listener.confirmed_items = next_seq;
        listener.spent = cost;
        listener.window = window;
        for stream in listener.cursors.keys().copied().collect::<Vec<_>>() {
            self.refresh(key, stream, ctx);
        }
        self.go_on_in_line(key, line);
    }

    /// Skips missing bytes of a stream below `at`, which all its listeners had confirmed.
    pub fn skip_to<S: Store>(&mut self, key: StreamKey, at: u64, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let kept = stream.kept();
        stream.next = stream.next.max(at);
        self.kept += stream.kept() - kept;
        for listener in stream.subscriptions() {
            let cursor = self
                .listeners
                .get_mut(&listener)
                .and_then(|subscription| subscription.cursors.get_mut(&key));
            if let Some(cursor) = cursor {
                let before = cursor.confirmed;
                cursor.sent = cursor.sent.max(at);
                cursor.confirmed = before.max(at);
                let confirmed = cursor.confirmed;
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.move_taker(before, confirmed);
                }
            }
            self.refresh(listener, key, ctx);
        }
        self.take(key, at);
        self.trim(key, ctx);
    }

    /// Ends a finished stream whose missing bytes never arrive again. If the writer has its answer, all
    /// listeners had confirmed everything, and the stream is removed. Otherwise the bytes were lost with the
    /// satellite.
    pub fn end_short<S: Store>(
        &mut self,
        key: StreamKey,
        is_answered: bool,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let (next, finish) = (stream.next, stream.finish.clone());
        match finish {
            Some(Finish {
                how: How::Cut(why), ..
            }) => self.cut_short(key, next, &why, ctx),
            Some(_) if is_answered => self.forget_taken(key, ctx),
            Some(_) => {
                let why = "the satellite stopped before all of it was stored";
                self.cut_short(key, next, why, ctx);
            }
            None => {}
        }
    }

    fn forget_taken<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let (subscriptions, taps) = (stream.subscriptions(), stream.taps.clone());
        self.remove(key, Outcome::Taken, ctx);
        for listener in &subscriptions {
            let subscription = self.listeners.get_mut(listener);
            if subscription
                .and_then(|subscription| subscription.drop_cursor(key))
                .is_some()
            {
                ctx.totals.cursors -= 1;
                ctx.change(Changed::Part(*listener, key));
            }
        }
        for listener in subscriptions.into_iter().chain(taps) {
            self.note_had(listener, key, ctx);
            self.end_if_over(listener, ctx);
            ctx.effects.push(Effect::Awake(listener));
        }
    }

    /// Cuts a finished stream at `at`, because the bytes from there on never arrive again.
    pub fn cut_short<S: Store>(
        &mut self,
        key: StreamKey,
        at: u64,
        why: &str,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if let Some(finish) = stream.finish.as_mut().filter(|finish| finish.len > at) {
            finish.len = at;
            finish.how = How::Cut(why.to_owned());
            let kept = stream.kept();
            stream.next = stream.next.min(at);
            self.kept -= kept - stream.kept();
        }
        let taps = stream.taps.iter().copied();
        let subscriptions: Vec<_> = stream.subscriptions().into_iter().chain(taps).collect();
        let is_free = stream.is_free();
        self.end_taps(key);
        ctx.change(Changed::Stream(key));
        for listener in subscriptions {
            self.refresh(listener, key, ctx);
        }
        if is_free && self.streams[&key].is_spent() {
            self.settle(key, ctx);
        }
    }
}
