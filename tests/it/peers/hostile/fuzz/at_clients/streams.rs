//! The streams that a hostile satellite offers, and what a listener may print of them.
//!
//! Every line contains its stream and its number, and every part has whole lines. At a satellite with keys
//! the parts are sealed as their writer would have sealed them.

use std::collections::HashMap;

use skypipe::crypto::Keyring;
use skypipe::crypto::seal::{Order, Sealer, Suite};
use skypipe_protocol::How;
use skypipe_protocol::secret::Secret;
use uuid::Uuid;

use crate::common::chance::Chance;
use crate::common::outcome::{Outcome, excerpt};

/// The pipe of all commands under test.
pub const PIPE: &str = "p";

/// The number of streams, and their longest length, in parts and in lines of a part.
const STREAMS: usize = 64;
const PARTS: usize = 12;
const LINES: usize = 40;

/// The length of a line: three digits, a space, five digits and the line end.
const LINE: usize = 10;

pub struct Stream {
    pub id: Uuid,
    pub parts: Vec<Vec<u8>>,
    pub how: How,
    lines: usize,
}

/// All streams, and attestations of `--eof`s.
pub struct Streams {
    pub all: Vec<Stream>,
    /// A valid attestation of this pipe, and invalid ones: another pipe's, and random bytes.
    pub eof: Vec<u8>,
    pub others: Vec<Vec<u8>>,
    is_private: bool,
}

impl Streams {
    /// Makes the streams of a pipe's writers, sealed if there are keys.
    pub fn new(chance: &mut Chance, keyring: Option<&Keyring>, now: u64) -> Self {
        let stream = |number| Stream::new(chance, keyring, number);
        let all = (0..STREAMS).map(stream).collect();
        let eof = |pipe: &str| {
            let order = Order {
                by: "a member".to_owned(),
                at: now,
            };
            let sealed = keyring.and_then(|keyring| order.seal(keyring.newest(), pipe));
            sealed.unwrap_or_default().to_vec()
        };
        Self {
            all,
            eof: eof(PIPE),
            others: vec![eof("another"), vec![7; 60], Vec::new()],
            is_private: keyring.is_some(),
        }
    }

    /// Checks that a listener of a satellite with keys printed written lines only, each once and in order.
    /// Returns whether all streams of which it printed anything are whole.
    #[track_caller]
    pub fn check(&self, outcome: &Outcome, may_skip: bool) -> Printed {
        assert!(self.is_private, "in the open nobody can tell");
        let mut next: HashMap<usize, usize> = HashMap::new();
        let mut is_headless = false;
        for line in outcome.stdout.chunks(LINE) {
            let (stream, number) = read(line).unwrap_or_else(|| panic!("a line: {outcome}"));
            let has_it = self.all.get(stream).is_some_and(|it| number < it.lines);
            assert!(has_it, "nobody wrote {:?}: {outcome}", excerpt(line));
            is_headless |= number > 0 && !next.contains_key(&stream);
            let due = next.entry(stream).or_insert(number);
            let is_in_order = if may_skip {
                number >= *due
            } else {
                number == *due
            };
            assert!(is_in_order, "line {number}, not {due}: {outcome}");
            *due = number + 1;
        }
        let is_whole = |(stream, next): (&usize, &usize)| *next == self.all[*stream].lines;
        Printed {
            streams: next.len(),
            is_whole: !is_headless && next.iter().all(is_whole),
        }
    }
}

/// What a listener has printed.
pub struct Printed {
    /// The number of streams.
    pub streams: usize,
    /// Whether each of them is whole.
    pub is_whole: bool,
}

impl Stream {
    fn new(chance: &mut Chance, keyring: Option<&Keyring>, number: usize) -> Self {
        let (id, mut lines) = (chance.uuid(), 0);
        let mut sealer = keyring.map(|keyring| {
            let entropy = chance.bytes(32).try_into().expect("they are so many");
            let entropy = Secret::new(entropy);
            let newest = keyring.newest();
            Sealer::new(newest, &entropy, id, PIPE, 0, Suite::best()).expect("a good key")
        });
        let mut parts = Vec::new();
        for _ in 0..=chance.below(PARTS) {
            let count = 1 + chance.below(LINES);
            let text = (lines..lines + count).map(|line| format!("{number:03} {line:05}\n"));
            let text = text.collect::<String>().into_bytes();
            lines += count;
            parts.push(match &mut sealer {
                Some(sealer) => sealer.seal(&text).to_vec(),
                None => text,
            });
        }
        let how = sealer.map_or(How::End, |sealer| How::Proven(sealer.end()));
        Self {
            id,
            parts,
            how,
            lines,
        }
    }
}

/// The stream and the number of a line.
fn read(line: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (stream, number) = text.split_once(' ')?;
    let is_form = line.len() == LINE && stream.len() == 3;
    is_form.then_some((stream.parse().ok()?, number.parse().ok()?))
}
