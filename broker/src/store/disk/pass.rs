//! One pass over the log: what its entries say, and where there is none.
//!
//! Pure reading: it changes no file, so that a directory that turns out to be a later program's, or
//! worse, is left as it was.

use std::collections::BTreeMap;
use std::fs::File;

use super::frame::{FILE_HEADER, FileHeader, FileKind, Header, Kind, Meta, Place};
use super::index::{Entry, Index};
use super::scan::{Found, Scanner};
use super::state::{decode_record, header};
use crate::store::{Mark, Record, Recovered, StreamKey};

/// A segment that is to be read.
#[derive(Debug)]
pub struct Source {
    /// Its number.
    pub number: u32,
    /// The file.
    pub file: File,
    /// Its length.
    pub len: u64,
}

/// Bytes that are no whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where they begin.
    pub from: Place,
    /// Where they end, in the same segment.
    pub to: u64,
}

/// What one pass found.
#[derive(Debug)]
pub struct Pass {
    /// What the records say.
    pub recovered: Recovered,
    /// Where the chunks lie.
    pub index: Index,
    /// What lies below this place had been synced.
    pub floor: Place,
    /// Damage, in the log's order.
    pub holes: Vec<Hole>,
    /// By stream: where payloads lay that are damaged.
    pub bad: BTreeMap<u64, Vec<Mark>>,
    /// The last whole entry.
    pub last: Place,
}

impl Pass {
    /// Reads the log up to `limit`: chunks of all segments, records of those from `floor` on, whose
    /// bytes are all verified too, since they may not have been synced.
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

    /// The first place from which on nothing had been synced and something is missing: what lies
    /// behind it must not count, because something before it is not there.
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
                // Without a mark nothing is lost but a proof of what was synced.
                _ => self.hole(place, end),
            },
            // Belongs into other files.
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
