//! Rate limit for queries: whoever asks an expensive query waits for the next answer, and nobody else does.
//!
//! This module owns the time at which a query is answered. The key that asked, or the connection at a
//! satellite without keys, pays for each pipe or stream examined. The price is a pause in which its queries
//! are not answered, twenty times as long as the examination takes. Endless queries thus use at most a
//! twentieth of the satellite. This module never decides what an answer says.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Broker, Now, Peer};
use crate::keys::KeyId;
use crate::protocol::{Code, Request};
use crate::store::Store;

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
struct Waiting {
    payer: Payer,
    peer: Peer,
    key: Option<KeyId>,
    question: Request,
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

    fn is_free(&mut self, payer: &Payer, now: Now) -> bool {
        let is_over = self.paid.get(payer).is_none_or(|until| *until <= now);
        if is_over {
            self.paid.remove(payer);
        }
        is_over
    }

    fn pay(&mut self, payer: Payer, now: Now, looks: usize) {
        if looks > FREE {
            let looks = u32::try_from(looks).unwrap_or(u32::MAX);
            self.paid.insert(payer, now + LOOK * looks);
        }
    }
}

impl<S: Store> Broker<S> {
    /// Answers a query now or when its turn comes.
    pub(super) fn question(&mut self, peer: &Peer, key: Option<KeyId>, question: Request) {
        let payer = match key {
            Some(key) => Payer::Key(key),
            None => Payer::Connection(peer.clone()),
        };
        let its = self.work.waiting.iter().filter(|it| it.payer == payer);
        let its = its.count();
        if its == 0 && self.work.is_free(&payer, self.now) {
            return self.answer_question(payer, peer, key, &question);
        }
        if its >= WAITING || self.work.waiting.len() >= ALL_WAITING {
            let message = "too many expensive queries are waiting: try again later";
            return self.refuse(peer, Code::Limit, message, None);
        }
        self.work.waiting.push_back(Waiting {
            payer,
            peer: peer.clone(),
            key,
            question,
        });
    }

    fn answer_question(
        &mut self,
        payer: Payer,
        peer: &Peer,
        key: Option<KeyId>,
        question: &Request,
    ) {
        let looks = match question {
            Request::List { after } => self.list(peer, key, after.as_deref()),
            _ => self.status(peer, key),
        };
        self.work.pay(payer, self.now, looks);
    }

    /// Answers the queries whose turn has come.
    pub(super) fn go_on_answering(&mut self) {
        for _ in 0..self.work.waiting.len() {
            let Some(next) = self.work.waiting.pop_front() else {
                return;
            };
            if !self.work.is_free(&next.payer, self.now) {
                self.work.waiting.push_back(next);
                continue;
            }
            // The key may have been revoked, or the client gone, in the meantime.
            if self.clients.at(&next.peer).is_some() && self.has_valid_key(&next.peer, next.key) {
                self.answer_question(next.payer, &next.peer, next.key, &next.question);
            }
        }
    }
}
