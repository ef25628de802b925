//! The form of a record, and the lengths that follow from it.
//!
//! This module owns the positions of the fields and the iteration over records. It never seals or opens.
//! What it reads may come from anybody, and is only a claim until it has been opened.

use super::kem::Public;
use super::{Fault, Suite};

/// The most plaintext of a record. A full record has 3,840 bytes. With the 256 that the protocol counts for
/// each chunk, a chunk of one record costs 4,096: the credit that a satellite always gives.
pub const MOST_PLAIN: usize = 3776;

/// The bytes of a record besides its content: header and tag.
pub const OVERHEAD: usize = HEADER + TAG;

/// The most plaintext bytes of a packed record for each of its own bytes. What a listener must keep is thus
/// bounded by its credit, whatever was packed.
pub const MOST_RATIO: usize = 16;

/// The lengths of a record's header and tag, in bytes (the module has the form).
pub(super) const HEADER: usize = 48;
pub(super) const TAG: usize = 16;

/// The sealed length of this much plaintext, sealed in one call.
#[must_use]
pub fn sealed_len(plain: usize) -> usize {
    plain.saturating_add(plain.div_ceil(MOST_PLAIN).saturating_mul(OVERHEAD))
}

/// The most plaintext whose sealed form fits into this many bytes.
#[must_use]
pub fn plain_room(sealed: usize) -> usize {
    let (full, rest) = (
        sealed / (MOST_PLAIN + OVERHEAD),
        sealed % (MOST_PLAIN + OVERHEAD),
    );
    full * MOST_PLAIN + rest.saturating_sub(OVERHEAD)
}

/// The longest prefix of `wire` that consists of whole records and has at most `most` bytes. Returns its
/// length and its plaintext bytes, where all of `wire` has `plain` of them. For a writer that must resend
/// sealed bytes in smaller chunks.
#[must_use]
pub fn whole_records(wire: &[u8], plain: usize, most: usize) -> (usize, usize) {
    let (mut length, mut begin) = (0, None);
    for record in Records::of(wire).map_while(Result::ok) {
        let position = record.header.position;
        let begin = *begin.get_or_insert(position);
        if length + record.len() > most {
            return (length, plain_before(begin, position, plain));
        }
        length += record.len();
    }
    (length, if length == 0 { 0 } else { plain })
}

/// The plaintext bytes between two positions, as the headers claim them, limited to `most`.
fn plain_before(begin: u64, position: u64, most: usize) -> usize {
    usize::try_from(position.saturating_sub(begin)).map_or(most, |plain| plain.min(most))
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes = 0,
    End = 1,
    Packed = 2,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub suite: Suite,
    pub kind: Kind,
    /// The length of the content.
    pub length: u16,
    pub epoch: u32,
    pub position: u64,
    pub encapsulated: Public,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.suite as u8;
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.length.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_be_bytes());
        bytes[16..].copy_from_slice(&self.encapsulated);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, Fault> {
        let suite = bytes[0];
        let header = Self {
            suite: Suite::of(suite).ok_or(Fault::UnknownSuite { suite })?,
            kind: match bytes[1] {
                0 => Kind::Bytes,
                1 => Kind::End,
                2 => Kind::Packed,
                _ => return Err(Fault::Altered),
            },
            length: u16::from_be_bytes(field(bytes, 2)),
            epoch: u32::from_be_bytes(field(bytes, 4)),
            position: u64::from_be_bytes(field(bytes, 8)),
            encapsulated: field(bytes, 16),
        };
        let is_sound = match header.kind {
            Kind::Bytes | Kind::Packed => (1..=MOST_PLAIN).contains(&header.length.into()),
            Kind::End => header.length == 0,
        };
        if is_sound {
            Ok(header)
        } else {
            Err(Fault::Altered)
        }
    }

    /// The position behind this record, which has `plain` bytes of plaintext.
    pub(super) fn after(&self, plain: usize) -> Result<u64, Fault> {
        self.position
            .checked_add(plain as u64)
            .ok_or(Fault::Altered)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

/// A record inside a payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub header: Header,
    /// The header's bytes, which the seal authenticates.
    pub head: &'a [u8; HEADER],
    pub cipher: &'a [u8],
    pub tag: &'a [u8; TAG],
}

impl<'a> Record<'a> {
    /// Splits off the first record. Returns it and the bytes behind it.
    fn split_from(wire: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let (head, rest) = wire.split_first_chunk().ok_or(Fault::Altered)?;
        let header = Header::decode(head)?;
        let (cipher, rest) = rest
            .split_at_checked(header.length.into())
            .ok_or(Fault::Altered)?;
        let (tag, rest) = rest.split_first_chunk().ok_or(Fault::Altered)?;
        Ok((
            Self {
                header,
                head,
                cipher,
                tag,
            },
            rest,
        ))
    }

    pub(super) fn len(&self) -> usize {
        OVERHEAD + self.cipher.len()
    }
}

/// Iterates over the records of a payload, in order. It stops after a fault.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn of(wire: &'a [u8]) -> Self {
        Self { rest: wire }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        Some(Record::split_from(rest).map(|(record, rest)| {
            self.rest = rest;
            record
        }))
    }
}
