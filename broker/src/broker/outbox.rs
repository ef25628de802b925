//! What leaves the broker, in order.
//!
//! This module owns the outputs that the event loop has not fetched. It encodes each reply as it comes, except
//! those to peers of the original protocol, which that protocol's adapter translates. It never decides what is
//! said.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use uuid::Uuid;

use crate::interface::{Output, Peer};
use crate::protocol::{Code, MAGIC, Reply, encode};

/// What waits to leave.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A reply to a peer of the original protocol.
    Old(Box<OldReply>),
    /// Anything else.
    Other(Output),
}

/// A reply that is not encoded yet.
#[derive(Debug)]
pub(super) struct OldReply {
    pub peer: Peer,
    pub reply: Reply,
    pub payload: Option<Bytes>,
}

impl OldReply {
    /// The reply as SKYPIPE/1 says it.
    pub fn encoded(self) -> Output {
        encoded(self.peer, &self.reply, self.payload)
    }
}

/// The outputs that the event loop has not fetched.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// The connections whose replies are not encoded.
    old: HashSet<Peer>,
    /// The outputs that remain after the disk has failed. Nothing else leaves from then on.
    last_words: Option<VecDeque<Output>>,
}

impl Outbox {
    #[inline]
    pub fn reply(&mut self, peer: &Peer, reply: Reply) {
        self.send(peer, reply, None);
    }

    #[inline]
    pub fn send(&mut self, peer: &Peer, reply: Reply, payload: Option<Bytes>) {
        let peer = peer.clone();
        self.queue.push_back(if self.old.contains(&peer) {
            let reply = OldReply {
                peer,
                reply,
                payload,
            };
            Outgoing::Old(Box::new(reply))
        } else {
            Outgoing::Other(encoded(peer, &reply, payload))
        });
    }

    /// From now on, replies to this connection are not encoded.
    pub fn keep_replies_of(&mut self, peer: &Peer) {
        self.old.insert(peer.clone());
    }

    /// Forgets a connection.
    pub fn forget(&mut self, peer: &Peer) {
        self.old.remove(peer);
    }

    /// Answers with an error, about a stream or a listener if one is named.
    pub fn refuse(&mut self, peer: &Peer, code: Code, message: &str, about: Option<Uuid>) {
        self.reply(peer, error(code, message, about));
    }

    pub fn log(&mut self, line: String) {
        self.put(Output::Log(line));
    }

    /// Ends the event loop, for this reason.
    pub fn stop(&mut self, why: &str) {
        self.log(why.to_owned());
        self.put(Output::Stop);
    }

    /// Queues an output that is not a reply.
    fn put(&mut self, output: Output) {
        self.queue.push_back(Outgoing::Other(output));
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[inline]
    pub fn next(&mut self) -> Option<Outgoing> {
        self.queue.pop_front()
    }

    /// The next output that does not depend on unsaved state. Logs and shutdown do not.
    pub fn next_independent(&mut self) -> Option<Output> {
        let is_free = |outgoing: &Outgoing| {
            matches!(outgoing, Outgoing::Other(Output::Log(_) | Output::Stop))
        };
        let place = self.queue.iter().position(is_free)?;
        match self.queue.remove(place)? {
            Outgoing::Other(output) => Some(output),
            Outgoing::Old(_) => None,
        }
    }

    /// Drops everything but the log, tells these connections why, and fails for this reason.
    pub fn fail(&mut self, why: String, told: Vec<(Peer, String)>) {
        if self.last_words.is_some() {
            return;
        }
        let logs = self.queue.drain(..).filter_map(|outgoing| match outgoing {
            Outgoing::Other(log @ Output::Log(_)) => Some(log),
            _ => None,
        });
        let mut words: VecDeque<_> = logs.collect();
        for (peer, message) in told {
            words.push_back(encoded(peer, &error(Code::Failed, &message, None), None));
        }
        words.push_back(Output::Fail(why));
        self.last_words = Some(words);
    }

    pub fn has_failed(&self) -> bool {
        self.last_words.is_some()
    }

    /// The next output after the disk has failed.
    pub fn next_last_word(&mut self) -> Option<Output> {
        self.last_words.as_mut()?.pop_front()
    }
}

/// A reply as it is sent.
fn encoded(peer: Peer, reply: &Reply, payload: Option<Bytes>) -> Output {
    let mut frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(reply))];
    frames.extend(payload);
    Output::Send {
        peer,
        frames,
        report: false,
    }
}

fn error(code: Code, message: &str, about: Option<Uuid>) -> Reply {
    Reply::Error {
        code,
        message: message.to_owned(),
        about,
    }
}
