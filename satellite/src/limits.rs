//! The limit of open files, and the access rights of files that a satellite makes.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Descriptors that are not for clients: stdin to stderr, the listening sockets, libzmq's own
/// between its threads, and some to spare.
const OWN_DESCRIPTORS: u64 = 64;

/// Descriptors for unauthenticated clients that have not been rejected yet. Each takes about 5 KiB
/// of memory.
const STRANGERS: u64 = 4096;

/// Raises the limit of open files to what `most` clients and some strangers need, as far as the
/// system allows, and returns the limit. It is not raised further, because the memory of strangers
/// is not in the memory budget.
pub(crate) fn raise_descriptors(most: usize) -> u64 {
    let needed = OWN_DESCRIPTORS + STRANGERS + 2 * most as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = Rlimit {
        current: Some(allowed),
        maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => allowed,
        Err(_) => current.unwrap_or(needed),
    }
}

/// How many clients to serve with this many descriptors. It is half of what would be possible. A
/// client that reconnects is there twice for a moment, and strangers take descriptors before they
/// are rejected. When the descriptors run out, others have to wait.
pub(crate) fn clients(descriptors: u64, most: usize) -> usize {
    let possible = descriptors.saturating_sub(OWN_DESCRIPTORS) / 2;
    usize::try_from(possible).unwrap_or(most).clamp(1, most)
}

/// Makes all files that this process creates from now on accessible to its user, and to nobody
/// else, whatever umask the process inherited.
pub(crate) fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Runs `make`. The files that it creates are accessible to this user, and to nobody else, whatever
/// the umask is.
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
        assert_eq!(clients(1 << 20, 1000), 1000);
        assert_eq!(clients(1024, 1000), 480);
        assert_eq!(clients(10, 1000), 1);
    }

    #[test]
    fn the_limit_is_what_clients_need_and_no_more() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let raised = raise_descriptors(500);
        let needed = OWN_DESCRIPTORS + STRANGERS + 1000;
        assert_eq!(
            raised,
            maximum.map_or(needed, |maximum| maximum.min(needed))
        );
        assert_eq!(getrlimit(Resource::Nofile).current, Some(raised));
    }
}
