//! Descriptors beyond stdin, stdout and stderr: those that this program was started with, and those
//! that it has opened.
//!
//! Owns who gets them: a satellite none that its starter had, a command none of skypipe's. A satellite
//! that lives on with somebody's pipe would keep that pipe open: a shell's `x=$(… | skypipe 3>&1)`
//! would wait for the satellite's end. It is a module of its own because it takes `unsafe`: no safe
//! call closes or marks what has no owner here.

use std::fs::{self, DirEntry};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

use rustix::io::{FdFlags, fcntl_setfd};

/// Closes every descriptor but stdin, stdout and stderr. Only for a program's very beginning, before
/// it has opened anything.
#[expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner here"
)]
pub fn close_inherited() {
    if close_all_at_once() {
        return;
    }
    for fd in open().into_iter().filter(|fd| *fd > 2) {
        // SAFETY: it is open, as was just seen, and this program has opened nothing yet and runs
        // no other thread, so nothing in it relies on the descriptor.
        unsafe { rustix::io::close(fd) };
    }
}

/// Linux can do it without a look at what is open, since 5.9. Whether it did.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner here"
)]
fn close_all_at_once() -> bool {
    // SAFETY: as above, nothing in this program relies on any of them. The arguments are the first
    // descriptor, the last, and no flags; an older system answers that it does not know the call.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) == 0 }
}

/// Other systems have their own ways; the list of what is open does for all.
#[cfg(not(target_os = "linux"))]
fn close_all_at_once() -> bool {
    false
}

/// Has whatever this program starts from now on get no descriptor but those that it had itself when
/// `inherited` was listed. (libzmq opens some that programs would get.)
#[expect(unsafe_code, reason = "libzmq's descriptors have no owner here")]
pub fn keep_from_children(inherited: &[RawFd]) {
    let own = |fd: &RawFd| *fd > 2 && !inherited.contains(fd);
    for fd in open().into_iter().filter(own) {
        // SAFETY: it was open just now. The flag changes nothing for whoever uses the descriptor
        // here, and if another one has its number by now, then that one was opened here, too.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}

/// The numbers of all open descriptors; none where the system does not tell.
#[must_use]
pub fn open() -> Vec<RawFd> {
    let tells = |path: &&&str| Path::new(path).is_dir();
    let Some(path) = ["/proc/self/fd", "/dev/fd"].iter().find(tells) else {
        return Vec::new();
    };
    let number = |entry: DirEntry| entry.file_name().to_str()?.parse().ok();
    let listing = fs::read_dir(path).into_iter().flatten().flatten();
    let listed: Vec<RawFd> = listing.filter_map(number).collect();
    // The listing's own descriptor was among them.
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
