//! Descriptors that this program was started with, beyond stdin, stdout and stderr.
//!
//! Owns the closing of them. A satellite that lives on with somebody's pipe would keep that pipe
//! open: a shell's `x=$(… | skypipe 3>&1)` would wait for the satellite's end. It is a module of its
//! own because it takes `unsafe`: no safe call closes what this program has not opened itself.

use std::fs;
use std::os::fd::RawFd;

/// Closes every descriptor but stdin, stdout and stderr. Only for a program's very beginning, before
/// it has opened anything.
#[expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner here"
)]
pub fn close_inherited() {
    let inherited = open().into_iter().filter(|fd| *fd > 2);
    for fd in inherited {
        // SAFETY: this program has opened nothing yet and runs no other thread, so nothing in it
        // relies on the descriptor. The one of the listing itself is closed already, and closing
        // what is not open does nothing.
        unsafe { rustix::io::close(fd) };
    }
}

/// The numbers of all open descriptors; none where the system does not tell.
fn open() -> Vec<RawFd> {
    let listing = fs::read_dir("/proc/self/fd").or_else(|_| fs::read_dir("/dev/fd"));
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let entries = listing.into_iter().flatten().flatten();
    entries.filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn open_descriptors_are_found() {
        let file = fs::File::open("/dev/null").expect("it is everywhere");
        assert!(open().contains(&file.as_raw_fd()));
    }
}
