//! Stdout as a pipe, written by the loop itself.
//!
//! This module owns a descriptor of its own for the pipe, on which writes never block, and the unwritten
//! pieces.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use bytes::Bytes;
use rustix::stdio::stdout;

use super::batch::{Batch, Outcome};
use super::{FromStdout, Pieces};
use crate::link::pipe;

/// A pipe that is written as far as it has room.
#[derive(Debug)]
pub struct Direct {
    pipe: OwnedFd,
    batch: Batch,
    /// The pieces that do not fit into the batch.
    more: Pieces,
    /// Whether the pipe had no room at the last write.
    full: bool,
}

impl Direct {
    /// Reopens stdout. `None` if it is no pipe, or the system refuses.
    pub fn stdout() -> Option<Self> {
        pipe::writer(stdout()).map(Self::new)
    }

    fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe,
            batch: Batch::default(),
            more: Pieces::new(),
            full: false,
        }
    }

    /// Queues `bytes`.
    pub fn write(&mut self, bytes: Bytes) {
        self.more.push_back(bytes);
    }

    /// Writes as much as possible, and returns an event if there is one.
    pub fn next(&mut self) -> Option<FromStdout> {
        let mut whole = 0;
        while !self.full {
            while self.batch.has_room()
                && let Some(piece) = self.more.pop_front()
            {
                self.batch.push(piece);
            }
            if self.batch.is_empty() {
                break;
            }
            match self.batch.write(&self.pipe) {
                Outcome::Whole(count) => whole += count,
                Outcome::NoRoom => self.full = true,
                // Completed pieces are reported first. The error comes up again at the next write.
                Outcome::Over(news) if whole == 0 => return Some(news),
                Outcome::Over(_) => break,
            }
        }
        (whole > 0).then_some(FromStdout::Written(whole))
    }

    /// Whether pieces wait for room.
    pub fn is_waiting(&self) -> bool {
        self.full
    }

    /// The descriptor to poll for room.
    pub fn watched(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Records that the pipe has room again.
    pub fn is_writable(&mut self) {
        self.full = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_full_pipe_waits_and_goes_on() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut direct = Direct::new(pipe::writer(&writer).expect("somebody reads it"));
        assert_eq!(direct.next(), None);
        let long = Bytes::from(vec![b'x'; 3 << 20]);
        direct.write(Bytes::from_static(b"one"));
        assert_eq!(direct.next(), Some(FromStdout::Written(1)));
        direct.write(long.clone());
        assert_eq!(direct.next(), None);
        assert!(direct.is_waiting());
        let mut read = vec![0; 3 + long.len()];
        let mut at = 0;
        while at < read.len() {
            at += reader.read(&mut read[at..]).expect("it is a pipe");
            direct.is_writable();
            if let Some(news) = direct.next() {
                assert_eq!(news, FromStdout::Written(1));
            }
        }
        assert!(read.starts_with(b"onexxx") && !direct.is_waiting());
    }

    #[test]
    fn what_was_written_is_told_before_the_end() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut direct = Direct::new(pipe::writer(&writer).expect("somebody reads it"));
        direct.write(Bytes::from_static(b"one"));
        assert_eq!(direct.next(), Some(FromStdout::Written(1)));
        drop(reader);
        direct.write(Bytes::from_static(b"two"));
        assert_eq!(direct.next(), Some(FromStdout::Closed));
    }
}
