//! One pass over the log: what its entries say, and where there is damage.
//!
//! This module only reads, so that the directory of a later program, or a badly damaged one, is left as it
//! was.

use std::collections::BTreeMap;
use std::fs::File;

use super::entry::Entry;
use super::frame::{FILE_HEADER, FileHeader, FileKind, Header, Kind, Meta, Place};
use super::index::Index;
use super::scan::{Found, Scanner};
use super::state::{decode_record, header};
use crate::store::{Mark, Record, Recovered, StreamKey};

/// A segment to read.
#[derive(Debug)]
pub struct Source {
    /// The segment's number.
    pub number: u32,
    /// The segment's file.
    pub file: File,
    /// The segment's length.
    pub len: u64,
}

/// Bytes that are not a whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where the bytes begin.
    pub from: Place,
    /// Where the bytes end, in the same segment.
    pub to: u64,
}

/// The result of one pass.
#[derive(Debug)]
pub struct Pass {
    /// The state given by the records.
    pub recovered: Recovered,
    /// The positions of the chunks.
    pub index: Index,
    /// Everything below this position had been synced.
    pub floor: Place,
    /// Damage, in log order.
    pub holes: Vec<Hole>,
    /// Damaged payloads by stream.
    pub bad: BTreeMap<u64, Vec<Mark>>,
    /// The position of the last whole entry.
    pub last: Place,
}

impl Pass {
    /// Reads the log up to `limit`. Chunks are read in all segments, records only from `floor` on. All bytes
    /// from `floor` on are verified too, because they may not have been synced.
    #[must_use]
    pub fn run(
        recovered: Recovered,
        sources: &[Source],
        floor: Place,
        limit: Option<Place>,
    ) -> Self {
        let mut pass = Self {
            recovered,
            index: Index::default(),
            floor,
            holes: Vec::new(),
            bad: BTreeMap::new(),
            last: Place::default(),
        };
        let newest = sources.last().map(|source| source.number);
        for source in sources {
            let is_new = source.number >= floor.segment;
            pass.read(
                source,
                is_new,
                is_new || Some(source.number) == newest,
                limit,
            );
        }
        pass
    }

    /// The first damaged position at which nothing had been synced. Entries behind it must not count, because
    /// something before them is missing.
    #[must_use]
    pub fn torn(&self) -> Option<Place> {
        let holes = self.holes.iter().map(|hole| hole.from);
        holes.filter(|from| *from >= self.floor).min()
    }

    fn read(&mut self, source: &Source, is_new: bool, verify: bool, limit: Option<Place>) {
        let start = Place {
            segment: source.number,
            position: 0,
        };
        let is_beyond = |place: Place| limit.is_some_and(|limit| place >= limit);
        if is_beyond(start) {
            return;
        }
        if header(&source.file, FileKind::Log) != FileHeader::Known {
            self.hole(start, source.len.min(FILE_HEADER as u64));
        }
        let mut scanner = Scanner::new(&source.file, source.number, source.len, 0);
        while let Some(found) = scanner.advance() {
            match found {
                Found::Entry(place, _) | Found::Damage(place, _) if is_beyond(place) => return,
                Found::Damage(from, to) => self.hole(from, to),
                Found::Entry(place, header) => {
                    self.last = place;
                    self.entry(&mut scanner, place, &header, is_new, verify);
                }
            }
        }
    }

    fn hole(&mut self, from: Place, to: u64) {
        self.holes.push(Hole { from, to });
    }

    fn entry(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: Place,
        header: &Header,
        is_new: bool,
        verify: bool,
    ) {
        let end = place.position + header.entry_size();
        match header.kind {
            Kind::Record if !is_new => {}
            Kind::Record => match scanner.body(place, header).and_then(decode_record) {
                Some(record) => self.record(record),
                None => self.hole(place, end),
            },
            Kind::Mark => match scanner.body(place, header).and_then(Place::from_bytes) {
                Some(floor) if floor <= place => self.floor = self.floor.max(floor),
                // A damaged mark only loses the proof of what was synced.
                _ => self.hole(place, end),
            },
            // An end entry belongs only in state files.
            Kind::End => self.hole(place, end),
            Kind::Chunk(meta) => {
                let is_sound = !verify || scanner.body(place, header).is_some();
                self.chunk(place, meta, header.len as usize, is_sound);
            }
        }
    }

    fn record(&mut self, record: Record) {
        if let Record::Gone { key } = record {
            self.index.forget(StreamKey(key));
        }
        self.recovered.apply(record);
    }

    fn chunk(&mut self, place: Place, meta: Meta, len: usize, is_sound: bool) {
        self.recovered.note_arrival(meta.arrival);
        self.recovered.note_key(meta.stream.0);
        let mark = Mark {
            at: meta.at,
            tail: meta.tail,
            arrival: meta.arrival,
            len,
        };
        let entry = Entry::new(mark, place, false);
        if is_sound {
            self.index.find_again(meta.stream, entry);
        } else {
            self.bad.entry(meta.stream.0).or_default().push(mark);
            self.hole(place, place.position + entry.size());
        }
    }
}
