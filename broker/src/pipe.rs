//! One pipe: its streams, its listeners, and the rules by which the ones reach the others.
//!
//! Rules 2–10 and 13 of the README's "What a skypipe does" live here, and only here. The module
//! knows streams and listeners by keys; connections, credit and time-outs are [`crate::broker`]'s,
//! bytes the store's.
//!
//! # The life of a stream
//!
//! ```text
//!            open ──────────────┐ finish                    ┌─ claim ─> Claimed ─┐ listener gone
//!   (a --one waits: Claimed)    v                           │                    v
//!   (live listeners: Shared)  finished ── nobody takes it ─> free <──────────────┘
//!   (nobody: Shared, empty)     │                           │
//!                               └─ finish confirmed ──> gone <── all confirmed, or discarded
//! ```
//!
//! # The phases of a listener
//!
//! `Queued` (a `--one` without a stream) → `Draining` once it has one. A default listener that finds
//! a finished stream is `Draining` from the start; every other is `Live`, gets each stream that
//! opens, and becomes `Draining` by its last finish (default, tap) or an `--eof`. When the last item
//! of the last feed has been sent it is `Done`; the confirmation of that ends it.

mod listener;
mod reading;
mod recording;
mod schedule;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use uuid::Uuid;

use self::listener::{Feed, Listener, Phase, SentWhat, TapQueue};
pub use self::reading::Reads;
pub use self::recording::Changed;
use self::stream::{Finish, Stream, Takers};
use crate::broker::Now;
use crate::protocol::{How, Mode, Outcome, PipeInfo, cost};
use crate::store::{Chunk, Damaged, Mark, Store, StreamKey};

/// A listener's name inside the satellite: its place in the order in which listeners joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey(pub u64);

/// What a pipe works with, and what it tells of its work.
pub struct Context<'a, S> {
    /// The time.
    pub now: Now,
    /// Where the bytes lie.
    pub store: &'a mut S,
    /// What came of it.
    pub effects: &'a mut Effects,
}

/// What came of work on pipes, for the broker to act on.
#[derive(Debug, Default)]
pub struct Effects {
    /// How many chunks and finishes have arrived at this satellite.
    pub arrivals: u64,
    /// The cost of chunks that the store has let go.
    pub freed: u64,
    /// How many parts listeners have in streams.
    pub feeds: usize,
    /// The cost of what taps hold.
    pub taps: u64,
    /// What taps may hold.
    pub taps_limit: u64,
    /// Streams that are over, with what became of them.
    pub gone: Vec<(StreamKey, Outcome)>,
    /// Listeners that may have something to be sent.
    pub awake: Vec<ListenerKey>,
    /// Listeners that confirmed their end.
    pub ended: Vec<ListenerKey>,
    /// Whether it is to be noted what has changed.
    pub is_recorded: bool,
    /// What was read back from disk and is on its way.
    pub reads: Reads,
    /// Streams that cannot be read back from some place on, and why.
    pub damaged: Vec<(StreamKey, u64, Damaged)>,
    /// What is to be recorded.
    pub changed: Vec<Changed>,
    /// Streams of which bytes were let go, and up to where.
    pub released: Vec<(StreamKey, u64)>,
}

impl Effects {
    fn change(&mut self, changed: Changed) {
        if self.is_recorded {
            self.changed.push(changed);
        }
    }
}

/// How a stream finished, as a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The stream.
    pub stream: Uuid,
    /// How.
    pub how: How,
    /// Who wrote it.
    pub label: String,
    /// Bytes that others had before this listener began, if it had finished then.
    pub before: u64,
    /// Bytes that a tap missed right before the finish.
    pub missed: u64,
}

/// Something to send to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A chunk.
    Chunk {
        /// Its stream.
        stream: Uuid,
        /// Payload bytes of the stream before it.
        at: u64,
        /// Bytes that a tap missed right before it.
        missed: u64,
        /// Its bytes.
        payload: Bytes,
    },
    /// A stream's finish.
    Ended(Ended),
    /// The listener's end, with the bytes that a tap missed and has not been told of.
    Done(u64),
}

/// What comes next for a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This, in this turn.
    Item(u64, Item),
    /// Nothing before this time, unless something happens.
    Wait(Now),
    /// Nothing, unless something happens.
    Nothing,
}

/// A listener was resumed at a turn that it cannot be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTurn;

/// The streams and listeners of one name.
#[derive(Debug, Default)]
pub struct Pipe {
    /// In boxes, as are the listeners: a map of a single entry makes room for eleven.
    streams: BTreeMap<StreamKey, Box<Stream>>,
    /// Streams that have not finished.
    open: BTreeSet<StreamKey>,
    /// Streams that have finished and that nobody takes.
    free: BTreeSet<StreamKey>,
    listeners: BTreeMap<ListenerKey, Box<Listener>>,
    /// `--one` listeners without a stream, the one that has waited longest first.
    queue: VecDeque<ListenerKey>,
    /// Payload bytes of all streams that are kept.
    kept: u64,
    /// Credit that its writers have and have not used; the broker keeps account of it here.
    pub granted: u64,
}

/// What writers do.
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

/// What listeners do.
impl Pipe {
    /// A listener joins (rules 3, 7, 8, 9). `joined` is the place in the order of streams that the
    /// next one to open will have.
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
        ctx.effects.change(Changed::Listener(key));
        match mode {
            Mode::One => self.join_one(key, ctx),
            Mode::Tap => self.join_tap(key, ctx.effects),
            Mode::Follow => self.join_live(key, ctx),
            Mode::Default => match self.oldest_waiting() {
                Some(stream) if !self.open.contains(&stream) => self.claim(key, stream, ctx),
                _ => self.join_live(key, ctx),
            },
        }
        ctx.effects.awake.push(key);
    }

    /// Takes in that the first `turns` turns are confirmed, and the new window.
    ///
    /// # Errors
    ///
    /// When so many turns have not been sent.
    pub fn confirm<S: Store>(
        &mut self,
        key: ListenerKey,
        turns: u64,
        window: u64,
        ctx: &mut Context<'_, S>,
    ) -> Result<(), UnknownTurn> {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Err(UnknownTurn);
        };
        if turns > listener.confirmed_turns + listener.resend as u64 {
            return Err(UnknownTurn);
        }
        listener.window = listener.window.max(window);
        ctx.effects.awake.push(key);
        while let Some(listener) = self.listeners.get_mut(&key)
            && listener.confirmed_turns < turns
            && let Some(sent) = listener.unconfirmed.pop_front()
        {
            listener.confirmed_turns += 1;
            listener.resend = listener.resend.saturating_sub(1);
            if listener.is_tap() {
                ctx.effects.taps = ctx.effects.taps.saturating_sub(sent.cost);
            }
            self.confirm_one(key, &sent.what, ctx);
        }
        Ok(())
    }

    /// A listener is there again on a new connection: everything from turn `arrived` on is sent
    /// once more.
    ///
    /// # Errors
    ///
    /// When it cannot be at that turn.
    pub fn resume(&mut self, key: ListenerKey, arrived: u64) -> Result<(), UnknownTurn> {
        let listener = self.listeners.get_mut(&key).ok_or(UnknownTurn)?;
        let index = arrived
            .checked_sub(listener.confirmed_turns)
            .ok_or(UnknownTurn)?;
        if arrived > listener.next_turn() {
            return Err(UnknownTurn);
        }
        listener.resend = usize::try_from(index).map_err(|_| UnknownTurn)?;
        Ok(())
    }

    /// A listener goes, by its own will or lost. What it has not confirmed is back in its place
    /// (rule 10).
    pub fn leave<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        self.queue.retain(|one| *one != key);
        let Some(mut listener) = self.listeners.remove(&key) else {
            return;
        };
        ctx.effects.change(Changed::Listener(key));
        if listener.is_tap() {
            let held: u64 = listener.unconfirmed.iter().map(|sent| sent.cost).sum();
            let queued: u64 = listener
                .feeds
                .values()
                .filter_map(|feed| feed.tap.as_ref())
                .flat_map(|tap| &tap.chunks)
                .map(|(chunk, _)| cost(chunk.payload.len()))
                .sum();
            ctx.effects.taps = ctx.effects.taps.saturating_sub(held + queued);
        }
        for (stream, feed) in std::mem::take(&mut listener.feeds) {
            self.end_part(key, stream, &feed, ctx);
        }
    }

    /// `--eof`: every listener that is live gets what was taken in before, and ends (rule 6). If
    /// there was none but taps, an empty stream waits under `marker`.
    pub fn eof<S: Store>(&mut self, marker: StreamKey, ctx: &mut Context<'_, S>) {
        let was_live = self.is_live();
        let accepting = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.is_accepting());
        let accepting: Vec<_> = accepting.map(|(key, _)| *key).collect();
        for key in &accepting {
            self.limit_feeds(*key, ctx.effects);
            ctx.effects.awake.push(*key);
        }
        for key in accepting {
            self.close_limited(key, ctx);
        }
        if !was_live {
            let mut stream = Stream::new(Uuid::nil(), "--eof".to_owned());
            stream.marker = true;
            stream.finish = Some(Finish {
                how: How::End,
                arrival: ctx.effects.arrivals,
                len: 0,
            });
            ctx.effects.arrivals += 1;
            self.streams.insert(marker, Box::new(stream));
            ctx.effects.change(Changed::Stream(marker));
            self.free.insert(marker);
        }
    }

    /// Drops what waits and nobody takes; returns the streams and payload bytes it was.
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
                ctx.effects.change(Changed::Stream(key));
                let next = stream.next;
                self.take(key, next);
                self.trim(key, ctx);
            }
        }
        (streams, bytes)
    }
}

/// What can be asked of a pipe.
impl Pipe {
    /// Whether an `--eof` finds a listener, and so need not wait (rule 6).
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.listeners
            .values()
            .any(|listener| listener.is_accepting() && !listener.is_tap())
    }

    /// The payload bytes that are kept, whoever they wait for.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// How many parts in streams one stream or one listener more may bring.
    #[must_use]
    pub fn breadth(&self) -> usize {
        self.open.len().max(self.listeners.len())
    }

    /// Whether nothing waits and nobody uses it, so that it is gone (rule 1).
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.streams.is_empty() && self.listeners.is_empty()
    }

    /// How many streams have something that nobody has confirmed, and how many bytes that is.
    #[must_use]
    pub fn waiting(&self) -> (u64, u64) {
        let waiting = self.streams.values().filter(|stream| stream.waits());
        waiting.fold((0, 0), |(streams, bytes), stream| {
            (streams + 1, bytes + stream.untaken())
        })
    }

    /// What a listing says of it. The broker knows whether it is full.
    #[must_use]
    pub fn info(&self, name: &str) -> PipeInfo {
        let (waiting, bytes) = self.waiting();
        PipeInfo {
            name: name.to_owned(),
            waiting,
            bytes,
            writers: self.open.len() as u64,
            listeners: self.listeners.len() as u64,
            full: false,
        }
    }

    /// The listeners of a stream if all of them have confirmed all that they were sent, and it has
    /// any: then it deserves a small window of its own when room is used up (rule 12).
    #[must_use]
    pub fn starving_takers(&self, key: StreamKey) -> Option<Vec<ListenerKey>> {
        let stream = self.streams.get(&key)?;
        let takers = stream.takers();
        let starves = |listener: &ListenerKey| {
            self.listeners
                .get(listener)
                .is_some_and(|one| one.is_starving())
        };
        (!takers.is_empty() && takers.iter().all(starves)).then_some(takers)
    }

    /// How many turns of a listener have been confirmed.
    #[must_use]
    pub fn confirmed_turns(&self, key: ListenerKey) -> u64 {
        self.listeners
            .get(&key)
            .map_or(0, |listener| listener.confirmed_turns)
    }
}

/// How streams find listeners.
impl Pipe {
    /// The stream that a new default listener looks at first (rule 3).
    fn oldest_waiting(&self) -> Option<StreamKey> {
        let is_waiting = |key: &&StreamKey| {
            let stream = &self.streams[*key];
            !stream.is_claimed() && stream.taken < stream.next
        };
        let open = self.open.iter().find(is_waiting);
        open.into_iter().chain(self.free.first()).min().copied()
    }

    /// The stream for a new `--one`, if there is any: the oldest that is whole and nobody's, one
    /// that has come to something before one that is still empty (rule 7).
    fn join_one<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let fits = |key: &&StreamKey| {
            let stream = &self.streams[*key];
            stream.is_free() && stream.is_whole()
        };
        let begun = self
            .open
            .iter()
            .filter(fits)
            .find(|key| self.streams[*key].next > 0);
        let finished = self.free.iter().find(fits);
        let best = begun.into_iter().chain(finished).min();
        match best.or_else(|| self.open.iter().find(fits)).copied() {
            Some(stream) => self.claim(key, stream, ctx),
            None => self.queue.push_back(key),
        }
    }

    /// A new live listener gets each unfinished stream from the first byte nobody has confirmed.
    fn join_live<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        for stream in self.open.clone() {
            if !self.streams[&stream].is_claimed() {
                let backlog = self.streams[&stream].next;
                self.share(key, stream, backlog, ctx);
            }
        }
    }

    fn join_tap(&mut self, key: ListenerKey, effects: &mut Effects) {
        for stream in self.open.clone() {
            if !self.streams[&stream].is_claimed() {
                self.add_tap(key, stream, effects);
            }
        }
    }

    /// Shows a stream that opens to all taps.
    fn watch(&mut self, key: StreamKey, effects: &mut Effects) {
        let taps = self
            .listeners
            .iter()
            .filter(|(_, one)| one.is_tap() && one.is_accepting());
        for tap in taps.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.add_tap(tap, key, effects);
        }
    }

    fn add_tap(&mut self, listener: ListenerKey, key: StreamKey, effects: &mut Effects) {
        let stream = self
            .streams
            .get_mut(&key)
            .expect("a stream that is shown is there");
        stream.taps.insert(listener);
        let feed = Feed {
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
        tap.feeds.insert(key, feed);
        effects.feeds += 1;
        effects.change(Changed::Part(listener, key));
    }

    /// Offers a stream that nobody has: to the `--one` that has waited longest if it is whole, else
    /// to all who are live, else it waits (rules 4, 7, 10).
    fn offer<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let stream = &self.streams[&key];
        if stream.is_whole()
            && let Some(one) = self.queue.pop_front()
        {
            self.claim(one, key, ctx);
            return;
        }
        let live = self
            .listeners
            .iter()
            .filter(|(_, one)| one.is_accepting() && !one.is_tap());
        for listener in live.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.share(listener, key, 0, ctx);
            self.end_if_over(listener, ctx.effects);
        }
        let stream = &self.streams[&key];
        if stream.is_free() && stream.finish.is_some() {
            self.free.insert(key);
        }
    }

    /// Gives a listener a part in a stream, from the first byte that nobody has confirmed.
    fn share<S: Store>(
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
        self.add_feed(listener, key, backlog, ctx);
    }

    /// Gives a stream to one listener alone.
    fn claim<S: Store>(&mut self, listener: ListenerKey, key: StreamKey, ctx: &mut Context<'_, S>) {
        let stream = self
            .streams
            .get_mut(&key)
            .expect("a stream that is claimed is there");
        stream.takers = Takers::Claimed(listener);
        ctx.effects.change(Changed::Stream(key));
        ctx.effects.change(Changed::Listener(listener));
        let claimant = self
            .listeners
            .get_mut(&listener)
            .expect("a claimant is a listener");
        if claimant.mode != Mode::Follow {
            claimant.phase = Phase::Draining;
        }
        self.add_feed(listener, key, u64::MAX, ctx);
    }

    fn add_feed<S: Store>(
        &mut self,
        listener: ListenerKey,
        key: StreamKey,
        backlog: u64,
        ctx: &mut Context<'_, S>,
    ) {
        self.free.remove(&key);
        let stream = &self.streams[&key];
        let feed = Feed {
            from: stream.taken,
            sent: stream.taken,
            confirmed: stream.taken,
            backlog,
            limit: None,
            before: if stream.finish.is_some() {
                stream.taken
            } else {
                0
            },
            complete: false,
            rank: None,
            tap: None,
        };
        if let Some(taker) = self.listeners.get_mut(&listener)
            && taker.feeds.insert(key, feed).is_none()
        {
            ctx.effects.feeds += 1;
        }
        ctx.effects.change(Changed::Part(listener, key));
        self.refresh(listener, key, ctx);
    }
}

/// How streams and listeners end.
impl Pipe {
    /// A default listener or a tap ends when all that it was getting has finished (rule 5).
    fn end_if_over(&mut self, key: ListenerKey, effects: &mut Effects) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let ends = matches!(listener.mode, Mode::Default | Mode::Tap) && listener.is_accepting();
        if ends
            && !listener
                .feeds
                .keys()
                .any(|stream| self.open.contains(stream))
        {
            listener.phase = Phase::Draining;
            effects.change(Changed::Listener(key));
        }
    }

    /// Makes a live listener stop, in each unfinished stream, where that stands now.
    fn limit_feeds(&mut self, key: ListenerKey, effects: &mut Effects) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        listener.phase = Phase::Draining;
        listener.until = Some(effects.arrivals);
        effects.change(Changed::Listener(key));
        for (stream, feed) in &mut listener.feeds {
            if self.open.contains(stream) {
                let next = self.streams[stream].next;
                feed.limit = Some(next);
                effects.change(Changed::Part(key, *stream));
                feed.complete = match &feed.tap {
                    Some(tap) => tap.chunks.is_empty(),
                    None => feed.sent >= next,
                };
            }
        }
    }

    /// Ends the feeds that have confirmed all up to their limit.
    fn close_limited<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get(&key) else {
            return;
        };
        let is_over = |feed: &Feed| feed.tap.is_none() && feed.limit == Some(feed.confirmed);
        let over: Vec<_> = listener
            .feeds
            .iter()
            .filter(|(_, feed)| is_over(feed))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in over {
            self.give_up(key, stream, ctx);
        }
    }

    /// Takes in one confirmed turn.
    fn confirm_one<S: Store>(
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
                    ctx.effects.change(Changed::Stream(key_of));
                    let next = stream.next;
                    self.take(key_of, next);
                }
                self.give_up(key, key_of, ctx);
            }
            SentWhat::Done(_) => {
                self.leave(key, ctx);
                ctx.effects.ended.push(key);
            }
        }
    }

    fn confirm_chunk<S: Store>(
        &mut self,
        key: ListenerKey,
        stream_key: StreamKey,
        end: u64,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(feed) = self
            .listeners
            .get_mut(&key)
            .and_then(|listener| listener.feeds.get_mut(&stream_key))
        else {
            return;
        };
        let before = feed.confirmed;
        feed.confirmed = before.max(end);
        let confirmed = feed.confirmed;
        let (is_tap, is_over) = (feed.tap.is_some(), feed.limit == Some(feed.confirmed));
        if is_tap {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&stream_key)
            && !stream.is_claimed()
        {
            stream.move_taker(before, confirmed);
            self.take(stream_key, end);
            self.trim(stream_key, ctx);
        }
        if is_over {
            self.give_up(key, stream_key, ctx);
        }
    }

    /// Notes that everything of a stream below `at` has been confirmed by somebody.
    fn take(&mut self, key: StreamKey, at: u64) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.taken = stream.taken.max(at);
        }
    }

    /// Lets chunks go that nobody needs any more.
    fn trim<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let needed = stream.needed();
        ctx.effects.change(Changed::Progress(key));
        if needed > stream.released {
            let kept = stream.kept();
            stream.released = needed;
            self.kept -= kept - stream.kept();
            ctx.effects.freed += ctx.store.release(key, needed);
            ctx.effects.released.push((key, needed));
        }
    }

    /// Ends a listener's part in a stream, whatever the reason.
    fn give_up<S: Store>(&mut self, key: ListenerKey, stream: StreamKey, ctx: &mut Context<'_, S>) {
        let listener = self.listeners.get_mut(&key);
        if let Some(feed) = listener.and_then(|listener| listener.drop_feed(stream)) {
            self.end_part(key, stream, &feed, ctx);
        }
    }

    fn end_part<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        feed: &Feed,
        ctx: &mut Context<'_, S>,
    ) {
        ctx.effects.feeds -= 1;
        ctx.effects.change(Changed::Part(key, stream));
        if let Some(left) = self.streams.get_mut(&stream) {
            if left.is_claimed() {
                ctx.effects.change(Changed::Stream(stream));
            }
            left.taps.remove(&key);
            left.drop_taker(key, feed.confirmed);
        }
        self.trim(stream, ctx);
        self.settle(stream, ctx);
    }

    /// Looks after a stream that perhaps nobody takes any more: it is gone if nothing of it waits,
    /// else it is offered again.
    fn settle<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
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

    /// Forgets a stream. Taps that are still to be told of it hold what they need themselves.
    fn remove<S: Store>(&mut self, key: StreamKey, outcome: Outcome, ctx: &mut Context<'_, S>) {
        ctx.effects.freed += ctx.store.remove(key);
        ctx.effects.gone.push((key, outcome));
        ctx.effects.change(Changed::Stream(key));
        self.open.remove(&key);
        self.free.remove(&key);
        let gone = self.streams.remove(&key);
        self.kept -= gone.map_or(0, |stream| stream.kept());
    }
}
