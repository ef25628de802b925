//! Who may connect: the answers to libzmq's questions about each connection that proves a key.
//!
//! Owns the socket on which libzmq asks (RFC 27, "ZAP") and the form of questions and answers. It
//! never knows a key: whether one is let in is the broker's decision, once for each connection.
//!
//! libzmq asks when a client has proved that it holds the secret half of its key, and keeps the
//! connection waiting for the answer, at most until the time for handshakes is over. A question whose
//! connection has ended meanwhile is answered like any other, and libzmq drops the answer.

use std::io;

use bytes::Bytes;
use zmq::{Context, PollItem, Socket};

use crate::frame;
use crate::keys::KeyId;

/// Where libzmq asks, in the context of the socket that is connected to.
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// What the satellite calls itself in its questions. They come only from sockets that have a name.
pub(super) const DOMAIN: &str = "skypipe";

/// The questions answered in one round of the loop, so that a flood of connections does not keep
/// messages waiting.
const BATCH: usize = 64;

/// The frames of a question, behind the routing id: an empty one, the version, the question's
/// number, the domain, the address, the routing id, the mechanism and the public key. One more is
/// received, so that a question with too many is known.
const FRAMES: usize = 8;

/// The version of the questions and of the answers.
const VERSION: &[u8] = b"1.0";

/// The socket on which libzmq asks.
pub(super) struct Admission(Socket);

impl Admission {
    /// Makes ready to be asked, which has to be before anybody can connect.
    pub(super) fn open(context: &Context) -> io::Result<Self> {
        let mut socket = context.socket(zmq::ROUTER)?;
        socket.set_linger(0)?;
        frame::bind(&mut socket, ENDPOINT)?;
        Ok(Self(socket))
    }

    /// Answers some of the questions that have come; `admit` gives the number of a public key that
    /// is let in. Those left over keep [`Admission::poll_item`] ready.
    pub(super) fn answer(
        &mut self,
        admit: &mut dyn FnMut(&[u8; 32]) -> Option<KeyId>,
    ) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(question) = frame::receive(&self.0, 1 + FRAMES + 1)? else {
                break;
            };
            if let [asker, question @ ..] = &question[..]
                && let Some(answer) = answer(question, admit)
            {
                // Who has given up meanwhile cannot be told, and that is all right.
                let _ = frame::send(&mut self.0, Some(asker), &answer)?;
            }
        }
        Ok(())
    }

    /// What to wait for.
    pub(super) fn poll_item(&self) -> PollItem<'_> {
        self.0.as_poll_item(zmq::POLLIN)
    }
}

/// What libzmq is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The connection is this key's.
    Welcome(KeyId),
    /// The satellite does not know the key, or no longer.
    Stranger,
    /// The question makes no sense.
    Senseless,
}

/// The answer to a `question` that has a number, which is what an answer needs.
fn answer(
    question: &[Bytes],
    admit: &mut dyn FnMut(&[u8; 32]) -> Option<KeyId>,
) -> Option<[Bytes; 7]> {
    let number = question.get(2)?.clone();
    let verdict = match public_key(question) {
        None => Verdict::Senseless,
        Some(public) => admit(public).map_or(Verdict::Stranger, Verdict::Welcome),
    };
    let (code, text, user) = match verdict {
        Verdict::Welcome(key) => ("200", "OK", key.0.to_string()),
        Verdict::Stranger => ("400", "the key is not known", String::new()),
        Verdict::Senseless => ("500", "the question is not understood", String::new()),
    };
    Some([
        Bytes::new(),
        Bytes::from_static(VERSION),
        number,
        Bytes::from_static(code.as_bytes()),
        Bytes::from_static(text.as_bytes()),
        user.into(),
        Bytes::new(),
    ])
}

/// The key that a well-formed `question` is about.
fn public_key(question: &[Bytes]) -> Option<&[u8; 32]> {
    let [
        delimiter,
        version,
        _number,
        domain,
        _address,
        _route,
        mechanism,
        public,
    ] = question
    else {
        return None;
    };
    let is_ours = delimiter.is_empty()
        && version == VERSION
        && domain == DOMAIN.as_bytes()
        && mechanism == &b"CURVE"[..];
    <&[u8; 32]>::try_from(&public[..]).ok().filter(|_| is_ours)
}

#[cfg(test)]
mod tests;
