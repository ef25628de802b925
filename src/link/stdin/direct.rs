//! Stdin as a pipe, read by the loop itself.
//!
//! This module owns a descriptor of its own for the pipe. Reads on it never block, whoever else reads the
//! pipe.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::time::Instant;

use rustix::stdio::stdin;

use super::FromStdin;
use super::lines::{Filled, Lines};
use crate::link::pipe;

/// A pipe that is read on demand.
#[derive(Debug)]
pub struct Direct {
    pipe: OwnedFd,
    lines: Lines,
    /// Whether the pipe may have data.
    readable: bool,
    /// The final event, returned after the remaining data.
    last: Option<FromStdin>,
}

impl Direct {
    /// Reopens stdin. `None` if it is no pipe, or the system refuses.
    pub fn stdin() -> Option<Self> {
        pipe::reader(stdin()).map(Self::new)
    }

    fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe,
            lines: Lines::new(),
            readable: true,
            last: None,
        }
    }

    /// The descriptor to poll.
    pub fn watched(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Records that the pipe is readable.
    pub fn is_readable(&mut self) {
        self.readable = true;
    }

    /// When a partial line is handed on.
    pub fn deadline(&self) -> Option<Instant> {
        self.lines.deadline()
    }

    /// Stops reading. What has been read is still returned.
    pub fn stop(&mut self) {
        self.last = Some(FromStdin::Stopped);
    }

    /// The next event.
    pub fn next(&mut self, now: Instant) -> FromStdin {
        if self.readable && self.last.is_none() {
            self.fill();
        }
        let is_over = self
            .lines
            .deadline()
            .is_some_and(|deadline| deadline <= now);
        let chunk = if self.last.is_some() || is_over {
            self.lines.rest()
        } else {
            self.lines.whole(now)
        };
        match chunk {
            Some(chunk) => FromStdin::Chunk(chunk),
            None => self.last.take().unwrap_or(FromStdin::Nothing),
        }
    }

    fn fill(&mut self) {
        match self.lines.fill(&self.pipe, || true) {
            Filled::Enough => {}
            // Another process may read the same pipe and be faster.
            Filled::Dry => self.readable = false,
            Filled::End => self.last = Some(FromStdin::End),
            Filled::Failed(why) => self.last = Some(FromStdin::Failed(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::session::Plain;

    fn chunk(item: FromStdin) -> Vec<u8> {
        match item {
            FromStdin::Chunk(plain) => plain.bytes().to_vec(),
            other => panic!("no chunk: {other:?}"),
        }
    }

    #[test]
    fn lines_come_at_once_a_beginning_after_its_time_and_then_the_end() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut direct = Direct::new(pipe::reader(&reader).expect("it is a pipe"));
        let start = Instant::now();
        assert_eq!(direct.next(start), FromStdin::Nothing);
        writer.write_all(b"one\ntwo\nthr").expect("there is room");
        direct.is_readable();
        assert_eq!(chunk(direct.next(start)), b"one\ntwo\n");
        assert_eq!(direct.next(start), FromStdin::Nothing);
        let due = direct.deadline().expect("a beginning waits");
        assert_eq!(chunk(direct.next(due)), b"thr");
        assert_eq!(direct.next(due), FromStdin::Nothing);
        assert_eq!(direct.deadline(), None);
        writer.write_all(b"ee").expect("there is room");
        drop(writer);
        direct.is_readable();
        assert_eq!(chunk(direct.next(due)), b"ee");
        assert_eq!(direct.next(due), FromStdin::End);
    }

    #[test]
    fn nothing_is_read_after_a_signal() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut direct = Direct::new(pipe::reader(&reader).expect("it is a pipe"));
        writer.write_all(b"beginning").expect("there is room");
        let now = Instant::now();
        assert_eq!(direct.next(now), FromStdin::Nothing);
        direct.stop();
        writer.write_all(b" and more").expect("there is room");
        direct.is_readable();
        assert_eq!(
            direct.next(now),
            FromStdin::Chunk(Plain::within_a_line(bytes::Bytes::from_static(
                b"beginning"
            )))
        );
        assert_eq!(direct.next(now), FromStdin::Stopped);
    }
}
