//! What becomes of a writer's bytes once they are saved, confirmed or synced (rules 4, 11 and 12).

use super::super::base::Base;
use super::super::budget::MemoryBudget;
use super::super::durability::Awaited;
use super::writer::{Stage, Writer};
use super::{Queues, Streams, answer_if_safe};
use crate::protocol::Shortage;
use crate::store::{Store, StreamKey, WriteError};

impl Streams {
    /// Handles bytes of a stream that were released because all its listeners confirmed them. These bytes are
    /// safe.
    pub fn released<S: Store>(&mut self, base: &mut Base<S>, key: StreamKey, needed: u64) {
        let Some(place) = base.pipes.place(key) else {
            return;
        };
        let writer = self.writers.get_mut(&place.stream);
        let is_open = writer
            .as_ref()
            .is_none_or(|writer| writer.stage == Stage::Open);
        if let Some(writer) = writer {
            make_safe(writer, &mut self.queues, &mut base.budget, needed);
        }
        if is_open {
            // The listeners confirm again, so bytes in memory get a new deadline.
            base.durability.forget(key);
            if has_unsaved(key, base) {
                base.durability.save_soon(key, false, base.now);
            }
        }
    }

    /// Saves everything that is due.
    pub fn save_due<S: Store>(&mut self, base: &mut Base<S>) {
        if !base.durability.is_durable() {
            return;
        }
        base.durability
            .sync_if_due(base.pipes.store_mut(), base.now);
        if base.durability.is_waiting(base.now) {
            return;
        }
        if base.durability.try_again() {
            base.budget.touch();
        }
        while let Some(key) = base.durability.next_due(base.now) {
            if !self.save(base, key) {
                return;
            }
        }
    }

    /// Saves everything in memory, as far as there is room, because the satellite is about to end.
    pub fn save_all<S: Store>(&mut self, base: &mut Base<S>) {
        while let Some(key) = base.durability.next_to_save() {
            if !self.save(base, key) {
                return;
            }
        }
    }

    /// Saves streams, those with the earliest deadline first, until enough memory is free.
    pub fn make_room<S: Store>(&mut self, base: &mut Base<S>) {
        if !base.durability.is_durable() || base.durability.was_full() {
            return;
        }
        while base.budget.is_short()
            && let Some(key) = base.durability.next_to_save()
        {
            if !self.save(base, key) {
                return;
            }
        }
    }

    /// Saves everything that a stream has in memory. Returns whether the disk had room.
    pub(super) fn save<S: Store>(&mut self, base: &mut Base<S>, key: StreamKey) -> bool {
        let (freed, error) = base.durability.save(key, base.pipes.store_mut());
        base.budget.free(freed);
        let is_saved = error.is_none();
        if let Some(error) = error {
            self.not_written(base, error);
        }
        let place = base.pipes.place(key);
        if let Some(writer) = place.and_then(|place| self.writers.get(&place.stream)) {
            expect_sync(writer, key, base);
        }
        is_saved
    }

    /// Handles a failed write.
    pub fn not_written<S: Store>(&mut self, base: &mut Base<S>, error: WriteError) {
        let why = match error {
            WriteError::Full(why) => why,
            WriteError::Failed(why) => return base.fail(why),
        };
        if base.durability.note_full(&why, base.now) {
            base.out.log(format!("writers are paused: {why}"));
        }
        for key in base.durability.all_due(base.now) {
            let place = base.pipes.place(key);
            if let Some(writer) = place.and_then(|place| self.writers.get_mut(&place.stream)) {
                self.queues.note_full(writer, Some(Shortage::Disk));
            }
        }
    }

    /// Notes what the last sync made safe, and starts the next sync if needed.
    pub fn go_on_syncing<S: Store>(&mut self, base: &mut Base<S>) {
        while let Some(awaited) = base.durability.next_safe(base.pipes.store()) {
            let Some(writer) = self.writers.get_mut(&awaited.stream) else {
                continue;
            };
            make_safe(writer, &mut self.queues, &mut base.budget, awaited.saved);
            if let Some(finished) = &mut writer.finished {
                finished.is_safe |= awaited.is_finished;
            }
            answer_if_safe(writer, base);
        }
        base.durability.go_on_syncing(base.pipes.store_mut());
    }
}

/// Notes that all bytes of a writer below an offset are safe.
pub(super) fn make_safe(
    writer: &mut Writer,
    queues: &mut Queues,
    budget: &mut MemoryBudget,
    safe: u64,
) {
    // Nothing counts as safe before the end of the stream's earlier part.
    let begins = writer.origin.begins;
    let safe = if writer.safe < begins {
        safe.min(begins)
    } else {
        safe
    };
    if safe <= writer.safe {
        return;
    }
    writer.safe = safe.min(writer.next);
    let credit = &mut writer.credit;
    credit.full = credit.full.filter(|full| *full != Shortage::Disk);
    let requested = credit.requested;
    queues.owe(writer);
    // The writer may have reached the limit of unsafe bytes.
    queues.note_requested(writer, requested, budget);
}

/// Notes what is safe of a stream with the next sync.
pub(super) fn expect_sync<S: Store>(writer: &Writer, key: StreamKey, base: &mut Base<S>) {
    // Earlier parts of what the writer wrote are streams of their own.
    let most = if writer.origin.key == key {
        writer.next
    } else {
        writer.origin.begins
    };
    let saved = base.pipes.store().saved(key);
    base.durability.expect_sync(Awaited {
        stream: writer.origin.stream,
        saved: saved.unwrap_or(most).min(most),
        is_finished: writer.stage == Stage::Finished,
    });
}

/// Whether some bytes of a stream are only in memory.
pub(super) fn has_unsaved<S: Store>(key: StreamKey, base: &Base<S>) -> bool {
    let end = base.pipes.pipe_of(key).and_then(|pipe| pipe.end(key));
    let saved = base.pipes.store().saved(key);
    saved.is_some_and(|saved| Some(saved) < end)
}
