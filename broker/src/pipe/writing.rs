//! What writers do to a pipe: streams open, grow and finish (rules 2, 4, 5, 7 and 15).
//!
//! This module does not decide who gets a stream; `offering` does.

use super::listener::Phase;
use super::stream::{Finish, Stream, Takers};
use super::{Changed, Context, Effect, ListenerKey, Pipe};
use crate::protocol::{How, Mode, Outcome};
use crate::store::{Chunk, Mark, Store, StreamKey};
use bytes::Bytes;
use uuid::Uuid;

/// The properties of a stream that opens.
#[derive(Debug)]
pub struct Opening {
    /// The UUID given by the writer.
    pub id: Uuid,
    /// The name of the writer.
    pub label: String,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream.
    pub begins: u64,
    /// Whether listeners get the stream only after its end (`--whole`).
    pub is_hidden: bool,
}

/// The state of a cut stream whose writer is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// The stream is open and continues as if nothing had happened.
    GoesOn,
    /// Somebody was told that the stream was cut.
    Told,
    /// The stream is gone.
    Gone,
}

impl Pipe {
    /// Opens a stream. The stream goes to the `--one` that has waited longest, otherwise to all live
    /// listeners, and waits if there are none (rules 2, 4, 7). A `--whole` stream goes to nobody before its
    /// end.
    pub fn open<S: Store>(&mut self, key: StreamKey, opening: Opening, ctx: &mut Context<'_, S>) {
        let mut stream = Stream::new(opening.id, opening.label);
        stream.begins = opening.begins;
        (stream.next, stream.taken, stream.released) =
            (opening.begins, opening.begins, opening.begins);
        self.streams.insert(key, Box::new(stream));
        ctx.change(Changed::Stream(key));
        if opening.is_hidden {
            self.hidden.insert(key);
            return;
        }
        self.open.insert(key);
        self.offer(key, ctx);
        if !self.streams[&key].is_claimed() {
            self.watch(key, ctx);
        }
    }

    /// Appends the next chunk to an open stream.
    pub fn append<S: Store>(
        &mut self,
        key: StreamKey,
        payload: Bytes,
        tail: u64,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let mark = Mark {
            tail,
            arrival: ctx.totals.arrivals,
            at: stream.next,
            len: payload.len(),
        };
        ctx.totals.arrivals += 1;
        // The rest of a cut stream may begin inside a line, which its listeners have from there on.
        if tail <= payload.len() as u64 || stream.next == stream.begins {
            stream.line_since = ctx.now;
        }
        let kept = stream.kept();
        stream.next = mark.end();
        self.kept += stream.kept() - kept;
        let chunk = Chunk { payload, mark };
        for tap in stream.taps.clone() {
            self.show_tap(tap, key, &chunk, ctx);
        }
        ctx.store.append(key, chunk);
        // After a restart, the last bytes may arrive again after the finish.
        self.end_taps(key);
        self.refresh_takers(key, ctx);
    }

    /// Finishes a stream (rules 5 and 15). Listeners whose last stream this was get the rest and end.
    pub fn finish<S: Store>(&mut self, key: StreamKey, how: How, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let (is_hidden, is_cut) = (self.hidden.remove(&key), matches!(how, How::Cut(_)));
        if is_cut && is_hidden {
            return self.remove(key, Outcome::Discarded, ctx);
        }
        if is_cut && stream.next == stream.begins && !stream.is_restored {
            return self.vanish(key, ctx);
        }
        let arrival = ctx.totals.arrivals;
        ctx.totals.arrivals += 1;
        self.open.remove(&key);
        let (taps, subscriptions) = (stream.taps.clone(), stream.subscriptions());
        let is_untouched =
            stream.is_whole() && subscriptions.iter().all(|one| !self.has_some(*one, key));
        if let Some(stream) = self.streams.get_mut(&key) {
            let len = stream.next;
            stream.finish = Some(Finish { how, arrival, len });
            stream.is_kept_whole = is_untouched && !stream.is_restored;
            ctx.change(Changed::Stream(key));
        }
        self.end_taps(key);
        for listener in subscriptions.into_iter().chain(taps) {
            self.refresh(listener, key, ctx);
            self.note_had(listener, key, ctx);
            self.end_if_over(listener, ctx);
        }
        self.settle(key, ctx);
    }

    /// Whether a listener was sent some of a stream.
    fn has_some(&self, key: ListenerKey, stream: StreamKey) -> bool {
        let listener = self.listeners.get(&key);
        let cursor = listener.and_then(|listener| listener.cursors.get(&stream));
        cursor.is_some_and(|cursor| cursor.sent > cursor.from)
    }

    /// Removes a stream of which nothing arrived, as if it had never existed (rule 15). Its listeners
    /// continue without it.
    fn vanish<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let (taps, subscriptions) = (stream.taps.clone(), stream.subscriptions());
        let is_claimed = stream.is_claimed();
        self.remove(key, Outcome::Taken, ctx);
        for listener in subscriptions.into_iter().chain(taps) {
            let Some(subscription) = self.listeners.get_mut(&listener) else {
                continue;
            };
            if subscription.drop_cursor(key).is_some() {
                ctx.totals.cursors -= 1;
                ctx.change(Changed::Part(listener, key));
            }
            if is_claimed && subscription.mode == Mode::One {
                subscription.phase = Phase::Queued;
                ctx.change(Changed::Listener(listener));
                self.join_one(listener, ctx);
            }
            self.end_if_over(listener, ctx);
            ctx.effects.push(Effect::Awake(listener));
        }
    }

    /// Reopens a stream that was cut because its writer timed out. If nobody was told of the cut, the stream
    /// continues as if nothing had happened (rule 16).
    pub fn reopen<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) -> Reopened {
        let Some(stream) = self.streams.get_mut(&key) else {
            return Reopened::Gone;
        };
        let Some(finish) = &stream.finish else {
            return Reopened::GoesOn;
        };
        let is_told = stream.is_end_told || stream.finish_taken || stream.discarded;
        if is_told || stream.next != finish.len {
            return Reopened::Told;
        }
        stream.finish = None;
        let was_whole = std::mem::take(&mut stream.is_kept_whole) && !stream.is_claimed();
        let (taps, subscriptions, is_claimed) = (
            stream.taps.clone(),
            stream.subscriptions(),
            stream.is_claimed(),
        );
        self.free.remove(&key);
        self.open.insert(key);
        ctx.change(Changed::Stream(key));
        for listener in subscriptions.iter().chain(&taps).copied() {
            if let Some(confirmed) = self.take_end_back(listener, key)
                && was_whole
            {
                self.take(key, confirmed);
            }
            self.refresh(listener, key, ctx);
            if !is_claimed {
                self.live_again(listener, ctx);
            }
        }
        if subscriptions.is_empty() {
            self.offer(key, ctx);
        }
        Reopened::GoesOn
    }

    /// Makes a tap forget a stream's finish. For any other listener, returns its confirmed offset in the
    /// stream.
    fn take_end_back(&mut self, listener: ListenerKey, key: StreamKey) -> Option<u64> {
        let cursor = self.listeners.get_mut(&listener)?.cursors.get_mut(&key)?;
        match &mut cursor.tap {
            Some(tap) => {
                tap.ended = None;
                None
            }
            None => Some(cursor.confirmed),
        }
    }

    /// Releases the chunks of an open stream that its `--one` has confirmed, because room is short (rule 12).
    /// If that listener leaves, the rest is a remainder.
    pub fn let_go<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let Takers::Claimed(claimant) = stream.subscriptions else {
            return;
        };
        let Some(cursor) = self
            .listeners
            .get(&claimant)
            .and_then(|one| one.cursors.get(&key))
        else {
            return;
        };
        let confirmed = cursor.confirmed;
        self.take(key, confirmed);
        self.trim(key, ctx);
    }
}
