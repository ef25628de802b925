//! End-to-end encryption of a stream, from client to client.
//!
//! This module owns the form of a sealed stream: [`Sealer`] makes it, [`Opener`] checks and undoes it. It
//! never touches a socket, a file, a clock or the system's randomness. It never decides who may have which
//! keys: an [`Epoch`](crate::crypto::Epoch) comes from outside.
//!
//! # What it protects
//!
//! A satellite stores, splits, repeats and passes on a stream without being trusted. For a sealed stream:
//!
//! - Nobody can read the bytes without the reading key of its epoch. That includes the writer, once it has
//!   dropped its [`Sealer`].
//! - Nobody without the epoch's pre-shared key can make a stream that opens. Nor can anybody without it
//!   change, omit, repeat or move any bytes, or end the stream early, without a [`Fault`] at the listener.
//! - No part of it opens as part of another stream, another pipe or another epoch.
//!
//! # What it does not protect
//!
//! - Metadata: the names of pipes, the UUIDs of streams, who talks to whom, when, and how much. The length
//!   of every sealed piece is visible, and so is how well it was compressed.
//! - One holder of the pre-shared key from another: each of them, readers included, can write as any other.
//! - Data sealed before a reading key was lost: whoever finds the key can read all of its epoch.
//! - Whole streams: a satellite can withhold one, or replay it under its own UUID. It can also show a
//!   stream from a later byte on to a listener that accepts any beginning; a listener that knows its
//!   beginning calls [`Opener::due_at`]. A stream is whole only after its proof of the end was checked with
//!   [`Opener::end`]: without that check the satellite may have cut off the rest.
//!
//! # The form
//!
//! A sealed stream is a sequence of *records*. Each opens by itself, so that a listener can start at any of
//! them. Numbers are big-endian.
//!
//! | bytes    | content                                                                           |
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
//! The content of a record of bytes is the next bytes of the stream. The content of a packed record is a
//! zstd frame (RFC 8878) that holds at most [`MOST_RATIO`] bytes of the stream for each byte of the record;
//! a skippable frame may pad the record to reach that ratio. The positions show how well the bytes were
//! compressed.
//!
//! A writer makes one context for each stream and epoch, so that a listener normally decapsulates one key
//! for each stream.
//!
//! # Why no nonce is used twice
//!
//! A key belongs to one [`Sealer`], because the entropy that it is made of is fresh. A sealer counts the
//! position itself and only upwards. Each record of bytes has at least one byte, so the next record's
//! position is greater. The end's position is that of the first byte that does not exist. [`Sealer::end`]
//! consumes the sealer, so no record comes after it. Data that has to be sent again is sent as it was
//! sealed, and is never sealed again.

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

/// HPKE's `info`, which binds a key to one stream.
fn stream_info(stream: Uuid, pipe: &str) -> Vec<u8> {
    [
        b"skypipe stream 1\0",
        stream.as_bytes().as_slice(),
        pipe.as_bytes(),
    ]
    .concat()
}

/// HPKE's `exporter_context`, the purpose of the exported key.
const STREAM_KEY: &[u8] = b"skypipe stream key";
