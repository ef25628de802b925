//! Reads a file's entries one after the other, and finds the next whole entry behind damage.
//!
//! This module owns a window of the file's bytes: a hundred thousand small entries take few reads, and large
//! payloads are skipped. Unreadable bytes count as zeros, which never match a checksum. The caller decides
//! what to do about damage.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::frame::{FILE_HEADER, FIRST, Header, LONG, Place, SHORT};

/// The read size where entries are close together, in bytes.
const WINDOW: u64 = 256 << 10;

/// The read size after a large payload was skipped, in bytes. Probably only a header is needed there.
const PEEK: u64 = 4 << 10;

/// The unit in which unreadable bytes are skipped.
const PAGE: usize = 4 << 10;

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An entry with a whole header. Its body lies within the file.
    Entry(Place, Header),
    /// Bytes up to a position that are not an entry.
    Damage(Place, u64),
}

/// Reads a file's entries.
#[derive(Debug)]
pub struct Scanner<'a> {
    file: &'a File,
    segment: u32,
    len: u64,
    next: u64,
    start: u64,
    window: Vec<u8>,
}

impl<'a> Scanner<'a> {
    /// A scanner of the file of `segment`, which has `len` bytes, starting at `position`.
    #[must_use]
    pub fn new(file: &'a File, segment: u32, len: u64, position: u64) -> Self {
        Self {
            file,
            segment,
            len,
            next: position.max(FILE_HEADER as u64),
            start: 0,
            window: Vec::new(),
        }
    }

    /// The next entry or damage. None at the end of the file.
    pub fn advance(&mut self) -> Option<Found> {
        if self.next >= self.len {
            return None;
        }
        let place = self.place(self.next);
        if let Some(header) = self.header(place.position) {
            self.next += header.entry_size();
            return Some(Found::Entry(place, header));
        }
        self.next = self.search(place.position + 1);
        Some(Found::Damage(place, self.next))
    }

    /// The position of the next read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The body of an entry. None if its checksum is wrong.
    pub fn body(&mut self, place: Place, header: &Header) -> Option<&[u8]> {
        let from = place.position + header.size() as u64;
        let body = self.bytes(from, u64::from(header.len))?;
        header.fits(body).then_some(body)
    }

    fn place(&self, position: u64) -> Place {
        Place {
            segment: self.segment,
            position,
        }
    }

    /// The header of a whole entry at `position`.
    fn header(&mut self, position: u64) -> Option<Header> {
        let place = self.place(position);
        let left = self.len.checked_sub(position)?;
        if left < SHORT as u64 {
            return None;
        }
        let bytes = self.bytes(position, left.min(LONG as u64))?;
        let header = Header::decode(place, bytes)?;
        (header.entry_size() <= left).then_some(header)
    }

    /// The position of the next whole header at or after `position`, or the end of the file.
    fn search(&mut self, mut position: u64) -> u64 {
        while position < self.len {
            let take = WINDOW.min(self.len - position);
            let Some(bytes) = self.bytes(position, take) else {
                break;
            };
            match bytes.iter().position(|byte| *byte == FIRST) {
                None => position += take,
                Some(index) => {
                    position += index as u64;
                    if self.header(position).is_some() {
                        return position;
                    }
                    position += 1;
                }
            }
        }
        self.len
    }

    /// Bytes of the file. None if the file is too short.
    fn bytes(&mut self, from: u64, count: u64) -> Option<&[u8]> {
        let to = from.checked_add(count).filter(|to| *to <= self.len)?;
        let end = self.start + self.window.len() as u64;
        if from < self.start || to > end {
            let near = from >= self.start && from <= end;
            let ahead = if near { WINDOW } else { PEEK };
            let take = count.max(ahead).min(self.len - from);
            self.window.resize(usize::try_from(take).ok()?, 0);
            self.start = from;
            read_or_zero(self.file, from, &mut self.window);
        }
        let index = usize::try_from(from - self.start).ok()?;
        self.window.get(index..index + usize::try_from(count).ok()?)
    }
}

/// Reads bytes of a file. Unreadable bytes become zeros.
fn read_or_zero(file: &File, from: u64, bytes: &mut [u8]) {
    if file.read_exact_at(bytes, from).is_ok() {
        return;
    }
    let mut position = from;
    for page in bytes.chunks_mut(PAGE) {
        if file.read_exact_at(page, position).is_err() {
            page.fill(0);
        }
        position += page.len() as u64;
    }
}
