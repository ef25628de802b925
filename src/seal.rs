//! Seals a stream of bytes from client to client.
//!
//! Owns the form of a sealed stream: [`Sealer`] makes it, [`Opener`] checks and undoes it. Never
//! touches a socket, a file, a clock or the system's randomness, and never decides who may have
//! which keys: an [`Epoch`](crate::keys::Epoch) comes from outside.
//!
//! # What it protects
//!
//! A satellite keeps, cuts, repeats and hands on a stream without being trusted. Of a sealed stream
//!
//! - nobody learns the bytes who has not the reading key of its epoch, the writer included once it
//!   has forgotten its [`Sealer`];
//! - nobody without the epoch's pre-shared key can make a stream that opens, or change, leave out,
//!   repeat or move any of its bytes, or end it early, without a [`Fault`] where it is opened;
//! - nothing of it opens as a part of another stream, another pipe or another epoch.
//!
//! # What it does not protect
//!
//! - The names of pipes, the UUIDs of streams, who talks to whom, when, and how much: the length of
//!   every piece that was sealed is open to view, and how short it was packed.
//! - One holder of the pre-shared key from another: each of them can write as each, readers too.
//! - What was sealed before a reading key was lost: whoever finds the key reads all of its epoch.
//! - Whole streams: a satellite can withhold one, or show it again under its own UUID. It can also
//!   show a stream from a later byte on to a listener that takes any beginning; one that knows where
//!   it begins says so with [`Opener::due_at`]. A stream is whole only when its proof of the end was
//!   checked with [`Opener::end`]: without it the satellite may have cut off the rest.
//!
//! # The form
//!
//! A sealed stream is a sequence of *records*. Each opens by itself, so that a listener can begin at
//! any of them. Numbers are big-endian.
//!
//! | bytes    | what                                                                              |
//! | -------- | --------------------------------------------------------------------------------- |
//! | 0        | suite: 1 is AES-256-GCM, 2 is ChaCha20-Poly1305                                    |
//! | 1        | kind: 0 is bytes, 1 is the end, 2 is packed bytes                                  |
//! | 2..4     | length of the content: 1 to [`MOST_PLAIN`] for bytes, packed or not, 0 for the end |
//! | 4..8     | epoch: the number of the reading key                                               |
//! | 8..16    | position: the plaintext bytes of the stream before this record; at the end, all    |
//! | 16..48   | HPKE's encapsulated key                                                            |
//! | 48..     | the ciphertext, as long as the content                                             |
//! | then 16  | the tag                                                                            |
//!
//! The first 48 bytes are the additional data of the record's seal. Its nonce is four zero bytes
//! and the position. Its key is exported, with the context `skypipe stream key` and a length of 32,
//! from an HPKE context (RFC 9180) of these parts:
//!
//! - mode PSK, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only;
//! - `info`: `skypipe stream 1`, a zero byte, the 16 bytes of the stream's UUID, the pipe's name;
//! - `psk`: the epoch's 32 bytes; `psk_id`: `skypipe epoch` and the epoch's number in 4 bytes.
//!
//! The content of a record of bytes is the next bytes of the stream. That of a packed one is a frame of
//! zstd (RFC 8878) with at most [`MOST_RATIO`] bytes of the stream for each byte of the record, which a
//! frame to be skipped may fill up. How well bytes shrink can be seen in the positions.
//!
//! A writer makes one context for a stream and an epoch, so that as a rule a listener decapsulates
//! one key for a stream.
//!
//! # Why no nonce is used twice
//!
//! A key belongs to one [`Sealer`], as the entropy that it is made of is fresh. A sealer counts the
//! position itself and only upwards. Each record of bytes has at least one byte, so the next one's
//! position is greater; the end's position is that of the first byte that does not exist, and
//! [`Sealer::end`] consumes the sealer, so that no record comes after it. What has to be sent again
//! is sent as it was sealed, never sealed again.

mod epoch;
mod fault;
pub mod kem;
mod opener;
mod order;
mod packer;
mod record;
mod sealer;
mod suite;

#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use kem::BadKey;
pub use opener::{Ended, Opened, Opener};
pub use order::Order;
pub use packer::Packer;
pub use record::{MOST_PLAIN, MOST_RATIO, OVERHEAD, plain_room, sealed_len, whole_records};
pub use sealer::Sealer;
pub use suite::Suite;

use uuid::Uuid;

/// The stream that a key belongs to, as HPKE's `info`.
fn stream_info(stream: Uuid, pipe: &str) -> Vec<u8> {
    [
        b"skypipe stream 1\0",
        stream.as_bytes().as_slice(),
        pipe.as_bytes(),
    ]
    .concat()
}

/// The use that a key is exported for, as HPKE's `exporter_context`.
const STREAM_KEY: &[u8] = b"skypipe stream key";
