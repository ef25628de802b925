//! When bytes go to disk, what is recorded, and what is therefore safe (rules 4, 11, 12 and 16).
//!
//! Bytes without a listener are saved as they arrive. Live bytes stay in memory until all listeners have
//! confirmed them. They are saved if that takes too long or room is short. A writer is told that bytes are
//! safe once they are confirmed, or saved and synced. Decisions are recorded before any reply that depends on
//! them is sent.
//!
//! A store that is not durable makes all bytes count as safe on arrival.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::streams::Stage;
use super::{Broker, Now, Output, Peer};
use crate::pipe::Changed;
use crate::protocol::{Code, MAGIC, Outcome, Reply, Shortage, encode};
use crate::store::{Store, StreamKey, WriteError};

/// How long listeners may take to confirm a byte before the byte is saved.
const SAVE_AFTER: Duration = Duration::from_millis(500);

/// The same limit once the writer has finished and waits for its answer.
const SAVE_LAST_AFTER: Duration = Duration::from_millis(50);

/// How long data that nobody waits for may stay unsynced. After a power loss, this much of what listeners
/// have confirmed may be delivered again. Confirmed data leaves the disk only after the sync.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// How long to wait before writing to a full disk again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The maximum number of unsafe bytes of one stream. Its writer keeps these bytes until they are safe.
pub(super) const MAX_UNSAFE: u64 = 48 << 20;

/// What becomes safe once the log is synced up to a position.
#[derive(Debug)]
struct Pending {
    /// The position in the log. `u64::MAX` until the next records are written.
    written: u64,
    stream: Uuid,
    /// Bytes of the stream below this offset are saved by then.
    saved: u64,
    /// Whether the stream's finish is recorded by then.
    is_finished: bool,
}

/// What has to be saved, recorded and synced.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Streams with bytes in memory, by the time at which they must be saved.
    due: BTreeSet<(Now, StreamKey)>,
    times: HashMap<StreamKey, Now>,
    /// Streams that were saved because their listeners did not confirm in time and have not confirmed since.
    stalled: HashSet<StreamKey>,
    /// What has changed since the last records.
    pub changed: BTreeSet<Changed>,
    /// What waits for a sync, in log order.
    pending: VecDeque<Pending>,
    /// Whether a sync has finished, so that the store has work to do.
    pub is_touched: bool,
    /// When to sync data that nobody waits for.
    sync_at: Option<Now>,
    /// No write is attempted on a full disk before this time.
    full_until: Option<Now>,
    /// Why the disk is full. None if it is not.
    pub full: Option<String>,
    /// The outputs that remain after the disk has failed. Nothing else is done from then on.
    pub last_words: Option<VecDeque<Output>>,
}

impl Saving {
    /// Forgets a stream that is gone.
    pub fn forget(&mut self, stream: StreamKey) {
        self.nothing_due(stream);
        self.stalled.remove(&stream);
    }

    /// Notes that a stream has nothing to save.
    fn nothing_due(&mut self, stream: StreamKey) {
        if let Some(due) = self.times.remove(&stream) {
            self.due.remove(&(due, stream));
        }
    }

    /// Schedules a stream to be saved by this time, or earlier if an earlier time was set before.
    fn save_by(&mut self, stream: StreamKey, due: Now) {
        match self.times.get(&stream) {
            Some(before) if *before <= due => return,
            Some(before) => {
                self.due.remove(&(*before, stream));
            }
            None => {}
        }
        self.times.insert(stream, due);
        self.due.insert((due, stream));
    }

    /// Whether something has to be recorded.
    pub fn is_behind(&self) -> bool {
        let is_unplaced = |pending: &Pending| pending.written == u64::MAX;
        self.is_touched || !self.changed.is_empty() || self.pending.back().is_some_and(is_unplaced)
    }

    /// When the next save, sync or retry is due.
    pub fn deadline(&self) -> Option<Now> {
        let due = self.due.first().map(|(due, _)| *due);
        let due = match (due, self.full_until) {
            (Some(due), Some(until)) => Some(due.max(until)),
            (None, until) => until,
            (due, None) => due,
        };
        let sync_at = self
            .sync_at
            .map(|at| self.full_until.map_or(at, |until| at.max(until)));
        due.into_iter().chain(sync_at).min()
    }
}

impl<S: Store> Broker<S> {
    /// Notes that something has to be recorded.
    pub(super) fn note_changed(&mut self, changed: Changed) {
        if self.store.is_durable() {
            self.saving.changed.insert(changed);
        }
    }

    /// Notes that bytes of a stream arrived.
    pub(super) fn note_unsaved(&mut self, stream: Uuid) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        if !self.store.is_durable() {
            writer.safe = writer.next;
            self.owe(stream);
            return self.answer_if_safe(stream);
        }
        let key = writer.key;
        let is_late = self.is_late(key);
        let wait = if is_late { Duration::ZERO } else { SAVE_AFTER };
        self.saving.save_by(key, self.now + wait);
    }

    /// Whether a stream has no listeners, or its listeners have stopped confirming.
    fn is_late(&self, key: StreamKey) -> bool {
        let known = self.streams.get(&key);
        let pipe = known.and_then(|(_, name)| self.pipes.get(name));
        self.saving.stalled.contains(&key) || pipe.is_none_or(|pipe| pipe.is_free(key))
    }

    /// Notes that a writer has finished its stream.
    pub(super) fn note_finished(&mut self, stream: Uuid) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        let (key, is_answered) = (writer.key, matches!(writer.stage, Stage::Answered(_)));
        if is_answered {
            return;
        }
        if !self.store.is_durable() {
            writer.is_finish_safe = true;
            writer.safe = writer.next;
            return self.answer_if_safe(stream);
        }
        if self.saving.full.is_some() && !self.has_unsaved(key) {
            // A finish needs no room, so it does not wait for others that do.
            self.saving.nothing_due(key);
            return self.expect_sync(key);
        }
        let wait = if self.is_late(key) {
            Duration::ZERO
        } else {
            SAVE_LAST_AFTER
        };
        // Also needed with nothing in memory: the finish itself has to be synced.
        self.saving.save_by(key, self.now + wait);
    }

    /// Notes that bytes of a stream were released because all its listeners confirmed them. These bytes are
    /// safe.
    pub(super) fn note_released(&mut self, key: StreamKey, needed: u64) {
        if !self.store.is_durable() {
            return;
        }
        let Some((stream, _)) = self.streams.get(&key) else {
            return;
        };
        let stream = *stream;
        self.make_safe(stream, needed);
        let is_open = self
            .writers
            .get(&stream)
            .is_none_or(|writer| writer.stage == Stage::Open);
        if is_open {
            // The listeners confirm again, so bytes in memory get a new deadline.
            self.saving.forget(key);
            if self.has_unsaved(key) {
                self.saving.save_by(key, self.now + SAVE_AFTER);
            }
        }
    }

    fn has_unsaved(&self, key: StreamKey) -> bool {
        let known = self.streams.get(&key);
        let end = known.and_then(|(_, name)| self.pipes.get(name)?.end(key));
        self.store.saved(key).is_some_and(|saved| Some(saved) < end)
    }

    pub(super) fn make_safe(&mut self, stream: Uuid, safe: u64) {
        let Some(writer) = self.writers.get_mut(&stream) else {
            return;
        };
        // Nothing counts as safe before the end of the stream's earlier part.
        let safe = if writer.safe < writer.begins {
            safe.min(writer.begins)
        } else {
            safe
        };
        if safe > writer.safe {
            writer.safe = safe.min(writer.next);
            writer.full = writer.full.filter(|full| *full != Shortage::Disk);
            let requested = writer.requested;
            self.owe(stream);
            // The writer may have reached the limit of unsafe bytes.
            self.note_requested(stream, requested);
        }
    }

    /// Answers a writer if everything it waits for has happened.
    pub(super) fn answer_if_safe(&mut self, stream: Uuid) {
        let is_due = self.writers.get(&stream).is_some_and(|writer| {
            !writer.wait && writer.stage == Stage::Finished && writer.is_safe()
        });
        if is_due {
            self.answer(stream, Outcome::Kept);
        }
    }

    /// Saves everything that is due.
    pub(super) fn save_due(&mut self) {
        if self
            .saving
            .sync_at
            .take_if(|due| *due <= self.now)
            .is_some()
        {
            self.store.sync();
        }
        if self.saving.full_until.is_some_and(|until| until > self.now) {
            return;
        }
        if self.saving.full_until.take().is_some() {
            self.budget.touch();
        }
        while let Some((due, key)) = self.saving.due.first().copied()
            && due <= self.now
        {
            self.saving.stalled.insert(key);
            if !self.save(key) {
                return;
            }
        }
    }

    /// Saves everything that a stream has in memory. Returns whether the disk had room.
    pub(super) fn save(&mut self, key: StreamKey) -> bool {
        loop {
            match self.store.save(key) {
                Ok(0) => break,
                Ok(freed) => self.budget.free(freed),
                Err(error) => {
                    self.not_written(error);
                    self.expect_sync(key);
                    return false;
                }
            }
        }
        self.saving.nothing_due(key);
        self.expect_sync(key);
        true
    }

    fn expect_sync(&mut self, key: StreamKey) {
        let Some((stream, _)) = self.streams.get(&key) else {
            return;
        };
        let Some(writer) = self.writers.get(stream) else {
            return;
        };
        // Earlier parts of what the writer wrote are streams of their own.
        let most = if writer.key == key {
            writer.next
        } else {
            writer.begins
        };
        let saved = self.store.saved(key).unwrap_or(most).min(most);
        self.saving.pending.push_back(Pending {
            // Directly behind the next records, which include the stream's finish.
            written: u64::MAX,
            stream: *stream,
            saved,
            is_finished: writer.stage == Stage::Finished,
        });
    }

    /// Handles a failed write.
    pub(super) fn not_written(&mut self, error: WriteError) {
        match error {
            WriteError::Full(why) => self.disk_is_full(&why),
            WriteError::Failed(why) => self.disk_has_failed(why),
        }
    }

    fn disk_is_full(&mut self, why: &str) {
        self.saving.full_until = Some(self.now + TRY_AGAIN);
        if self.saving.full.replace(why.to_owned()).is_none() {
            self.out
                .push_back(Output::Log(format!("writers are paused: {why}")));
        }
        let due = self
            .saving
            .due
            .iter()
            .take_while(|(due, _)| *due <= self.now);
        let waiting = due.filter_map(|(_, key)| Some(self.streams.get(key)?.0));
        for stream in waiting.collect::<Vec<_>>() {
            self.note_full(stream, Some(Shortage::Disk));
        }
    }

    /// Nobody knows what is on the disk, so no pending reply may be sent. The satellite only reports the
    /// reason and ends. Clients that reconnect to the next satellite get answers from what is really there.
    fn disk_has_failed(&mut self, why: String) {
        if self.saving.last_words.is_some() {
            return;
        }
        let mut words: VecDeque<_> = self.out.drain(..).collect();
        words.retain(|output| matches!(output, Output::Log(_)));
        for (peer, key) in self.clients.on_connections() {
            let is_told_all = self.key(key).is_none_or(|key| key.rights.manage);
            let message = if is_told_all { &why } else { "its disk failed" };
            words.push_back(to_peer(peer, Code::Failed, message));
        }
        words.push_back(Output::Fail(why));
        self.saving.last_words = Some(words);
    }

    /// Saves everything in memory, as far as there is room, because the satellite is about to end.
    pub(super) fn save_all(&mut self) {
        while let Some((_, key)) = self.saving.due.first().copied() {
            if !self.save(key) {
                return;
            }
        }
    }

    /// Saves streams, those with the earliest deadline first, until enough memory is free.
    pub(super) fn make_room(&mut self) {
        if !self.store.is_durable() || self.saving.full_until.is_some() {
            return;
        }
        while self.budget.is_short()
            && let Some((_, key)) = self.saving.due.first().copied()
        {
            if !self.save(key) {
                return;
            }
        }
    }

    /// Records all decisions before any reply that depends on them is sent. Returns whether that was
    /// possible.
    pub(super) fn record(&mut self) -> bool {
        if self.saving.last_words.is_some() {
            return false;
        }
        if !self.store.is_durable() || !self.saving.is_behind() {
            return true;
        }
        self.saving.is_touched = false;
        self.put_changed();
        if self.store.wants_checkpoint() {
            self.checkpoint();
        }
        if let Err(error) = self.store.flush() {
            self.saving.is_touched = true;
            self.not_written(error);
            return false;
        }
        let written = self.store.written();
        let fresh = self.saving.pending.iter_mut().rev();
        for pending in fresh.take_while(|pending| pending.written == u64::MAX) {
            pending.written = written;
        }
        if self.saving.full_until.is_none() {
            self.saving.full = None;
        }
        self.go_on_syncing();
        if self.saving.pending.is_empty() && self.store.written() > self.store.synced() {
            self.saving.sync_at.get_or_insert(self.now + SYNC_AFTER);
        }
        true
    }

    /// Notes what the last sync made safe, and starts the next sync if needed.
    pub(super) fn go_on_syncing(&mut self) {
        if self.saving.pending.is_empty() {
            return;
        }
        let synced = self.store.synced();
        while let Some(Pending {
            stream,
            saved,
            is_finished,
            ..
        }) = self
            .saving
            .pending
            .front()
            .filter(|pending| pending.written <= synced)
        {
            let (stream, saved, is_finished) = (*stream, *saved, *is_finished);
            self.saving.pending.pop_front();
            self.make_safe(stream, saved);
            if let Some(writer) = self.writers.get_mut(&stream) {
                writer.is_finish_safe |= is_finished;
            }
            self.answer_if_safe(stream);
        }
        if !self.saving.pending.is_empty() {
            self.store.sync();
        }
    }
}

/// An error for a connection that does not answer any request.
fn to_peer(peer: Peer, code: Code, message: &str) -> Output {
    let reply = Reply::Error {
        code,
        message: message.to_owned(),
        about: None,
    };
    Output::Send {
        peer,
        frames: vec![Bytes::from_static(MAGIC), Bytes::from(encode(&reply))],
        report: false,
    }
}
