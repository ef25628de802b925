//! The form of what lies in the files: file headers, entry headers, and their checksums.
//!
//! Pure: it turns values into bytes and back, and never touches a file.
//!
//! ```text
//! file header   "SKYPIPEL" or "SKYPIPES"   version u32   crc of the twelve bytes u32
//! entry         kind [u8; 4]   length of body u32   crc of body u32   (chunk: key, at, tail, arrival,
//!               each u64)   crc of the header u32   body
//! ```
//!
//! All numbers are little-endian. A header has a checksum of its own, so that a damaged payload does
//! not cost the entries behind it. That checksum also covers the entry's place: bytes of a payload
//! that happen to look like an entry, because somebody sent a log file through a pipe, are never
//! taken for one when the log is searched for its next whole entry.

use crate::store::{Mark, StreamKey};

/// The version of the form that is written, and the newest that can be read.
pub const VERSION: u32 = 1;

/// The length of a file header.
pub const FILE_HEADER: usize = 16;

/// The length of an entry header of every kind but a chunk's.
pub const SHORT: usize = 16;

/// The length of a chunk's entry header.
pub const LONG: usize = 48;

/// No body is longer than this; whatever says so is damaged.
pub const MAX_BODY: usize = 16 << 20;

/// The first byte of every entry, which occurs in no UTF-8 text at a character's beginning.
pub const FIRST: u8 = 0xA5;

const RECORD: [u8; 4] = *b"\xA5rec";
const CHUNK: [u8; 4] = *b"\xA5chk";
const MARK: [u8; 4] = *b"\xA5syn";
const END: [u8; 4] = *b"\xA5end";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A segment of the log.
    Log,
    /// The records that were valid when a segment began.
    State,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Log => *b"SKYPIPEL",
            Self::State => *b"SKYPIPES",
        }
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHeader {
    /// The file can be read.
    Known,
    /// It was written by a later program, in this version of the form.
    Newer(u32),
    /// They are damaged, or were never wholly written.
    Damaged,
}

/// The first bytes of a file.
#[must_use]
pub fn file_header(kind: FileKind) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    bytes[..8].copy_from_slice(&kind.magic());
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the first bytes of a file.
#[must_use]
pub fn read_file_header(kind: FileKind, bytes: &[u8]) -> FileHeader {
    let (Some(magic), Some(version), Some(crc)) =
        (bytes.get(..8), u32_at(bytes, 8), u32_at(bytes, 12))
    else {
        return FileHeader::Damaged;
    };
    if magic != kind.magic() || crc32fast::hash(&bytes[..12]) != crc {
        FileHeader::Damaged
    } else if version > VERSION {
        FileHeader::Newer(version)
    } else {
        FileHeader::Known
    }
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The segment's number.
    pub segment: u32,
    /// Bytes of the segment before it.
    pub position: u64,
}

impl Place {
    /// As the body of a mark.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..].copy_from_slice(&self.position.to_le_bytes());
        bytes
    }

    /// From the body of a mark.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            segment: u32_at(bytes, 0)?,
            position: u64_at(bytes, 4)?,
        })
    }
}

/// What a chunk's header says of it beside its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Its stream.
    pub stream: StreamKey,
    /// Payload bytes of the stream before it.
    pub at: u64,
    /// Bytes of an unfinished line at its end.
    pub tail: u64,
    /// Its place in the order of arrival.
    pub arrival: u64,
}

impl Meta {
    /// Of a chunk.
    #[must_use]
    pub fn of(stream: StreamKey, mark: Mark) -> Self {
        Self {
            stream,
            at: mark.at,
            tail: mark.tail,
            arrival: mark.arrival,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A record, in `MessagePack`.
    Record,
    /// A chunk; its payload is the body.
    Chunk(Meta),
    /// Says that the log was synced up to the place in its body.
    Mark,
    /// The last entry of a state file; the number of its records is the body.
    End,
}

/// An entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the entry is.
    pub kind: Kind,
    /// The length of its body.
    pub len: u32,
    /// The checksum of its body.
    pub crc: u32,
}

impl Header {
    /// For a body, which is at most [`MAX_BODY`] long.
    #[must_use]
    pub fn new(kind: Kind, body: &[u8]) -> Option<Self> {
        let len = u32::try_from(body.len()).ok()?;
        (body.len() <= MAX_BODY).then(|| Self {
            kind,
            len,
            crc: crc32fast::hash(body),
        })
    }

    /// Its own length.
    #[must_use]
    pub fn size(&self) -> usize {
        match self.kind {
            Kind::Chunk(_) => LONG,
            Kind::Record | Kind::Mark | Kind::End => SHORT,
        }
    }

    /// The length of the whole entry.
    #[must_use]
    pub fn entry_size(&self) -> u64 {
        self.size() as u64 + u64::from(self.len)
    }

    /// Appends it to `out`, for an entry at `place`.
    pub fn encode(&self, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        let magic = match self.kind {
            Kind::Record => RECORD,
            Kind::Chunk(_) => CHUNK,
            Kind::Mark => MARK,
            Kind::End => END,
        };
        out.extend_from_slice(&magic);
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        if let Kind::Chunk(meta) = self.kind {
            for number in [meta.stream.0, meta.at, meta.tail, meta.arrival] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let crc = checksum(place, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of an entry at `place`; nothing if there is none, or it is damaged.
    #[must_use]
    pub fn decode(place: Place, bytes: &[u8]) -> Option<Self> {
        let is_chunk = bytes.get(..4)? == CHUNK;
        let size = if is_chunk { LONG } else { SHORT };
        let covered = bytes.get(..size - 4)?;
        let kind = match *covered.first_chunk::<4>()? {
            RECORD => Kind::Record,
            MARK => Kind::Mark,
            END => Kind::End,
            CHUNK => Kind::Chunk(Meta {
                stream: StreamKey(u64_at(covered, 12)?),
                at: u64_at(covered, 20)?,
                tail: u64_at(covered, 28)?,
                arrival: u64_at(covered, 36)?,
            }),
            _ => return None,
        };
        let header = Self {
            kind,
            len: u32_at(covered, 4)?,
            crc: u32_at(covered, 8)?,
        };
        let is_whole = u32_at(bytes, size - 4)? == checksum(place, covered);
        let is_sane = header.len as usize <= MAX_BODY
            && match kind {
                // A stream does not wrap around; later sums need not look again.
                Kind::Chunk(meta) => meta.at < u64::MAX / 2 && meta.arrival < u64::MAX / 2,
                _ => true,
            };
        (is_whole && is_sane).then_some(header)
    }

    /// Whether `body` is what was written.
    #[must_use]
    pub fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.len as usize && crc32fast::hash(body) == self.crc
    }
}

fn checksum(place: Place, covered: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_bytes());
    hasher.update(covered);
    hasher.finalize()
}

/// The number in the four bytes from `from` on.
#[must_use]
pub fn u32_at(bytes: &[u8], from: usize) -> Option<u32> {
    let bytes = bytes.get(from..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The number in the eight bytes from `from` on.
#[must_use]
pub fn u64_at(bytes: &[u8], from: usize) -> Option<u64> {
    let bytes = bytes.get(from..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
