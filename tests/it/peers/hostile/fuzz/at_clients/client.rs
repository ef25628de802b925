//! A client's connection, seen from a hostile satellite.
//!
//! This module owns the framing, and detects when the client has processed a message. It sends only what
//! the caller hands in.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ServerConfig;
use skypipe_protocol::MAX_CHUNK;

use crate::peers::hostile::fuzz::line::Line;
use crate::peers::hostile::fuzz::words::{COMMAND, LONG, MORE, Version, frame};

/// The plaintext of writers. A satellite with keys must never see it.
pub const SECRET: &[u8] = b"not for the satellite";

/// The first bytes of a PING (RFC 37), and of its answer. Between the PING's first bytes and its context is
/// a time-to-live of zero.
const PING: &[u8] = b"\x04PING\0\0";
const PONG: &[u8] = b"\x04PONG";

pub struct Client {
    line: Line,
    is_private: bool,
    heard: Vec<u8>,
    /// Messages from the client that were not read yet.
    messages: VecDeque<Vec<Vec<u8>>>,
    parts: Vec<Vec<u8>>,
    pings: u32,
}

impl Client {
    pub fn of(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        Self {
            line: Line::of(stream, tls),
            is_private: tls.is_some(),
            heard: Vec::new(),
            messages: VecDeque::new(),
            parts: Vec::new(),
            pings: 0,
        }
    }

    pub fn say(&mut self, bytes: &[u8]) -> bool {
        self.line.write(bytes).is_ok()
    }

    /// Sends these bytes and checks that the client processes them. Returns whether it did, with the
    /// connection intact.
    pub fn takes(&mut self, mut bytes: Vec<u8>) -> bool {
        self.pings += 1;
        let context = self.pings.to_be_bytes();
        let ping = [PING, &context].concat();
        bytes.extend(frame(Version::V31, COMMAND, &ping));
        let answer = [PONG, &context].concat();
        self.say(&bytes) && self.hears(&answer)
    }

    /// Whether this command arrives. Earlier messages are kept.
    fn hears(&mut self, command: &[u8]) -> bool {
        while let Some((flags, payload)) = self.frame() {
            if flags & COMMAND != 0 {
                if payload == command {
                    return true;
                }
                continue;
            }
            self.parts.push(payload);
            if flags & MORE == 0 {
                self.messages.push_back(std::mem::take(&mut self.parts));
            }
        }
        false
    }

    /// The next message that arrived.
    pub fn message(&mut self) -> Option<Vec<Vec<u8>>> {
        self.messages.pop_front()
    }

    /// Waits for the next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.heard.len() < len {
            self.hear_more()?;
        }
        Some(self.heard.drain(..len).collect())
    }

    /// `None` when the client has closed the connection.
    fn hear_more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 << 10];
        match self.line.read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.heard.extend(&bytes[..count]);
                Some(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("the client stands still: it neither answers nor ends")
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let flags = self.take(1)?[0];
        let len = if flags & LONG == 0 {
            usize::from(self.take(1)?[0])
        } else {
            let len = self.take(8)?.try_into().expect("they are eight");
            usize::try_from(u64::from_be_bytes(len)).expect("it fits")
        };
        assert!(len <= MAX_CHUNK + (4 << 10), "our own client sends no more");
        let payload = self.take(len)?;
        let is_secret = payload.windows(SECRET.len()).any(|part| part == SECRET);
        assert!(!(self.is_private && is_secret), "a writer has told all");
        Some((flags, payload))
    }

    /// Sends these last bytes, which may break everything, and waits until the client has closed the
    /// connection.
    pub fn say_last(mut self, bytes: &[u8]) {
        if self.say(bytes) {
            self.ends();
        }
    }

    /// The same below TLS.
    pub fn say_last_below(mut self, bytes: &[u8]) {
        if self.line.write_below(bytes).is_ok() {
            self.ends();
        }
    }

    fn ends(mut self) {
        self.line.close();
        while self.hear_more().is_some() {
            self.heard.clear();
        }
    }

    /// Breaks the connection.
    pub fn break_off(self) {
        self.line.break_off();
    }
}
