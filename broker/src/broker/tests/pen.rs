//! Two honest clients: a writer that respects its credit, and a listener that confirms what it received.

use super::story::{Story, id, listening, opening, seq};
use crate::protocol::{
    CHUNK_OVERHEAD, Data, MAGIC, MAX_CHUNK, MIN_SEND, Mode, Outcome, Reply, Request, Shortage,
    cost, encode,
};

/// A writer. Its peer, its client and its stream have the same name.
pub struct Pen {
    pub name: String,
    /// The number of bytes not sent yet, and (`written`) the number of bytes sent.
    pub in_hand: usize,
    pub written: usize,
    /// The offset of the next byte to send.
    pub next: u64,
    /// The cost of the chunks since the last `Opened`, and (`limit`) its limit.
    pub spent: u64,
    pub limit: u64,
    /// The resource that the satellite says is used up.
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

    /// Processes all replies.
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

    /// Whether one chunk of this length may be sent.
    pub fn may_write(&self, len: usize) -> bool {
        self.spent + cost(len) <= self.limit
    }

    /// Requests credit for this many more bytes.
    pub fn want(&mut self, story: &mut Story, len: usize) {
        let requested = self.spent + cost(len);
        story.say(
            &self.name,
            &Request::Credit {
                stream: id(&self.name),
                requested,
            },
        );
        self.take_in(story);
    }

    /// Adds this many bytes to the data to send, and sends as much as the credit allows.
    pub fn write(&mut self, story: &mut Story, len: usize) {
        self.in_hand += len;
        self.push(story);
    }

    /// Sends as much as the credit allows, in chunks, and requests more credit.
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
            if self.in_hand > piece && cost(piece) < MIN_SEND {
                return;
            }
            self.send(story, piece);
        }
    }

    fn send(&mut self, story: &mut Story, len: usize) {
        let data = Request::Data(Data {
            stream: id(&self.name),
            at: self.next,
            tail: 0,
            requested: 0,
        });
        self.spent += cost(len);
        self.next += len as u64;
        self.in_hand -= len;
        self.written += len;
        story.send(&self.name, &[MAGIC, &encode(&data), &vec![b'.'; len]]);
        self.take_in(story);
    }

    /// Writes until no more credit arrives. Returns the number of bytes sent. No unsent data remains.
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

/// A listener. Its peer, its client and the listener have the same name.
pub struct Ear {
    pub name: String,
    /// The number of items that have arrived.
    pub arrived: u64,
    /// The number of payload bytes that have arrived.
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

    /// Processes all replies, and checks that sequence numbers have no gaps.
    pub fn take_in(&mut self, story: &mut Story) {
        for (reply, payload) in story.hear(&self.name) {
            if let Some(seq) = seq(&reply) {
                assert_eq!(seq, self.arrived, "items come in order");
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

    /// Processes all replies, and confirms them.
    pub fn confirm(&mut self, story: &mut Story) {
        self.take_in(story);
        if self.arrived > 0 && !self.is_closed {
            story.confirm(&self.name, &self.name, self.arrived);
        }
    }
}

/// Sends this many bytes from a writer to a listener, which confirms them as they arrive.
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
