//! The owner of the satellite's machine alters the stored data and corrects the checksums. A satellite
//! cannot notice that; the listener does.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::enemies::arena::Arena;

const PIPE: &str = "p";

/// The form of the log, as documented in `broker/src/store/disk/frame.rs`.
const FILE_HEADER: usize = 16;
const SHORT: usize = 16;
const LONG: usize = 48;
const CHUNK: &[u8] = b"\xA5chk";

/// Much more than a chunk.
fn text() -> Vec<u8> {
    let lines = (0..).map(|number| format!("{number:07}\n"));
    lines.flat_map(String::into_bytes).take(400_000).collect()
}

/// The segments of the log below a data directory.
fn logs(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let is_log = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("log-"))
    };
    paths.filter(is_log).collect()
}

/// A segment that the test alters.
struct Segment {
    number: u32,
    bytes: Vec<u8>,
}

impl Segment {
    /// The ranges of the chunks, headers included.
    fn chunks(&self) -> Vec<Range<usize>> {
        let mut at = FILE_HEADER;
        let mut chunks = Vec::new();
        while let Some(&[0xA5, ..]) = self.bytes.get(at..at + SHORT) {
            let is_chunk = self.bytes[at..].starts_with(CHUNK);
            let header = if is_chunk { LONG } else { SHORT };
            let body = self.bytes[at + 4..at + 8]
                .try_into()
                .map(u32::from_le_bytes);
            let body: usize = body
                .ok()
                .and_then(|body| body.try_into().ok())
                .expect("a length");
            if is_chunk {
                chunks.push(at..at + header + body);
            }
            at += header + body;
        }
        chunks
    }

    /// Corrects the checksums of a chunk's body and header.
    fn set_right(&mut self, chunk: &Range<usize>) {
        let body = crc32fast::hash(&self.bytes[chunk.start + LONG..chunk.end]);
        self.bytes[chunk.start + 8..chunk.start + 12].copy_from_slice(&body.to_le_bytes());
        let mut header = crc32fast::Hasher::new();
        header.update(&self.number.to_le_bytes());
        header.update(&(chunk.start as u64).to_le_bytes());
        let covered = chunk.start..chunk.start + LONG - 4;
        header.update(&self.bytes[covered.clone()]);
        let header = header.finalize();
        self.bytes[covered.end..covered.end + 4].copy_from_slice(&header.to_le_bytes());
    }
}

/// Alters the chunks in the log of a stopped satellite, and restarts it.
fn changed(arena: Arena, change: impl Fn(&mut Segment, &[Range<usize>])) -> Arena {
    arena.restart(|environment| {
        let mut count = 0;
        for path in logs(&environment.home().join("data")) {
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| u32::from_str_radix(&name[4..], 16).ok());
            let mut segment = Segment {
                number: number.expect("its name has a number"),
                bytes: fs::read(&path).expect("it can be read"),
            };
            let chunks = segment.chunks();
            count += chunks.len();
            if !chunks.is_empty() {
                change(&mut segment, &chunks);
                for chunk in &chunks {
                    segment.set_right(chunk);
                }
                fs::write(&path, &segment.bytes).expect("it can be written");
            }
        }
        assert!(count > 2, "there were {count} chunks to change");
    })
}

fn written() -> Arena {
    let arena = Arena::new();
    arena.skypipe(&["-w", PIPE]).fed(text()).printed("");
    arena
}

#[test]
fn what_was_not_changed_is_believed() {
    let arena = changed(written(), |_, _| {});
    arena.skypipe(&["-r", PIPE]).done().printed(text());
}

#[test]
fn a_bit_that_was_changed_on_disk_is_noticed() {
    for mode in ["-r", "--one", "--follow"] {
        let arena = changed(written(), |segment, chunks| {
            let middle = &chunks[1];
            segment.bytes[middle.start + LONG + 1000] ^= 1;
        });
        let printed = arena.skypipe(&[mode, PIPE]).done();
        let printed = printed.told(1, "data from the satellite cannot be trusted: ");
        assert!(printed.len() < text().len() && text().starts_with(&printed));
        // The stream stays in the pipe for inspection.
        assert!(arena.environment.listed(PIPE).waiting == 1);
    }
}

#[test]
fn bytes_that_were_moved_on_disk_are_noticed() {
    let arena = changed(written(), |segment, chunks| {
        let first = chunks[0].start + LONG;
        let second = chunks[1].start + LONG;
        let length = (chunks[0].len() - LONG)
            .min(chunks[1].len() - LONG)
            .min(3840);
        for at in 0..length {
            segment.bytes.swap(first + at, second + at);
        }
    });
    let printed = arena.skypipe(&["--one", PIPE]).done();
    let printed = printed.told(1, "data from the satellite cannot be trusted: ");
    assert_eq!(printed, b"");
}
