//! State files: all records that were valid when a segment began.
//!
//! This module owns their format. It is the log's format, plus a last entry with the number of records; a
//! file without that entry is incomplete. Every record has its own checksum. A damaged byte in a file that
//! nothing can replace thus costs only one record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame::{
    FILE_HEADER, FileHeader, FileKind, Header, Kind, Place, file_header, read_file_header, u64_at,
};
use super::scan::{Found, Scanner};
use crate::store::Record;

/// The contents of a state file.
#[derive(Debug, Default)]
pub struct StateFile {
    /// The undamaged records.
    pub records: Vec<Record>,
    /// Whether these are all records that were written.
    pub is_whole: bool,
    /// The length of the file.
    pub size: u64,
}

#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    // Records contain nothing that MessagePack cannot express. Readers skip an empty body.
    rmp_serde::to_vec(record).unwrap_or_default()
}

/// Decodes a record. None if the bytes are not a record.
#[must_use]
pub fn decode_record(bytes: &[u8]) -> Option<Record> {
    rmp_serde::from_slice(bytes).ok()
}

/// Encodes the state file for the segment `number`.
#[must_use]
pub fn encode(number: u32, records: &mut dyn Iterator<Item = Record>) -> Vec<u8> {
    let mut bytes = file_header(FileKind::State).to_vec();
    let mut count: u64 = 0;
    for record in records {
        count += u64::from(put(
            number,
            Kind::Record,
            &encode_record(&record),
            &mut bytes,
        ));
    }
    put(number, Kind::End, &count.to_le_bytes(), &mut bytes);
    bytes
}

fn put(number: u32, kind: Kind, body: &[u8], bytes: &mut Vec<u8>) -> bool {
    let Some(header) = Header::new(kind, body) else {
        return false;
    };
    let place = Place {
        segment: number,
        position: bytes.len() as u64,
    };
    header.encode(place, bytes);
    bytes.extend_from_slice(body);
    true
}

/// Reads the undamaged part of the state file for the segment `number`.
pub fn read(path: &Path, number: u32) -> io::Result<StateFile> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut state = StateFile {
        size,
        ..StateFile::default()
    };
    let mut is_sound = header(&file, FileKind::State) == FileHeader::Known;
    let mut count = None;
    let mut scanner = Scanner::new(&file, number, size, FILE_HEADER as u64);
    while let Some(found) = scanner.advance() {
        let Found::Entry(place, header) = found else {
            is_sound = false;
            continue;
        };
        // The end entry must be the last entry, and there is only one.
        is_sound &= count.is_none();
        let body = scanner.body(place, &header);
        match header.kind {
            Kind::Record => match body.and_then(decode_record) {
                Some(record) => state.records.push(record),
                None => is_sound = false,
            },
            Kind::End => count = body.and_then(|body| u64_at(body, 0)),
            Kind::Chunk(_) | Kind::Mark => is_sound = false,
        }
    }
    state.is_whole = is_sound && count == Some(state.records.len() as u64);
    Ok(state)
}

/// Reads the header of a file.
#[must_use]
pub fn header(file: &File, kind: FileKind) -> FileHeader {
    let mut bytes = [0; FILE_HEADER];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => read_file_header(kind, &bytes),
        Err(_) => FileHeader::Damaged,
    }
}
