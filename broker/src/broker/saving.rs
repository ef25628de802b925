//! When bytes go to disk, what is written down, and what is safe by that (rules 4, 11, 12 and 16).
//!
//! Bytes for which nobody listens are saved as they come. Bytes that listeners get live are kept in
//! memory until all of them have confirmed, and saved if that takes too long or room is short. A
//! writer is told that bytes are safe when either has happened, and a sync after the saving.
//! Decisions are recorded before anything that follows from them is sent.
//!
//! With a store that is not durable everything is safe as soon as it is taken in, as far as that goes.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::writing::Stage;
use super::{Broker, Now, Output, Peer};
use crate::pipe::Changed;
use crate::protocol::{Code, MAGIC, Outcome, Reply, Shortage, encode};
use crate::store::{Store, StreamKey, WriteError};

/// How long listeners may take to confirm a byte before it is saved for them.
const SAVE_AFTER: Duration = Duration::from_millis(500);

/// The same once the writer has said that there is no more, and waits for its answer.
const SAVE_LAST_AFTER: Duration = Duration::from_millis(50);

/// After how long what nobody waits for is synced: so much of what listeners have confirmed can come
/// once more if the machine loses its power, and what they took leaves the disk only then.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// After how long a full disk is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The most of one stream that may be unsafe, in bytes: what its writer has to keep for that long.
pub(super) const MAX_UNSAFE: u64 = 48 << 20;

/// What will be safe once the log is synced up to some place.
#[derive(Debug)]
struct Pending {
    /// The place in the log.
    written: u64,
    stream: Uuid,
    /// Bytes of the stream below this place are saved by then.
    saved: u64,
    /// Whether its finish is recorded by then.
    is_finished: bool,
}

/// What is to be saved, recorded and synced.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Streams with bytes in memory, by the time at which they are to be saved.
    due: BTreeSet<(Now, StreamKey)>,
    times: HashMap<StreamKey, Now>,
    /// Streams that were saved because those who take them did not confirm, and have not since.
    stalled: HashSet<StreamKey>,
    /// What has changed since the last records.
    pub changed: BTreeSet<Changed>,
    /// What waits for a sync, in the order of the log.
    pending: VecDeque<Pending>,
    /// Whether the store has something to look after: a sync has come to its end.
    pub is_touched: bool,
    /// When to sync what nobody waits for.
    sync_at: Option<Now>,
    /// Until when a full disk is left alone.
    full_until: Option<Now>,
    /// Why it is full, if it is.
    pub full: Option<String>,
    /// What is still to be done, and nothing else, once the disk has failed.
    pub last_words: Option<VecDeque<Output>>,
}

impl Saving {
    /// A stream is gone.
    pub fn forget(&mut self, stream: StreamKey) {
        self.nothing_due(stream);
        self.stalled.remove(&stream);
    }

    /// A stream has nothing that is to be saved.
    fn nothing_due(&mut self, stream: StreamKey) {
        if let Some(due) = self.times.remove(&stream) {
            self.due.remove(&(due, stream));
        }
    }

    /// A stream is to be saved at this time, or earlier if that was said before.
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

    /// Whether something is to be written down.
    pub fn is_behind(&self) -> bool {
        let is_unplaced = |pending: &Pending| pending.written == u64::MAX;
        self.is_touched || !self.changed.is_empty() || self.pending.back().is_some_and(is_unplaced)
    }

    /// When something is to be done.
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
    /// Something is to be recorded.
    pub(super) fn note_changed(&mut self, changed: Changed) {
        if self.store.is_durable() {
            self.saving.changed.insert(changed);
        }
    }

    /// Bytes of a stream were taken in.
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

    /// Whether nobody takes a stream, or those who do have stopped to.
    fn is_late(&self, key: StreamKey) -> bool {
        let known = self.streams.get(&key);
        let pipe = known.and_then(|(_, name)| self.pipes.get(name));
        self.saving.stalled.contains(&key) || pipe.is_none_or(|pipe| pipe.is_free(key))
    }

    /// A writer has said that there is no more.
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
            // A finish needs no room, and does not wait for those who do.
            self.saving.nothing_due(key);
            return self.expect_sync(key);
        }
        let wait = if self.is_late(key) {
            Duration::ZERO
        } else {
            SAVE_LAST_AFTER
        };
        // Even with nothing in memory, for the finish itself is to be synced.
        self.saving.save_by(key, self.now + wait);
    }

    /// Bytes of a stream were let go, for everyone who got them has confirmed them: they are safe.
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
            // They go on taking, so what lies in memory gets its time anew.
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
        // Nothing is before what an earlier part of the same stream holds.
        let safe = if writer.safe < writer.begins {
            safe.min(writer.begins)
        } else {
            safe
        };
        if safe > writer.safe {
            writer.safe = safe.min(writer.next);
            writer.full = writer.full.filter(|full| *full != Shortage::Disk);
            let want = writer.want;
            self.owe(stream);
            // It may have been at the limit of what may be unsafe.
            self.note_want(stream, want);
        }
    }

    /// Answers a writer that waits for nothing more.
    pub(super) fn answer_if_safe(&mut self, stream: Uuid) {
        let is_due = self.writers.get(&stream).is_some_and(|writer| {
            !writer.wait && writer.stage == Stage::Finished && writer.is_safe()
        });
        if is_due {
            self.answer(stream, Outcome::Kept);
        }
    }

    /// Saves what is due.
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
            self.room.touch();
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

    /// Saves what a stream has in memory. Returns whether there was room.
    pub(super) fn save(&mut self, key: StreamKey) -> bool {
        loop {
            match self.store.save(key) {
                Ok(0) => break,
                Ok(freed) => self.room.free(freed),
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
            // Right behind what is about to be recorded, its finish included.
            written: u64::MAX,
            stream: *stream,
            saved,
            is_finished: writer.stage == Stage::Finished,
        });
    }

    /// Something could not be written down.
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
                .push_back(Output::Log(format!("writers wait: {why}")));
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

    /// Nobody knows what is on the disk, so nothing that was to be said may be: all that is left is to
    /// say why, and to end. Who comes back to the next satellite is answered from what is there then.
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

    /// Saves all that is in memory, as far as there is room: the satellite ends.
    pub(super) fn save_all(&mut self) {
        while let Some((_, key)) = self.saving.due.first().copied() {
            if !self.save(key) {
                return;
            }
        }
    }

    /// Saves streams, those first that have waited longest, until a good part of the memory is free.
    pub(super) fn make_room(&mut self) {
        if !self.store.is_durable() || self.saving.full_until.is_some() {
            return;
        }
        while self.room.is_short()
            && let Some((_, key)) = self.saving.due.first().copied()
        {
            if !self.save(key) {
                return;
            }
        }
    }

    /// Writes down what has been decided, before anything that follows from it is sent. Returns
    /// whether that was possible.
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

    /// Notes what the last sync has made safe, and begins the next if there is need.
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

/// An error for a connection, about nothing that was asked on it.
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
