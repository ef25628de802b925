//! Bytes as a writer read them, and what is known of the lines in them.
//!
//! Owns where lines end. Whoever read the bytes has searched them for a line's end already; where there is
//! none, nobody searches again.

use bytes::Bytes;

/// Bytes as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    bytes: Bytes,
    /// Whether a line may end in them.
    has_lines: bool,
}

impl Plain {
    /// Bytes in which no line ends.
    #[must_use]
    pub fn within_a_line(bytes: Bytes) -> Self {
        debug_assert!(memchr::memchr(b'\n', &bytes).is_none());
        let has_lines = false;
        Self { bytes, has_lines }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes off the first `count` bytes.
    pub(super) fn split_to(&mut self, count: usize) -> Self {
        Self {
            bytes: self.bytes.split_to(count),
            has_lines: self.has_lines,
        }
    }

    /// Where to cut so that at most `room` bytes are taken: behind the last line that fits whole.
    pub(super) fn line_end(&self, room: usize) -> usize {
        if self.bytes.len() <= room {
            return self.bytes.len();
        }
        self.last_newline(room).map_or(room, |at| at + 1)
    }

    /// The unfinished line at the end, in bytes, when one of `before` bytes stood before them.
    pub(super) fn tail(&self, before: u64) -> u64 {
        match self.last_newline(self.bytes.len()) {
            Some(at) => (self.bytes.len() - at - 1) as u64,
            None => before + self.bytes.len() as u64,
        }
    }

    /// The last line's end in the first `count` bytes.
    fn last_newline(&self, count: usize) -> Option<usize> {
        if !self.has_lines {
            return None;
        }
        memchr::memrchr(b'\n', &self.bytes[..count])
    }
}

/// Bytes that nobody has searched.
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
