//! The input of writers: each line contains its writer and its offset in the stream, so that gaps and
//! repeats show in the output.

use crate::faults::rng::mix;

/// The input of this writer, about this many bytes: lines of the form `@writer:offset:letters`. `@` occurs
/// only as the first byte of a line.
pub fn content(writer: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 1024);
    // Large inputs get long lines.
    let longest = if length > 100_000 { 900 } else { 60 };
    while bytes.len() < length {
        let seed = mix((writer as u64) << 40 | bytes.len() as u64);
        bytes.extend(format!("@{writer}:{}:", bytes.len()).into_bytes());
        let letters = (0..seed % longest).map(|place| b'a' + (mix(seed + place) % 26) as u8);
        bytes.extend(letters);
        bytes.push(b'\n');
    }
    bytes
}

/// The writer and the offset at the start of a line, if its head is complete.
pub fn head(line: &[u8]) -> Option<(usize, usize)> {
    let line = line.strip_prefix(b"@")?;
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let found = (number()?, number()?);
    fields.next().map(|_| found)
}

/// The shortest part of a line that identifies it, wherever the line is cut.
const TELLING: usize = 15;

/// Where to cut `bytes`, which begin with a line: at `at`, or at the end of that line if a part of it would
/// be too short to identify.
pub fn cut(bytes: &[u8], at: usize) -> usize {
    let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1);
    if at - start < TELLING || end - at < TELLING {
        end
    } else {
        at
    }
}

/// Compares two texts that may be too long to print.
#[track_caller]
pub fn assert_same(got: &[u8], expected: &[u8]) {
    let place = got
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    let (have, requested) = (got.len(), expected.len());
    assert!(
        got == expected,
        "{have} bytes of {requested}, another one at {place:?}"
    );
}
