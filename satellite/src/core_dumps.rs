//! Prevents core dumps of this process.
//!
//! Owns the limit by which the system decides whether to write a dump when a process crashes. The
//! memory of a client, and of a satellite with keys, holds keys. The memory of every other
//! satellite holds what people write. Never changes the limit of other programs that this one
//! starts.
//!
//! The alternative is to tell Linux that the process cannot be dumped (`PR_SET_DUMPABLE`). That
//! would also give the process's files below `/proc` to root. An administrator without root, a
//! health check and a test could then no longer look at a process of their own user. So this module
//! does not do it.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The size limit of a core dump, in bytes. Linux writes no file that is shorter than a page. A
/// program that collects dumps (`core_pattern` with a `|`) gets them whatever the limit is, except
/// for a limit of 1 (`fs/coredump.c`).
const LONGEST: u64 = 1;

/// The limit with which this process was started.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Prevents core dumps from now on. The caller must call this before there is a secret in memory.
pub fn prevent() {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Core));
    limit(Rlimit {
        current: Some(before.maximum.unwrap_or(LONGEST).min(LONGEST)),
        ..before
    });
}

/// Runs `start`, which starts another program. That program gets the limit with which this process
/// was started, so that its crashes are dumped as usual.
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
    // Every process may lower its soft limit, and raise it to where it was.
    let _ = setrlimit(Resource::Core, limit);
}
