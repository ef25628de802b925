//! What is being written: pieces, several at a time.
//!
//! Owns the pieces that were taken for writing, the first of which may have been written in part, and the
//! words for what can go wrong. Knows nothing of who waits.

use std::io::IoSlice;
use std::os::fd::AsFd;

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;
use skypipe_broker::protocol::MAX_CHUNK;

use super::{FromStdout, Pieces};
use crate::link::pipe;
use crate::tell::words;

/// The most pieces written in one system call: enough that short lines cost little, and far below
/// what systems take.
const MAX_PIECES: usize = 64;

/// From this length on, a piece is worth a wider pipe: the size of one that nobody has widened.
const MUCH: usize = 64 << 10;

/// What one write came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many pieces are written, whole.
    Whole(usize),
    /// There is no room.
    NoRoom,
    /// It is over, and why.
    Over(FromStdout),
}

/// About a chunk, in pieces.
#[derive(Debug, Default)]
pub struct Batch {
    pieces: Pieces,
    length: usize,
    /// Whether what is written, if it is a pipe, has been widened.
    wide: bool,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether another piece fits.
    pub fn has_room(&self) -> bool {
        self.length < MAX_CHUNK && self.pieces.len() < MAX_PIECES
    }

    /// Puts a piece behind the others.
    pub fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push_back(piece);
    }

    /// Writes what it can in one call.
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

    /// Takes `written` bytes off the front; returns how many pieces that completed.
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
