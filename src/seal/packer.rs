//! Bytes made shorter before they are sealed, and long again once they are opened.
//!
//! Owns every call into zstd, and how many bytes go into one record: as many as make it full. Each record
//! is packed by itself, so that a listener can begin at any. Never decides when a stream is packed.

use std::fmt;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

use super::record::{MOST_PLAIN, MOST_RATIO, OVERHEAD};

/// A frame that is skipped when it is unpacked (RFC 8878, 3.1.2): its magic number and its length.
const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
const SKIPPED_HEADER: usize = 8;

/// The longest plaintext of a record: so long that there is room for the header of what is skipped wherever
/// something has to be.
const MOST_PACKED: usize = MOST_RATIO * (MOST_PLAIN + OVERHEAD - SKIPPED_HEADER);

/// How often a record is packed at most until it fits.
const MOST_TRIES: usize = 3;

/// Packs the bytes of records.
pub struct Packer {
    compressor: Compressor<'static>,
    /// What was packed last.
    packed: Vec<u8>,
    /// So many bytes are thought to fill a record.
    guess: usize,
}

impl Packer {
    /// One of this level of zstd: 1 is quick, 19 thorough. None if there is no memory for it.
    #[must_use]
    pub fn new(level: i32) -> Option<Self> {
        Some(Self {
            compressor: Compressor::new(level).ok()?,
            packed: Vec::with_capacity(compress_bound(MOST_PACKED)),
            guess: 4 * MOST_PLAIN,
        })
    }

    /// Packs the beginning of `plain` into at most `room` bytes, as much as fits and up to a line's end
    /// where there is one: how many bytes, and what they are packed as. None when they shrink too little
    /// for that to be worth it.
    pub(super) fn pack(&mut self, plain: &[u8], room: usize) -> Option<(usize, &[u8])> {
        let mut length = self.guess.min(plain.len());
        for _ in 0..MOST_TRIES {
            if length < plain.len() {
                length = line_end(&plain[..length]);
            }
            let packed = self.shrink(&plain[..length])?;
            if packed <= room && is_worth_it(length, packed) {
                if length < plain.len() {
                    self.guess = filling(length, packed);
                }
                self.pad(length);
                return Some((length, &self.packed));
            }
            let fits = filling(length, packed) * room / MOST_PLAIN;
            if packed <= room || fits <= room {
                break;
            }
            length = fits.min(length - 1);
        }
        self.guess = 2 * MOST_PLAIN;
        None
    }

    fn shrink(&mut self, plain: &[u8]) -> Option<usize> {
        self.packed.clear();
        let shrunk = self.compressor.compress_to_buffer(plain, &mut self.packed);
        shrunk.ok()
    }

    /// Makes what was packed so long that an opener takes it for as many bytes.
    fn pad(&mut self, plain: usize) {
        let lacking = plain
            .div_ceil(MOST_RATIO)
            .saturating_sub(self.packed.len() + OVERHEAD);
        if lacking > 0 {
            let zeros = lacking.saturating_sub(SKIPPED_HEADER);
            let length = u32::try_from(zeros).expect("a record is short");
            self.packed.extend_from_slice(&SKIPPED);
            self.packed.extend_from_slice(&length.to_le_bytes());
            self.packed.resize(self.packed.len() + zeros, 0);
        }
    }
}

/// How many bytes fill a record, when so many are packed as `packed`: a few less, so that they fit.
fn filling(plain: usize, packed: usize) -> usize {
    let full = plain * (MOST_PLAIN - MOST_PLAIN / 32) / packed.max(1);
    // Twice as many at most, for what comes may be of another kind.
    full.min(2 * plain).clamp(MOST_PLAIN, MOST_PACKED)
}

/// Whether packing saves a tenth at least.
fn is_worth_it(plain: usize, packed: usize) -> bool {
    packed + plain / 10 < plain
}

/// Where the last line ends; where all of it ends, if no line does.
pub(super) fn line_end(plain: &[u8]) -> usize {
    memchr::memrchr(b'\n', plain).map_or(plain.len(), |at| at + 1)
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("guess", &self.guess)
            .finish_non_exhaustive()
    }
}

/// Unpacks the content of records.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    /// None if there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        Decompressor::new().ok().map(Self)
    }

    /// Unpacks what a record of `length` bytes in all holds to the end of `plain`; how many bytes that
    /// were. None if it is not what a [`Packer`] makes.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        length: usize,
        plain: &mut Vec<u8>,
    ) -> Option<usize> {
        let most = MOST_RATIO * length;
        let start = plain.len();
        plain.resize(start + most, 0);
        let unpacked = self.0.decompress_to_buffer(packed, &mut plain[start..]);
        let unpacked = unpacked.ok().filter(|length| *length > 0);
        plain.truncate(start + unpacked.unwrap_or(0));
        unpacked
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_up_still_fits_a_record() {
        let mut packer = Packer::new(1).expect("there is memory");
        for plain in [1, 1000, MOST_PACKED - 1, MOST_PACKED] {
            for packed in 1..=MOST_PLAIN {
                packer.packed = vec![0; packed];
                packer.pad(plain);
                let length = packer.packed.len();
                assert!(length <= MOST_PLAIN, "{plain} as {packed}: {length}");
                assert!(plain <= MOST_RATIO * (length + OVERHEAD));
            }
        }
    }
}
