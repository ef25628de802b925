//! One v0.1 peer: its streams, its listeners, and what is on its way to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::{Confirm, MAX_CHUNK, Request, cost};
use crate::v01::MAX_PIECE;

/// A peer's stream in a pipe.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// The stream is open, and so many bytes of it were pushed.
    Open { stream: Uuid, len: u64 },
    /// The stream was cut, and its end has not arrived.
    Cut,
}

/// A peer's listener in a pipe.
#[derive(Debug)]
struct Listener {
    id: Uuid,
    /// The peer's own spelling of the pipe's name.
    spelled: String,
    /// The cost of everything that the peer has taken.
    taken: u64,
}

/// An item for a listener.
#[derive(Debug)]
pub(super) enum Item {
    Chunk(Bytes),
    /// The end of one of several streams, of which the protocol says nothing.
    Skipped,
    /// The listener's end, which is an empty message.
    End,
}

/// An item that waits for its turn.
#[derive(Debug)]
struct Queued {
    listener: Uuid,
    seq: u64,
    item: Item,
    /// The cost of the item in the listener's window.
    cost: u64,
}

/// The state of one v0.1 peer.
#[derive(Debug, Default)]
pub(super) struct V01Peer {
    streams: HashMap<Arc<str>, Stream>,
    listeners: HashMap<Arc<str>, Listener>,
    /// The items that were not taken, oldest first. The first one is being sent, in pieces.
    queue: VecDeque<Queued>,
    /// Whether a piece of the first item is in flight: passed to the event loop, which has not reported the
    /// result.
    is_out: bool,
    /// The listeners that are served when the queue is empty, in order.
    put_off: VecDeque<Uuid>,
}

/// Streams.
impl V01Peer {
    /// The stream in a pipe, if there is one.
    pub fn stream(&self, pipe: &str) -> Option<Stream> {
        self.streams.get(pipe).copied()
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    pub fn open_stream(&mut self, pipe: &Arc<str>, stream: Uuid) {
        let open = Stream::Open { stream, len: 0 };
        self.streams.insert(pipe.clone(), open);
    }

    pub fn cut_stream(&mut self, pipe: &Arc<str>) {
        self.streams.insert(pipe.clone(), Stream::Cut);
    }

    /// Forgets the stream in a pipe. Returns its UUID and its length, if it was not cut.
    pub fn end_stream(&mut self, pipe: &str) -> Option<(Uuid, u64)> {
        match self.streams.remove(pipe)? {
            Stream::Open { stream, len } => Some((stream, len)),
            Stream::Cut => None,
        }
    }

    /// Counts bytes that are pushed into a pipe.
    pub fn count(&mut self, pipe: &str, bytes: usize) {
        if let Some(Stream::Open { len, .. }) = self.streams.get_mut(pipe) {
            *len += bytes as u64;
        }
    }

    /// Takes back bytes that were counted and not pushed.
    pub fn uncount(&mut self, pipe: &str, bytes: usize) {
        if let Some(Stream::Open { len, .. }) = self.streams.get_mut(pipe) {
            *len -= bytes as u64;
        }
    }

    /// The pipe that an open stream is in.
    pub fn pipe_of(&self, stream: Uuid) -> Option<Arc<str>> {
        let is_it = |it: &Stream| matches!(it, Stream::Open { stream: id, .. } if *id == stream);
        let mut streams = self.streams.iter();
        streams
            .find(|(_, it)| is_it(it))
            .map(|(pipe, _)| pipe.clone())
    }
}

/// Listeners.
impl V01Peer {
    pub fn listens(&self, pipe: &str) -> bool {
        self.listeners.contains_key(pipe)
    }

    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    pub fn add_listener(&mut self, pipe: &Arc<str>, listener: Uuid, spelled: String) {
        let listener = Listener {
            id: listener,
            spelled,
            taken: 0,
        };
        self.listeners.insert(pipe.clone(), listener);
    }

    /// Forgets the listener in a pipe, and its queued items. Returns the listener, and whether one of its
    /// items was being sent.
    pub fn drop_listener(&mut self, pipe: &str) -> Option<(Uuid, bool)> {
        let listener = self.listeners.get(pipe)?.id;
        Some((listener, self.forget_listener(listener)))
    }

    /// Forgets a listener, and its queued items. Returns whether one of its items was being sent.
    pub fn forget_listener(&mut self, listener: Uuid) -> bool {
        let first = self.queue.front();
        let was_sending = self.is_out && first.is_some_and(|it| it.listener == listener);
        if was_sending {
            self.is_out = false;
        }
        self.listeners.retain(|_, it| it.id != listener);
        self.queue.retain(|it| it.listener != listener);
        self.put_off.retain(|it| *it != listener);
        was_sending
    }

    /// Whether a listener has to wait until the queue is empty. Then it is in `take_put_off`, once.
    pub fn puts_off(&mut self, listener: Uuid) -> bool {
        let has_to_wait = !self.queue.is_empty();
        if has_to_wait && !self.put_off.contains(&listener) {
            self.put_off.push_back(listener);
        }
        has_to_wait
    }

    /// The listeners that had to wait, once the queue is empty.
    pub fn take_put_off(&mut self) -> VecDeque<Uuid> {
        if self.queue.is_empty() {
            std::mem::take(&mut self.put_off)
        } else {
            VecDeque::new()
        }
    }

    fn listener(&mut self, listener: Uuid) -> Option<&mut Listener> {
        let mut listeners = self.listeners.values_mut();
        listeners.find(|it| it.id == listener)
    }
}

/// Items.
impl V01Peer {
    /// Queues an item for a listener, unless the listener has left.
    pub fn queue(&mut self, listener: Uuid, seq: u64, item: Item) {
        if self.listener(listener).is_none() {
            return;
        }
        let cost = match &item {
            Item::Chunk(payload) => cost(payload.len()),
            Item::Skipped | Item::End => 0,
        };
        self.queue.push_back(Queued {
            listener,
            seq,
            item,
            cost,
        });
    }

    #[cfg(test)]
    pub fn listeners_under_way(&self) -> usize {
        let listeners = self.queue.iter().map(|it| it.listener);
        listeners.collect::<std::collections::HashSet<_>>().len()
    }

    /// Whether a piece is in flight.
    pub fn is_sending(&self) -> bool {
        self.is_out
    }

    /// Takes the first item off the queue if the peer is not told of it. Returns its confirmation.
    pub fn take_skipped(&mut self) -> Option<Request> {
        let first = self.queue.front()?;
        if !matches!(first.item, Item::Skipped) {
            return None;
        }
        self.take_first()
    }

    /// The next piece of the first item, unless one is in flight, and the pipe's name as the peer spells it.
    pub fn next_piece(&mut self) -> Option<(String, Bytes)> {
        if self.is_out {
            return None;
        }
        let first = self.queue.front()?;
        let piece = match &first.item {
            Item::Chunk(rest) => rest.slice(..rest.len().min(MAX_PIECE)),
            Item::Skipped => return None,
            Item::End => Bytes::new(),
        };
        let listener = first.listener;
        let spelled = self.listener(listener)?.spelled.clone();
        self.is_out = true;
        Some((spelled, piece))
    }

    /// Notes that the piece in flight was not taken.
    pub fn not_taken(&mut self) {
        self.is_out = false;
    }

    /// Notes that the piece in flight was taken. Returns the confirmation of the item, if this was its last
    /// piece.
    pub fn taken(&mut self) -> Option<Request> {
        if !std::mem::take(&mut self.is_out) {
            return None;
        }
        if let Item::Chunk(rest) = &mut self.queue.front_mut()?.item {
            let _taken = rest.split_to(rest.len().min(MAX_PIECE));
            if !rest.is_empty() {
                return None;
            }
        }
        self.take_first()
    }

    /// Takes the first item off the queue, and confirms it.
    fn take_first(&mut self) -> Option<Request> {
        let Queued {
            listener,
            seq,
            item,
            cost: price,
        } = self.queue.pop_front()?;
        let taken = self.listener(listener).map_or(0, |it| {
            it.taken += price;
            it.taken
        });
        if matches!(item, Item::End) {
            self.forget_listener(listener);
        }
        Some(Request::Confirm(Confirm {
            listener,
            next_seq: seq + 1,
            // One full chunk at a time is on its way to a listener, and to one listener of a peer.
            window: taken + cost(MAX_CHUNK),
        }))
    }
}
