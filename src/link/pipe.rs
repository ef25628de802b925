//! Pipes that are read and written without waiting, and wide ones.
//!
//! Owns how a pipe is opened anew: whether reads and writes wait belongs to what was opened, which stdin and
//! stdout share with the programs of the same terminal or script, so that ours must not change it.

use std::os::fd::{AsFd, OwnedFd};

use skypipe_broker::protocol::MAX_CHUNK;

/// The same pipe for reads that never wait. Nothing if it is no pipe, or the system does not open it.
pub fn reader(pipe: impl AsFd) -> Option<OwnedFd> {
    anew(pipe, rustix::fs::OFlags::RDONLY)
}

/// The same pipe for writes that never wait. Nothing if it is no pipe, nobody reads it, or the system
/// does not open it.
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

/// Only Linux opens what is open already.
#[cfg(not(target_os = "linux"))]
fn anew(_pipe: impl AsFd, _flags: rustix::fs::OFlags) -> Option<OwnedFd> {
    None
}

/// Gives a pipe room for a whole chunk, so that its two ends take fewer turns. Not for pipes that
/// carry little: a user has only so much memory for wide ones. Where it cannot be had, or this is
/// no pipe, things go on as they are.
#[cfg(target_os = "linux")]
pub fn widen(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, MAX_CHUNK);
}

/// Only Linux has pipes that can be widened.
#[cfg(not(target_os = "linux"))]
pub fn widen(_pipe: impl AsFd) {
    let _ = MAX_CHUNK;
}
