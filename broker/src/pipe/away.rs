//! Listeners that were given up for their silence, and come back (rule 16).
//!
//! What a listener had not confirmed is back in the pipe as soon as it is given up. What is kept of
//! it here says where it stood, so that it can go on if nobody took that meanwhile. It holds no bytes
//! and keeps nothing from anybody.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use super::listener::{Feed, Listener, Phase};
use super::stream::Takers;
use super::{Changed, Context, ListenerKey, Pipe};
use crate::protocol::{MAX_BYTES, Mode, Progress};
use crate::store::record::{AwayRecord, ListenerRecord, PartRecord, Record};
use crate::store::{Store, StreamKey};

/// Where a listener stood that was given up.
#[derive(Debug)]
pub struct Away {
    mode: Mode,
    phase: Phase,
    until: Option<u64>,
    eof: Option<Bytes>,
    has_had: bool,
    parts: BTreeMap<StreamKey, AwayPart>,
}

/// The part that it had in one stream; positions are in payload bytes.
#[derive(Debug)]
struct AwayPart {
    /// The stream's UUID: the stream may be gone by the time the listener is back.
    id: Uuid,
    /// Where the part began.
    from: u64,
    /// The first byte that the listener had not confirmed.
    confirmed: u64,
    /// Where it stops without a finish, if an `--eof` came.
    limit: Option<u64>,
    /// If the stream had finished before the part began: how many of its bytes others had taken.
    before: u64,
    /// Whether the listener had the stream for itself.
    is_claim: bool,
}

/// What a listener says that comes back.
#[derive(Debug)]
pub struct Return<'a> {
    /// The turn that it expects, and what all turns before that cost.
    pub turns: u64,
    /// See `turns`.
    pub cost: u64,
    /// What all chunks from turn 0 on may cost together.
    pub window: u64,
    /// The stream in whose line its output stands, if it does.
    pub line: Option<Uuid>,
    /// What it has printed of each stream that it remembers.
    pub progress: &'a HashMap<Uuid, Progress>,
    /// The place in the order of streams that the next one to open will have.
    pub joined: StreamKey,
}

/// Others took what the listener was still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken;

/// What is left of one part for its listener.
enum Left {
    /// Nothing: it has printed all that it was to get.
    Nothing,
    /// Nothing, and the stream is still there: it has been printed up to here, and its finish if so.
    Printed { at: u64, has_end: bool },
    /// The bytes from this place on.
    From(u64),
    /// Something that others have, or that is gone.
    Missed,
}

impl Away {
    /// How many parts in streams are kept of it.
    #[must_use]
    pub fn breadth(&self) -> usize {
        self.parts.len()
    }

    /// The parts, for the records.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> {
        self.parts.keys().copied()
    }

    /// What is to be written down of the listener.
    #[must_use]
    pub fn listener_record(&self, key: ListenerKey, id: Uuid, client: Uuid, pipe: &str) -> Record {
        Record::Listener(ListenerRecord {
            key: key.0,
            id,
            client,
            // The broker knows whose it is.
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

    /// What is to be written down of one of its parts.
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

    /// The listener as it was written down, without its parts.
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

    /// One of its parts as it was written down.
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
    /// A listener is given up: it leaves, and where it stood is kept.
    pub fn give_up_listener<S: Store>(
        &mut self,
        key: ListenerKey,
        ctx: &mut Context<'_, S>,
    ) -> Option<Away> {
        let listener = self.listeners.get(&key)?;
        let part = |(stream, feed): (&StreamKey, &Feed)| {
            let known = self.streams.get(stream);
            let id = match &feed.tap {
                Some(tap) => tap.id,
                None => known?.id,
            };
            let part = AwayPart {
                id,
                from: feed.from,
                confirmed: feed.confirmed,
                limit: feed.limit,
                before: feed.before,
                is_claim: known.is_some_and(|it| it.takers == Takers::Claimed(key)),
            };
            Some((*stream, part))
        };
        let away = Away {
            mode: listener.mode,
            phase: listener.phase,
            until: listener.until,
            eof: listener.eof.clone(),
            has_had: listener.has_had,
            parts: listener.feeds.iter().filter_map(part).collect(),
        };
        self.leave(key, ctx);
        Some(away)
    }

    /// A listener that was given up is there again. Returns of how many streams it missed something
    /// that it cannot be sent any more, which only a follower and a tap put up with.
    ///
    /// # Errors
    ///
    /// When others took what it was still to get. It is none of the pipe's then.
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
        // No peer ever comes so far, and what it says is added to.
        listener.confirmed_turns = back.turns.min(MAX_BYTES);
        listener.spent = back.cost.min(MAX_BYTES);
        listener.until = away.until;
        listener.eof.clone_from(&away.eof);
        listener.has_had = away.has_had;
        listener.phase = match away.phase {
            Phase::Done => Phase::Draining,
            phase => phase,
        };
        self.listeners.insert(key, Box::new(listener));
        ctx.effects.change(Changed::Listener(key));
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
        ctx.effects.awake.push(key);
        Ok(missed)
    }

    /// What is left of a part, by what the listener says that it has printed.
    fn left_of(&self, key: StreamKey, part: &AwayPart, mode: Mode, back: &Return<'_>) -> Left {
        let told = back.progress.get(&part.id);
        let has = told.map_or(0, |it| it.at).max(part.confirmed);
        let has_limit = part.limit.is_some_and(|limit| has >= limit);
        let has_end = told.is_some_and(|it| it.ended);
        let Some(stream) = self.streams.get(&key) else {
            // A stream of a `--one` that is gone was another's work, whatever this one has of it.
            return if has_limit || (has_end && mode != Mode::One) {
                Left::Nothing
            } else {
                Left::Missed
            };
        };
        if has_limit || (has_end && stream.finish.is_some()) {
            return Left::Printed { at: has, has_end };
        }
        let is_others = match &stream.takers {
            Takers::Claimed(_) => true,
            Takers::Shared(takers) => mode == Mode::One && !takers.is_empty(),
        };
        let is_missed = match mode {
            Mode::Default | Mode::One => stream.taken > has,
            Mode::Follow => false,
            // It holds nothing of a stream that has finished.
            Mode::Tap => stream.finish.is_some() || part.limit.is_some(),
        };
        if is_others || is_missed {
            Left::Missed
        } else {
            Left::From(has.max(stream.taken).min(stream.next.max(stream.taken)))
        }
    }

    /// Goes on with a part, or takes in that all of it was printed.
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
            // A tap takes nothing.
            Left::Printed { .. } if self.is_tap(key) => {}
            Left::Printed { at, has_end } => self.take_printed(stream, *at, *has_end, ctx),
            Left::From(_) if self.is_tap(key) => self.add_tap(key, stream, ctx.effects),
            Left::From(at) => self.share_again(key, stream, part, *at, ctx),
        }
    }

    /// Somebody who is not among a stream's listeners any more has printed it up to here.
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
            ctx.effects.change(Changed::Stream(key));
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
            stream.takers = Takers::Claimed(key);
            ctx.effects.change(Changed::Stream(stream_key));
        } else {
            stream.add_taker(key);
        }
        self.free.remove(&stream_key);
        let feed = Feed {
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
            && listener.feeds.insert(stream_key, feed).is_none()
        {
            ctx.effects.feeds += 1;
        }
        ctx.effects.change(Changed::Part(key, stream_key));
        self.confirm_chunk(key, stream_key, at, ctx);
        self.refresh(key, stream_key, ctx);
    }

    /// One that was live is live again, in all that is being written now, unless all that it was
    /// getting has finished meanwhile (rule 5).
    fn go_on_live<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        if !listener.is_accepting() {
            return;
        }
        let (mode, feeds) = (listener.mode, &listener.feeds);
        let is_over = !feeds.keys().any(|stream| self.open.contains(stream));
        if is_over && mode != Mode::Follow {
            listener.phase = Phase::Draining;
            return;
        }
        let is_new = |stream: &StreamKey| !feeds.contains_key(stream);
        for stream in self.open.iter().copied().filter(is_new).collect::<Vec<_>>() {
            let (is_claimed, backlog) = (
                self.streams[&stream].is_claimed(),
                self.streams[&stream].next,
            );
            match mode {
                _ if is_claimed => {}
                Mode::Tap => self.add_tap(key, stream, ctx.effects),
                _ => self.share(key, stream, backlog, ctx),
            }
        }
    }

    /// A listener that was about to end, for all that it was getting had finished, gets streams again: one
    /// of them goes on.
    pub(super) fn live_again<S: Store>(&mut self, key: ListenerKey, ctx: &mut Context<'_, S>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let ends = matches!(listener.mode, Mode::Default | Mode::Tap);
        if ends && listener.phase == Phase::Draining && listener.until.is_none() {
            listener.phase = Phase::Live;
            ctx.effects.change(Changed::Listener(key));
            self.go_on_live(key, ctx);
        }
    }

    /// A listener's output stands within a line of a stream, whose rest comes before anything else.
    pub(super) fn go_on_in_line(&mut self, key: ListenerKey, line: Option<Uuid>) {
        let Some(listener) = self.listeners.get_mut(&key) else {
            return;
        };
        let is_it = |stream: &&StreamKey| {
            let known = self.streams.get(*stream);
            known.is_some_and(|known| Some(known.id) == line)
        };
        listener.in_line = listener.feeds.keys().rfind(is_it).copied();
    }

    fn is_tap(&self, key: ListenerKey) -> bool {
        self.listeners.get(&key).is_some_and(|one| one.is_tap())
    }
}
