//! Plaintext as a writer read it, with what is known about line ends in it.
//!
//! This module finds line ends. The reader of stdin has searched the bytes already; bytes marked as having
//! no newline are never searched again.

use bytes::Bytes;

/// Bytes as they were read from stdin or a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    bytes: Bytes,
    /// Whether the bytes may contain a newline. `false` is certain.
    has_lines: bool,
}

impl Plain {
    /// Bytes without a newline.
    #[must_use]
    pub fn within_a_line(bytes: Bytes) -> Self {
        debug_assert!(memchr::memchr(b'\n', &bytes).is_none());
        let has_lines = false;
        Self { bytes, has_lines }
    }

    /// The bytes themselves.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Splits off the first `count` bytes.
    pub(super) fn split_to(&mut self, count: usize) -> Self {
        Self {
            bytes: self.bytes.split_to(count),
            has_lines: self.has_lines,
        }
    }

    /// Where to cut so that at most `room` bytes are taken: behind the last whole line if there is one.
    pub(super) fn line_end(&self, room: usize) -> usize {
        if self.bytes.len() <= room {
            return self.bytes.len();
        }
        self.last_newline(room).map_or(room, |at| at + 1)
    }

    /// The length of the unfinished line at the end, in bytes, if an unfinished line of `before` bytes
    /// preceded these.
    pub(super) fn tail(&self, before: u64) -> u64 {
        match self.last_newline(self.bytes.len()) {
            Some(at) => (self.bytes.len() - at - 1) as u64,
            None => before + self.bytes.len() as u64,
        }
    }

    /// The position of the last newline in the first `count` bytes.
    fn last_newline(&self, count: usize) -> Option<usize> {
        if !self.has_lines {
            return None;
        }
        memchr::memrchr(b'\n', &self.bytes[..count])
    }
}

/// Bytes that nobody has searched for newlines.
impl From<Bytes> for Plain {
    fn from(bytes: Bytes) -> Self {
        let has_lines = true;
        Self { bytes, has_lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fits_is_not_cut_and_its_rest_is_counted() {
        let mut plain = Plain::from(Bytes::from_static(b"one\ntwo\nthr"));
        assert_eq!(plain.line_end(11), 11);
        assert_eq!(plain.line_end(10), 8);
        assert_eq!(plain.line_end(3), 3, "a line that does not fit is");
        assert_eq!(plain.tail(5), 3);
        assert_eq!(plain.split_to(3).tail(5), 8);
        assert_eq!(plain.tail(8), 3);
    }

    #[test]
    fn within_a_line_nothing_ends() {
        let plain = Plain::within_a_line(Bytes::from_static(b"abc"));
        assert_eq!((plain.line_end(2), plain.tail(7)), (2, 10));
    }
}
