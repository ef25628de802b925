//! One stream as its pipe sees it: how far it came, who takes it, how it finished.
//!
//! It never holds bytes (those are in the store) and decides nothing about listeners.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::ListenerKey;
use crate::broker::Now;
use crate::protocol::How;

/// Who a stream goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takers {
    /// One listener has it for itself, and nothing of it goes before its finish is confirmed.
    Claimed(ListenerKey),
    /// These get it live, or are still getting the rest of it; nobody, if there are none.
    Shared(BTreeSet<ListenerKey>),
}

/// How and when a stream finished.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    pub how: How,
    /// Its place in the order of arrival, among the chunks.
    pub arrival: u64,
    /// All bytes of the stream. After a restart of the satellite some may still have to come again.
    pub len: u64,
}

impl Finish {
    /// Whether the writer's stdin had closed.
    pub fn is_end(&self) -> bool {
        !matches!(self.how, How::Cut(_))
    }
}

/// What a pipe knows of a stream. Positions are in payload bytes.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of it is independent of one another"
)]
pub(super) struct Stream {
    /// The UUID its writer gave it.
    pub id: Uuid,
    /// Who writes.
    pub label: String,
    /// Whether this is an `--eof` that waits: an empty stream that no writer wrote.
    pub marker: bool,
    /// What has been taken in; the next byte to come.
    pub next: u64,
    /// The first byte that nobody but taps has confirmed. Stands still under a claim. After a restart
    /// of the satellite it may lie beyond what has come in again.
    pub taken: u64,
    /// Bytes below this place were let go: none of them is needed any more.
    pub released: u64,
    /// Whether a listener has confirmed the finish.
    pub finish_taken: bool,
    /// Whether something of it was dropped by `--discard`.
    pub discarded: bool,
    /// Where it begins: beyond 0 if it is the rest of a stream that was cut (rule 16).
    pub begins: u64,
    /// Whether it had finished before anybody was given a byte of it, so that all of it stays until a
    /// listener has confirmed its finish (rule 10).
    pub is_kept_whole: bool,
    /// Whether a listener or a tap has been told how it finished.
    pub is_end_told: bool,
    /// Whether it was there before this run of the satellite, so that nobody knows what was sent of it.
    pub is_restored: bool,
    /// How it finished, once it has.
    pub finish: Option<Finish>,
    pub takers: Takers,
    /// How many of those who share it have confirmed all below a place and no more, for each place
    /// of which that is true of anybody. With a thousand listeners nobody looks through them all.
    positions: BTreeMap<u64, usize>,
    /// Taps that watch it.
    pub taps: BTreeSet<ListenerKey>,
    /// When the first byte of the unfinished line at its end came in.
    pub line_since: Now,
}

impl Stream {
    pub fn new(id: Uuid, label: String) -> Self {
        Self {
            id,
            label,
            marker: false,
            next: 0,
            taken: 0,
            released: 0,
            finish_taken: false,
            discarded: false,
            begins: 0,
            is_kept_whole: false,
            is_end_told: false,
            is_restored: false,
            finish: None,
            takers: Takers::Shared(BTreeSet::new()),
            positions: BTreeMap::new(),
            taps: BTreeSet::new(),
            line_since: Now::ZERO,
        }
    }

    /// Whether nobody gets it, taps aside.
    pub fn is_free(&self) -> bool {
        matches!(&self.takers, Takers::Shared(takers) if takers.is_empty())
    }

    /// Whether one listener has it for itself.
    pub fn is_claimed(&self) -> bool {
        matches!(self.takers, Takers::Claimed(_))
    }

    /// Whether nobody has had a byte of it, so that a `--one` can have it.
    pub fn is_whole(&self) -> bool {
        self.taken == 0 && self.begins == 0 && !self.marker
    }

    /// Whether it is whole and has ended well.
    pub fn has_ended_whole(&self) -> bool {
        let ended = self.finish.as_ref().is_some_and(Finish::is_end);
        ended && self.is_whole()
    }

    /// How many of its first bytes others had before somebody who begins with it now.
    pub fn before(&self) -> u64 {
        if self.finish.is_some() {
            self.taken
        } else {
            self.begins
        }
    }

    /// Whether all that it was has been confirmed, so that nothing of it waits any more.
    pub fn is_spent(&self) -> bool {
        self.finish
            .as_ref()
            .is_some_and(|finish| self.finish_taken || (finish.len > 0 && self.taken >= finish.len))
    }

    /// Whether it has finished and all of it is there.
    pub fn is_complete(&self) -> bool {
        self.finish
            .as_ref()
            .is_some_and(|finish| self.next >= finish.len)
    }

    /// How many bytes of it are kept, whoever they wait for.
    pub fn kept(&self) -> u64 {
        self.next.saturating_sub(self.released)
    }

    /// How many bytes of it are there that nobody has confirmed.
    pub fn untaken(&self) -> u64 {
        self.next.saturating_sub(self.taken)
    }

    /// Whether something of it waits in the words of the rules.
    pub fn waits(&self) -> bool {
        self.taken < self.next || (self.finish.is_some() && !self.finish_taken)
    }

    /// Those who get it, taps aside.
    pub fn takers(&self) -> Vec<ListenerKey> {
        match &self.takers {
            Takers::Claimed(listener) => vec![*listener],
            Takers::Shared(takers) => takers.iter().copied().collect(),
        }
    }

    /// One more shares it, from the first byte that nobody has confirmed.
    pub fn add_taker(&mut self, listener: ListenerKey) {
        if let Takers::Shared(takers) = &mut self.takers
            && takers.insert(listener)
        {
            *self.positions.entry(self.taken).or_default() += 1;
        }
    }

    /// One who had it before a restart has it still. Returns the first byte that it may lack: nobody
    /// knows how far it had come, but no further back than where it began, nor than what everyone had
    /// confirmed.
    pub fn return_taker(&mut self, listener: ListenerKey, from: u64) -> u64 {
        if self.takers == Takers::Claimed(listener) {
            return self.taken;
        }
        let from = from.max(self.released);
        if let Takers::Shared(takers) = &mut self.takers
            && takers.insert(listener)
        {
            *self.positions.entry(from).or_default() += 1;
        }
        from
    }

    /// One of those who share it has confirmed more.
    pub fn move_taker(&mut self, from: u64, to: u64) {
        if !self.is_claimed() {
            self.leave_position(from);
            *self.positions.entry(to).or_default() += 1;
        }
    }

    /// One who had it, and had confirmed all below `confirmed`, has it no longer.
    pub fn drop_taker(&mut self, listener: ListenerKey, confirmed: u64) {
        match &mut self.takers {
            Takers::Claimed(claimant) if *claimant == listener => {
                self.takers = Takers::Shared(BTreeSet::new());
            }
            Takers::Claimed(_) => {}
            Takers::Shared(takers) => {
                if takers.remove(&listener) {
                    self.leave_position(confirmed);
                }
            }
        }
    }

    fn leave_position(&mut self, position: u64) {
        if let Some(count) = self.positions.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.positions.remove(&position);
            }
        }
    }

    /// The first byte that somebody may still need.
    pub fn needed(&self) -> u64 {
        let slowest = self.positions.first_key_value();
        slowest.map_or(self.taken, |(position, _)| self.taken.min(*position))
    }
}
