//! The segment that is being written, and the buffer before it.
//!
//! Owns the order of entries: what is given first lies first, whether it went through the buffer or
//! not. Never leaves anything but whole entries before a place at which it goes on writing: every
//! write has a fixed place, and one that failed is begun again there.

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

/// Payloads from this length on are not copied into the buffer.
pub const LARGE: usize = 64 << 10;

/// The buffer is written when it is as long as this, whether or not that was asked for.
pub const BUFFER: usize = 1 << 20;

/// The end of the log.
#[derive(Debug)]
pub struct Log {
    directory: Arc<Directory>,
    reserve: Arc<Reserve>,
    segment: u32,
    file: Arc<File>,
    /// Bytes of whole entries in the file.
    len: u64,
    buffer: Vec<u8>,
    /// What lies in front of this segment, in the log's own measure.
    base: u64,
    /// The end of the last entry that is no mark, in that measure.
    data: u64,
    /// The end of the last mark, in that measure.
    mark: u64,
    /// Earlier segments that were not given to the sync thread since they were written.
    unsynced: Vec<Arc<File>>,
    /// Whether the directory's names are not synced.
    has_new_names: bool,
    /// Up to where the sync thread was told to sync.
    asked: u64,
    /// Why nothing more is written, once the disk has failed.
    failed: Option<WriteError>,
}

impl Log {
    /// Goes on with a segment of `len` bytes, all of which are synced.
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

    /// Makes a segment's file, with its header alone.
    pub fn make(directory: &Directory, segment: u32) -> io::Result<File> {
        let path = directory.segment(segment);
        let file = create(&path)?;
        if let Err(error) = file.write_all_at(&file_header(FileKind::Log), 0) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(file)
    }

    /// Begins a new segment behind this one, which has nothing left in its buffer. Returns the number
    /// and length of the one before.
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
        let next = next.ok_or_else(|| io::Error::other("there are no more numbers for files"))?;
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

    /// Its number.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Its length, with what is still in the buffer.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.len + self.buffer.len() as u64
    }

    /// The file, for reading.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The log's length in its own measure, which goes on from segment to segment.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.base + self.end()
    }

    /// The position in its file of a place in that measure.
    #[cfg(test)]
    pub fn position_of(&self, total: u64) -> u64 {
        total - self.base
    }

    /// The same up to the last entry that somebody asked for.
    #[must_use]
    pub fn data(&self) -> u64 {
        self.data
    }

    /// What of the log was handed to the operating system.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.base + self.len
    }

    /// How much waits in the buffer.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that are still in the buffer; nothing if they are not.
    #[must_use]
    pub fn read_buffer(&self, position: u64, count: usize) -> Option<&[u8]> {
        let from = usize::try_from(position.checked_sub(self.len)?).ok()?;
        self.buffer.get(from..from.checked_add(count)?)
    }

    /// Puts an entry into the buffer.
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

    /// Writes an entry with a large body past the buffer. It never uses the reserve.
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

    /// Writes the buffer, with the reserve if it must be.
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

    /// Where a mark would say that the log is synced; nothing if there is nothing new to say.
    #[must_use]
    pub fn markable(&self, synced: u64) -> Option<Place> {
        let position = synced.checked_sub(self.base)?;
        (synced > self.mark && position <= self.len).then_some(Place {
            segment: self.segment,
            position,
        })
    }

    /// What is to be synced so that all that was flushed outlives a loss of power; nothing if that
    /// was asked for already.
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

    /// Takes away what was written in part. Should that fail too, the next write goes over it, and
    /// a restart finds it at the log's end, where nothing whole lies behind it.
    fn fail(&mut self, error: &io::Error) -> WriteError {
        let _ = self.file.set_len(self.len);
        let error = write_error(self.directory.path(), error);
        if let WriteError::Failed(_) = error {
            self.failed = Some(error.clone());
        }
        error
    }
}

/// Writes two pieces, one behind the other, at `position`.
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
