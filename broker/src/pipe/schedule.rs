//! What a listener is sent next and when: first the backlog by age, then everything in order of arrival, line
//! by line (rules 3, 4, 8 and 13).
//!
//! `offering` decides who gets a stream, with one exception: a `--follow` claims each finished stream of its
//! backlog here, when it is due (`claim_backlog`).

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::listener::{Cursor, Listener, Phase, Rank, Sent, SentWhat};
use super::reading::{Read, Reads};
use super::stream::Stream;
use super::tapping::{send_to_tap, tap_rank};
use super::{Context, Effect, Ended, Item, ListenerKey, Next, Now, Pipe};
use crate::protocol::{How, Mode, cost};
use crate::store::{Store, StreamKey};

/// How long other streams wait for the end of a line (rule 13).
const LINE_PATIENCE: Now = Now::from_secs(1);

/// When to retry a read from disk that the limit put off.
const READ_AGAIN: Now = Now::from_millis(5);

/// The stream of a listener's next item.
enum Pick {
    Stream(StreamKey),
    Wait(Now),
    Nothing,
}

/// Why a listener is not sent the next item of a stream.
enum Unsent {
    /// The bytes cannot be read now.
    Later,
    /// There is no room or no such item, until something happens.
    Nothing,
}

impl Pipe {
    /// The next item to send to a listener. A returned item counts as sent.
    pub fn next<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) -> Next {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Next::Nothing;
        };
        if listener.resend < listener.unconfirmed.len() {
            return resend(listener, &self.streams, ctx);
        }
        if matches!(listener.phase, Phase::Queued | Phase::Done) {
            return Next::Nothing;
        }
        self.claim_backlog(key, ctx);
        match self.pick(key, ctx.now) {
            Pick::Stream(stream) => self.send(key, stream, ctx),
            Pick::Wait(until) => Next::Wait(until),
            Pick::Nothing => self.send_done(key),
        }
    }

    /// Makes a follower claim the oldest finished stream of its backlog once it is due (rule 8).
    fn claim_backlog<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let listener = &self.listeners[&key];
        let Some(oldest) = self.backlog(listener) else {
            return;
        };
        let place = (Rank::Backlog(oldest.0), oldest);
        if listener.ready.first().is_none_or(|first| place < *first) {
            self.claim(key, oldest, ctx);
        }
    }

    /// The oldest finished stream that a follower still has to claim.
    fn backlog(&self, listener: &Listener) -> Option<StreamKey> {
        let is_its = |key: &&StreamKey| {
            let arrival = self.streams[*key]
                .finish
                .as_ref()
                .map(|finish| finish.arrival);
            listener
                .until
                .is_none_or(|until| arrival.is_some_and(|arrival| arrival < until))
        };
        if listener.mode != Mode::Follow {
            return None;
        }
        self.free.range(..listener.joined).find(is_its).copied()
    }

    /// Chooses the stream of a listener's next item. If the output ends inside a line, the line's stream goes
    /// first for as long as rule 13 says. Otherwise the first cursor in `ready` goes.
    fn pick(&mut self, key: ListenerKey, now: Now) -> Pick {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Pick::Nothing;
        };
        let Some((_, first)) = listener.ready.first().copied() else {
            return Pick::Nothing;
        };
        let Some(in_line) = listener.in_line.as_ref().map(|line| line.stream) else {
            return Pick::Stream(first);
        };
        if listener
            .cursors
            .get(&in_line)
            .is_some_and(|cursor| cursor.rank.is_some())
        {
            return Pick::Stream(in_line);
        }
        if let Some(stream) = self.streams.get(&in_line)
            && stream.finish.is_none()
            && listener
                .cursors
                .get(&in_line)
                .is_some_and(|cursor| !cursor.complete)
            && now < stream.line_since + LINE_PATIENCE
        {
            return Pick::Wait(stream.line_since + LINE_PATIENCE);
        }
        listener.in_line = None;
        Pick::Stream(first)
    }

    fn send<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        ctx: &mut Context<'_, S>,
    ) -> Next {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Next::Nothing;
        };
        let sent = match self.streams.get(&stream) {
            _ if listener.is_tap() => send_to_tap(listener, stream).ok_or(Unsent::Nothing),
            Some(source) => send_from_store(listener, stream, source, ctx),
            None => Err(Unsent::Nothing),
        };
        let (sent, item) = match sent {
            Ok(sent) => sent,
            Err(Unsent::Later) => return Next::Wait(ctx.now + READ_AGAIN),
            Err(Unsent::Nothing) => return Next::Nothing,
        };
        let seq = listener.next_seq();
        listener.spent += sent.cost;
        listener.unconfirmed.push_back(sent);
        listener.resend = listener.unconfirmed.len();
        if let (Item::Ended(_), Some(stream)) = (&item, self.streams.get_mut(&stream)) {
            stream.is_end_told = true;
        }
        self.refresh(key, stream, ctx);
        Next::Item(seq, item)
    }

    /// The end of a draining listener that has been sent everything else.
    fn send_done(&mut self, key: ListenerKey) -> Next {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return Next::Nothing;
        };
        let is_over = listener.cursors.values().all(|cursor| cursor.complete);
        if listener.phase != Phase::Draining || !is_over || !listener.has_room(0) {
            return Next::Nothing;
        }
        let missed = listener
            .cursors
            .values()
            .filter_map(|cursor| cursor.tap.as_ref())
            .map(|tap| tap.missed)
            .sum();
        let seq = listener.next_seq();
        listener.phase = Phase::Done;
        let eof = listener.eof.clone();
        listener.unconfirmed.push_back(Sent {
            what: SentWhat::Done {
                missed,
                eof: eof.clone(),
            },
            cost: 0,
        });
        listener.resend = listener.unconfirmed.len();
        Next::Item(seq, Item::Done { missed, eof })
    }

    /// Updates the rank of a listener's cursor.
    pub(super) fn refresh<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let Some(cursor) = listener.cursors.get(&stream) else {
            return;
        };
        let rank = match (&cursor.tap, self.streams.get(&stream)) {
            (Some(_), _) => tap_rank(cursor),
            (None, Some(source)) => rank(stream, source, cursor, ctx.store),
            (None, None) => None,
        };
        listener.set_rank(stream, rank);
        ctx.effects.push(Effect::Awake(key));
    }

    /// Updates the ranks of all cursors in a stream that has grown.
    pub(super) fn refresh_takers<S: Store>(&mut self, key: StreamKey, ctx: &mut Context<'_, S>) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        let taps = stream.taps.iter().copied();
        for listener in stream
            .subscriptions()
            .into_iter()
            .chain(taps)
            .collect::<Vec<_>>()
        {
            let has_rank = self
                .listeners
                .get(&listener)
                .and_then(|subscription| subscription.cursors.get(&key))
                .is_some_and(|cursor| cursor.rank.is_some());
            if !has_rank {
                self.refresh(listener, key, ctx);
            }
        }
    }
}

/// The rank of a cursor's next item. None if there is nothing to send.
fn rank<S: Store>(key: StreamKey, stream: &Stream, cursor: &Cursor, store: &S) -> Option<Rank> {
    if cursor.complete {
        return None;
    }
    if cursor.sent < cursor.backlog && (cursor.sent < stream.next || stream.is_complete()) {
        return Some(Rank::Backlog(key.0));
    }
    if cursor.sent < stream.next {
        return store
            .mark(key, cursor.sent)
            .map(|mark| Rank::Live(mark.arrival));
    }
    let finish = stream.finish.as_ref();
    finish
        .filter(|finish| cursor.sent >= finish.len)
        .map(|finish| Rank::Live(finish.arrival))
}

/// Bytes of one chunk.
fn read<S: Store>(
    key: StreamKey,
    at: u64,
    len: usize,
    is_idle: bool,
    ctx: &mut Context<'_, S>,
) -> Result<Bytes, Unsent> {
    match ctx.totals.reads.read(ctx.store, key, at, len, is_idle) {
        Read::Chunk(chunk) if chunk.mark.len == len => Ok(chunk.payload),
        Read::Chunk(_) | Read::NotNow => Err(Unsent::Later),
        Read::Damaged(damaged) => {
            ctx.effects
                .push(Effect::Damaged(key, at, Box::new(damaged)));
            Err(Unsent::Nothing)
        }
    }
}

/// Sends the next item of a cursor: a chunk, or the finish after the last chunk.
fn send_from_store<S: Store>(
    listener: &mut Listener,
    key: StreamKey,
    stream: &Stream,
    ctx: &mut Context<'_, S>,
) -> Result<(Sent, Item), Unsent> {
    let cursor = listener.cursors.get(&key).ok_or(Unsent::Nothing)?;
    let at = cursor.sent;
    if at >= stream.next {
        let finish = stream.finish.as_ref().filter(|finish| at >= finish.len);
        let finish = finish.ok_or(Unsent::Nothing)?;
        let before = cursor.before;
        let (how, label) = (finish.how.clone(), stream.label.clone());
        let ended = Ended {
            stream: stream.id,
            at: finish.len,
            how,
            label,
            before,
            missed: 0,
        };
        return listener.send_ended(key, ended).ok_or(Unsent::Nothing);
    }
    let limit = cursor.limit;
    let mut mark = ctx.store.mark(key, at).ok_or(Unsent::Nothing)?;
    if let Some(limit) = limit {
        // A store may have merged several chunks into one.
        let most = usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX);
        mark.len = mark.len.min(most);
    }
    if Reads::is_read_back(ctx.store, key, at) {
        mark = mark.first(ctx.totals.reads.piece());
    }
    if !listener.has_room(cost(mark.len)) {
        return Err(Unsent::Nothing);
    }
    let payload = read(key, at, mark.len, listener.unconfirmed.is_empty(), ctx)?;
    let cursor = listener.cursors.get_mut(&key).ok_or(Unsent::Nothing)?;
    cursor.sent = mark.end();
    cursor.complete = cursor.limit == Some(cursor.sent);
    listener.note_line(key, mark.end(), mark.tail);
    let what = SentWhat::Chunk {
        stream: key,
        id: stream.id,
        at,
        len: mark.len,
        missed: 0,
        own: None,
    };
    let item = Item::Chunk {
        stream: stream.id,
        at,
        missed: 0,
        payload,
    };
    let cost = cost(mark.len);
    Ok((Sent { what, cost }, item))
}

/// Sends an item again that was lost with an earlier connection.
fn resend<S: Store>(
    listener: &mut Listener,
    streams: &BTreeMap<StreamKey, Box<Stream>>,
    ctx: &mut Context<'_, S>,
) -> Next {
    let seq = listener.confirmed_items + listener.resend as u64;
    let item = match &listener.unconfirmed[listener.resend].what {
        SentWhat::Chunk {
            stream,
            id,
            at,
            len,
            missed,
            own,
        } => {
            let stream = *stream;
            let kept = match own {
                Some(own) => Ok(own.clone()),
                None => read(stream, *at, *len, true, ctx),
            };
            match kept {
                Ok(payload) => Item::Chunk {
                    stream: *id,
                    at: *at,
                    missed: *missed,
                    payload,
                },
                Err(Unsent::Later) => return Next::Wait(ctx.now + READ_AGAIN),
                Err(Unsent::Nothing) => {
                    let label = streams.get(&stream).map(|stream| stream.label.clone());
                    Item::Ended(end_damaged(listener, stream, label.unwrap_or_default()))
                }
            }
        }
        SentWhat::Ended { ended, .. } => Item::Ended(ended.clone()),
        SentWhat::Done { missed, eof } => Item::Done {
            missed: *missed,
            eof: eof.clone(),
        },
    };
    listener.resend += 1;
    Next::Item(seq, item)
}

/// Replaces all items of a stream that have to be sent again, and cannot be read back, with a finish.
fn end_damaged(listener: &mut Listener, key: StreamKey, label: String) -> Ended {
    let how = How::Cut("the satellite's disk could not be read".to_owned());
    let mut ended = Ended {
        stream: Uuid::nil(),
        at: 0,
        how,
        label,
        before: 0,
        missed: 0,
    };
    for sent in listener.unconfirmed.iter_mut().skip(listener.resend) {
        if let SentWhat::Chunk { stream, id, at, .. } = &sent.what
            && *stream == key
        {
            (ended.stream, ended.at) = (*id, *at);
            sent.what = SentWhat::Ended {
                stream: key,
                ended: ended.clone(),
            };
        }
    }
    if let Some(cursor) = listener.cursors.get_mut(&key) {
        cursor.complete = true;
    }
    // Nothing of the stream follows its end.
    listener.set_rank(key, None);
    ended
}
