//! Endless messages, as fast as the satellite accepts them.

use std::thread;

use bytes::Bytes;
use skypipe_protocol::{Finish, Hello, How, MAGIC, REVISION, Reply, Request, encode};
use skypipe_transport::frame::{self, Sent};
use uuid::Uuid;

use crate::common::Environment;
use crate::common::chance::Chance;
use crate::common::dealer::dealer;
use crate::common::wait::{PATIENCE, holds_within};
use crate::peers::new::understand;

/// The number of messages of each kind.
pub const MESSAGES: u64 = 100_000;

/// The number of peers that send them.
const PEERS: u64 = 2;

/// A generator for one kind of messages, from random numbers and a message's number.
pub struct Kind {
    pub name: &'static str,
    pub make: fn(&mut Chance, u64) -> Vec<Bytes>,
    /// The number of messages.
    pub count: u64,
}

impl Kind {
    pub const fn new(name: &'static str, make: fn(&mut Chance, u64) -> Vec<Bytes>) -> Self {
        Self {
            name,
            make,
            count: MESSAGES,
        }
    }
}

/// Floods the satellite with all `kinds`, one after the other. Returns when it has read everything.
pub fn flood(environment: &Environment, kinds: &[Kind]) {
    let endpoint = environment.on_port().endpoint();
    thread::scope(|scope| {
        for peer in 0..PEERS {
            scope.spawn(move || {
                let mut flooder = Flooder::at(endpoint, peer + 1);
                for kind in kinds {
                    flooder.flood(kind);
                }
            });
        }
    });
}

/// A peer that sends anything and discards what it receives.
pub struct Flooder {
    socket: zmq::Socket,
    chance: Chance,
}

impl Flooder {
    pub fn at(endpoint: &str, seed: u64) -> Self {
        Self {
            socket: dealer(endpoint),
            chance: Chance::new(seed),
        }
    }

    fn flood(&mut self, kind: &Kind) {
        for number in 0..kind.count / PEERS {
            let frames = (kind.make)(&mut self.chance, number);
            self.send(&frames);
        }
        assert!(
            holds_within(PATIENCE, || self.is_read()),
            "{} were read",
            kind.name
        );
    }

    /// Sends a message, and reads meanwhile, so that the satellite need not drop answers.
    pub fn send(&mut self, frames: &[Bytes]) {
        while frame::send(&mut self.socket, None, frames).expect("the socket works") != Sent::Taken
        {
            self.drain();
            let millis = PATIENCE.as_millis().try_into().expect("it is short");
            let ready = self.socket.poll(zmq::POLLOUT | zmq::POLLIN, millis);
            assert_ne!(ready, Ok(0), "the satellite takes messages");
        }
        self.drain();
    }

    fn drain(&self) {
        while self.socket.recv_multipart(zmq::DONTWAIT).is_ok() {}
    }

    /// Sends a question whose answer only this peer gets. Returns whether the answer has arrived: then
    /// everything sent before has been read.
    pub fn is_read(&mut self) -> bool {
        let (client, stream, program) = (Uuid::new_v4(), Uuid::new_v4(), String::new());
        self.send(&command(&Request::Hello(Hello {
            client,
            revision: REVISION,
            program,
        })));
        self.send(&command(&Request::Finish(Finish {
            stream,
            len: 0,
            how: How::End,
        })));
        while self.socket.poll(zmq::POLLIN, 200) == Ok(1) {
            let frames = self.socket.recv_multipart(0).expect("a message is there");
            if frames.first().is_some_and(|magic| magic == MAGIC)
                && let (Reply::Error { about, .. }, _) = understand(frames)
                && about == Some(stream)
            {
                self.send(&command(&Request::Bye));
                return true;
            }
        }
        false
    }
}

/// The frames of a request.
pub fn command(request: &Request) -> Vec<Bytes> {
    vec![Bytes::from_static(MAGIC), Bytes::from(encode(request))]
}
