//! A client of SKYPIPE/0.1: a bare DEALER socket, like the original's.

use std::collections::VecDeque;

use skypipe_broker::protocol::v01::MAGIC;

use crate::common::Environment;
use crate::common::dealer::dealer;

/// A peer of the original protocol. To drop it is to vanish, once all that it said has left.
pub struct Old {
    socket: zmq::Socket,
    /// Data that came while an answer was waited for.
    early: VecDeque<Data>,
}

type Data = (String, Vec<u8>);

impl Old {
    /// One that speaks to the environment's satellite.
    pub fn new(environment: &Environment) -> Self {
        Self::at(environment.on_port().endpoint())
    }

    pub fn at(endpoint: &str) -> Self {
        Self {
            socket: dealer(endpoint),
            early: VecDeque::new(),
        }
    }

    /// Sends these frames behind the first one of every message.
    pub fn send(&self, frames: &[&[u8]]) {
        let frames = std::iter::once(MAGIC).chain(frames.iter().copied());
        self.socket
            .send_multipart(frames, 0)
            .expect("the satellite takes messages");
    }

    pub fn data(&self, pipe: &str, bytes: impl AsRef<[u8]>) {
        assert!(!bytes.as_ref().is_empty(), "that would be the end");
        self.send(&[b"DATA", pipe.as_bytes(), bytes.as_ref()]);
    }

    pub fn end(&self, pipe: &str) {
        self.send(&[b"DATA", pipe.as_bytes(), b""]);
    }

    /// A whole stream, a message for each of the `lines`.
    pub fn write(&self, pipe: &str, lines: &[Vec<u8>]) {
        for line in lines {
            self.data(pipe, line);
        }
        self.end(pipe);
    }

    pub fn listen(&self, pipe: &str) {
        self.send(&[b"LISTEN", pipe.as_bytes()]);
    }

    pub fn unlisten(&self, pipe: &str) {
        self.send(&[b"UNLISTEN", pipe.as_bytes()]);
    }

    /// Says HELLO and waits for the answer: the satellite has then read all that was said before.
    pub fn settle(&mut self) {
        self.send(&[b"HELLO"]);
        while let Some(data) = self.receive() {
            self.early.push_back(data);
        }
    }

    /// The next message if it is data; nothing if it is the answer to a HELLO.
    fn receive(&mut self) -> Option<Data> {
        let frames = self.socket.recv_multipart(0).expect("a message comes");
        let slices: Vec<_> = frames.iter().map(Vec::as_slice).collect();
        match slices[..] {
            [MAGIC, b"HELLO"] => None,
            [MAGIC, b"DATA", pipe, bytes] => {
                let pipe = String::from_utf8(pipe.to_vec()).expect("a name is UTF-8");
                Some((pipe, bytes.to_vec()))
            }
            _ => panic!("a 0.1 client knows no such message: {frames:?}"),
        }
    }

    /// The next data: its pipe and its bytes, none of them at the end.
    pub fn next(&mut self) -> Data {
        if let Some(data) = self.early.pop_front() {
            return data;
        }
        self.receive()
            .expect("data comes, not a HELLO that nobody asked for")
    }

    /// All the bytes of `pipe` up to the end.
    pub fn read(&mut self, pipe: &str) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (from, bytes) = self.next();
            assert_eq!(from, pipe);
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    /// Listens and reads to the end.
    pub fn take(&mut self, pipe: &str) -> Vec<u8> {
        self.listen(pipe);
        self.read(pipe)
    }

    /// Whether nothing has come that was not read. What the satellite had sent before it answers a
    /// HELLO has come when the answer is here.
    pub fn has_nothing(&mut self) -> bool {
        self.settle();
        self.early.is_empty()
    }
}
