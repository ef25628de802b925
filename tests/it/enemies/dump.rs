//! Searches a process's whole memory, or all files of a directory, for bytes that should not be there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// This many bytes of a secret identify its copy, even one that was partly overwritten.
const PIECE: usize = 8;

/// Byte strings to search for.
#[derive(Default)]
pub struct Wanted {
    things: Vec<(String, Vec<u8>)>,
    /// The pieces that begin with these bytes.
    beginnings: HashMap<[u8; PIECE], Vec<usize>>,
}

impl Wanted {
    /// Adds every whole piece of these bytes.
    pub fn bytes(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        for (number, piece) in bytes.as_ref().chunks_exact(PIECE).enumerate() {
            self.exactly(&format!("{name}, piece {number}"), piece);
        }
    }

    /// Adds the pieces of a key. X25519 changes its first and its last byte, so these are left out.
    pub fn key(&mut self, name: &str, key: &[u8; 32]) {
        self.bytes(name, &key[1..31]);
    }

    /// Adds these bytes, at least eight, as a whole.
    pub fn exactly(&mut self, name: &str, bytes: &[u8]) {
        let beginning = *bytes.first_chunk().expect("it is long enough");
        let here = self.beginnings.entry(beginning).or_default();
        here.push(self.things.len());
        self.things.push((name.to_owned(), bytes.to_owned()));
    }

    /// The matches in `bytes`, by name and place.
    pub fn found_in(&self, part: &str, bytes: &[u8]) -> Vec<String> {
        let mut may_begin = vec![false; 1 << 16];
        for [first, second, ..] in self.beginnings.keys() {
            may_begin[usize::from(u16::from_le_bytes([*first, *second]))] = true;
        }
        let mut found = Vec::new();
        for (at, window) in bytes.windows(PIECE).enumerate() {
            if !may_begin[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                continue;
            }
            let beginning = window.first_chunk().expect("it is so long");
            for number in self.beginnings.get(beginning).into_iter().flatten() {
                let (name, thing) = &self.things[*number];
                if bytes[at..].starts_with(thing) {
                    found.push(format!("{name} at {at:#x} of {part}"));
                }
            }
        }
        found
    }

    /// The matches in the memory of the process `pid`.
    pub fn found_in_memory(&self, pid: u32) -> Vec<String> {
        let parts = memory(pid);
        let hits = parts.iter();
        hits.flat_map(|(name, bytes)| self.found_in(name, bytes))
            .collect()
    }

    /// The matches in the files below a directory, or in their names.
    pub fn found_below(&self, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).expect("the directory is there") {
            let entry = entry.expect("the directory can be read");
            let path = entry.path();
            found.extend(self.found_in("a name", path.as_os_str().as_encoded_bytes()));
            if path.is_dir() {
                found.extend(self.found_below(&path));
            } else {
                // A file that is being replaced may be gone by now.
                let bytes = fs::read(&path).unwrap_or_default();
                found.extend(self.found_in(&path.display().to_string(), &bytes));
            }
        }
        found
    }
}

/// The regions of a process's memory, with their descriptions.
fn memory(pid: u32) -> Vec<(String, Vec<u8>)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("it is a child of ours");
    let read = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let from = u64::from_str_radix(from, 16).ok()?;
        let to = u64::from_str_radix(to, 16).ok()?;
        Some((line.to_owned(), content(&memory, from, to)))
    };
    maps.lines().filter_map(read).collect()
}

/// The content of one region, as far as it can be read: some pages are the kernel's own.
fn content(memory: &File, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
    let mut read = 0;
    while read < bytes.len() {
        match memory.read_at(&mut bytes[read..], from + read as u64) {
            Ok(count @ 1..) => read += count,
            Ok(0) | Err(_) => break,
        }
    }
    bytes.truncate(read);
    bytes
}
