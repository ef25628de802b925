//! Input lines, and how long a partial line is held back.
//!
//! This module owns the bytes that were read and not yet handed on, and the deadline of a partial line. It
//! never waits.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::link::chunker::Chunker;
use crate::link::pipe;
use crate::report::words;
use crate::session::Plain;

/// How long a partial line waits for its rest (rule 14).
const HOLD: Duration = Duration::from_millis(100);

/// If this much arrives at once, a larger pipe buffer will save turns. It is the default size of a pipe, in
/// bytes.
const MUCH: usize = 64 << 10;

/// The result of [`Lines::fill`].
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// Data may remain; the buffer is full or the caller asked to stop.
    Enough,
    /// The system reported that there is no more data now.
    Dry,
    /// End of file.
    End,
    /// Reading failed, with the reason.
    Failed(String),
}

/// The input buffer. A chunk is as large as the available data: everything that can be read at once is read
/// before it is cut, because each chunk has a fixed cost. Nothing waits for more data, except a partial
/// line for its rest.
#[derive(Debug)]
pub struct Lines {
    chunker: Chunker,
    /// Since when the chunker has held a partial line.
    held: Option<Instant>,
    /// Whether the source, if it is a pipe, has been enlarged.
    wide: bool,
}

impl Lines {
    /// Creates an empty buffer.
    pub fn new() -> Self {
        Self {
            chunker: Chunker::new(),
            held: None,
            wide: false,
        }
    }

    /// Reads everything available, as long as there is room and `goes_on` says that another read would not
    /// block.
    pub fn fill(&mut self, from: impl AsFd + Copy, mut goes_on: impl FnMut() -> bool) -> Filled {
        let before = self.chunker.room().len();
        let mut filled = Filled::Enough;
        while !self.chunker.is_full() {
            match rustix::io::read(from, spare_capacity(self.chunker.room())) {
                Ok(0) => return Filled::End,
                Ok(_) if goes_on() => {}
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    filled = Filled::Dry;
                    break;
                }
                Err(error) => return Filled::Failed(words(&error.into())),
            }
        }
        if !self.wide && self.chunker.room().len() >= before + MUCH {
            self.wide = true;
            pipe::widen(from);
        }
        filled
    }

    /// Takes all whole lines. Call it after [`Lines::fill`].
    pub fn whole(&mut self, now: Instant) -> Option<Plain> {
        let lines = self.chunker.cut_lines();
        if self.chunker.is_empty() {
            self.held = None;
        } else if lines.is_some() || self.held.is_none() {
            self.held = Some(now);
        }
        lines
    }

    /// Takes everything, a partial line included.
    pub fn rest(&mut self) -> Option<Plain> {
        self.held = None;
        self.chunker.cut_all()
    }

    /// When a partial line is handed on.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.map(|since| since + HOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_line_waits_from_when_it_began() {
        let mut lines = Lines::new();
        let start = Instant::now();
        let moment = Duration::from_millis(1);
        lines.chunker.room().extend_from_slice(b"one\ntw");
        assert!(lines.whole(start).is_some());
        assert_eq!(lines.deadline(), Some(start + HOLD));
        lines.chunker.room().extend_from_slice(b"o");
        assert!(lines.whole(start + moment).is_none());
        assert_eq!(lines.deadline(), Some(start + HOLD));
        lines.chunker.room().extend_from_slice(b"\nthree");
        assert!(lines.whole(start + 2 * moment).is_some());
        assert_eq!(lines.deadline(), Some(start + 2 * moment + HOLD));
        assert!(lines.rest().is_some());
        assert_eq!(lines.deadline(), None);
    }
}
