//! The lines of what is read, and how long a partial one is held.
//!
//! Owns the bytes that were read and not yet handed on, and the time of a partial line. Never waits.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::link::chunker::Chunker;
use crate::link::pipe;
use crate::session::Plain;
use crate::tell::words;

/// How long a line's beginning waits for its rest (rule 14).
const HOLD: Duration = Duration::from_millis(100);

/// What so much has come in at once that a larger pipe will make fewer steps of it: the size of a
/// pipe that nobody has widened.
const MUCH: usize = 64 << 10;

/// What a filling came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// There may be more, but not now.
    Enough,
    /// Nothing is there any more; the system said so.
    Dry,
    /// That was the end.
    End,
    /// It cannot be read, and why.
    Failed(String),
}

/// What was read. Chunks are as large as what is there: whatever can be read at once is read before it is
/// cut, because each chunk has its price however small it is. Nothing is waited for, except that a
/// partial line waits for its rest.
#[derive(Debug)]
pub struct Lines {
    chunker: Chunker,
    /// Since when the chunker holds a partial line.
    held: Option<Instant>,
    /// Whether what is read, if it is a pipe, has been widened.
    wide: bool,
}

impl Lines {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            chunker: Chunker::new(),
            held: None,
            wide: false,
        }
    }

    /// Reads all that can be read at once, for as long as there is room and `goes_on` says that another read
    /// would not wait.
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

    /// All whole lines, once what could be read has been.
    pub fn whole(&mut self, now: Instant) -> Option<Plain> {
        let lines = self.chunker.cut_lines();
        if self.chunker.is_empty() {
            self.held = None;
        } else if lines.is_some() || self.held.is_none() {
            self.held = Some(now);
        }
        lines
    }

    /// All that there is.
    pub fn rest(&mut self) -> Option<Plain> {
        self.held = None;
        self.chunker.cut_all()
    }

    /// When a partial line no longer waits.
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
