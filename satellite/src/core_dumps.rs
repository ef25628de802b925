//! No image of this process's memory on a disk.
//!
//! Owns the limit that decides whether the system writes one when a process crashes: there are keys in the
//! memory of a client and of a satellite with keys, and what people write in that of every other. Never
//! changes what other programs get that this one starts.
//!
//! The other way, to tell Linux that the process cannot be dumped (`PR_SET_DUMPABLE`), would also give its
//! files below `/proc` to root. An administrator without root, a health check and a test could then not look
//! at a process of their own user any more, so it is not taken.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The longest image, in bytes. Linux writes no file that is shorter than a page. To a program that collects
/// images (`core_pattern` with a `|`) it gives them whatever the limit is, except for a limit of 1
/// (`fs/coredump.c`).
const LONGEST: u64 = 1;

/// The limit that this process was started with.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Prevents an image from here on. To be called before there is a secret in memory.
pub fn prevent() {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Core));
    limit(Rlimit {
        current: Some(before.maximum.unwrap_or(LONGEST).min(LONGEST)),
        ..before
    });
}

/// Runs `start`, which starts another program: that program gets the limit with which this process was
/// started, and crashes as it would without this one.
pub fn as_before<T>(start: impl FnOnce() -> T) -> T {
    let Some(before) = BEFORE.get() else {
        return start();
    };
    limit(*before);
    let result = start();
    prevent();
    result
}

fn limit(limit: Rlimit) {
    // To lower the soft limit, and to raise it to where it was, is allowed to everybody.
    let _ = setrlimit(Resource::Core, limit);
}
