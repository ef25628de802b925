//! The memory budget, and the credit given out of it (rule 12).
//!
//! The budget covers held payloads and unused credit. A reserve lies beyond the budget. Only writers whose
//! listeners have nothing left to receive get a small window from the reserve, so that a full pipe can always
//! be drained. This module never changes the rules of a pipe.

use uuid::Uuid;

use super::Broker;
use super::durability::MAX_UNSAFE;
use super::streams::Writer;
use crate::protocol::{BASE_CREDIT, CHUNK_OVERHEAD, MAX_CHUNK, MIN_SEND, Shortage, cost};
use crate::store::Store;

/// The maximum unused credit of one writer. It is enough for a gigabit per second over 120 ms, and few enough
/// chunks that a listener's memory is never far from that of its writers.
const WINDOW: u64 = 16 * (MAX_CHUNK as u64 + CHUNK_OVERHEAD);

/// The smallest grant while many writers want credit and this much is free. Smaller chunks cost more than
/// they carry.
const SHARE: u64 = 64 << 10;

/// The reserve beyond the budget, in bytes, for streams that are being drained.
const RESERVE: u64 = 16 << 20;

/// The window from the reserve for one stream, in bytes. It is smaller (`OWN_WINDOW_OF_MANY`) where there are
/// `MANY` listeners or more.
const OWN_WINDOW: u64 = 64 << 10;
const OWN_WINDOW_OF_MANY: u64 = 8 << 10;
const MANY: usize = 100;

/// How many waiting writers `grant` looks at in one call. The number exceeds the messages handled between two
/// calls, so that new writers do not arrive faster than they are served.
pub(super) const ASKED_AT_ONCE: usize = 256;

/// How much all taps together may hold beyond the budget, in bytes. A small budget lowers this limit, but
/// there is always room for the chunk being sent and the next one.
const TAPS: u64 = 8 << 20;

/// The memory budget.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    budget: u64,
    /// Budget used for anything but payloads, in bytes.
    upkeep: u64,
    /// The cost of all held payloads.
    held: u64,
    /// Credit that was given and has not been used.
    granted: u64,
    /// Whether room was freed or credit was requested since the last grants.
    changed: bool,
    /// How many of the waiting writers have not been looked at since then.
    unasked: usize,
    /// How often a waiting writer was looked at.
    #[cfg(test)]
    pub looks: usize,
}

impl MemoryBudget {
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

    /// How much credit may still be given to anyone.
    pub fn left(&self) -> u64 {
        (self.budget - self.upkeep).saturating_sub(self.used())
    }

    /// Sets the budget used for anything but payloads.
    pub fn note_upkeep(&mut self, bytes: u64) {
        self.upkeep = bytes.min(self.budget);
    }

    /// Whether less than half of the budget for payloads is left.
    pub fn is_short(&self) -> bool {
        self.left() < (self.budget - self.upkeep) / 2
    }

    /// How much credit may still be given to writers whose streams are being drained.
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

    pub fn grant(&mut self, amount: u64) {
        self.granted += amount;
    }

    /// Takes back unused credit.
    pub fn withdraw(&mut self, amount: u64) {
        self.granted = self.granted.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// Counts a chunk that arrived. `granted` says whether the writer had credit for it.
    pub fn hold(&mut self, amount: u64, granted: bool) {
        self.held += amount;
        if granted {
            self.granted = self.granted.saturating_sub(amount);
        }
    }

    /// Counts chunks that were released.
    pub fn free(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
        self.changed |= amount > 0;
    }

    /// Whether some waiting writers still have to be looked at.
    pub fn is_to_be_given(&self) -> bool {
        self.unasked > 0
    }

    /// Makes the next `grant` look at all waiting writers again.
    pub fn touch(&mut self) {
        self.changed = true;
    }
}

impl<S: Store> Broker<S> {
    /// Gives free room as credit to the waiting writers, in turn. Each call looks at a bounded number of
    /// writers, and the next call continues behind them: with ten thousand writers at a full satellite, one
    /// released chunk must not cost a walk over all of them.
    pub(super) fn grant(&mut self) {
        self.budget.note_upkeep(self.upkeep_of_budget());
        if std::mem::take(&mut self.budget.changed) {
            self.budget.unasked = self.wanting.len();
        }
        if self.budget.unasked == 0 {
            return;
        }
        self.make_room();
        for _ in 0..ASKED_AT_ONCE.min(self.budget.unasked) {
            self.budget.unasked -= 1;
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

    /// Gives a writer the credit that it requested, as far as there is room. Returns whether the writer still
    /// wants more.
    fn grant_one(&mut self, id: Uuid) -> bool {
        #[cfg(test)]
        {
            self.budget.looks += 1;
        }
        let waiting = self.wanting.len() as u64;
        // A writer without a connection requests credit again when it is back.
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
        let in_hand = writer.requested.saturating_sub(writer.limit).min(wanted);
        let mut enough = wanted.min(MIN_SEND.saturating_sub(ahead).max(cost(1)));
        let share = SHARE.max(self.budget.left() / (waiting + 1));
        let most = wanted.min(share).min(own_left);
        let mut amount = most.min(self.budget.left()).min(quota);
        if amount < enough {
            quota = self.let_go(id);
            amount = most.min(self.budget.left()).min(quota);
        }
        let needed = enough;
        if amount < enough && in_hand > 0 {
            // The reserve gives no credit that might lie unused.
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
            // A writer with no data to send may still wait until the disk has room for what it sent.
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

    /// How many more bytes of a stream may be taken in before it reaches the limit of unsafe bytes.
    fn may_be_unsafe(&self, id: Uuid) -> u64 {
        self.writers.get(&id).map_or(0, |writer| {
            let pending = writer.next.saturating_sub(writer.safe) + writer.limit - writer.received;
            MAX_UNSAFE.saturating_sub(pending)
        })
    }

    /// Handles a writer that has the maximum of unsafe bytes. If the disk is full, confirmed bytes under a
    /// `--one` are released. Returns whether the writer keeps waiting for room.
    fn wait_until_safe(&mut self, id: Uuid) -> bool {
        if self.saving.full.is_none() {
            // The writer is asked again when more of its bytes are safe.
            return false;
        }
        self.let_go(id);
        let has_room = self.may_be_unsafe(id) > 0;
        if has_room {
            self.budget.touch();
        } else {
            self.note_full(id, Some(Shortage::Disk));
        }
        true
    }

    /// Tells a writer what resource it waits for, if that has changed.
    pub(super) fn note_full(&mut self, id: Uuid, full: Option<Shortage>) {
        if let Some(writer) = self.writers.get_mut(&id)
            && std::mem::replace(&mut writer.full, full) != full
        {
            self.owe(id);
        }
    }

    /// Releases the confirmed bytes of a stream under `--one` that does not fit as a whole. Returns how much
    /// its pipe may still hold.
    fn let_go(&mut self, id: Uuid) -> u64 {
        let Some(writer) = self.writers.get(&id) else {
            return 0;
        };
        let (pipe, key) = (writer.pipe.clone(), writer.key);
        self.with_pipe(&pipe, |pipe, ctx| pipe.let_go(key, ctx));
        self.quota_left(&pipe)
    }

    /// How many more bytes one pipe may hold, after its held bytes and unused credit.
    pub(super) fn quota_left(&self, pipe: &str) -> u64 {
        let used = self
            .pipes
            .get(pipe)
            .map_or(0, |pipe| pipe.kept() + pipe.granted);
        self.settings.quota.saturating_sub(used)
    }

    /// Counts credit given to a writer of a pipe.
    fn grant_credit(&mut self, pipe: &str, amount: u64) {
        self.budget.grant(amount);
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted += amount;
        }
    }

    /// Counts credit that a writer of a pipe used or lost.
    pub(super) fn settle_credit(&mut self, pipe: &str, amount: u64) {
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.granted = pipe.granted.saturating_sub(amount);
        }
    }

    /// The size of a stream's window from the reserve. A stream gets a window if none of its listeners has
    /// anything left to receive. Each listener gives a window to only one stream at a time.
    fn own_window(&mut self, id: Uuid) -> u64 {
        let Some(writer) = self.writers.get(&id) else {
            return 0;
        };
        let (key, has_credit) = (writer.key, writer.has_credit());
        let Some(pipe) = self.pipes.get(&writer.pipe).filter(|_| !has_credit) else {
            return 0;
        };
        let Some(subscriptions) = pipe.starving_takers(key) else {
            return 0;
        };
        let is_promised = |listener| {
            let uuid = self.listeners.get(listener);
            let promised = uuid.and_then(|uuid| self.subscriptions.get(uuid)?.promised);
            let other = promised.filter(|other| *other != id);
            other
                .and_then(|other| self.writers.get(&other))
                .is_some_and(Writer::will_send)
        };
        if subscriptions.iter().any(is_promised) {
            return 0;
        }
        for listener in subscriptions {
            if let Some(uuid) = self.listeners.get(&listener)
                && let Some(subscription) = self.subscriptions.get_mut(uuid)
            {
                subscription.promised = Some(id);
            }
        }
        self.budget
            .own_window(self.subscriptions.len())
            .min(self.budget.left_in_reserve())
    }

    /// The first credit for a stream that opens or whose writer is back.
    pub(super) fn first_credit(&mut self, pipe: &str, stream: Uuid) -> u64 {
        let own = self.key_left(stream).map_or(u64::MAX, |(left, _)| left);
        let amount = BASE_CREDIT
            .min(self.budget.left())
            .min(self.quota_left(pipe));
        let amount = amount.min(own);
        self.grant_credit(pipe, amount);
        self.shares.grant(stream, amount);
        amount
    }
}
