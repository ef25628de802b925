//! A full disk, and what makes room on it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// What a satellite does after each step.
fn turn(store: &mut Open, needed: &[(u64, u64)]) {
    store.settle();
    if store.disk.wants_checkpoint() {
        let records: Vec<_> = needed
            .iter()
            .map(|(key, needed)| record(*key, *needed))
            .collect();
        store.checkpoint(&records);
    }
    let usage = store.disk.disk().expect("a disk");
    assert!(usage.used <= usage.budget, "{usage:?}");
}

/// Two streams: one that stays, and one that is taken out again and again.
struct Pair {
    ends: [u64; 2],
    needed: [u64; 2],
}

const PIECE: usize = 20_000;

impl Pair {
    /// Saves the next piece. If the disk refuses the piece, its listener gets it from memory.
    fn save(&mut self, store: &mut Open, index: usize) -> bool {
        let stream = index as u64;
        let is_saved = store.save(stream, self.ends[index], PIECE).is_ok();
        self.ends[index] += PIECE as u64;
        if !is_saved {
            // Nothing before the piece may be missing, so everything is taken.
            self.take(store, index);
        }
        turn(store, &[(0, self.needed[0]), (1, self.needed[1])]);
        is_saved
    }

    fn take(&mut self, store: &mut Open, index: usize) {
        self.needed[index] = self.ends[index];
        store.put(index as u64, self.ends[index]);
        store
            .disk
            .release(StreamKey(index as u64), self.ends[index]);
    }
}

#[test]
fn a_full_disk_can_be_drained_and_filled_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let budget = 8 << 20;
    let (mut store, _) = open(dir.path(), settings(budget));
    let mut pair = Pair {
        ends: [0; 2],
        needed: [0; 2],
    };
    for stream in 0..2 {
        store.put(stream, 0);
    }
    // Every segment contains some of both streams, so that no segment is ever dead as a whole.
    while pair.ends[1] < budget * 2 / 5 {
        assert!(pair.save(&mut store, 0), "{:?}", pair.ends);
        assert!(pair.save(&mut store, 1), "{:?}", pair.ends);
    }
    let staying = pair.ends[0];
    for round in 0..5 {
        let before = pair.needed[1];
        // The piece is refused once the disk is full, and the stream is then drained.
        while pair.save(&mut store, 1) {}
        let held = pair.ends[1] - before;
        assert!(held > budget * 3 / 10, "{held} in round {round}");
        for _ in 0..20 {
            turn(&mut store, &[(0, 0), (1, pair.needed[1])]);
        }
        assert_eq!(store.bytes(0, 0), content(0, 0, staying), "round {round}");
    }
    drop(store);
    let (store, recovered) = open(dir.path(), settings(budget));
    assert_eq!(recovered.ends[&0], staying);
    assert!(recovered.damaged.is_empty());
    assert_eq!(store.bytes(0, 0), content(0, 0, staying));
}

#[test]
fn records_go_on_when_payloads_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(1 << 20));
    let mut at = 0;
    store.put(1, 0);
    while store.save(1, at, 10_000).is_ok() {
        at += 10_000;
    }
    let full = store.disk.save(StreamKey(1)).expect_err("still full");
    let said = "its disk budget of 1048576 bytes is used up";
    assert_eq!(full, WriteError::Full(said.to_owned()));
    store.put(2, 0);
    store.settle();
    store.checkpoint(&[record(1, 0), record(2, 0)]);
    assert_eq!(
        store.bytes(1, 0),
        content(1, 0, at + 10_000),
        "the last one from memory"
    );
    assert_eq!(store.disk.saved(StreamKey(1)), Some(at));
    store.put(1, at);
    assert_eq!(
        store.disk.release(StreamKey(1), at),
        at / 10_000 * INDEX_COST
    );
    store.settle();
    store.settle();
    assert_eq!(store.disk.save(StreamKey(1)), Ok(cost(10_000) - INDEX_COST));
}

#[test]
fn compaction_keeps_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(4 << 20));
    let streams = 40;
    let mut records = Vec::new();
    for stream in 1..=streams {
        store.put(stream, 0);
        records.push(record(stream, 0));
        store.save(stream, 0, 70_000).expect("room");
        store.settle();
        if store.disk.wants_checkpoint() {
            store.checkpoint(&records);
        }
    }
    let before = store.disk.disk().expect("a disk").used;
    for stream in (1..=streams).filter(|stream| stream % 4 != 0) {
        store.disk.put(&Record::Gone { key: stream });
        assert_eq!(store.disk.remove(StreamKey(stream)), INDEX_COST);
    }
    for _ in 0..200 {
        store.settle();
    }
    let after = store.disk.disk().expect("a disk").used;
    assert!(after < before / 2 + (1 << 20), "{before} became {after}");
    let is_there = |store: &Open| {
        for stream in (4..=streams).step_by(4) {
            assert_eq!(store.bytes(stream, 0), content(stream, 0, 70_000));
        }
    };
    is_there(&store);
    let crashed = copy(dir.path());
    let (store, recovered) = open(crashed.path(), settings(4 << 20));
    assert_eq!(recovered.ends.len(), 10);
    assert!(recovered.damaged.is_empty());
    is_there(&store);
}

/// A store that may use a share of a disk. The test sets the free space.
fn open_beside(path: &Path, free: &Arc<AtomicU64>) -> (Open, Recovered) {
    let (wake, syncs) = channel();
    let wake = Box::new(move || {
        let _ = wake.send(());
    });
    let free = Arc::clone(free);
    let edges = Edges {
        sync_file: fs::File::sync_data,
        free_space: Box::new(move |_| Ok(free.load(Ordering::Relaxed))),
    };
    let settings = Settings::new(None);
    let (disk, recovered) = Disk::open_with(path, settings, wake, edges).expect("opens");
    (Open { disk, syncs }, recovered)
}

#[test]
fn what_may_be_used_follows_what_others_leave_free() {
    let dir = tempfile::tempdir().expect("a directory");
    let free = Arc::new(AtomicU64::new(0));
    let (mut store, _) = open_beside(dir.path(), &free);
    let refused = store.save(1, 0, 100_000).expect_err("nothing is free");
    let said = format!("no space is left in {}", dir.path().display());
    assert_eq!(refused, WriteError::Full(said));
    // Others free space, and the store uses it without a restart.
    free.store(100 << 20, Ordering::Relaxed);
    assert!(store.disk.save(StreamKey(1)).is_ok());
    let usage = store.disk.disk().expect("a disk");
    assert!((80 << 20..=91 << 20).contains(&usage.budget), "{usage:?}");
    assert!(store.disk.reserve.is_there());
    // Others take space. Payloads stop before the disk is full, as soon as the store checks; records
    // continue.
    free.store(1 << 20, Ordering::Relaxed);
    store.settle();
    let saved = (1..100).take_while(|turn| store.save(1, turn * 100_000, 100_000).is_ok());
    let saved = saved.count() as u64;
    assert!(saved <= 4, "{saved}");
    store.put(2, 0);
    store.settle();
    free.store(100 << 20, Ordering::Relaxed);
    assert!(store.disk.save(StreamKey(1)).is_ok());
    assert_eq!(store.bytes(1, 0), content(1, 0, (saved + 2) * 100_000));
}

#[test]
fn what_was_said_is_no_more_than_there_is() {
    let mut budget = Budget::new(Some(100), Box::new(|_| Ok(30)));
    let dir = tempfile::tempfile().expect("a file");
    budget.look(&dir, 50).expect("it can be told");
    assert_eq!((budget.payloads(), budget.said()), (80, None));
    budget.look(&dir, 70).expect("it can be told");
    assert_eq!((budget.payloads(), budget.said()), (100, Some(100)));
}
