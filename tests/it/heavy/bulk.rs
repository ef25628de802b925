//! Large data that is never stored: it is generated again from its seed for the comparison.

use std::io::{self, Read, Write};
use std::process::ChildStdin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::heavy::MIB;

/// Random bytes. The same seed gives the same bytes.
pub struct Random(u64);

impl Random {
    /// Sebastiano Vigna's `SplitMix64`, which is fast and passes the usual tests.
    pub fn fill(&mut self, block: &mut [u8]) {
        for bytes in block.chunks_exact_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
    }
}

/// A block. The length of every random stream here is a multiple of its length.
fn block() -> Vec<u8> {
    vec![0; 1 << 20]
}

/// Writes this many random bytes to `stdin` in another thread, then closes it.
pub fn pour(mut stdin: ChildStdin, seed: u64, length: u64) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        let (mut random, mut block) = (Random(seed), block());
        for _ in 0..length / MIB {
            random.fill(&mut block);
            stdin.write_all(&block)?;
        }
        Ok(())
    })
}

/// The reader's side of [`pour`].
pub struct Comparison<R> {
    source: R,
    random: Random,
    got: Vec<u8>,
    expected: Vec<u8>,
    position: u64,
    /// When the last block was complete, and the longest time that another one took.
    last: Option<Instant>,
    pub longest: Duration,
}

impl<R: Read> Comparison<R> {
    pub fn new(source: R, seed: u64) -> Self {
        Self {
            source,
            random: Random(seed),
            got: block(),
            expected: block(),
            position: 0,
            last: None,
            longest: Duration::ZERO,
        }
    }

    /// Reads up to this position.
    pub fn up_to(&mut self, position: u64) {
        while self.position < position {
            let read = self.source.read_exact(&mut self.got);
            read.unwrap_or_else(|error| panic!("after {} bytes: {error}", self.position));
            self.random.fill(&mut self.expected);
            assert!(
                self.got == self.expected,
                "another byte after {}",
                self.position
            );
            self.position += MIB;
            let now = Instant::now();
            let took = self.last.replace(now).map(|last| now - last);
            self.longest = self.longest.max(took.unwrap_or_default());
        }
    }

    /// Reads to the end, and asserts that it is at this position.
    pub fn whole(&mut self, length: u64) {
        self.up_to(length);
        let more = self.source.read(&mut self.got).expect("it is a pipe");
        assert_eq!(more, 0, "more bytes than were written");
    }
}
