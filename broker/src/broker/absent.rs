//! Writers and listeners that timed out and may come back (rule 16).
//!
//! A timeout is not an error: others get the data at once, and the position of the lost client is kept until
//! it returns. There is room for [`ABSENT_KEPT`] entries. When the room is used up, the key with the most
//! entries loses its oldest one, so that one key cannot displace the entries of another.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::keys::KeyId;

/// The maximum number of writers and listeners that timed out and may come back. Each takes about a kibibyte.
const ABSENT_KEPT: usize = 4096;

/// Absent writers and listeners by their key. For each key, the most recent is last.
#[derive(Debug, Default)]
pub(super) struct Absent {
    by_owner: BTreeMap<Option<KeyId>, VecDeque<(u64, Uuid)>>,
    /// A counter of all timeouts so far. It orders entries of different keys by age.
    came: u64,
    len: usize,
}

impl Absent {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are more than there is room for.
    pub fn is_too_long(&self) -> bool {
        self.len > ABSENT_KEPT
    }

    pub fn push(&mut self, owner: Option<KeyId>, id: Uuid) {
        self.came += 1;
        self.len += 1;
        let its = self.by_owner.entry(owner).or_default();
        its.push_back((self.came, id));
    }

    /// Removes all entries for which `is_it` holds.
    pub fn remove(&mut self, is_it: impl Fn(Uuid) -> bool) {
        self.by_owner.retain(|_, its| {
            its.retain(|(_, id)| !is_it(*id));
            !its.is_empty()
        });
        self.len = self.by_owner.values().map(VecDeque::len).sum();
    }

    /// Removes the oldest entry of the key with the most entries. If several keys have the most, removes the
    /// oldest entry among theirs.
    pub fn pop(&mut self) -> Option<Uuid> {
        let oldest = |its: &VecDeque<(u64, Uuid)>| its.front().map(|(came, _)| Reverse(*came));
        let most = self
            .by_owner
            .iter()
            .max_by_key(|(_, its)| (its.len(), oldest(its)));
        let owner = *most?.0;
        let its = self.by_owner.get_mut(&owner)?;
        let (_, id) = its.pop_front()?;
        self.len -= 1;
        if its.is_empty() {
            self.by_owner.remove(&owner);
        }
        Some(id)
    }
}
