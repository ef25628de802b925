//! Crashes and damage at every byte of a small store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

const BUDGET: u64 = 1 << 20;

/// Lengths of a segment, each with the ends of streams that are valid from that length on.
type Steps = Vec<(u64, BTreeMap<u64, u64>)>;

/// A small store with three streams in two segments. Also returns the length of the newest segment after each
/// save, with the stream ends that are valid from there on.
fn small() -> (TempDir, Steps) {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(BUDGET));
    let mut ends = BTreeMap::new();
    for stream in 1..=3 {
        store.put(stream, 0);
    }
    store.save(1, 0, 40).expect("room");
    ends.insert(1, 40);
    let records: Vec<_> = (1..=3).map(|stream| record(stream, 0)).collect();
    store.checkpoint(&records);
    let mut steps = vec![(0, ends.clone())];
    for (stream, len) in [(2, 30), (1, 20), (3, 1), (2, 50)] {
        let at = ends.get(&stream).copied().unwrap_or(0);
        store.save(stream, at, len).expect("room");
        ends.insert(stream, at + len as u64);
        steps.push((store.disk.log.end(), ends.clone()));
    }
    store.disk.flush().expect("flushes");
    let crashed = copy(dir.path());
    (crashed, steps)
}

fn newest(path: &Path) -> PathBuf {
    let names = names(path);
    let logs = names.iter().filter(|name| name.starts_with("log-"));
    path.join(logs.max().expect("there is one"))
}

fn check_bytes(store: &Open, ends: &BTreeMap<u64, u64>) {
    for (stream, end) in ends {
        assert_eq!(store.bytes(*stream, 0), content(*stream, 0, *end));
    }
}

#[test]
fn a_log_cut_at_any_byte_is_a_prefix() {
    let (dir, steps) = small();
    let len = fs::metadata(newest(dir.path())).expect("is there").len();
    for cut in 0..=len {
        let crashed = copy(dir.path());
        let path = newest(crashed.path());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("opens");
        file.set_len(cut).expect("cuts");
        let (_, expected) = steps
            .iter()
            .rfind(|(end, _)| *end <= cut)
            .expect("the first");
        let (mut store, recovered) = open(crashed.path(), settings(BUDGET));
        assert_eq!(&recovered.ends, expected, "cut at {cut}");
        assert!(recovered.damaged.is_empty());
        assert_eq!(recovered.streams.len(), 3);
        check_bytes(&store, expected);
        // The store continues from there, and the result is durable.
        let at = recovered.ends.get(&2).copied().unwrap_or(0);
        store.save(2, at, 9).expect("room");
        drop(store);
        let (store, recovered) = open(crashed.path(), settings(BUDGET));
        assert_eq!(recovered.ends[&2], at + 9);
        assert_eq!(recovered.notes, Vec::<String>::new());
        assert_eq!(store.bytes(2, 0), content(2, 0, at + 9));
    }
}

#[test]
fn a_hole_in_what_was_not_synced_hides_what_follows() {
    let (dir, steps) = small();
    let path = newest(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    // The segment's second chunk never reached the disk, but the later chunks did.
    let from = usize::try_from(steps[1].0).expect("fits");
    let to = usize::try_from(steps[2].0).expect("fits");
    bytes[from..to].fill(0);
    fs::write(&path, &bytes).expect("writes");
    let (store, recovered) = open(dir.path(), settings(BUDGET));
    assert_eq!(recovered.ends, steps[1].1);
    assert!(recovered.damaged.is_empty());
    check_bytes(&store, &steps[1].1);
    assert!(
        names(dir.path())
            .iter()
            .any(|name| name.starts_with("damaged-"))
    );
}

#[test]
fn damage_at_any_byte_harms_only_its_stream() {
    let (dir, steps) = small();
    // Opened and closed normally, so that everything is known to be synced.
    drop(open(dir.path(), settings(BUDGET)));
    let (_, ends) = steps.last().expect("there are steps");
    let files = names(dir.path());
    for name in files
        .iter()
        .filter(|name| *name != "lock" && *name != "reserve")
    {
        let bytes = fs::read(dir.path().join(name)).expect("reads");
        for position in 0..bytes.len() {
            let crashed = copy(dir.path());
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            fs::write(crashed.path().join(name), &flipped).expect("writes");
            let (store, recovered) = open(crashed.path(), settings(BUDGET));
            let what = format!("{name} at {position}: {recovered:?}");
            let mut harmed = 0;
            for (stream, end) in ends {
                let found = recovered.ends.get(stream).copied().unwrap_or(0);
                harmed += usize::from(found != *end);
                assert!(found <= *end, "{what}");
                let mut at = 0;
                while at < found {
                    match store.disk.chunk(StreamKey(*stream), at) {
                        Ok(Some(chunk)) => {
                            let end = chunk.mark.end();
                            assert_eq!(chunk.payload, content(*stream, at, end), "{what}");
                            at = end;
                        }
                        Ok(None) => panic!("{what}"),
                        // Older segments are only read when somebody needs their contents.
                        Err(_) => {
                            assert!(name.ends_with('1'), "{what}");
                            harmed += 1;
                            break;
                        }
                    }
                }
            }
            assert!(harmed <= 1, "{what}");
            let is_old = name.ends_with('1');
            assert!(is_old || !recovered.notes.is_empty(), "{what}");
            drop(store);
            let kept = names(crashed.path()).into_iter().any(|file| {
                fs::read(crashed.path().join(file)).is_ok_and(|kept| kept.starts_with(&flipped))
            });
            let is_last_mark = position + 28 >= bytes.len();
            assert!(kept || is_last_mark, "{what}: {:?}", names(crashed.path()));
        }
    }
}

#[test]
fn a_crash_within_a_checkpoint_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(BUDGET));
    store.put(1, 0);
    store.save(1, 0, 40).expect("room");
    store.checkpoint(&[record(1, 0)]);
    store.put(2, 0);
    store.save(2, 0, 40).expect("room");
    store.settle();
    let before = copy(dir.path());
    store.checkpoint(&[record(1, 0), record(2, 0)]);
    store.save(2, 40, 40).expect("room");
    store.settle();
    let after = dir.path();
    let state = "state-0000000000000003";
    let whole = fs::read(after.join(state)).expect("reads");
    for half in 0..=whole.len() {
        for name in [state.to_owned(), format!("{state}.tmp")] {
            let crashed = copy(before.path());
            let log = "log-0000000000000003";
            fs::copy(after.join(log), crashed.path().join(log)).expect("copies");
            fs::write(crashed.path().join(name), &whole[..half]).expect("writes");
            let (store, recovered) = open(crashed.path(), settings(BUDGET));
            assert_eq!(recovered.ends, [(1, 40), (2, 80)].into());
            assert!(recovered.damaged.is_empty());
            check_bytes(&store, &recovered.ends);
            drop(store);
            let (_, again) = open(crashed.path(), settings(BUDGET));
            assert_eq!(again.ends, recovered.ends);
        }
    }
}

#[test]
fn bytes_that_look_like_a_log_are_not_taken_for_one() {
    let (inner, _) = small();
    let log = fs::read(newest(inner.path())).expect("reads");
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(BUDGET));
    store.put(9, 0);
    let mark = Mark {
        tail: 0,
        arrival: 0,
        at: 0,
        len: log.len(),
    };
    let payload = Bytes::from(log);
    store.disk.append(StreamKey(9), Chunk { payload, mark });
    store.disk.save(StreamKey(9)).expect("room");
    store.save(8, 0, 10).expect("room");
    store.put(8, 0);
    drop(store);
    // Without the header, recovery searches through the payload.
    let path = newest(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    let at = bytes
        .windows(4)
        .position(|four| four == b"\xA5chk")
        .expect("a chunk");
    bytes[at] = 0;
    fs::write(&path, &bytes).expect("writes");
    let (_, recovered) = open(dir.path(), settings(BUDGET));
    assert_eq!(recovered.ends, [(8, 10)].into());
    assert_eq!(recovered.keys, 10);
}

#[test]
fn what_a_damaged_list_of_streams_does_not_name_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(BUDGET));
    let records = [record(1, 0), record(2, 0)];
    // The first segments are deleted, so only the state file knows the beginnings of these streams.
    store.checkpoint(&records);
    store.save(1, 0, 40).expect("room");
    store.save(2, 0, 40).expect("room");
    store.checkpoint(&records);
    store.settle();
    drop(store);
    assert!(!names(dir.path()).contains(&"log-0000000000000001".to_owned()));
    let path = dir.path().join("state-0000000000000003");
    let mut bytes = fs::read(&path).expect("reads");
    bytes[frame::FILE_HEADER + 20] ^= 1;
    fs::write(&path, bytes).expect("writes");
    for _ in 0..2 {
        let (store, recovered) = open(dir.path(), settings(BUDGET));
        assert_eq!(recovered.ends, [(2, 40)].into(), "one record is lost");
        assert!(!recovered.notes.is_empty());
        assert!(
            store.disk.wants_checkpoint(),
            "so that what is left is written anew"
        );
    }
    let (mut store, _) = open(dir.path(), settings(BUDGET));
    store.checkpoint(&[record(2, 0)]);
    store.put(2, 40);
    assert_eq!(store.disk.remove(StreamKey(2)), 0);
    store.settle();
    store.settle();
    drop(store);
    let kept = [
        "damaged-log-0000000000000002",
        "damaged-state-0000000000000003",
    ];
    for name in kept {
        assert!(
            names(dir.path()).contains(&name.to_owned()),
            "{:?}",
            names(dir.path())
        );
    }
    let (_, recovered) = open(dir.path(), settings(BUDGET));
    assert_eq!(recovered.notes, Vec::<String>::new());
}
