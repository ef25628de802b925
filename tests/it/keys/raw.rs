//! Clients that are not our program: a bare DEALER with arbitrary keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::{Seed, SigningPair};
use skypipe_protocol::token::Token;
use skypipe_protocol::{
    Code, Data, Hello, MAGIC, NewKey, PublicKey, REVISION, Reply, Request, Rights, decode, encode,
};
use skypipe_transport::frame::end_monitor;
use skypipe_transport::tls::{Ending, Layer};
use uuid::Uuid;
use zmq::SocketEvent;

use crate::common::dealer::CONTEXT;
use crate::common::wait::PATIENCE;

/// The right to read only.
pub const READ: Rights = Rights {
    read: true,
    write: false,
    manage: false,
};

/// The right to write only.
pub const WRITE: Rights = Rights {
    read: false,
    write: true,
    manage: false,
};

/// The monitor events of a connection.
const EVENTS: [SocketEvent; 4] = [
    SocketEvent::HANDSHAKE_SUCCEEDED,
    SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
    SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
    SocketEvent::DISCONNECTED,
];

/// A satellite's endpoint and key.
#[derive(Debug, Clone)]
pub struct There {
    /// The endpoint: `tcp://` and so on.
    pub endpoint: String,
    /// The satellite's public key.
    pub satellite: [u8; 32],
}

impl There {
    /// The satellite in an invitation.
    pub fn of(token: &Token) -> Self {
        Self {
            endpoint: format!("tcp://{}", token.address),
            satellite: token.satellite,
        }
    }
}

/// A distinct seed for each number.
pub fn seed(number: u8) -> Seed {
    Seed::new(Secret::copy_of(&[number; 32]))
}

/// A key for the holder of `seed`, as managers make it.
pub fn new_key(name: &str, seed: &Seed, rights: Rights, pipes: &[&str]) -> NewKey {
    NewKey {
        name: name.to_owned(),
        public: PublicKey(seed.identity().public),
        encryption: PublicKey(seed.encryption().public),
        rights,
        pipes: pipes.iter().map(|&pipe| pipe.to_owned()).collect(),
        expires: None,
        quota: None,
        epoch: 0,
        sealed_keyring: None,
        attestation: None,
    }
}

/// A reply as one word: its name, or the code of a refusal.
pub fn word(reply: &Reply) -> String {
    let text = match reply {
        Reply::Error { code, .. } => format!("{code:?}"),
        reply => format!("{reply:?}"),
    };
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// A DEALER and its monitor.
pub struct Raw {
    socket: zmq::Socket,
    monitor: zmq::Socket,
    /// The TLS layer of its connection.
    _layer: Option<Layer>,
    /// Its client UUID.
    pub client: Uuid,
}

impl Drop for Raw {
    /// Ends the monitor first. Otherwise libzmq's thread, which serves all connections of this process, may
    /// wait for ever for a listener that is gone.
    fn drop(&mut self) {
        end_monitor(&mut self.socket);
    }
}

impl Raw {
    /// A client that has sent nothing. Without an identity it does not use TLS.
    pub fn stranger(there: &There, identity: Option<&SigningPair>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let mut socket = CONTEXT.socket(zmq::DEALER).expect("there are sockets left");
        let patience = PATIENCE.as_millis().try_into().expect("it is short");
        socket.set_rcvtimeo(patience).expect("it is a time");
        socket.set_linger(0).expect("it is a time");
        socket
            .set_ipv6(there.endpoint.contains('['))
            .expect("there is IPv6");
        let layer = identity.map(|identity| {
            let layer = Layer::client(identity, there.satellite).expect("good keys");
            layer.cover(&mut socket).expect("libzmq has a record layer");
            layer
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let address = format!("inproc://keys-{number}");
        let events = EVENTS.map(|event| i32::from(event.to_raw())).iter().sum();
        socket.monitor(&address, events).expect("it is an address");
        let monitor = CONTEXT.socket(zmq::PAIR).expect("there are sockets left");
        monitor.set_rcvtimeo(patience).expect("it is a time");
        monitor.connect(&address).expect("the monitor is there");
        socket.connect(&there.endpoint).expect("it is an endpoint");
        let client = Uuid::new_v4();
        Self {
            socket,
            monitor,
            _layer: layer,
            client,
        }
    }

    /// A client that has been welcomed.
    pub fn at(there: &There, seed: &Seed) -> Self {
        Self::named(there, seed, Uuid::new_v4())
    }

    /// The same, with this client UUID.
    pub fn named(there: &There, seed: &Seed, client: Uuid) -> Self {
        let mut raw = Self::stranger(there, Some(&seed.identity()));
        raw.client = client;
        raw.say(&raw.hello());
        let reply = raw.hear();
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
        raw
    }

    /// Its `Hello`.
    pub fn hello(&self) -> Request {
        Request::Hello(Hello {
            client: self.client,
            revision: REVISION,
            program: "a test".to_owned(),
        })
    }

    /// Sends a request, with a payload if it has one.
    pub fn say(&self, request: &Request) {
        let command = encode(request);
        if matches!(request, Request::Data(Data { .. })) {
            self.send(&[MAGIC, &command, b"line\n"]);
        } else {
            self.send(&[MAGIC, &command]);
        }
    }

    /// Sends any message.
    pub fn send(&self, frames: &[&[u8]]) {
        let sent = self.socket.send_multipart(frames, 0);
        sent.expect("a queue without a limit takes all");
    }

    /// Waits for the next reply.
    pub fn hear(&self) -> Reply {
        self.hear_with_payload().0
    }

    /// Waits for the next reply, with the payload of a chunk.
    pub fn hear_with_payload(&self) -> (Reply, Option<Vec<u8>>) {
        let frames = self.socket.recv_multipart(0).expect("a reply comes");
        (understand(&frames), frames.into_iter().nth(2))
    }

    /// Waits for the next reply of this name, and drops others.
    pub fn hear_word(&self, wanted: &str) -> Reply {
        loop {
            let reply = self.hear();
            if word(&reply) == wanted {
                return reply;
            }
            assert!(!matches!(reply, Reply::Error { .. }), "{reply:?}");
        }
    }

    /// A reply that has arrived already.
    pub fn heard(&self) -> Option<Reply> {
        let frames = self.socket.recv_multipart(zmq::DONTWAIT).ok()?;
        Some(understand(&frames))
    }

    /// Sends a request, and returns all replies to it: those that arrive before the answers to two further
    /// questions, asked one after the other. The second of these answers comes after anything that the
    /// satellite had to write to disk.
    pub fn ask(&self, request: &Request) -> Vec<Reply> {
        self.say(request);
        let mut replies = Vec::new();
        for _ in 0..2 {
            self.say(&Request::Ping);
            loop {
                match self.hear() {
                    Reply::Pong => break,
                    reply => replies.push(reply),
                }
            }
        }
        replies
    }

    /// The only reply to a request that has one.
    #[track_caller]
    pub fn answer(&self, request: &Request) -> Reply {
        let mut replies = self.ask(request);
        assert_eq!(replies.len(), 1, "{request:?}: {replies:?}");
        replies.remove(0)
    }

    /// Checks that a request is refused for this reason and has no other reply.
    #[track_caller]
    pub fn is_refused(&self, request: &Request, code: Code) -> String {
        match self.answer(request) {
            Reply::Error {
                code: c, message, ..
            } if c == code => message,
            reply => panic!("{request:?}: {reply:?}"),
        }
    }

    /// The next monitor event, and its value.
    fn event(&self) -> (SocketEvent, u32) {
        let frames = self.monitor.recv_multipart(0).expect("something happens");
        let (number, value) = frames[0].split_first_chunk().expect("an event has both");
        let value = value.first_chunk().expect("an event has a value");
        let event = SocketEvent::from_raw(u16::from_ne_bytes(*number));
        (event, u32::from_ne_bytes(*value))
    }

    /// If the connection is refused before any answer: the TLS failure.
    pub fn is_shut_out(&self) -> Option<Ending> {
        let (event, value) = self.event();
        assert_ne!(event, SocketEvent::HANDSHAKE_SUCCEEDED);
        let ready = self.socket.poll(zmq::POLLIN, 0).expect("it can be polled");
        assert_eq!(ready, 0, "something was answered");
        Ending::of(value)
    }
}

fn understand(frames: &[Vec<u8>]) -> Reply {
    assert_eq!(frames[0], MAGIC);
    decode(&frames[1]).expect("the satellite makes sense")
}
