//! Compression of bytes before they are sealed, and decompression after they are opened.
//!
//! This module owns every call into zstd, and the number of bytes in one record: as many as fill it. Each
//! record is compressed alone, so that a listener can start at any. It never decides when a stream is
//! packed (compressed).

use std::fmt;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

use super::record::{MOST_PLAIN, MOST_RATIO, OVERHEAD};

/// The magic number of a skippable frame (RFC 8878, 3.1.2). The frame's length follows it.
const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
const SKIPPED_HEADER: usize = 8;

/// The most plaintext of a packed record. It leaves room for a skippable frame's header wherever padding is
/// needed.
const MOST_PACKED: usize = MOST_RATIO * (MOST_PLAIN + OVERHEAD - SKIPPED_HEADER);

/// How often a record is compressed at most until it fits.
const MOST_TRIES: usize = 3;

/// Compresses the content of records.
pub struct Packer {
    compressor: Compressor<'static>,
    /// The last compressed content.
    packed: Vec<u8>,
    /// An estimate of how many bytes fill a record.
    guess: usize,
}

impl Packer {
    /// Creates a packer for this zstd level: 1 is fast, 19 thorough. `None` if there is no memory for it.
    #[must_use]
    pub fn new(level: i32) -> Option<Self> {
        Some(Self {
            compressor: Compressor::new(level).ok()?,
            packed: Vec::with_capacity(compress_bound(MOST_PACKED)),
            guess: 4 * MOST_PLAIN,
        })
    }

    /// Packs the start of `plain` into at most `room` bytes: as much as fits, and up to a line end if there
    /// is one. Returns how many bytes were packed, and the packed form. `None` if they shrink too little to
    /// be worth it.
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

    /// Pads the packed form until an opener accepts it for this many plaintext bytes.
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

/// An estimate of how many bytes fill a record, if `plain` bytes pack to `packed`. It is a little low, so
/// that they fit.
fn filling(plain: usize, packed: usize) -> usize {
    let full = plain * (MOST_PLAIN - MOST_PLAIN / 32) / packed.max(1);
    // At most twice as many, because the next bytes may compress differently.
    full.min(2 * plain).clamp(MOST_PLAIN, MOST_PACKED)
}

/// Whether packing saves at least a tenth.
fn is_worth_it(plain: usize, packed: usize) -> bool {
    packed + plain / 10 < plain
}

/// The offset behind the last line end, or the whole length if there is none.
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

/// Decompresses the content of records.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    /// `None` if there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        Decompressor::new().ok().map(Self)
    }

    /// Decompresses the content of a record of `length` bytes in all, and appends it to `plain`. Returns
    /// the number of bytes. `None` if the content is not in the form that [`Packer`] makes.
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
