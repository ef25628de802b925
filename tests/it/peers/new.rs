//! A client of SKYPIPE/1 without our program: a bare DEALER socket that sends what the test likes.

use std::time::Duration;

use skypipe_protocol::{
    Code, Confirm, Data, Finish, Hello, How, Listen, MAGIC, Mode, Open, REVISION, Reply, Request,
    cost, decode, encode,
};
use uuid::Uuid;

use crate::common::dealer::dealer;
use crate::common::wait::until;

/// A reply, with the payload of a chunk.
pub type Heard = (Reply, Option<Vec<u8>>);

pub struct New {
    pub socket: zmq::Socket,
}

impl New {
    /// A client that has not sent anything yet.
    pub fn stranger(endpoint: &str) -> Self {
        Self {
            socket: dealer(endpoint),
        }
    }

    /// A client that has been welcomed.
    pub fn at(endpoint: &str) -> Self {
        let new = Self::stranger(endpoint);
        new.hello();
        new
    }

    /// The same, where the satellite may still count a client that has just gone, and has no room beside it.
    pub fn when_there_is_room(endpoint: &str) -> Self {
        let mut client = None;
        until("there is room for a client", || {
            let new = Self::stranger(endpoint);
            let reply = new.greeted();
            assert!(
                matches!(
                    reply,
                    Reply::Welcome { .. }
                        | Reply::Error {
                            code: Code::Limit,
                            ..
                        }
                ),
                "{reply:?}"
            );
            client = Some(new).filter(|_| matches!(reply, Reply::Welcome { .. }));
            client.is_some()
        });
        client.expect("there was room")
    }

    fn hello(&self) {
        let reply = self.greeted();
        assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    }

    /// The answer to `Hello`.
    fn greeted(&self) -> Reply {
        let (client, program) = (Uuid::new_v4(), "a test".to_owned());
        self.say(&Request::Hello(Hello {
            client,
            revision: REVISION,
            program,
        }));
        self.hear().0
    }

    pub fn say(&self, request: &Request) {
        self.send(&[MAGIC, &encode(request)]);
    }

    pub fn send(&self, frames: &[&[u8]]) {
        self.socket
            .send_multipart(frames, 0)
            .expect("the satellite takes messages");
    }

    pub fn data(&self, stream: Uuid, at: u64, bytes: &[u8]) {
        let data = Request::Data(Data {
            stream,
            at,
            tail: 0,
            requested: 0,
        });
        self.send(&[MAGIC, &encode(&data), bytes]);
    }

    pub fn open(&self, stream: Uuid, pipe: &str) {
        let (pipe, label) = (pipe.to_owned(), "a test".to_owned());
        self.say(&Request::Open(Open {
            stream,
            pipe,
            from: 0,
            resume: false,
            wait: false,
            whole: false,
            label,
        }));
    }

    pub fn hear(&self) -> Heard {
        understand(self.socket.recv_multipart(0).expect("a reply comes"))
    }

    /// Waits up to `time` for the next reply.
    pub fn hear_within(&self, time: Duration) -> Option<Heard> {
        let millis = time.as_millis().try_into().expect("it is short");
        let events = self
            .socket
            .poll(zmq::POLLIN, millis)
            .expect("it can be polled");
        (events > 0).then(|| self.hear())
    }

    /// Checks that a line passes through `pipe`, written and read by this client, in as few steps as
    /// possible.
    pub fn pipe_works(&self, pipe: &str) {
        let (stream, listener) = (Uuid::new_v4(), Uuid::new_v4());
        let text = stream.to_string();
        self.open(stream, pipe);
        self.data(stream, 0, text.as_bytes());
        self.say(&Request::Finish(Finish {
            stream,
            len: text.len() as u64,
            how: How::End,
        }));
        self.hear_until(|reply| matches!(reply, Reply::Finished { .. }));
        self.say(&Request::Close { stream });
        let (pipe, mode, window) = (pipe.to_owned(), Mode::Default, cost(text.len()));
        self.say(&Request::Listen(Listen {
            listener,
            pipe,
            mode,
            window,
            resume: None,
        }));
        let (_, payload) = self.hear_until(|reply| matches!(reply, Reply::Chunk { .. }));
        assert_eq!(payload.as_deref(), Some(text.as_bytes()));
        self.hear_until(|reply| matches!(reply, Reply::Done { seq: 2, .. }));
        self.say(&Request::Confirm(Confirm {
            listener,
            next_seq: 3,
            window,
        }));
        self.hear_until(|reply| matches!(reply, Reply::Closed { .. }));
    }

    /// Waits for the first reply that is `wanted`. A refusal fails the test.
    pub fn hear_until(&self, wanted: impl Fn(&Reply) -> bool) -> Heard {
        loop {
            let heard = self.hear();
            assert!(!matches!(heard.0, Reply::Error { .. }), "{heard:?}");
            if wanted(&heard.0) {
                return heard;
            }
        }
    }
}

pub fn understand(frames: Vec<Vec<u8>>) -> Heard {
    assert_eq!(frames[0], MAGIC);
    let reply = decode(&frames[1]).expect("the satellite makes sense");
    (reply, frames.into_iter().nth(2))
}
