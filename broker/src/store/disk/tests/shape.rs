//! A store without faults: opening, reading, checkpoints, and merging of small chunks.

use std::io;

use super::*;
use crate::protocol::PIECE;

#[test]
fn a_second_store_in_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, _) = open(dir.path(), settings(1 << 20));
    let second = Disk::open(dir.path(), settings(1 << 20), Box::new(|| ()));
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(first);
    open(dir.path(), settings(1 << 20));
}

#[test]
fn a_later_programs_directory_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut header = frame::file_header(frame::FileKind::Log);
    header[8] = 200;
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    let path = dir.path().join("log-0000000000000001");
    fs::write(&path, header).expect("writes");
    let opened = Disk::open(dir.path(), settings(1 << 20), Box::new(|| ()));
    assert!(matches!(
        opened,
        Err(OpenError::TooNew { version: 200, .. })
    ));
    assert_eq!(fs::read(&path).expect("reads"), header);
    assert_eq!(names(dir.path()), ["lock", "log-0000000000000001"]);
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("new/store");
    let (mut store, _) = open(&path, settings(1 << 20));
    store.checkpoint(&[record(1, 0)]);
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for name in names(&path) {
        assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(16 << 20));
    for stream in 1..=3 {
        store.put(stream, 0);
    }
    assert_eq!(store.save(1, 0, 10), Ok(cost(10) - INDEX_COST));
    assert_eq!(store.save(2, 0, 100_000), Ok(cost(100_000) - INDEX_COST));
    store.save(1, 10, 200_000).expect("room");
    store.disk.append(StreamKey(1), chunk(1, 200_010, 5));
    assert_eq!(store.disk.saved(StreamKey(1)), Some(200_010));
    assert_eq!(
        store.bytes(1, 3),
        content(1, 3, 200_015),
        "before it is flushed"
    );
    store.settle();
    assert_eq!(
        store.disk.synced(),
        store.disk.log.total() - 28,
        "all but the mark"
    );
    drop(store);
    let (store, recovered) = open(dir.path(), settings(16 << 20));
    assert_eq!(recovered.ends, [(1, 200_010), (2, 100_000)].into());
    assert!(recovered.damaged.is_empty());
    assert_eq!(recovered.notes, Vec::<String>::new());
    assert_eq!(recovered.streams.len(), 3);
    assert_eq!((recovered.arrivals, recovered.keys), (11, 4));
    assert_eq!(store.bytes(1, 3), content(1, 3, 200_010));
    assert_eq!(store.bytes(2, 99_999), content(2, 99_999, 100_000));
    assert_eq!(store.disk.chunk(StreamKey(3), 0), Ok(None));
}

#[test]
fn a_checkpoint_makes_older_segments_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(1 << 20));
    store.put(1, 0);
    store.save(1, 0, 70_000).expect("room");
    store.settle();
    assert!(store.disk.wants_checkpoint());
    store.checkpoint(&[record(1, 0)]);
    assert!(!store.disk.wants_checkpoint());
    let first = "log-0000000000000001".to_owned();
    assert!(names(dir.path()).contains(&first), "its bytes are needed");
    store.save(1, 70_000, 70_000).expect("room");
    store.put(1, 70_000);
    assert_eq!(store.disk.release(StreamKey(1), 70_000), INDEX_COST);
    store.disk.flush().expect("flushes");
    assert!(names(dir.path()).contains(&first), "not yet said on disk");
    store.settle();
    assert!(!names(dir.path()).contains(&first));
    store.checkpoint(&[record(1, 70_000)]);
    drop(store);
    let states = names(dir.path());
    let states = states.iter().filter(|name| name.starts_with("state-"));
    assert_eq!(states.count(), 1, "the older one is gone");
    let (store, recovered) = open(dir.path(), settings(1 << 20));
    assert_eq!(recovered.streams[&1].needed, 70_000);
    assert_eq!(store.bytes(1, 70_000), content(1, 70_000, 140_000));
}

#[test]
fn a_million_lines_become_few_chunks() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(64 << 20));
    store.put(1, 0);
    let (mut given, mut back) = (0, 0);
    let lines = 10_000;
    for line in 0..lines {
        given += cost(50);
        back += store.save(1, line * 50, 50).expect("room");
    }
    let held = given - back;
    assert!(
        held <= INDEX_COST * 400,
        "{held} are held for {lines} lines"
    );
    assert_eq!(store.bytes(1, 0), content(1, 0, lines * 50));
    store.settle();
    let crashed = copy(dir.path());
    back += store.disk.release(StreamKey(1), lines * 50);
    assert_eq!(given, back);
    let (store, recovered) = open(crashed.path(), settings(64 << 20));
    assert_eq!(recovered.ends[&1], lines * 50);
    assert_eq!(store.bytes(1, 0), content(1, 0, lines * 50));
    let mut store = store;
    assert_eq!(
        store.disk.remove(StreamKey(1)),
        0,
        "nobody has paid for these"
    );
}

/// Records of a sealed stream cannot be cut, but merged chunks may be cut at every piece.
#[test]
fn small_chunks_are_put_together_to_a_piece_at_most() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(64 << 20));
    store.put(1, 0);
    let (chunk, chunks) = (3000, 1000);
    for number in 0..chunks {
        store.save(1, number * chunk, 3000).expect("room");
    }
    let (mut at, mut found) = (0, 0);
    while let Some(mark) = store.disk.mark(StreamKey(1), at) {
        let len = mark.len as u64;
        assert!(mark.len <= PIECE && len.is_multiple_of(chunk), "{mark:?}");
        (at, found) = (at + len, found + 1);
    }
    assert_eq!(at, chunks * chunk);
    assert!(found < chunks / 15, "{found} chunks are left");
}

#[test]
fn many_streams_need_few_files_and_little_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(dir.path(), settings(256 << 20));
    let streams: u64 = 100_000;
    let empty = store.disk.index.memory();
    for stream in 1..=streams {
        store.put(stream, 0);
        store.save(stream, 0, 100).expect("room");
        if store.disk.wants_checkpoint() && store.disk.log.segment() < 5 {
            let records: Vec<_> = (1..=stream).map(|stream| record(stream, 0)).collect();
            store.checkpoint(&records);
        }
    }
    store.settle();
    let each = (store.disk.index.memory() - empty) / usize::try_from(streams).expect("fits");
    assert!(each < 300, "{each} bytes for a stream");
    assert!(names(dir.path()).len() < 10, "{:?}", names(dir.path()));
    drop(store);
    let (store, recovered) = open(dir.path(), settings(256 << 20));
    assert_eq!(recovered.ends.len(), 100_000);
    assert_eq!(store.bytes(streams, 0), content(streams, 0, 100));
}

/// A store on a disk on which every sync has this result.
fn open_on(path: &Path, sync_file: SyncFile) -> Open {
    let (wake, syncs) = channel();
    let wake = Box::new(move || {
        let _ = wake.send(());
    });
    let edges = Edges {
        sync_file,
        free_space: Box::new(|_| Ok(1 << 30)),
    };
    let (disk, _) = Disk::open_with(path, settings(1 << 20), wake, edges).expect("opens");
    Open { disk, syncs }
}

#[track_caller]
fn assert_failed<T: std::fmt::Debug>(result: &Result<T, WriteError>) {
    assert!(matches!(result, Err(WriteError::Failed(_))), "{result:?}");
}

#[test]
fn a_sync_that_failed_is_never_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open_on(dir.path(), |_| Err(io::Error::other("a broken disk")));
    let before = store.disk.synced();
    store.put(1, 0);
    store.save(1, 0, 10).expect("not known yet");
    store.disk.flush().expect("flushes");
    store.disk.sync();
    store.syncs.recv().expect("the thread lives");
    assert_eq!(store.disk.synced(), before);
    let told = store.disk.flush().expect_err("it is known");
    assert!(matches!(&told, WriteError::Failed(why) if why.contains("a broken disk")));
    assert_failed(&store.save(1, 10, 10));
    assert_failed(&store.disk.checkpoint(&mut std::iter::empty()));
    assert_eq!(
        store.bytes(1, 0),
        content(1, 0, 20),
        "it can still be taken"
    );
}

#[test]
fn a_file_that_cannot_be_made_is_a_failure_of_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open_on(dir.path(), fs::File::sync_data);
    store.put(1, 0);
    store.settle();
    // The name of the next segment is already taken.
    let next = store.disk.directory.segment(store.disk.log.segment() + 1);
    fs::create_dir(&next).expect("makes");
    assert_failed(&store.disk.checkpoint(&mut std::iter::empty()));
    fs::remove_dir(&next).expect("removes");
    store.put(2, 0);
    assert_failed(&store.disk.flush());
    assert_eq!(store.save(3, 0, 10).map(|_| ()), Ok(()), "not known yet");
    assert_failed(&store.disk.flush());
}

#[test]
fn a_list_of_records_that_cannot_be_named_is_a_failure_of_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open_on(dir.path(), fs::File::sync_data);
    store.put(1, 0);
    store.settle();
    let state = store.disk.directory.state(store.disk.log.segment() + 1);
    fs::create_dir(&state).expect("makes");
    let records = [record(1, 0)];
    let begun = store.disk.checkpoint(&mut records.iter().cloned());
    begun.expect("it is written in the background");
    store.syncs.recv().expect("the thread lives");
    assert_failed(&store.disk.flush());
}

#[test]
fn what_was_not_known_to_be_synced_is_written_anew_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open_on(dir.path(), fs::File::sync_data);
    store.put(1, 0);
    store.save(1, 0, 100_000).expect("room");
    store.disk.flush().expect("flushes");
    // Killed after a failed sync: the next sync would skip bytes that the system counts as stored.
    let crashed = copy(dir.path());
    let log = crashed.path().join("log-0000000000000001");
    let before = fs::metadata(&log).expect("is there").len();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(&log).expect("opens");
    file.set_modified(long_ago).expect("it is ours");
    let store = open_on(crashed.path(), fs::File::sync_data);
    let found = fs::metadata(&log).expect("is there");
    assert!(found.modified().expect("it is told") > long_ago);
    assert_eq!(found.len(), before);
    assert_eq!(store.bytes(1, 0), content(1, 0, 100_000));
}
