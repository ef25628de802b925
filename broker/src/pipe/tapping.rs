//! What a tap is sent. A tap holds its own copies, so it keeps nothing from anybody and slows nobody down. It
//! skips what it has no room for (rule 9).

use super::listener::{Cursor, Listener, Rank, Sent, SentWhat};
use super::{Context, Ended, Item, ListenerKey, Pipe};
use crate::protocol::cost;
use crate::store::{Chunk, Store, StreamKey};

/// The maximum backlog of one tap, in bytes of cost: enough for a few full chunks.
const TAP_ROOM: u64 = 4 << 20;

impl Pipe {
    /// Shows a new chunk to a tap. If the tap is too far behind, the chunk counts as missed (rule 9).
    pub(super) fn show_tap<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        chunk: &Chunk,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let price = cost(chunk.payload.len());
        let Some(cursor) = listener.cursors.get_mut(&stream) else {
            return;
        };
        let Some(tap) = cursor.tap.as_mut().filter(|_| cursor.limit.is_none()) else {
            return;
        };
        let fits = ctx.totals.taps + price <= ctx.totals.taps_limit;
        if fits && listener.held + price <= TAP_ROOM {
            ctx.totals.taps += price;
            listener.held += price;
            tap.chunks
                .push_back((chunk.clone(), std::mem::take(&mut tap.missed)));
        } else {
            tap.missed += chunk.payload.len() as u64;
        }
    }

    /// Tells the taps of a complete stream how it finished, after the chunks that they hold.
    pub(super) fn end_taps(&mut self, key: StreamKey) {
        if self.streams.get(&key).is_some_and(|it| it.is_complete()) {
            self.tell_end_to_taps(key);
        }
    }

    /// Tells the taps of a finished stream how it finished. Bytes that have not arrived are not waited for.
    pub(super) fn tell_end_to_taps(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let Some(finish) = &stream.finish else {
            return;
        };
        for tap in &stream.taps {
            let ended = Ended {
                stream: stream.id,
                at: finish.len,
                how: finish.how.clone(),
                label: stream.label.clone(),
                before: stream.begins,
                missed: finish.len.saturating_sub(stream.next),
            };
            let cursor = self
                .listeners
                .get_mut(tap)
                .and_then(|tap| tap.cursors.get_mut(&key));
            if let Some(cursor) = cursor.filter(|cursor| cursor.limit.is_none())
                && let Some(tap) = &mut cursor.tap
            {
                tap.ended.get_or_insert((finish.arrival, ended));
            }
        }
    }
}

/// The rank of a tap's next item. None if there is nothing to send.
pub(super) fn tap_rank(cursor: &Cursor) -> Option<Rank> {
    let tap = cursor.tap.as_ref().filter(|_| !cursor.complete)?;
    match (tap.chunks.front(), &tap.ended) {
        (Some((chunk, _)), _) => Some(Rank::Live(chunk.mark.arrival)),
        (None, Some((arrival, _))) => Some(Rank::Live(*arrival)),
        (None, None) => None,
    }
}

/// Sends the oldest item that a tap holds.
pub(super) fn send_to_tap(listener: &mut Listener, key: StreamKey) -> Option<(Sent, Item)> {
    let tap = listener.cursors.get(&key)?.tap.as_ref()?;
    let Some(price) = tap
        .chunks
        .front()
        .map(|(chunk, _)| cost(chunk.payload.len()))
    else {
        let (_, mut ended) = tap.ended.clone()?;
        ended.missed += tap.missed;
        let sent = listener.send_ended(key, ended)?;
        if let Some(tap) = listener
            .cursors
            .get_mut(&key)
            .and_then(|cursor| cursor.tap.as_mut())
        {
            tap.missed = 0;
        }
        return Some(sent);
    };
    if !listener.has_room(price) {
        return None;
    }
    let cursor = listener.cursors.get_mut(&key)?;
    let tap = cursor.tap.as_mut()?;
    let (chunk, missed) = tap.chunks.pop_front()?;
    let id = tap.id;
    cursor.complete = cursor.limit.is_some() && tap.chunks.is_empty();
    listener.note_line(key, chunk.mark.end(), chunk.mark.tail);
    let own = Some(chunk.payload.clone());
    let what = SentWhat::Chunk {
        stream: key,
        id,
        at: chunk.mark.at,
        len: chunk.mark.len,
        missed,
        own,
    };
    let item = Item::Chunk {
        stream: id,
        at: chunk.mark.at,
        missed,
        payload: chunk.payload,
    };
    Some((Sent { what, cost: price }, item))
}
