//! Which clients count as lost by their silence, and when (rule 16).

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Belongings, Client, Life, Peers};
use crate::pipe::Now;

/// How long after its connection closed a program on this machine counts as ended. A program that only gave
/// up on its connection reconnects sooner.
const GONE_AFTER: Now = Now::from_millis(250);

/// What a client has lost by its silence.
#[derive(Debug)]
pub(in crate::broker) struct Lost {
    pub client: Uuid,
    /// The writers that are lost, and why.
    pub writers: BTreeSet<Uuid>,
    pub why: String,
    /// The listeners that are lost.
    pub listeners: BTreeSet<Uuid>,
    /// Whether the connection is dropped: the client would otherwise not notice, and must come back on a new
    /// one.
    pub is_dropped: bool,
}

impl Peers {
    /// Schedules the next timeout check of a client.
    pub fn schedule_check(&mut self, id: Uuid) {
        let due = self.by_id.get(&id).and_then(|client| self.check_of(client));
        let Some(client) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(before) = client.check {
            self.checks.remove(&(before, client.order, id));
        }
        client.check = due;
        if let Some(due) = due {
            self.checks.insert((due, client.order, id));
        }
    }

    /// When a client counts as lost if it stays silent. None if it is not checked.
    fn check_of(&self, client: &Client) -> Option<Now> {
        let has_more = client.peer().is_some() || !client.belongings.is_over();
        if client.life == Life::Connection || !has_more {
            return None;
        }
        let Belongings {
            streams, listeners, ..
        } = &client.belongings;
        let mut time = self.listener_lost;
        if listeners.is_empty() && !streams.is_empty() {
            time = self.writer_lost;
        } else if !streams.is_empty() {
            time = time.min(self.writer_lost);
        }
        let ended = client.closed().map(|closed| closed + GONE_AFTER);
        Some((client.heard + time).min(ended.unwrap_or(Now::MAX)))
    }

    /// The time of the next timeout check.
    pub fn next_check(&self) -> Option<Now> {
        self.checks.first().map(|(due, _, _)| *due)
    }

    /// The next client whose check is due, and what it has lost. The one with the earliest deadline is first.
    pub fn next_lost(&self, now: Now) -> Option<Lost> {
        let (due, _, id) = *self.checks.first()?;
        let client = self.by_id.get(&id).filter(|_| due <= now)?;
        let silent = now.saturating_sub(client.heard);
        let ended = client.closed().map(|closed| closed + GONE_AFTER);
        let has_ended = ended.is_some_and(|ended| now >= ended);
        let are_listeners_lost = has_ended || silent >= self.listener_lost;
        let are_writers_lost = has_ended || silent >= self.writer_lost;
        let lost = |is_lost: bool, its: &BTreeSet<Uuid>| {
            if is_lost {
                its.clone()
            } else {
                BTreeSet::new()
            }
        };
        let belongings = &client.belongings;
        let (writers, listeners) = (
            lost(are_writers_lost, &belongings.streams),
            lost(are_listeners_lost, &belongings.listeners),
        );
        let has_lost = !writers.is_empty() || !listeners.is_empty();
        Some(Lost {
            client: id,
            why: if has_ended {
                "its program has ended".to_owned()
            } else {
                format!("nothing was heard from it for {}", humane(self.writer_lost))
            },
            is_dropped: has_lost || (are_listeners_lost && belongings.is_over()),
            writers,
            listeners,
        })
    }
}

/// Formats a time for messages.
fn humane(time: Now) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
