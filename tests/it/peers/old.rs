//! A client of SKYPIPE/0.1: a bare DEALER socket, like the original's.

use std::collections::VecDeque;

use skypipe_broker::v01::MAGIC;

use crate::common::Environment;
use crate::common::dealer::dealer;

/// A peer of the original protocol. Dropping it sends everything queued, and then vanishes without a
/// message.
pub struct Old {
    socket: zmq::Socket,
    /// Data that arrived while an answer was awaited.
    early: VecDeque<Data>,
}

type Data = (String, Vec<u8>);

impl Old {
    /// A peer connected to the environment's satellite.
    pub fn new(environment: &Environment) -> Self {
        Self::at(environment.on_port().endpoint())
    }

    pub fn at(endpoint: &str) -> Self {
        Self {
            socket: dealer(endpoint),
            early: VecDeque::new(),
        }
    }

    /// Sends these frames behind the first frame, which every message has.
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

    /// Writes a whole stream, with one message for each of the `lines`.
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

    /// Sends HELLO and waits for the answer. Then the satellite has read everything sent before.
    pub fn settle(&mut self) {
        self.send(&[b"HELLO"]);
        while let Some(data) = self.receive() {
            self.early.push_back(data);
        }
    }

    /// The next message if it is data. `None` for the answer to a HELLO.
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

    /// The next data: its pipe and its bytes, which are empty at the end.
    pub fn next(&mut self) -> Data {
        if let Some(data) = self.early.pop_front() {
            return data;
        }
        self.receive()
            .expect("data comes, not a HELLO that nobody asked for")
    }

    /// All bytes of `pipe` up to the end.
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

    /// Listens, and reads to the end.
    pub fn take(&mut self, pipe: &str) -> Vec<u8> {
        self.listen(pipe);
        self.read(pipe)
    }

    /// Whether no unread data has arrived. Anything that the satellite sent before its answer to a HELLO
    /// has arrived when the answer has.
    pub fn has_nothing(&mut self) -> bool {
        self.settle();
        self.early.is_empty()
    }
}
