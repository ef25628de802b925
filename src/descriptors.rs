//! File descriptors other than stdin, stdout and stderr: inherited ones, and those that this program opens.
//!
//! This module decides who inherits them: a satellite none from its starter, a command none of skypipe's
//! own. A satellite that kept an inherited pipe would hold it open for days: a shell's `x=$(… | skypipe
//! 3>&1)` would wait for the satellite's end. It is a module of its own because it needs `unsafe`: no safe
//! call closes or marks a descriptor that has no owner here.

use std::fs::{self, DirEntry};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use rustix::io::{FdFlags, fcntl_setfd};

/// Closes every descriptor but stdin, stdout and stderr. Call it only at the very beginning of the program,
/// before anything has been opened.
#[expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner here"
)]
pub fn close_inherited() {
    if close_all_at_once() {
        return;
    }
    for fd in open().into_iter().filter(|fd| *fd > 2) {
        // SAFETY: the descriptor was open a moment ago. This program has opened nothing yet and runs no
        // other thread, so nothing in it relies on the descriptor.
        unsafe { rustix::io::close(fd) };
    }
}

/// Closes them in one call, which Linux has had since 5.9. Returns whether that worked.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner here"
)]
fn close_all_at_once() -> bool {
    // SAFETY: as above, nothing in this program relies on any of the descriptors. The arguments are the
    // first descriptor, the last, and no flags. An older system answers that it does not know the call.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) == 0 }
}

/// Other systems have other calls; there the list of open descriptors is used.
#[cfg(not(target_os = "linux"))]
fn close_all_at_once() -> bool {
    false
}

/// Marks the descriptors opened since `inherited` was listed as close-on-exec, so that child processes get
/// the inherited ones only. (libzmq opens some without the mark.)
#[expect(unsafe_code, reason = "libzmq's descriptors have no owner here")]
pub fn keep_from_children(inherited: &[RawFd]) {
    let own = |fd: &RawFd| *fd > 2 && !inherited.contains(fd);
    for fd in open().into_iter().filter(own) {
        // SAFETY: the descriptor was open just now. The mark changes nothing for its users in this process.
        // If another descriptor has its number by now, that one was opened here, too.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}

/// The numbers of all open descriptors. Empty where the system does not list them.
#[must_use]
pub fn open() -> Vec<RawFd> {
    let tells = |path: &&&str| Path::new(path).is_dir();
    let Some(path) = ["/proc/self/fd", "/dev/fd"].iter().find(tells) else {
        return Vec::new();
    };
    let number = |entry: DirEntry| entry.file_name().to_str()?.parse().ok();
    let listing = fs::read_dir(path).into_iter().flatten().flatten();
    let listed: Vec<RawFd> = listing.filter_map(number).collect();
    // The list includes the descriptor of the listing itself, which is closed by now.
    let is_open = |fd: &RawFd| fs::symlink_metadata(format!("{path}/{fd}")).is_ok();
    listed.into_iter().filter(is_open).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn open_descriptors_are_found() {
        let file = fs::File::open("/dev/null").expect("it is everywhere");
        let fd = file.as_raw_fd();
        assert!(open().contains(&fd));
        assert!([0, 1, 2].iter().all(|fd| open().contains(fd)));
    }
}
