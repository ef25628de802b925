//! Peers that may have gone without a notification.
//!
//! libzmq drops its notification that a connection has ended if the connection's receive queue is full at
//! that moment, for example when a client sends a lot and exits. So the loop asks about peers some time after
//! they have sent something. A peer that has been quiet since the socket was drained need not be asked about:
//! its queue has room for the notification.
//!
//! This module owns the list of peers to ask about, and never touches the socket.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use crate::broker::{Now, Peer};

/// How long a peer must be quiet before the loop asks about it. libzmq works on the other end of the queue in
/// its own thread, and is long done by then.
const QUIET: Duration = Duration::from_secs(1);

/// The peers to ask about.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// Peers heard since the last check.
    recent: HashSet<Peer>,
    /// Peers heard between the last two checks.
    earlier: HashSet<Peer>,
    /// When to check next. None if there is nobody to ask about.
    due: Option<Now>,
}

impl Departures {
    /// Notes that `peer` sent something.
    pub(super) fn heard(&mut self, now: Now, peer: &Peer) {
        if !self.recent.contains(peer) {
            self.recent.insert(peer.clone());
            self.due.get_or_insert(now + QUIET);
        }
    }

    /// Forgets `peer`, which is known to have gone.
    pub(super) fn forget(&mut self, peer: &Peer) {
        self.recent.remove(peer);
        self.earlier.remove(peer);
    }

    /// When to check next. None if there is nobody to ask about.
    pub(super) fn due(&self) -> Option<Now> {
        self.due
    }

    /// The peers to ask about now. Each is returned once, unless it is heard again. Also sets the next due
    /// time.
    pub(super) fn quiet(&mut self, now: Now) -> HashSet<Peer> {
        let recent = mem::take(&mut self.recent);
        self.due = (!recent.is_empty()).then_some(now + QUIET);
        mem::replace(&mut self.earlier, recent)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn peer(name: &'static str) -> Peer {
        Peer(Bytes::from_static(name.as_bytes()))
    }

    #[test]
    fn who_is_heard_is_asked_about_once_and_no_sooner_than_a_second_later() {
        let mut departures = Departures::default();
        assert_eq!(departures.due(), None);
        departures.heard(Now::ZERO, &peer("a"));
        departures.heard(QUIET / 2, &peer("a"));
        assert_eq!(departures.due(), Some(QUIET));
        assert_eq!(departures.quiet(QUIET), HashSet::new());
        assert_eq!(departures.due(), Some(2 * QUIET));
        assert_eq!(departures.quiet(2 * QUIET), HashSet::from([peer("a")]));
        assert_eq!(departures.due(), None);
        assert_eq!(departures.quiet(3 * QUIET), HashSet::new());
    }

    #[test]
    fn who_has_gone_is_not_asked_about() {
        let mut departures = Departures::default();
        departures.heard(Now::ZERO, &peer("a"));
        departures.quiet(QUIET);
        departures.heard(QUIET, &peer("a"));
        departures.forget(&peer("a"));
        assert_eq!(departures.quiet(2 * QUIET), HashSet::new());
        assert_eq!(departures.quiet(3 * QUIET), HashSet::new());
    }
}
