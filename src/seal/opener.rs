//! The listener's side: records become bytes.
//!
//! Owns where in the stream the listener is, and the keys it met last. Never hands out a byte of a
//! payload that did not open as a whole, and then stays where it was.

use bytes::Bytes;
use uuid::Uuid;

use super::kem::{BadKey, Public};
use super::packer::Unpacker;
use super::record::{Header, Kind, Record, Records};
use super::suite::Key;
use super::{Fault, Suite, stream_info};
use crate::keys::Epoch;

/// How many keys are kept. A stream has one for each epoch that it was sealed for, and goes from one
/// to the next and never back.
const KEYS: usize = 3;

/// What came out of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The bytes.
    pub plain: Bytes,
    /// The position of the first of them in the stream.
    pub position: u64,
    /// How many bytes are missing between what was opened before and these.
    pub skipped: u64,
}

/// What the proof of the end proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How many bytes the stream has.
    pub len: u64,
    /// How many are missing between what was opened last and the end.
    pub skipped: u64,
}

/// Opens one stream for one listener.
#[derive(Debug)]
pub struct Opener {
    /// What the stream is called where keys are agreed on.
    info: Vec<u8>,
    /// The position of the next byte, as soon as one is known.
    due: Option<u64>,
    /// Keys that have opened something, the one that was used last at the end.
    keys: Vec<Known>,
    /// What unpacks records, from the first packed one on.
    unpacker: Option<Unpacker>,
}

/// A key that has opened a record.
#[derive(Debug)]
struct Known {
    name: KeyName,
    key: Key,
}

/// What a record says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyName {
    suite: Suite,
    epoch: u32,
    encapsulated: Public,
}

impl Opener {
    /// Begins wherever the first payload does: for a listener that joins in the middle.
    #[must_use]
    pub fn new(stream: Uuid, pipe: &str) -> Self {
        Self {
            info: stream_info(stream, pipe),
            due: None,
            keys: Vec::new(),
            unpacker: None,
        }
    }

    /// Begins here: for a listener that knows where its part begins. To it, bytes that are missing
    /// from there on are missing.
    #[must_use]
    pub fn due_at(mut self, position: u64) -> Self {
        self.due = Some(position);
        self
    }

    /// The position of the byte that comes next, as soon as one is known.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Opens a payload: whole records, at least one, in order. `may_skip` says whether bytes may be
    /// missing before the first of them, as they may for a tap.
    ///
    /// `epochs` are those known by now. A key that has opened something is kept, and is used
    /// without looking for its epoch again.
    ///
    /// # Errors
    ///
    /// When anything of it is not as it was sealed, in its place. The opener is then where it was.
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

    /// Checks the proof of the end, which stands where the stream does: bytes before it may be
    /// missing if `may_skip` says so, or if nothing is known of the stream yet. It may be shown more
    /// than once.
    ///
    /// # Errors
    ///
    /// When it is no such proof. The opener is then where it was.
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

    /// Opens a record of bytes, packed or not, to the end of `plain`; returns how many those are.
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

    /// Opens a record to the end of `plain`. A key is kept as soon as it has opened something and
    /// not before, so that nobody can crowd out good keys with made up ones.
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
        // A writer has one key for each epoch, and epochs only follow one another. To agree on a key
        // takes time, which nobody shall make a listener spend for every record.
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
    /// Copies the ciphertext to its place and opens it there while it is at hand in the cache.
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

/// Where a payload begins and how much it holds, packed or not, by its own account. Nothing is opened
/// before all of it has the form of records of bytes.
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
