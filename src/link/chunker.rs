//! Cuts stdin into chunks.
//!
//! This module owns the bytes that were read and not yet handed on. It knows nothing of descriptors or
//! time.

use bytes::Bytes;

use crate::crypto::seal::MOST_PLAIN;
use crate::session::Plain;

/// The longest piece that is cut, in bytes. Once sealed, it makes exactly one chunk of maximum length.
const LONGEST: usize = 273 * MOST_PLAIN;

/// Chunks of up to this many bytes are copied out of the buffer, so that a chunk waiting for its
/// acknowledgement holds little more memory than its own length. A longer chunk takes the buffer along, and
/// a new buffer is allocated.
const COPIED: usize = LONGEST / 4;

/// A buffer of one chunk's size that prefers to cut behind whole lines.
#[derive(Debug)]
pub struct Chunker {
    buffer: Vec<u8>,
    /// How many bytes at the front have been searched for line ends.
    searched: usize,
    /// The offset behind the last line end found.
    lines: Option<usize>,
}

impl Chunker {
    /// Creates an empty buffer.
    pub fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(LONGEST),
            searched: 0,
            lines: None,
        }
    }

    /// The buffer, to append to within its capacity.
    pub fn room(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether something must be cut before more can be appended.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= LONGEST
    }

    /// Whether there is nothing to cut.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Cuts everything up to the last line end. If one line fills the whole buffer, cuts everything.
    pub fn cut_lines(&mut self) -> Option<Plain> {
        self.search();
        match self.lines {
            Some(end) => self.cut(end),
            None if self.is_full() => self.cut(self.buffer.len()),
            None => None,
        }
    }

    /// Cuts everything, as one chunk.
    pub fn cut_all(&mut self) -> Option<Plain> {
        self.search();
        self.cut(self.buffer.len())
    }

    /// Looks for the last line end in what was appended.
    fn search(&mut self) {
        let found = memchr::memrchr(b'\n', &self.buffer[self.searched..]);
        self.lines = found.map(|at| self.searched + at + 1).or(self.lines);
        self.searched = self.buffer.len();
    }

    /// Cuts the first `end` bytes, at most a chunk. `None` if that is nothing.
    fn cut(&mut self, end: usize) -> Option<Plain> {
        let end = end.min(LONGEST);
        if end == 0 {
            return None;
        }
        let has_lines = self.lines.is_some();
        let bytes = self.take(end);
        // The rest of a searched buffer has no line end, unless the cut was before the last one.
        let is_behind = self.lines.take().is_none_or(|lines| lines <= end);
        self.searched = if is_behind { self.buffer.len() } else { 0 };
        Some(if has_lines {
            Plain::from(bytes)
        } else {
            Plain::within_a_line(bytes)
        })
    }

    fn take(&mut self, end: usize) -> Bytes {
        if end <= COPIED {
            let chunk = Bytes::copy_from_slice(&self.buffer[..end]);
            self.buffer.drain(..end);
            return chunk;
        }
        let mut rest = Vec::with_capacity(LONGEST);
        rest.extend_from_slice(&self.buffer[end..]);
        let mut chunk = std::mem::replace(&mut self.buffer, rest);
        chunk.truncate(end);
        Bytes::from(chunk)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skypipe_protocol::MAX_CHUNK;

    use super::*;

    fn filled(bytes: &[u8]) -> Chunker {
        let mut chunker = Chunker::new();
        chunker.room().extend_from_slice(bytes);
        chunker
    }

    fn text(chunk: Option<Plain>) -> String {
        let bytes = chunk.expect("there is something").bytes().to_vec();
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn what_is_cut_makes_one_chunk_sealed_or_not() {
        let longest = crate::crypto::seal::sealed_len(LONGEST);
        let room = crate::crypto::seal::sealed_len(MOST_PLAIN);
        assert!(longest <= MAX_CHUNK && longest + room > MAX_CHUNK);
    }

    #[test]
    fn whole_lines_are_cut_and_the_rest_is_held() {
        let mut chunker = filled(b"one\ntwo\nthr");
        assert_eq!(text(chunker.cut_lines()), "one\ntwo\n");
        assert_eq!(chunker.cut_lines(), None);
        chunker.room().extend_from_slice(b"ee\n");
        assert_eq!(text(chunker.cut_lines()), "three\n");
        assert!(chunker.is_empty());
        assert_eq!(chunker.cut_all(), None);
    }

    #[test]
    fn a_full_buffer_goes_whole_if_it_is_one_line() {
        let mut chunker = filled(&vec![b'x'; LONGEST - 1]);
        assert_eq!(chunker.cut_lines(), None);
        chunker.room().push(b'x');
        assert!(chunker.is_full());
        let all = Bytes::from(vec![b'x'; LONGEST]);
        assert_eq!(chunker.cut_lines(), Some(Plain::within_a_line(all)));
        assert!(chunker.is_empty());
    }

    #[test]
    fn a_long_chunk_is_not_copied() {
        let mut text = vec![b'x'; LONGEST];
        text[LONGEST - 3] = b'\n';
        let mut chunker = filled(&text);
        let place = chunker.room().as_ptr();
        let chunk = chunker.cut_lines().expect("there is a line");
        let chunk = chunk.bytes();
        assert_eq!((chunk.as_ptr(), chunk.len()), (place, LONGEST - 2));
        let rest = chunker.cut_all();
        assert_eq!(rest, Some(Plain::within_a_line(Bytes::from_static(b"xx"))));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_changed(
            pieces in prop::collection::vec((any::<bool>(), "[a\n]{0,40}", 0..400_000_usize), 0..9),
        ) {
            let (mut chunker, mut put, mut got) = (Chunker::new(), Vec::new(), Vec::new());
            for (all, text, run) in pieces {
                let mut bytes = text.into_bytes();
                bytes.resize(bytes.len() + run, b'-');
                put.extend_from_slice(&bytes);
                while !bytes.is_empty() {
                    let fits = bytes.len().min(LONGEST - chunker.room().len());
                    chunker.room().extend(bytes.drain(..fits));
                    let chunk = if all { chunker.cut_all() } else { chunker.cut_lines() };
                    let chunk = chunk.map(|chunk| chunk.bytes().clone()).unwrap_or_default();
                    prop_assert!(chunk.len() <= LONGEST);
                    prop_assert!(all || chunk.is_empty() || chunk.ends_with(b"\n") || chunk.len() == LONGEST);
                    got.extend_from_slice(&chunk);
                }
            }
            let last = chunker.cut_all();
            got.extend_from_slice(last.as_ref().map_or(&[], |last| last.bytes()));
            prop_assert!(put == got);
        }
    }
}
