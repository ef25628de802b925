//! The bytes that are sent, and the check that they arrived.
//!
//! Owns blocks that are repeated: noise, lines of about 100 bytes, and an access log. None of them
//! begins with the line that wakes readers.

use std::io::{self, Read, Write};

use crate::client::WAKE;

/// The length of a block in bytes. It is no multiple of any tool's buffer, so that a shift by one
/// buffer is detected.
const BLOCK: usize = (1 << 20) - 17;

/// The content of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Noise. A line ends in it only by chance.
    Noise,
    /// Lines of about 100 bytes, a third of them noise.
    Lines,
    /// An access log, in the format that web servers share.
    Log,
}

/// A number of bytes of one kind.
#[derive(Clone)]
pub struct Pattern {
    block: Vec<u8>,
    len: u64,
}

impl Pattern {
    /// `len` bytes of this kind. Lines are cut at the end of a line.
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
            Kind::Lines => block_of(&mut next, line),
            Kind::Log => block_of(&mut next, access),
        };
        let whole = len / block.len() as u64;
        let len = match kind {
            Kind::Noise => len,
            Kind::Lines | Kind::Log => whole.max(1) * block.len() as u64,
        };
        Self { block, len }
    }

    /// The number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The number of lines.
    pub fn lines(&self) -> u64 {
        let in_block = self.block.split(|byte| *byte == b'\n').count() as u64 - 1;
        in_block * (self.len / self.block.len() as u64)
    }

    /// Writes the whole pattern.
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

    /// Reads the whole pattern, after the line that woke the reader, and compares each byte.
    /// Anything after the pattern is ignored. Returns what is missing or wrong.
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
            let left = usize::try_from(self.len - at).unwrap_or(usize::MAX);
            at = self.compare(at, &bytes[..bytes.len().min(left)])?;
        }
        Ok(())
    }

    /// Compares the bytes from position `at` on. Returns the position after them.
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

/// As many lines as fit into a block.
fn block_of(
    next: &mut impl FnMut() -> u64,
    line: impl Fn(u64, &mut dyn FnMut() -> u64) -> String,
) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK);
    for number in 0.. {
        let line = line(number, next);
        if block.len() + line.len() > BLOCK {
            break;
        }
        block.extend_from_slice(line.as_bytes());
    }
    block
}

fn line(number: u64, next: &mut dyn FnMut() -> u64) -> String {
    format!(
        "2026-11-28T12:00:{:02}Z host-{:02} service[{}]: request {number} took {} us, {:016x}\n",
        number % 60,
        next() % 40,
        next() % 9000,
        next() % 100_000,
        next()
    )
}

fn access(number: u64, next: &mut dyn FnMut() -> u64) -> String {
    const PAGES: [&str; 6] = [
        "",
        "about",
        "login",
        "api/items",
        "static/app.js",
        "img/logo.png",
    ];
    const AGENTS: [&str; 3] = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "curl/8.5.0",
    ];
    let mut pick = |count: usize| (next() % count as u64) as usize;
    format!(
        "198.51.100.{} - - [28/Nov/2026:12:{:02}:{:02} +0000] \"GET /{}?id={} HTTP/1.1\" {} {} \"-\" \"{}\"\n",
        pick(256),
        number / 3000 % 60,
        number / 50 % 60,
        PAGES[pick(PAGES.len())],
        pick(10_000),
        [200, 200, 200, 304, 404][pick(5)],
        pick(50_000),
        AGENTS[pick(AGENTS.len())],
    )
}
