//! The segment that is being written, and the buffer in front of it.
//!
//! This module owns the order of entries: entries are stored in the order in which they are passed in,
//! whether or not they go through the buffer. The file before the write position always consists of whole
//! entries. Every write has a fixed position, and a failed write is repeated at that position.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::directory::{Directory, create, reopen};
use super::error::{is_full, write_error};
use super::frame::{FILE_HEADER, FileKind, Header, Kind, Place, file_header};
use super::reserve::Reserve;
use super::syncer::Job;
use crate::store::WriteError;

/// Payloads of at least this length, in bytes, are not copied into the buffer.
pub const LARGE: usize = 64 << 10;

/// The buffer is written when it reaches this length, even if no flush was requested.
pub const BUFFER: usize = 1 << 20;

/// The end of the log.
#[derive(Debug)]
pub struct Log {
    directory: Arc<Directory>,
    reserve: Arc<Reserve>,
    segment: u32,
    file: Arc<File>,
    /// The length of the whole entries in the file, in bytes.
    len: u64,
    buffer: Vec<u8>,
    /// The total length of all earlier segments. Added to a position in this segment, it gives a log offset.
    base: u64,
    /// The log offset just after the last entry that is not a mark.
    data: u64,
    /// The log offset just after the last mark.
    mark: u64,
    /// Earlier segments that were not passed to the sync thread since they were written.
    unsynced: Vec<Arc<File>>,
    /// Whether new file names are not synced yet.
    has_new_names: bool,
    /// The log offset up to which the sync thread was asked to sync.
    asked: u64,
    /// Why nothing more is written. Set once the disk has failed.
    failed: Option<WriteError>,
}

impl Log {
    /// Continues a segment of `len` bytes, all of which are synced.
    pub fn go_on(
        directory: Arc<Directory>,
        reserve: Arc<Reserve>,
        segment: u32,
        len: u64,
    ) -> io::Result<Self> {
        let file = Arc::new(reopen(&directory.segment(segment))?);
        Ok(Self {
            directory,
            reserve,
            segment,
            file,
            len,
            buffer: Vec::new(),
            base: 0,
            data: len,
            mark: len,
            unsynced: Vec::new(),
            has_new_names: false,
            asked: len,
            failed: None,
        })
    }

    /// Creates the file of a segment, with only its header.
    pub fn make(directory: &Directory, segment: u32) -> io::Result<File> {
        let path = directory.segment(segment);
        let file = create(&path)?;
        if let Err(error) = file.write_all_at(&file_header(FileKind::Log), 0) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(file)
    }

    /// Starts a new segment. The current segment must have an empty buffer. Returns the number and length of
    /// the current segment.
    pub fn begin(&mut self) -> Result<(u32, u64), WriteError> {
        self.check_failure()?;
        let (next, file) = self.next_file().map_err(|error| self.fail(&error))?;
        let before = (self.segment, self.len);
        let old = std::mem::replace(&mut self.file, Arc::new(file));
        self.unsynced.push(old);
        self.has_new_names = true;
        self.base += self.len;
        self.segment = next;
        self.len = FILE_HEADER as u64;
        self.data = self.total();
        self.mark = self.total();
        Ok(before)
    }

    fn next_file(&self) -> io::Result<(u32, File)> {
        let next = self.segment.checked_add(1);
        let next = next.ok_or_else(|| io::Error::other("the file numbers are used up"))?;
        let file = match Self::make(&self.directory, next) {
            Err(error) if is_full(&error) && self.reserve.give_up() => {
                Self::make(&self.directory, next)?
            }
            other => other?,
        };
        Ok((next, file))
    }

    fn check_failure(&self) -> Result<(), WriteError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// The number of the current segment.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// The length of the current segment, including the buffer.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.len + self.buffer.len() as u64
    }

    /// The current segment's file, for reading.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The log's length, over all segments.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.base + self.end()
    }

    /// The position in the current file of a log offset.
    #[cfg(test)]
    pub fn position_of(&self, total: u64) -> u64 {
        total - self.base
    }

    /// The log offset just after the last entry that is not a mark.
    #[must_use]
    pub fn data(&self) -> u64 {
        self.data
    }

    /// The length of the part of the log that was passed to the operating system.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.base + self.len
    }

    /// The number of bytes in the buffer.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that are still in the buffer. None if they are not.
    #[must_use]
    pub fn read_buffer(&self, position: u64, count: usize) -> Option<&[u8]> {
        let from = usize::try_from(position.checked_sub(self.len)?).ok()?;
        self.buffer.get(from..from.checked_add(count)?)
    }

    /// Adds an entry to the buffer.
    pub fn put(&mut self, header: &Header, body: &[u8]) -> Place {
        let place = self.place();
        header.encode(place, &mut self.buffer);
        self.buffer.extend_from_slice(body);
        if header.kind == Kind::Mark {
            self.mark = self.total();
        } else {
            self.data = self.total();
        }
        place
    }

    /// Writes an entry with a large body, bypassing the buffer. It never uses the reserve.
    pub fn write(&mut self, header: &Header, body: &[u8]) -> Result<Place, WriteError> {
        self.flush()?;
        let place = self.place();
        let mut head = Vec::with_capacity(header.size());
        header.encode(place, &mut head);
        if let Err(error) = write_both(&self.file, &head, body, self.len) {
            return Err(self.fail(&error));
        }
        self.len += header.entry_size();
        self.data = self.total();
        Ok(place)
    }

    /// Writes the buffer, using the reserve if needed.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.check_failure()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = match self.file.write_all_at(&self.buffer, self.len) {
            Err(error) if is_full(&error) && self.reserve.give_up() => {
                self.file.write_all_at(&self.buffer, self.len)
            }
            other => other,
        };
        if let Err(error) = written {
            return Err(self.fail(&error));
        }
        self.len = self.end();
        self.buffer.clear();
        if self.buffer.capacity() > 2 * BUFFER {
            self.buffer.shrink_to(BUFFER);
        }
        Ok(())
    }

    /// The position that a mark would say is synced. None if a mark would say nothing new.
    #[must_use]
    pub fn markable(&self, synced: u64) -> Option<Place> {
        let position = synced.checked_sub(self.base)?;
        (synced > self.mark && position <= self.len).then_some(Place {
            segment: self.segment,
            position,
        })
    }

    /// What has to be synced so that all flushed data survives a power loss. None if that was requested
    /// already.
    pub fn job(&mut self) -> Option<Job> {
        if self.flushed() <= self.asked {
            return None;
        }
        self.asked = self.flushed();
        let mut files = std::mem::take(&mut self.unsynced);
        files.push(Arc::clone(&self.file));
        Some(Job {
            files,
            directory: std::mem::take(&mut self.has_new_names),
            upto: self.asked,
            state: None,
        })
    }

    fn place(&self) -> Place {
        Place {
            segment: self.segment,
            position: self.end(),
        }
    }

    /// Removes a partly written entry. If that fails too, the next write overwrites the entry. A restart
    /// finds it at the end of the log, with no whole entry behind it.
    fn fail(&mut self, error: &io::Error) -> WriteError {
        let _ = self.file.set_len(self.len);
        let error = write_error(self.directory.path(), error);
        if let WriteError::Failed(_) = error {
            self.failed = Some(error.clone());
        }
        error
    }
}

/// Writes two pieces, one after the other, at `position`.
fn write_both(file: &File, head: &[u8], body: &[u8], position: u64) -> io::Result<()> {
    let pieces = [IoSlice::new(head), IoSlice::new(body)];
    let written = loop {
        match rustix::io::pwritev(file, &pieces, position) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(written) => break written,
        }
    };
    let head_left = head.get(written..).unwrap_or_default();
    let in_body = written.saturating_sub(head.len());
    let body_left = body.get(in_body..).unwrap_or_default();
    file.write_all_at(head_left, position + written.min(head.len()) as u64)?;
    file.write_all_at(body_left, position + (head.len() + in_body) as u64)
}
