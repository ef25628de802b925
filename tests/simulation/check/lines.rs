//! Rule 13: where streams are merged, lines stay whole.

use std::time::Duration;

use super::{Checker, Verdict};
use crate::simulation::facts::{Facts, Item, Listener, Stream};

/// Lines up to this length stay whole, in bytes.
const LONGEST: u64 = 1 << 20;

/// A line stays whole if it takes no longer than this from its first byte to its newline.
const SLOWEST: Duration = Duration::from_secs(1);

impl Checker {
    /// No listener got another writer's bytes inside a line that the rule protects.
    pub fn lines(&mut self) -> Verdict {
        let mut split = 0;
        for facts in self.past.iter().chain([&self.facts]) {
            for (id, listener) in &facts.listeners {
                split += whole_lines(facts, listener)
                    .map_err(|why| format!("{:?} listener {id}: {why}", listener.mode))?;
            }
        }
        for _ in 0..split {
            self.coverage.hit("slow line divided");
        }
        Ok(())
    }
}

/// How many lines were divided where that is allowed.
fn whole_lines(facts: &Facts, listener: &Listener) -> Result<u64, String> {
    // The places of the chunks among the items.
    let chunks: Vec<_> = listener
        .items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| match item {
            Item::Chunk { stream, index, .. } => Some((place, *stream, *index)),
            Item::Ended { .. } | Item::Done { .. } => None,
        })
        .collect();
    let mut split = 0;
    for (number, (place, id, index)) in chunks.iter().enumerate() {
        // The next chunk of the same stream, if bytes of others come between.
        let later = &chunks[number + 1..];
        let next = later
            .iter()
            .position(|(_, stream, chunk)| (stream, *chunk) == (id, index + 1));
        let between = &later[..next.unwrap_or(0)];
        if between.iter().all(|(_, stream, _)| stream == id) {
            continue;
        }
        // Rule 16: who was told of a cut gets the rest as another stream. The line was over at the cut.
        let next_place = next.map_or(*place, |next| later[next].0);
        let is_cut = |item: &Item| matches!(item, Item::Ended { stream, .. } if stream == id);
        if listener.items[*place..next_place].iter().any(is_cut) {
            continue;
        }
        let stream = &facts.streams[id];
        if let Some(Line { took, len }) = line_across(stream, *index) {
            if took <= SLOWEST && len <= LONGEST {
                return Err(format!(
                    "a line of {len} bytes that took {took:?} is divided behind chunk {index} of {id}"
                ));
            }
            split += 1;
        }
    }
    Ok(split)
}

/// A line that spans chunks.
struct Line {
    /// The time between receiving its first byte and its newline.
    took: Duration,
    /// Its length in bytes.
    len: u64,
}

/// The line that continues behind this chunk, if there is one and it ever got its newline.
fn line_across(stream: &Stream, index: u64) -> Option<Line> {
    let place = usize::try_from(index).ok()?;
    let open = stream.chunks[place].tail;
    if open == 0 {
        return None;
    }
    let mut back = 0;
    let first = stream.chunks[..=place].iter().rev().find(|chunk| {
        back += chunk.payload.len() as u64;
        back >= open
    })?;
    let mut len = open;
    for chunk in &stream.chunks[place + 1..] {
        if let Some(newline) = chunk.payload.iter().position(|byte| *byte == b'\n') {
            len += newline as u64 + 1;
            return Some(Line {
                took: chunk.at.saturating_sub(first.at),
                len,
            });
        }
        len += chunk.payload.len() as u64;
    }
    None
}
