//! The input of writers: each line contains its writer and its offset in the stream, so that gaps and
//! repeats show in the output.

use crate::rng::mix;

/// What this writer is given, about so many bytes: lines, each `@writer:place:letters`, where nothing
/// but a line's first byte is `@`.
pub fn content(writer: usize, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 1024);
    // Few lines suffice for much.
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

/// Writer and place that a line begins with, if its head is there.
pub fn head(line: &[u8]) -> Option<(usize, usize)> {
    let line = line.strip_prefix(b"@")?;
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let found = (number()?, number()?);
    fields.next().map(|_| found)
}

/// The least of a line that tells whose it is, wherever it is cut.
const TELLING: usize = 15;

/// A place to cut `bytes` at, which begin with a line: `at`, or the end of the line there if a part
/// of it were too short to tell whose it is.
pub fn cut(bytes: &[u8], at: usize) -> usize {
    let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |newline| newline + 1);
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1);
    if at - start < TELLING || end - at < TELLING {
        end
    } else {
        at
    }
}

/// Two texts that may be too long to be shown.
#[track_caller]
pub fn assert_same(got: &[u8], expected: &[u8]) {
    let place = got
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    let (have, want) = (got.len(), expected.len());
    assert!(
        got == expected,
        "{have} bytes of {want}, another one at {place:?}"
    );
}
