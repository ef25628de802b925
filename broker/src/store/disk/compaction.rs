//! Shrinks the log: copies the live entries of a mostly dead segment to the end of the log, and merges many
//! small chunks of one stream.
//!
//! This module chooses what is worth copying, and works in small steps so that the loop never stalls. It
//! copies and never deletes. A segment without live entries is deleted in the usual way once the copies are
//! safe.

use std::fs::File;
use std::sync::Arc;

use super::Disk;
use super::entry::INDEX_COST;
use super::frame::{Header, Kind, LONG, Meta};
use super::log::BUFFER;
use super::scan::{Found, Scanner};
use crate::store::{Mark, StreamKey, WriteError};

/// The number of bytes copied in one step.
const STEP: u64 = 4 << 20;

/// The number of entries examined in one step.
const LOOKS: usize = 4096;

/// A segment whose live entries are being copied.
#[derive(Debug)]
pub struct Compaction {
    segment: u32,
    file: Arc<File>,
    len: u64,
    position: u64,
}

/// When to compact the next segment.
#[derive(Debug, Default)]
pub struct Plan {
    under_way: Option<Compaction>,
    /// The release count and the checkpoint at which there was last nothing to do.
    nothing_at: Option<(u64, u32)>,
}

impl Disk {
    /// Does one bounded step of the compaction.
    pub(super) fn compact(&mut self) {
        if self.plan.under_way.is_none() {
            self.plan.under_way = self.choose();
        }
        if let Some(mut compaction) = self.plan.under_way.take()
            && self.step(&mut compaction) == Next::Continue
        {
            self.plan.under_way = Some(compaction);
        }
    }

    /// The old segment with the fewest live bytes, if copying it is worthwhile.
    fn choose(&mut self) -> Option<Compaction> {
        let (used, budget) = (self.used(), self.budget.payloads());
        let segment = self.segment;
        let slack = 2 * self.segments.live() + 2 * segment;
        let is_refusing = self.is_refusing;
        if !is_refusing && used <= budget / 2 && self.segments.size() + self.log.end() <= slack {
            return None;
        }
        let now = (self.segments.released(), self.state.0);
        if let Some((released, state)) = self.plan.nothing_at
            && state == now.1
            && now.0 - released < segment / 16
        {
            return None;
        }
        // The fuller the disk, the less a segment has to free to be worth copying.
        let is_tight = is_refusing || used > budget - budget / 4;
        // On a full disk, the copy must fit into the reserve and leave some of it for records.
        let most = match (is_refusing, self.reserve.is_there()) {
            (false, _) => u64::MAX,
            (true, true) => self.reserve.size() / 4 * 3,
            (true, false) => 0,
        };
        let end = self.state.0.min(self.log.segment());
        let worth = |size: u64, live: u64| {
            let dead = size.saturating_sub(live);
            dead > if is_tight { size / 8 } else { size / 2 }
        };
        let emptiest = self
            .segments
            .below(end)
            .filter(|(_, it)| {
                it.live > 0 && it.live <= most && !it.is_damaged && worth(it.size, it.live)
            })
            .min_by_key(|(_, it)| it.live.saturating_mul(1 << 10) / it.size.max(1))
            .map(|(number, it)| (number, it.size));
        let chosen = emptiest.and_then(|(number, len)| {
            let file = self.segments.open(number).ok()?;
            Some(Compaction {
                segment: number,
                file,
                len,
                position: 0,
            })
        });
        self.plan.nothing_at = chosen.is_none().then_some(now);
        chosen
    }

    fn step(&mut self, compaction: &mut Compaction) -> Next {
        let file = Arc::clone(&compaction.file);
        let mut scanner = Scanner::new(
            &file,
            compaction.segment,
            compaction.len,
            compaction.position,
        );
        let mut copied = 0;
        for _ in 0..LOOKS {
            let is_alive = self
                .segments
                .get(compaction.segment)
                .is_some_and(|it| it.live > 0);
            if !is_alive {
                return Next::Done;
            }
            match scanner.advance() {
                None => return Next::Done,
                Some(Found::Damage(..)) => self.segments.set_damaged(compaction.segment),
                Some(Found::Entry(place, header)) => {
                    let Kind::Chunk(meta) = header.kind else {
                        continue;
                    };
                    if self.index.lies_at(meta.stream, meta.at, place).is_none() {
                        continue;
                    }
                    if !self.make_room(header.entry_size()) {
                        // The next flush tries again from here.
                        compaction.position = place.position;
                        return Next::Continue;
                    }
                    let Some(body) = scanner.body(place, &header) else {
                        self.segments.set_damaged(compaction.segment);
                        return Next::Done;
                    };
                    let to = self.log.put(&header, body);
                    let segments = &mut self.segments;
                    self.index
                        .relocate(meta.stream, meta.at, place, to, segments);
                    copied += header.entry_size();
                    if self.log.buffered() >= BUFFER && self.log.flush().is_err() {
                        break;
                    }
                }
            }
            if copied >= STEP {
                break;
            }
        }
        compaction.position = scanner.position();
        Next::Continue
    }

    /// Rewrites the last chunks of a stream as one chunk, if they are many and small. Returns the freed cost.
    /// If that is not possible now, the chunks stay as they are.
    pub(super) fn merge(&mut self, stream: StreamKey) -> u64 {
        let Some(entries) = self.index.take_run(stream) else {
            return 0;
        };
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return 0;
        };
        let len: usize = entries.iter().map(|entry| entry.mark().len).sum();
        if self.room((LONG + len) as u64).is_err() {
            return 0;
        }
        let mut body = Vec::with_capacity(len);
        for entry in &entries {
            match self.payload(stream, *entry) {
                Ok(payload) => body.extend_from_slice(&payload),
                // The error is reported when a listener gets there.
                Err(_) => return 0,
            }
        }
        let mark = Mark {
            at: first.mark().at,
            len,
            ..last.mark()
        };
        let Some(header) = Header::new(Kind::Chunk(Meta::of(stream, mark)), &body) else {
            return 0;
        };
        let Ok(place) = self.write(&header, &body) else {
            return 0;
        };
        let freed = self
            .index
            .merge(stream, entries.len(), mark, place, &mut self.segments);
        debug_assert!(
            freed <= entries.len() as u64 * INDEX_COST,
            "no more than was paid"
        );
        freed
    }

    /// Writes an entry, bypassing the buffer if the entry is large.
    pub(super) fn write(
        &mut self,
        header: &Header,
        body: &[u8],
    ) -> Result<super::frame::Place, WriteError> {
        if body.len() >= super::log::LARGE {
            return self.log.write(header, body);
        }
        if self.log.buffered() >= BUFFER {
            self.log.flush()?;
        }
        Ok(self.log.put(header, body))
    }
}

/// Whether there is more to copy.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Done,
}
