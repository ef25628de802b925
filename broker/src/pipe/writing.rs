//! What writers do to a pipe: streams open, grow and finish (rules 2, 4, 5, 7 and 15).
//!
//! It decides nothing about who gets what; that is `offering`.

use super::stream::{Finish, Stream, Takers};
use super::{Changed, Context, Pipe};
use crate::protocol::How;
use crate::store::{Chunk, Mark, Store, StreamKey};
use bytes::Bytes;
use uuid::Uuid;

impl Pipe {
    /// Opens a stream. It goes to the `--one` that has waited longest, else to all who are live,
    /// else it waits (rules 2, 4, 7).
    pub fn open<S: Store>(
        &mut self,
        key: StreamKey,
        id: Uuid,
        label: String,
        ctx: &mut Context<'_, S>,
    ) {
        self.streams.insert(key, Box::new(Stream::new(id, label)));
        self.open.insert(key);
        ctx.effects.change(Changed::Stream(key));
        self.offer(key, ctx);
        if !self.streams[&key].is_claimed() {
            self.watch(key, ctx.effects);
        }
    }

    /// Takes in the next chunk of an open stream.
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
            arrival: ctx.effects.arrivals,
            at: stream.next,
            len: payload.len(),
        };
        ctx.effects.arrivals += 1;
        if tail <= payload.len() as u64 {
            stream.line_since = ctx.now;
        }
        let kept = stream.kept();
        stream.next = mark.end();
        self.kept += stream.kept() - kept;
        let chunk = Chunk { payload, mark };
        for tap in stream.taps.clone() {
            self.show_tap(tap, key, &chunk, ctx.effects);
        }
        ctx.store.append(key, chunk);
        // After a restart the last bytes may come again behind the finish.
        self.end_taps(key);
        self.refresh_takers(key, ctx);
    }

    /// Takes in how a stream finished (rules 5 and 15). Listeners whose last stream this was get
    /// what they have and end.
    pub fn finish<S: Store>(&mut self, key: StreamKey, how: How, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let arrival = ctx.effects.arrivals;
        ctx.effects.arrivals += 1;
        self.open.remove(&key);
        let (taps, takers) = (stream.taps.clone(), stream.takers());
        if let Some(stream) = self.streams.get_mut(&key) {
            let len = stream.next;
            stream.finish = Some(Finish { how, arrival, len });
            ctx.effects.change(Changed::Stream(key));
        }
        self.end_taps(key);
        for listener in takers.into_iter().chain(taps) {
            self.refresh(listener, key, ctx);
            self.end_if_over(listener, ctx.effects);
        }
        self.settle(key, ctx);
    }

    /// Lets the chunks go that the `--one` of an open stream has confirmed, for want of room
    /// (rule 12). If that listener goes, what is left is a remainder.
    pub fn let_go<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let Takers::Claimed(claimant) = stream.takers else {
            return;
        };
        let Some(feed) = self
            .listeners
            .get(&claimant)
            .and_then(|one| one.feeds.get(&key))
        else {
            return;
        };
        let confirmed = feed.confirmed;
        self.take(key, confirmed);
        self.trim(key, ctx);
    }
}
