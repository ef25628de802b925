//! A harness for sessions: the test plays the satellite, stdin, stdout and the clock.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, Hello, How, Limits, Listen, MAGIC, MAX_CHUNK, Mode, Open, Outcome,
    REVISION, Reply, Request, Resume, decode, encode,
};
use uuid::Uuid;

use crate::session::{Compression, Config, Input, Job, Now, Output, Question, Session};

pub const CLIENT: Uuid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);

/// The UUID of the session's stream or listener.
pub const OWN: Uuid = Uuid::from_u128(7);

/// The answer to `Listen`.
pub const LISTENING: Reply = Reply::Listening {
    listener: OWN,
    lost: false,
    missed: 0,
};

/// The UUIDs of two streams of other clients.
pub const A: Uuid = Uuid::from_u128(0xa);
pub const B: Uuid = Uuid::from_u128(0xb);

/// The heartbeat interval.
pub const BEAT: Duration = Duration::from_millis(2500);

/// The last moment before a timeout of this length.
pub fn just_before(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_millis(1))
}

pub struct Dialogue {
    pub session: Session,
    pub now: Now,
    /// The messages sent on the current connection that were not looked at, with the payload of data.
    sent: Vec<(Request, Option<Bytes>)>,
    /// The writes that were not reported as done.
    pub to_write: VecDeque<Bytes>,
    pub printed: Vec<u8>,
    pub notices: Vec<String>,
    pub hints: Vec<String>,
    pub answers: Vec<Reply>,
    /// The length of each stream so far.
    ends: HashMap<Uuid, u64>,
    /// When connections were made.
    pub connects: Vec<Now>,
    pub exit: Option<u8>,
}

impl Dialogue {
    pub fn new(job: Job) -> Self {
        Self::with(job, |_| {})
    }

    pub fn with(job: Job, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            client: CLIENT,
            id: OWN,
            job,
            timeout: None,
            connect_timeout: None,
            program: "skypipe 1.0.0".to_owned(),
            endpoint: "tcp://sky:9000".to_owned(),
            identity: None,
            unix_time: 1_000_000,
        };
        change(&mut config);
        let mut dialogue = Self {
            session: Session::new(config),
            now: Now::ZERO,
            sent: Vec::new(),
            to_write: VecDeque::new(),
            printed: Vec::new(),
            notices: Vec::new(),
            hints: Vec::new(),
            answers: Vec::new(),
            ends: HashMap::new(),
            connects: Vec::new(),
            exit: None,
        };
        dialogue.carry_out();
        dialogue
    }

    /// Hands in one input, and carries out all resulting actions.
    pub fn happen(&mut self, input: Input) {
        self.session.handle(self.now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.session.poll() {
            assert_eq!(self.exit, None, "the exit is the last: {output:?}");
            match output {
                Output::Connect => {
                    self.connects.push(self.now);
                    self.sent.clear();
                }
                Output::Send(frames) => {
                    assert!(
                        !self.connects.is_empty(),
                        "nothing is sent without a connection"
                    );
                    assert_eq!(frames[0], MAGIC);
                    let request = decode(&frames[1]).expect("a satellite understands it");
                    self.sent.push((request, frames.get(2).cloned()));
                }
                Output::Write(bytes) => self.to_write.push_back(bytes),
                Output::Failure(text) | Output::Notice(text) => self.notices.push(text),
                Output::Hint(text) => self.hints.push(text),
                Output::Answer(reply) => self.answers.push(reply),
                Output::Exit(code) => self.exit = Some(code),
            }
        }
    }

    /// Lets time pass. The loop wakes at each deadline and at the end.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.session.deadline().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.happen(Input::Timeout);
        }
        panic!("the session's deadline does not move");
    }

    /// A message with these frames arrives.
    pub fn receive(&mut self, frames: &[&[u8]]) {
        let frames = frames
            .iter()
            .map(|frame| Bytes::copy_from_slice(frame))
            .collect();
        self.happen(Input::Received(frames));
    }

    pub fn reply(&mut self, reply: &Reply) {
        self.receive(&[MAGIC, &encode(reply)]);
    }

    pub fn welcome(&mut self) {
        self.welcome_from("skypipe 1.0.0");
    }

    pub fn welcome_from(&mut self, program: &str) {
        let limits = Limits {
            chunk: MAX_CHUNK as u64,
            heartbeat_ms: 2500,
            writer_lost_ms: 60_000,
            listener_lost_ms: 10_000,
        };
        let program = program.to_owned();
        self.reply(&Reply::Welcome {
            satellite: Uuid::max(),
            revision: REVISION,
            program,
            limits,
            key: None,
        });
    }

    pub fn refuse(&mut self, code: Code, about: Option<Uuid>) {
        self.reply(&Reply::Error {
            code,
            message: "the satellite says why".to_owned(),
            about,
        });
    }

    pub fn break_off(&mut self) {
        self.happen(Input::Disconnected(Some("the cable was cut".to_owned())));
    }

    /// The messages sent since the last call, with payloads.
    pub fn take_sent(&mut self) -> Vec<(Request, Option<Bytes>)> {
        mem::take(&mut self.sent)
    }

    /// The same as text.
    pub fn said(&mut self) -> String {
        let words: Vec<_> = self.take_sent().into_iter().map(words).collect();
        words.join(", ")
    }
}

/// The satellite's replies to a writer.
impl Dialogue {
    pub fn writer() -> Self {
        Self::new(write_job(false))
    }

    /// A writer with an open stream and unlimited credit.
    pub fn open_writer() -> Self {
        let mut dialogue = Self::writer();
        dialogue.welcome();
        dialogue.opened(0, 1 << 30);
        dialogue.said();
        dialogue
    }

    pub fn opened(&mut self, next: u64, limit: u64) {
        self.reply(&Reply::Opened {
            stream: OWN,
            next,
            limit,
            rest: false,
        });
    }

    pub fn ack(&mut self, next: u64, limit: u64) {
        self.reply(&Reply::Ack {
            stream: OWN,
            next,
            limit,
            full: None,
        });
    }

    pub fn finished(&mut self, outcome: Outcome) {
        self.reply(&Reply::Finished {
            stream: OWN,
            outcome,
        });
    }

    pub fn read(&mut self, text: &str) {
        self.happen(Input::Read(Bytes::copy_from_slice(text.as_bytes()).into()));
    }
}

/// The satellite's replies to a listener.
impl Dialogue {
    /// A listener that has been accepted on this connection.
    pub fn listener(mode: Mode) -> Self {
        let mut dialogue = Self::new(Job::Listen {
            pipe: "p".to_owned(),
            mode,
        });
        dialogue.welcome();
        dialogue.reply(&LISTENING);
        dialogue.said();
        dialogue
    }

    /// Sends a chunk whose first byte has the offset `at` in its stream.
    pub fn chunk(&mut self, seq: u64, stream: Uuid, at: u64, text: &str) {
        let chunk = Reply::Chunk {
            listener: OWN,
            seq,
            stream,
            at,
            missed: 0,
        };
        self.ends.insert(stream, at + text.len() as u64);
        self.receive(&[MAGIC, &encode(&chunk), text.as_bytes()]);
    }

    pub fn ended(&mut self, seq: u64, stream: Uuid, how: How, before: u64) {
        let label = "ann@host pid 1".to_owned();
        let at = self.ends.get(&stream).copied().unwrap_or(0);
        self.reply(&Reply::Ended {
            listener: OWN,
            seq,
            stream,
            at,
            how,
            label,
            before,
            missed: 0,
        });
    }

    pub fn done(&mut self, seq: u64) {
        self.reply(&Reply::Done {
            listener: OWN,
            seq,
            missed: 0,
            eof: None,
        });
    }

    /// Ends the listener by an `--eof`.
    pub fn done_by_eof(&mut self, seq: u64, order: Bytes) {
        self.reply(&Reply::Done {
            listener: OWN,
            seq,
            missed: 0,
            eof: Some(order),
        });
    }

    /// Stdout takes the oldest write.
    pub fn write_one(&mut self) {
        let bytes = self
            .to_write
            .pop_front()
            .expect("there is something to write");
        self.printed.extend_from_slice(&bytes);
        self.happen(Input::Written);
    }

    /// Stdout takes all writes.
    pub fn write_all(&mut self) {
        while !self.to_write.is_empty() {
            self.write_one();
        }
    }

    pub fn printed(&self) -> &str {
        std::str::from_utf8(&self.printed).expect("tests print text")
    }
}

pub fn write_job(inferred: bool) -> Job {
    Job::Write {
        pipe: "p".to_owned(),
        wait: false,
        whole: false,
        compress: Compression::Off,
        inferred,
        label: "ann@host pid 1".to_owned(),
    }
}

pub fn asker(question: Question) -> Dialogue {
    Dialogue::new(Job::Ask(question))
}

fn words((request, payload): (Request, Option<Bytes>)) -> String {
    match request {
        Request::Hello(Hello { .. }) => "hello".to_owned(),
        Request::Open(Open { from, resume, .. }) => {
            format!("{} {from}", if resume { "reopen" } else { "open" })
        }
        Request::Data(Data { at, .. }) => {
            let payload = payload.expect("data has a payload");
            format!(
                "{at}: {}",
                String::from_utf8_lossy(&payload).replace('\n', "/")
            )
        }
        Request::Credit { .. } => "want".to_owned(),
        Request::Finish(Finish {
            len, how: How::End, ..
        }) => format!("end {len}"),
        Request::Finish(Finish {
            len,
            how: How::Cut(why),
            ..
        }) => format!("cut {len} ({why})"),
        Request::Listen(Listen { resume: None, .. }) => "listen".to_owned(),
        Request::Listen(Listen {
            resume: Some(Resume { next_seq, .. }),
            ..
        }) => format!("listen from {next_seq}"),
        Request::Confirm(Confirm { next_seq, .. }) => format!("confirm {next_seq}"),
        other => format!("{other:?}")
            .split([' ', '{'])
            .next()
            .unwrap_or_default()
            .to_lowercase(),
    }
}
