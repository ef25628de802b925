//! What the system allows a satellite to open, and who may open what it makes.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Descriptors that are not for clients: stdin to stderr, the sockets that listen, libzmq's own
/// between its threads, and some to spare.
const OWN_DESCRIPTORS: u64 = 64;

/// Descriptors for strangers who are yet to be turned away. Each takes some 5 KiB of memory.
const STRANGERS: u64 = 4096;

/// Raises the limit of open files as far as so many clients and some strangers need, and the system allows, and
/// returns it. No further, for what strangers take is not in the budget.
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

/// How many clients to serve with so many descriptors. It is half of what would be possible:
/// clients that come back are there twice for a moment, strangers take some before they are turned
/// away, and running out has others wait.
pub(crate) fn clients(descriptors: u64, most: usize) -> usize {
    let possible = descriptors.saturating_sub(OWN_DESCRIPTORS) / 2;
    usize::try_from(possible).unwrap_or(most).clamp(1, most)
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
