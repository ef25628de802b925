//! The listener's side: records become bytes.
//!
//! This module owns the listener's position in the stream and the most recent keys. It returns a byte only
//! if its whole payload opened. After a failure the position is unchanged.

use bytes::Bytes;
use uuid::Uuid;

use super::kem::{BadKey, Public};
use super::packer::Unpacker;
use super::record::{Header, Kind, Record, Records};
use super::suite::Key;
use super::{Fault, Suite, stream_info};
use crate::crypto::Epoch;

/// How many keys are kept. A stream has one key for each epoch in which it was sealed, and epochs only
/// increase.
const KEYS: usize = 3;

/// The content of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The plaintext.
    pub plain: Bytes,
    /// The position of its first byte in the stream.
    pub position: u64,
    /// How many bytes are missing between the previous payload and this one.
    pub skipped: u64,
}

/// What the proof of the end shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The length of the stream in plaintext bytes.
    pub len: u64,
    /// How many bytes are missing between the last opened payload and the end.
    pub skipped: u64,
}

/// Opens one stream for one listener.
#[derive(Debug)]
pub struct Opener {
    /// HPKE's `info` of the stream.
    info: Vec<u8>,
    /// The position of the next byte. `None` until it is known.
    due: Option<u64>,
    /// Keys that have opened something, the most recently used last.
    keys: Vec<Known>,
    /// The decompressor, from the first packed record on.
    unpacker: Option<Unpacker>,
}

/// A key that has opened a record.
#[derive(Debug)]
struct Known {
    name: KeyName,
    key: Key,
}

/// The parts of a record's header that identify its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyName {
    suite: Suite,
    epoch: u32,
    encapsulated: Public,
}

impl Opener {
    /// Starts wherever the first payload starts: for a listener that joins in the middle.
    #[must_use]
    pub fn new(stream: Uuid, pipe: &str) -> Self {
        Self {
            info: stream_info(stream, pipe),
            due: None,
            keys: Vec::new(),
            unpacker: None,
        }
    }

    /// Starts at `position`: for a listener that knows where its part starts. Bytes missing from there on
    /// are reported.
    #[must_use]
    pub fn due_at(mut self, position: u64) -> Self {
        self.due = Some(position);
        self
    }

    /// The position of the next byte. `None` until it is known.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Opens a payload: one or more whole records, in order. `may_skip` says whether bytes may be missing
    /// before the first record, as for a tap.
    ///
    /// `epochs` are those known by now. A key that has opened something is kept, and is used without
    /// looking for its epoch again.
    ///
    /// # Errors
    ///
    /// When anything in it was altered or moved. The opener's position is then unchanged.
    pub fn open(&mut self, epochs: &[Epoch], wire: &[u8], may_skip: bool) -> Result<Opened, Fault> {
        let (position, length) = survey(wire)?;
        let mut plain = Vec::with_capacity(length);
        let (mut due, mut skipped) = (self.due, 0);
        for (number, record) in Records::of(wire).enumerate() {
            let record = record?;
            let length = self.open_bytes(epochs, &record, &mut plain)?;
            skipped += gap(due, record.header.position, may_skip && number == 0)?;
            due = Some(record.header.after(length)?);
        }
        self.due = due;
        let plain = plain.into();
        Ok(Opened {
            plain,
            position,
            skipped,
        })
    }

    /// Checks the proof of the end at the current position. Bytes before it may be missing if `may_skip` is
    /// set, or if nothing is known of the stream yet. The proof may be checked more than once.
    ///
    /// # Errors
    ///
    /// When it is no such proof. The opener's position is then unchanged.
    pub fn end(&mut self, epochs: &[Epoch], proof: &[u8], may_skip: bool) -> Result<Ended, Fault> {
        let mut records = Records::of(proof);
        let record = records.next().ok_or(Fault::Altered)??;
        if record.header.kind != Kind::End || records.next().is_some() {
            return Err(Fault::Altered);
        }
        self.open_record(epochs, &record, &mut Vec::new())?;
        let len = record.header.position;
        let skipped = gap(self.due, len, may_skip)?;
        self.due = Some(len);
        Ok(Ended { len, skipped })
    }

    /// Opens a record of bytes, packed or not, and appends its bytes to `plain`. Returns their number.
    fn open_bytes(
        &mut self,
        epochs: &[Epoch],
        record: &Record<'_>,
        plain: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        if record.header.kind != Kind::Packed {
            self.open_record(epochs, record, plain)?;
            return Ok(record.cipher.len());
        }
        let mut packed = Vec::with_capacity(record.cipher.len());
        self.open_record(epochs, record, &mut packed)?;
        if self.unpacker.is_none() {
            self.unpacker = Unpacker::new();
        }
        let unpacker = self.unpacker.as_mut().ok_or(Fault::Altered)?;
        let length = unpacker.unpack(&packed, record.len(), plain);
        length.ok_or(Fault::Altered)
    }

    /// Opens a record and appends its content to `plain`. A key is kept only after it has opened something,
    /// so that nobody can crowd out good keys with invented ones.
    fn open_record(
        &mut self,
        epochs: &[Epoch],
        record: &Record<'_>,
        plain: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let name = KeyName::of(record);
        if let Some(known) = self.keys.iter().rev().find(|known| known.name == name) {
            return known.open(record, plain);
        }
        // A writer has one key for each epoch, and epochs only increase. A key agreement takes time, and an
        // attacker must not make a listener spend it for every record.
        if self
            .keys
            .last()
            .is_some_and(|last| name.epoch <= last.name.epoch)
        {
            return Err(Fault::Altered);
        }
        let known = self.meet(epochs, name)?;
        known.open(record, plain)?;
        if self.keys.len() == KEYS {
            self.keys.remove(0);
        }
        self.keys.push(known);
        Ok(())
    }

    fn meet(&self, epochs: &[Epoch], name: KeyName) -> Result<Known, Fault> {
        let number = name.epoch;
        let epoch = epochs.iter().find(|epoch| epoch.number == number);
        let epoch = epoch.ok_or(Fault::NoKey { epoch: number })?;
        let secret = epoch
            .secret
            .as_ref()
            .ok_or(Fault::WriteOnly { epoch: number })?;
        let key = epoch.derive(&self.info, secret, &name.encapsulated);
        let key = key.map_err(|BadKey| Fault::Altered)?;
        Ok(Known {
            name,
            key: Key::new(name.suite, &key),
        })
    }
}

impl KeyName {
    fn of(record: &Record<'_>) -> Self {
        let Header {
            suite,
            epoch,
            encapsulated,
            ..
        } = record.header;
        Self {
            suite,
            epoch,
            encapsulated,
        }
    }
}

impl Known {
    /// Copies the ciphertext to its place and opens it there, while it is in the cache.
    fn open(&self, record: &Record<'_>, plain: &mut Vec<u8>) -> Result<(), Fault> {
        let start = plain.len();
        plain.extend_from_slice(record.cipher);
        let is_open = self.key.open(
            record.header.position,
            record.head,
            &mut plain[start..],
            *record.tag,
        );
        if is_open { Ok(()) } else { Err(Fault::Altered) }
    }
}

/// The position of a payload and its number of plaintext bytes, as its headers claim. Nothing is opened
/// before every header has the form of a record of bytes.
fn survey(wire: &[u8]) -> Result<(u64, usize), Fault> {
    let (mut begin, mut length) = (None, 0);
    for record in Records::of(wire) {
        let record = record?;
        if record.header.kind == Kind::End {
            return Err(Fault::Altered);
        }
        begin.get_or_insert(record.header.position);
        length += record.cipher.len();
    }
    begin.map(|begin| (begin, length)).ok_or(Fault::Altered)
}

/// How many bytes are missing before the byte that came.
fn gap(due: Option<u64>, found: u64, may_skip: bool) -> Result<u64, Fault> {
    let due = due.unwrap_or(found);
    match found.checked_sub(due) {
        Some(0) => Ok(0),
        Some(missing) if may_skip => Ok(missing),
        Some(_) => Err(Fault::Missing { due, found }),
        None => Err(Fault::Repeated { due, found }),
    }
}
