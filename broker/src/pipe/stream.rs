//! One stream as its pipe sees it: how far it has come, who gets it, and how it finished.
//!
//! This module never holds bytes (the store does) and decides nothing about listeners.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{ListenerKey, Now};
use crate::protocol::How;

/// The listeners of a stream, not counting taps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takers {
    /// One listener has the stream alone. Unless room is short, nothing is released before the finish is
    /// confirmed.
    Claimed(ListenerKey),
    /// These listeners get the stream live, or still get the rest of it. Empty if the stream has no
    /// listeners.
    Shared(BTreeSet<ListenerKey>),
}

/// How and when a stream finished.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    pub how: How,
    /// The arrival number of the finish. Chunks share the same counter.
    pub arrival: u64,
    /// The stream's length. After the satellite restarted, some bytes may have to arrive again.
    pub len: u64,
}

impl Finish {
    /// Whether the writer's stdin closed. False for a cut stream.
    pub fn is_end(&self) -> bool {
        !matches!(self.how, How::Cut(_))
    }
}

/// What a pipe knows of a stream. Offsets are in payload bytes.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of it is independent of one another"
)]
pub(super) struct Stream {
    /// The UUID given by the writer.
    pub id: Uuid,
    /// The name of the writer.
    pub label: String,
    /// Whether this is a waiting `--eof`: an empty stream that no writer wrote.
    pub marker: bool,
    /// The offset of the next byte to arrive.
    pub next: u64,
    /// The first byte that no listener has confirmed, not counting taps. It does not move while the stream is
    /// claimed. After the satellite restarted, it may exceed `next`.
    pub taken: u64,
    /// Bytes below this offset were released, because nobody needs them.
    pub released: u64,
    /// Whether a listener has confirmed the finish.
    pub finish_taken: bool,
    /// Whether `--discard` dropped some of the stream.
    pub discarded: bool,
    /// The offset at which the stream begins. It is not 0 if the stream is the rest of a cut stream (rule
    /// 16).
    pub begins: u64,
    /// Whether the stream finished before anybody was given a byte of it. All of it then stays until a
    /// listener has confirmed its finish (rule 10).
    pub is_kept_whole: bool,
    /// Whether a listener or a tap has been told how the stream finished.
    pub is_end_told: bool,
    /// Whether the stream is from before a restart, so that nobody knows what was sent of it.
    pub is_restored: bool,
    /// How the stream finished. None while it is open.
    pub finish: Option<Finish>,
    pub subscriptions: Takers,
    /// For each confirmed offset, the number of sharing listeners whose confirmation stops exactly there.
    /// With this map nobody has to walk over a thousand listeners.
    positions: BTreeMap<u64, usize>,
    /// Taps that watch the stream.
    pub taps: BTreeSet<ListenerKey>,
    /// When the first byte of the unfinished line at the stream's end arrived. If that byte belongs to an
    /// earlier part of a cut stream, the time is that of the first byte here.
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
            subscriptions: Takers::Shared(BTreeSet::new()),
            positions: BTreeMap::new(),
            taps: BTreeSet::new(),
            line_since: Now::ZERO,
        }
    }

    /// Whether the stream has no listeners, not counting taps.
    pub fn is_free(&self) -> bool {
        matches!(&self.subscriptions, Takers::Shared(subscriptions) if subscriptions.is_empty())
    }

    /// Whether one listener has the stream alone.
    pub fn is_claimed(&self) -> bool {
        matches!(self.subscriptions, Takers::Claimed(_))
    }

    /// Whether nobody has had a byte of the stream, so that a `--one` can have it.
    pub fn is_whole(&self) -> bool {
        self.taken == 0 && self.begins == 0 && !self.marker
    }

    /// Whether the stream is whole and was not cut.
    pub fn has_ended_whole(&self) -> bool {
        let ended = self.finish.as_ref().is_some_and(Finish::is_end);
        ended && self.is_whole()
    }

    /// How many bytes others had before a listener that begins with this stream now.
    pub fn before(&self) -> u64 {
        if self.finish.is_some() {
            self.taken
        } else {
            self.begins
        }
    }

    /// Whether everything was confirmed, so that nothing of the stream waits any more.
    pub fn is_spent(&self) -> bool {
        self.finish
            .as_ref()
            .is_some_and(|finish| self.finish_taken || (finish.len > 0 && self.taken >= finish.len))
    }

    /// Whether the stream has finished and all its bytes have arrived.
    pub fn is_complete(&self) -> bool {
        self.finish
            .as_ref()
            .is_some_and(|finish| self.next >= finish.len)
    }

    /// The number of bytes held, for any listener.
    pub fn kept(&self) -> u64 {
        self.next.saturating_sub(self.released)
    }

    /// The number of bytes that have arrived and that nobody has confirmed.
    pub fn untaken(&self) -> u64 {
        self.next.saturating_sub(self.taken)
    }

    /// Whether some of the stream waits, as the rules define it.
    pub fn waits(&self) -> bool {
        self.taken < self.next || (self.finish.is_some() && !self.finish_taken)
    }

    /// The listeners of the stream, not counting taps.
    pub fn subscriptions(&self) -> Vec<ListenerKey> {
        match &self.subscriptions {
            Takers::Claimed(listener) => vec![*listener],
            Takers::Shared(subscriptions) => subscriptions.iter().copied().collect(),
        }
    }

    /// Adds a listener at the first byte that nobody has confirmed.
    pub fn add_taker(&mut self, listener: ListenerKey) {
        if let Takers::Shared(subscriptions) = &mut self.subscriptions
            && subscriptions.insert(listener)
        {
            *self.positions.entry(self.taken).or_default() += 1;
        }
    }

    /// Adds a listener that had the stream before a restart. Returns the first byte that the listener may
    /// lack. Its exact position is unknown, but it is not before `from`, where the cursor began, and not
    /// before the released bytes.
    pub fn return_taker(&mut self, listener: ListenerKey, from: u64) -> u64 {
        if self.subscriptions == Takers::Claimed(listener) {
            return self.taken;
        }
        let from = from.max(self.released);
        if let Takers::Shared(subscriptions) = &mut self.subscriptions
            && subscriptions.insert(listener)
        {
            *self.positions.entry(from).or_default() += 1;
        }
        from
    }

    /// Moves the confirmed offset of a sharing listener.
    pub fn move_taker(&mut self, from: u64, to: u64) {
        if !self.is_claimed() {
            self.leave_position(from);
            *self.positions.entry(to).or_default() += 1;
        }
    }

    /// Removes a listener that had confirmed all bytes below `confirmed`.
    pub fn drop_taker(&mut self, listener: ListenerKey, confirmed: u64) {
        match &mut self.subscriptions {
            Takers::Claimed(claimant) if *claimant == listener => {
                self.subscriptions = Takers::Shared(BTreeSet::new());
            }
            Takers::Claimed(_) => {}
            Takers::Shared(subscriptions) => {
                if subscriptions.remove(&listener) {
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

    /// The first byte that a listener may still need.
    pub fn needed(&self) -> u64 {
        let slowest = self.positions.first_key_value();
        slowest.map_or(self.taken, |(position, _)| self.taken.min(*position))
    }
}
