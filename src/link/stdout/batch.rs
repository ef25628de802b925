//! The pieces being written, several in one system call.
//!
//! This module owns the pieces taken for writing, the first of which may be partly written, and the wording
//! of write errors. It does not know how the caller waits.

use std::io::IoSlice;
use std::os::fd::AsFd;

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;
use skypipe_protocol::MAX_CHUNK;

use super::{FromStdout, Pieces};
use crate::link::pipe;
use crate::report::words;

/// The most pieces in one system call: enough to make short lines cheap, and far below the limits of
/// systems.
const MAX_PIECES: usize = 64;

/// A piece of at least this length is worth a larger pipe buffer. It is the default size of a pipe, in
/// bytes.
const MUCH: usize = 64 << 10;

/// The result of one write.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This many pieces are complete.
    Whole(usize),
    /// The output has no room.
    NoRoom,
    /// The output has failed or has no reader.
    Over(FromStdout),
}

/// About one chunk of data, in pieces.
#[derive(Debug, Default)]
pub struct Batch {
    pieces: Pieces,
    length: usize,
    /// Whether the output, if it is a pipe, has been enlarged.
    wide: bool,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether another piece may be added.
    pub fn has_room(&self) -> bool {
        self.length < MAX_CHUNK && self.pieces.len() < MAX_PIECES
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push_back(piece);
    }

    /// Writes as much as one system call takes.
    pub fn write(&mut self, to: impl AsFd + Copy) -> Outcome {
        if !self.wide && self.length >= MUCH {
            self.wide = true;
            pipe::widen(to);
        }
        let slices: Vec<_> = self
            .pieces
            .iter()
            .map(|piece| IoSlice::new(piece))
            .collect();
        match rustix::io::writev(to, &slices) {
            Ok(written) => Outcome::Whole(self.advance(written)),
            Err(Errno::INTR) => Outcome::Whole(0),
            Err(Errno::AGAIN) => Outcome::NoRoom,
            Err(Errno::PIPE | Errno::CONNRESET) => Outcome::Over(FromStdout::Closed),
            Err(error) => Outcome::Over(FromStdout::Failed(words(&error.into()))),
        }
    }

    /// Drops `written` bytes from the front. Returns how many pieces that completed.
    fn advance(&mut self, mut written: usize) -> usize {
        self.length -= written;
        let mut whole = 0;
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            self.pieces.pop_front();
            whole += 1;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted_when_they_are_whole() {
        let mut batch = Batch::default();
        for piece in [&b"one"[..], b"two", b"three"] {
            batch.push(Bytes::from_static(piece));
        }
        assert_eq!(batch.advance(2), 0);
        assert_eq!(batch.advance(1), 1);
        assert_eq!(batch.advance(5), 1);
        assert_eq!(batch.pieces, [Bytes::from_static(b"ree")]);
        assert_eq!(batch.advance(3), 1);
        assert!(batch.is_empty() && batch.length == 0);
    }
}
