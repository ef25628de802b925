//! The bytes that are sent, and the check that they arrived.
//!
//! Owns two blocks that are repeated: one of noise, one of lines of about 100 bytes. Neither begins with what
//! readers are woken with.

use std::io::{self, Read, Write};

/// How long a block is: not a multiple of anybody's buffer, so that what is moved by one shows.
const BLOCK: usize = (1 << 20) - 17;

/// A line with which a reader is woken before anything else is sent.
pub const WAKE: &[u8] = b"-\n";

/// What is sent again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No line ends in it but by chance.
    Noise,
    /// Lines of about 100 bytes.
    Lines,
}

/// So many bytes of one kind.
#[derive(Clone)]
pub struct Pattern {
    block: Vec<u8>,
    len: u64,
}

impl Pattern {
    /// `len` bytes of this kind; those of lines are cut at the end of one.
    pub fn new(kind: Kind, len: u64) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let block = match kind {
            Kind::Noise => {
                let mut block: Vec<u8> = (0..BLOCK).map(|_| next().to_le_bytes()[3]).collect();
                block[0] = b'!';
                block
            }
            Kind::Lines => lines(BLOCK, &mut next),
        };
        let whole = len / block.len() as u64;
        let len = match kind {
            Kind::Noise => len,
            Kind::Lines => whole.max(1) * block.len() as u64,
        };
        Self { block, len }
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many lines there are.
    pub fn lines(&self) -> u64 {
        let in_block = self.block.split(|byte| *byte == b'\n').count() as u64 - 1;
        in_block * (self.len / self.block.len() as u64)
    }

    /// Writes all of it.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut left = self.len;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX);
            let count = count.min(self.block.len());
            to.write_all(&self.block[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    /// Reads all of it, behind what woke the reader, and compares each byte. Returns what is
    /// missing or wrong, if anything is.
    pub fn check(&self, from: &mut impl Read) -> Result<(), String> {
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0_u64;
        while at < self.len {
            let read = from.read(&mut buffer).map_err(|error| error.to_string())?;
            if read == 0 {
                return Err(format!("{} bytes are missing", self.len - at));
            }
            let mut bytes = &buffer[..read];
            while at == 0
                && let [first, rest @ ..] = bytes
                && WAKE.contains(first)
            {
                bytes = rest;
            }
            at = self.compare(at, bytes)?;
        }
        Ok(())
    }

    /// Compares what stands behind byte `at`; returns where it ends.
    fn compare(&self, mut at: u64, mut bytes: &[u8]) -> Result<u64, String> {
        while !bytes.is_empty() {
            let place = usize::try_from(at % self.block.len() as u64).expect("it is in the block");
            let count = bytes.len().min(self.block.len() - place);
            if bytes[..count] != self.block[place..place + count] {
                return Err(format!("bytes behind {at} are wrong"));
            }
            bytes = &bytes[count..];
            at += count as u64;
        }
        Ok(at)
    }
}

fn lines(room: usize, next: &mut impl FnMut() -> u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(room);
    let mut number = 0;
    loop {
        let line = format!(
            "2026-11-28T12:00:{:02}Z host-{:02} service[{}]: request {number} took {} us, {:016x}\n",
            number % 60,
            next() % 40,
            next() % 9000,
            next() % 100_000,
            next()
        );
        if block.len() + line.len() > room {
            return block;
        }
        block.extend_from_slice(line.as_bytes());
        number += 1;
    }
}
