//! The frames of SKYPIPE/0.1, the original protocol, which clients of 2012 speak.
//!
//! A satellite without keys serves it on the same socket. A client connects a DEALER. Every frame is raw
//! bytes. The first frame is `SKYPIPE/0.1`, the second the command's name; the rest depends on the command:
//!
//! | command | frames after it | direction |
//! | --- | --- | --- |
//! | `HELLO` | none | to the satellite as a ping, and back as its answer |
//! | `DATA` | pipe, bytes (an empty frame is the end of the stream) | both |
//! | `LISTEN` | pipe | to the satellite |
//! | `UNLISTEN` | pipe | to the satellite |
//!
//! The protocol has no acknowledgements, no sequence numbers and no errors. The satellite ignores a message
//! that it cannot read. What it sends counts as confirmed once ZeroMQ has taken it. A cut looks like an end.
//!
//! Pipe names need not be in Unicode's normal form NFC. The satellite normalizes them and answers a listener
//! in the listener's own spelling. `DATA` to a client carries at most [`MAX_PIECE`] bytes.
//!
//! This module owns the frames. What the satellite does with them is in [`super`].

use crate::protocol::name_fault;
use crate::text;

/// The first frame of every message.
pub const MAGIC: &[u8] = b"SKYPIPE/0.1";

/// The most payload bytes in one message to such a peer: 8 KiB. ZeroMQ bounds the queue of a slow peer by the
/// number of messages, so small messages keep that queue small.
pub const MAX_PIECE: usize = 8 << 10;

/// What a peer of the original protocol sends. The bytes of `DATA` stay in their frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A ping.
    Hello,
    /// Bytes for a pipe. No bytes are the end of the stream.
    Data {
        /// The pipe's name.
        pipe: String,
    },
    /// Listens to a pipe.
    Listen {
        /// The pipe's name.
        pipe: String,
        /// The name as the peer spells it.
        spelled: String,
    },
    /// Stops listening.
    Unlisten {
        /// The pipe's name.
        pipe: String,
    },
}

/// What the satellite sends to such a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Answers a ping.
    Hello,
    /// Bytes of a pipe, which follow in a frame of their own; an empty frame is the end.
    Data {
        /// The pipe's name.
        pipe: &'a str,
    },
}

impl Answer<'_> {
    /// The frames of the message, without the bytes of `DATA`.
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Hello => vec![MAGIC.to_vec(), b"HELLO".to_vec()],
            Self::Data { pipe } => {
                vec![MAGIC.to_vec(), b"DATA".to_vec(), pipe.as_bytes().to_vec()]
            }
        }
    }
}

/// Decodes the frames after [`MAGIC`]. The last frame of `DATA` is the payload.
///
/// Returns `None` for every message that this protocol does not have.
#[must_use]
pub fn decode(frames: &[&[u8]]) -> Option<Command> {
    let pipe = |frame: &[u8]| {
        let name = text::normal(std::str::from_utf8(frame).ok()?);
        name_fault(&name).is_none().then(|| name.into_owned())
    };
    match frames {
        [b"HELLO"] => Some(Command::Hello),
        [b"DATA", name, _payload] => Some(Command::Data { pipe: pipe(name)? }),
        [b"LISTEN", name] => Some(Command::Listen {
            pipe: pipe(name)?,
            spelled: std::str::from_utf8(name).ok()?.to_owned(),
        }),
        [b"UNLISTEN", name] => Some(Command::Unlisten { pipe: pipe(name)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_that_ended_the_original_server_is_ignored() {
        assert_eq!(decode(&[b"DATA", b"pipe"]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn data_has_a_pipe_and_a_payload() {
        let pipe = String::new();
        assert_eq!(
            decode(&[b"DATA", b"", b"bytes"]),
            Some(Command::Data { pipe })
        );
    }
}
