//! Which items a listener may be sent, and which it must still get.

use skypipe_protocol::{How, Mode};
use uuid::Uuid;

use super::choices::Choices;
use super::{Feed, Pipe};
use crate::simulation::facts::{Facts, Item};

impl Pipe {
    /// Checks an item that the satellite sends, and applies it.
    ///
    /// # Errors
    ///
    /// When the rules do not give it to this listener, or not yet.
    pub fn item(&mut self, listener: Uuid, item: &Item, facts: &Facts) -> Result<(), String> {
        let Some(listener) = self.listener(listener) else {
            return Err("an item for a listener that is not there".to_owned());
        };
        if self.listeners[listener].done {
            return Err("an item after the last".to_owned());
        }
        self.listeners[listener].turned = true;
        match item {
            Item::Chunk {
                stream,
                index,
                missed,
            } => self.chunk(listener, *stream, *index, *missed, facts),
            Item::Ended {
                stream,
                at,
                how,
                before,
                missed,
            } => {
                let feed = self.ended(listener, (*stream, *at), how, *missed, facts)?;
                let base = self.streams[feed.stream].base;
                let late = if feed.late { feed.from } else { base };
                let had = facts
                    .streams
                    .get(stream)
                    .map_or(0, |stream| stream.bytes(0, late));
                if *before == had {
                    Ok(())
                } else {
                    Err(format!(
                        "an end with {before} bytes had by others, not {had}"
                    ))
                }
            }
            Item::Done { missed } => self.done(listener, *missed, facts),
        }
    }

    fn chunk(
        &mut self,
        listener: usize,
        id: Uuid,
        index: u64,
        missed: u64,
        facts: &Facts,
    ) -> Result<(), String> {
        let stream = self
            .part(id, index)
            .ok_or("a chunk of a stream that is not there")?;
        self.follow_on(listener, stream)?;
        self.in_order(listener, stream, index, facts)?;
        let tap = self.listeners[listener].mode == Mode::Tap;
        let len = self.streams[stream].len;
        let feed = self
            .feed_of(listener, stream)
            .ok_or("a chunk of a stream not for it")?;
        let end = feed.limit.unwrap_or(len).min(len);
        let skipped = facts
            .streams
            .get(&id)
            .map_or(0, |known| known.bytes(feed.sent, index));
        if index >= end || index < feed.sent || (index > feed.sent && !tap) {
            let Feed { sent, .. } = feed;
            return Err(format!(
                "chunk {index}, but {sent} is next and there are {end}"
            ));
        }
        if missed != skipped && !feed.loose {
            return Err(format!(
                "{missed} bytes missed before chunk {index}, not {skipped}"
            ));
        }
        feed.sent = index + 1;
        Ok(())
    }

    fn ended(
        &mut self,
        listener: usize,
        (id, at): (Uuid, u64),
        how: &How,
        missed: u64,
        facts: &Facts,
    ) -> Result<Feed, String> {
        let stream = if facts.streams.contains_key(&id) {
            self.ended_part(id, at, how, facts)
        } else {
            self.next_marker(listener)
        };
        let stream = stream.ok_or("the end of a stream that is not there, or did not finish so")?;
        self.follow_on(listener, stream)?;
        let known = facts.streams.get(&id);
        let cut = self.streams[stream].cut;
        if cut == matches!(how, How::End) {
            return Err(format!("the end {how:?}, but it was cut: {cut}"));
        }
        let tap = self.listeners[listener].mode == Mode::Tap;
        let len = self.streams[stream].len;
        let feed = self
            .feed_of(listener, stream)
            .ok_or("the end of a stream not for it")?;
        if feed.end_sent || feed.limit.is_some() || (feed.sent < len && !tap) {
            return Err(format!("an end too early or not for it: {feed:?} of {len}"));
        }
        let skipped = known.map_or(0, |known| known.bytes(feed.sent, len));
        if missed != skipped && !feed.loose {
            return Err(format!(
                "{missed} bytes missed before the end, not {skipped}"
            ));
        }
        feed.sent = len;
        feed.end_sent = true;
        let feed = feed.clone();
        self.streams[stream].end_told = true;
        Ok(feed)
    }

    fn done(&mut self, listener: usize, missed: u64, facts: &Facts) -> Result<(), String> {
        let known = &self.listeners[listener];
        if known.waits || known.accepting {
            return Err("the last item, but it is not at its end".to_owned());
        }
        let mut skipped = 0;
        for feed in known
            .feeds
            .iter()
            .filter(|feed| !feed.is_sent() && !feed.loose)
        {
            match (known.mode, feed.limit, self.streams[feed.stream].id) {
                (Mode::Tap, Some(limit), Some(id)) => {
                    skipped += facts
                        .streams
                        .get(&id)
                        .map_or(0, |it| it.bytes(feed.sent, limit));
                }
                _ => return Err(format!("the last item, but {feed:?} is not sent")),
            }
        }
        if missed != skipped && !known.feeds.iter().any(|feed| feed.loose) {
            return Err(format!(
                "{missed} bytes missed before the last item, not {skipped}"
            ));
        }
        if let Some(stream) = self.next_claim(listener) {
            return Err(format!("the last item, but it is to get stream {stream}"));
        }
        self.listeners[listener].done = true;
        Ok(())
    }

    fn feed_of(&mut self, listener: usize, stream: usize) -> Option<&mut Feed> {
        self.listeners[listener]
            .feeds
            .iter_mut()
            .rfind(|feed| feed.stream == stream)
    }

    /// The next end without a writer: that of the empty stream that an `--eof` left.
    fn next_marker(&self, listener: usize) -> Option<usize> {
        let marker = |stream: &usize| self.streams[*stream].id.is_none();
        let feeds = self.listeners[listener]
            .feeds
            .iter()
            .filter(|feed| !feed.end_sent);
        let claimed = self.next_claim(listener).filter(marker);
        feeds.map(|feed| feed.stream).find(marker).or(claimed)
    }

    /// Rule 8: the finished stream that a `--follow` claims next, if it may already.
    fn next_claim(&self, listener: usize) -> Option<usize> {
        let known = &self.listeners[listener];
        if !known.here {
            return None;
        }
        for (stream, contested) in &known.backlog {
            if let Some(feed) = known.feeds.iter().find(|feed| feed.stream == *stream) {
                if feed.end_sent {
                    continue;
                }
                return None;
            }
            if !contested && !self.streams[*stream].gone && !self.is_held(*stream) {
                return Some(*stream);
            }
        }
        None
    }

    /// An item of a stream in its backlog shows that a `--follow` has claimed the stream.
    fn follow_on(&mut self, listener: usize, stream: usize) -> Result<(), String> {
        if self.feed_of(listener, stream).is_none() && self.next_claim(listener) == Some(stream) {
            // A claim by a follower affects no tap, so there is no choice.
            self.claim(listener, stream, &mut Choices::default());
        }
        self.feed_of(listener, stream)
            .map(|_| ())
            .ok_or("a stream not for it".to_owned())
    }

    /// Before a look for unread data: have the followers claimed their next streams yet?
    pub(super) fn settle_follows(&mut self, choices: &mut Choices) {
        for listener in 0..self.listeners.len() {
            if let Some(stream) = self.next_claim(listener)
                && choices.pick(2) == 1
            {
                self.claim(listener, stream, choices);
            }
        }
    }

    /// Rules 3 and 8: what was there when a listener joined comes first, oldest stream first.
    fn in_order(
        &self,
        listener: usize,
        stream: usize,
        index: u64,
        facts: &Facts,
    ) -> Result<(), String> {
        let known = &self.listeners[listener];
        let next = self.next_claim(listener);
        let owed = known.order.iter().find(|(older, len)| {
            let feed = known.feeds.iter().find(|feed| feed.stream == *older);
            feed.map_or(next == Some(*older), |feed| {
                !feed.is_sent() && feed.sent < *len
            })
        });
        let Some((oldest, _)) = owed else {
            return Ok(());
        };
        let told = &facts.listeners[&known.id];
        let goes_on = told.items.iter().rev().find_map(|item| match item {
            Item::Chunk {
                stream: id,
                index: last,
                ..
            } => Some((*id, *last)),
            Item::Ended { .. } | Item::Done { .. } => None,
        });
        let open_line = goes_on.is_some_and(|(id, last)| {
            let tail = facts
                .streams
                .get(&id)
                .and_then(|it| it.chunk(last))
                .map_or(0, |it| it.tail);
            tail > 0 && last + 1 == index && self.part(id, index) == Some(stream)
        });
        // A listener that came back is sent again what had arrived of the line's stream.
        let is_repeat = told.line.is_some_and(|line| {
            let chunk = facts
                .streams
                .get(&line.stream)
                .and_then(|it| it.chunk(index));
            let begins_before = chunk.is_some_and(|chunk| chunk.start < line.at);
            begins_before && self.part(line.stream, index) == Some(stream)
        });
        if *oldest >= stream || open_line || is_repeat {
            Ok(())
        } else {
            Err(format!(
                "chunk {index} of stream {stream} before the older stream {oldest}"
            ))
        }
    }

    /// What a listener should have been sent and was not, once nothing moves.
    pub fn owed(&self, listener: usize) -> Option<String> {
        let known = &self.listeners[listener];
        if !known.here || known.waits {
            return None;
        }
        if let Some(stream) = self.next_claim(listener) {
            return Some(format!("stream {stream} of its backlog"));
        }
        for feed in known.feeds.iter().filter(|feed| !feed.loose) {
            let stream = &self.streams[feed.stream];
            let end = feed.limit.unwrap_or(stream.len);
            let ended = feed.end_confirmed || feed.limit.is_some() || !stream.finished;
            if !ended || (feed.confirmed < end && known.mode != Mode::Tap) {
                return Some(format!("{feed:?} of {stream:?}"));
            }
        }
        let surely = known.feeds.iter().filter(|feed| !feed.loose);
        let all = surely.clone().all(Feed::is_sent) || known.mode == Mode::Tap;
        (!known.accepting && all).then(|| "its last item".to_owned())
    }
}
