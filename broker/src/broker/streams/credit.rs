//! Who is given credit, and how much (rule 12).
//!
//! Free room goes to the waiting writers in turn. A full pipe can always be drained: a writer whose listeners
//! have nothing left to receive gets a small window from the reserve.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::base::Base;
use super::super::subscriptions::Subscriptions;
use super::Streams;
use super::writer::Writer;
use crate::protocol::{MIN_SEND, Shortage, cost};
use crate::store::Store;

/// The smallest grant while many writers want credit and this much is free. Smaller chunks cost more than
/// they carry.
const SHARE: u64 = 64 << 10;

/// What a writer asks for, and what there is.
struct Demand {
    /// How much of what it wants it has data for.
    in_hand: u64,
    /// The least that is worth giving.
    enough: u64,
    /// The most that it may have by its share, and by its key's quota.
    most: u64,
    /// How much more its key may hold, and the key's quota. None if the key has no limit.
    own: Option<(u64, u64)>,
}

impl Streams {
    /// Gives free room as credit to the waiting writers, in turn. Each call looks at a bounded number of
    /// writers, and the next call continues behind them: with ten thousand writers at a full satellite, one
    /// released chunk must not cost a walk over all of them.
    pub fn grant<S: Store>(&mut self, base: &mut Base<S>, subscriptions: &mut Subscriptions) {
        let waiting = self.queues.wanting.len();
        let looks = base.budget.start_round(waiting);
        if looks == 0 {
            return;
        }
        self.make_room(base);
        for _ in 0..looks {
            base.budget.note_look();
            let Some(id) = self.queues.wanting.pop_front() else {
                break;
            };
            if self.grant_one(base, subscriptions, id) {
                self.queues.wanting.push_back(id);
            } else if let Some(writer) = self.writers.get_mut(&id) {
                writer.is_wanting = false;
            }
        }
    }

    /// Gives a writer the credit that it requested, as far as there is room. Returns whether the writer still
    /// wants more.
    fn grant_one<S: Store>(
        &mut self,
        base: &mut Base<S>,
        subscriptions: &mut Subscriptions,
        id: Uuid,
    ) -> bool {
        // A writer without a connection requests credit again when it is back.
        let writer = self.writers.get(&id);
        let Some(writer) = writer.filter(|it| it.credit.connection.is_some()) else {
            return false;
        };
        let wanted = writer.wants_now();
        if wanted == 0 {
            return false;
        }
        let wanted = wanted.min(writer.may_be_unsafe());
        if wanted == 0 {
            return self.wait_until_safe(base, id);
        }
        let waiting = self.queues.wanting.len() as u64;
        let demand = Demand::of(writer, wanted, waiting, base);
        let quota = base.quota_left(&writer.origin.pipe);
        let mut amount = demand.most.min(base.budget.left()).min(quota);
        if amount >= demand.enough {
            return self.give(base, id, amount);
        }
        self.let_go(base, id);
        let Some(writer) = self.writers.get(&id) else {
            return false;
        };
        let quota = base.quota_left(&writer.origin.pipe);
        amount = demand.most.min(base.budget.left()).min(quota);
        let mut enough = demand.enough;
        if amount < enough && demand.in_hand > 0 {
            // The reserve gives no credit that might lie unused.
            enough = enough.min(demand.in_hand);
            let window = own_window(&self.writers, writer, base, subscriptions);
            amount = demand.in_hand.min(window);
        }
        if amount >= enough {
            return self.give(base, id, amount);
        }
        let lacking = demand.lacking(quota, base);
        if let Some(writer) = self.writers.get_mut(&id) {
            // A writer with no data to send may still wait until the disk has room for what it sent.
            let unsaved = writer.credit.full.filter(|full| *full == Shortage::Disk);
            let full = if demand.in_hand > 0 {
                Some(lacking)
            } else {
                unsaved
            };
            self.queues.note_full(writer, full);
        }
        true
    }

    /// Gives a writer this much credit. Returns whether the writer still wants more.
    fn give<S: Store>(&mut self, base: &mut Base<S>, id: Uuid, amount: u64) -> bool {
        let Some(writer) = self.writers.get_mut(&id) else {
            return false;
        };
        writer.credit.full = None;
        writer.credit.limit += amount;
        let connection = writer.credit.connection.as_ref();
        base.give_credit(connection, &writer.origin.pipe, id, amount);
        self.queues.owe(writer);
        writer.wants() > 0
    }

    /// Handles a writer that has the maximum of unsafe bytes. If the disk is full, confirmed bytes under a
    /// `--one` are released. Returns whether the writer keeps waiting for room.
    fn wait_until_safe<S: Store>(&mut self, base: &mut Base<S>, id: Uuid) -> bool {
        if base.durability.full().is_none() {
            // The writer is asked again when more of its bytes are safe.
            return false;
        }
        // Bytes that are released now are safe. The writer then waits no longer for the disk.
        self.let_go(base, id);
        if let Some(writer) = self.writers.get_mut(&id) {
            self.queues.note_full(writer, Some(Shortage::Disk));
        }
        true
    }

    /// Releases the confirmed bytes of a stream under `--one` that does not fit as a whole.
    fn let_go<S: Store>(&self, base: &mut Base<S>, id: Uuid) {
        if let Some(writer) = self.writers.get(&id) {
            let (pipe, key) = writer.place();
            base.run(&pipe, |pipe, ctx| pipe.let_go(key, ctx));
        }
    }
}

impl Demand {
    fn of<S: Store>(writer: &Writer, wanted: u64, waiting: u64, base: &Base<S>) -> Self {
        let own = base.key_left(writer.origin.stream);
        let own_left = own.map_or(u64::MAX, |(left, _)| left);
        let credit = &writer.credit;
        let share = SHARE.max(base.budget.left() / (waiting + 1));
        Self {
            in_hand: credit.requested.saturating_sub(credit.limit).min(wanted),
            enough: wanted.min(MIN_SEND.saturating_sub(writer.unused()).max(cost(1))),
            most: wanted.min(share).min(own_left),
            own,
        }
    }

    /// What the writer lacks, where its pipe may hold `quota` more bytes.
    fn lacking<S: Store>(&self, quota: u64, base: &Base<S>) -> Shortage {
        let needed = self.enough;
        match self.own {
            Some((left, quota)) if left < needed => Shortage::Key(quota),
            _ if quota < needed => Shortage::Pipe(base.settings.quota),
            _ if base.durability.full().is_some() => Shortage::Disk,
            _ => Shortage::Memory(base.settings.memory),
        }
    }
}

/// The size of a stream's window from the reserve. A stream gets a window if none of its listeners has
/// anything left to receive. Each listener gives a window to only one stream at a time.
fn own_window<S: Store>(
    writers: &HashMap<Uuid, Writer>,
    writer: &Writer,
    base: &Base<S>,
    subscriptions: &mut Subscriptions,
) -> u64 {
    if writer.has_credit() {
        return 0;
    }
    let pipe = base.pipes.get(&writer.origin.pipe);
    let Some(starving) = pipe.and_then(|pipe| pipe.starving_takers(writer.origin.key)) else {
        return 0;
    };
    let uses = |other: Uuid| writers.get(&other).is_some_and(Writer::will_send);
    if !subscriptions.promise(&starving, writer.origin.stream, uses) {
        return 0;
    }
    let window = base.budget.own_window(subscriptions.len());
    window.min(base.budget.left_in_reserve())
}
