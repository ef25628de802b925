//! A hostile satellite's replies: plausible answers, lies, and replies of all kinds with random fields.
//! Also which of them entitle the client to exit 0.

use std::collections::VecDeque;

use bytes::Bytes;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, Hello, Holds, How, KeyInfo, Limits, Listen, MAGIC, MAX_CHUNK,
    Open, Outcome as Fate, OwnKey, PipeInfo, PublicKey, REVISION, Reply, Request, Rights, Shortage,
    Status, decode, encode,
};
use uuid::Uuid;

use super::streams::{Stream, Streams};
use crate::common::chance::Chance;
use crate::peers::hostile::fuzz::change::change;
use crate::peers::hostile::fuzz::words::command;

/// Something to send: the frames of a message, or a ZMTP command.
pub enum Said {
    Message(Vec<Vec<u8>>),
    Command(Vec<u8>),
}

/// A reply, with the payload of a chunk.
type Answer = (Reply, Option<Vec<u8>>);

/// What a client process was sent, on all its connections.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that may have been said"
)]
pub struct Told {
    pub finished: bool,
    pub taken: bool,
    pub ended: bool,
    pub done: bool,
    /// An `--eof` that a member gave.
    pub eof: bool,
    pub eof_taken: bool,
    pub pipes: bool,
    pub discarded: bool,
    pub status: bool,
    pub keys: bool,
    pub invited: bool,
    pub revoked: bool,
}

/// The satellite's side of one client.
pub struct Satellite<'a> {
    pub chance: Chance,
    streams: &'a Streams,
    is_private: bool,
    /// The client's stream or listener.
    id: Uuid,
    seq: u64,
    /// The number of streams that it was sent.
    shown: usize,
    answers: VecDeque<Answer>,
    pub told: Told,
    /// How many of 256 messages are mutated or nonsense.
    pub heat: usize,
}

impl<'a> Satellite<'a> {
    pub fn new(chance: Chance, streams: &'a Streams, is_private: bool) -> Self {
        Self {
            chance,
            streams,
            is_private,
            id: Uuid::nil(),
            seq: 0,
            shown: 0,
            answers: VecDeque::new(),
            told: Told::default(),
            heat: 0,
        }
    }

    /// Starts a new connection, which knows nothing of the previous one.
    pub fn begins(&mut self) {
        self.answers.clear();
        self.heat = self.chance.of_these(&[0, 1, 2, 8, 64]);
    }

    /// Handles a message from the client, which will be answered.
    pub fn hears(&mut self, frames: &[Vec<u8>]) {
        let [_, request, ..] = frames else {
            return;
        };
        let request = decode(request).expect("our own client makes sense");
        let len = frames.get(2).map_or(0, Vec::len) as u64;
        let answers = self.answer(request, len);
        self.answers.extend(answers);
    }

    /// The next message to send.
    pub fn says(&mut self) -> Said {
        let patience = match self.answers.front() {
            None => 0,
            // Replies that may end the client come late, or few others would be sent.
            Some((reply, _)) if is_last(reply) => 64,
            Some(_) => 3,
        };
        if patience > 0
            && self.chance.below(patience) == 0
            && let Some((reply, payload)) = self.answers.pop_front()
        {
            return self.message(&reply, payload);
        }
        match self.chance.below(16) {
            0 => Said::Command(command(&mut self.chance)),
            1 => {
                let frames = self.chance.of_these(&[1, 2, 4, 5]);
                let frame = |_| {
                    let length = self.chance.below(40);
                    self.chance.bytes(length)
                };
                Said::Message((0..frames).map(frame).collect())
            }
            2 => {
                let magic: [&[u8]; 4] = [b"", b"SKYPIPE/2", b"SKYPIPE/0.2", b"HTTP/1.1"];
                let magic = self.chance.of_these(&magic);
                let mut reply = encode(&Reply::Pong);
                change(&mut self.chance, &mut reply);
                Said::Message(vec![magic.to_vec(), reply])
            }
            3..=6 => {
                let (reply, payload) = self.again();
                self.message(&reply, payload)
            }
            7 | 8 => {
                let welcome = self.welcome();
                self.message(&welcome, None)
            }
            9 | 10 if self.chance.below(256) < 4 * self.heat => {
                let (reply, payload) = self.any();
                self.message(&reply, payload)
            }
            _ => self.message(&Reply::Pong, None),
        }
    }

    /// The frames of a reply, some of them mutated.
    fn message(&mut self, reply: &Reply, payload: Option<Vec<u8>>) -> Said {
        let mut frames = vec![MAGIC.to_vec(), encode(reply)];
        frames.extend(payload);
        if self.chance.below(256) < self.heat {
            let place = self.chance.below(frames.len());
            change(&mut self.chance, &mut frames[place]);
        }
        if let Ok(reply) = decode(&frames[1]) {
            self.note(&reply);
        }
        Said::Message(frames)
    }

    /// A valid reply's bytes, mutated.
    pub fn nonsense(&mut self, framed: impl Fn(&Said) -> Vec<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let said = self.says();
            bytes.extend(framed(&said));
        }
        change(&mut self.chance, &mut bytes);
        bytes
    }

    fn note(&mut self, reply: &Reply) {
        let told = &mut self.told;
        let is_eof = |order: &Bytes| !self.is_private || *order == self.streams.eof;
        match reply {
            Reply::Finished { outcome, .. } => {
                told.finished = true;
                told.taken |= *outcome == Fate::Taken;
            }
            Reply::Ended { how, .. } => {
                told.ended = true;
                told.eof |= matches!(how, How::Eof(order) if is_eof(order));
            }
            Reply::Done { eof, .. } => {
                told.done = true;
                told.eof |= eof.as_ref().is_some_and(is_eof);
            }
            Reply::EofTaken => told.eof_taken = true,
            Reply::Pipes { .. } => told.pipes = true,
            Reply::Discarded { .. } => told.discarded = true,
            Reply::Status(_) => told.status = true,
            Reply::Keys { .. } => told.keys = true,
            Reply::Invited { .. } => told.invited = true,
            Reply::Revoked => told.revoked = true,
            _ => {}
        }
    }

    fn answer(&mut self, request: Request, len: u64) -> Vec<Answer> {
        let one = |reply| vec![(reply, None)];
        match request {
            Request::Hello(Hello { .. }) => one(self.welcome()),
            Request::Ping => one(Reply::Pong),
            Request::Open(Open { stream, from, .. }) => {
                self.id = stream;
                one(Reply::Opened {
                    stream,
                    next: from,
                    limit: self.chance.of_these(&[0, 5000, 1 << 20, 1 << 30]),
                    rest: self.chance.below(8) == 0,
                })
            }
            Request::Credit { requested, .. } => one(self.ack(0, requested)),
            Request::Data(Data { at, requested, .. }) => {
                one(self.ack(at + len, requested.saturating_mul(2)))
            }
            Request::Finish(Finish { stream, .. }) if self.chance.below(2) == 0 => {
                one(Reply::Finished {
                    stream,
                    outcome: self
                        .chance
                        .of_these(&[Fate::Kept, Fate::Taken, Fate::Discarded]),
                })
            }
            Request::Listen(Listen {
                listener, resume, ..
            }) => {
                self.id = listener;
                self.seq = resume.map_or(0, |resume| resume.next_seq);
                let mut answers = vec![(self.listening(), None)];
                for _ in 0..self.chance.below(4) {
                    answers.extend(self.stream());
                }
                answers.extend(self.end());
                answers
            }
            Request::Confirm(Confirm { next_seq, .. }) if next_seq == self.seq => {
                one(Reply::Closed { listener: self.id })
            }
            Request::Eof { .. } => one(Reply::EofTaken),
            Request::List { .. } => one(self.pipes()),
            Request::Discard { .. } => one(Reply::Discarded {
                streams: 1,
                bytes: 2,
            }),
            Request::Status => one(self.status()),
            Request::Keys { .. } => one(self.keys()),
            Request::Invite(new) => one(Reply::Invited { name: new.name }),
            Request::Revoke { .. } => one(Reply::Revoked),
            Request::Keyring(_) | Request::SetPhrase { .. } => one(Reply::Kept),
            Request::Phrase => one(Reply::Phrase(None)),
            _ => Vec::new(),
        }
    }

    /// A reply that this client has received before, or may receive at any time.
    fn again(&mut self) -> Answer {
        let reply = match self.chance.below(5) {
            // A client that has asked a question takes anything else for the answer.
            _ if self.id.is_nil() => Reply::Pong,
            0 => self.listening(),
            1 => self.ack(0, 1 << 16),
            2 if self.seq > 0 => return self.chunk(0),
            3 if self.is_private && self.chance.below(256) < self.heat => Reply::Keyring {
                sealed_keyring: self.some_bytes().into(),
            },
            _ => Reply::Pong,
        };
        (reply, None)
    }

    fn ack(&mut self, next: u64, limit: u64) -> Reply {
        let full = [
            None,
            None,
            Some(Shortage::Pipe(1)),
            Some(Shortage::Memory(u64::MAX)),
            Some(Shortage::Disk),
            Some(Shortage::Key(0)),
        ];
        Reply::Ack {
            stream: self.id,
            next,
            limit,
            full: self.chance.of_these(&full),
        }
    }

    fn listening(&mut self) -> Reply {
        Reply::Listening {
            listener: self.id,
            lost: self.chance.below(8) == 0,
            missed: self.chance.of_these(&[0, 0, 0, 0, 0, 0, 0, 1]),
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq - 1
    }

    /// Sends the next stream, correctly or almost so.
    fn stream(&mut self) -> Vec<Answer> {
        let streams: &Streams = self.streams;
        let stream = &streams.all[self.shown % streams.all.len()];
        // A stream may be sent again.
        self.shown += usize::from(self.chance.below(8) > 0);
        let mut parts: Vec<(u64, &[u8])> = Vec::new();
        let mut at = 0;
        for part in &stream.parts {
            parts.push((at, part));
            at += part.len() as u64;
        }
        let (mut how, mut before) = (stream.how.clone(), 0);
        let place = self.chance.below(parts.len());
        match self.chance.below(24) {
            0 => drop(parts.remove(place)),
            1 => parts.insert(place, parts[place]),
            2 => parts.reverse(),
            3 => parts.truncate(place),
            4 => {
                parts.truncate(place);
                how = How::Cut("somebody's \u{1b}[2J".to_owned());
            }
            5 => drop(parts.drain(..place)),
            6 => {
                before = parts[place].0;
                parts.drain(..place);
            }
            7 => parts[place].0 = number(&mut self.chance),
            8 => how = How::End,
            9 => parts[place].1 = self.other(stream),
            10 => how = How::Proven(self.some_bytes().into()),
            11 => at = number(&mut self.chance),
            12 => {
                let (id, how) = (stream.id, How::Cut("once".to_owned()));
                let ended = Reply::Ended {
                    listener: self.id,
                    seq: self.next_seq(),
                    stream: id,
                    at: place as u64,
                    how,
                    label: String::new(),
                    before: 0,
                    missed: number(&mut self.chance),
                };
                return [(ended, None)].into_iter().chain(self.stream()).collect();
            }
            _ => {}
        }
        let mut answers = Vec::new();
        for (at, part) in parts {
            let chunk = Reply::Chunk {
                listener: self.id,
                seq: self.next_seq(),
                stream: stream.id,
                at,
                missed: 0,
            };
            answers.push((chunk, Some(part.to_vec())));
        }
        let ended = Reply::Ended {
            listener: self.id,
            seq: self.next_seq(),
            stream: stream.id,
            at,
            how,
            label: "somebody".to_owned(),
            before,
            missed: 0,
        };
        answers.push((ended, None));
        answers
    }

    /// A part of another stream.
    fn other(&mut self, stream: &Stream) -> &'a [u8] {
        let streams = self.streams;
        let others = streams.all.iter().filter(|other| other.id != stream.id);
        let others: Vec<_> = others.collect();
        let other = others[self.chance.below(others.len())];
        &other.parts[self.chance.below(other.parts.len())]
    }

    /// The reply behind all streams, if there is one.
    fn end(&mut self) -> Option<Answer> {
        let eof = match self.chance.below(8) {
            0..=2 => None,
            3 => Some(self.streams.eof.clone()),
            4 => Some(self.streams.others[self.chance.below(self.streams.others.len())].clone()),
            5 => {
                let how = How::Eof(self.streams.eof.clone().into());
                return Some((self.ended(how), None));
            }
            _ => return None,
        };
        let done = Reply::Done {
            listener: self.id,
            seq: self.next_seq(),
            missed: 0,
            eof: eof.map(Into::into),
        };
        Some((done, None))
    }

    fn ended(&mut self, how: How) -> Reply {
        Reply::Ended {
            listener: self.id,
            seq: self.next_seq(),
            stream: self.chance.uuid(),
            at: 0,
            how,
            label: String::new(),
            before: 0,
            missed: 0,
        }
    }

    /// A chunk with a sequence number that was used, or one that may be next.
    fn chunk(&mut self, seq: u64) -> Answer {
        let stream = &self.streams.all[self.chance.below(self.streams.all.len())];
        let part = self.chance.below(stream.parts.len());
        let chunk = Reply::Chunk {
            listener: self.id,
            seq,
            stream: stream.id,
            at: 0,
            missed: 0,
        };
        (chunk, Some(stream.parts[part].clone()))
    }

    fn welcome(&mut self) -> Reply {
        let is_odd = self.chance.below(256) < 2 * self.heat;
        let chance = &mut self.chance;
        let limits = if is_odd {
            Limits {
                chunk: number(chance),
                heartbeat_ms: number(chance),
                writer_lost_ms: number(chance),
                listener_lost_ms: number(chance),
            }
        } else {
            Limits {
                chunk: chance.of_these(&[4096, 1 << 16, MAX_CHUNK as u64]),
                heartbeat_ms: chance.of_these(&[2500, 5000, u64::MAX]),
                writer_lost_ms: 60_000,
                listener_lost_ms: 60_000,
            }
        };
        let key = (self.is_private != is_odd).then(|| OwnKey {
            name: "first".to_owned(),
            rights: Rights::ALL,
            expires: None,
            sealed_keyring: is_odd.then(|| chance.bytes(300).into()),
            is_attested: true,
            address: None,
        });
        Reply::Welcome {
            satellite: Uuid::from_u128(1),
            revision: if is_odd { 7 } else { REVISION },
            program: chance
                .of_these(&["skypipe 99.0.0", "skypipe 0.1", "\u{1b}[2J", ""])
                .to_owned(),
            limits,
            key,
        }
    }

    fn pipes(&mut self) -> Reply {
        let (number, more) = (self.chance.below(30), self.chance.below(4) == 0);
        let pipes = (0..number).map(|_| self.pipe()).collect();
        Reply::Pipes { pipes, more }
    }

    fn pipe(&mut self) -> PipeInfo {
        let chance = &mut self.chance;
        PipeInfo {
            name: text(chance),
            waiting: number(chance),
            bytes: number(chance),
            writers: number(chance),
            listeners: number(chance),
            full: true,
        }
    }

    fn status(&mut self) -> Reply {
        let chance = &mut self.chance;
        Reply::Status(Status {
            program: text(chance),
            since: number(chance),
            pid: 1,
            kept: text(chance),
            memory: number(chance),
            used: number(chance),
            disk: Some((number(chance), number(chance))),
            trouble: Some(text(chance)),
            inherited: vec![text(chance)],
            pipes: number(chance),
            waiting: number(chance),
            bytes: number(chance),
            clients: number(chance),
        })
    }

    fn keys(&mut self) -> Reply {
        let chance = &mut self.chance;
        let key = |_| KeyInfo {
            name: text(chance),
            encryption: PublicKey([7; 32]),
            rights: Rights::ALL,
            pipes: vec![text(chance)],
            expires: Some(number(chance)),
            quota: Some(number(chance)),
            holds: Holds {
                clients: number(chance),
                bytes: number(chance),
                ..Holds::default()
            },
            made: number(chance),
            used: Some(number(chance)),
            is_connected: false,
            has_keyring: true,
            attestation: Some(chance.bytes(32).into()),
        };
        let keys = (0..3).map(key).collect();
        let (more, epoch) = (self.chance.below(4) == 0, 0);
        Reply::Keys { keys, more, epoch }
    }

    fn some_bytes(&mut self) -> Vec<u8> {
        let length = self.chance.of_these(&[0, 1, 63, 64, 300]);
        self.chance.bytes(length)
    }

    /// Any reply, with random fields.
    fn any(&mut self) -> Answer {
        let (id, stream) = (self.id, self.chance.uuid());
        let codes = [
            Code::Malformed,
            Code::Stranger,
            Code::Revision,
            Code::Order,
            Code::Credit,
            Code::Limit,
            Code::Unknown,
            Code::Lost,
            Code::Denied,
            Code::Waiting,
            Code::Disk,
            Code::Failed,
        ];
        let chance = &mut self.chance;
        let [first, second, third] = [number(chance), number(chance), number(chance)];
        let seq = if chance.below(2) == 0 {
            self.seq
        } else {
            first
        };
        let flag = chance.below(2) == 0;
        let reply = match chance.below(20) {
            0 => Reply::Opened {
                stream: id,
                next: first,
                limit: second,
                rest: flag,
            },
            1 => Reply::Ack {
                stream: id,
                next: first,
                limit: second,
                full: None,
            },
            2 => Reply::Finished {
                stream: id,
                outcome: chance.of_these(&[Fate::Kept, Fate::Taken, Fate::Discarded]),
            },
            3 => Reply::Listening {
                listener: id,
                lost: flag,
                missed: first,
            },
            4 => {
                let chunk = Reply::Chunk {
                    listener: id,
                    seq,
                    stream,
                    at: second,
                    missed: third,
                };
                let length = chance.of_these(&[0, 1, 64, 3000, MAX_CHUNK]);
                return (chunk, Some(chance.bytes(length)));
            }
            5 => Reply::Ended {
                listener: id,
                seq,
                stream,
                at: second,
                how: How::Cut(text(chance)),
                label: text(chance),
                before: third,
                missed: third,
            },
            6 => Reply::Done {
                listener: id,
                seq,
                missed: second,
                eof: flag.then(|| chance.bytes(60).into()),
            },
            7 => Reply::Closed { listener: id },
            8 => Reply::EofTaken,
            9 => self.pipes(),
            10 => Reply::Discarded {
                streams: first,
                bytes: second,
            },
            11 => self.status(),
            12 => Reply::Stopping,
            13 => Reply::Invited { name: text(chance) },
            14 => self.keys(),
            15 => Reply::Revoked,
            16 => Reply::Kept,
            17 => Reply::Phrase(None),
            18 => Reply::Keyring {
                sealed_keyring: self.some_bytes().into(),
            },
            _ => Reply::Error {
                code: chance.of_these(&codes),
                message: text(chance),
                about: flag.then_some(id),
            },
        };
        (reply, None)
    }
}

/// Whether a client may end after this reply.
fn is_last(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Finished { .. }
            | Reply::EofTaken
            | Reply::Pipes { .. }
            | Reply::Discarded { .. }
            | Reply::Status(_)
            | Reply::Keys { .. }
            | Reply::Invited { .. }
            | Reply::Revoked
            | Reply::Kept
            | Reply::Phrase(_)
    )
}

/// A number that is small, or close to a limit of its type.
fn number(chance: &mut Chance) -> u64 {
    match chance.below(5) {
        0 => u64::MAX - chance.next() % 3,
        1 => chance.next(),
        2 => 1 << chance.below(64),
        _ => chance.next() % 5,
    }
}

/// A text for people, perhaps empty.
fn text(chance: &mut Chance) -> String {
    let most = if chance.below(16) == 0 { 30_000 } else { 40 };
    match chance.below(6) {
        0 => String::new(),
        1 => "\u{1b}[2J\n\r\u{202e}".to_owned(),
        2 => "\u{7}".repeat(chance.below(most)),
        3 => "ö".repeat(chance.below(most)),
        _ => format!("pipe {}", chance.below(1000)),
    }
}
