//! Two honest clients: a writer that keeps to its credit, and a listener that confirms what it got.

use super::story::{Story, id, listening, opening, turn};
use crate::protocol::{
    CHUNK_OVERHEAD, MAGIC, MAX_CHUNK, Mode, Outcome, Reply, Request, SCRAP, Shortage, cost, encode,
};

/// A writer; its peer, its client and its stream have one name.
pub struct Pen {
    pub name: String,
    /// Bytes that it has and has not sent, and those that it has sent.
    pub in_hand: usize,
    pub written: usize,
    /// The place in its stream of the next byte that it sends.
    pub next: u64,
    /// What its chunks have cost since the last `Opened`, and may cost.
    pub spent: u64,
    pub limit: u64,
    /// What it was told is used up.
    pub full: Option<Shortage>,
    pub outcome: Option<Outcome>,
}

impl Pen {
    pub fn open(story: &mut Story, name: &str, pipe: &str) -> Self {
        story.hello(name, name);
        story.say(name, &opening(name, pipe));
        let mut pen = Self {
            name: name.to_owned(),
            in_hand: 0,
            written: 0,
            next: 0,
            spent: 0,
            limit: 0,
            full: None,
            outcome: None,
        };
        pen.take_in(story);
        pen
    }

    /// Reads what the satellite said.
    pub fn take_in(&mut self, story: &mut Story) {
        for (reply, _) in story.hear(&self.name) {
            match reply {
                Reply::Opened { next, limit, .. } => {
                    (self.next, self.limit, self.spent) = (next, limit, 0);
                }
                Reply::Ack {
                    next, limit, full, ..
                } => {
                    assert!(next <= self.next, "only what was sent is acknowledged");
                    assert!(limit >= self.limit, "credit never shrinks");
                    (self.limit, self.full) = (limit, full);
                }
                Reply::Finished { outcome, .. } => self.outcome = Some(outcome),
                Reply::Pong | Reply::Welcome { .. } => {}
                other => panic!("an honest writer is told {other:?}"),
            }
        }
    }

    /// Whether one chunk of so many bytes may go.
    pub fn may_write(&self, len: usize) -> bool {
        self.spent + cost(len) <= self.limit
    }

    /// Says that it has so many bytes more than it may send.
    pub fn want(&mut self, story: &mut Story, len: usize) {
        let want = self.spent + cost(len);
        story.say(
            &self.name,
            &Request::Want {
                stream: id(&self.name),
                want,
            },
        );
        self.take_in(story);
    }

    /// Takes so many bytes in hand, and sends what it may.
    pub fn write(&mut self, story: &mut Story, len: usize) {
        self.in_hand += len;
        self.push(story);
    }

    /// Sends what it may of what it has in hand, in chunks that its credit allows, and asks for more.
    pub fn push(&mut self, story: &mut Story) {
        self.take_in(story);
        while self.in_hand > 0 {
            if !self.may_write(self.in_hand) {
                self.want(story, self.in_hand);
            }
            let credit = (self.limit - self.spent).saturating_sub(CHUNK_OVERHEAD);
            let piece = self
                .in_hand
                .min(MAX_CHUNK)
                .min(usize::try_from(credit).unwrap());
            if self.in_hand > piece && cost(piece) < SCRAP {
                return;
            }
            self.send(story, piece);
        }
    }

    fn send(&mut self, story: &mut Story, len: usize) {
        let data = Request::Data {
            stream: id(&self.name),
            at: self.next,
            tail: 0,
            want: 0,
        };
        self.spent += cost(len);
        self.next += len as u64;
        self.in_hand -= len;
        self.written += len;
        story.send(&self.name, &[MAGIC, &encode(&data), &vec![b'.'; len]]);
        self.take_in(story);
    }

    /// Writes until no credit comes any more; returns how many bytes went. Has nothing in hand then.
    pub fn fill(&mut self, story: &mut Story) -> usize {
        let before = self.written;
        while self.in_hand == 0 {
            self.write(story, 32 << 10);
        }
        self.in_hand = 0;
        self.written - before
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
        Self {
            name: name.to_owned(),
            arrived: 0,
            bytes: 0,
            is_closed: false,
        }
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
            assert!(
                !matches!(reply, Reply::Error { .. }),
                "an honest listener: {reply:?}"
            );
        }
    }

    /// Takes in what came and confirms it.
    pub fn confirm(&mut self, story: &mut Story) {
        self.take_in(story);
        if self.arrived > 0 && !self.is_closed {
            story.confirm(&self.name, &self.name, self.arrived);
        }
    }
}

/// So many bytes go from a writer to a listener, which confirms them as they come.
#[track_caller]
pub fn flow(story: &mut Story, pen: &mut Pen, ear: &mut Ear, len: usize) {
    let end = ear.bytes + len;
    pen.write(story, len);
    while ear.bytes < end {
        let before = (ear.bytes, pen.in_hand);
        ear.confirm(story);
        pen.push(story);
        assert!(
            before != (ear.bytes, pen.in_hand),
            "{} bytes of {len} came, then no more",
            ear.bytes
        );
    }
    ear.confirm(story);
    assert_eq!((ear.bytes, pen.in_hand), (end, 0));
}
