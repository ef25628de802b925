//! SKYPIPE/0.1: the original protocol, which clients of 2012 speak.
//!
//! Multipart messages of raw frames: `SKYPIPE/0.1`, a command's name, then by command
//!
//! | command | frames after it | direction |
//! | --- | --- | --- |
//! | `HELLO` | – | both: a ping and its answer |
//! | `DATA` | pipe, bytes (an empty frame is the end) | both |
//! | `LISTEN` | pipe | to the satellite |
//! | `UNLISTEN` | pipe | to the satellite |
//!
//! It has no acknowledgements and no numbers; what the satellite promises such a peer is said in
//! [`crate::broker`]. This module owns the frames and nothing else.
//!
//! The original knew no normal form of names, and has no errors to be told of one: names are brought
//! into it here, and a listener is answered in its own spelling.

use super::name_fault;
use crate::text;

/// The first frame of every message.
pub const MAGIC: &[u8] = b"SKYPIPE/0.1";

/// The most payload bytes in one message to such a peer. ZeroMQ queues what a slow peer does not
/// read, by number of messages; small ones keep that queue small.
pub const MAX_PIECE: usize = 8 << 10;

/// What a peer of the original protocol says; `DATA`'s bytes stay in their frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A ping.
    Hello,
    /// Bytes for a pipe, or its end if there are none.
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

/// What goes to such a peer.
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

/// Decodes the frames behind [`MAGIC`]. For `DATA` the fourth frame is the payload.
///
/// Nothing comes back for a message that this protocol does not have; the original had no errors
/// to answer it with.
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
