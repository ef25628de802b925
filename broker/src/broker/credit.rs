//! Who may send how much: one budget of memory, given out as credit (rule 12).
//!
//! The budget covers what is held and what has been promised. Beyond it there is a reserve, from
//! which only those are given a small window whose listeners have nothing left to take: a full pipe
//! can always be drained. It never touches a pipe's rules.

use uuid::Uuid;

use super::Broker;
use super::saving::MAX_UNSAFE;
use super::writing::Writer;
use crate::protocol::{BASE_CREDIT, CHUNK_OVERHEAD, MAX_CHUNK, SCRAP, Shortage, cost};
use crate::store::Store;

/// The most credit that one writer has in advance: enough for a gigabit over 120 ms, few enough
/// chunks that a listener's memory is never far from that of its writers.
const WINDOW: u64 = 16 * (MAX_CHUNK as u64 + CHUNK_OVERHEAD);

/// When many writers want room, none is given less than this at once as long as it is there:
/// smaller chunks cost more than they carry.
const SHARE: u64 = 64 << 10;

/// The reserve for those who are being drained.
const RESERVE: u64 = 16 << 20;

/// The window from the reserve; smaller where many listeners might need one.
const OWN_WINDOW: u64 = 64 << 10;
const OWN_WINDOW_OF_MANY: u64 = 8 << 10;
const MANY: usize = 100;

/// How many writers who want room are looked at in one go: more than messages are handled before that,
/// so that those who come are not more than those who are served.
pub(super) const ASKED_AT_ONCE: usize = 256;

/// What all taps together may hold beyond the budget; less where that is small, but always a chunk
/// that is under way and one that comes.
const TAPS: u64 = 8 << 20;

/// The budget.
#[derive(Debug)]
pub(super) struct Room {
    budget: u64,
    /// What everything takes of it that is no payload.
    upkeep: u64,
    /// The cost of what is held.
    held: u64,
    /// Credit that was given and has not been used.
    granted: u64,
    /// Whether there may be more room, or more wishes, than when it was last given out.
    changed: bool,
    /// How many of those who want room have not been looked at since.
    unasked: usize,
    /// How many looks there were at one of them.
    #[cfg(test)]
    pub looks: usize,
}

impl Room {
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            upkeep: 0,
            held: 0,
            granted: 0,
            changed: false,
            unasked: 0,
            #[cfg(test)]
            looks: 0,
        }
    }

    pub fn used(&self) -> u64 {
        self.held + self.granted
    }

    pub fn taps(&self) -> u64 {
        TAPS.min(self.budget / 8).max(2 * cost(MAX_CHUNK))
    }

    /// What may still be given to anyone.
    pub fn left(&self) -> u64 {
        (self.budget - self.upkeep).saturating_sub(self.used())
    }

    /// So many bytes of the budget are used for what is no payload.
    pub fn note_upkeep(&mut self, bytes: u64) {
        self.upkeep = bytes.min(self.budget);
    }

    /// Whether little is left.
    pub fn is_short(&self) -> bool {
        self.left() < (self.budget - self.upkeep) / 2
    }

    /// What may still be given to those who are being drained.
    fn left_in_reserve(&self) -> u64 {
        let most = self.budget - self.upkeep + RESERVE.min(self.budget / 4);
        most.saturating_sub(self.used())
    }

    fn own_window(&self, listeners: usize) -> u64 {
        let window = if listeners < MANY {
            OWN_WINDOW
        } else {
            OWN_WINDOW_OF_MANY
        };
        window.min(self.budget / 16)
    }

    /// Credit was given.
    pub fn grant(&mut self, amount: u64) {
        self.granted += amount;
    }

    /// Credit came back unused.
    pub fn withdraw(&mut self, amount: u64) {
        self.granted = self.granted.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// A chunk came in; `granted` says whether there was credit for it.
    pub fn hold(&mut self, amount: u64, granted: bool) {
        self.held += amount;
        if granted {
            self.granted = self.granted.saturating_sub(amount);
        }
    }

    /// Chunks were let go.
    pub fn free(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// Whether some of those who want it are yet to be looked at.
    pub fn is_to_be_given(&self) -> bool {
        self.unasked > 0
    }

    /// Somebody wants room, or may be served now.
    pub fn touch(&mut self) {
        self.changed = true;
    }
}

impl<S: Store> Broker<S> {
    /// Gives out what room there is, in turn, to those who want it. Each call looks at a bounded number
    /// of them, and the next one goes on with those behind: with ten thousand at a satellite without
    /// room, a chunk that is taken must not cost a walk over all of them.
    pub(super) fn grant(&mut self) {
        self.room.note_upkeep(self.upkeep_of_budget());
        if std::mem::take(&mut self.room.changed) {
            self.room.unasked = self.wanting.len();
        }
        if self.room.unasked == 0 {
            return;
        }
        self.make_room();
        for _ in 0..ASKED_AT_ONCE.min(self.room.unasked) {
            self.room.unasked -= 1;
            let Some(id) = self.wanting.pop_front() else {
                break;
            };
            if self.grant_one(id) {
                self.wanting.push_back(id);
            } else if let Some(writer) = self.writers.get_mut(&id) {
                writer.is_wanting = false;
            }
        }
    }

    /// Gives a writer what it wants as far as there is room. Returns whether it still wants more.
    fn grant_one(&mut self, id: Uuid) -> bool {
        #[cfg(test)]
        {
            self.room.looks += 1;
        }
        let waiting = self.wanting.len() as u64;
        // One without a connection says anew what it wants when it is back.
        let Some(writer) = self.writers.get(&id).filter(|it| it.connection.is_some()) else {
            return false;
        };
        let ahead = writer.limit - writer.received;
        let mut quota = self.quota_left(&writer.pipe);
        let own = self.key_left(id);
        let own_left = own.map_or(u64::MAX, |(left, _)| left);
        let wanted = writer
            .wants()
            .min((writer.received + WINDOW).saturating_sub(writer.limit));
        if wanted == 0 {
            return false;
        }
        let wanted = wanted.min(self.may_be_unsafe(id));
        if wanted == 0 {
            return self.wait_until_safe(id);
        }
        let Some(writer) = self.writers.get(&id) else {
            return false;
        };
        let in_hand = writer.want.saturating_sub(writer.limit).min(wanted);
        let mut enough = wanted.min(SCRAP.saturating_sub(ahead).max(cost(1)));
        let share = SHARE.max(self.room.left() / (waiting + 1));
        let most = wanted.min(share).min(own_left);
        let mut amount = most.min(self.room.left()).min(quota);
        if amount < enough {
            quota = self.let_go(id);
            amount = most.min(self.room.left()).min(quota);
        }
        let needed = enough;
        if amount < enough && in_hand > 0 {
            // Credit that may lie unused is not for the reserve.
            enough = enough.min(in_hand);
            amount = in_hand.min(self.own_window(id));
        }
        let Some(writer) = self.writers.get_mut(&id) else {
            return false;
        };
        if amount < enough {
            let lacking = if own_left < needed {
                Shortage::Key(own.map_or(0, |(_, quota)| quota))
            } else if quota < needed {
                Shortage::Pipe(self.settings.quota)
            } else if self.saving.full.is_some() {
                Shortage::Disk
            } else {
                Shortage::Memory(self.settings.memory)
            };
            // One that has nothing in hand may wait for the disk to keep what it has sent.
            let unsaved = writer.full.filter(|full| *full == Shortage::Disk);
            self.note_full(id, if in_hand > 0 { Some(lacking) } else { unsaved });
            return true;
        }
        writer.full = None;
        writer.limit += amount;
        if let Some(connection) = &writer.connection {
            self.inflow.give(connection, amount);
        }
        let (pipe, wants_more) = (writer.pipe.clone(), writer.wants() > 0);
        self.grant_credit(&pipe, amount);
        self.shares.grant(id, amount);
        self.owe(id);
        wants_more
    }

    /// How much more of a stream may be unsafe.
    fn may_be_unsafe(&self, id: Uuid) -> u64 {
        self.writers.get(&id).map_or(0, |writer| {
            let pending = writer.next.saturating_sub(writer.safe) + writer.limit - writer.received;
            MAX_UNSAFE.saturating_sub(pending)
        })
    }

    /// A writer has as much unsafe as may be. If that is for want of disk, confirmed bytes under a
    /// `--one` are let go. Returns whether the writer stays among those who wait for room.
    fn wait_until_safe(&mut self, id: Uuid) -> bool {
        if self.saving.full.is_none() {
            // It is asked again when something of it has become safe.
            return false;
        }
        self.let_go(id);
        let has_room = self.may_be_unsafe(id) > 0;
        if has_room {
            self.room.touch();
        } else {
            self.note_full(id, Some(Shortage::Disk));
        }
        true
    }

    /// A writer is told what it waits for, when that has changed.
    pub(super) fn note_full(&mut self, id: Uuid, full: Option<Shortage>) {
        if let Some(writer) = self.writers.get_mut(&id)
            && std::mem::replace(&mut writer.full, full) != full
        {
            self.owe(id);
        }
    }

    /// A stream under `--one` that does not fit lets its confirmed bytes go. Returns what its pipe may
    /// still keep.
    fn let_go(&mut self, id: Uuid) -> u64 {
        let Some(writer) = self.writers.get(&id) else {
            return 0;
        };
        let (pipe, key) = (writer.pipe.clone(), writer.key);
        self.with_pipe(&pipe, |pipe, ctx| pipe.let_go(key, ctx));
        self.quota_left(&pipe)
    }

    /// What one pipe may still be given beside what it keeps and has been promised.
    pub(super) fn quota_left(&self, pipe: &str) -> u64 {
        let used = self
            .pipes
            .get(pipe)
            .map_or(0, |pipe| pipe.kept() + pipe.granted);
        self.settings.quota.saturating_sub(used)
    }

    /// Credit was given to a writer of a pipe.
    fn grant_credit(&mut self, pipe: &str, amount: u64) {
        self.room.grant(amount);
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted += amount;
        }
    }

    /// Credit of a writer of a pipe was used, or taken back.
    pub(super) fn settle_credit(&mut self, pipe: &str, amount: u64) {
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted = pipe.granted.saturating_sub(amount);
        }
    }

    /// The window of its own that a stream gets whose listeners all have nothing left to take, one
    /// stream at a time for each of them.
    fn own_window(&mut self, id: Uuid) -> u64 {
        let Some(writer) = self.writers.get(&id) else {
            return 0;
        };
        let (key, has_credit) = (writer.key, writer.has_credit());
        let Some(pipe) = self.pipes.get(&writer.pipe).filter(|_| !has_credit) else {
            return 0;
        };
        let Some(takers) = pipe.starving_takers(key) else {
            return 0;
        };
        let is_promised = |listener| {
            let uuid = self.listeners.get(listener);
            let promised = uuid.and_then(|uuid| self.takers.get(uuid)?.promised);
            let other = promised.filter(|other| *other != id);
            other
                .and_then(|other| self.writers.get(&other))
                .is_some_and(Writer::will_send)
        };
        if takers.iter().any(is_promised) {
            return 0;
        }
        for listener in takers {
            if let Some(uuid) = self.listeners.get(&listener)
                && let Some(taker) = self.takers.get_mut(uuid)
            {
                taker.promised = Some(id);
            }
        }
        self.room
            .own_window(self.takers.len())
            .min(self.room.left_in_reserve())
    }

    /// Credit for a stream that opens, or whose writer is back.
    pub(super) fn first_credit(&mut self, pipe: &str, stream: Uuid) -> u64 {
        let own = self.key_left(stream).map_or(u64::MAX, |(left, _)| left);
        let amount = BASE_CREDIT.min(self.room.left()).min(self.quota_left(pipe));
        let amount = amount.min(own);
        self.grant_credit(pipe, amount);
        self.shares.grant(stream, amount);
        amount
    }
}
