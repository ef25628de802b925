//! A small language for tests of a broker. Peers, clients, streams and listeners have short names. The
//! replies to a peer are read back as text, so that a test can compare them with what it expects.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub use super::words::{listening, opening, reopening, seq};

use super::words::words;
use crate::broker::{Broker, FREE_FRAME, Input, Now, Output, Peer, Settings};
use crate::keys::KeyId;
use crate::protocol::{
    Code, Confirm, Data, Finish, Hello, How, MAGIC, MAX_COMMAND, Mode, REVISION, Reply, Request,
    cost, decode, encode,
};
use crate::store::Memory;
use crate::v01;

/// The memory budget, unless a story sets another one.
pub const MEMORY: u64 = 4 << 20;

/// The timeouts, unless a story sets others.
pub const WRITER_LOST: Duration = Duration::from_secs(60);
pub const LISTENER_LOST: Duration = Duration::from_secs(10);

/// The last moment before this time is over.
pub fn just_before(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_millis(1))
}

/// The UUID for a short name.
pub fn id(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

pub fn peer(name: &str) -> Peer {
    Peer(Bytes::copy_from_slice(name.as_bytes()))
}

/// A reply to a peer, with the payload of a chunk.
pub type Heard = (Reply, Option<Bytes>);

pub struct Story {
    pub broker: Broker<Memory>,
    pub now: Now,
    pub log: Vec<String>,
    pub is_stopped: bool,
    /// Connections whose queue is full.
    pub congested: HashSet<Peer>,
    /// The keys of connections, at a satellite with keys.
    pub keys: HashMap<Peer, KeyId>,
    /// The saved authorized keys, most recent last.
    pub saved: Vec<Bytes>,
    /// Why keys cannot be saved. None if they can.
    pub disk_fault: Option<String>,
    heard: HashMap<Peer, Vec<Heard>>,
    /// The frame credit of each connection.
    frame_credit: HashMap<Peer, i64>,
    /// What v0.1 peers were sent: their messages without the magic frame.
    pub old_heard: HashMap<Peer, Vec<Vec<Bytes>>>,
}

impl Story {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A story whose satellite has other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            satellite: id("satellite"),
            program: "skypipe 1.0.0".to_owned(),
            since: 1_700_000_000,
            pid: 7,
            memory: MEMORY,
            quota: u64::MAX,
            writer_lost: WRITER_LOST,
            listener_lost: LISTENER_LOST,
            is_local: false,
            idle: None,
            stoppable: true,
            clients: 100,
        };
        change(&mut settings);
        Self {
            broker: Broker::new(settings, Memory::default()),
            now: Now::ZERO,
            log: Vec::new(),
            is_stopped: false,
            congested: HashSet::new(),
            keys: HashMap::new(),
            saved: Vec::new(),
            disk_fault: None,
            heard: HashMap::new(),
            frame_credit: HashMap::new(),
            old_heard: HashMap::new(),
        }
    }

    /// Passes one input to the broker, and carries out all its outputs.
    pub fn happen(&mut self, input: Input) {
        self.broker.tell_time(1_700_000_000 + self.now.as_secs());
        self.broker.handle(self.now, input);
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send {
                    peer,
                    frames,
                    report,
                } => self.deliver(peer, &frames, report),
                Output::SaveKeys(registry) => {
                    self.saved.push(registry);
                    let saved = self.disk_fault.clone().map_or(Ok(()), Err);
                    self.broker.handle(self.now, Input::KeysSaved(saved));
                }
                Output::Credit { peer, amount } => {
                    *self.frame_credit.entry(peer).or_default() += amount;
                }
                Output::Log(line) => self.log.push(line),
                Output::Stop => self.is_stopped = true,
                Output::Fail(why) => panic!("memory has failed: {why}"),
            }
        }
    }

    fn deliver(&mut self, peer: Peer, frames: &[Bytes], report: bool) {
        if self.congested.contains(&peer) {
            return self.broker.handle(self.now, Input::Congested { peer });
        }
        if frames[0] == v01::MAGIC {
            self.old_heard
                .entry(peer.clone())
                .or_default()
                .push(frames[1..].to_vec());
        } else {
            assert_eq!(frames[0], MAGIC);
            assert!(frames[1].len() <= MAX_COMMAND, "a client can read it");
            let reply = decode(&frames[1]).expect("a client understands it");
            let payload = frames.get(2).cloned();
            self.heard
                .entry(peer.clone())
                .or_default()
                .push((reply, payload));
        }
        if report {
            self.broker.handle(self.now, Input::Taken { peer });
        }
    }

    /// A message with any frames arrives from a peer.
    pub fn send(&mut self, from: &str, frames: &[&[u8]]) {
        let peer = peer(from);
        let lens: Vec<_> = frames.iter().map(|frame| frame.len()).collect();
        let frames: Vec<_> = frames
            .iter()
            .map(|frame| self.take_in(&peer, frame))
            .collect();
        let key = self.keys.get(&peer).copied();
        let is_whole = frames.iter().map(Bytes::len).eq(lens);
        self.happen(if is_whole {
            Input::Received { peer, key, frames }
        } else {
            Input::Oversent { peer, key, frames }
        });
    }

    /// A frame as it arrives: a large frame is empty if its connection has no credit for it.
    fn take_in(&mut self, peer: &Peer, frame: &[u8]) -> Bytes {
        if frame.len() <= FREE_FRAME {
            return Bytes::copy_from_slice(frame);
        }
        let credit = self.frame_credit.entry(peer.clone()).or_default();
        let price = i64::try_from(cost(frame.len())).expect("a frame is short");
        if *credit < price {
            return Bytes::new();
        }
        *credit -= price;
        Bytes::copy_from_slice(frame)
    }

    /// Asserts that each connection may send as much in large frames as its writers may send, plus at most a
    /// small amount that has not been taken back yet.
    #[track_caller]
    pub fn assert_frame_credit(&self) {
        let mut may_send = HashMap::<&Peer, i64>::new();
        for (connection, unused) in self.broker.streams.unused_credit() {
            let left = i64::try_from(unused).expect("it is bounded");
            match connection {
                Some(peer) => *may_send.entry(peer).or_default() += left,
                None => assert_eq!(left, 0),
            }
        }
        for (peer, credit) in &self.frame_credit {
            let untold = self.broker.base.inflow.untold(peer);
            let may = may_send.remove(peer).unwrap_or(0);
            if self.broker.v01.knows(peer) {
                continue;
            }
            assert_eq!(credit + untold, may, "{peer:?}");
            assert!((-(64 << 10)..=0).contains(&untold), "{untold}");
        }
        assert!(may_send.values().all(|may| *may == 0), "{may_send:?}");
    }

    pub fn say(&mut self, from: &str, request: &Request) {
        self.send(from, &[MAGIC, &encode(request)]);
    }

    /// Several messages arrive before the broker is polled.
    pub fn say_at_once(&mut self, from: &str, requests: &[Request]) {
        let (last, others) = requests.split_last().expect("there is something to say");
        for request in others {
            let frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(request))];
            let peer = peer(from);
            let key = self.keys.get(&peer).copied();
            self.broker
                .handle(self.now, Input::Received { peer, key, frames });
        }
        self.say(from, last);
    }

    pub fn disconnect(&mut self, who: &str) {
        self.frame_credit.remove(&peer(who));
        self.happen(Input::Disconnected { peer: peer(who) });
    }

    /// Passes time. The loop wakes at each deadline and at the end.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let due = self
                .broker
                .deadline()
                .filter(|due| *due <= end && !self.is_stopped);
            let Some(due) = due else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.happen(Input::Timeout);
        }
        panic!("the broker's deadline does not move");
    }

    /// All replies to a peer since the last call.
    pub fn hear(&mut self, who: &str) -> Vec<Heard> {
        mem::take(self.heard.entry(peer(who)).or_default())
    }

    /// The same as text.
    pub fn told(&mut self, who: &str) -> String {
        let words: Vec<_> = self.hear(who).into_iter().map(words).collect();
        words.join(", ")
    }

    /// The only reply to a peer.
    pub fn reply(&mut self, who: &str) -> Reply {
        let mut heard = self.hear(who);
        assert_eq!(heard.len(), 1, "one reply: {heard:?}");
        heard.remove(0).0
    }

    /// The code and message of the refusal that a peer received.
    pub fn refusal(&mut self, who: &str) -> (Code, String) {
        match self.reply(who) {
            Reply::Error { code, message, .. } => (code, message),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// What a v0.1 peer received: bytes as they are, ends as `.`, HELLO as `hello`.
    pub fn old_told(&mut self, who: &str) -> String {
        assert_eq!(
            self.told(who),
            "",
            "a 0.1 client knows nothing of SKYPIPE/1"
        );
        let mut text = String::new();
        for frames in mem::take(self.old_heard.entry(peer(who)).or_default()) {
            match &frames[..] {
                [hello] if hello == &b"HELLO"[..] => text += "hello",
                [data, _, end] if data == &b"DATA"[..] && end.is_empty() => text += ".",
                [data, _, bytes] if data == &b"DATA"[..] => {
                    text += std::str::from_utf8(bytes).expect("stories are text");
                }
                other => panic!("a 0.1 client has no such message: {other:?}"),
            }
        }
        text
    }
}

/// Messages of honest clients.
impl Story {
    /// `client` says hello on the connection `from`, and is welcomed.
    pub fn hello(&mut self, from: &str, client: &str) {
        let program = "skypipe 1.0.0".to_owned();
        self.say(
            from,
            &Request::Hello(Hello {
                client: id(client),
                revision: REVISION,
                program,
            }),
        );
        let told = self.told(from);
        assert!(told.ends_with("welcome"), "{told}");
    }

    /// The same for clients with one connection each, which has the client's name.
    pub fn meet(&mut self, names: &[&str]) {
        for name in names {
            self.hello(name, name);
        }
    }

    pub fn open(&mut self, from: &str, stream: &str, pipe: &str) {
        self.say(from, &opening(stream, pipe));
    }

    /// Sends a chunk with the offset `at`.
    pub fn write(&mut self, from: &str, stream: &str, at: u64, bytes: &[u8]) {
        self.write_requesting(from, stream, at, bytes, 0);
    }

    pub fn write_requesting(
        &mut self,
        from: &str,
        stream: &str,
        at: u64,
        bytes: &[u8],
        requested: u64,
    ) {
        let tail = bytes.len()
            - bytes
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
        let data = Request::Data(Data {
            stream: id(stream),
            at,
            tail: tail as u64,
            requested,
        });
        self.send(from, &[MAGIC, &encode(&data), bytes]);
    }

    pub fn finish(&mut self, from: &str, stream: &str, len: u64) {
        self.say(
            from,
            &Request::Finish(Finish {
                stream: id(stream),
                len,
                how: How::End,
            }),
        );
    }

    /// Sends a whole stream of one chunk.
    pub fn store(&mut self, from: &str, stream: &str, pipe: &str, text: &str) {
        self.open(from, stream, pipe);
        self.write(from, stream, 0, text.as_bytes());
        self.finish(from, stream, text.len() as u64);
        self.say(from, &Request::Close { stream: id(stream) });
        let heard = self.told(from);
        assert!(heard.ends_with("kept"), "{heard}");
    }

    pub fn listen(&mut self, from: &str, listener: &str, pipe: &str, mode: Mode) {
        self.say(from, &listening(listener, pipe, mode, None));
    }

    pub fn confirm(&mut self, from: &str, listener: &str, next_seq: u64) {
        self.say(
            from,
            &Request::Confirm(Confirm {
                listener: id(listener),
                next_seq,
                window: u64::MAX,
            }),
        );
    }

    /// Confirms the first `next_seq` items, then drains.
    pub fn drain_from(&mut self, from: &str, listener: &str, next_seq: u64) -> String {
        self.confirm(from, listener, next_seq);
        self.drain(from, listener)
    }

    /// Confirms everything that a listener is sent until nothing more arrives. Returns it as text.
    pub fn drain(&mut self, from: &str, listener: &str) -> String {
        let mut all = String::new();
        loop {
            let heard = self.hear(from);
            if heard.is_empty() {
                return all;
            }
            let next_seq = heard.iter().filter_map(|(reply, _)| seq(reply)).max();
            for reply in heard {
                let _ = write!(
                    all,
                    "{}{}",
                    if all.is_empty() { "" } else { ", " },
                    words(reply)
                );
            }
            if let Some(seq) = next_seq {
                self.confirm(from, listener, seq + 1);
            }
        }
    }
}
