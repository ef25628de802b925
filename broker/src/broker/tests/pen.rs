//! Two honest clients: a writer that keeps to its credit, and a listener that confirms what it got.

use super::story::{Story, id, listening, opening, peer, turn};
use crate::broker::Input;
use crate::protocol::{MAGIC, Mode, Outcome, Reply, Request, cost, encode};

/// A writer; its peer, its client and its stream have one name.
pub struct Pen {
    pub name: String,
    pub next: u64,
    /// What its chunks have cost, and may cost.
    pub spent: u64,
    pub limit: u64,
    /// Whether it was told that there is no room.
    pub is_full: bool,
    pub outcome: Option<Outcome>,
}

impl Pen {
    pub fn open(story: &mut Story, name: &str, pipe: &str) -> Self {
        story.hello(name, name);
        story.say(name, &opening(name, pipe));
        let mut pen = Self {
            name: name.to_owned(),
            next: 0,
            spent: 0,
            limit: 0,
            is_full: false,
            outcome: None,
        };
        pen.take_in(story);
        pen
    }

    /// Reads what the satellite said.
    pub fn take_in(&mut self, story: &mut Story) {
        for (reply, _) in story.hear(&self.name) {
            match reply {
                Reply::Opened { next, limit, .. } => (self.next, self.limit) = (next, limit),
                Reply::Ack { next, limit, full, .. } => {
                    assert!(next <= self.next, "only what was sent is acknowledged");
                    assert!(limit >= self.limit, "credit never shrinks");
                    (self.limit, self.is_full) = (limit, full);
                }
                Reply::Finished { outcome, .. } => self.outcome = Some(outcome),
                Reply::Pong | Reply::Welcome { .. } => {}
                other => panic!("an honest writer is told {other:?}"),
            }
        }
    }

    /// Whether its credit is enough for so many bytes.
    pub fn may_write(&self, len: usize) -> bool {
        self.spent + cost(len) <= self.limit
    }

    /// Says that it wants to send so many bytes.
    pub fn want(&mut self, story: &mut Story, len: usize) {
        let want = self.spent + cost(len);
        story.say(&self.name, &Request::Want { stream: id(&self.name), want });
        self.take_in(story);
    }

    /// Sends so many bytes if it may, after asking for credit if need be. Returns whether it did.
    pub fn write(&mut self, story: &mut Story, len: usize) -> bool {
        if !self.may_write(len) {
            self.want(story, len);
        }
        if !self.may_write(len) {
            return false;
        }
        let data = Request::Data { stream: id(&self.name), seq: self.next, tail: 0, want: 0 };
        self.spent += cost(len);
        self.next += 1;
        story.send(&self.name, &[MAGIC, &encode(&data), &vec![b'.'; len]]);
        self.take_in(story);
        true
    }

    /// Writes until no credit comes any more; returns how many bytes went.
    pub fn fill(&mut self, story: &mut Story, len: usize) -> usize {
        let mut written = 0;
        while self.write(story, len) {
            written += len;
        }
        written
    }

    pub fn finish(&mut self, story: &mut Story) {
        story.finish(&self.name, &self.name, self.next);
        self.take_in(story);
    }
}

/// A listener; its peer, its client and itself have one name.
pub struct Ear {
    pub name: String,
    /// Turns that have arrived.
    pub arrived: u64,
    /// Payload bytes that have arrived.
    pub bytes: usize,
    pub is_closed: bool,
}

impl Ear {
    pub fn listen(story: &mut Story, name: &str, pipe: &str, mode: Mode) -> Self {
        story.hello(name, name);
        story.say(name, &listening(name, pipe, mode, None));
        Self { name: name.to_owned(), arrived: 0, bytes: 0, is_closed: false }
    }

    /// Takes in what came; turns come one after the other.
    pub fn take_in(&mut self, story: &mut Story) {
        for (reply, payload) in story.hear(&self.name) {
            if let Some(turn) = turn(&reply) {
                assert_eq!(turn, self.arrived, "turns come in order");
                self.arrived += 1;
                self.bytes += payload.map_or(0, |payload| payload.len());
            }
            self.is_closed |= matches!(reply, Reply::Closed { .. });
            assert!(!matches!(reply, Reply::Error { .. }), "an honest listener: {reply:?}");
        }
    }

    /// Takes in what came and confirms it.
    pub fn confirm(&mut self, story: &mut Story) {
        self.take_in(story);
        if self.arrived > 0 && !self.is_closed {
            story.confirm(&self.name, &self.name, self.arrived);
        }
    }

    pub fn vanish(&self, story: &mut Story) {
        story.happen(Input::Disconnected { peer: peer(&self.name) });
    }
}
