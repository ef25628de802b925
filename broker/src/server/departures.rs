//! Peers that may have gone without a notice.
//!
//! libzmq drops its notice that a connection has ended if the connection's receive queue is full at
//! that moment, as it is when a client sends a lot and exits. So peers that have sent something are
//! asked about a little later. Those that have been quiet since the socket was drained need no
//! asking: their queue has room for the notice.
//!
//! Owns the list of those to ask about; it never touches the socket.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use crate::broker::{Now, Peer};

/// How long a peer is quiet before it is asked about, at least: by then libzmq, which works on the
/// other end of the queue in a thread of its own, has long done what it had to do.
const QUIET: Duration = Duration::from_secs(1);

/// The peers to ask about.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// Heard since the last asking.
    recent: HashSet<Peer>,
    /// Heard between the last two askings.
    earlier: HashSet<Peer>,
    /// When to ask next, if there is anybody to ask about.
    due: Option<Now>,
}

impl Departures {
    /// Notes that `peer` has sent something.
    pub(super) fn heard(&mut self, now: Now, peer: &Peer) {
        if !self.recent.contains(peer) {
            self.recent.insert(peer.clone());
            self.due.get_or_insert(now + QUIET);
        }
    }

    /// Notes that `peer` is known to have gone.
    pub(super) fn forget(&mut self, peer: &Peer) {
        self.recent.remove(peer);
        self.earlier.remove(peer);
    }

    /// When to ask next, if there is anybody to ask about.
    pub(super) fn due(&self) -> Option<Now> {
        self.due
    }

    /// Those to ask about, each once, if nothing more is heard of it; and sets the next due time.
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
