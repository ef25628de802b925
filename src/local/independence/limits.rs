//! Resource limits of the starter (`ulimit`).
//!
//! This module lists the limits that a satellite must not have. Any process may raise a soft limit up to
//! the hard limit; only root may raise a hard limit. Limits that stay are reported.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::report::size;

/// From this many open files on, nothing is reported: Linux's own default hard limit.
const ENOUGH_FILES: u64 = 4096;

/// The open files of a satellite with the maximum number of clients.
const FILES: u64 = 20_064;

/// The stack size that programs rely on, in bytes.
const STACK: u64 = 8 << 20;

/// Raises the limits. Returns a sentence for each one that could not be raised.
pub fn lift() -> Vec<String> {
    raise(Resource::Nproc, None);
    if !is_at_least(getrlimit(Resource::Stack).current, STACK) {
        raise(Resource::Stack, Some(STACK));
    }
    let limits = [
        raise(Resource::Fsize, None).map(|most| {
            let most = size(most);
            format!("its files can be no longer than {most} (ulimit -f)")
        }),
        raise(Resource::Cpu, None)
            .map(|most| format!("it stops after {most} seconds of CPU time (ulimit -t)")),
        raise(Resource::As, None).map(|most| {
            let most = size(most);
            format!("it can use no more than {most} of memory (ulimit -v)")
        }),
        raise(Resource::Data, None).map(|most| {
            let most = size(most);
            format!("it can use no more than {most} of memory (ulimit -d)")
        }),
        raise(Resource::Nofile, Some(FILES))
            .filter(|most| *most < ENOUGH_FILES)
            .map(|most| format!("it can have at most {most} files open (ulimit -n)")),
    ];
    limits.into_iter().flatten().collect()
}

/// Raises a limit to `wanted` (`None` is unlimited), or as far as the system allows. Returns the resulting
/// limit if it is lower.
fn raise(resource: Resource, wanted: Option<u64>) -> Option<u64> {
    let before = getrlimit(resource);
    let hard = match (before.maximum, wanted) {
        (Some(maximum), Some(wanted)) => Some(maximum.max(wanted)),
        _ => None,
    };
    let lifted = Rlimit {
        current: wanted,
        maximum: hard,
    };
    if setrlimit(resource, lifted).is_ok() {
        return None;
    }
    let soft = match (before.maximum, wanted) {
        (Some(maximum), Some(wanted)) => Some(maximum.min(wanted)),
        (maximum, wanted) => maximum.or(wanted),
    };
    let as_allowed = Rlimit {
        current: soft,
        maximum: before.maximum,
    };
    // If even that fails, the limit reported next is the actual one.
    let _ = setrlimit(resource, as_allowed);
    getrlimit(resource).current
}

/// Whether a limit allows at least this much.
fn is_at_least(limit: Option<u64>, much: u64) -> bool {
    limit.is_none_or(|limit| limit >= much)
}
