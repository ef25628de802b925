//! A dishonest satellite. It has a satellite's keys, accepts a writer's data like an honest one, and sends
//! listeners whatever it likes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use skypipe::crypto::Keyring;
use skypipe::crypto::seal::Order;
use skypipe_protocol::KeyId;
use skypipe_protocol::address::Address;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::{Seed, SigningPair};
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{
    Confirm, Data, Finish, Hello, How, Limits, Listen, MAGIC, Open, Outcome as Fate, OwnKey,
    REVISION, Reply, Request, Rights, decode, encode,
};
use skypipe_transport::tls::Layer;
use uuid::Uuid;

use crate::common::Environment;
use crate::common::dealer::CONTEXT;
use crate::common::outcome::Outcome;
use crate::common::process::Process;
use crate::common::wait;

/// More than any writer of these tests sends.
const CREDIT: u64 = 1 << 40;

/// A chunk of this size contains one full record.
const CHUNK: u64 = 4096;

/// How long it waits for a message before it checks whether its client still runs, in milliseconds.
const LOOK: i32 = 5;

/// A stream as its writer sealed it.
#[derive(Clone)]
pub struct Sealed {
    pub id: Uuid,
    pub chunks: Vec<Bytes>,
    pub how: How,
}

/// One step of what a listener is sent.
#[derive(Clone)]
pub enum Step {
    /// A chunk at this claimed offset.
    Chunk(Uuid, u64, Bytes),
    /// A stream's finish.
    Ended(Uuid, How),
    /// A sealed keyring, which is no item.
    SealedKeyring(Bytes),
    /// The listener's end.
    Done,
    /// The listener's end, by this `--eof` attestation.
    DoneBy(Bytes),
}

/// A dishonest satellite, and how it treats its clients.
pub struct Liar {
    socket: zmq::Socket,
    /// The TLS layer of its connections.
    _layer: Layer,
    pub environment: Environment,
    /// The owner's seed.
    pub seed: Seed,
    satellite: [u8; 32],
    port: u16,
    /// What it says about the client's key.
    pub key: Option<OwnKey>,
    /// The longest chunk that it claims to accept.
    pub chunk: u64,
    /// The credit that it grants.
    pub credit: u64,
    /// The offset that it claims to expect in an opened stream.
    pub expected: u64,
    /// How many bytes more than it has received it claims to have.
    pub boast: u64,
    /// The sealed keyring that it sends writers once it has received a chunk.
    pub sealed_keyring: Option<Bytes>,
    /// Whether it never sends `Welcome`.
    pub is_mute: bool,
    /// The number of streams whose rest it claims to have given to others.
    pub missed: u64,
    /// Answers that replace all others.
    pub retort: Option<Retort>,
    script: Vec<Step>,
    next_seq: u64,
    taken: Option<Sealed>,
}

/// The answers to a request.
pub type Retort = Box<dyn Fn(&Request) -> Vec<Reply>>;

pub fn secret() -> Secret {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    Secret::new(bytes)
}

impl Liar {
    /// A liar that every program in its environment uses, as the owner.
    pub fn new() -> Self {
        let identity = SigningPair::derive(&secret(), b"a satellite");
        let mut socket = CONTEXT.socket(zmq::ROUTER).expect("there are sockets left");
        let everybody = Arc::new(|_: &[u8; 32]| Some(KeyId(1)));
        let layer = Layer::satellite(&identity, everybody).expect("good keys");
        layer.open();
        layer.cover(&mut socket).expect("libzmq has a record layer");
        socket.set_rcvtimeo(LOOK).expect("it is a time");
        socket.set_linger(0).expect("it is a time");
        socket.bind("tcp://127.0.0.1:*").expect("loopback is there");
        let bound = socket.get_last_endpoint().expect("it is bound");
        let bound = bound.expect("an endpoint is text");
        let port = bound.rsplit(':').next().and_then(|port| port.parse().ok());
        let mut liar = Self {
            socket,
            environment: Environment::here(),
            seed: Seed::new(secret()),
            _layer: layer,
            satellite: identity.public,
            port: port.expect("it is bound to a port"),
            key: Some(own_key(None)),
            chunk: CHUNK,
            credit: CREDIT,
            expected: 0,
            boast: 0,
            sealed_keyring: None,
            is_mute: false,
            missed: 0,
            retort: None,
            script: Vec::new(),
            next_seq: 0,
            taken: None,
        };
        let owner = liar.invitation(liar.seed.clone(), Kind::Owner);
        liar.environment.leads_to(&owner);
        liar
    }

    /// An invitation to it.
    pub fn invitation(&self, seed: Seed, kind: Kind) -> String {
        let token = Token {
            address: Address::tcp("127.0.0.1", self.port),
            kind,
            satellite: self.satellite,
            seed,
            expires: None,
        };
        token.encode().to_string()
    }

    /// The end of a pipe's listeners by an `--eof` that a member gave just now.
    pub fn done(&self, pipe: &str) -> Step {
        Step::DoneBy(order(&self.seed, pipe, 0))
    }

    /// The stream that a writer of these bytes sends.
    pub fn written(&mut self, pipe: &str, bytes: impl AsRef<[u8]>) -> Sealed {
        self.write(pipe, bytes).printed("");
        self.taken.take().expect("there was a stream")
    }

    /// The outcome of a writer of these bytes.
    pub fn write(&mut self, pipe: &str, bytes: impl AsRef<[u8]>) -> Outcome {
        let writer = self.environment.skypipe(&["-w", pipe]).piped().start();
        writer.say(bytes);
        writer.close_stdin();
        self.serve(writer)
    }

    /// The outcome of a listener that is sent this script.
    pub fn read(&mut self, mode: &str, pipe: &str, script: &[Step]) -> Outcome {
        self.script = script.to_vec();
        let listener = self.environment.skypipe(&[mode, pipe]).start();
        self.serve(listener)
    }

    /// Answers a client until it ends.
    pub fn serve(&mut self, client: Process) -> Outcome {
        let is_over = wait::holds_within(wait::PATIENCE, || {
            self.answer_one();
            !client.runs()
        });
        assert!(is_over, "the client has not ended");
        // Remaining messages of this client do not concern the next one.
        while self.receive().is_some() {}
        client.outcome()
    }

    fn receive(&self) -> Option<VecDeque<Vec<u8>>> {
        self.socket.recv_multipart(0).ok().map(VecDeque::from)
    }

    fn answer_one(&mut self) {
        let Some(mut frames) = self.receive() else {
            return;
        };
        let route = frames.pop_front().unwrap_or_default();
        let [_, command, payload @ ..] = frames.make_contiguous() else {
            return;
        };
        let request = decode(command).expect("our own client makes sense");
        if let Some(retort) = &self.retort {
            for reply in retort(&request) {
                self.say(&route, &reply);
            }
            return;
        }
        let payload = payload.first().cloned().unwrap_or_default();
        self.answer(&route, request, payload.into());
    }

    fn answer(&mut self, route: &[u8], request: Request, payload: Bytes) {
        match request {
            Request::Hello(Hello { .. }) if self.is_mute => {}
            Request::Hello(Hello { .. }) => self.say(route, &self.welcome()),
            Request::Ping => self.say(route, &Reply::Pong),
            Request::Open(Open { stream, .. }) => self.open(route, stream),
            Request::Data(Data { stream, at, .. }) => self.take(route, stream, at, payload),
            Request::Finish(Finish { stream, how, .. }) => self.finish(route, stream, how),
            Request::Listen(Listen { listener, .. }) => self.perform(route, listener),
            Request::Confirm(Confirm {
                listener, next_seq, ..
            }) if next_seq == self.next_seq => self.say(route, &Reply::Closed { listener }),
            _ => {}
        }
    }

    fn say(&self, route: &[u8], reply: &Reply) {
        // The client may be gone, which does not matter.
        let _ = self
            .socket
            .send_multipart([route, MAGIC, &encode(reply)], 0);
    }

    fn welcome(&self) -> Reply {
        Reply::Welcome {
            satellite: Uuid::from_u128(1),
            revision: REVISION,
            program: "skypipe 99.0.0".to_owned(),
            limits: Limits {
                chunk: self.chunk,
                heartbeat_ms: 5000,
                writer_lost_ms: 60_000,
                listener_lost_ms: 60_000,
            },
            key: self.key.clone(),
        }
    }

    fn open(&mut self, route: &[u8], stream: Uuid) {
        self.taken = Some(Sealed {
            id: stream,
            chunks: Vec::new(),
            how: How::End,
        });
        let (next, limit) = (self.expected, self.credit);
        let opened = Reply::Opened {
            stream,
            next,
            limit,
            rest: false,
        };
        self.say(route, &opened);
    }

    fn take(&mut self, route: &[u8], stream: Uuid, at: u64, payload: Bytes) {
        let next = (at + payload.len() as u64).saturating_add(self.boast);
        if let Some(taken) = &mut self.taken {
            taken.chunks.push(payload);
        }
        let (limit, full) = (self.credit, None);
        let ack = Reply::Ack {
            stream,
            next,
            limit,
            full,
        };
        self.say(route, &ack);
        if let Some(sealed_keyring) = self.sealed_keyring.clone() {
            self.say(route, &Reply::Keyring { sealed_keyring });
        }
    }

    fn finish(&mut self, route: &[u8], stream: Uuid, how: How) {
        if let Some(taken) = &mut self.taken {
            taken.how = how;
        }
        let outcome = Fate::Kept;
        self.say(route, &Reply::Finished { stream, outcome });
    }

    /// Sends a listener the whole script.
    fn perform(&mut self, route: &[u8], listener: Uuid) {
        self.say(
            route,
            &Reply::Listening {
                listener,
                lost: false,
                missed: self.missed,
            },
        );
        self.next_seq = 0;
        let mut ends = HashMap::new();
        for step in std::mem::take(&mut self.script) {
            let seq = self.next_seq;
            self.next_seq += u64::from(!matches!(step, Step::SealedKeyring(_)));
            match step {
                Step::Chunk(stream, at, payload) => {
                    ends.insert(stream, at + payload.len() as u64);
                    let chunk = Reply::Chunk {
                        listener,
                        seq,
                        stream,
                        at,
                        missed: 0,
                    };
                    let frames = [route, MAGIC, &encode(&chunk), &payload];
                    let _ = self.socket.send_multipart(frames, 0);
                }
                Step::Ended(stream, how) => self.say(
                    route,
                    &Reply::Ended {
                        listener,
                        seq,
                        stream,
                        at: ends.get(&stream).copied().unwrap_or(0),
                        how,
                        label: "somebody".to_owned(),
                        before: 0,
                        missed: 0,
                    },
                ),
                Step::SealedKeyring(sealed_keyring) => {
                    self.say(route, &Reply::Keyring { sealed_keyring });
                }
                Step::DoneBy(order) => self.say(
                    route,
                    &Reply::Done {
                        listener,
                        seq,
                        missed: 0,
                        eof: Some(order),
                    },
                ),
                Step::Done => self.say(
                    route,
                    &Reply::Done {
                        listener,
                        seq,
                        missed: 0,
                        eof: None,
                    },
                ),
            }
        }
    }
}

/// The attestation of an `--eof` that a member gave this many seconds ago, with the owner's keys.
pub fn order(owner: &Seed, pipe: &str, ago: u64) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let order = Order {
        by: "a member".to_owned(),
        at: now.expect("it is later than 1970").as_secs() - ago,
    };
    let sealed = order.seal(Keyring::owner(owner).newest(), pipe);
    sealed.expect("the owner reads")
}

/// A key with all rights, and this sealed keyring for its holder.
pub fn own_key(sealed_keyring: Option<Bytes>) -> OwnKey {
    OwnKey {
        name: "first".to_owned(),
        rights: Rights::ALL,
        expires: None,
        sealed_keyring,
        is_attested: true,
        address: None,
    }
}

/// These chunks of a stream at consecutive offsets, as if there were no others.
pub fn in_a_row(stream: Uuid, from: u64, chunks: &[Bytes]) -> Vec<Step> {
    let mut at = from;
    let step = |chunk: &Bytes| {
        let step = Step::Chunk(stream, at, chunk.clone());
        at += chunk.len() as u64;
        step
    };
    chunks.iter().map(step).collect()
}

impl Sealed {
    /// The stream as an honest satellite sends it.
    pub fn truly(&self) -> Vec<Step> {
        let mut steps = in_a_row(self.id, 0, &self.chunks);
        steps.push(Step::Ended(self.id, self.how.clone()));
        steps
    }

    /// The total length of its chunks.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}
