//! The writer's side: bytes become records.
//!
//! This module owns the count of sealed bytes, which keeps nonces unique. It never seals anything twice:
//! the sender keeps sealed bytes if they may have to be sent again.

use bytes::Bytes;
use uuid::Uuid;

use super::kem::BadKey;
use super::packer::{Packer, line_end};
use super::record::{Header, Kind, MOST_PLAIN, OVERHEAD};
use super::suite::Key;
use super::{Suite, sealed_len};
use crate::crypto::Epoch;
use skypipe_protocol::secret::Secret;

/// Seals one stream for one epoch, in order. It cannot be cloned, because two copies would use a nonce
/// twice.
#[derive(Debug)]
pub struct Sealer {
    key: Key,
    /// The header of the next record. Fields that differ between records are set for each.
    header: Header,
}

impl Sealer {
    /// Starts at the stream's byte `position`: 0, or where the sealer of the previous epoch stopped.
    /// `entropy` must be 32 random bytes that are never used for anything else: two sealers with the same
    /// entropy would have the same key.
    ///
    /// # Errors
    ///
    /// When the epoch's public key is unusable, or the pipe's name absurdly long.
    pub fn new(
        epoch: &Epoch,
        entropy: &Secret,
        stream: Uuid,
        pipe: &str,
        position: u64,
        suite: Suite,
    ) -> Result<Self, BadKey> {
        let (encapsulated, key) = epoch.agree(stream, pipe, entropy)?;
        Ok(Self {
            key: Key::new(suite, &key),
            header: Header {
                suite,
                kind: Kind::Bytes,
                length: 0,
                epoch: epoch.number,
                position,
                encapsulated,
            },
        })
    }

    /// The number of the epoch that it seals for.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.header.epoch
    }

    /// How many bytes of the stream have been sealed, including those before this sealer.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.header.position
    }

    /// Seals the stream's next bytes into whole records: [`sealed_len`] bytes, each record but the last a
    /// full one. No bytes give no record.
    ///
    /// # Panics
    ///
    /// When the stream has 2⁶⁴ bytes.
    #[must_use = "these bytes cannot be sealed again"]
    pub fn seal(&mut self, plain: &[u8]) -> Bytes {
        let mut wire = Vec::with_capacity(sealed_len(plain.len()));
        for piece in plain.chunks(MOST_PLAIN) {
            self.seal_one(Kind::Bytes, piece, piece.len(), &mut wire);
        }
        wire.into()
    }

    /// Seals the stream's next bytes into records and appends them to `wire`, up to `most` bytes in all.
    /// Records that shrink are packed. A record ends with a line where it can. Returns how many bytes were
    /// sealed.
    pub fn seal_packed(
        &mut self,
        packer: &mut Packer,
        plain: &[u8],
        most: usize,
        wire: &mut Vec<u8>,
    ) -> usize {
        let mut done = 0;
        while done < plain.len() {
            let rest = &plain[done..];
            let room = most.saturating_sub(wire.len() + OVERHEAD).min(MOST_PLAIN);
            if room < MOST_PLAIN.min(rest.len()) {
                break;
            }
            if let Some((length, packed)) = packer.pack(rest, room) {
                self.seal_one(Kind::Packed, packed, length, wire);
                done += length;
                continue;
            }
            let is_last = most < wire.len() + 2 * (OVERHEAD + MOST_PLAIN);
            let mut length = room.min(rest.len());
            if is_last && length < rest.len() {
                length = line_end(&rest[..length]);
            }
            self.seal_one(Kind::Bytes, &rest[..length], length, wire);
            done += length;
        }
        done
    }

    /// Seals one record, whose content stands for the stream's next `plain` bytes.
    pub(super) fn seal_one(
        &mut self,
        kind: Kind,
        content: &[u8],
        plain: usize,
        wire: &mut Vec<u8>,
    ) {
        let length = u16::try_from(content.len()).expect("a record has at most MOST_PLAIN");
        let header = Header {
            kind,
            length,
            ..self.header
        };
        let after = header.after(plain).ok();
        self.header.position = after.expect("no stream has 2^64 bytes");
        self.push(&header, content, wire);
    }

    /// The proof of the end: [`OVERHEAD`] bytes. Nothing can be sealed after it.
    #[must_use]
    pub fn end(self) -> Bytes {
        let mut wire = Vec::with_capacity(OVERHEAD);
        self.push(
            &Header {
                kind: Kind::End,
                ..self.header
            },
            &[],
            &mut wire,
        );
        wire.into()
    }

    fn push(&self, header: &Header, piece: &[u8], wire: &mut Vec<u8>) {
        let head = header.encode();
        wire.extend_from_slice(&head);
        let start = wire.len();
        wire.extend_from_slice(piece);
        let tag = self.key.seal(header.position, &head, &mut wire[start..]);
        wire.extend_from_slice(&tag);
    }
}
