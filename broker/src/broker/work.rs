//! How much work questions may be: one that looks at much has who asked it wait with the next one, and nobody else.
//!
//! Owns when a question is answered that looks at many pipes and streams. What it looked at is paid by its key, or by
//! its connection where there are no keys: for each look a time in which that one's questions are not answered,
//! twenty times as long as a look takes. So one that asks without end has a twentieth of the satellite. Never
//! decides what an answer says.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Broker, Now, Peer};
use crate::keys::KeyId;
use crate::protocol::{Code, Request};
use crate::store::Store;

/// What a look costs: a pipe or a stream is looked at in a tenth of a microsecond (measured with a hundred thousand).
const LOOK: Duration = Duration::from_micros(2);

/// So many looks are nothing to speak of.
const FREE: usize = 1000;

/// The most questions of one that wait, and of all.
const WAITING: usize = 16;
const ALL_WAITING: usize = 1024;

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    Key(KeyId),
    Connection(Peer),
}

/// A question that waits.
#[derive(Debug)]
struct Waiting {
    payer: Payer,
    peer: Peer,
    key: Option<KeyId>,
    question: Request,
}

/// Who has to wait, and what waits.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// From when on somebody's questions are answered again.
    paid: HashMap<Payer, Now>,
    waiting: VecDeque<Waiting>,
}

impl Work {
    /// When the first of those that wait is due.
    pub fn deadline(&self) -> Option<Now> {
        let due = |it: &Waiting| self.paid.get(&it.payer).copied().unwrap_or(Now::ZERO);
        self.waiting.iter().map(due).min()
    }

    /// Nobody is there to hear the answers.
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
    /// Answers a question, now or when its turn comes.
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
            let message =
                "so many questions that look at so much are not answered at once: ask later";
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

    /// Answers those whose turn has come.
    pub(super) fn go_on_answering(&mut self) {
        for _ in 0..self.work.waiting.len() {
            let Some(next) = self.work.waiting.pop_front() else {
                return;
            };
            if !self.work.is_free(&next.payer, self.now) {
                self.work.waiting.push_back(next);
                continue;
            }
            // It may have been revoked, or have gone, meanwhile.
            if self.clients.at(&next.peer).is_some() && self.has_valid_key(&next.peer, next.key) {
                self.answer_question(next.payer, &next.peer, next.key, &next.question);
            }
        }
    }
}
