//! Small executables of the right kind, which are never run.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("there is room"));

/// The bytes of a static executable for Linux on `x86_64`, with `what` after its headers.
pub fn bytes(what: &str) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    let long = |bytes: &mut Vec<u8>, value: u64| bytes.extend(value.to_le_bytes());
    // An executable for x86_64, of version 1. Its only program header follows this one directly.
    half(&mut bytes, 2);
    half(&mut bytes, 62);
    word(&mut bytes, 1);
    for value in [0x40_0000, 64, 0] {
        long(&mut bytes, value);
    }
    word(&mut bytes, 0);
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut bytes, value);
    }
    // The loaded segment is empty.
    word(&mut bytes, 1);
    word(&mut bytes, 5);
    for _ in 0..6 {
        long(&mut bytes, 0);
    }
    bytes.extend(what.as_bytes());
    bytes
}

/// A file with those bytes.
pub fn file(what: &str) -> PathBuf {
    let path = DIRECTORY.path().join(what);
    if !path.exists() {
        let fresh = tempfile::NamedTempFile::new_in(DIRECTORY.path()).expect("there is room");
        fs::write(fresh.path(), bytes(what)).expect("there is room");
        fresh.persist(&path).expect("there is room");
    }
    path
}
