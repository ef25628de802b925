//! What the system allows a satellite to open, and who may open what it makes.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// The most clients of one satellite, however many descriptors there are; the loop's fairness
/// counts on it, and what they are all given to begin with fits into the default budget.
const MAX_CLIENTS: usize = 10_000;

/// Descriptors that are not for clients: stdin to stderr, the sockets that listen, libzmq's own
/// between its threads, and some to spare.
const OWN_DESCRIPTORS: u64 = 64;

/// Raises the limit of open files as far as the system allows, and returns it; none if unlimited.
pub(crate) fn raise_descriptors() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// How many clients to serve with so many descriptors. It is half of what would be possible:
/// clients that come back are there twice for a moment, strangers take some before they are turned
/// away, and running out is fatal, for libzmq then aborts the process.
pub(crate) fn clients(descriptors: Option<u64>) -> usize {
    let possible = descriptors.map_or(u64::MAX, |all| all.saturating_sub(OWN_DESCRIPTORS) / 2);
    usize::try_from(possible)
        .unwrap_or(MAX_CLIENTS)
        .clamp(1, MAX_CLIENTS)
}

/// From here on, all files that this process makes are its user's alone, and its user can open them,
/// whatever the umask of whoever started it.
pub(crate) fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Runs `make` so that the files it makes are this user's alone, and its user can open them, whatever the
/// umask.
pub fn private_files<T>(make: impl FnOnce() -> T) -> T {
    let before = umask(Mode::RWXG | Mode::RWXO);
    let result = make();
    umask(before);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fewer_clients_than_descriptors() {
        assert_eq!(clients(None), MAX_CLIENTS);
        assert_eq!(clients(Some(1 << 20)), MAX_CLIENTS);
        assert_eq!(clients(Some(1024)), 480);
        assert_eq!(clients(Some(10)), 1);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let raised = raise_descriptors();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current, raised), (maximum, maximum));
    }
}
