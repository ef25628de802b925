//! How listeners join, confirm, resume and leave, and the commands that affect all of them, `--eof` and
//! `--discard` (rules 3 and 6 to 10).

use bytes::Bytes;
use uuid::Uuid;

use super::listener::Listener;
use super::stream::{Finish, Stream};
use super::{Changed, Context, Effect, ListenerKey, Pipe, UnknownSeq};
use crate::protocol::{How, Mode, Outcome};
use crate::store::{Store, StreamKey};

impl Pipe {
    /// Adds a listener (rules 3, 7, 8, 9). `joined` is the key of the next stream to open.
    pub fn join<S: Store>(
        &mut self,
        key: ListenerKey,
        mode: Mode,
        window: u64,
        joined: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        let listener = Listener::new(mode, joined, window);
        self.listeners.insert(key, Box::new(listener));
        ctx.change(Changed::Listener(key));
        self.find_streams(key, ctx);
        ctx.effects.push(Effect::Awake(key));
    }

    /// Gives a new listener the streams that it gets at once (rules 3, 7, 8, 9).
    pub(super) fn find_streams<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        match self.listeners[&key].mode {
            Mode::One => self.join_one(key, ctx),
            Mode::Tap => self.join_tap(key, ctx),
            Mode::Follow => self.join_live(key, ctx),
            Mode::Default => match self.oldest_waiting() {
                Some(stream) if !self.open.contains(&stream) => self.claim(key, stream, ctx),
                _ => self.join_live(key, ctx),
            },
        }
    }

    /// Confirms the first `next_seq` items, and sets the new window.
    ///
    /// # Errors
    ///
    /// If fewer items have been sent.
    pub fn confirm<S: Store>(
        &mut self,
        key: ListenerKey,
        next_seq: u64,
        window: u64,
        ctx: &mut Context<'_, S>,
    ) -> Result<(), UnknownSeq> {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Err(UnknownSeq);
        };
        if next_seq > listener.confirmed_items + listener.resend as u64 {
            return Err(UnknownSeq);
        }
        listener.window = listener.window.max(window);
        ctx.effects.push(Effect::Awake(key));
        while let Some(listener) = self.listeners.get_mut(&key)
            && listener.confirmed_items < next_seq
            && let Some(sent) = listener.unconfirmed.pop_front()
        {
            listener.confirmed_items += 1;
            listener.resend = listener.resend.saturating_sub(1);
            if listener.is_tap() {
                listener.held -= sent.cost;
                ctx.totals.taps = ctx.totals.taps.saturating_sub(sent.cost);
            }
            self.confirm_one(key, &sent.what, ctx);
        }
        Ok(())
    }

    /// Resumes a listener on a new connection. Everything from sequence number `arrived` on is sent again.
    ///
    /// # Errors
    ///
    /// If the listener cannot be at that sequence number.
    pub fn resume(&mut self, key: ListenerKey, arrived: u64) -> Result<(), UnknownSeq> {
        let listener = self.listeners.get_mut(&key).ok_or(UnknownSeq)?;
        let index = arrived
            .checked_sub(listener.confirmed_items)
            .ok_or(UnknownSeq)?;
        if arrived > listener.next_seq() {
            return Err(UnknownSeq);
        }
        listener.resend = usize::try_from(index).map_err(|_| UnknownSeq)?;
        Ok(())
    }

    /// Removes a listener that leaves or timed out. What it has not confirmed returns to its place (rule 10).
    pub fn leave<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        self.queue.remove(&key);
        let Some(mut listener) = self.listeners.remove(&key) else {
            return;
        };
        ctx.change(Changed::Listener(key));
        ctx.totals.taps = ctx.totals.taps.saturating_sub(listener.held);
        for (stream, cursor) in std::mem::take(&mut listener.cursors) {
            self.end_part(key, stream, &cursor, ctx);
        }
    }

    /// Handles `--eof`: every live listener gets what arrived before, then ends (rule 6). If there were only
    /// taps, an empty stream waits under the key `marker`. Each ended listener is sent the signed `order`.
    pub fn eof<S: Store>(&mut self, marker: StreamKey, order: &Bytes, ctx: &mut Context<'_, S>) {
        let was_live = self.is_live();
        let accepting = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.is_accepting());
        let accepting: Vec<_> = accepting.map(|(key, _)| *key).collect();
        for key in &accepting {
            self.limit_cursors(*key, order, ctx);
            ctx.effects.push(Effect::Awake(*key));
        }
        for key in accepting {
            self.close_limited(key, ctx);
        }
        if !was_live {
            let mut stream = Stream::new(Uuid::nil(), "--eof".to_owned());
            stream.marker = true;
            stream.finish = Some(Finish {
                how: How::Eof(order.clone()),
                arrival: ctx.totals.arrivals,
                len: 0,
            });
            ctx.totals.arrivals += 1;
            self.streams.insert(marker, Box::new(stream));
            ctx.change(Changed::Stream(marker));
            self.free.insert(marker);
        }
    }

    /// Drops one waiting stream without listeners. Returns its number of payload bytes.
    pub fn discard_one<S: Store>(
        &mut self,
        key: StreamKey,
        ctx: &mut Context<'_, S>,
    ) -> Option<u64> {
        if !self.free.remove(&key) {
            return None;
        }
        let bytes = self.streams.get(&key)?.untaken();
        self.remove(key, Outcome::Discarded, ctx);
        Some(bytes)
    }

    /// Drops all waiting streams without listeners. Returns the number of streams and payload bytes.
    pub fn discard<S: Store>(&mut self, ctx: &mut Context<'_, S>) -> (u64, u64) {
        let (mut streams, mut bytes) = (0, 0);
        for key in std::mem::take(&mut self.free) {
            let stream = &self.streams[&key];
            streams += 1;
            bytes += stream.untaken();
            self.remove(key, Outcome::Discarded, ctx);
        }
        for key in self.open.clone() {
            let Some(stream) = self.streams.get_mut(&key) else {
                continue;
            };
            if stream.is_free() && stream.taken < stream.next {
                streams += 1;
                bytes += stream.untaken();
                stream.discarded = true;
                ctx.change(Changed::Stream(key));
                let next = stream.next;
                self.take(key, next);
                self.trim(key, ctx);
            }
        }
        (streams, bytes)
    }
}
