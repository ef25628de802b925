//! The satellite's outputs: the model must expect each message.

use bytes::Bytes;
use skypipe_broker::broker::Peer;
use skypipe_protocol::{Code, How, Limits, MAX_UNCONFIRMED, Mode, Outcome, Reply, decode};
use uuid::Uuid;

use super::{Checker, Verdict};
use crate::simulation::facts::{Item, Listener, Presence};

impl Checker {
    /// Checks a message from the satellite.
    pub fn reply(&mut self, peer: &Peer, frames: &[Bytes]) -> Verdict {
        let reply = decode(&frames[1]).map_err(|error| format!("the satellite sent: {error}"))?;
        let payload = frames.get(2).map_or(&[][..], |payload| payload);
        if let Some((listener, number, item)) = self.item_of(&reply)? {
            return self.item(peer, listener, number, item, payload);
        }
        match reply {
            Reply::Welcome { limits, .. } => self.limits(&limits),
            Reply::Opened {
                stream,
                next,
                limit,
                rest,
            } => self.opened(stream, next, limit, rest),
            Reply::Ack {
                stream,
                next,
                limit,
                full,
            } => {
                if full.is_some() {
                    self.coverage.hit("told that it is full");
                }
                self.acked(stream, next, limit)
            }
            Reply::Finished { stream, outcome } => self.finished(stream, outcome),
            Reply::Listening {
                listener, missed, ..
            } => match self.facts.listeners.get_mut(&listener) {
                Some(known) if known.returning.is_some() => self.came_back(listener, missed),
                Some(known) if known.missed_streams != missed => {
                    Err(format!("a listener missed {missed} streams"))
                }
                _ => self.present(listener, Presence::Here),
            },
            Reply::Closed { listener } => self.present(listener, Presence::Closed),
            Reply::Discarded { streams, bytes } => self.discarded(streams, bytes),
            Reply::Error {
                code,
                message,
                about,
            } => self.error(peer, code, &message, about),
            Reply::Stopping => Err("it stops".to_owned()),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, id: Uuid, next: u64, limit: u64, rest: bool) -> Verdict {
        let known = self
            .facts
            .streams
            .get_mut(&id)
            .ok_or("an unknown stream opened")?;
        known.limit = limit;
        known.wish = 0;
        if known.lost {
            return Err("a lost stream opened".to_owned());
        }
        if next != known.size() {
            let size = known.size();
            return Err(format!("a stream of {size} bytes opened at {next}"));
        }
        if rest {
            self.coverage.hit("rest of a stream");
        }
        let pipe = known.pipe.clone();
        self.keep(&pipe, |pipe, _| {
            if !rest || pipe.is_rest(id) {
                Ok(())
            } else {
                Err("the rest of a stream that was not cut".to_owned())
            }
        })
    }

    fn acked(&mut self, id: Uuid, next: u64, limit: u64) -> Verdict {
        let known = self
            .facts
            .streams
            .get_mut(&id)
            .ok_or("an unknown stream acked")?;
        if next > known.size() || next < known.acked || limit < known.limit {
            return Err(format!("{next} acked of {}, limit {limit}", known.size()));
        }
        known.acked = next;
        known.limit = limit;
        Ok(())
    }

    /// The reply does not name the pipe; some pipe must have dropped this much.
    fn discarded(&mut self, streams: u64, bytes: u64) -> Verdict {
        if (streams, bytes) == (0, 0) {
            return Ok(());
        }
        self.coverage.hit("something discarded");
        let mut ways = self.pipes.values().flatten();
        if ways.any(|pipe| pipe.dropped == (streams, bytes)) {
            Ok(())
        } else {
            Err(format!("{streams} streams and {bytes} bytes discarded"))
        }
    }

    fn limits(&self, limits: &Limits) -> Verdict {
        let millis =
            |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let told = (limits.writer_lost_ms, limits.listener_lost_ms);
        if told == (millis(self.writer_lost), millis(self.listener_lost)) && limits.heartbeat_ms > 0
        {
            Ok(())
        } else {
            Err(format!("limits that are not its settings: {limits:?}"))
        }
    }

    /// Rule 11: checks the final answer to a writer.
    fn finished(&mut self, id: Uuid, outcome: Outcome) -> Verdict {
        let known = self
            .facts
            .streams
            .get_mut(&id)
            .ok_or("an unknown stream finished")?;
        known.outcome = Some(outcome);
        let known = known.clone();
        if known.finish.is_none() {
            return Err("an answer to no finish".to_owned());
        }
        if known.lost {
            return Err(format!("{outcome:?} to a writer that was given up"));
        }
        let all = known.chunks.iter().all(|chunk| chunk.confirmed);
        match outcome {
            Outcome::Discarded => {
                self.coverage.hit("told that it was discarded");
                self.keep(&known.pipe, |pipe, _| {
                    let dropped = pipe
                        .streams
                        .iter()
                        .any(|it| it.id == Some(id) && it.discarded);
                    if dropped {
                        Ok(())
                    } else {
                        Err("told of a discard that was none".to_owned())
                    }
                })
            }
            Outcome::Kept if !known.wait => Ok(()),
            Outcome::Taken
                if all
                    && (!known.chunks.is_empty()
                        || known.finish_confirmed
                        || known.finish != Some(How::End)) =>
            {
                self.coverage.hit("told that all was taken");
                Ok(())
            }
            _ => Err(format!("{outcome:?}, but {all} that all was confirmed")),
        }
    }

    /// A lost listener continues.
    fn came_back(&mut self, id: Uuid, missed: u64) -> Verdict {
        let known = self.facts.listeners.get_mut(&id);
        let known = known.ok_or("an unknown listener came back")?;
        let Some((peer, items, window)) = known.returning.take() else {
            return Err("a listener goes on that was not given up".to_owned());
        };
        let all = std::mem::replace(&mut known.missed_streams, missed);
        let missed = missed.saturating_sub(all);
        known.has_missed |= missed > 0;
        known.goes_on(peer, items, window, &self.facts.streams);
        let pipe = known.pipe.clone();
        self.coverage.hit(if missed > 0 {
            "came back and had missed something"
        } else {
            "came back and goes on"
        });
        self.keep(&pipe, |pipe, _| {
            let Some(listener) = pipe.listener(id) else {
                return Err("a listener goes on though others took what it lacks".to_owned());
            };
            match pipe.listeners[listener].missed {
                Some(known) if known != missed => {
                    Err(format!("it missed {missed} streams, not {known}"))
                }
                _ => Ok(()),
            }
        })
    }

    /// A lost listener cannot continue.
    fn sent_away(&mut self, id: Uuid) -> Verdict {
        let known = self.facts.listeners.get_mut(&id);
        let known = known.ok_or("an unknown listener sent away")?;
        if known.returning.take().is_none() {
            return Err("a listener sent away that did not come back".to_owned());
        }
        known.is_sent_away = true;
        let pipe = known.pipe.clone();
        self.coverage.hit("came back too late");
        self.keep(&pipe, |pipe, _| match pipe.listener(id) {
            None => Ok(()),
            Some(_) => Err("a listener was sent away though nobody took anything".to_owned()),
        })
    }

    fn present(&mut self, id: Uuid, presence: Presence) -> Verdict {
        let known = self
            .facts
            .listeners
            .get(&id)
            .ok_or("an unknown listener answered")?;
        if known.presence == presence {
            Ok(())
        } else {
            Err(format!(
                "a listener that is {:?} was told {presence:?}",
                known.presence
            ))
        }
    }

    fn hit_item(&mut self, item: &Item) {
        match item {
            Item::Chunk { missed: 1.., .. } | Item::Done { missed: 1.. } => {
                self.coverage.hit("tap missed");
            }
            Item::Ended { before: 1.., .. } => self.coverage.hit("finished remainder"),
            _ => {}
        }
    }

    fn payload(&self, stream: Uuid, index: u64, payload: &[u8]) -> Verdict {
        let known = self
            .facts
            .streams
            .get(&stream)
            .ok_or("a chunk of an unknown stream")?;
        let chunk = known.chunk(index).ok_or("a chunk that nobody wrote")?;
        if chunk.payload == payload {
            Ok(())
        } else {
            Err(format!("wrong bytes in chunk {index}"))
        }
    }

    fn item(&mut self, peer: &Peer, id: Uuid, number: u64, item: Item, payload: &[u8]) -> Verdict {
        let mut at = 0;
        if let Item::Chunk { stream, index, .. } = &item {
            self.payload(*stream, *index, payload)?;
            let chunk = self
                .facts
                .streams
                .get(stream)
                .and_then(|it| it.chunk(*index));
            at = chunk.map_or(0, |chunk| chunk.start);
        }
        self.hit_item(&item);
        self.facts.moved = self.facts.now;
        let known = self
            .facts
            .listeners
            .get(&id)
            .ok_or("an item for an unknown listener")?;
        if self.facts.peers.get(peer) != Some(&known.client) || known.peer.as_ref() != Some(peer) {
            return Err("an item on a connection on which it does not listen".to_owned());
        }
        let place = usize::try_from(number).expect("items are few");
        if let Some(before) = known.items.get(place) {
            self.coverage.hit("item sent again");
            return if *before == item {
                Ok(())
            } else {
                Err(format!("item {number} was {before:?} and now is {item:?}"))
            };
        }
        if place > known.items.len() {
            return Err(format!("item {number} after {} items", known.items.len()));
        }
        let pipe = known.pipe.clone();
        let mode = known.mode;
        self.keep(&pipe, |pipe, facts| {
            pipe.item(id, &item, facts)
                .map_err(|why| format!("{mode:?} listener {id}, item {number} {item:?}: {why}"))
        })?;
        let known = self.facts.listeners.get_mut(&id).expect("it was there");
        known.push(item, payload, at);
        if known.cost > known.window {
            return Err(format!(
                "{} sent into a window of {}",
                known.cost, known.window
            ));
        }
        if known.items.len() as u64 - known.confirmed > MAX_UNCONFIRMED as u64 {
            return Err("too many items unconfirmed".to_owned());
        }
        if mode == Mode::Follow && known.items.len() == 1 {
            self.coverage.hit("follow begins");
        }
        Ok(())
    }

    fn error(&mut self, peer: &Peer, code: Code, message: &str, about: Option<Uuid>) -> Verdict {
        let stream = about.and_then(|id| self.facts.streams.get(&id));
        let listener = about.and_then(|id| self.facts.listeners.get(&id));
        let is_gone = |it: &Listener| matches!(it.presence, Presence::Left | Presence::Closed);
        let forgotten = stream.is_none_or(|stream| stream.forgettable)
            && listener.is_none_or(|it| is_gone(it) || it.is_late || it.is_sent_away);
        match (code, about) {
            (Code::Stranger, _) if !self.facts.peers.contains_key(peer) => Ok(()),
            (Code::Lost, Some(id)) if stream.is_none() => self.sent_away(id),
            (Code::Unknown, _) if forgotten => {
                self.coverage.hit("refused: unknown");
                Ok(())
            }
            _ => Err(format!(
                "refused with {code:?}: {message} (about {about:?})"
            )),
        }
    }

    /// The listener and the number of the item in this reply, and the item. A chunk must go out as it was
    /// received.
    fn item_of(&self, reply: &Reply) -> Result<Option<(Uuid, u64, Item)>, String> {
        Ok(Some(match reply.clone() {
            Reply::Chunk {
                listener,
                seq,
                stream,
                at,
                missed,
            } => {
                let known = self.facts.streams.get(&stream);
                let known = known.ok_or("a chunk of an unknown stream")?;
                let index = known.number(at);
                let index = index.ok_or_else(|| format!("no chunk begins at {at}"))?;
                let chunk = Item::Chunk {
                    stream,
                    index,
                    missed,
                };
                (listener, seq, chunk)
            }
            Reply::Ended {
                listener,
                seq,
                stream,
                at,
                how,
                before,
                missed,
                ..
            } => {
                // In the model, an `--eof` that waits is an empty stream that has ended.
                let how = match how {
                    How::Eof(_) => How::End,
                    how => how,
                };
                let ended = Item::Ended {
                    stream,
                    at,
                    how,
                    before,
                    missed,
                };
                (listener, seq, ended)
            }
            Reply::Done {
                listener,
                seq,
                missed,
                ..
            } => (listener, seq, Item::Done { missed }),
            _ => return Ok(None),
        }))
    }
}
