//! Rate limit for queries: whoever asks an expensive query waits for the next answer, and nobody else does.
//!
//! This module owns the time at which a query is answered. The key that asked, or the connection at a
//! satellite without keys, pays for each pipe or stream examined. The price is a pause in which its queries
//! are not answered, twenty times as long as the examination takes. Endless queries thus use at most a
//! twentieth of the satellite. This module never decides what an answer says.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::super::peers::Sender;
use crate::interface::Peer;
use crate::keys::KeyId;
use crate::pipe::Now;
use crate::protocol::Request;

/// The pause for one examined pipe or stream. Examining one takes a tenth of a microsecond (measured with a
/// hundred thousand).
const LOOK: Duration = Duration::from_micros(2);

/// A query that examines at most this many costs nothing.
const FREE: usize = 1000;

/// The maximum number of waiting queries, per payer and (`ALL_WAITING`) in total.
const WAITING: usize = 16;
const ALL_WAITING: usize = 1024;

/// Who pays for a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    Key(KeyId),
    Connection(Peer),
}

/// A query that waits for its turn.
#[derive(Debug)]
pub(in crate::broker) struct Waiting {
    payer: Payer,
    peer: Peer,
    key: Option<KeyId>,
    question: Request,
}

impl Waiting {
    pub fn new(from: Sender<'_>, question: Request) -> Self {
        let payer = match from.key {
            Some(key) => Payer::Key(key),
            None => Payer::Connection(from.peer.clone()),
        };
        Self {
            payer,
            peer: from.peer.clone(),
            key: from.key,
            question,
        }
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub fn key(&self) -> Option<KeyId> {
        self.key
    }

    pub fn question(&self) -> &Request {
        &self.question
    }
}

/// Who has to wait, and the waiting queries.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// For each payer, the time from which its queries are answered again.
    paid: HashMap<Payer, Now>,
    waiting: VecDeque<Waiting>,
}

impl Work {
    /// When the first waiting query is due.
    pub fn deadline(&self) -> Option<Now> {
        let due = |it: &Waiting| self.paid.get(&it.payer).copied().unwrap_or(Now::ZERO);
        self.waiting.iter().map(due).min()
    }

    /// Forgets a connection that is gone, and its queries.
    pub fn forget(&mut self, peer: &Peer) {
        self.waiting.retain(|it| it.peer != *peer);
        self.paid.remove(&Payer::Connection(peer.clone()));
    }

    /// Takes a query in. Returns the query if it is to be answered now.
    ///
    /// # Errors
    ///
    /// If too many queries wait.
    pub fn admit(&mut self, query: Waiting, now: Now) -> Result<Option<Waiting>, &'static str> {
        let its = self.waiting.iter().filter(|it| it.payer == query.payer);
        let its = its.count();
        if its == 0 && self.is_free(&query.payer, now) {
            return Ok(Some(query));
        }
        if its >= WAITING || self.waiting.len() >= ALL_WAITING {
            return Err("too many expensive queries are waiting: try again later");
        }
        self.waiting.push_back(query);
        Ok(None)
    }

    /// The next query whose turn has come, among the first `most`. Those that still wait go to the end.
    pub fn next_due(&mut self, most: &mut usize, now: Now) -> Option<Waiting> {
        while *most > 0 {
            *most -= 1;
            let next = self.waiting.pop_front()?;
            if self.is_free(&next.payer, now) {
                return Some(next);
            }
            self.waiting.push_back(next);
        }
        None
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    fn is_free(&mut self, payer: &Payer, now: Now) -> bool {
        let is_over = self.paid.get(payer).is_none_or(|until| *until <= now);
        if is_over {
            self.paid.remove(payer);
        }
        is_over
    }

    /// Makes the asker of an answered query pay for this many looks.
    pub fn pay(&mut self, query: Waiting, now: Now, looks: usize) {
        if looks > FREE {
            let looks = u32::try_from(looks).unwrap_or(u32::MAX);
            self.paid.insert(query.payer, now + LOOK * looks);
        }
    }
}
