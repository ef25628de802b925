//! The file format: file headers, entry headers and their checksums.
//!
//! This module converts values to bytes and back, and never touches a file.
//!
//! ```text
//! file header   "SKYPIPEL" or "SKYPIPES"   version u32   crc of the twelve bytes u32
//! entry         kind [u8; 4]   length of body u32   crc of body u32   (chunk: key, at, tail, arrival,
//!               each u64)   crc of the header u32   body
//! ```
//!
//! All numbers are little-endian. A header has its own checksum, so that a damaged payload does not cost the
//! entries behind it. The checksum also covers the entry's position. A payload may contain bytes that look
//! like an entry, for example when somebody sends a log file through a pipe. The position keeps the search
//! for the next whole entry from taking such bytes for one.

use crate::store::{Mark, StreamKey};

/// The version of the format that is written, and the newest that can be read.
pub const VERSION: u32 = 1;

/// The length of a file header, in bytes.
pub const FILE_HEADER: usize = 16;

/// The length of the entry header of every kind except a chunk, in bytes.
pub const SHORT: usize = 16;

/// The length of a chunk's entry header, in bytes.
pub const LONG: usize = 48;

/// The maximum length of a body. An entry that claims more is damaged.
pub const MAX_BODY: usize = 16 << 20;

/// The first byte of every entry. No character of UTF-8 text begins with it.
pub const FIRST: u8 = 0xA5;

const RECORD: [u8; 4] = *b"\xA5rec";
const CHUNK: [u8; 4] = *b"\xA5chk";
const MARK: [u8; 4] = *b"\xA5syn";
const END: [u8; 4] = *b"\xA5end";

/// The kind of a file.
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

/// The result of reading a file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHeader {
    /// The file can be read.
    Known,
    /// A later program wrote the file, in this version of the format.
    Newer(u32),
    /// The header is damaged, or was never completely written.
    Damaged,
}

#[must_use]
pub fn file_header(kind: FileKind) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    bytes[..8].copy_from_slice(&kind.magic());
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a file header.
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

/// A position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The number of the segment.
    pub segment: u32,
    /// The offset in the segment, in bytes.
    pub position: u64,
}

impl Place {
    /// Encodes the position as the body of a mark.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..].copy_from_slice(&self.position.to_le_bytes());
        bytes
    }

    /// Decodes the body of a mark.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            segment: u32_at(bytes, 0)?,
            position: u64_at(bytes, 4)?,
        })
    }
}

/// What a chunk's header contains besides the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The chunk's stream.
    pub stream: StreamKey,
    /// The chunk's offset in the stream.
    pub at: u64,
    /// The length of the unfinished line at the chunk's end.
    pub tail: u64,
    /// The chunk's arrival number.
    pub arrival: u64,
}

impl Meta {
    /// The header fields of a chunk.
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

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A record, in `MessagePack`.
    Record,
    /// A chunk. The payload is the body.
    Chunk(Meta),
    /// A mark: the log was synced up to the position in the body.
    Mark,
    /// The last entry of a state file. The body is the number of records.
    End,
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The kind of the entry.
    pub kind: Kind,
    /// The length of the body, in bytes.
    pub len: u32,
    /// The checksum of the body.
    pub crc: u32,
}

impl Header {
    /// A header for a body. None if the body is longer than [`MAX_BODY`].
    #[must_use]
    pub fn new(kind: Kind, body: &[u8]) -> Option<Self> {
        let len = u32::try_from(body.len()).ok()?;
        (body.len() <= MAX_BODY).then(|| Self {
            kind,
            len,
            crc: crc32fast::hash(body),
        })
    }

    /// The length of the header itself.
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

    /// Appends the header of an entry at `place` to `out`.
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

    /// Reads the header of an entry at `place`. None if there is no header, or a damaged one.
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
                // Offsets are limited, so that later additions need no overflow check.
                Kind::Chunk(meta) => meta.at < u64::MAX / 2 && meta.arrival < u64::MAX / 2,
                _ => true,
            };
        (is_whole && is_sane).then_some(header)
    }

    /// Whether `body` has the right length and checksum.
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

/// The number in the four bytes at `from`.
#[must_use]
pub fn u32_at(bytes: &[u8], from: usize) -> Option<u32> {
    let bytes = bytes.get(from..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The number in the eight bytes at `from`.
#[must_use]
pub fn u64_at(bytes: &[u8], from: usize) -> Option<u64> {
    let bytes = bytes.get(from..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
