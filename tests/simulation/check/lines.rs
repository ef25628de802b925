//! Rule 13: where streams are merged, lines stay whole.

use std::time::Duration;

use super::{Checker, Verdict};
use crate::simulation::facts::{Facts, Listener, Stream, Turn};

/// Lines up to this length stay whole, in bytes.
const LONGEST: u64 = 1 << 20;

/// Lines that take no longer than this from their first byte to their newline stay whole.
const SLOWEST: Duration = Duration::from_secs(1);

impl Checker {
    /// No listener got another writer's bytes within a line that the rule protects.
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

/// How many lines came divided, where that is allowed.
fn whole_lines(facts: &Facts, listener: &Listener) -> Result<u64, String> {
    let chunks: Vec<_> = listener
        .turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::Chunk { stream, seq, .. } => Some((*stream, *seq)),
            Turn::Ended { .. } | Turn::Done { .. } => None,
        })
        .collect();
    let mut split = 0;
    for (place, (id, seq)) in chunks.iter().enumerate() {
        // The chunk right behind this one in the stream, if bytes of others come between.
        let next = chunks[place + 1..]
            .iter()
            .position(|chunk| *chunk == (*id, seq + 1));
        if next.is_none_or(|between| between == 0) {
            continue;
        }
        let stream = &facts.streams[id];
        if let Some(Line { took, len }) = line_across(stream, *seq) {
            if took <= SLOWEST && len <= LONGEST {
                return Err(format!(
                    "a line of {len} bytes that took {took:?} is divided behind chunk {seq} of {id}"
                ));
            }
            split += 1;
        }
    }
    Ok(split)
}

/// A line of more than one chunk.
struct Line {
    /// How long it took from the taking in of its first byte to that of its newline.
    took: Duration,
    /// How long it is, in bytes.
    len: u64,
}

/// The line that goes on behind this chunk, if there is one and it ever got its newline.
fn line_across(stream: &Stream, seq: u64) -> Option<Line> {
    let place = usize::try_from(seq).ok()?;
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
