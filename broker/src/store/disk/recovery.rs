//! Prepares a directory for the store: which state file is valid, which part of the log counts, and what
//! happens to damaged data.
//!
//! There are three kinds of damage. Unsynced damage at the end of the log comes from a crash, and is cut off:
//! nothing in it was promised to anybody. If whole entries follow it, which a power loss can cause, a copy is
//! kept. Everything else is a fault of the disk: the segment is never deleted, and only streams with missing
//! bytes are affected.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::OpenError;
use super::directory::{Directory, Listing, reopen};
use super::error::is_full;
use super::frame::{FILE_HEADER, FileHeader, FileKind, Place};
use super::index::Index;
use super::log::Log;
use super::pass::{Pass, Source};
use super::segments::Segments;
use super::state;
use crate::store::{Recovered, StreamKey};
use crate::text::count;

/// The contents of a directory, ready to be continued.
#[derive(Debug)]
pub struct Recovery {
    /// The recovered state.
    pub recovered: Recovered,
    /// The positions of the chunks.
    pub index: Index,
    /// The segments.
    pub segments: Segments,
    /// The number and length of the segment to continue.
    pub current: (u32, u64),
    /// The number and length of the valid state file. The number is 0 if there is none.
    pub state: (u32, u64),
    /// Whether that file is damaged. If so, a checkpoint is due, and the file is kept after it.
    pub is_partial: bool,
}

/// The state file that is used.
#[derive(Debug, Default)]
struct Chosen {
    number: u32,
    size: u64,
    recovered: Recovered,
    /// Whether records are missing. If so, data without an owner must not be dropped.
    is_partial: bool,
    /// The numbers of damaged state files.
    damaged: Vec<u32>,
}

/// Reads a directory, and repairs what a crash left. A directory of a later program is refused before
/// anything in it is changed.
pub fn recover(directory: &Arc<Directory>) -> Result<Recovery, OpenError> {
    let listing = directory.list()?;
    let sources = open_all(directory, &listing)?;
    let chosen = choose(directory, &listing)?;
    let is_partial = chosen.is_partial;
    let floor = Place {
        segment: chosen.number,
        position: 0,
    };
    let base = chosen.recovered.clone();
    let mut pass = Pass::run(chosen.recovered, &sources, floor, None);
    let torn = pass.torn();
    if let Some(torn) = torn.filter(|torn| *torn < pass.last) {
        let last = pass.last;
        pass = Pass::run(base, &sources, floor, Some(torn));
        pass.recovered.notes.push(format!(
            "everything from byte {} of {} up to {} was not stored before a power loss; a copy is kept",
            torn.position,
            directory.segment(torn.segment).display(),
            directory.segment(last.segment).display(),
        ));
    }
    let mut segments = Segments::new(Arc::clone(directory), listing.damaged);
    for source in &sources {
        segments.add(source.number, source.len);
    }
    if let Some(torn) = torn {
        cut(directory, &sources, torn, &mut pass, &mut segments)?;
    }
    note_holes(directory, &mut pass, torn, &mut segments);
    if is_partial {
        for source in &sources {
            segments.set_damaged(source.number);
        }
    }
    settle(&mut pass, &mut segments);
    for path in &listing.unfinished {
        fs::remove_file(path)?;
    }
    let current = current(directory, &mut segments, chosen.number)?;
    write_anew(directory, &segments, pass.floor)?;
    sync(directory, &sources, chosen.number.min(current.0))?;
    for number in chosen.damaged {
        segments.add_aside(fs::metadata(directory.state(number))?.len());
        directory.set_aside(&directory.state(number))?;
    }
    for number in listing.states {
        // Older state files contain nothing that this one does not.
        let path = directory.state(number);
        if number < chosen.number && path.exists() {
            fs::remove_file(path)?;
        }
    }
    Ok(Recovery {
        recovered: pass.recovered,
        index: pass.index,
        segments,
        current,
        state: (chosen.number, chosen.size),
        is_partial,
    })
}

fn open_all(directory: &Directory, listing: &Listing) -> Result<Vec<Source>, OpenError> {
    for number in &listing.states {
        let path = directory.state(*number);
        if let FileHeader::Newer(version) = state::header(&File::open(&path)?, FileKind::State) {
            return Err(OpenError::TooNew { path, version });
        }
    }
    let mut sources = Vec::new();
    for number in &listing.segments {
        let path = directory.segment(*number);
        let file = File::open(&path)?;
        if let FileHeader::Newer(version) = state::header(&file, FileKind::Log) {
            return Err(OpenError::TooNew { path, version });
        }
        let len = file.metadata()?.len();
        sources.push(Source {
            number: *number,
            file,
            len,
        });
    }
    Ok(sources)
}

/// The newest whole state file. If none is whole, the readable records of the newest one.
fn choose(directory: &Directory, listing: &Listing) -> Result<Chosen, OpenError> {
    let mut chosen = Chosen::default();
    let mut partial = None;
    for number in listing.states.iter().rev() {
        let path = directory.state(*number);
        let state = state::read(&path, *number)?;
        if state.is_whole {
            chosen.number = *number;
            chosen.size = state.size;
            apply(&mut chosen.recovered, state);
            break;
        }
        let note = format!(
            "{} is damaged; it is kept under another name",
            path.display()
        );
        chosen.recovered.notes.push(note);
        chosen.damaged.push(*number);
        partial.get_or_insert((*number, state));
    }
    // A damaged state file may only be skipped if every record since the previous state file, or since the
    // first segment, is there.
    let newest = listing.segments.last().copied().unwrap_or(0);
    let is_there = |number: u32| listing.segments.binary_search(&number).is_ok();
    if !(chosen.number.max(1)..newest).all(is_there) {
        chosen.is_partial = true;
        let note =
            "no complete list of streams is left, so some may be missing; their bytes are kept";
        chosen.recovered.notes.push(note.into());
        if let Some((number, state)) = partial {
            chosen.number = number;
            chosen.size = state.size;
            chosen.damaged.retain(|damaged| *damaged != number);
            apply(&mut chosen.recovered, state);
        }
    }
    Ok(chosen)
}

fn apply(recovered: &mut Recovered, state: state::StateFile) {
    for record in state.records {
        recovered.apply(record);
    }
}

/// Cuts the log off at `torn`. Whole entries behind that position are copied aside.
fn cut(
    directory: &Directory,
    sources: &[Source],
    torn: Place,
    pass: &mut Pass,
    segments: &mut Segments,
) -> io::Result<()> {
    for source in sources
        .iter()
        .filter(|source| source.number >= torn.segment)
    {
        let path = directory.segment(source.number);
        let is_first = source.number == torn.segment;
        let from = if is_first { torn.position } else { 0 };
        let has_whole = has_whole_entry(source, from);
        if is_first && torn.position >= FILE_HEADER as u64 {
            if has_whole {
                segments.add_aside(directory.copy_aside(&path)?);
            }
            let note = format!(
                "cut off {} at the end of {}: incompletely written before a crash",
                count(source.len - torn.position, "byte"),
                path.display()
            );
            pass.recovered.notes.push(note);
            reopen(&path)?.set_len(torn.position)?;
            segments.resize(source.number, torn.position);
        } else {
            if has_whole {
                directory.set_aside(&path)?;
                segments.add_aside(source.len);
            } else {
                fs::remove_file(&path)?;
            }
            segments.forget(source.number);
        }
    }
    Ok(())
}

fn has_whole_entry(source: &Source, from: u64) -> bool {
    let mut scanner = super::scan::Scanner::new(&source.file, source.number, source.len, from);
    while let Some(found) = scanner.advance() {
        if matches!(found, super::scan::Found::Entry(place, _) if place.position > from) {
            return true;
        }
    }
    false
}

fn note_holes(
    directory: &Directory,
    pass: &mut Pass,
    torn: Option<Place>,
    segments: &mut Segments,
) {
    let holes = std::mem::take(&mut pass.holes);
    for hole in holes {
        if torn.is_some_and(|torn| hole.from >= torn) {
            continue;
        }
        segments.set_damaged(hole.from.segment);
        pass.recovered.notes.push(format!(
            "bytes {} to {} of {} are damaged; the file is kept",
            hole.from.position,
            hole.to,
            directory.segment(hole.from.segment).display()
        ));
    }
}

/// Reduces the chunks to those that somebody needs and that follow without a gap.
fn settle(pass: &mut Pass, segments: &mut Segments) {
    let bad = std::mem::take(&mut pass.bad);
    let mut keys = pass.index.found();
    keys.extend(bad.keys().map(|key| StreamKey(*key)));
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let Some(stream) = pass.recovered.streams.get(&key.0) else {
            pass.index.forget(key);
            continue;
        };
        let needed = stream.needed;
        let (end, behind) = pass.index.settle(key, needed, segments);
        let damaged = bad.get(&key.0).and_then(|bad| {
            let mut bad = bad.iter();
            bad.find(|mark| mark.at <= end && mark.end() > end).copied()
        });
        let sentence = match (damaged, behind) {
            (Some(mark), _) => format!(
                "bytes {end} to {} were damaged on the satellite's disk",
                mark.end()
            ),
            (None, Some(next)) => {
                format!("bytes {end} to {next} are missing on the satellite's disk")
            }
            (None, None) => {
                if end > needed {
                    pass.recovered.ends.insert(key.0, end);
                }
                continue;
            }
        };
        pass.recovered.ends.insert(key.0, end);
        pass.recovered.damaged.insert(key.0, sentence);
    }
}

/// The segment to continue: the newest one if it is sound, otherwise a new one.
fn current(
    directory: &Directory,
    segments: &mut Segments,
    state: u32,
) -> Result<(u32, u64), OpenError> {
    let newest = segments.newest().unwrap_or(0);
    let found = segments.get(newest);
    let sound = found.filter(|segment| !segment.is_damaged && newest >= state);
    if let Some(len) = sound.map(|segment| segment.size) {
        segments.go_on(newest);
        return Ok((newest, len));
    }
    // The segment that a state file belongs to may be lost entirely. It is created again.
    let next = if newest < state {
        Some(state)
    } else {
        newest.checked_add(1)
    };
    let next = next.ok_or_else(|| io::Error::other("the file numbers are used up"))?;
    Log::make(directory, next)?;
    segments.add(next, 0);
    Ok((next, FILE_HEADER as u64))
}

/// Writes again, with the same bytes, everything that is not known to be synced. After a failed sync, such
/// bytes may only be in the system's cache and count as written there, and the next sync would skip them.
fn write_anew(directory: &Directory, segments: &Segments, floor: Place) -> io::Result<()> {
    for (number, _) in segments.from(floor.segment) {
        let is_first = number == floor.segment;
        let from = if is_first { floor.position } else { 0 };
        match copy_in_place(&reopen(&directory.segment(number))?, from) {
            // A filesystem that never writes in place may have no room for this.
            Err(error) if is_full(&error) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

fn copy_in_place(file: &File, from: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    // Unreadable bytes were found to be damaged and do not count.
    while let Ok(count @ 1..) = file.read_at(&mut buffer, at) {
        file.write_all_at(&buffer[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// Syncs what the previous process may have left to the operating system. What this process reads may then be
/// promised to others.
fn sync(directory: &Directory, sources: &[Source], from: u32) -> io::Result<()> {
    for source in sources.iter().filter(|source| source.number >= from) {
        source.file.sync_all()?;
    }
    directory.sync()
}
