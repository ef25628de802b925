//! The satellite's inputs, in the order in which it processes them.

use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{Input, Peer};
use skypipe_protocol::{
    Confirm, Data, Finish, Hello, How, Listen, Mode, Open, Progress, Request, Resume, decode,
};
use uuid::Uuid;

use super::{Checker, Verdict};
use crate::simulation::facts::{Chunk, Item, Listener, Presence, Stream};
use crate::simulation::model::parts::{Event, Said};

impl Checker {
    /// Processes an input before the satellite gets it.
    pub fn input(&mut self, now: Duration, input: &Input) -> Verdict {
        self.facts.now = now;
        match input {
            Input::Received { peer, frames, .. } | Input::Oversent { peer, frames, .. } => {
                self.received(peer, frames)
            }
            Input::Disconnected { peer } | Input::Congested { peer } => {
                self.facts.disconnected(peer);
                Ok(())
            }
            Input::Timeout => self.timeout(),
            Input::Taken { .. } | Input::Synced | Input::KeysSaved(_) | Input::Stop => Ok(()),
        }
    }

    /// Rule 16: clients that were silent for too long are lost.
    fn timeout(&mut self) -> Verdict {
        self.give_up()?;
        self.facts.forget_idle(self.writer_lost, self.listener_lost);
        Ok(())
    }

    fn give_up(&mut self) -> Verdict {
        for (_, id) in self.facts.overdue(self.writer_lost, self.listener_lost) {
            if let Some(stream) = self.facts.streams.get_mut(&id) {
                stream.lost = true;
                self.coverage.hit("writer lost");
                self.finish(id, How::Cut("lost".to_owned()))?;
            } else {
                self.hit_mode_of(id, ["default lost", "one lost", "follow lost", "tap lost"]);
                self.leave(id, Presence::Lost)?;
            }
        }
        Ok(())
    }

    fn hit_mode_of(&mut self, listener: Uuid, situations: [&'static str; 4]) {
        let mode = self.facts.listeners[&listener].mode;
        self.hit_mode(mode, situations);
    }

    fn received(&mut self, peer: &Peer, frames: &[Bytes]) -> Verdict {
        let request = decode(&frames[1]).map_err(|error| format!("a session sent: {error}"))?;
        if let Request::Hello(Hello { client, .. }) = request {
            if self.facts.clients.contains_key(&client) && !self.facts.peers.contains_key(peer) {
                self.coverage.hit("reconnection");
            }
            self.facts.hello(peer, client);
            return Ok(());
        }
        let Some(client) = self.facts.peers.get(peer).copied() else {
            self.coverage.hit("stranger");
            return Ok(());
        };
        let now = self.facts.now;
        self.facts
            .clients
            .get_mut(&client)
            .expect("it said hello")
            .heard = now;
        match request {
            Request::Open(Open {
                stream,
                pipe,
                from,
                resume,
                wait,
                ..
            }) => self.open(client, stream, &pipe, (from, resume), wait),
            Request::Data(Data {
                stream,
                at,
                tail,
                requested,
            }) => {
                self.want(stream, requested);
                self.data(client, stream, at, tail, frames.get(2))
            }
            Request::Credit { stream, requested } => {
                self.want(stream, requested);
                Ok(())
            }
            Request::Finish(Finish { stream, len, how }) => match self.facts.streams.get(&stream) {
                Some(known) if known.finish.is_none() && known.size() == len => {
                    self.finish(stream, how)
                }
                _ => Ok(()),
            },
            Request::Listen(Listen {
                listener,
                pipe,
                mode,
                window,
                resume,
            }) => self.listen(peer, client, listener, (pipe, mode), (window, resume)),
            Request::Close { stream } => {
                if let Some(stream) = self.facts.streams.get_mut(&stream) {
                    stream.forgettable = true;
                }
                Ok(())
            }
            Request::Confirm(Confirm {
                listener,
                next_seq,
                window,
            }) => self.confirm(listener, next_seq, window),
            Request::Leave { listener } => self.leave_if_here(listener),
            Request::Bye => self.bye(client),
            Request::Eof { pipe, .. } => {
                self.coverage.hit("eof");
                self.step(&pipe, &Event::Eof)
            }
            Request::Discard { pipe } => {
                self.coverage.hit("discard");
                self.step(&pipe, &Event::Discard)
            }
            _ => Ok(()),
        }
    }

    fn want(&mut self, stream: Uuid, requested: u64) {
        if let Some(stream) = self.facts.streams.get_mut(&stream) {
            stream.wish = requested;
        }
    }

    fn open(
        &mut self,
        client: Uuid,
        id: Uuid,
        pipe: &str,
        (from, resume): (u64, bool),
        wait: bool,
    ) -> Verdict {
        if let Some(stream) = self.facts.streams.get_mut(&id) {
            if from > stream.size() {
                return Err(format!("a writer resumes at {from} of {}", stream.size()));
            }
            self.coverage.hit("stream resumed");
            if std::mem::take(&mut stream.lost) {
                stream.finish = None;
                self.coverage.hit("writer came back");
                return self.step(pipe, &Event::Reopen(id));
            }
            return Ok(());
        }
        if resume {
            self.coverage.hit("unknown stream resumed");
            return Ok(());
        }
        let stream = Stream::new(pipe.to_owned(), client, wait);
        self.facts.streams.insert(id, stream);
        self.facts.begun.push(id);
        self.step(pipe, &Event::Open(id))
    }

    fn data(
        &mut self,
        client: Uuid,
        id: Uuid,
        start: u64,
        tail: u64,
        payload: Option<&Bytes>,
    ) -> Verdict {
        let at = self.facts.now;
        let Some(stream) = self.facts.streams.get_mut(&id) else {
            return Ok(());
        };
        if stream.client != client || stream.finish.is_some() || stream.size() != start {
            self.coverage.hit("chunk ignored");
            return Ok(());
        }
        let payload = payload.ok_or("a chunk without a payload")?.clone();
        stream.chunks.push(Chunk {
            payload,
            tail,
            at,
            start,
            confirmed: false,
        });
        let pipe = stream.pipe.clone();
        self.step(&pipe, &Event::Data(id))
    }

    fn finish(&mut self, id: Uuid, how: How) -> Verdict {
        let stream = self
            .facts
            .streams
            .get_mut(&id)
            .expect("only known streams finish");
        self.coverage.hit(if how == How::End {
            "stream ended"
        } else {
            "stream cut"
        });
        let is_cut = how != How::End;
        stream.finish = Some(how);
        let pipe = stream.pipe.clone();
        self.step(&pipe, &Event::Finish(id, is_cut))
    }

    fn listen(
        &mut self,
        peer: &Peer,
        client: Uuid,
        id: Uuid,
        (pipe, mode): (String, Mode),
        (window, resume): (u64, Option<Resume>),
    ) -> Verdict {
        // One that was sent away, and had nothing yet, begins anew.
        let is_new = |listener: &Listener| listener.is_sent_away && resume.is_none();
        if let Some(listener) = self.facts.listeners.get_mut(&id)
            && !is_new(listener)
        {
            listener.window = listener.window.max(window);
            let Resume {
                next_seq: at,
                cost,
                line,
                streams,
            } = resume.unwrap_or_default();
            let sent = listener.items.len() as u64;
            if at > sent {
                return Err(format!("a listener resumes at {at} of {sent}"));
            }
            let place = usize::try_from(at).expect("items are few");
            let price = place.checked_sub(1).map_or(0, |last| listener.costs[last]);
            if cost != price {
                return Err(format!("{at} items cost {cost}, not {price}"));
            }
            if listener.presence == Presence::Lost {
                listener.returning = Some((peer.clone(), at, window));
                listener.line = line;
                self.hit_mode(
                    mode,
                    ["default back", "one back", "follow back", "tap back"],
                );
                let said = self.said(at > 0, &streams);
                if mode != Mode::Tap {
                    self.note_printed(&said);
                }
                return self.step(&pipe, &Event::Return(id, said));
            }
            // Messages in flight on an earlier connection may arrive after those on the next.
            listener.is_late = at < listener.confirmed;
            if !listener.is_late {
                listener.peer = Some(peer.clone());
            }
            let resumed = [
                "default resumed",
                "one resumed",
                "follow resumed",
                "tap resumed",
            ];
            self.hit_mode(mode, resumed);
            return Ok(());
        }
        if resume.is_some() {
            self.coverage.hit("unknown listener resumed");
            return Ok(());
        }
        let mut listener = Listener::new(pipe.clone(), mode, client, window);
        listener.peer = Some(peer.clone());
        listener.begin(self.begun.get(&id).cloned().unwrap_or_default());
        self.facts.listeners.insert(id, listener);
        self.facts.begun.retain(|known| *known != id);
        self.facts.begun.push(id);
        self.step(&pipe, &Event::Join(id, mode))
    }

    /// What a returning listener has printed, in chunks.
    fn said(&self, has_items: bool, streams: &[Progress]) -> Said {
        let chunks = |progress: &Progress| {
            let known = self.facts.streams.get(&progress.stream)?;
            let ends = |chunk: &Chunk| chunk.start + (chunk.payload.len() as u64) <= progress.at;
            Some(known.chunks.partition_point(ends) as u64)
        };
        let printed = streams.iter().filter_map(|progress| {
            let chunks = chunks(progress)?;
            Some((progress.stream, (chunks, progress.ended)))
        });
        Said {
            printed: printed.collect(),
            has_marker: streams
                .iter()
                .any(|progress| progress.stream.is_nil() && progress.ended),
            has_items,
        }
    }

    fn confirm(&mut self, id: Uuid, items: u64, window: u64) -> Verdict {
        let Some(listener) = self.facts.listeners.get_mut(&id) else {
            return Ok(());
        };
        if listener.presence != Presence::Here {
            return Ok(());
        }
        listener.window = listener.window.max(window);
        let (from, to) = (listener.confirmed, items.max(listener.confirmed));
        if to > listener.items.len() as u64 {
            return Err(format!(
                "{items} items confirmed of {}",
                listener.items.len()
            ));
        }
        listener.confirmed = to;
        let (pipe, mode) = (listener.pipe.clone(), listener.mode);
        let place = |item: u64| usize::try_from(item).expect("items are few");
        let confirmed = listener.items[place(from)..place(to)].to_vec();
        for item in confirmed {
            if matches!(item, Item::Done { .. }) {
                self.facts
                    .listeners
                    .get_mut(&id)
                    .expect("it is here")
                    .presence = Presence::Closed;
                self.hit_mode(
                    mode,
                    ["default done", "one done", "follow done", "tap done"],
                );
            }
            if mode != Mode::Tap {
                self.note_confirmed(&item);
            }
            self.step(&pipe, &Event::Confirm(id, item))?;
        }
        Ok(())
    }

    /// A listener's report of what it has printed counts as a confirmation.
    fn note_printed(&mut self, said: &Said) {
        for (id, (chunks, ended)) in &said.printed {
            if let Some(stream) = self.facts.streams.get_mut(id) {
                let chunks = usize::try_from(*chunks).expect("chunks are few");
                for chunk in stream.chunks.iter_mut().take(chunks) {
                    chunk.confirmed = true;
                }
                stream.finish_confirmed |= *ended;
            }
        }
    }

    fn note_confirmed(&mut self, item: &Item) {
        let (Item::Chunk { stream, .. } | Item::Ended { stream, .. }) = item else {
            return;
        };
        // The stream that an `--eof` left has no writer.
        let Some(stream) = self.facts.streams.get_mut(stream) else {
            return;
        };
        if let Item::Chunk { index, .. } = item {
            let index = usize::try_from(*index).expect("chunks are few");
            stream.chunks[index].confirmed = true;
        } else {
            stream.finish_confirmed = true;
        }
    }

    fn leave_if_here(&mut self, id: Uuid) -> Verdict {
        let here = |listener: &Listener| listener.presence == Presence::Here;
        if self.facts.listeners.get(&id).is_some_and(here) {
            self.hit_mode_of(id, ["default left", "one left", "follow left", "tap left"]);
            self.leave(id, Presence::Left)?;
        }
        Ok(())
    }

    fn leave(&mut self, id: Uuid, how: Presence) -> Verdict {
        let listener = self
            .facts
            .listeners
            .get_mut(&id)
            .expect("only known listeners leave");
        listener.presence = how;
        let pipe = listener.pipe.clone();
        let had = listener.confirmed > 0;
        let claimed = self.has_claim(&pipe, id);
        if claimed {
            self.coverage.hit(if had {
                "claim returned in part"
            } else {
                "claim returned"
            });
        }
        let event = if how == Presence::Lost {
            Event::Lose(id)
        } else {
            Event::Leave(id)
        };
        self.step(&pipe, &event)
    }

    fn has_claim(&self, pipe: &str, id: Uuid) -> bool {
        self.pipes
            .get(pipe)
            .and_then(|ways| ways.first())
            .is_some_and(|pipe| {
                let listener = pipe.listener(id);
                pipe.streams
                    .iter()
                    .any(|stream| stream.claim.is_some() && stream.claim == listener)
            })
    }

    fn bye(&mut self, client: Uuid) -> Verdict {
        for stream in self
            .facts
            .streams
            .values_mut()
            .filter(|stream| stream.client == client)
        {
            stream.forgettable = true;
        }
        for id in self.facts.begun.clone() {
            if let Some(stream) = self.facts.streams.get(&id) {
                if stream.client == client && stream.finish.is_none() && !stream.lost {
                    self.coverage.hit("goodbye cuts");
                    self.finish(id, How::Cut("goodbye".to_owned()))?;
                }
            } else if self.facts.listeners[&id].client == client {
                self.leave_if_here(id)?;
            }
        }
        Ok(())
    }
}
