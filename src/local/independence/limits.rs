//! Limits of resources that whoever started this program had (`ulimit`).
//!
//! Owns which of them a satellite must not have. A limit has a soft part, which any process may lift up
//! to the hard part; that one only root may lift. What stays is told.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::tell::size;

/// How many open files are worth no word: what Linux itself gives every process as hard limit.
const ENOUGH_FILES: u64 = 4096;

/// As many as the most clients of one satellite take up.
const FILES: u64 = 20_064;

/// The stack that programs count on, in bytes.
const STACK: u64 = 8 << 20;

/// Lifts what can be lifted; returns in words what could not.
pub fn lift() -> Vec<String> {
    raise(Resource::Nproc, None);
    if !is_at_least(getrlimit(Resource::Stack).current, STACK) {
        raise(Resource::Stack, Some(STACK));
    }
    let limits = [
        raise(Resource::Fsize, None).map(|most| {
            let most = size(most);
            format!("no file of it can be longer than {most} (ulimit -f)")
        }),
        raise(Resource::Cpu, None)
            .map(|most| format!("it ends after {most} seconds of CPU time (ulimit -t)")),
        raise(Resource::As, None).map(|most| {
            let most = size(most);
            format!("it can have no more than {most} of memory (ulimit -v)")
        }),
        raise(Resource::Data, None).map(|most| {
            let most = size(most);
            format!("it can have no more than {most} of memory (ulimit -d)")
        }),
        raise(Resource::Nofile, Some(FILES))
            .filter(|most| *most < ENOUGH_FILES)
            .map(|most| format!("it can have no more than {most} files open (ulimit -n)")),
    ];
    limits.into_iter().flatten().collect()
}

/// Raises a limit to `wanted`, or to none at all, or as far as the system allows. Returns what it is then,
/// if that is less.
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
    // Should even that fail, what is said next is what is.
    let _ = setrlimit(resource, as_allowed);
    getrlimit(resource).current
}

/// Whether a limit leaves room for this much.
fn is_at_least(limit: Option<u64>, much: u64) -> bool {
    limit.is_none_or(|limit| limit >= much)
}
