//! What a store on disk must survive: crashes at any byte, damage at any byte, and a full disk.

mod budget;
mod crash;
mod model;
mod shape;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::protocol::cost;
use crate::store::record::StreamRecord;

/// A store, and a channel that reports its syncs.
struct Open {
    disk: Disk,
    syncs: Receiver<()>,
}

fn settings(budget: u64) -> Settings {
    Settings {
        budget: Some(budget),
        segment: Some(budget / 16),
    }
}

fn open(path: &Path, settings: Settings) -> (Open, Recovered) {
    let (wake, syncs) = channel();
    let wake = Box::new(move || {
        let _ = wake.send(());
    });
    let (disk, recovered) = Disk::open(path, settings, wake).expect("opens");
    (Open { disk, syncs }, recovered)
}

impl Open {
    /// Appends a chunk of `len` bytes at `at` and saves it.
    fn save(&mut self, stream: u64, at: u64, len: usize) -> Result<u64, WriteError> {
        let key = StreamKey(stream);
        self.disk.append(key, chunk(stream, at, len));
        self.disk.save(key)
    }

    fn put(&mut self, stream: u64, needed: u64) {
        self.disk.put(&record(stream, needed));
    }

    /// Flushes and syncs until there is nothing left to do.
    fn settle(&mut self) {
        self.disk.flush().expect("flushes");
        self.disk.sync();
        while self.disk.syncer.progress().running > 0 {
            self.syncs.recv().expect("the thread lives");
        }
        self.disk.flush().expect("flushes");
    }

    /// Does a whole checkpoint.
    fn checkpoint(&mut self, records: &[Record]) {
        let mut records = records.iter().cloned();
        self.disk.checkpoint(&mut records).expect("begins");
        self.settle();
        assert_eq!(self.disk.pending, None, "the state file was written");
    }

    /// The bytes of a stream from `at` on.
    fn bytes(&self, stream: u64, mut at: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.disk.chunk(StreamKey(stream), at).expect("sound") {
            assert_eq!(self.disk.mark(StreamKey(stream), at), Some(chunk.mark));
            assert_eq!(chunk.mark.at, at);
            bytes.extend_from_slice(&chunk.payload);
            at = chunk.mark.end();
        }
        bytes
    }
}

fn record(stream: u64, needed: u64) -> Record {
    Record::Stream(Box::new(StreamRecord {
        owner: None,
        key: stream,
        id: Uuid::from_u128(u128::from(stream)),
        pipe: "pipe".into(),
        label: String::new(),
        marker: false,
        taken: needed,
        needed,
        discarded: false,
        begins: 0,
        is_hidden: false,
        finish: None,
        claimed: None,
    }))
}

/// The byte of a stream at an offset. Every stream has different bytes, so that none is taken for another's.
fn byte(stream: u64, at: u64) -> u8 {
    let mixed = (at + stream * 977).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed.to_be_bytes()[0]
}

fn content(stream: u64, from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|at| byte(stream, at)).collect()
}

fn chunk(stream: u64, at: u64, len: usize) -> Chunk {
    let payload = content(stream, at, at + len as u64);
    Chunk {
        payload: Bytes::from(payload),
        mark: Mark {
            tail: at % 7,
            arrival: at,
            at,
            len,
        },
    }
}

/// A copy of a store's directory, as a crash would leave it.
fn copy(path: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(path).expect("lists") {
        let entry = entry.expect("is there");
        if entry.file_name() != "reserve" {
            fs::copy(entry.path(), to.path().join(entry.file_name())).expect("copies");
        }
    }
    to
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("lists");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("is there")
                .file_name()
                .into_string()
                .expect("ours")
        })
        .collect();
    names.sort();
    names
}
