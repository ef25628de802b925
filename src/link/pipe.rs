//! Non-blocking access to stdin and stdout pipes, and larger pipe buffers.
//!
//! This module reopens a pipe. Blocking mode belongs to the open file description, which stdin and stdout
//! share with other programs of the same terminal or script. So it must not be changed there; a description
//! of our own is opened instead.

use std::os::fd::{AsFd, OwnedFd};

use skypipe_protocol::MAX_CHUNK;

/// Reopens a pipe for non-blocking reads. `None` if it is no pipe, or the system refuses.
pub fn reader(pipe: impl AsFd) -> Option<OwnedFd> {
    anew(pipe, rustix::fs::OFlags::RDONLY)
}

/// Reopens a pipe for non-blocking writes. `None` if it is no pipe, has no reader, or the system refuses.
pub fn writer(pipe: impl AsFd) -> Option<OwnedFd> {
    anew(pipe, rustix::fs::OFlags::WRONLY)
}

#[cfg(target_os = "linux")]
fn anew(pipe: impl AsFd, flags: rustix::fs::OFlags) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{FileType, Mode, OFlags, fstat, open};

    let stat = fstat(&pipe).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return None;
    }
    let path = format!("/proc/self/fd/{}", pipe.as_fd().as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

/// Only Linux can reopen an open pipe.
#[cfg(not(target_os = "linux"))]
fn anew(_pipe: impl AsFd, _flags: rustix::fs::OFlags) -> Option<OwnedFd> {
    None
}

/// Enlarges a pipe's buffer to hold a whole chunk, so that its two ends take fewer turns. Do not use it for
/// pipes that carry little: the system limits the total for each user. Where it fails, or this is no pipe,
/// nothing changes.
#[cfg(target_os = "linux")]
pub fn widen(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, MAX_CHUNK);
}

/// Only Linux can enlarge pipes.
#[cfg(not(target_os = "linux"))]
pub fn widen(_pipe: impl AsFd) {
    let _ = MAX_CHUNK;
}
