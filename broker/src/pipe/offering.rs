//! How streams find listeners: by age, and either one listener alone or all live listeners (rules 3, 4, 7, 9
//! and 10).

use super::listener::{Cursor, Listener, Phase, TapQueue};
use super::stream::Takers;
use super::{Changed, Context, ListenerKey, Pipe};
use crate::protocol::Mode;
use crate::store::{Store, StreamKey};

impl Pipe {
    /// The stream that a new default listener looks at first (rule 3).
    pub(super) fn oldest_waiting(&self) -> Option<StreamKey> {
        let is_waiting = |key: &&StreamKey| {
            let stream = &self.streams[*key];
            !stream.is_claimed() && stream.taken < stream.next
        };
        let open = self.open.iter().find(is_waiting);
        open.into_iter().chain(self.free.first()).min().copied()
    }

    /// Finds a stream for a new `--one`. Only streams without a listener that have their first byte are
    /// considered. The oldest stream that ended goes first, then the oldest that was cut, then the oldest
    /// that is being written; among the latter, streams with data go before empty ones (rule 7). Without a
    /// stream, the listener is queued.
    pub(super) fn join_one<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let fits = |key: &&StreamKey| {
            let stream = &self.streams[*key];
            stream.is_free() && stream.is_whole()
        };
        let has_ended = |key: &&StreamKey| self.streams[*key].has_ended_whole();
        let has_begun = |key: &&StreamKey| fits(key) && self.streams[*key].next > 0;
        let finished = self.free.iter().filter(fits);
        let best = finished.clone().find(has_ended);
        let best = best.or_else(|| finished.clone().next());
        let best = best.or_else(|| self.open.iter().find(has_begun));
        match best.or_else(|| self.open.iter().find(fits)).copied() {
            Some(stream) => self.claim(key, stream, ctx),
            None => {
                self.queue.insert(key);
            }
        }
    }

    /// Gives a new live listener each unfinished stream, from the first byte that nobody has confirmed.
    pub(super) fn join_live<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        for stream in self.open.clone() {
            if !self.streams[&stream].is_claimed() {
                let backlog = self.streams[&stream].next;
                self.share(key, stream, backlog, ctx);
            }
        }
    }

    pub(super) fn join_tap<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        for stream in self.open.clone() {
            if !self.streams[&stream].is_claimed() {
                self.add_tap(key, stream, ctx);
            }
        }
    }

    /// Shows a new stream to all taps.
    pub(super) fn watch<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let taps = self
            .listeners
            .iter()
            .filter(|(_, one)| one.is_tap() && one.is_accepting());
        for tap in taps.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.add_tap(tap, key, ctx);
        }
    }

    pub(super) fn add_tap<S: Store>(
        &mut self,
        listener: ListenerKey,
        key: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        let stream = self
            .streams
            .get_mut(&key)
            .expect("a stream that is shown is there");
        stream.taps.insert(listener);
        let cursor = Cursor {
            from: stream.next,
            sent: stream.next,
            confirmed: stream.next,
            backlog: 0,
            limit: None,
            before: 0,
            complete: false,
            rank: None,
            tap: Some(Box::new(TapQueue::new(stream.id))),
        };
        let tap = self
            .listeners
            .get_mut(&listener)
            .expect("a tap is a listener");
        tap.cursors.insert(key, cursor);
        ctx.totals.cursors += 1;
        ctx.change(Changed::Part(listener, key));
    }

    /// Offers a stream without listeners. A whole stream goes to the `--one` that has waited longest.
    /// Otherwise the stream goes to all live listeners, and waits if there are none (rules 4, 7, 10).
    pub(super) fn offer<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        if self.hidden.contains(&key) {
            return;
        }
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if stream.finish.is_some() && stream.is_whole() {
            stream.is_kept_whole = true;
        }
        let (is_whole, has_ended) = (stream.is_whole(), stream.has_ended_whole());
        if is_whole && let Some(one) = self.queue.pop_first() {
            return self.claim(one, key, ctx);
        }
        if has_ended && let Some((one, held)) = self.idle_claim() {
            return self.exchange(one, held, key, ctx);
        }
        let live = self
            .listeners
            .iter()
            .filter(|(_, one)| one.is_accepting() && !one.is_tap());
        for listener in live.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.share(listener, key, 0, ctx);
            self.note_had(listener, key, ctx);
            self.end_if_over(listener, ctx);
        }
        let stream = &self.streams[&key];
        if stream.is_free() && stream.finish.is_some() {
            self.free.insert(key);
        }
    }

    /// The `--one` that has waited longest among those with an open stream of which nothing has been sent to
    /// them.
    fn idle_claim(&self) -> Option<(ListenerKey, StreamKey)> {
        let held = |one: &Listener| {
            let (held, cursor) = one.cursors.first_key_value()?;
            let is_idle = one.mode == Mode::One && one.next_seq() == 0 && cursor.sent == 0;
            let is_held = self.open.contains(held) && !self.streams[held].is_restored;
            (is_idle && is_held).then_some(*held)
        };
        let mut ones = self.listeners.iter();
        ones.find_map(|(key, one)| Some((*key, held(one)?)))
    }

    /// Gives a `--one` a stream that has ended, in exchange for an open one of which it was sent nothing.
    fn exchange<S: Store>(
        &mut self,
        one: ListenerKey,
        held: StreamKey,
        ended: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        self.claim(one, ended, ctx);
        self.give_up(one, held, ctx);
    }

    /// Gives a listener a cursor in a stream, at the first byte that nobody has confirmed.
    pub(super) fn share<S: Store>(
        &mut self,
        listener: ListenerKey,
        key: StreamKey,
        backlog: u64,
        ctx: &mut Context<'_, S>,
    ) {
        let stream = self
            .streams
            .get_mut(&key)
            .expect("a stream that is shared is there");
        if stream.is_claimed() {
            return;
        }
        stream.add_taker(listener);
        self.add_cursor(listener, key, backlog, ctx);
    }

    /// Gives a stream to one listener alone.
    pub(super) fn claim<S: Store>(
        &mut self,
        listener: ListenerKey,
        key: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        let stream = self
            .streams
            .get_mut(&key)
            .expect("a stream that is claimed is there");
        stream.subscriptions = Takers::Claimed(listener);
        ctx.change(Changed::Stream(key));
        ctx.change(Changed::Listener(listener));
        let claimant = self
            .listeners
            .get_mut(&listener)
            .expect("a claimant is a listener");
        if claimant.mode != Mode::Follow {
            claimant.phase = Phase::Draining;
        }
        self.add_cursor(listener, key, u64::MAX, ctx);
    }

    pub(super) fn add_cursor<S: Store>(
        &mut self,
        listener: ListenerKey,
        key: StreamKey,
        backlog: u64,
        ctx: &mut Context<'_, S>,
    ) {
        self.free.remove(&key);
        let stream = &self.streams[&key];
        let cursor = Cursor {
            from: stream.taken,
            sent: stream.taken,
            confirmed: stream.taken,
            backlog,
            limit: None,
            before: stream.before(),
            complete: false,
            rank: None,
            tap: None,
        };
        if let Some(subscription) = self.listeners.get_mut(&listener)
            && subscription.cursors.insert(key, cursor).is_none()
        {
            ctx.totals.cursors += 1;
        }
        ctx.change(Changed::Part(listener, key));
        self.refresh(listener, key, ctx);
    }
}
