//! When bytes go to disk, what is recorded, and what is therefore safe (rules 4, 11, 12 and 16).
//!
//! Bytes without a listener are saved as they arrive. Live bytes stay in memory until all listeners have
//! confirmed them. They are saved if that takes too long or room is short. A writer is told that bytes are
//! safe once they are confirmed, or saved and synced. Decisions are recorded before any reply that depends on
//! them is sent.
//!
//! A store that is not durable makes all bytes count as safe on arrival.
//!
//! This module owns the order of saves, records and syncs. It never decides what a record says, or what a
//! writer is told.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use crate::pipe::{Changed, Now};
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

/// What becomes safe once the log is synced up to a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited {
    pub stream: Uuid,
    /// Bytes of the stream below this offset are saved by then.
    pub saved: u64,
    /// Whether the stream's finish is recorded by then.
    pub is_finished: bool,
}

/// What has to be saved, recorded and synced.
#[derive(Debug)]
pub(super) struct Durability {
    /// Whether the store is durable. It never changes.
    is_durable: bool,
    /// Streams with bytes in memory, by the time at which they must be saved.
    due: BTreeSet<(Now, StreamKey)>,
    times: HashMap<StreamKey, Now>,
    /// Streams that were saved because their listeners did not confirm in time and have not confirmed since.
    stalled: HashSet<StreamKey>,
    /// What has changed since the last records.
    changed: BTreeSet<Changed>,
    /// What is safe directly behind the next records, which include the streams' finishes.
    unwritten: Vec<Awaited>,
    /// What waits for a sync up to a position in the log, in log order.
    written: VecDeque<(u64, Awaited)>,
    /// Whether a sync has finished, so that the store has work to do.
    is_touched: bool,
    /// When to sync data that nobody waits for.
    sync_at: Option<Now>,
    /// No write is attempted on a full disk before this time.
    full_until: Option<Now>,
    /// Why the disk is full. None if it is not.
    full: Option<String>,
}

impl Durability {
    pub fn new(is_durable: bool) -> Self {
        Self {
            is_durable,
            due: BTreeSet::new(),
            times: HashMap::new(),
            stalled: HashSet::new(),
            changed: BTreeSet::new(),
            unwritten: Vec::new(),
            written: VecDeque::new(),
            is_touched: false,
            sync_at: None,
            full_until: None,
            full: None,
        }
    }

    /// Whether bytes become safe by being saved and synced. If not, they are safe on arrival.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Notes that something has to be recorded.
    pub fn note_changed(&mut self, changed: Changed) {
        if self.is_durable {
            self.changed.insert(changed);
        }
    }

    /// Notes that a sync has finished.
    pub fn note_synced(&mut self) {
        self.is_touched = true;
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

/// Which streams are saved when.
impl Durability {
    /// Notes that bytes of a stream arrived. `is_late` says that no listener is about to confirm them.
    pub fn save_soon(&mut self, stream: StreamKey, is_late: bool, now: Now) {
        let wait = if is_late { Duration::ZERO } else { SAVE_AFTER };
        self.save_by(stream, now + wait);
    }

    /// Notes that a stream has finished. Also needed with nothing in memory: the finish itself has to be
    /// synced.
    pub fn save_last_soon(&mut self, stream: StreamKey, is_late: bool, now: Now) {
        let wait = if is_late {
            Duration::ZERO
        } else {
            SAVE_LAST_AFTER
        };
        self.save_by(stream, now + wait);
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

    /// Whether a stream's listeners did not confirm in time and have not confirmed since.
    pub fn is_stalled(&self, stream: StreamKey) -> bool {
        self.stalled.contains(&stream)
    }

    /// Forgets a stream that is gone, or whose listeners have confirmed.
    pub fn forget(&mut self, stream: StreamKey) {
        self.nothing_due(stream);
        self.stalled.remove(&stream);
    }

    /// Notes that a stream has nothing to save.
    pub fn nothing_due(&mut self, stream: StreamKey) {
        if let Some(due) = self.times.remove(&stream) {
            self.due.remove(&(due, stream));
        }
    }

    /// The stream that has to be saved first.
    pub fn next_to_save(&self) -> Option<StreamKey> {
        self.due.first().map(|(_, stream)| *stream)
    }

    /// The stream that has to be saved first, if it is due. It counts as stalled from now on.
    pub fn next_due(&mut self, now: Now) -> Option<StreamKey> {
        let (due, stream) = *self.due.first()?;
        (due <= now).then(|| {
            self.stalled.insert(stream);
            stream
        })
    }

    /// All streams that are due to be saved.
    pub fn all_due(&self, now: Now) -> Vec<StreamKey> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        due.map(|(_, stream)| *stream).collect()
    }

    /// Moves everything that a stream has in memory to the log. Returns the freed cost, and the error if the
    /// disk had no room for all of it.
    pub fn save<S: Store>(
        &mut self,
        stream: StreamKey,
        store: &mut S,
    ) -> (u64, Option<WriteError>) {
        let mut freed = 0;
        loop {
            match store.save(stream) {
                Ok(0) => break,
                Ok(more) => freed += more,
                Err(error) => return (freed, Some(error)),
            }
        }
        self.nothing_due(stream);
        (freed, None)
    }
}

/// A full disk.
impl Durability {
    /// Notes that the disk is full. Returns whether it was not full before.
    pub fn note_full(&mut self, why: &str, now: Now) -> bool {
        self.full_until = Some(now + TRY_AGAIN);
        self.full.replace(why.to_owned()).is_none()
    }

    /// Why the disk is full. None if it is not.
    pub fn full(&self) -> Option<&String> {
        self.full.as_ref()
    }

    /// Whether no write is to be attempted now.
    pub fn is_waiting(&self, now: Now) -> bool {
        self.full_until.is_some_and(|until| until > now)
    }

    /// Whether the last write found a full disk, and none was attempted since.
    pub fn was_full(&self) -> bool {
        self.full_until.is_some()
    }

    /// Notes that writes are attempted again. Returns whether the disk was full.
    pub fn try_again(&mut self) -> bool {
        self.full_until.take().is_some()
    }
}

/// Records and syncs.
impl Durability {
    /// Notes what becomes safe with the next sync behind the next records.
    pub fn expect_sync(&mut self, awaited: Awaited) {
        self.unwritten.push(awaited);
    }

    /// Starts a sync of data that nobody waits for, if it is due.
    pub fn sync_if_due<S: Store>(&mut self, store: &mut S, now: Now) {
        if self.sync_at.take_if(|due| *due <= now).is_some() {
            store.sync();
        }
    }

    /// Whether something has to be recorded.
    pub fn is_behind(&self) -> bool {
        self.is_touched || !self.changed.is_empty() || !self.unwritten.is_empty()
    }

    /// What has to be recorded.
    pub fn take_changed(&mut self) -> BTreeSet<Changed> {
        self.is_touched = false;
        std::mem::take(&mut self.changed)
    }

    /// Passes all records to the operating system.
    ///
    /// # Errors
    ///
    /// If the disk is full or has failed.
    pub fn flush<S: Store>(&mut self, store: &mut S) -> Result<(), WriteError> {
        if let Err(error) = store.flush() {
            self.is_touched = true;
            return Err(error);
        }
        let written = store.written();
        let fresh = self.unwritten.drain(..);
        self.written.extend(fresh.map(|awaited| (written, awaited)));
        if self.full_until.is_none() {
            self.full = None;
        }
        Ok(())
    }

    /// What is next to be safe by the last sync.
    pub fn next_safe<S: Store>(&mut self, store: &S) -> Option<Awaited> {
        let (written, _) = *self.written.front()?;
        if written > store.synced() {
            return None;
        }
        self.written.pop_front().map(|(_, awaited)| awaited)
    }

    /// Starts the next sync if something waits for it.
    pub fn go_on_syncing<S: Store>(&self, store: &mut S) {
        if self.is_awaited() {
            store.sync();
        }
    }

    /// Whether something waits for a sync.
    fn is_awaited(&self) -> bool {
        !self.written.is_empty() || !self.unwritten.is_empty()
    }

    /// Schedules a sync of data that nobody waits for.
    pub fn sync_later<S: Store>(&mut self, store: &S, now: Now) {
        if !self.is_awaited() && store.written() > store.synced() {
            self.sync_at.get_or_insert(now + SYNC_AFTER);
        }
    }
}
