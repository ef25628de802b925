//! The reference model: one pipe as the rules describe it (`docs/semantics.md`, by number), independent of
//! the implementation.
//!
//! The model knows no bytes, windows, credit or connections. It knows which chunks of which stream each
//! listener must get ([`Feed`]), what was confirmed, and so what is unread. Every change is one [`Event`], in
//! the order in which the satellite received it. Where the rules leave the satellite a choice, the model
//! follows every option ([`choices`]), and the satellite's behaviour then shows which one it took.

mod asking;
mod away;
pub mod choices;
mod items;
pub mod parts;

use std::time::Duration;

use skypipe_protocol::{How, Mode};
use uuid::Uuid;

use super::facts::{Facts, Item};
use choices::Choices;
use parts::{Event, Feed, Listener, Stream};

/// The model of one pipe.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipe {
    /// The streams, oldest first.
    pub streams: Vec<Stream>,
    /// The listeners, oldest first.
    pub listeners: Vec<Listener>,
    /// What the last discard dropped: streams and bytes.
    pub dropped: (u64, u64),
    /// The virtual time.
    now: Duration,
}

impl Pipe {
    /// Applies an event.
    pub fn apply(&mut self, event: &Event, facts: &Facts, choices: &mut Choices) {
        self.now = facts.now;
        match event {
            Event::Open(id) => self.open(*id, choices),
            Event::Data(id) => {
                let stream = self.stream(*id).expect("chunks follow an opening");
                self.streams[stream].len += 1;
            }
            Event::Finish(id, cut) => {
                let stream = self.stream(*id).expect("finishes follow an opening");
                self.finish(stream, *cut, facts, choices);
            }
            Event::Reopen(id) => self.reopen(*id, facts, choices),
            Event::Join(id, mode) => self.join(*id, *mode, choices),
            Event::Confirm(id, item) => self.confirm(*id, item, facts, choices),
            Event::Leave(id) => self.leave(*id, facts, choices),
            Event::Lose(id) => self.lose(*id, facts, choices),
            Event::Return(id, said) => self.come_back(*id, said, facts, choices),
            Event::Eof => self.eof(facts, choices),
            Event::Discard => self.discard(facts, choices),
        }
    }

    /// The stream with this id: the last of its parts.
    fn stream(&self, id: Uuid) -> Option<usize> {
        self.streams
            .iter()
            .rposition(|stream| stream.id == Some(id))
    }

    /// The part of a stream that contains this chunk.
    fn part(&self, id: Uuid, index: u64) -> Option<usize> {
        let has = |stream: &Stream| stream.id == Some(id) && stream.base <= index;
        self.streams.iter().rposition(has)
    }

    /// The part of a stream that finished after this many chunks, with a cut or not. A part that was cut and
    /// its remainder finish at the same chunk if nothing was received of the remainder. Then only the
    /// former was cut: a remainder that is cut while it is empty vanishes.
    fn finished_at(&self, id: Uuid, len: u64, cut: bool) -> Option<usize> {
        let has = |stream: &Stream| {
            stream.id == Some(id) && stream.finished && stream.len == len && stream.cut == cut
        };
        self.streams.iter().rposition(has)
    }

    /// Whether the latest part of a stream is the remainder of one that was cut.
    pub fn is_rest(&self, id: Uuid) -> bool {
        let last = self.stream(id);
        last.is_some_and(|stream| self.streams[stream].base > 0)
    }

    /// The listener with this id, if it is present.
    pub fn listener(&self, id: Uuid) -> Option<usize> {
        self.listeners
            .iter()
            .position(|listener| listener.here && listener.id == id)
    }

    /// Whether some listener holds the stream, or has yet to confirm a part of it.
    pub fn is_held(&self, stream: usize) -> bool {
        self.streams[stream].claim.is_some()
            || self.listeners.iter().any(|listener| {
                let keeps = |feed: &Feed| feed.stream == stream && !feed.is_complete();
                listener.here && listener.mode != Mode::Tap && listener.feeds.iter().any(keeps)
            })
    }

    /// Rules 4 and 7: a new stream goes to the longest waiting `--one`, else to all live listeners.
    fn open(&mut self, id: Uuid, choices: &mut Choices) {
        self.open_from(id, 0, choices);
    }

    fn open_from(&mut self, id: Uuid, base: u64, choices: &mut Choices) {
        let stream = self.push_stream(Some(id));
        let known = &mut self.streams[stream];
        (known.base, known.len, known.taken) = (base, base, base);
        if base > 0 || !self.offer_to_one(stream, choices) {
            for listener in 0..self.listeners.len() {
                if self.listeners[listener].accepting {
                    self.feed(listener, stream, base);
                }
            }
        }
    }

    fn push_stream(&mut self, id: Option<Uuid>) -> usize {
        self.streams.push(Stream::new(id));
        self.streams.len() - 1
    }

    fn offer_to_one(&mut self, stream: usize, choices: &mut Choices) -> bool {
        let waiting = self
            .listeners
            .iter()
            .position(|listener| listener.here && listener.waits);
        if let Some(listener) = waiting {
            self.claim(listener, stream, choices);
        }
        waiting.is_some()
    }

    /// The listener gets the stream from chunk `from` on.
    fn feed(&mut self, listener: usize, stream: usize, from: u64) {
        let late = self.streams[stream].finished;
        let feeds = &mut self.listeners[listener].feeds;
        if feeds
            .iter()
            .any(|feed| feed.stream == stream && !feed.is_complete())
        {
            return;
        }
        feeds.push(Feed::new(stream, from, late, false));
    }

    /// The listener gets the stream exclusively.
    fn claim(&mut self, listener: usize, stream: usize, choices: &mut Choices) {
        self.listeners[listener].waits = false;
        self.streams[stream].claim = Some(listener);
        self.streams[stream].claimed = self.now;
        self.feed(listener, stream, self.streams[stream].taken);
        if let Some(feed) = self.listeners[listener].feeds.last_mut() {
            feed.claim = feed.stream == stream;
        }
        for other in 0..self.listeners.len() {
            let tap = &mut self.listeners[other];
            for (_, contested) in tap.backlog.iter_mut().filter(|(it, _)| *it == stream) {
                *contested |= other != listener;
            }
            if tap.mode == Mode::Tap
                && let Some(feed) = tap.feeds.iter_mut().find(|feed| feed.stream == stream)
            {
                feed.loose = true;
                self.end_if_all_finished(other, choices);
            }
        }
    }

    /// Rule 5: a live listener's end is decided the instant the last finish is received.
    fn end_if_all_finished(&mut self, listener: usize, choices: &mut Choices) {
        let Listener {
            accepting,
            mode,
            feeds,
            had,
            ..
        } = &self.listeners[listener];
        let none = feeds.is_empty() && !had;
        if !accepting || !matches!(mode, Mode::Default | Mode::Tap) || none {
            return;
        }
        let finished = |feed: &&Feed| self.streams[feed.stream].finished;
        let loose = feeds.iter().any(|feed| feed.loose);
        let surely = feeds
            .iter()
            .filter(|feed| !feed.loose)
            .all(|feed| finished(&feed));
        if surely && (!loose || choices.pick(2) == 1) {
            self.listeners[listener].accepting = false;
        }
    }

    fn finish(&mut self, stream: usize, cut: bool, facts: &Facts, choices: &mut Choices) {
        let known = &self.streams[stream];
        if cut && known.len == known.base {
            return self.vanish(stream, choices);
        }
        let given = self.listeners.iter().any(|listener| {
            let had = |feed: &Feed| feed.stream == stream && feed.sent > feed.from;
            listener.here && listener.mode != Mode::Tap && listener.feeds.iter().any(had)
        });
        let known = &mut self.streams[stream];
        known.kept = known.taken == 0 && known.base == 0 && !given;
        (known.finished, known.cut) = (true, cut);
        for listener in 0..self.listeners.len() {
            let known = &mut self.listeners[listener];
            if known.feeds.iter().any(|feed| feed.stream == stream) {
                known.had = true;
                self.end_if_all_finished(listener, choices);
            }
        }
        if !self.is_held(stream) {
            self.back(stream, facts, choices);
        }
    }

    /// Rule 15: a stream without any received bytes leaves nothing behind.
    fn vanish(&mut self, stream: usize, choices: &mut Choices) {
        self.streams[stream].finished = true;
        self.streams[stream].gone = true;
        let claimant = self.streams[stream].claim.take();
        for listener in 0..self.listeners.len() {
            let feeds = &mut self.listeners[listener].feeds;
            let before = feeds.len();
            feeds.retain(|feed| feed.stream != stream);
            if feeds.len() < before && self.listeners[listener].here {
                self.end_if_all_finished(listener, choices);
            }
        }
        if let Some(one) = claimant {
            self.find(one, choices);
        }
    }

    /// Rules 3 and 10: whether anything is left of a finished stream that no listener holds.
    fn settle(&mut self, stream: usize) {
        let stream = &mut self.streams[stream];
        stream.gone |= stream.is_spent();
    }

    fn join(&mut self, id: Uuid, mode: Mode, choices: &mut Choices) {
        if mode != Mode::Tap {
            self.settle_follows(choices);
        }
        self.listeners.push(Listener::new(id, mode));
        self.find(self.listeners.len() - 1, choices);
    }

    /// What a listener without a stream finds.
    fn find(&mut self, listener: usize, choices: &mut Choices) {
        match self.listeners[listener].mode {
            Mode::Default => match (0..self.streams.len()).find(|stream| self.waits(*stream)) {
                Some(oldest) if self.streams[oldest].finished => {
                    self.claim(listener, oldest, choices);
                }
                _ => self.go_live(listener),
            },
            Mode::Follow => {
                let found = (0..self.streams.len())
                    .filter(|stream| self.streams[*stream].finished && self.waits(*stream));
                self.listeners[listener].backlog = found.map(|stream| (stream, false)).collect();
                self.go_live(listener);
            }
            Mode::Tap => self.go_live(listener),
            Mode::One => match self.oldest_whole() {
                Some(stream) => self.claim(listener, stream, choices),
                None => self.listeners[listener].waits = true,
            },
        }
    }

    /// Rule 3: whether a new listener would find unread data in this stream.
    pub fn waits(&self, stream: usize) -> bool {
        let known = &self.streams[stream];
        let open = !known.finished && known.claim.is_none() && known.taken < known.len;
        !known.gone && (open || (known.finished && !self.is_held(stream)))
    }

    /// Rules 3, 8 and 9: a listener goes live, with the remainders of unfinished streams first.
    fn go_live(&mut self, listener: usize) {
        self.listeners[listener].accepting = true;
        for stream in 0..self.streams.len() {
            let known = &self.streams[stream];
            let has = |feed: &Feed| feed.stream == stream && !feed.is_complete();
            let has = self.listeners[listener].feeds.iter().any(has);
            if known.finished || known.gone || known.claim.is_some() || has {
                continue;
            }
            let (taken, len) = (known.taken, known.len);
            let tap = self.listeners[listener].mode == Mode::Tap;
            self.feed(listener, stream, if tap { len } else { taken });
            if !tap && taken < len {
                self.listeners[listener].order.push((stream, len));
            }
        }
        let found = &mut self.listeners[listener];
        found
            .order
            .extend(found.backlog.iter().map(|(stream, _)| (*stream, u64::MAX)));
        found.order.sort_unstable();
    }

    /// Rule 7: the oldest stream that a `--one` can get whole. Ended streams come first, then cut ones,
    /// then unfinished ones; those without a byte come last.
    fn oldest_whole(&self) -> Option<usize> {
        let whole = |stream: &usize| {
            let known = &self.streams[*stream];
            let nobodys = !known.gone && known.id.is_some() && !self.is_held(*stream);
            nobodys && known.taken == 0 && known.base == 0
        };
        let rank = |stream: &usize| {
            let known = &self.streams[*stream];
            match (known.finished, known.cut) {
                (true, false) => 0,
                (true, true) => 1,
                (false, _) if known.len > 0 => 2,
                (false, _) => 3,
            }
        };
        (0..self.streams.len()).filter(whole).min_by_key(rank)
    }

    fn confirm(&mut self, id: Uuid, item: &Item, facts: &Facts, choices: &mut Choices) {
        let listener = self.listener(id).expect("only present listeners confirm");
        let tap = self.listeners[listener].mode == Mode::Tap;
        let stream = match item {
            Item::Done { .. } => return self.listeners[listener].here = false,
            Item::Chunk { stream, index, .. } => self.part(*stream, *index),
            Item::Ended {
                stream, at, how, ..
            } => self.ended_part(*stream, *at, how, facts),
        };
        let stream = stream.or_else(|| self.sent_marker(listener));
        let stream = stream.expect("what was sent is known");
        let feeds = &mut self.listeners[listener].feeds;
        let Some(feed) = feeds.iter_mut().rfind(|feed| feed.stream == stream) else {
            return;
        };
        let known = &mut self.streams[stream];
        if let Item::Chunk { index, .. } = item {
            feed.confirmed = index + 1;
            if !tap && known.claim.is_none() && !known.kept {
                known.taken = known.taken.max(index + 1);
            }
        } else {
            feed.end_confirmed = true;
            if !tap {
                known.claim = None;
                known.told = true;
                // All of it has been taken, even if it had to stay whole until now.
                known.taken = known.len;
            }
        }
        if !tap && !self.is_held(stream) {
            self.back(stream, facts, choices);
        }
    }

    /// The part of a stream that finished in this way after this many bytes.
    fn ended_part(&self, id: Uuid, at: u64, how: &How, facts: &Facts) -> Option<usize> {
        let known = facts.streams.get(&id)?;
        let chunks = known.chunks.partition_point(|chunk| chunk.start < at);
        self.finished_at(id, chunks as u64, *how != How::End)
    }

    /// The oldest stream left by an `--eof` whose end was sent to the listener and not confirmed.
    fn sent_marker(&self, listener: usize) -> Option<usize> {
        let mut feeds = self.listeners[listener].feeds.iter();
        let sent = feeds.find(|feed| {
            feed.end_sent && !feed.end_confirmed && self.streams[feed.stream].id.is_none()
        });
        sent.map(|feed| feed.stream)
    }

    /// Rule 10: data that nobody holds any more is offered at once, or is gone.
    fn back(&mut self, stream: usize, facts: &Facts, choices: &mut Choices) {
        self.settle(stream);
        let known = &mut self.streams[stream];
        let whole = known.taken == 0 && known.base == 0 && known.id.is_some();
        known.kept |= known.finished && whole;
        let ended = known.finished && !known.cut && whole;
        if known.gone || (whole && self.offer_to_one(stream, choices)) {
            return;
        }
        if ended && let Some(one) = self.idle_claimant() {
            return self.exchange(one, stream, facts, choices);
        }
        let taken = self.streams[stream].taken;
        for listener in 0..self.listeners.len() {
            let Listener {
                accepting, mode, ..
            } = self.listeners[listener];
            if accepting && mode != Mode::Tap {
                self.feed(listener, stream, taken);
                self.listeners[listener].had |= self.streams[stream].finished;
                self.end_if_all_finished(listener, choices);
            }
        }
    }

    /// Rule 7: the `--one` that has waited longest, among those that hold an unfinished stream and have
    /// received nothing of it.
    fn idle_claimant(&self) -> Option<usize> {
        (0..self.listeners.len()).find(|listener| {
            let known = &self.listeners[*listener];
            let mut had = self.streams.iter().filter(|it| it.claim == Some(*listener));
            known.here && known.mode == Mode::One && !known.turned && had.any(|it| !it.finished)
        })
    }

    /// A `--one` gets an ended stream instead of the one that it holds.
    fn exchange(&mut self, one: usize, ended: usize, facts: &Facts, choices: &mut Choices) {
        let mut streams = self.streams.iter();
        let held = streams.position(|stream| stream.claim == Some(one));
        let held = held.expect("it has one");
        self.listeners[one].feeds.retain(|feed| feed.stream != held);
        self.claim(one, ended, choices);
        self.unclaim(held, 0, facts, choices);
        self.back(held, facts, choices);
    }

    fn leave(&mut self, id: Uuid, facts: &Facts, choices: &mut Choices) {
        let gone = self.listener(id).expect("only present listeners leave");
        let listener = &mut self.listeners[gone];
        listener.here = false;
        listener.accepting = false;
        listener.waits = false;
        if listener.mode == Mode::Tap {
            return;
        }
        let mut had: Vec<_> = listener
            .feeds
            .iter()
            .filter(|feed| !feed.is_complete())
            .collect();
        had.sort_unstable_by_key(|feed| feed.stream);
        let had: Vec<_> = had
            .iter()
            .map(|feed| (feed.stream, feed.confirmed))
            .collect();
        for (stream, confirmed) in had {
            if self.streams[stream].claim == Some(gone) {
                self.unclaim(stream, confirmed, facts, choices);
            }
            if !self.is_held(stream) {
                self.back(stream, facts, choices);
            }
        }
    }

    /// Rule 12: a `--one` whose writer lacked room may have released what it confirmed.
    fn unclaim(&mut self, stream: usize, confirmed: u64, facts: &Facts, choices: &mut Choices) {
        let known = &mut self.streams[stream];
        known.claim = None;
        let squeezed = known
            .id
            .and_then(|id| facts.streams.get(&id)?.squeezed)
            .is_some_and(|squeezed| squeezed >= known.claimed);
        if squeezed && confirmed > known.taken {
            let ways = usize::try_from(confirmed - known.taken).expect("chunks are few") + 1;
            known.taken += choices.pick(ways) as u64;
        }
        for listener in &mut self.listeners {
            if listener.accepting && listener.mode == Mode::Tap {
                // The rules do not say whether a tap watches what a `--one` had before.
                let watched = listener.feeds.iter().any(|feed| feed.stream == stream);
                if !watched && !self.streams[stream].finished {
                    let from = self.streams[stream].len;
                    listener.feeds.push(Feed::new(stream, from, false, true));
                }
            }
        }
    }
}
