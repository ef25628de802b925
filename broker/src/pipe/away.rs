//! Listeners that timed out and come back (rule 16).
//!
//! Everything that a listener had not confirmed returns to the pipe when the listener is given up. `Away`
//! keeps the listener's position, so that the listener can continue if nobody took that data meanwhile.
//! `Away` holds no bytes, and others need not wait for the listener.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use super::listener::{Cursor, InLine, Listener, Phase};
use super::stream::Takers;
use super::{Changed, Context, Effect, ListenerKey, Pipe};
use crate::protocol::{MAX_BYTES, Mode, OpenLine, Progress};
use crate::store::record::{AwayRecord, ListenerRecord, PartRecord, Record};
use crate::store::{Store, StreamKey};

/// The position of a listener that timed out.
#[derive(Debug)]
pub struct Away {
    mode: Mode,
    phase: Phase,
    until: Option<u64>,
    eof: Option<Bytes>,
    has_had: bool,
    parts: BTreeMap<StreamKey, AwayPart>,
}

/// The listener's cursor in one stream. Offsets are in payload bytes.
#[derive(Debug)]
struct AwayPart {
    /// The stream's UUID. The stream may be gone when the listener comes back.
    id: Uuid,
    /// The offset at which the cursor began.
    from: u64,
    /// The first byte that the listener had not confirmed.
    confirmed: u64,
    /// The offset at which the cursor stops without a finish, if an `--eof` came.
    limit: Option<u64>,
    /// If the stream had finished before the cursor began: how many of its bytes others had read.
    before: u64,
    /// Whether the listener had claimed the stream.
    is_claim: bool,
}

/// What a returning listener reports.
#[derive(Debug)]
pub struct Return<'a> {
    /// The sequence number that the listener expects next. `cost` is the cost of all earlier items.
    pub next_seq: u64,
    /// See `next_seq`.
    pub cost: u64,
    /// The listener's window: the maximum cost of all its chunks, from sequence number 0 on.
    pub window: u64,
    /// The unfinished line that the listener's output ends with, if any.
    pub line: Option<OpenLine>,
    /// What the listener has printed of each stream that it remembers.
    pub progress: &'a HashMap<Uuid, Progress>,
    /// The key of the next stream to open.
    pub joined: StreamKey,
}

/// The error when others took what the listener was still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken;

/// What is left of one cursor for its listener.
enum Left {
    /// Nothing: the listener has printed everything, and the stream is gone.
    Nothing,
    /// Nothing, but the stream still exists. It was printed up to `at`, and its finish too if `has_end`.
    Printed { at: u64, has_end: bool },
    /// The bytes from this offset on.
    From(u64),
    /// Data that others have, or that is gone.
    Missed,
}

impl Away {
    /// The number of cursors kept for the listener.
    #[must_use]
    pub fn breadth(&self) -> usize {
        self.parts.len()
    }

    /// The streams of these cursors.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> {
        self.parts.keys().copied()
    }

    /// The record of the listener.
    #[must_use]
    pub fn listener_record(&self, key: ListenerKey, id: Uuid, client: Uuid, pipe: &str) -> Record {
        Record::Listener(ListenerRecord {
            key: key.0,
            id,
            client,
            // The broker fills this in.
            owner: None,
            pipe: pipe.to_owned(),
            mode: self.mode,
            is_accepting: self.phase == Phase::Live,
            is_queued: self.phase == Phase::Queued,
            joined: 0,
            until: self.until,
            eof: self.eof.clone(),
            has_had: self.has_had,
            is_away: true,
        })
    }

    /// The record of one of the listener's cursors.
    #[must_use]
    pub fn part_record(&self, listener: ListenerKey, stream: StreamKey) -> Option<Record> {
        let part = self.parts.get(&stream)?;
        Some(Record::Part(PartRecord {
            listener: listener.0,
            stream: stream.0,
            backlog: 0,
            limit: part.limit,
            before: part.before,
            from: part.from,
            away: Some(AwayRecord {
                id: part.id,
                confirmed: part.confirmed,
                is_claim: part.is_claim,
            }),
        }))
    }

    /// Restores a listener from its record, without cursors.
    #[must_use]
    pub fn restored(record: &ListenerRecord) -> Self {
        Self {
            mode: record.mode,
            phase: Phase::restored(record),
            until: record.until,
            eof: record.eof.clone(),
            has_had: record.has_had,
            parts: BTreeMap::new(),
        }
    }

    /// Restores one of the listener's cursors from its record.
    pub fn restore_part(&mut self, record: &PartRecord, away: &AwayRecord) {
        let part = AwayPart {
            id: away.id,
            from: record.from,
            confirmed: away.confirmed,
            limit: record.limit,
            before: record.before,
            is_claim: away.is_claim,
        };
        self.parts.insert(StreamKey(record.stream), part);
    }
}

impl Pipe {
    /// Removes a listener that timed out, and returns its position.
    pub fn give_up_listener<S: Store>(
        &mut self,
        key: ListenerKey,
        ctx: &mut Context<'_, S>,
    ) -> Option<Away> {
        let listener = self.listeners.get(&key)?;
        let part = |(stream, cursor): (&StreamKey, &Cursor)| {
            let known = self.streams.get(stream);
            let id = match &cursor.tap {
                Some(tap) => tap.id,
                None => known?.id,
            };
            let part = AwayPart {
                id,
                from: cursor.from,
                confirmed: cursor.confirmed,
                limit: cursor.limit,
                before: cursor.before,
                is_claim: known.is_some_and(|it| it.subscriptions == Takers::Claimed(key)),
            };
            Some((*stream, part))
        };
        let away = Away {
            mode: listener.mode,
            phase: listener.phase,
            until: listener.until,
            eof: listener.eof.clone(),
            has_had: listener.has_had,
            parts: listener.cursors.iter().filter_map(part).collect(),
        };
        self.leave(key, ctx);
        Some(away)
    }

    /// Adds a listener that had timed out. Returns the number of streams of which the listener missed data.
    /// Only a follower or a tap continues in spite of missed data.
    ///
    /// # Errors
    ///
    /// If others took what the listener was still to get. The pipe does not add the listener then.
    pub fn come_back<S: Store>(
        &mut self,
        key: ListenerKey,
        away: &Away,
        back: &Return<'_>,
        ctx: &mut Context<'_, S>,
    ) -> Result<u64, Taken> {
        let left: Vec<_> = away
            .parts
            .iter()
            .map(|(stream, part)| (*stream, part, self.left_of(*stream, part, away.mode, back)))
            .collect();
        let is_missed = |left: &&(_, _, Left)| matches!(left.2, Left::Missed);
        let missed = left.iter().filter(is_missed).count() as u64;
        if missed > 0 && matches!(away.mode, Mode::Default | Mode::One) {
            return Err(Taken);
        }
        let mut listener = Listener::new(away.mode, back.joined, back.window);
        // No honest peer gets this far. The limit keeps later additions from overflowing.
        listener.confirmed_items = back.next_seq.min(MAX_BYTES);
        listener.spent = back.cost.min(MAX_BYTES);
        listener.until = away.until;
        listener.eof.clone_from(&away.eof);
        listener.has_had = away.has_had;
        listener.phase = match away.phase {
            Phase::Done => Phase::Draining,
            phase => phase,
        };
        self.listeners.insert(key, Box::new(listener));
        ctx.change(Changed::Listener(key));
        let is_idle = away.parts.is_empty() && !away.has_had;
        match away.phase {
            Phase::Queued => self.join_one(key, ctx),
            Phase::Live if is_idle => self.find_streams(key, ctx),
            _ => {
                for (stream, part, left) in left {
                    self.take_up(key, stream, part, &left, ctx);
                }
                self.go_on_live(key, ctx);
                self.go_on_in_line(key, back.line);
            }
        }
        ctx.effects.push(Effect::Awake(key));
        Ok(missed)
    }

    /// What is left of a cursor, according to what the listener has printed.
    fn left_of(&self, key: StreamKey, part: &AwayPart, mode: Mode, back: &Return<'_>) -> Left {
        let told = back.progress.get(&part.id);
        let has = told.map_or(0, |it| it.at).max(part.confirmed);
        let has_limit = part.limit.is_some_and(|limit| has >= limit);
        let has_end = told.is_some_and(|it| it.ended);
        let Some(stream) = self.streams.get(&key) else {
            // A `--one` whose stream is gone has lost it to another listener, whatever it has printed.
            return if has_limit || (has_end && mode != Mode::One) {
                Left::Nothing
            } else {
                Left::Missed
            };
        };
        if has_limit || (has_end && stream.finish.is_some()) {
            return Left::Printed { at: has, has_end };
        }
        let is_others = match &stream.subscriptions {
            Takers::Claimed(_) => true,
            Takers::Shared(subscriptions) => mode == Mode::One && !subscriptions.is_empty(),
        };
        let is_missed = match mode {
            Mode::Default | Mode::One => stream.taken > has,
            // If somebody has taken all of a stream, a follower misses it, whether or not it is still there
            // for others. It continues behind bytes that were taken of any other stream.
            Mode::Follow => stream.is_spent() && stream.next > has,
            // A tap holds nothing of a finished stream.
            Mode::Tap => stream.finish.is_some() || part.limit.is_some(),
        };
        if is_others || is_missed {
            Left::Missed
        } else {
            Left::From(has.max(stream.taken).min(stream.next.max(stream.taken)))
        }
    }

    /// Continues a cursor, or notes that everything was printed.
    fn take_up<S: Store>(
        &mut self,
        key: ListenerKey,
        stream: StreamKey,
        part: &AwayPart,
        left: &Left,
        ctx: &mut Context<'_, S>,
    ) {
        match left {
            Left::Nothing | Left::Missed => {}
            // A tap takes nothing from the pipe.
            Left::Printed { .. } if self.is_tap(key) => {}
            Left::Printed { at, has_end } => self.take_printed(stream, *at, *has_end, ctx),
            Left::From(_) if self.is_tap(key) => self.add_tap(key, stream, ctx),
            Left::From(at) => self.share_again(key, stream, part, *at, ctx),
        }
    }

    /// Notes that a former listener of a stream has printed it up to `at`.
    fn take_printed<S: Store>(
        &mut self,
        key: StreamKey,
        at: u64,
        has_end: bool,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if stream.is_claimed() || (stream.is_kept_whole && !has_end) {
            return;
        }
        stream.taken = stream.taken.max(at.min(stream.next));
        if has_end {
            stream.finish_taken = true;
            ctx.change(Changed::Stream(key));
        }
        self.trim(key, ctx);
        self.settle(key, ctx);
    }

    fn share_again<S: Store>(
        &mut self,
        key: ListenerKey,
        stream_key: StreamKey,
        part: &AwayPart,
        at: u64,
        ctx: &mut Context<'_, S>,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_key) else {
            return;
        };
        let (begun, backlog) = (stream.taken, stream.next);
        let is_claim = part.is_claim && stream.is_free();
        if is_claim {
            stream.subscriptions = Takers::Claimed(key);
            ctx.change(Changed::Stream(stream_key));
        } else {
            stream.add_taker(key);
        }
        self.free.remove(&stream_key);
        let cursor = Cursor {
            from: part.from,
            sent: at,
            confirmed: begun,
            backlog: if is_claim { u64::MAX } else { backlog },
            limit: part.limit,
            before: part.before,
            complete: false,
            rank: None,
            tap: None,
        };
        if let Some(listener) = self.listeners.get_mut(&key)
            && listener.cursors.insert(stream_key, cursor).is_none()
        {
            ctx.totals.cursors += 1;
        }
        ctx.change(Changed::Part(key, stream_key));
        self.confirm_chunk(key, stream_key, at, ctx);
        self.refresh(key, stream_key, ctx);
    }

    /// Makes a formerly live listener live again, for all open streams. If everything that it was getting has
    /// finished meanwhile, the listener ends instead (rule 5).
    fn go_on_live<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        if !listener.is_accepting() {
            return;
        }
        let (mode, cursors) = (listener.mode, &listener.cursors);
        let is_over = !cursors.keys().any(|stream| self.open.contains(stream));
        if is_over && mode != Mode::Follow {
            listener.phase = Phase::Draining;
            return;
        }
        let is_new = |stream: &StreamKey| !cursors.contains_key(stream);
        for stream in self.open.iter().copied().filter(is_new).collect::<Vec<_>>() {
            let (is_claimed, backlog) = (
                self.streams[&stream].is_claimed(),
                self.streams[&stream].next,
            );
            match mode {
                _ if is_claimed => {}
                Mode::Tap => self.add_tap(key, stream, ctx),
                _ => self.share(key, stream, backlog, ctx),
            }
        }
    }

    /// Makes a listener that was about to end live again, because one of its finished streams continues.
    pub(super) fn live_again<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let ends = matches!(listener.mode, Mode::Default | Mode::Tap);
        if ends && listener.phase == Phase::Draining && listener.until.is_none() {
            listener.phase = Phase::Live;
            ctx.change(Changed::Listener(key));
            self.go_on_live(key, ctx);
        }
    }

    /// Notes that a listener's output ends inside a line. The rest of that line goes first.
    pub(super) fn go_on_in_line(&mut self, key: ListenerKey, line: Option<OpenLine>) {
        let (Some(listener), Some(line)) = (self.listeners.get_mut(&key), line) else {
            return;
        };
        let is_it = |stream: &&StreamKey| {
            let known = self.streams.get(*stream);
            known.is_some_and(|known| known.id == line.stream)
        };
        let stream = listener.cursors.keys().rfind(is_it).copied();
        listener.in_line = stream.map(|stream| InLine {
            stream,
            at: line.at,
        });
    }

    fn is_tap(&self, key: ListenerKey) -> bool {
        self.listeners.get(&key).is_some_and(|one| one.is_tap())
    }
}
