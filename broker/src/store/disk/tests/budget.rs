//! A full disk, and what makes room on it.

use super::*;

/// What a satellite would do after each step.
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
    /// Saves the next piece; what the disk refuses goes to its listener from memory.
    fn save(&mut self, store: &mut Open, index: usize) -> bool {
        let stream = index as u64;
        let is_saved = store.save(stream, self.ends[index], PIECE).is_ok();
        self.ends[index] += PIECE as u64;
        if !is_saved {
            // Nothing before it may be missing, so all goes.
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
    // Every segment holds some of both, so that none is ever dead as a whole.
    while pair.ends[1] < budget * 2 / 5 {
        assert!(pair.save(&mut store, 0), "{:?}", pair.ends);
        assert!(pair.save(&mut store, 1), "{:?}", pair.ends);
    }
    let staying = pair.ends[0];
    for round in 0..5 {
        let before = pair.needed[1];
        // Refused once it is full, and then drained by that.
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
    assert!(full.0.contains("1048576 bytes"), "{full:?}");
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
